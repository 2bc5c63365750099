"""What files say is believed as far as it is said, and refused or told where it is not: kind by kind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from taylorfit.data.check import check
from taylorfit.errors import DataWarning, FormatError, InputError
from taylorfit.formats.recognise import FileKind, recognise
from taylorfit.formats.structures.files import read_files, read_structures
from taylorfit.formats.structures.foreign import FORMATS, identify
from taylorfit.formats.structures.labels import label_key
from taylorfit.model.distances import typical_bond
from taylorfit.model.structure import Structure
from taylorfit.model.units import BOHR, HARTREE, RYDBERG, first_energy_unit, is_per_atom, unit, unit_system
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.option import options_of
from taylorfit.settings.predict import PredictInput
from taylorfit.settings.reading import ReadingOptions
from taylorfit.settings.train import TrainInput

CASES = Path(__file__).resolve().parents[1] / "data" / "cases"
KCAL = 4184.0 / 6.02214076e23 / 1.602176634e-19


def case(number: str) -> Path:
    (folder,) = CASES.glob(f"{number}-*")
    return folder


def frame(keys: str = "energy=-1.5", columns: str = "forces:R:3", more: str = "") -> str:
    """A water molecule in a box of 8 Å, forces 0.1 to 0.3 in size."""
    return (
        f'3\nProperties=species:S:1:pos:R:3:{columns} Lattice="8 0 0 0 8 0 0 0 8" {keys}\n'
        f"O 0 0 0 0.1 0.2 0.3{more}\nH 0.96 0 0 -0.1 0 0{more}\nH -0.24 0.93 0 0 -0.2 -0.3{more}\n"
    )


def read_text(
    tmp_path: Path, text: str | bytes, name: str = "a.xyz", **options: str
) -> tuple[list[Structure], list[str]]:
    """The structures of a file with this content, and what is told about it."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    told: list[str] = []
    return list(read_structures(tmp_path / name, ReadingOptions(**options), tell=told.append)), told


# --- 1. placeholders ---------------------------------------------------------------------------

DUMP = (case("01") / "md.dump").read_text()


@pytest.mark.parametrize(
    ("text", "n_forces"),
    [
        (DUMP, 2),
        (DUMP.replace("x y z", "xu yu zu"), 2),
        (DUMP.replace("fx fy fz", "vx vy vz"), 0),
        ("ITEM: UNITS\nmetal\n" + DUMP, 2),
    ],
    ids=["forces", "unwrapped", "no forces", "units"],
)
def test_dumps_of_lammps_have_no_energy(tmp_path, text, n_forces):
    structures, told = read_text(tmp_path, text, "md.dump")
    assert [s.energy for s in structures] == [None, None]
    assert sum(s.forces is not None for s in structures) == n_forces
    assert structures[0].symbols == ("O", "H", "H")
    assert bool(told) == (n_forces > 0) and all("hold no energies" in line for line in told)


DATA = """LAMMPS data

2 atoms
2 atom types
0 8 xlo xhi
0 8 ylo yhi
0 8 zlo zhi
{masses}
Atoms # atomic

1 1 0 0 0
2 2 1 0 0
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ((case("09") / "md.dump").read_text(), "md.dump"),
        ((case("09") / "md.dump").read_text().replace("id type", "id mol type"), "md.lammpstrj"),
        (DATA.format(masses=""), "a.lammps-data"),
    ],
)
def test_types_without_elements_are_no_hydrogen(tmp_path, text, name):
    with pytest.raises(FormatError, match="types but no elements"):
        read_text(tmp_path, text, name)


def test_masses_tell_elements(tmp_path):
    (structure,), _ = read_text(tmp_path, DATA.format(masses="\nMasses\n\n1 15.999\n2 1.008\n"), "a.lammps-data")
    assert structure.symbols == ("O", "H")


def test_atoms_without_an_element_are_refused():
    ase = pytest.importorskip("ase")
    with pytest.raises(FormatError, match="atom 2 has no element"):
        Structure.from_ase(ase.Atoms("HX", [[0, 0, 0], [0, 0, 1]]))


def test_energies_of_exactly_zero_are_a_finding(tmp_path):
    zero = [s for path in sorted((case("15") / "x").iterdir()) for s in read_structures(path)]
    assert check(zero).of_kind("placeholder-energy") == tuple(range(len(zero)))
    assert not check([replace(s, energy=-1.0 - 0.01 * k) for k, s in enumerate(zero)]).of_kind("placeholder-energy")


# --- 2. units ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("eV", "energy", 1.0),
        ("(eV)", "energy", 1.0),
        ("eV/cell", "energy", 1.0),
        ("Ryd", "energy", RYDBERG),
        ("a.u", "energy", HARTREE),
        ("a.u.", "force", HARTREE / BOHR),
        ("meV", "energy", 1e-3),
        ("kcal/mol", "energy", KCAL),
        ("kcal/mol/Å", "force", KCAL),
        ("Ha/Bohr", "force", HARTREE / BOHR),
        ("hartree/bohr", "force", HARTREE / BOHR),
        ("eV/Angstrom", "force", 1.0),
        ("Ry/au", "force", RYDBERG / BOHR),
        ("GPa", "stress", 1.0 / 160.2176634),
        ("kB", "stress", 0.1 / 160.2176634),
        ("eV/A^3", "stress", 1.0),
        ("eV/Å³", "stress", 1.0),
        ("Ha/bohr**3", "stress", HARTREE / BOHR**3),
        ("nm", "length", 10.0),
        ("eV/atom", "energy", None),
        ("eV/Å", "energy", None),
        ("eV/Å", "stress", None),
        ("furlong", "length", None),
    ],
)
def test_units_in_whatever_spelling(text, kind, value):
    found = unit(text, kind)
    assert found is None if value is None else found == pytest.approx(value, rel=1e-9)


def test_systems_of_units():
    for text in ("eV Angstrom", "eV, Å", "eV/A", "metal", "eV and Angstrom"):
        assert unit_system(text).is_standard, text
    for text in ("Hartree Bohr", "Ha/bohr", "atomic", "a.u.", "Bohr Hartree"):
        assert (unit_system(text).energy, unit_system(text).length) == (HARTREE, BOHR), text
    assert unit_system("real").force == pytest.approx(KCAL)
    for text in ("eV", "eV eV", "furlongs", "", "eV Å fs"):
        assert unit_system(text) is None, text


def test_units_in_sentences():
    for text in ("eV", "in eV", "eV for a Hartree-Fock cell of 3 atoms", "PBE, converged"):
        assert first_energy_unit(text) in ("eV", None), text
    for text in ("eV per atom", "eV / atom", "eV/at.", "kJ mol^-1", "eV atom-1", "in Rydberg", "a.u."):
        named = first_energy_unit(text)
        assert named is not None and unit(named, "energy") != 1.0, text
    assert is_per_atom("eV/f.u.") and not is_per_atom("eV/cell") and not is_per_atom("eV/Å")


STATED = {
    "both, dpdata's": ("energy-unit=hartree force-unit=hartree/bohr", HARTREE, HARTREE / BOHR, 1.0),
    "underscores": ("energy_unit=Ry force_unit=Ry/bohr", RYDBERG, RYDBERG / BOHR, 1.0),
    "capitals": ("ENERGY_UNITS=meV Forces_Unit=meV/Ang", 1e-3, 1e-3, 1.0),
    "unit first": ("unit_energy=kcal/mol unit_forces=kcal/mol/A", KCAL, KCAL, 1.0),
    "a system": ('units="Hartree Bohr"', HARTREE, HARTREE / BOHR, BOHR),
    "the usual": ("energy_unit=eV forces_unit=eV/Angstrom length_unit=Angstrom", 1.0, 1.0, 1.0),
    "of other things": ("temperature_unit=K time_unit=fs charge-unit=e", 1.0, 1.0, 1.0),
    "lengths": ("energy_unit=eV force_unit=eV/Å position_unit=nm", 1.0, 1.0, 10.0),
    "a word": ("", 1.0, 1.0, 1.0),
}


@pytest.mark.parametrize(("keys", "energy", "force", "length"), STATED.values(), ids=STATED)
def test_stated_units_are_converted(tmp_path, keys, energy, force, length):
    (structure,), told = read_text(tmp_path, frame(f"energy=-1.5 {keys}"))
    assert structure.energy == pytest.approx(-1.5 * energy, rel=1e-9)
    np.testing.assert_allclose(structure.forces[0], force * np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(structure.cell, length * 8.0 * np.eye(3))
    np.testing.assert_allclose(structure.positions[1], [0.96 * length, 0, 0])
    assert bool(told) == ((energy, force, length) != (1.0, 1.0, 1.0))


def test_units_in_names_and_after_the_number(tmp_path):
    (structure,), _ = read_text(tmp_path, frame("REF_energy_Ha=-1.5", "REF_forces_Ha_bohr:R:3"))
    assert structure.energy == pytest.approx(-1.5 * HARTREE)
    assert structure.forces[0, 0] == pytest.approx(0.1 * HARTREE / BOHR)
    (structure,), _ = read_text(tmp_path, frame("energy=-1.5 Hartree force_unit=Ha/bohr"))
    assert structure.energy == pytest.approx(-1.5 * HARTREE)
    (structure,), _ = read_text(tmp_path, frame("energy=-1.5 eV"))
    assert structure.energy == -1.5


def test_stresses_in_gpa(tmp_path):
    keys = 'energy=-1.5 stress="16.02176634 0 0 0 0 0 0 0 0" stress_unit=GPa energy_unit=eV force_unit=eV/Å'
    (structure,), _ = read_text(tmp_path, frame(keys))
    assert structure.stress[0, 0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("energy=-1 energy_unit=furlong", "line 2: unknown unit of energy.*energy_unit=furlong"),
        ("energy=-1 energy_unit=eV/atom", "energies per atom"),
        ("energy=-1 energy_unit=Hartree", "no unit of forces, while others are stated.*force_unit="),
        ("energy=-1 units=furlongs", "unknown units"),
        ("energy=-1 energy_unit=eV energy-unit=Ry", "two units of energy"),
        ("energy=-3,5", "line 2: energy has a decimal comma: found '-3,5'"),
        ('energy=-1 stress="0,1 0 0 0 0 0 0 0 0"', "stress not numeric"),
        ("energy=-1 energy=-2", "line 2: key given twice with different values"),
        ("energy=-1 Energy=-2", "key given twice with different values"),
        ("energy=-1 total_energy=-2", "two different total energies"),
        ("energy_eV=-1 energy_unit=Ry force_unit=Ry/bohr", "two units of energy"),
    ],
)
def test_units_and_energies_that_cannot_be_are_refused(tmp_path, keys, message):
    with pytest.raises(FormatError, match=message):
        read_text(tmp_path, frame(keys))


def test_decimal_commas_in_columns_are_refused(tmp_path):
    with pytest.raises(FormatError, match="line 4: position of atom 2 has a decimal comma: found '0,96'"):
        read_text(tmp_path, frame().replace("0.96", "0,96"))


def test_units_asked_for_are_those_of_files_without_their_own(tmp_path):
    (structure,), told = read_text(tmp_path, frame(), units="Hartree Bohr")
    assert structure.energy == pytest.approx(-1.5 * HARTREE) and "converted from Hartree, Bohr" in told[0]
    (structure,), _ = read_text(tmp_path, frame("energy=-1.5 energy_unit=eV force_unit=eV/Å"), units="Hartree Bohr")
    assert structure.energy == -1.5
    (structure,), _ = read_text(tmp_path, "# total energy = -1.5 eV\n\nATOMS\nH 0 0 0\n", "a.xsf", units="Hartree Bohr")
    assert structure.energy == -1.5
    dump, _ = read_text(tmp_path, DUMP, "md.dump", units="real")
    assert dump[0].forces[0, 0] == pytest.approx(-1.410692 * KCAL)


N2P2 = (case("02") / "input.data").read_text()
BARE = re.sub("comment.*\n", "", N2P2)


def test_input_data_needs_its_units(tmp_path):
    for text, name, hint in (
        (N2P2, "input.data", "a comment says eV, Angstrom"),
        (BARE, "train.old", "Si-Si of 1.541 is a bond in Å"),
        (BARE.replace("2.5405", "5.3"), "x.data", "is a bond in Bohr"),
    ):
        with pytest.raises(InputError, match=f"no fixed units.*{hint}.*--units, UNITS or units="):
            read_text(tmp_path, text, name)
    structures, _ = read_text(tmp_path, N2P2, "input.data", units="eV Angstrom")
    assert len(structures) == 8 and structures[0].energy == -9.99999874 and structures[0].pbc == (True, True, True)
    assert structures[0].positions[1, 0] == 2.540503 and structures[0].forces[0, 0] == 0.005029
    structures, _ = read_text(tmp_path, BARE, "input.data", units="Hartree Bohr")
    assert structures[0].energy == pytest.approx(-9.99999874 * HARTREE)
    assert structures[0].positions[1, 0] == pytest.approx(2.540503 * BOHR)
    assert structures[0].forces[0, 0] == pytest.approx(0.005029 * HARTREE / BOHR)
    with pytest.raises(FormatError, match="line 2: units other than asked for"):
        read_text(tmp_path, N2P2, "input.data", units="Hartree Bohr")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("energy -9.99999874", "energy -9,99999874", "line 8: a number has a decimal comma"),
        ("energy -9.99999874", "energy -9.99999874\nenergy -8", "line 9: two different total energies"),
        ("lattice 12 0 0\n", "", "2 lattice vectors"),
        ("atom 1 1 1 Si 0", "atom 1 1 1 Qq 0", "line 6: not an atom line"),
        ("Si 0 0 0.005029", "Si 0 0 nan", "line 6: a number is not finite"),
        ("end\nbegin", "begin", "begin without end"),
    ],
)
def test_damaged_input_data_is_refused(tmp_path, old, new, message):
    assert old in N2P2
    with pytest.raises(FormatError, match=message):
        read_text(tmp_path, N2P2.replace(old, new, 1), "input.data", units="eV Angstrom")


# --- absolute scales ---------------------------------------------------------------------------


def crystal(symbols: str = "MgO", spacing: float = 2.1, n: int = 30, spread: float = 0.03) -> list[Structure]:
    """Rock salt of eight atoms with harmonic bonds to its sites: consistent energies and forces."""
    rng = np.random.default_rng(0)
    sites = spacing * np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)], dtype=float)
    names = {"MgO": ("Mg", "O"), "CuCu": ("Cu", "Cu"), "Ar": ("Ar", "Ar")}[symbols]
    species = tuple(names[round(p.sum() / spacing) % 2] for p in sites)
    found = []
    for k in range(n):
        u = rng.normal(scale=spread, size=(8, 3))
        u -= u.mean(axis=0)
        energy, forces = -40.0 + 2.5 * float((u**2).sum()), -5.0 * u
        found.append(Structure(species, sites + u, 2 * spacing * np.eye(3), (True,) * 3, energy, forces, name=f"{k}"))
    return found


def in_atomic_units(s: Structure) -> Structure:
    return replace(
        s, positions=s.positions / BOHR, cell=s.cell / BOHR, energy=s.energy / HARTREE, forces=s.forces * BOHR / HARTREE
    )


def units_found(structures: list[Structure]) -> list[str]:
    return [finding.message for finding in check(structures).findings if finding.kind == "units"]


@pytest.mark.parametrize("symbols", ["MgO", "CuCu"])
def test_consistent_atomic_units_are_noticed(symbols):
    data = crystal(symbols, 2.1 if symbols == "MgO" else 2.55)
    assert units_found(data) == []
    (message,) = units_found([in_atomic_units(s) for s in data])
    assert "in Bohr instead of Å" in message and "Hartree and Hartree/Bohr" in message


def test_scales_of_right_data_are_no_findings():
    assert units_found(crystal("Ar", 3.8)) == []  # no bonds at all
    stressed = [replace(s, stress=0.2 * np.eye(3)) for s in crystal()]  # 32 GPa
    assert units_found(stressed) == []
    hot = crystal(spread=0.2)
    assert units_found(hot) == []
    assert units_found([replace(s, positions=s.positions * 0.85, cell=s.cell * 0.85) for s in hot]) == []  # compressed


def test_absurd_scales_are_findings():
    data = crystal()
    for factor, words in ((1.0 / 0.00624, "stresses are implausibly large.*GPa"),):
        assert re.search(words, units_found([replace(s, stress=0.01 * factor * np.eye(3)) for s in data])[0])
    short = [replace(s, positions=s.positions * BOHR, cell=s.cell * BOHR) for s in crystal(spread=0.3)]
    assert any("converted from Bohr to Å twice" in line for line in units_found(short))
    wild = [replace(s, energy=s.energy * (1.0 + 0.1 * (k % 10))) for k, s in enumerate(crystal(n=40))]
    assert units_found([replace(s, energy=30.0 * s.energy) for s in wild])


def test_the_typical_bond_is_that_of_the_median_atom():
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    relative, pair, length = typical_bond(Structure(("O", "H", "H"), water))
    assert pair == "H-O" and length == pytest.approx(0.96) and relative == pytest.approx(0.96 / 0.97)
    assert typical_bond(Structure(("He", "Ar"), water[:2])) is None


def test_a_few_absurd_energies_are_outliers():
    data = crystal(n=8)
    data[3] = replace(data[3], energy=0.0)
    assert check([*data[:4], *data[4:]]).of_kind("energy-outlier") == () or data[3].energy == 0.0
    data[3] = replace(data[3], energy=-40.0 * HARTREE)
    assert check(data).of_kind("energy-outlier") == (3,)


# --- 3. labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "columns", "energy"),
    [
        ("energy=-1 REF_energy=-400", "REF_forces:R:3", -400.0),
        ("energy=-1 dft_energy=-400", "dft_forces:R:3", -400.0),
        ("energy=-1 pbe0_total_energy=-400 kinetic_energy=3", "pbe0_force:R:3", -400.0),
        ("REF_energy=-400 REF_free_energy=-401", "REF_forces:R:3", -401.0),
        ("energy=-400 formation_energy=-1 energy_per_atom=-133 dispersion_energy=-0.1", "forces:R:3", -400.0),
        ("energy=-400 energy_weight=3 energy_sigma=0.1", "forces:R:3", -400.0),
        ("energy=-400 total_energy=-400.0", "forces:R:3", -400.0),
        ("MACE_energy=-400", "MACE_forces:R:3", -400.0),
    ],
)
def test_energy_and_forces_come_from_one_source(tmp_path, keys, columns, energy):
    (structure,), _ = read_text(tmp_path, frame(keys, columns))
    assert structure.energy == energy and structure.forces[0, 0] == 0.1


def test_stresses_come_from_the_same_source(tmp_path):
    keys = 'energy=-1 REF_energy=-400 stress="9 0 0 0 9 0 0 0 9" REF_stress="0.1 0 0 0 0.1 0 0 0 0.1"'
    (structure,), told = read_text(tmp_path, frame(keys, "REF_forces:R:3"))
    assert structure.stress[0, 0] == 0.1
    assert told == ["labels taken: REF_energy, REF_forces, REF_stress (not energy, stress)"]
    (structure,), told = read_text(tmp_path, frame('energy=-1 REF_stress="9 0 0 0 9 0 0 0 9"'))
    assert structure.stress is None and told == ["labels taken: energy, forces (not REF_stress)"]


SEVERAL = frame("energy=-1 REF_energy=-400", "REF_forces:R:3:forces:R:3", " 9 9 9")


@pytest.mark.parametrize(
    "text",
    [
        SEVERAL,
        frame("pbe_energy=-1 scan_energy=-2", "x:R:3"),
        frame("pbe_energy=-1", "scan_forces:R:3"),
        frame("a_energy=-1 b_energy=-2", "b_forces:R:3:a_forces:R:3", " 9 9 9"),
        frame("REF_energy=-1", "REF_forces:R:3") + SEVERAL,
    ],
)
def test_several_sources_are_an_error_that_lists_them(tmp_path, text):
    with pytest.raises(FormatError, match="sources.*found '.*_(energy|forces).*energy_key="):
        read_text(tmp_path, text)


def test_keys_choose(tmp_path):
    for options, energy, force in (
        ({"energy_key": "REF_energy"}, -400.0, 0.1),
        ({"energy_key": "energy"}, -1.0, 9.0),
        ({"forces_key": "FORCES"}, -1.0, 9.0),
        ({"energy_key": "ref_energy", "forces_key": "forces"}, -400.0, 9.0),
    ):
        (structure,), told = read_text(tmp_path, SEVERAL, **options)
        assert (structure.energy, structure.forces[1, 2]) == (energy, 0.0 if force == 0.1 else force), options
        assert told[0].startswith("labels taken: ")
    keys = {"energy_key": "E", "forces_key": "f", "stress_key": "sigma"}
    (structure,), _ = read_text(tmp_path, frame("E=-3 sigma='1 2 3 4 5 6'", "f:R:3"), **keys)
    assert structure.energy == -3.0 and structure.forces[0, 0] == 0.1
    np.testing.assert_array_equal(structure.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    with pytest.raises(FormatError, match="no energy under this key: found 'E'.*keys found: .*REF_energy"):
        read_text(tmp_path, SEVERAL, energy_key="E")
    tfit.read(tmp_path / "a.xyz", energy_key="REF_energy")


@pytest.mark.parametrize("key", ["potential_energy", "E", "Etot", "internal"])
def test_a_missing_energy_names_the_keys(tmp_path, key):
    (tmp_path / "a.xyz").write_text(frame(f"{key}=-400"))
    with pytest.raises(
        FormatError, match=rf"line 2: no energy.*energy, free_energy or total_energy.*keys found: {key}"
    ):
        list(read_structures(tmp_path / "a.xyz", require_energy=True))
    (tmp_path / "a.xyz").write_text(frame(columns="grad:R:3"))
    with pytest.raises(FormatError, match=r"no forces.*forces or force.*columns found: grad"):
        list(read_structures(tmp_path / "a.xyz", require_forces=True))


@pytest.mark.parametrize("text", ['"1 2 3 4 5 6"', "[1,2,3,4,5,6]", '"1, 2, 3, 4, 5, 6"'])
@pytest.mark.parametrize("key", ["stress", "Stress"])
def test_stresses_of_six_numbers_are_in_voigts_order(tmp_path, key, text):
    (structure,), _ = read_text(tmp_path, frame(f"energy=-1 {key}={text}"))
    np.testing.assert_array_equal(structure.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


def test_the_energy_is_the_one_the_forces_derive_from(tmp_path):
    _, told = read_text(tmp_path, frame("energy=-1 free_energy=-1.5"))
    assert told == ["energy taken: free_energy, from which the forces derive, not energy"]
    _, told = read_text(tmp_path, frame("energy=-1 free_energy=-1.0"))
    assert told == []


def test_names_of_labels():
    assert label_key("REF_ENERGY_eV", is_column=False).source == "ref"
    assert label_key("energy", is_column=True) is None and label_key("forces", is_column=False) is None
    for name in (
        "energy_per_atom",
        "kinetic_energy",
        "force_weights",
        "energy_unit",
        "local_energy",
        "cohesive-energy",
    ):
        assert label_key(name, is_column=False) is None and label_key(name, is_column=True) is None, name


# --- 4. keys in other case, byte-order marks ---------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Lattice", "lattice"),
        ("Lattice", "LATTICE"),
        ("Lattice", "cell"),
        ("Properties", "properties"),
        ("Properties", "PROPERTIES"),
        ("species:S:1:pos", "Species:S:1:Pos"),
        ("species:S:1:pos", "element:S:1:positions"),
        ('"8 0 0 0 8 0 0 0 8"', '"[[8, 0, 0], [0, 8, 0], [0, 0, 8]]"'),
        ('"8 0 0 0 8 0 0 0 8"', "[8,0,0,0,8,0,0,0,8]"),
        ("energy", "pbc=[T, T, T] energy"),
        ("3\nProp", "\ufeff3\nProp"),
        ("\n", "\r\n"),
    ],
)
def test_keys_in_other_case_count(tmp_path, old, new):
    (structure,), _ = read_text(tmp_path, frame().replace(old, new))
    assert structure.pbc == (True, True, True) and structure.energy == -1.5 and structure.forces[0, 2] == 0.3
    np.testing.assert_array_equal(structure.cell, 8.0 * np.eye(3))


@pytest.mark.parametrize("text", ['PBC="F F F"', "pBc=F", "Pbc='0 0 0'", "periodic=[F,F,F]"])
def test_periodicity_in_other_case_counts(tmp_path, text):
    (structure,), _ = read_text(tmp_path, frame(f"energy=-1.5 {text}"))
    assert structure.pbc == (False, False, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Lattice="8 0 0 0 8 0 0 0 8"', 'cell="8 8 8"', "line 2: no cell: found"),
        ("energy", 'cell="9 0 0 0 9 0 0 0 9" energy', "two keys for the cell"),
        ("energy", "pbc=maybe energy", "no periodicity"),
        ("species:S:1:", "", "no column with the species"),
        ("pos:R:3", "xyz:R:3", "no column with the positions"),
        ("forces:R:3", "forces:R", "columns cannot be understood"),
    ],
)
def test_keys_that_cannot_be_read_are_refused(tmp_path, old, new, message):
    with pytest.raises(FormatError, match=message):
        read_text(tmp_path, frame().replace(old, new))


def test_byte_order_marks_are_no_error_anywhere(tmp_path):
    mark = "\ufeff"
    assert len(read_text(tmp_path, mark + frame())[0]) == 1
    assert len(read_text(tmp_path, frame().encode("utf-16"))[0]) == 1
    assert len(read_text(tmp_path, mark + N2P2, "input.data", units="eV Angstrom")[0]) == 8
    assert len(read_text(tmp_path, mark + DUMP, "md.dump")[0]) == 2
    assert len(read_text(tmp_path, mark + (case("06") / "vasprun.xml").read_text(), "vasprun.xml")[0]) == 2
    poscar = "O2\n1.0\n8 0 0\n0 8 0\n0 0 8\nO\n2\nCartesian\n0 0 0\n0 0 1.2\n"
    assert len(read_text(tmp_path, mark + poscar, "POSCAR")[0]) == 1
    (tmp_path / "t.in").write_text(mark + "TRAININGSET a.train\nITERATIONS 3\n", encoding="utf-8")
    assert recognise(tmp_path / "t.in") is FileKind.TRAIN_INPUT


# --- 5. convergence ----------------------------------------------------------------------------

VASPRUN = (case("06") / "vasprun.xml").read_text()


def outcar(steps: list[int], nelm: int, said: str) -> str:
    """The lines of an OUTCAR that matter, for cycles of so many steps."""
    lines = [f"   NELM   =    {nelm:3d};   NELMIN=  2; NELMDL= -5     # of ELM steps"]
    for ion, n in enumerate(steps, start=1):
        lines += [f"------- Iteration {ion:6d}({step:4d})  ---" for step in range(1, n + 1)]
        lines += [said, "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("vasp-out", outcar([5, 12, 60], 60, "aborting loop because EDIFF is reached"), [True, True, False]),
        ("vasp-out", outcar([40, 3], 40, "aborting loop EDIFF was not reached (unconverged)"), [False, True]),
        ("vasp-xml", VASPRUN, [False, True]),
        ("vasp-xml", VASPRUN.replace(">5<", ">6<"), [True, True]),
        ("espresso-out", "convergence has been achieved in 8\n convergence NOT achieved after 99\n", [True, False]),
        ("gpaw-out", "Converged after 20 iterations.\nDid not converge!\n", [True, False]),
        ("castep-castep", "Final energy\n system has not reached the groundstate\nFinal energy\n", [True, False]),
        ("cif", "convergence NOT achieved", []),
    ],
)  # fmt: skip
def test_marks_of_convergence(tmp_path, kind, text, expected):
    from taylorfit.formats.structures.convergence import scf_converged

    (tmp_path / "out").write_text(text)
    assert scf_converged(str(tmp_path / "out"), kind) == expected


def test_unconverged_frames_are_a_finding_and_can_be_left_out(tmp_path):
    structures, _ = read_text(tmp_path, VASPRUN, "vasprun.xml")
    assert [s.converged for s in structures] == [False, True]
    assert check(structures).of_kind("unconverged") == (0,)
    with pytest.warns(DataWarning, match="1 of 2 structures were not converged"):
        assert len(tfit.read(tmp_path / "vasprun.xml", drop="unconverged")) == 1
    for keys, converged in (
        ("converged=F", False),
        ("scf_converged=False", False),
        ("converged=T", True),
        ("x=F", True),
    ):
        assert read_text(tmp_path, frame(f"energy=-1 {keys}"))[0][0].converged == converged


# --- 8. unreadable and foreign files, files under other names ----------------------------------

FOREIGN = {
    "VASP ML_AB": " 1.0 Version\n**********\n     The number of configurations\n",
    "MTP cfg": "BEGIN_CFG\n Size\n 2\n",
    "CP2K output": " DBCSR| CPU Multiplication driver                                           BLAS\n",
    "SIESTA output": "Siesta Version  : 4.1.5\n                           *  WELCOME TO SIESTA  *\n",
    "ABACUS log": "                  Atomic-orbital Based Ab-initio Computation at UStc\n",
    "LAMMPS log": "LAMMPS (2 Aug 2023)\nunits metal\n",
    "NumPy": np.arange(3).tobytes(),
}


@pytest.mark.parametrize(("name", "text"), FOREIGN.items(), ids=FOREIGN)
def test_foreign_formats_are_named_with_a_way(tmp_path, name, text):
    content = b"\x93NUMPY\x01\x00" + text if isinstance(text, bytes) else text.encode()
    (tmp_path / "out.log").write_bytes(content)
    assert name in identify(str(tmp_path / "out.log")).name
    with pytest.raises(InputError, match=f"{re.escape(name)}.*neither taylorfit nor ASE reads it.*expected"):
        read_text(tmp_path, content, "out.log")
    assert recognise(tmp_path / "out.log") is FileKind.STRUCTURES


def test_what_we_read_is_not_foreign(tmp_path):
    for number in ("01", "02", "03", "06", "07"):
        for path in case(number).rglob("*.*"):
            if path.suffix in (".dump", ".data", ".xyz", ".xml", ".xsf"):
                assert identify(str(path)) is None, path
    assert len({known.name for known in FORMATS}) == len(FORMATS)


def test_unreadable_files_are_left_out_on_request_with_their_reasons(tmp_path):
    (tmp_path / "a.xyz").write_text(frame())
    (tmp_path / "b.xyz").write_text(frame()[:60])
    (tmp_path / "c.xsf").write_text("hello\n")
    told: list[str] = []
    with pytest.raises(FormatError):
        read_files([str(tmp_path / "*")])
    assert len(read_files([str(tmp_path / "*")], drop=["unreadable"], tell=told.append)) == 1
    assert sum("unreadable, left out: " in line for line in told) == 2 and "c.xsf: no atoms" in "".join(told)
    assert told[-1] == "2 of 3 files were unreadable and are left out"
    with pytest.raises(InputError, match="no structures are left"):
        read_files([str(tmp_path / "b.xyz")], drop=["unreadable"])


def test_the_vasprun_beside_a_damaged_outcar_is_suggested(tmp_path):
    for name in ("OUTCAR", "OUTCAR.static"):
        (tmp_path / name.replace("OUTCAR", "vasprun.xml")).write_text(VASPRUN)
        with pytest.raises(FormatError, match=f"try .*vasprun.xml{name[6:]} beside it"):
            read_text(tmp_path, " vasp.5.4.4.18Apr17\n executed on LinuxIFC date\n", name)


@pytest.mark.parametrize(
    ("text", "name", "n"),
    [
        (VASPRUN, "run01.xml", 2),
        (VASPRUN, "vasprun.xml.old", 2),
        (N2P2, "train.input.data.old", 8),
        (N2P2, "x.data", 8),
        (frame() * 3, "train.dat", 3),
        (DUMP, "traj.txt", 2),
        ("# total energy = 1 eV\n\nATOMS\nH 0 0 0\n", "a.data", 1),
    ],
)
def test_renamed_files_are_recognised_by_content(tmp_path, text, name, n):
    assert len(read_text(tmp_path, text, name, units="eV Angstrom")[0]) == n
    assert recognise(tmp_path / name) in (FileKind.STRUCTURES, FileKind.XSF)


@pytest.mark.parametrize(
    "log",
    [
        "LAMMPS log\nensemble\nTimestep 1\nPOTENTIALS: 2\nTIMESTEP 0.5\nENSEMBLE nvt\n",
        "Starting run\nTIMESTEP 1\n",
        "epoch 1\nITERATIONS done\n",
    ],
)
def test_logs_are_no_input_files(tmp_path, log):
    (tmp_path / "log").write_text(log)
    assert recognise(tmp_path / "log") is FileKind.STRUCTURES


def test_the_words_that_begin_input_files_are_those_of_the_settings():
    from taylorfit.formats.recognise import FIRST_WORDS

    keywords = {key for cls in (GenerateInput, TrainInput, PredictInput, MdInput) for key in options_of(cls)}
    assert keywords <= FIRST_WORDS


# --- 9. isolated atoms -------------------------------------------------------------------------


def atom(symbol: str, energy: float, **more: object) -> Structure:
    return Structure((symbol,), np.zeros((1, 3)), energy=energy, forces=np.zeros((1, 3)), **more)


def test_isolated_atoms_are_told_from_crystals():
    assert atom("H", -1.0).is_isolated_atom
    assert atom("H", -1.0, cell=12.0 * np.eye(3), pbc=(True,) * 3).is_isolated_atom
    assert atom("H", -1.0, cell=6.0 * np.eye(3), pbc=(True,) * 3, config_type="IsolatedAtom").is_isolated_atom
    fcc = 1.8 * (1.0 - np.eye(3))
    assert not atom("Cu", -3.7, cell=fcc, pbc=(True,) * 3).is_isolated_atom
    skewed = np.array([[20.0, 0, 0], [19.0, 3.0, 0], [0, 0, 20.0]])
    assert not atom("Cu", -3.7, cell=skewed, pbc=(True,) * 3).is_isolated_atom
    assert not Structure(("H", "H"), np.eye(2, 3)).is_isolated_atom


def test_isolated_atoms_give_the_atomic_energies():
    from taylorfit.data.survey import fit_atomic_energies

    water = [Structure(("H", "H", "O"), np.eye(3), energy=-16.0 - 0.01 * k) for k in range(3)]
    found = fit_atomic_energies([atom("O", -2.0), atom("H", -1.1), *water], ("H", "O"))
    assert found.energies == {"H": -1.1, "O": -2.0} and found.determined and found.isolated == ("H", "O")
    found = fit_atomic_energies([atom("O", -2.0), *water], ("H", "O"))
    assert found.energies["O"] == -2.0 and found.energies["H"] == pytest.approx(-7.005) and found.determined
    # Of several the lowest; the crystal with one atom is none of them
    crystal_ = atom("H", -9.0, cell=3.0 * np.eye(3), pbc=(True,) * 3)
    found = fit_atomic_energies([atom("H", -1.0), atom("H", -1.1), crystal_], ("H",))
    assert found.energies == {"H": -1.1}
    setup = tfit.propose(list(read_structures(case("14") / "w.xyz")))
    assert setup.atomic_energies == {"H": -1.1, "O": -2.0}


def test_weights_count_in_the_fit_of_atomic_energies():
    from taylorfit.data.survey import fit_atomic_energies

    good = [Structure(("H",) * n, np.arange(3.0 * n).reshape(n, 3), energy=-2.0 * n) for n in (2, 3, 4)]
    bad = [replace(good[0], energy=500.0, weight=w) for w in (0.0, 1e-12)]
    assert fit_atomic_energies([*good, *bad], ("H",)).energies["H"] == pytest.approx(-2.0, abs=1e-9)
    assert fit_atomic_energies([*good, *bad], ("H",)).rmse < 1e-3
