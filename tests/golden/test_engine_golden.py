"""The engine against numbers computed by the real ænet: descriptors, their derivatives, energies, forces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from engine_reference import descriptor_derivative, split_values
from golden_files import rows_of, structures_of, tables_of
from taylorfit import Calculator, engine
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import read_xsf

LOCAL = Path(__file__).parents[1] / "data" / "golden"


@dataclass(frozen=True)
class Case:
    """One golden set: where it is, its training set if it has one, tolerance of the total energies (eV)."""

    folder: str
    species: tuple[str, ...]
    trainset: str | None
    energy_tolerance: float = 1.0e-9
    local: bool = False

    def directory(self, request: pytest.FixtureRequest) -> Path:
        return LOCAL / self.folder if self.local else request.getfixturevalue("shared") / "golden" / self.folder


CASES = (
    Case("mono", ("Si",), "mono.train", local=True),
    Case("cluster/four_species", ("C", "H", "N", "O"), "mol.train", local=True),
    Case("cluster/tio2_nets", ("Ti", "O"), "cluster.train", 1.0e-8, local=True),
    Case("tio2/A_published_nets", ("Ti", "O"), None, 1.0e-8),
    Case("tio2/B_own_nets", ("Ti", "O"), "tio2.train", 1.0e-8),
    Case("lmnto", ("Li", "Mo", "Ni", "Ti", "O"), "lmnto.train"),
    Case("run", ("Ti", "O"), "small.train", 1.0e-8),
)
EVALUATED = tuple(case for case in CASES if case.folder != "run")  # a training run: no forces beside it
WITH_TRAINSET = tuple(case for case in CASES if case.trainset)


def _id(case: Case) -> str:
    return case.folder


@pytest.mark.parametrize("case", WITH_TRAINSET, ids=_id)
def test_descriptors_equal_those_of_the_training_set(case: Case, request: pytest.FixtureRequest) -> None:
    directory = case.directory(request)
    reference = read_trainset(directory / case.trainset)
    assert set(reference.species) == set(case.species)
    tables = tables_of(directory, reference.species)
    structures = [read_xsf(directory / name) for name in reference.names]
    assert len(structures) == reference.n_structures > 0
    for s, (values, _) in enumerate(engine.describe(structures, tables)):
        a, b = reference.first_atom[s], reference.first_atom[s + 1]
        expected = reference.descriptors[reference.first_value[a] : reference.first_value[b]]
        assert values.shape == (1, len(expected))
        assert np.abs(values[0] - expected).max() <= 1.0e-12 * np.abs(expected).max(), reference.names[s]


@pytest.mark.parametrize("case", EVALUATED, ids=_id)
def test_descriptors_equal_those_printed_atom_by_atom(case: Case, request: pytest.FixtureRequest) -> None:
    directory = case.directory(request)
    structures = structures_of(directory)
    tables = tables_of(directory, case.species)
    ours = [
        split_values(values[0], structure, tables)
        for structure, (values, _) in zip(structures, engine.describe(structures, tables))
    ]
    rows = rows_of(directory / "descriptors.txt")
    assert len(rows) == sum(structure.n_atoms for structure in structures)
    for row in rows:
        s, a = int(row[0]) - 1, int(row[1]) - 1
        expected = np.array(row[4:], dtype=float)
        assert structures[s].symbols[a] == row[2]
        assert len(expected) == int(row[3]) == len(ours[s][a])
        # An atom without neighbours has only zeros
        assert np.abs(ours[s][a] - expected).max() <= 1.0e-12 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("case", EVALUATED, ids=_id)
def test_energies_and_forces_equal_those_of_predict(case: Case, request: pytest.FixtureRequest) -> None:
    directory = case.directory(request)
    structures = structures_of(directory)
    potential = engine.PotentialTables.from_potentials([read_potential(directory / f"{s}.nn") for s in case.species])
    results = engine.evaluate(structures, potential)
    totals = np.array([float(row[4]) for row in rows_of(directory / "energies.txt")])
    assert np.abs([result.energy for result in results] - totals).max() <= case.energy_tolerance
    rows = rows_of(directory / "forces.txt")
    atomic = np.concatenate([result.atomic_energies for result in results])
    forces = np.concatenate([result.forces for result in results])
    assert len(rows) == len(atomic)
    assert np.abs(atomic - [float(row[9]) for row in rows]).max() <= 1.0e-9
    assert np.abs(forces - np.array([row[6:9] for row in rows], dtype=float)).max() <= 1.0e-9


@pytest.mark.parametrize("ending", ["nn", "nn.ascii"])
@pytest.mark.parametrize("case", EVALUATED, ids=_id)
def test_calculator_gives_the_same_from_binary_and_text_potentials(
    case: Case, ending: str, request: pytest.FixtureRequest
) -> None:
    directory = case.directory(request)
    files = {symbol: directory / f"{symbol}.{ending}" for symbol in case.species}
    if not all(file.exists() for file in files.values()):
        pytest.skip(f"no potentials of this kind in {directory.name}")
    rows = np.array([row[6:10] for row in rows_of(directory / "forces.txt")], dtype=float)
    calculator, start = Calculator(files, on_extrapolation="ignore"), 0
    for structure, row in zip(structures_of(directory), rows_of(directory / "energies.txt")):
        atoms = Atoms(
            structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc, calculator=calculator
        )
        own = rows[start : start + len(atoms)]
        start += len(atoms)
        assert np.abs(atoms.get_forces() - own[:, :3]).max() <= 1.0e-9
        assert np.abs(atoms.get_potential_energies() - own[:, 3]).max() <= 1.0e-9
        assert abs(atoms.get_potential_energy() - float(row[4])) <= case.energy_tolerance
    assert start == len(rows)


@pytest.mark.parametrize("case", EVALUATED, ids=_id)
def test_energies_without_forces_are_the_same(case: Case, request: pytest.FixtureRequest) -> None:
    directory = case.directory(request)
    structures = structures_of(directory)
    potential = engine.PotentialTables.from_potentials([read_potential(directory / f"{s}.nn") for s in case.species])
    with_forces = engine.evaluate(structures, potential)
    without = engine.evaluate(structures, potential, forces=False)
    for one, other in zip(with_forces, without):
        np.testing.assert_array_equal(one.atomic_energies, other.atomic_energies)
        assert other.forces is None and other.strain_derivative is None


def test_analytic_descriptor_derivatives_equal_those_of_aenet(shared: Path) -> None:
    directory = shared / "golden" / "derivs" / "chebyshev"
    reference = np.load(directory / "derivatives.npz")
    species = ("Ti", "O")
    tables = tables_of(directory, species)
    names = ("structure1218.xsf", "cluster03.xsf", "cluster01_dimer.xsf")
    atoms_seen = 0
    for s, name in enumerate(names, start=_first_structure(reference)):
        structure = read_xsf(directory / "xsf" / name)
        for a in range(structure.n_atoms):
            key = f"s{s}_a{a + _first_atom(reference)}"
            own, images, index = (reference[f"{key}_{part}"] for part in ("dGi", "dGj", "nblist"))
            expected = np.zeros((own.shape[0], structure.n_atoms, 3))
            np.add.at(expected.transpose(1, 0, 2), index - 1, images)
            expected[:, a] += own
            ours = descriptor_derivative(structure, tables, a, np.eye(len(own)))
            assert np.abs(ours - expected).max() <= 1.0e-12 * np.abs(images).max(), (name, a)
            atoms_seen += 1
    assert atoms_seen == sum(key.endswith("_dGi") for key in reference.files) > 0


def _first_structure(reference: np.lib.npyio.NpzFile) -> int:
    return min(int(key[1:].split("_")[0]) for key in reference.files if key.endswith("_dGi"))


def _first_atom(reference: np.lib.npyio.NpzFile) -> int:
    return min(int(key.split("_")[1][1:]) for key in reference.files if key.endswith("_dGi"))
