"""`select`: farthest points are those of a plain program, deviations those of the calculator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cli_support import report, run
from taylorfit import Calculator, Exact, Structure, engine, predict, select, train_committee
from taylorfit.errors import EngineError, InputError
from taylorfit.formats.structures.extxyz import write_extxyz


def plain_farthest(points: np.ndarray, given: np.ndarray, n: int, weights: np.ndarray) -> tuple[list[int], list[float]]:
    chosen: list[int] = []
    found: list[float] = []
    for _ in range(n):
        there = np.concatenate([given, points[chosen]])
        nearest = ((points[:, None] - there[None]) ** 2).sum(axis=2).min(axis=1)
        score = np.where(np.isin(np.arange(len(points)), chosen), -1.0, weights * nearest)
        chosen.append(int(score.argmax()))
        found.append(float(np.sqrt(nearest[chosen[-1]])))
    return chosen, found


@pytest.mark.parametrize(("n", "d", "n_given"), [(1, 1, 1), (40, 3, 1), (700, 13, 30)])
def test_farthest_points_are_those_of_a_plain_program(n: int, d: int, n_given: int) -> None:
    rng = np.random.default_rng(n)
    points, given, weights = rng.normal(size=(n, d)), rng.normal(size=(n_given, d)), rng.uniform(size=n)
    wanted = plain_farthest(points, given, min(n, 25), weights)
    for threads in (1, 3):
        chosen, distances = engine.farthest_points(points, given, min(n, 25), weights, threads)
        assert chosen.tolist() == wanted[0]
        np.testing.assert_allclose(distances, wanted[1], rtol=1e-12)


def test_equal_points_are_taken_in_their_order_and_bad_arrays_refused() -> None:
    points = np.zeros((5, 2))
    assert engine.farthest_points(points, points[:1], 5, np.ones(5), 2)[0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(EngineError, match="do not match"):
        engine.farthest_points(points, points[:0], 2, np.ones(5), 1)


def dimers(distances: np.ndarray) -> list[Structure]:
    def dimer(r: float) -> Structure:
        forces = 8.0 * (r - 0.74) * np.array([[0, 0, 1.0], [0, 0, -1.0]])
        return Structure(("H", "H"), [[0, 0, 0], [0, 0, r]], energy=4.0 * (r - 0.74) ** 2 - 6.7, forces=forces)

    return [dimer(float(r)) for r in distances]


def test_a_committee_chooses_what_it_does_not_know(tmp_path: Path) -> None:
    data = dimers(np.linspace(0.7, 0.8, 12))
    fit = train_committee(data, members=3, forces=Exact(1e-2), networks=[(5, "tanh")], epochs=40)
    fit.save(tmp_path / "committee")
    pool = dimers(np.concatenate([np.linspace(0.7, 0.8, 9), [1.0, 1.01, 1.3]]))
    found = select(pool, 3, by="deviation", committee=tmp_path / "committee")
    calculator = Calculator.committee(tmp_path / "committee", on_extrapolation="ignore")
    wanted = []
    for structure in pool:
        atoms = structure.to_ase()
        atoms.calc = calculator
        atoms.get_forces()
        wanted.append(calculator.results["forces_std"].max())
    np.testing.assert_allclose(found.deviations, wanted, rtol=1e-9)
    assert found.places == tuple(np.argsort(wanted)[::-1][:3])
    both = select(pool, 2, committee=list(fit.potentials), existing=data)
    assert set(both.places) <= {9, 10, 11} and len(set(both.places) & {9, 10}) <= 1
    low, high = sorted(wanted)[3] * (1.0 - 1e-9), sorted(wanted)[-2] * (1.0 + 1e-9)
    limits = select(pool, 99, by="deviation", committee=list(fit.potentials), low=low, high=high)
    assert (len(limits.places), limits.n_known, limits.n_beyond) == (8, 3, 1)
    # and as a command, which leaves the labels of a reference where they are
    write_extxyz(tmp_path / "pool.extxyz", pool)
    told = report(tmp_path, "select", "pool.extxyz", "-n", "2", "--committee", "committee", "--output", "new.extxyz")
    assert [one["place"] for one in told["chosen"]] == list(select(pool, 2, committee=list(fit.potentials)).places)
    assert predict(fit.best.potential, pool).errors is not None
    assert "energy=" in (tmp_path / "new.extxyz").read_text()
    assert "exists" in run(tmp_path, "select", "pool.extxyz", "-n", "2", "--output", "new.extxyz").complaint


def test_a_data_set_is_thinned_evenly_and_the_same_for_any_threads() -> None:
    pool = dimers(np.concatenate([np.linspace(0.70, 0.71, 50), np.linspace(0.72, 1.0, 8)]))
    found = [select(pool, 8, threads=threads) for threads in (1, 2)]
    assert found[0].places == found[1].places
    assert sum(place >= 50 for place in found[0].places) >= 6
    assert np.all(np.diff(found[0].distances) < 1e-9)
    assert len(select(pool, 1000).places) == 58


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "deviation"}, "no committee"),
        ({"low": 0.1}, "no committee"),
        ({"by": "luck"}, "unknown by"),
        ({"n": 0}, "n out of range|too"),
        ({"low": 0.3, "high": 0.2}, "no deviation"),
    ],
)
def test_bad_arguments_are_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select(dimers(np.array([0.7, 0.8])), **{"n": 1} | options)
