"""Drift of the energy, radial distribution functions, and single walks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from calculator_cases import random_atoms, write_member
from taylorfit import Calculator
from taylorfit.errors import FormatError, InputError
from taylorfit.md.analysis import energy_drift, highest_peak, pair_counts, radial_distribution
from taylorfit.md.dynamics import (
    COLUMNS,
    Walk,
    new_walk,
    pack_walks,
    run_walk,
    starting_atoms,
    temperature,
    unpack_walks,
)
from taylorfit.md.summary import distributions, walk_row
from taylorfit.md.trajectory import FrameWriter
from taylorfit.model.structure import Structure
from taylorfit.settings.extrapolation import ExtrapolationPolicy
from taylorfit.settings.md import MdInput, RdfOptions, Thermostat

IGNORE = ExtrapolationPolicy("ignore")


def settings(**changes: object) -> MdInput:
    base = {
        "structure": "x",
        "potentials": (("p", ("x",)),),
        "steps": 20,
        "timestep": 0.1,
        "sample": 5,
        "threads": 1,
        "extrapolation": IGNORE,
    }
    return MdInput(**{**base, **changes})


def test_frames_wait_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taylorfit.md import trajectory

    def frame(step: int) -> Atoms:
        return Atoms("Ar", [[0.1 * step, 0, 0]], info={"step": step})

    def full(path: str, atoms: Atoms) -> None:
        with open(path, "a") as stream:
            stream.write("1\nProp")  # what fitted
        raise InputError("cannot be written: No space left on device", file=path)

    path, told = str(tmp_path / "run.extxyz"), list[str]()
    writer = FrameWriter(path, told.append)
    writer.write(frame(0))
    with monkeypatch.context() as patch:
        patch.setattr(trajectory, "append_frame", full)
        for step in (5, 10):
            writer.write(frame(step))
        assert writer.n_missing == 2 and len(told) == 1 and "No space left" in told[0]
        patch.setattr(FrameWriter, "MOST", 1)
        writer.write(frame(15))
    writer.write(frame(20))
    assert [atoms.info["step"] for atoms in read(path, ":")] == [0, 10, 15, 20]
    assert writer.n_missing == writer.n_lost == 1 and "written again" in told[1]


def finish(walk: Walk, calculator: Calculator, data: MdInput, trajectory: str | None = None) -> Walk:
    for _ in run_walk(walk, calculator, data, None if trajectory is None else FrameWriter(trajectory, print)):
        pass
    return walk


@pytest.fixture(scope="module")
def calculator(tmp_path_factory: pytest.TempPathFactory) -> Calculator:
    return Calculator(write_member(tmp_path_factory.mktemp("nn"), random_atoms()), threads=1, on_extrapolation="ignore")


# --- drift -------------------------------------------------------------------------------------


def test_drift_of_a_straight_line_is_its_slope():
    time = np.linspace(0.0, 5.0, 201)
    drift = energy_drift(time, -3000.0 + 0.012 * time, 2.0 + np.cos(7 * time), n_atoms=6)
    assert drift.slope == pytest.approx(2.0, rel=1e-6) and drift.slope_error < 1e-6
    assert drift.relative == pytest.approx(2.0 / (1e3 / 6 * np.cos(7 * time).std()), rel=1e-6)
    assert drift.fluctuation == pytest.approx(2.0 * time.std(), rel=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_error_of_the_slope_is_honest_for_correlated_rows(correlation: float):
    """Of many noisy energies without drift the slopes scatter as their errors say."""
    rng = np.random.default_rng(0)
    time = np.arange(400) * 0.01
    slopes, errors = [], []
    for _ in range(200):
        noise = np.zeros(len(time))
        for k in range(1, len(time)):
            noise[k] = correlation * noise[k - 1] + rng.normal(0, 1e-3)
        drift = energy_drift(time, noise, np.ones(len(time)), n_atoms=10)
        slopes.append(drift.slope)
        errors.append(drift.slope_error)
    assert 0.8 < np.std(slopes) / np.mean(errors) < 1.25


def test_few_rows_have_no_drift():
    assert energy_drift(np.zeros(1), np.zeros(1), np.zeros(1), 3).slope is None
    two = energy_drift(np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.zeros(2), 1)
    assert two.slope == pytest.approx(1e3) and two.slope_error is None and two.relative is None


# --- radial distribution functions -------------------------------------------------------------


def test_ideal_gas_has_one_everywhere_beyond_and_within_the_cell():
    rng = np.random.default_rng(0)
    total = 0
    for _ in range(40):
        structure = Structure(("H",) * 40 + ("O",) * 60, rng.uniform(0, 8.0, (100, 3)), np.eye(3) * 8.0, (True,) * 3)
        total = total + pair_counts(structure, [("H", "O"), ("O", "O"), ("O", "H")], 10.0, 10)
    np.testing.assert_array_equal(total[0], total[2])
    r, g = radial_distribution(total, 40, ["H"] * 40 + ["O"] * 60, 512.0, [("H", "O"), ("O", "O"), ("O", "H")], 10.0)
    np.testing.assert_allclose(g[:, 2:], 1.0, atol=0.06)
    np.testing.assert_allclose(r, np.arange(10) + 0.5)


def test_lattice_has_its_shells():
    structure = Structure(("Si",), np.zeros((1, 3)), np.eye(3) * 2.04, (True,) * 3)
    counts = pair_counts(structure, [("Si", "Si")], 3.0, 30)
    assert counts.sum() == 18 and counts[0, 20] == 6 and counts[0, 28] == 12
    r, g = radial_distribution(counts, 1, ["Si"], 2.04**3, [("Si", "Si")], 3.0)
    # Six neighbours in a shell of 4π/3 (2.1³ − 2.0³) Å³, one atom in 2.04³ Å³
    assert g[0, 20] == pytest.approx(6 / (4 / 3 * np.pi * (2.1**3 - 2.0**3)) * 2.04**3)
    assert highest_peak(r, g[0, :25]) == pytest.approx((2.05, g[0, 20]))


# --- walks -------------------------------------------------------------------------------------


def test_same_start_has_the_same_velocities_for_every_potential_and_no_drift():
    atoms, data = random_atoms(), settings(seed=7, temperature=250.0)
    first, again, second = (new_walk(label, start, atoms, data) for label, start in (("a", 1), ("b", 1), ("a", 2)))
    np.testing.assert_array_equal(first.atoms.get_momenta(), again.atoms.get_momenta())
    assert not np.allclose(first.atoms.get_momenta(), second.atoms.get_momenta()) and second.seed == 8
    np.testing.assert_allclose(first.atoms.get_momenta().sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    "thermostat",
    [Thermostat("langevin", friction=0.1), Thermostat("bussi", time=20.0)],
    ids=lambda thermostat: thermostat.kind,
)
def test_thermostat_holds_the_temperature(calculator: Calculator, thermostat: Thermostat):
    """Atoms out of each other's reach: only the thermostat moves the temperature, from half of what is wanted."""
    if thermostat.kind == "bussi":
        pytest.importorskip("ase.md.bussi")
    atoms = Atoms("O30", np.arange(90).reshape(30, 3) * 20.0)
    data = settings(ensemble="nvt", thermostat=thermostat, temperature=400.0, steps=1500, timestep=2.0)
    walk = new_walk("p", 1, atoms, data)
    walk.atoms.set_momenta(walk.atoms.get_momenta() / np.sqrt(2.0))
    assert temperature(walk.atoms) < 300.0
    finish(walk, calculator, data)
    rows = np.array(walk.rows)
    assert rows[50:, 5].mean() == pytest.approx(400.0, rel=0.06)
    # 87 degrees of freedom: the canonical spread is T sqrt(2/87)
    assert rows[50:, 5].std() == pytest.approx(400.0 * np.sqrt(2 / 87), rel=0.25)
    np.testing.assert_allclose(walk.atoms.get_momenta().sum(axis=0), 0.0, atol=1e-9)


def test_rows_are_energies_at_their_steps(calculator: Calculator):
    data = settings(steps=22, sample=5, equilibration=7)
    walk = finish(new_walk("p", 1, random_atoms(), data), calculator, data)
    rows = np.array(walk.rows)
    assert rows.shape == (5, len(COLUMNS)) and rows[:, 0].tolist() == [0, 5, 10, 15, 20]
    np.testing.assert_allclose(rows[:, 1], rows[:, 0] * 1e-4)
    np.testing.assert_allclose(rows[:, 4], rows[:, 2] + rows[:, 3])
    assert walk.step == 22 and walk_row(walk, data)["status"] == "finished"
    atoms = walk.atoms.copy()
    atoms.calc = calculator
    assert np.ptp(rows[:, 4]) < 0.1 * np.ptp(rows[:, 3])


def test_explosion_ends_a_walk_and_keeps_what_was_before(calculator: Calculator):
    data = settings(timestep=40.0, steps=500, sample=1)
    walk = finish(new_walk("p", 1, random_atoms(), data), calculator, data)
    assert walk.ended.startswith("exploded: ") and 0 < walk.step < 500
    assert len(walk.rows) == walk.step and np.isfinite(np.array(walk.rows)).all()
    before = walk.step
    assert finish(walk, calculator, data).step == before
    assert walk_row(walk, data)["status"] == walk.ended


def test_walk_stops_at_the_first_extrapolation_if_asked_to(calculator: Calculator):
    hot = {"temperature": 3000.0, "steps": 200, "sample": 50}
    watched = settings(extrapolation=ExtrapolationPolicy("warn", tolerance=0.2), **hot)
    walk = finish(new_walk("p", 1, random_atoms(), watched), calculator, watched)
    assert walk.ended == "" or walk.ended.startswith("exploded")
    assert 0 < walk.first_extrapolation < 200 and walk.worst > 0.2 and "σ outside" in walk.extrapolation
    stopping = replace(watched, extrapolation=ExtrapolationPolicy("stop", tolerance=0.2))
    stopped = finish(new_walk("p", 1, random_atoms(), stopping), calculator, stopping)
    assert stopped.step == stopped.first_extrapolation == walk.first_extrapolation
    assert stopped.ended.startswith("extrapolated: atom ")


def test_packed_walks_go_on_as_if_nothing_had_happened(calculator: Calculator):
    data = settings(ensemble="nvt", steps=20, rdf=RdfOptions((("H", "O"),), 4.0, 20))
    whole = finish(new_walk("p", 2, random_atoms(), data), calculator, data)
    half = finish(new_walk("p", 2, random_atoms(), data), calculator, replace(data, steps=10))
    (resumed,) = unpack_walks({k: np.array(v) for k, v in pack_walks([half]).items()}, [Atoms("H"), random_atoms()])
    assert resumed.rows == half.rows and len(resumed.rows) == 3
    finish(resumed, calculator, data)
    np.testing.assert_allclose(resumed.rows, whole.rows, rtol=1e-8)
    np.testing.assert_allclose(resumed.atoms.positions, whole.atoms.positions, atol=1e-8)
    np.testing.assert_array_equal(resumed.histogram, whole.histogram)
    assert resumed.n_samples == whole.n_samples == 5
    found = distributions([resumed], data)
    assert found["potentials"]["p"][0]["pair"] == "H-O" and found["potentials"]["p"][0]["std"] is None


def test_starting_structures_are_repeated_where_they_are_periodic():
    atoms = random_atoms(n_atoms=4)
    structure = Structure(
        tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, (True, True, False), name="s"
    )
    (doubled,) = starting_atoms([structure], (2, 3, 1))
    assert len(doubled) == 24 and doubled.pbc.tolist() == [True, True, False]
    with pytest.raises(InputError, match="cannot be repeated"):
        starting_atoms([structure], (1, 1, 2))
    with pytest.raises(InputError, match="no mass is known"):
        starting_atoms([replace(structure, symbols=("H", "O", "H", "Qq"))], (1, 1, 1))


@pytest.mark.parametrize("ending", ["extxyz", "xyz", "traj"])
def test_trajectory_has_a_frame_per_row(calculator: Calculator, tmp_path: Path, ending: str):
    from ase.io import read

    path = str(tmp_path / f"run.{ending}")
    data = settings(steps=12, sample=4, ensemble="nvt")
    walk = finish(new_walk("p", 1, random_atoms(), data), calculator, data, path)
    frames = read(path, ":")
    assert len(frames) == len(walk.rows) == 4
    for frame, row in zip(frames, walk.rows):
        assert frame.get_potential_energy() == pytest.approx(row[2], abs=1e-6)
        assert frame.get_kinetic_energy() == pytest.approx(row[3], rel=1e-4)
        assert not frame.constraints and frame.get_forces().shape == (12, 3)


def test_strange_checkpoints_are_refused(calculator: Calculator):
    data = settings(steps=5)
    good = {
        k: np.array(v)
        for k, v in pack_walks([finish(new_walk("p", 1, random_atoms(), data), calculator, data)]).items()
    }
    for broken in (
        {"n_walks": np.array(2)},
        {"0.plain": np.array("{}")},
        {"0.plain": np.array("no json")},
        {"0.positions": np.zeros((3, 3))},
        {"0.momenta": np.zeros(7)},
        {"0.positions": np.full_like(good["0.positions"], np.nan)},
        {"0.rows": np.zeros((2, 7))},
        {"0.plain": np.array(str(good["0.plain"]).replace("PCG64", "PCG65"))},
        {"0.plain": np.array(str(good["0.plain"]).replace('"step": 5', '"step": "5"'))},
        {"0.histogram": np.zeros(3)},
    ):
        with pytest.raises(FormatError, match="damaged"):
            unpack_walks({**good, **broken}, [random_atoms()], (2, 5))


def test_a_start_that_cools_down_has_not_exploded(calculator: Calculator):
    atoms = random_atoms()
    atoms.rattle(0.15, seed=3)
    data = settings(temperature=0.5, ensemble="nvt", steps=100, sample=50, timestep=0.2)
    walk = finish(new_walk("p", 1, atoms, data), calculator, data)
    assert walk.ended == "" and max(row[5] for row in walk.rows) > 5.0


@pytest.mark.parametrize("thermostat", ["langevin", "bussi"])
def test_one_atom_moves(calculator: Calculator, thermostat: str):
    atoms = Atoms("O", cell=[9, 9, 9], pbc=True)
    data = settings(ensemble="nvt", thermostat=Thermostat(thermostat), steps=20, sample=5)
    walk = finish(new_walk("p", 1, atoms, data), calculator, data)
    assert walk.ended == "" and all(np.isfinite(row).all() and row[5] > 0.0 for row in walk.rows)
