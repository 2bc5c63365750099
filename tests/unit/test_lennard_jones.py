"""The Lennard-Jones dimer against the golden numbers and finite differences."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from taylorfit.analysis.lennard_jones import DISPLACEMENT, POINTS, LennardJones

GOLDEN = Path(__file__).parents[1] / "data" / "lj-dimer" / "golden.csv"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Columns of the golden numbers."""
    with open(GOLDEN, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


def test_golden_energies_forces_and_taylor_points(golden: dict[str, np.ndarray]) -> None:
    dimer = LennardJones()
    np.testing.assert_allclose(POINTS, golden["r"], rtol=1e-14)
    np.testing.assert_allclose(dimer.energy(golden["r"]), golden["V"], rtol=1e-12)
    np.testing.assert_allclose(dimer.force(golden["r"]), golden["F"], rtol=1e-12)
    distances, energies = dimer.taylor_points(np.array(POINTS))
    np.testing.assert_allclose(energies[0::2], golden["T_minus"], atol=1e-10)
    np.testing.assert_allclose(energies[1::2], golden["T_plus"], atol=1e-10)
    np.testing.assert_allclose(distances[1::2] - distances[0::2], 2 * DISPLACEMENT)


def test_minimum_and_structure() -> None:
    dimer = LennardJones(epsilon=2.0, r0=3.0)
    assert dimer.energy(3.0) == pytest.approx(-2.0) and dimer.force(3.0) == pytest.approx(0.0, abs=1e-12)
    step = 1e-6
    slope = (dimer.energy(3.4 + step) - dimer.energy(3.4 - step)) / (2 * step)
    assert dimer.force(3.4) == pytest.approx(-slope, rel=1e-8)
    structure = dimer.dimer(2.5, "Ar", atomic_energy=-10.0)
    assert structure.energy == pytest.approx(dimer.energy(2.5) - 20.0)
    assert structure.forces[1, 0] == dimer.force(2.5) > 0 and not structure.forces.sum()
