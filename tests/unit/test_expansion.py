"""Taylor energies: golden numbers of the paper's dimer and the order of the error."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import InputError
from taylorfit.taylor.displacements import CartesianDisplacements, RandomDisplacements
from taylorfit.taylor.expansion import taylor_energies
from taylorfit.taylor.selection import AtomSelection

GOLDEN = Path(__file__).parents[1] / "data" / "lj-dimer" / "golden.csv"
EPS, R0 = 3.607, 1.54  # eV, Å


def lennard_jones(positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of a cluster, eq. 12 of the paper."""
    difference = positions[:, None] - positions
    square = (difference**2).sum(axis=2) + np.eye(len(positions))
    sixth = (R0**2 / square) ** 3 * (1.0 - np.eye(len(positions)))
    energy = 0.5 * EPS * (sixth**2 - 2.0 * sixth).sum()
    return energy, (12.0 * EPS * ((sixth**2 - sixth) / square)[:, :, None] * difference).sum(axis=1)


def golden_rows() -> list[dict[str, float]]:
    with open(GOLDEN, newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("row", golden_rows(), ids=lambda row: f"r={row['r']:.3f}")
@pytest.mark.parametrize("split", [0.0, 0.5, 1.0])
def test_dimer_energies_match_the_golden_numbers(row, split):
    forces = np.array([[-row["F"], 0.0, 0.0], [row["F"], 0.0, 0.0]])
    stretch = np.array([-0.02, 0.02])
    displacements = np.zeros((2, 2, 3))
    displacements[:, 0, 0] = -split * stretch  # the bond changes by the same amount whoever moves
    displacements[:, 1, 0] = (1.0 - split) * stretch
    energies = taylor_energies(row["V"], forces, displacements)
    assert energies == pytest.approx([row["T_minus"], row["T_plus"]], rel=0, abs=1e-10)


def test_strategy_a_contains_the_dimer_of_the_paper():
    row = golden_rows()[0]
    forces = np.array([[-row["F"], 0.0, 0.0], [row["F"], 0.0, 0.0]])
    plan = CartesianDisplacements(0.02, n_copies=12).plan([AtomSelection(("A", "A"), np.array([True, True]))])
    energies = taylor_energies(row["V"], forces, plan.displacements(0))
    expected = [row["T_minus"], row["T_plus"], *[row["V"]] * 4, row["T_plus"], row["T_minus"], *[row["V"]] * 4]
    assert energies == pytest.approx(expected, rel=0, abs=1e-10)


@pytest.fixture(scope="module")
def cluster() -> np.ndarray:
    grid = 1.6 * np.stack(np.meshgrid(*[np.arange(2.0)] * 3), axis=-1).reshape(-1, 3)
    return grid + np.random.default_rng(3).normal(0.0, 0.05, grid.shape)


def test_lennard_jones_forces_are_the_gradient(cluster):
    _, forces = lennard_jones(cluster)
    step = np.zeros_like(cluster)
    step[2, 1] = 1e-5
    slope = (lennard_jones(cluster + step)[0] - lennard_jones(cluster - step)[0]) / 2e-5
    assert -slope == pytest.approx(forces[2, 1], rel=1e-7)


@pytest.mark.parametrize("strategy", [CartesianDisplacements, RandomDisplacements])
def test_taylor_energy_error_is_second_order_in_delta(cluster, strategy):
    energy, forces = lennard_jones(cluster)
    selection = AtomSelection(("A",) * len(cluster), np.ones(len(cluster), dtype=bool))
    errors = []
    for delta in (4e-4, 2e-4, 1e-4):
        displacements = strategy(delta, n_copies=48).plan([selection]).displacements(0)
        exact = np.array([lennard_jones(cluster + d)[0] for d in displacements])
        errors.append(exact - taylor_energies(energy, forces, displacements))
    for coarse, fine in pairwise(errors):
        assert np.sqrt((coarse**2).mean() / (fine**2).mean()) == pytest.approx(4.0, rel=0.01)


def test_large_energies_keep_the_small_terms():
    generator = np.random.default_rng(0)
    forces, displacements = generator.normal(size=(200, 3)), generator.normal(scale=0.01, size=(5, 200, 3))
    small = taylor_energies(0.0, forces, displacements)
    large = taylor_energies(-3.0e5, forces, displacements)
    assert np.abs(large + 3.0e5 - small).max() <= 0.5 * np.spacing(3.0e5)


def test_a_copy_does_not_depend_on_the_others():
    generator = np.random.default_rng(0)
    forces, displacements = generator.normal(size=(57, 3)), generator.normal(scale=0.01, size=(9, 57, 3))
    together = taylor_energies(-12.3, forces, displacements)
    alone = [taylor_energies(-12.3, forces, displacements[c : c + 1])[0] for c in range(9)]
    assert together.tolist() == alone


def test_no_copies_give_no_energies():
    assert taylor_energies(-1.0, np.zeros((4, 3)), np.zeros((0, 4, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("energy", "forces", "displacements", "words"),
    [
        (0.0, np.zeros(3), np.zeros((1, 1, 3)), "forces have shape"),
        (0.0, np.zeros((2, 3)), np.zeros((1, 3, 3)), "displacements have shape"),
        (0.0, np.zeros((2, 3)), np.zeros((2, 3)), "displacements have shape"),
        (np.nan, np.zeros((2, 3)), np.zeros((1, 2, 3)), "not a finite"),
        (0.0, np.full((2, 3), np.inf), np.zeros((1, 2, 3)), "not a finite"),
    ],
)
def test_impossible_input_is_refused(energy, forces, displacements, words):
    with pytest.raises(InputError, match=words):
        taylor_energies(energy, forces, displacements)
