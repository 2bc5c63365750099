"""Symmetry functions against numbers computed by the real ænet: values, derivatives, energies, forces."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine_reference import descriptor_derivative
from golden_files import rows_of, structures_of, tables_of
from taylorfit import engine
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import read_xsf

SPECIES = ("Ti", "O")


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    """Folder of the golden set."""
    return shared / "golden" / "behler"


def test_descriptors_equal_those_of_the_training_set(golden: Path) -> None:
    reference = read_trainset(golden / "behler.train")
    structures = [read_xsf(golden / name) for name in reference.names]
    assert len(structures) == reference.n_structures == 8
    for s, (values, _) in enumerate(engine.describe(structures, tables_of(golden, SPECIES))):
        a, b = reference.first_atom[s], reference.first_atom[s + 1]
        first = reference.first_value[a : b + 1]
        for start, end in pairwise(first):
            expected = reference.descriptors[start:end]
            difference = values[0, start - first[0] : end - first[0]] - expected
            assert np.abs(difference).max() <= 1.0e-12 * np.abs(expected).max(), reference.names[s]


def test_energies_and_forces_equal_those_of_predict(golden: Path) -> None:
    structures = structures_of(golden)
    potential = engine.PotentialTables.from_potentials([read_potential(golden / f"{s}.nn") for s in SPECIES])
    results = engine.evaluate(structures, potential)
    totals = np.array([float(row[4]) for row in rows_of(golden / "energies.txt")])
    # Near the double limit for totals of 5e4 eV
    assert np.abs([result.energy for result in results] - totals).max() <= 1.0e-8
    rows = rows_of(golden / "forces.txt")
    atomic = np.concatenate([result.atomic_energies for result in results])
    forces = np.concatenate([result.forces for result in results])
    assert len(rows) == len(atomic) > 0
    assert np.abs(atomic - [float(row[9]) for row in rows]).max() <= 1.0e-9
    assert np.abs(forces - np.array([row[6:9] for row in rows], dtype=float)).max() <= 1.0e-9


def test_potential_carries_the_functions_of_its_setup_file(golden: Path) -> None:
    for symbol in SPECIES:
        setup, trained = read_setup(golden / f"{symbol}.fingerprint.stp"), read_potential(golden / f"{symbol}.nn").setup
        np.testing.assert_array_equal(setup.function, trained.function)
        np.testing.assert_array_equal(setup.parameters, trained.parameters)
        np.testing.assert_array_equal(setup.neighbours, trained.neighbours)


def test_analytic_derivatives_equal_those_of_aenet(shared: Path) -> None:
    directory = shared / "golden" / "derivs" / "behler"
    reference = np.load(directory / "derivatives.npz")
    keys = sorted(key.removesuffix("_dGi").split("_") for key in reference.files if key.endswith("_dGi"))
    numbers = [(int(s[1:]), int(a[1:])) for s, a in keys]
    first_structure, first_atom = min(s for s, _ in numbers), min(a for _, a in numbers)
    lines = (directory / "descriptors.txt").read_text().splitlines()
    names = [
        line.split(" file ")[1].split()[0] for line in lines if line.startswith("# structure ") and " file " in line
    ]
    tables = tables_of(directory, SPECIES)
    structures = [read_xsf(directory / name) for name in names]
    assert sum(structure.n_atoms for structure in structures) == len(numbers) > 0
    for s, a in numbers:
        structure = structures[s - first_structure]
        own, images, index = (reference[f"s{s}_a{a}_{part}"] for part in ("dGi", "dGj", "nblist"))
        expected = np.zeros((own.shape[0], structure.n_atoms, 3))
        np.add.at(expected.transpose(1, 0, 2), index - 1, images)
        expected[:, a - first_atom] += own
        ours = descriptor_derivative(structure, tables, a - first_atom, np.eye(len(own)))
        assert np.abs(ours - expected).max() <= 1.0e-12 * max(1.0, np.abs(expected).max()), (structure.name, a)
