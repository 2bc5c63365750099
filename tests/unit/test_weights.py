"""Weights of structures and forces mean the same everywhere: what has a weight of 0 is heeded nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import make_toy, morse_cluster, report, run, succeed, taylor, train_in
from taylorfit.analysis.errors import errors_in
from taylorfit.data.check import check
from taylorfit.data.curvature import curvature_from_forces, curvature_from_pairs
from taylorfit.data.frame_pairs import find_frame_pairs
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.generation.suggest import force_statistics
from taylorfit.model.predictions import Predictions
from taylorfit.model.structure import Structure
from taylorfit.taylor.selection import SkipReason, select_atoms

ABSURD = 999.0


def clusters(n: int = 12, n_atoms: int = 5) -> list[Structure]:
    rng = np.random.default_rng(1)
    return [morse_cluster(rng, n_atoms, name=f"s{k}.xsf") for k in range(n)]


def spoilt(structure: Structure, atom: int = 0) -> Structure:
    """An absurd force on an atom, of weight 0."""
    forces, weights = structure.forces.copy(), np.ones(structure.n_atoms)
    forces[atom], weights[atom] = ABSURD, 0.0
    return replace(structure, forces=forces, force_weights=weights)


def disabled(structure: Structure) -> Structure:
    """Absurd energy and forces in a structure of weight 0."""
    return replace(structure, energy=ABSURD, forces=structure.forces + ABSURD, weight=0.0, name=f"0{structure.name}")


def test_the_weight_of_a_force_is_that_of_the_atom_and_its_structure():
    one = clusters(1)[0]
    np.testing.assert_array_equal(one.atom_weights, np.ones(5))
    np.testing.assert_array_equal(replace(one, weight=2.0).atom_weights, np.full(5, 2.0))
    np.testing.assert_array_equal(replace(spoilt(one), weight=0.5).atom_weights, [0.0, 0.5, 0.5, 0.5, 0.5])


def test_atoms_and_structures_of_weight_zero_get_no_copies():
    one = clusters(1)[0]
    assert select_atoms(spoilt(one, 2)).displaced.tolist() == [True, True, False, True, True]
    assert select_atoms(disabled(one)).reason is SkipReason.NO_WEIGHT
    calm = replace(one, forces=0.001 * one.forces)
    assert select_atoms(spoilt(calm)).reason is SkipReason.STATIONARY
    assert select_atoms(spoilt(one, 0)).reason is None


def test_copies_of_a_spoilt_structure_stay_near_its_energy(tmp_path: Path):
    structures = make_toy(tmp_path, 4, extra=taylor(delta=0.01, fraction=6, outfile="copies.train"))
    for s in structures:
        write_xsf(tmp_path / s.name, spoilt(s))
    succeed(tmp_path, "generate", "generate.in", "--write-xsf", "copies")
    for path in sorted((tmp_path / "copies").iterdir()):
        copy = read_xsf(path)
        parent = min(structures, key=lambda s, c=copy: np.abs(s.positions - c.positions).max())
        assert abs(copy.energy - parent.energy) < 0.5
        assert np.abs(copy.positions[0] - parent.positions[0]).max() == 0.0


@pytest.mark.parametrize("change", [spoilt, disabled])
def test_estimates_do_not_heed_them(change):
    data = clusters()
    worse = [*data[:-1], change(data[-1])]
    expected = data[:-1] + ([spoilt(data[-1])] if change is spoilt else [])
    k = curvature_from_forces(worse, 300.0).constants["Ar"]
    believed = np.concatenate([s.forces[s.atom_weights > 0.0] for s in expected])
    assert k == pytest.approx((believed**2).mean() / (8.617333262e-5 * 300.0), rel=1e-6)
    found = force_statistics(worse)["Ar"]
    assert found["largest"] < 50.0 and found["rms"] == pytest.approx(np.sqrt((believed**2).mean()), rel=1e-9)


def test_a_small_weight_counts_little_in_curvatures():
    data = clusters()
    light = replace(data[0], forces=data[0].forces + 50.0, weight=1e-9, name="light.xsf")
    assert curvature_from_forces([*data, light], 300.0).constants["Ar"] == pytest.approx(
        curvature_from_forces(data, 300.0).constants["Ar"], rel=1e-4
    )


def harmonic(n: int = 30, k: float = 5.0) -> list[Structure]:
    rng = np.random.default_rng(0)
    sites = 2.5 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    found = []
    for step in range(n):
        u = rng.normal(scale=0.02, size=(4, 3))
        u -= u.mean(axis=0)
        found.append(
            Structure(
                ("Cu",) * 4, sites + u, energy=-10.0 + 0.5 * k * float((u**2).sum()), forces=-k * u, name=f"{step}"
            )
        )
    return found


def test_pairs_of_frames_do_not_heed_them():
    data = harmonic()
    right = curvature_from_pairs(data, find_frame_pairs(data)).constants["Cu"]
    worse = [disabled(s) if k % 5 == 0 else s for k, s in enumerate(data)]
    assert curvature_from_pairs(worse, find_frame_pairs(worse)).constants["Cu"] == pytest.approx(right, rel=0.05)
    assert not [f for f in check(worse).findings if f.kind in ("units", "force-outlier", "net-force") and not f.is_note]


def test_pushed_pairs_have_forces_that_are_believed(tmp_path: Path):
    structures = make_toy(tmp_path, 4)
    for s in structures:
        write_xsf(tmp_path / s.name, spoilt(s, 1))
    succeed(tmp_path, "repel", "xsf/*.xsf", "--output", "pushed")
    files = sorted((tmp_path / "pushed").glob("*.xsf"))
    assert files
    for path in files:
        copy = read_xsf(path)
        parent = min(structures, key=lambda s, c=copy: np.abs(s.positions - c.positions).sum())
        np.testing.assert_array_equal(copy.positions[1], parent.positions[1])
        assert copy.energy - parent.energy < 100.0


def predictions(weight: np.ndarray | None = None, atom_weight: np.ndarray | None = None) -> Predictions:
    rng = np.random.default_rng(0)
    forces, energy = rng.normal(size=(6, 3)), rng.normal(size=3)
    error, force_error = np.array([0.1, -0.2, 5.0]), np.zeros((6, 3))
    force_error[:, 0] = [0.1, 0.2, -0.1, 0.3, 50.0, 60.0]
    return Predictions(
        "x", (), ("a", "b", "c"), ("H",) * 6, np.array([0, 2, 4, 6]), np.zeros(3), energy, energy + error, forces,
        forces + force_error, weight=weight, atom_weight=atom_weight,
    )  # fmt: skip


def test_errors_heed_weights_and_name_those_over_all_apart(tmp_path: Path):
    weight, atom_weight = np.array([1.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    plain, weighted = errors_in(predictions()), errors_in(predictions(weight, atom_weight))
    assert plain.energy_rmse_all is None and "energy_rmse_all" not in plain.to_dict()
    assert weighted.energy_rmse == pytest.approx(np.sqrt((0.05**2 + 0.1**2) / 2))
    assert weighted.force_rmse == pytest.approx(np.sqrt((0.01 + 0.04 + 0.01 + 0.09) / 12))
    assert weighted.n_forces == 4 and weighted.n_structures == 2 and weighted.force_error_tail == 0.0
    assert weighted.energy_rmse_all == pytest.approx(plain.energy_rmse)
    assert weighted.force_rmse_all == pytest.approx(plain.force_rmse)
    assert "alike, without their weights" in str(weighted) and "alike" not in str(plain)
    tiny = errors_in(predictions(np.array([1.0, 1.0, 1e-12]), np.where(atom_weight == 0.0, 1e-12, 1.0)))
    assert tiny.force_rmse == pytest.approx(weighted.force_rmse) and tiny.energy_mae == pytest.approx(
        weighted.energy_mae
    )
    for given in (predictions(), predictions(weight, atom_weight)):
        given.save(tmp_path / "p.npz")
        assert errors_in(Predictions.load(tmp_path / "p.npz")) == errors_in(given)


def test_frozen_layers_do_not_choose_the_best_epoch(tmp_path: Path):
    """As the tutorial advises: forces that are not known stand as 0, with a weight of 0."""
    structures = make_toy(tmp_path, 20, extra=taylor(delta=0.01, fraction=4, outfile="copies.train"))
    for s in structures:
        forces, weights = s.forces.copy(), np.ones(s.n_atoms)
        forces[:2], weights[:2] = 0.0, 0.0
        write_xsf(tmp_path / s.name, replace(s, forces=forces, force_weights=weights))
    succeed(tmp_path, "generate", "generate.in")
    (tmp_path / "train.in").write_text(
        train_in(testpercent=25, iterations=60, forces="mode=exact beta=1e-2", validation="xsf/*.xsf")
    )
    found = report(tmp_path, "train", "train.in")
    errors = [epoch["test_force_rmse"] for epoch in found["epochs"]]
    assert found["best_epoch"] > 10 and errors[found["best_epoch"]] < 0.5 * errors[0]
    predicted = report(tmp_path, "predict", "--potential", "Ar.nn", "xsf/*.xsf")["errors"]
    assert predicted["force_rmse"] < predicted["force_rmse_all"] / 1.2
    assert found["validation"]["force_rmse"] == pytest.approx(predicted["force_rmse"], rel=1e-6)


def test_weights_reach_errors_from_python():
    data = clusters(8)
    setup = tfit.propose(data)
    fit = tfit.train(data, setup.replace(networks={"Ar": ((4, "tanh"),)}), epochs=5, seed=1)
    worse = [*data[:-1], replace(data[-1], energy=ABSURD, weight=0.0)]
    errors = tfit.predict(fit.potential, worse).errors
    assert errors.energy_rmse == pytest.approx(tfit.predict(fit.potential, data[:-1]).errors.energy_rmse)
    assert errors.energy_rmse_all > 10.0


@pytest.mark.parametrize("method", [tfit.Bfgs(), tfit.Adam(), tfit.OnlineSd(), tfit.Ekf(), tfit.Lm()])
def test_a_structure_without_weight_does_not_spoil_a_training(method):
    """Not by the scale of energies either, which its energy would stretch a hundredfold."""
    data = clusters(12)
    setup = tfit.propose(data).replace(networks={"Ar": ((4, "tanh"),)})
    errors = []
    for part in (data, [*data, disabled(data[3])]):
        fit = tfit.train(part, setup, method=method, epochs=8, seed=1, test_fraction=0.0)
        errors.append(tfit.predict(fit.potential, data).errors.energy_rmse)
    assert errors[1] < 2.0 * errors[0] + 1e-6


def test_a_structure_without_weight_sets_no_limits():
    data = clusters(12)
    near = replace(data[3], positions=0.3 * data[3].positions, weight=0.0, name="near.xsf")
    setup = tfit.propose(data).replace(networks={"Ar": ((4, "tanh"),)})
    limits, ranges = [], []
    for part in (data, [*data, near]):
        fit = tfit.train_committee(part, setup, members=2, epochs=2, seed=1, test_fraction=0.0)
        limits.append(fit.limits.shortest)
        ((made,),) = (tfit.generate(part, setup).setups,)
        statistics = made.statistics
        ranges.append((statistics.minimum.tolist(), statistics.maximum.tolist()))
    assert limits[0] == limits[1] and ranges[0] == ranges[1]


def test_the_check_accuses_no_structure_without_weight():
    data = clusters(12)
    found = check([*data, disabled(data[3])])
    assert not found.of_kind("energy-outlier")
    assert not [f for f in found.findings if "differ by up to" in f.message]


def test_a_message_names_the_reason(tmp_path: Path):
    for s in make_toy(tmp_path, 3, extra=taylor(delta=0.01, fraction=4)):
        write_xsf(tmp_path / s.name, replace(s, weight=0.0))
    assert "without a force of a weight above 0" in run(tmp_path, "generate", "generate.in").out
