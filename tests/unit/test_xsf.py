"""XSF files in the dialect of ænet."""

from __future__ import annotations

import tarfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.errors import FormatError, InputError, TaylorfitError
from taylorfit.formats.structures.xsf import format_xsf, parse_xsf, read_xsf, write_xsf
from taylorfit.model.structure import VOIGT, Structure
from taylorfit.model.units import required_system

ATOMS = """Ti 0.0 0.0 0.0 0.1 0.2 0.3
O  1.5 0.0 0.0 -0.1 0.0 0.0
O  0.0 1.5 0.0 0.0 -0.2 -0.3
"""
PRIMVEC = "PRIMVEC\n4.0 0.0 0.0\n0.0 5.0 0.0\n0.0 0.0 6.0\n"
ENERGY = "# total energy = -12.5 eV\n"
MOLECULE = f"{ENERGY}\nATOMS\n{ATOMS}"
CRYSTAL = f"{ENERGY}\nCRYSTAL\n{PRIMVEC}PRIMCOORD\n3 1\n{ATOMS}"


def parse(text: str | bytes, **options: Any) -> Structure:
    return parse_xsf(text if isinstance(text, bytes) else text.encode(), "test.xsf", **options)


def test_crystal_is_read_with_cell_energy_and_forces():
    structure = parse(CRYSTAL, require_energy=True, require_forces=True)
    assert structure.symbols == ("Ti", "O", "O")
    assert structure.pbc == (True, True, True)
    assert structure.energy == -12.5
    assert structure.cohesive_energy is None
    assert structure.name == "test.xsf"
    np.testing.assert_array_equal(structure.cell, np.diag([4.0, 5.0, 6.0]))
    np.testing.assert_array_equal(structure.positions[1], [1.5, 0.0, 0.0])
    np.testing.assert_array_equal(structure.forces[2], [0.0, -0.2, -0.3])


def test_molecule_is_read_without_cell():
    structure = parse(MOLECULE)
    assert structure.pbc == (False, False, False)
    assert not structure.cell.any()


NO_FORCES = "Ti 0 0 0\nO 1.5 0 0\nO 0 1.5 0\n"
ACCEPTED = {
    "count line without 1": (CRYSTAL, "3 1\n", "3\n"),
    "no CRYSTAL": (CRYSTAL, "CRYSTAL\n", ""),
    "SLAB": (CRYSTAL, "CRYSTAL\n", "SLAB\n"),
    "POLYMER": (CRYSTAL, "CRYSTAL\n", "POLYMER\n"),
    "PRIMVEC with ATOMS": (CRYSTAL, "PRIMCOORD\n3 1\n", "ATOMS\n"),
    "indented keywords": (CRYSTAL, "PRIM", "   PRIM"),
    "keyword with number": (CRYSTAL, "PRIMCOORD\n", "PRIMCOORD 1\n"),
    "CONVVEC block": (CRYSTAL, "PRIMCOORD", "CONVVEC\n8 0 0\n0 8 0\n0 0 8\nPRIMCOORD"),
    "CRLF": (CRYSTAL, "\n", "\r\n"),
    "CR": (CRYSTAL, "\n", "\r"),
    "tabs": (CRYSTAL, "0.0 ", "0.0\t"),
    "labels of three characters": (CRYSTAL, "Ti ", "Ti1 "),
    "Fortran exponent": (CRYSTAL, "O  1.5", "O 15d-1"),
    "integers": (CRYSTAL, "0.0", "0"),
    "columns after the forces": (CRYSTAL, "0.3\n", "0.3 1 tag\n"),
    "comment with underscores": (CRYSTAL, "CRYSTAL", "# a_b_c ÅΩ\nCRYSTAL"),
    "one animation step": (CRYSTAL, "CRYSTAL", "ANIMSTEPS 1\nCRYSTAL"),
    "blank lines at the end": (CRYSTAL, ATOMS, ATOMS + "\n\n   \n"),
    "no line end at the end": (CRYSTAL, ATOMS, ATOMS.rstrip()),
    "byte order mark": (CRYSTAL, ENERGY, "\ufeff" + ENERGY),
    "energy at the end": (CRYSTAL.replace(ENERGY, ""), ATOMS, f"{ATOMS}\n{ENERGY}"),
    "energy without hash": (CRYSTAL, "# total", "the total"),
    "energy with exponent": (CRYSTAL, "-12.5", "-1.25D+1"),
    "energy ended by comma": (CRYSTAL, "-12.5 eV", "-12.5, in eV"),
    "energy without unit": (CRYSTAL, "-12.5 eV", "-12.5"),
    "energy twice": (CRYSTAL, ENERGY, ENERGY + ENERGY),
    "energy per cell": (CRYSTAL, "-12.5 eV", "-12.5 eV per cell"),
    "energy with two units": (CRYSTAL, "-12.5 eV", "-12.5 eV (-0.459 Ha)"),
    "unit before the number": (CRYSTAL, "total energy = -12.5 eV", "total energy (eV) = -12.5"),
    "words after the energy": (CRYSTAL, "-12.5 eV", "-12.5 eV for a cell of 3 atoms, in Hartree-Fock"),
    "units in a comment": (CRYSTAL, ENERGY, ENERGY + "# units: eV, Angstrom\n# forces in eV/Å, positions in Å\n"),
    "a comment with other words": (CRYSTAL, ENERGY, ENERGY + "# computed in a unit cell of 3 atoms, in 2 h\n"),
}


@pytest.mark.parametrize("base, old, new", ACCEPTED.values(), ids=ACCEPTED)
def test_what_aenet_accepts_is_read_the_same(base, old, new):
    assert old in base
    expected = parse(CRYSTAL)
    structure = parse(base.replace(old, new), require_energy=True, require_forces=True)
    assert structure.symbols == expected.symbols
    assert structure.pbc == expected.pbc
    assert structure.energy == expected.energy
    np.testing.assert_array_equal(structure.cell, expected.cell)
    np.testing.assert_array_equal(structure.positions, expected.positions)
    np.testing.assert_array_equal(structure.forces, expected.forces)


def test_comment_in_another_encoding_is_no_obstacle():
    assert parse("# cell in Å\n".encode("latin-1") + CRYSTAL.encode()).n_atoms == 3


def test_forces_are_optional_for_all_atoms_together():
    for columns in ("", " 0.5", " free text"):
        structure = parse(f"ATOMS\n{NO_FORCES}".replace("\n", f"{columns}\n").replace(f"ATOMS{columns}", "ATOMS"))
        assert structure.forces is None
        assert structure.n_atoms == 3


def test_cohesive_energy_is_kept_beside_the_total_energy():
    structure = parse("# cohesive energy = -3.5 eV\n" + CRYSTAL, require_energy=True)
    assert (structure.cohesive_energy, structure.energy) == (-3.5, -12.5)


def test_cohesive_energy_of_zero_counts_as_absent():
    text = MOLECULE.replace("total energy = -12.5", "cohesive energy = 0.0")
    with pytest.raises(FormatError, match="no energy"):
        parse(text, require_energy=True)


NUMBERED = MOLECULE.replace("Ti ", "22 ").replace("O ", "8 ")


def test_atomic_numbers_with_forces_are_refused_or_converted_on_request():
    with pytest.raises(FormatError, match="line 4: atomic number .* ASE .*'22'.*--units xcrysden"):
        parse(NUMBERED)
    expected = parse(MOLECULE)
    for units, factor in (("xcrysden", 27.211386245988), ("eV Angstrom", 1.0)):
        structure = parse(NUMBERED, units=required_system(units))
        assert structure.symbols == ("Ti", "O", "O")
        np.testing.assert_allclose(structure.forces, factor * expected.forces, rtol=1e-15)
    with pytest.raises(FormatError, match="line 5: no atomic number.*'O'"):
        parse(NUMBERED.replace("8 ", "O ", 1), units=required_system("xcrysden"))


def test_atomic_numbers_without_forces_are_symbols():
    assert parse("ATOMS\n" + NO_FORCES.replace("Ti", "22").replace("O", "8")).symbols == ("Ti", "O", "O")


def test_left_handed_cell_is_read():
    assert parse(CRYSTAL.replace("4.0 0.0 0.0", "-4.0 0.0 0.0")).volume == pytest.approx(120.0)


# Text, line of the error, part of the message.
REFUSED = {
    "empty": ("", None, "empty file"),
    "blanks only": (" \n\n", None, "empty file"),
    "NUL bytes": (CRYSTAL.replace("Ti", "T\0"), 10, "binary data"),
    "undecodable": (CRYSTAL.encode().replace(b"Ti", b"\xff\xfe"), 10, "neither ASCII nor UTF-8"),
    "no atoms section": ("hello\nworld\n", None, "no atoms"),
    "no atoms after ATOMS": ("ATOMS\n", 2, "no atoms after ATOMS"),
    "ATOMS at the end": ("ATOMS", 1, "no atoms after ATOMS"),
    "blank line before the atoms": (f"ATOMS\n\n{ATOMS}", 2, "no atoms after ATOMS"),
    "no count line": (CRYSTAL.replace("3 1\n", ""), 9, "no number of atoms"),
    "PRIMCOORD at the end": ("PRIMCOORD", 1, "no number of atoms"),
    "count of zero": ("PRIMCOORD\n0 1\n", 3, "no atoms after PRIMCOORD"),
    "count too large": (CRYSTAL.replace("3 1", "4 1"), 9, "says 4 atoms but 3 follow"),
    "count too small": (CRYSTAL.replace("3 1", "2 1"), 9, "says 2 atoms but 3 follow"),
    "blank line inside": (CRYSTAL.replace("\nO  0", "\n\nO  0"), 12, "blank line inside"),
    "blank line inside ATOMS": (MOLECULE.replace("\nO  1", "\n\nO  1"), 5, "blank line inside"),
    "blank line, then damage": (MOLECULE.replace("\nO  1", "\n\nO ***"), 5, "blank line inside"),
    "comment inside": (MOLECULE.replace("\nO  1", "\n# O\nO 1"), 5, "not an atom line"),
    "section after atoms": (MOLECULE + PRIMVEC, 7, "not an atom line"),
    "count after ATOMS": (MOLECULE.replace("ATOMS\n", "ATOMS\n3\n"), 4, "not an atom line"),
    "commented atom": (MOLECULE.replace("Ti ", "#Ti "), 4, "not an atom line"),
    "cut in the last line": (MOLECULE.replace("O  0.0 1.5 0.0 0.0 -0.2 -0.3", "O 0.0"), 6, "not an atom line"),
    "forces cut in the last line": (MOLECULE.replace(" -0.2 -0.3", ""), 4, "forces on some atoms only"),
    "forces on the last atom only": (
        "ATOMS\nTi 0 0 0\nO 1 0 0 1 1 1\n",
        2,
        "forces on some atoms only: atom 1 has none",
    ),
    "forces missing on one": (MOLECULE.replace(" -0.1 0.0 0.0", ""), 5, "forces on some atoms only: atom 2 has none"),
    "two force components": (MOLECULE.replace(" -0.1 0.0 0.0", " -0.1 0.0"), 5, "forces on some"),
    "words for forces": (MOLECULE.replace("-0.1 0.0 0.0", "not a force"), 5, "force x of atom 2 is not a number"),
    "NaN position": (MOLECULE.replace("1.5 0.0 0.0", "1.5 NaN 0.0", 1), 5, "position y of atom 2 is not finite"),
    "infinite force": (MOLECULE.replace("0.2 0.3", "0.2 inf", 1), 4, "force z of atom 1"),
    "force out of range": (MOLECULE.replace("0.2 0.3", "0.2 1e999", 1), 4, "is not finite"),
    "stars for a position": (MOLECULE.replace("O  1.5", "O ******"), 5, "Fortran overflow"),
    "stars for a force": (MOLECULE.replace("0.2 0.3", "0.2 *****", 1), 4, "Fortran overflow"),
    "stars run together": (MOLECULE.replace("O  1.5 0.0", "O *****0.0"), 5, "Fortran overflow"),
    "numbers run together": (
        MOLECULE.replace("1.5 0.0 0.0", "1.5-10.0 0.0", 1),
        5,
        "position x of atom 2 is not a number",
    ),
    "Python underscores": (MOLECULE.replace("O  1.5", "O 1_5"), 5, "is not a number"),
    "digits of another script": (MOLECULE.replace("O  1.5", "O ١.٥"), 5, "is not a number"),
    "energy without blank": (CRYSTAL.replace("-12.5 eV", "-12.5eV"), 1, "is not a number"),
    "energy without number": (CRYSTAL.replace("-12.5 eV", ""), 1, "has no number"),
    "energy without equals": (CRYSTAL.replace("= -12.5", ""), 1, "without '='"),
    "energy NaN": (CRYSTAL.replace("-12.5", "NaN"), 1, "is not finite"),
    "energy of stars": (CRYSTAL.replace("-12.5", "*****"), 1, "Fortran overflow"),
    **{
        f"energy in {unit}": (CRYSTAL.replace("eV", unit), 1, "not in eV")
        for unit in (
            "Ha",
            "Ryd",
            "a.u",
            "a.u.",
            "meV",
            "eV/atom",
            "eV per atom",
            "eV / atom",
            "eV/at.",
            "kJ mol^-1",
            "[Ry]",
        )
    },
    "unit before the number": (CRYSTAL.replace("energy = -12.5 eV", "energy (Ha) = -12.5"), 1, "not in eV"),
    "decimal comma": (CRYSTAL.replace("-12.5", "-12,5"), 1, "decimal comma"),
    "decimal comma of a position": (MOLECULE.replace("1.5 0.0 0.0", "1,5 0.0 0.0", 1), 5, "decimal comma"),
    "two energies": (CRYSTAL.replace(ENERGY, ENERGY + "# total energy = 1 eV\n"), 2, "two different total energies"),
    "units in a comment": (ENERGY + "# units: Ry, Bohr\n" + CRYSTAL, 2, "units are not eV and Å"),
    "forces in a comment": (ENERGY + "# forces in Ha/Bohr\n" + CRYSTAL, 2, "units are not eV and Å"),
    "two rows of PRIMVEC": (CRYSTAL.replace("0.0 0.0 6.0\n", ""), 7, "lattice vector 3"),
    "short row of PRIMVEC": (CRYSTAL.replace("0.0 5.0 0.0", "0.0 5.0"), 6, "lattice vector 2"),
    "blank line in PRIMVEC": (CRYSTAL.replace("PRIMVEC", "PRIMVEC\n"), 5, "lattice vector 1"),
    "PRIMVEC at the end": ("PRIMVEC", 1, "lattice vector 1"),
    "NaN in PRIMVEC": (CRYSTAL.replace("4.0", "nan"), 5, "lattice vector 1 is not finite"),
    "stars in PRIMVEC": (CRYSTAL.replace("4.0", "****"), 5, "Fortran overflow"),
    "zero vector": (CRYSTAL.replace("6.0", "0.0"), 4, "linearly dependent"),
    "parallel vectors": (CRYSTAL.replace("0.0 5.0 0.0", "8.0 0.0 0.0"), 4, "linearly dependent"),
    "giant vectors": (CRYSTAL.replace("4.0", "1e300"), 4, "linearly dependent"),
    "CRYSTAL without PRIMVEC": (CRYSTAL.replace(PRIMVEC, ""), 3, "without PRIMVEC"),
    "lower-case keyword": (CRYSTAL.replace("PRIMVEC", "primvec"), 4, "lower case"),
    "lower-case atoms": (MOLECULE.replace("ATOMS", "atoms"), 3, "lower case"),
    "animation": ("ANIMSTEPS 2\n" + CRYSTAL, 1, "animated"),
    "two sets of atoms": (CRYSTAL + "\nPRIMCOORD\n3 1\n" + ATOMS, 15, "second set of atoms"),
    "periodicity of words": ("# pbc = yes\n" + CRYSTAL, 1, "periodicity is not three letters"),
    "two cells": (PRIMVEC + CRYSTAL, 8, "second PRIMVEC"),
}


@pytest.mark.parametrize("text, line, message", REFUSED.values(), ids=REFUSED)
def test_damage_is_refused_with_file_and_line(text, line, message):
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith("test.xsf")
    assert "\n" not in str(caught.value)


def test_missing_energy_is_refused_only_when_required():
    text = MOLECULE.replace(ENERGY, "")
    assert parse(text).energy is None
    with pytest.raises(FormatError, match="no energy"):
        parse(text, require_energy=True)


def test_energy_in_capitals_is_pointed_out():
    with pytest.raises(FormatError, match="line 1: no energy.*lower case"):
        parse(MOLECULE.replace("total energy", "Total Energy"), require_energy=True)


def test_missing_forces_are_refused_only_when_required():
    with pytest.raises(FormatError, match="no forces"):
        parse(f"ATOMS\n{NO_FORCES}", require_forces=True)


def test_missing_file_and_directory_are_input_errors(tmp_path):
    for path in (tmp_path / "none.xsf", tmp_path, "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            read_xsf(path)


finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def structures(draw) -> Structure:
    n_atom = draw(st.integers(1, 5))
    vectors = st.lists(finite, min_size=3 * n_atom, max_size=3 * n_atom)
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    periodic = any(pbc)
    small = st.floats(-0.3, 0.3)
    return Structure(
        symbols=tuple(draw(st.sampled_from(["H", "O", "Ti", "X", "O1"])) for _ in range(n_atom)),
        positions=np.reshape(draw(vectors), (n_atom, 3)),
        cell=(np.eye(3) + np.reshape([draw(small) for _ in range(9)], (3, 3))) if periodic else np.zeros((3, 3)),
        pbc=pbc,
        energy=draw(st.none() | finite),
        forces=np.reshape(draw(vectors), (n_atom, 3)) if draw(st.booleans()) else None,
        cohesive_energy=draw(st.none() | finite),
        stress=draw(
            st.none() | st.lists(st.floats(-1e9, 1e9), min_size=6, max_size=6).map(lambda s: np.array(s)[VOIGT])
        ),
    )


@settings(max_examples=150, deadline=None)
@given(structures(), st.lists(st.text(), max_size=3))
def test_written_structures_are_read_back_exactly(structure, comments):
    read = parse_xsf(format_xsf(structure, comments).encode(), "")
    for name in ("symbols", "pbc", "energy", "cohesive_energy"):
        assert getattr(read, name) == getattr(structure, name)
    for name in ("positions", "cell", "forces", "stress"):
        np.testing.assert_array_equal(getattr(read, name), getattr(structure, name))


def test_a_comment_is_not_read_as_stress():
    text = format_xsf(Structure(("H",), np.zeros((1, 3))), ["stress = 1 2 3 4 5 6", "  stress=0"])
    assert parse_xsf(text.encode(), "").stress is None and "Stress = 1 2 3" in text


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_give_a_structure_or_an_error_of_ours(data):
    content = bytearray(data.draw(st.sampled_from([CRYSTAL, MOLECULE])).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.integers(0, 20))
        content[start:stop] = data.draw(
            st.sampled_from(
                [
                    b"",
                    b"\n",
                    b"\n\n",
                    b" ",
                    b"#",
                    b"*",
                    b"1",
                    b"-",
                    b"nan",
                    b"=",
                    b"PRIMVEC\n",
                    b"ATOMS",
                    b"\xff",
                    b"\0",
                    b"\r",
                    b"\x85",
                    b"total energy",
                    b"1e400",
                    b"e",
                    "²".encode(),
                ]
            )
            | st.binary(max_size=4)
        )
    try:
        structure = parse_xsf(bytes(content), "mutated.xsf")
    except TaylorfitError as error:
        assert str(error)
    else:
        assert np.isfinite(structure.positions).all()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_garbage_gives_an_error_of_ours(content):
    with pytest.raises(TaylorfitError):
        parse_xsf(content, "garbage.xsf")


def test_long_words_take_no_quadratic_time():
    with pytest.raises(FormatError):
        parse(MOLECULE.replace("1.5", "1" * 200_000 + "x", 1))


def test_slab_is_written_with_its_cell_and_molecule_without():
    slab = Structure(("O",), np.zeros((1, 3)), np.eye(3), (True, True, False))
    assert "SLAB\nPRIMVEC" in format_xsf(slab)
    loose = Structure(("O",), np.zeros((1, 3)), np.eye(3), (False, False, False))
    assert "PRIMVEC" not in format_xsf(loose)


UNWRITABLE = {
    "no atoms": {"symbols": (), "positions": np.zeros((0, 3))},
    "long symbol": {"symbols": ("Tit",)},
    "comment symbol": {"symbols": ("#",)},
    "empty symbol": {"symbols": ("",)},
    "NaN position": {"positions": np.full((1, 3), np.nan)},
    "infinite energy": {"energy": float("inf")},
    "flat cell": {"pbc": (True, True, True)},
}


@pytest.mark.parametrize("fields", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_xsf_cannot_hold_is_not_written(fields, tmp_path):
    structure = Structure(**{"symbols": ("O",), "positions": np.zeros((1, 3)), **fields})
    with pytest.raises(InputError):
        write_xsf(tmp_path / "out.xsf", structure)
    assert not list(tmp_path.iterdir())


def test_existing_file_is_replaced_only_if_allowed(tmp_path):
    path = tmp_path / "a.xsf"
    structure = parse(CRYSTAL)
    write_xsf(path, structure, ["made by a test"])
    assert read_xsf(path).energy == -12.5
    with pytest.raises(InputError, match="output exists, expected another name, or overwrite=True"):
        write_xsf(path, structure, overwrite=False)
    write_xsf(path, structure)
    assert [file.name for file in tmp_path.iterdir()] == ["a.xsf"]


def test_golden_structures_of_aenet_are_read_and_written_unchanged(shared):
    files = sorted((shared / "golden").rglob("*.xsf"))
    assert files
    for file in files:
        structure = read_xsf(file, require_energy=True, require_forces=True)
        again = parse_xsf(format_xsf(structure).encode(), "")
        np.testing.assert_array_equal(again.positions, structure.positions)
        np.testing.assert_array_equal(again.cell, structure.cell)
        np.testing.assert_array_equal(again.forces, structure.forces)
        assert again.energy == structure.energy


def test_reference_data_sets_are_read_completely(shared):
    archives = sorted((shared / "data").rglob("*.tar.xz"))
    if not archives:
        pytest.skip(f"no archives under {shared / 'data'}")
    for archive in archives:
        n_structures = 0
        with tarfile.open(archive) as members:
            for member in members:
                if member.name.endswith(".xsf"):
                    content = members.extractfile(member).read()
                    structure = parse_xsf(content, member.name, require_energy=True, require_forces=True)
                    assert np.abs(structure.forces).max() < 100.0
                    n_structures += 1
        assert n_structures, archive
