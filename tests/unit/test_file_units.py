"""Units that files state, and absolute scales that tell wrong ones."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from file_cases import DUMP, N2P2, frame, read_text
from taylorfit.data.check import check
from taylorfit.errors import FormatError, InputError
from taylorfit.model.distances import typical_bond
from taylorfit.model.structure import Structure
from taylorfit.model.units import BOHR, HARTREE, RYDBERG, first_energy_unit, is_per_atom, unit, unit_system

KCAL = 4184.0 / 6.02214076e23 / 1.602176634e-19


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


@pytest.mark.parametrize(
    ("units", "force", "length"),
    [("metal", 1.0, 1.0), ("real", KCAL, 1.0), ("electron", HARTREE / BOHR, BOHR), ("lj", None, 1.0)],
)
def test_units_that_files_of_lammps_state(tmp_path, units, force, length):
    dump = f"ITEM: UNITS\n{units}\n{DUMP}"
    data = f"LAMMPS data file via write_data, timestep = 0, units = {units}\n\n1 atoms\n1 atom types\n\n" + "".join(
        f"0 8 {axis}lo {axis}hi\n" for axis in "xyz"
    )
    data += "\nMasses\n\n1 15.999\n\nAtoms # atomic\n\n1 1 1 2 3\n"
    if force is None:
        for text, name in ((dump, "md.dump"), (data, "a.data")):
            with pytest.raises(FormatError, match="unknown units: found 'units=lj'"):
                read_text(tmp_path, text, name)
        return
    structures, told = read_text(tmp_path, dump, "md.dump")
    np.testing.assert_allclose(structures[0].forces[0, 0], -1.410692 * force)
    assert any("as the file says" in line for line in told) == (units != "metal")
    (structure,), _ = read_text(tmp_path, data, "a.data")
    assert structure.symbols == ("O",) and structure.forces is None
    np.testing.assert_allclose(structure.positions[0], [length, 2 * length, 3 * length])


def test_a_unit_cell_is_no_unit(tmp_path):
    pytest.importorskip("ase").Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=[5.6] * 3, pbc=True).write(
        tmp_path / "a.cif"
    )
    (structure,), _ = read_text(tmp_path, (tmp_path / "a.cif").read_text(), "b.cif")
    assert structure.symbols == ("Na", "Cl") and structure.cell[0, 0] == 5.6


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
    data[3] = replace(data[3], energy=-40.0 * HARTREE)
    assert check(data).of_kind("energy-outlier") == (3,)
