"""Many runs in one evaluation: paths as ASE's, ensembles as statistics says, and each run by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.md.verlet import VelocityVerlet

from taylorfit import Calculator, Exact, Exploration, Structure, label, train_committee
from taylorfit.engine import PotentialTables
from taylorfit.learning import explore
from taylorfit.learning.explore import COLLAPSED, HELD, LEFT, committee_evaluator, new_walks, run_walks
from taylorfit.potential.potential import load_members
from taylorfit.settings.extrapolation import ExtrapolationPolicy

EMT = "ase.calculators.emt:EMT"


def clusters(n: int, width: float) -> list[Structure]:
    """Copper clusters of four atoms."""
    rng = np.random.default_rng(3)
    corners = 1.75 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]]) / np.sqrt(2.0)
    return [Structure(("Cu",) * 4, corners + width * rng.standard_normal((4, 3))) for _ in range(n)]


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three members for the clusters."""
    data = label(clusters(30, 0.12), EMT, processes=1).structures
    fit = train_committee(data, members=3, forces=Exact(1e-2), networks=[(6, "tanh")], epochs=80, threads=2)
    folder = tmp_path_factory.mktemp("committee")
    fit.save(folder)
    return folder


def free_of_limits(deviation: float) -> ExtrapolationPolicy:
    """Only a deviation, eV/Å, ends runs; atoms may come as close as they will."""
    return ExtrapolationPolicy(max_force_std=deviation, most_beyond=3.0, shortest={"Ar-Ar": 0.0, "Cu-Cu": 0.0})


def evaluator(committee: Path):
    return committee_evaluator(PotentialTables.from_members([m.parts for m in load_members(committee)]), 1)


def test_a_run_at_constant_energy_is_that_of_ase(committee: Path) -> None:
    exploration = Exploration("e", "nve", temperature=300, starts=2, steps=60, timestep=1.0, sample=20)
    walks = new_walks([exploration], [clusters(2, 0.05)], 1, 1)
    states = explore._Ensemble(walks)  # the velocities that the runs begin with
    begins = [states.velocities[4 * k : 4 * k + 4].copy() for k in range(2)]
    walks = new_walks([exploration], [clusters(2, 0.05)], 1, 1)
    run_walks(walks, evaluator(committee), free_of_limits(1e3))
    for walk, velocities in zip(walks, begins):
        atoms = walk.structure.to_ase()
        atoms.set_velocities(velocities)
        atoms.calc = Calculator.committee(committee, on_extrapolation="ignore")
        VelocityVerlet(atoms, 1.0 * units.fs).run(60)
        np.testing.assert_allclose(walk.frames[-1].positions, atoms.positions, atol=1e-9)
        assert walk.deviations[-1] == pytest.approx(atoms.calc.results["forces_std"].max(), rel=1e-6)
        assert (walk.verdict, walk.time, len(walk.frames)) == (HELD, pytest.approx(0.06), 4)


def test_the_path_of_a_run_does_not_depend_on_its_neighbours_or_their_ends(committee: Path) -> None:
    own = Exploration("own", "nvt", temperature=300, starts=3, steps=40, sample=10)
    short = Exploration("short", "nvt", temperature=300, starts=2, steps=7, sample=10)
    data = clusters(3, 0.05)
    together, alone = new_walks([own, short], [data, data], 1, 1), new_walks([own], [data], 1, 1)
    run_walks(together, evaluator(committee), free_of_limits(1e3))
    run_walks(alone, evaluator(committee), free_of_limits(1e3))
    for one, two in zip(together, alone):
        assert one.deviations == two.deviations
        assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one.frames, two.frames))


def test_runs_end_where_members_differ_or_atoms_collapse(committee: Path) -> None:
    hot = Exploration("hot", "nvt", temperature=3000, starts=4, steps=400, sample=50, timestep=2.0)
    walks = new_walks([hot], [clusters(4, 0.05)], 1, 1)
    run_walks(walks, evaluator(committee), free_of_limits(0.02))
    assert {walk.verdict for walk in walks} <= {LEFT, COLLAPSED}
    for walk in walks:
        if walk.verdict == LEFT:
            assert walk.deviations[-1] > 0.02 and max(walk.deviations[:-1], default=0.0) <= 0.02
    together = Structure(("Cu",) * 4, np.zeros((4, 3)))
    walks = new_walks([hot], [[*clusters(1, 0.05), together]], 1, 1)
    run_walks(walks, evaluator(committee), free_of_limits(1e3))
    assert [w.verdict for w in walks if not w.structure.positions.any()] == [COLLAPSED, COLLAPSED]


def free(structures):
    """Atoms that do not feel each other."""
    n = sum(structure.n_atoms for structure in structures)
    return lambda positions, cells: (np.zeros(len(structures)), np.zeros((2, n, 3)), np.zeros((len(structures), 3, 3)))


def test_thermostat_and_barostat_give_an_ideal_gas() -> None:
    box = Structure(("Ar",) * 4, np.random.default_rng(1).uniform(0, 10, (4, 3)), 10.0 * np.eye(3), (True,) * 3)
    pressure = 4 * units.kB * 300.0 / 1000.0 / units.GPa
    gas = Exploration(
        "gas", "npt", temperature=300, pressure=pressure, starts=60, steps=2000, timestep=10.0, sample=20,
        friction=0.02, barostat=100.0, compressibility=0.05 / pressure,
    )  # fmt: skip
    walks = new_walks([gas], [[box]], 1, 1)
    run_walks(walks, free, free_of_limits(1.0))
    assert all(walk.verdict == HELD for walk in walks)
    volumes = np.array([[frame.volume for frame in walk.frames[30:]] for walk in walks])
    # p(V) ∝ V^N exp(-pV/kT): mean (N + 1) kT/p, standard deviation √(N + 1) kT/p
    error = volumes.mean(axis=1).std() / np.sqrt(len(walks))
    assert volumes.mean() == pytest.approx(1250.0, abs=4.0 * error) and error < 50.0
    assert volumes.std() == pytest.approx(np.sqrt(5.0) * 250.0, rel=0.15)


def test_atoms_that_fall_into_each_other_end_a_run() -> None:
    pair = Structure(("Ar", "Ar"), [[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    gas = Exploration("gas", "nve", temperature=300, starts=12, steps=400, timestep=5.0, sample=10)
    walks = new_walks([gas], [[pair]], 1, 1)
    run_walks(walks, free, replace(free_of_limits(1.0), shortest={"Ar-Ar": 3.5}))
    verdicts = [walk.verdict for walk in walks]
    assert 0 < verdicts.count(COLLAPSED) < 12
    for walk in walks:
        distances = [np.linalg.norm(np.diff(frame.positions, axis=0)) for frame in walk.frames]
        assert min(distances) >= 3.5 and (walk.verdict == HELD) == (walk.steps == 400)


def differing(by: float):
    """Atoms that do not feel each other, of which members differ by so much, eV/Å."""

    def lay_out(structures):
        n = sum(structure.n_atoms for structure in structures)
        members = np.zeros((2, n, 3))
        members[:, :, 0] = [[by], [-by]]
        return lambda positions, cells: (np.zeros(len(structures)), members, np.zeros((len(structures), 3, 3)))

    return lay_out


@pytest.mark.parametrize(("by", "verdict"), [(0.33, HELD), (0.34, LEFT), (1.01, LEFT), (3.01, COLLAPSED)])
def test_a_deviation_that_lasts_ends_a_run_like_a_large_one(by: float, verdict: str) -> None:
    atom = Structure(("Ar",), [[0.0, 0.0, 0.0]])
    walks = new_walks([Exploration("e", "nve", temperature=300, starts=1, steps=100, sample=10)], [[atom]], 1, 1)
    run_walks(walks, differing(by), free_of_limits(1.0))
    (walk,) = walks
    assert walk.verdict == verdict
    n = {HELD: 11, COLLAPSED: 0}.get(verdict, explore.SUSTAINED if by < 1.0 else 1)
    assert len(walk.frames) == n and walk.steps == 10 * max(n - 1, 0)


def test_patient_runs_end_where_a_deviation_lasts() -> None:
    atom = Structure(("Ar",), [[0.0, 0.0, 0.0]])
    for by, frames in ((1.01, explore.SUSTAINED), (3.01, 0)):
        walks = new_walks([Exploration("e", "nve", starts=1, steps=100, sample=10)], [[atom]], 1, 1)
        run_walks(walks, differing(by), free_of_limits(1.0), patient=True)
        assert len(walks[0].frames) == frames and walks[0].verdict == (LEFT if frames else COLLAPSED)


def test_a_deviation_that_passes_ends_no_run() -> None:
    atoms = Structure(("Ar",) * 2, np.diag([0.0, 9.0, 0.0])[:2])
    (walk,) = new_walks([Exploration("e", "nve", starts=1, steps=100)], [[atoms]], 1, 1)
    doubtful, clear = np.array([0.9, 0.0]), np.array([0.2, 0.0])
    for step, spread in enumerate([doubtful] * 4 + [clear] + [doubtful] * 4):
        assert walk.take(step, atoms, spread, False, free_of_limits(1.0))
    assert not walk.take(10, atoms, doubtful, False, free_of_limits(1.0)) and walk.verdict == LEFT


def test_walls_keep_atoms_inside_and_cells_are_strained() -> None:
    atom = Structure(("Ar",), [[0.0, 0.0, 0.0]])
    inside = Exploration("wall", "nvt", temperature=300, starts=5, steps=2000, timestep=5.0, sample=50, wall=2.0)
    walks = new_walks([inside], [[atom]], 1, 1)
    run_walks(walks, free, free_of_limits(1.0))
    distances = [np.linalg.norm(frame.positions) for walk in walks for frame in walk.frames]
    assert 1.0 < max(distances) < 3.5
    cell = Structure(("Ar",), [[1.0, 1.0, 1.0]], 4.0 * np.eye(3), (True,) * 3)
    strained = new_walks([Exploration("s", "nvt", strain=0.03, starts=6)], [[cell]], 1, 1)
    changes = [np.abs(walk.structure.cell / 4.0 - np.eye(3)).max() for walk in strained]
    assert len(set(changes)) == 6 and 0.005 < max(changes) <= 0.03
