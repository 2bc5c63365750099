"""LAMMPS as explorer of `learn`: skipped where there is no LAMMPS."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from taylorfit import Exact, Exploration, Structure, label, train_committee
from taylorfit.engine import PotentialTables
from taylorfit.lammps.build import PLUGIN, build_plugin
from taylorfit.lammps.installation import find_lammps
from taylorfit.learning import explore as explore_module
from taylorfit.learning import lammps as lammps_module
from taylorfit.learning.explore import COLLAPSED, HELD, LEFT, committee_evaluator, new_walks, run_walks
from taylorfit.learning.lammps import run_in_lammps
from taylorfit.model.distances import shortest_distances
from taylorfit.potential.potential import load_members
from taylorfit.settings.extrapolation import ExtrapolationPolicy

pytestmark = pytest.mark.skipif(
    find_spec("lammps") is None or not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++"))),
    reason='LAMMPS or a C++ compiler is missing: pip install "taylorfit[lammps]"',
)


def crystals(n: int, width: float = 0.08, tilt: float = 0.4) -> list[Structure]:
    """Eight copper atoms in a tilted cell, turned in space."""
    rng = np.random.default_rng(3)
    cell = 3.7 * np.array([[1, 0, 0], [tilt, 2.0, 0], [0.1, 0.2, 1.0]])
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    fractions = np.array([[0, 0, 0], [0.5, 0.25, 0], [0.5, 0, 0.5], [0, 0.25, 0.5]])
    fractions = np.concatenate([fractions, fractions + [0, 0.5, 0]])
    return [
        Structure(
            ("Cu",) * 8, (fractions @ cell + width * rng.standard_normal((8, 3))) @ turn, cell @ turn, (True,) * 3
        )
        for _ in range(n)
    ]


BEYOND_ALL = ExtrapolationPolicy(max_force_std=1e6, shortest={"Cu-Cu": 0.0})


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = label(crystals(24), "ase.calculators.emt:EMT", processes=1).structures
    fit = train_committee(data, members=2, forces=Exact(1e-2, virial=1e-2), networks=[(6, "tanh")], epochs=60)
    folder = tmp_path_factory.mktemp("learnt")
    fit.save(folder / "committee")
    build_plugin(find_lammps(), folder / PLUGIN)
    return folder


def explore(
    folder: Path, work: Path, exploration: Exploration, data: list[Structure], policy: ExtrapolationPolicy = BEYOND_ALL
):
    walks = new_walks([exploration], [data], 1, 1)
    members = load_members(folder / "committee")
    run_in_lammps(walks, folder / "committee", members, policy, work, 1)
    return walks, members


def test_its_first_steps_are_those_of_the_batch(committee: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(committee))
    # Without velocities (all but) both fall down the same slope
    cold = Exploration("cold", "nve", temperature=1e-9, starts=1, steps=20, timestep=2.0, sample=10)
    walks, members = explore(committee, tmp_path, cold, crystals(1))
    own = new_walks([cold], [crystals(1)], 1, 1)
    # What falls down is far hotter than 1e-9 K, which is no explosion
    tables = PotentialTables.from_members([member.parts for member in members])
    run_walks(own, committee_evaluator(tables, 1), BEYOND_ALL)
    assert len(walks[0].frames) == len(own[0].frames) == 3
    for one, two in zip(walks[0].frames, own[0].frames):
        np.testing.assert_allclose(one.positions, two.positions, atol=1e-6)
        np.testing.assert_allclose(one.cell, two.cell, atol=1e-12)
    np.testing.assert_allclose(walks[0].deviations, own[0].deviations, rtol=1e-4)


def test_runs_hold_change_their_volume_and_leave_their_data(committee: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(committee))
    volumes = []
    for pressure in (0.0, 10.0):
        press = Exploration(
            "p", "npt", temperature=200, pressure=pressure, starts=1, steps=150, sample=30, barostat=100.0
        )
        walks, _ = explore(committee, tmp_path / f"npt{pressure}", press, crystals(1, 0.02))
        assert walks[0].verdict == HELD and len(walks[0].frames) == 6
        assert walks[0].frames[0].volume == pytest.approx(crystals(1)[0].volume)
        volumes.append(walks[0].frames[-1].volume)
    assert volumes[1] < 0.99 * volumes[0]
    hot = Exploration("hot", "nvt", temperature=1500, starts=2, steps=400, sample=100, timestep=3.0)
    walks, _ = explore(committee, tmp_path / "hot", hot, crystals(2, 0.02), replace(BEYOND_ALL, max_force_std=0.05))
    assert LEFT in {walk.verdict for walk in walks}
    left = next(walk for walk in walks if walk.verdict == LEFT)
    assert left.deviations[-1] > 0.05 and left.steps < 400


def test_clusters_stay_within_their_wall(committee: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(committee))
    atoms = Structure(("Cu",) * 2, [[10.0, 0, 0], [12.4, 0, 0]])
    wall = Exploration("w", "nvt", temperature=2000, starts=1, steps=600, sample=20, timestep=4.0, wall=1.5)
    walks, _ = explore(committee, tmp_path, wall, [atoms])
    away = [np.linalg.norm(frame.positions - [11.2, 0, 0], axis=1).max() for frame in walks[0].frames]
    assert len(away) == 31 and max(away) < 4.0


def test_atoms_that_fall_into_each_other_end_a_run_as_in_the_batch(
    committee: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(committee))
    hot = Exploration("hot", "nvt", temperature=1500, starts=3, steps=200, sample=10, timestep=3.0)
    free, _ = explore(committee, tmp_path / "free", hot, crystals(1, 0.02))
    closest = [[shortest_distances([frame])[0]["Cu-Cu"] for frame in walk.frames] for walk in free]
    # A little less: the same distance may differ in its last bit where it is found in another way
    limit = max(map(min, closest)) * (1 - 1e-9)
    policy = replace(BEYOND_ALL, shortest={"Cu-Cu": limit})
    ended, _ = explore(committee, tmp_path / "ended", hot, crystals(1, 0.02), policy)
    for walk, distances in zip(ended, closest):
        first = next((k for k, distance in enumerate(distances) if distance < limit), len(distances))
        assert len(walk.frames) == first
        assert walk.verdict == (HELD if first == len(distances) else COLLAPSED)
    assert {walk.verdict for walk in ended} == {HELD, COLLAPSED}


def test_runs_that_heat_up_on_their_own_are_ended_as_in_the_batch(committee: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", str(committee))
    # What displaced atoms release is allowed; not so with this
    for module in (explore_module, lammps_module):
        monkeypatch.setattr(module, "MOST_RELEASED", 0.0)
    cold = Exploration("cold", "nve", temperature=3.0, starts=2, steps=100, timestep=2.0, sample=10)
    walks, members = explore(committee, tmp_path, cold, crystals(2))
    own = new_walks([cold], [crystals(2)], 1, 1)
    tables = PotentialTables.from_members([member.parts for member in members])
    run_walks(own, committee_evaluator(tables, 1), BEYOND_ALL)
    assert {walk.verdict for walk in [*walks, *own]} == {COLLAPSED}
    # LAMMPS stops there, not at the end
    assert all(int((tmp_path / f"{k:03d}/last.dump").read_text().split()[2]) < 100 for k in (1, 2))
