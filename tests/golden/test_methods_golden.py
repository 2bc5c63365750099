"""lm, ekf, online_sd and adam on ænet's small run: same start, same test set, its errors epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine_reference import jacobian
from taylorfit.engine import NetworkTables
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.settings.methods import AdamMethod, LmMethod, Method
from taylorfit.settings.train import TrainInput
from taylorfit.training.loop import Epoch, Training
from taylorfit.training.losses import EnergyLoss
from taylorfit.training.optimisers import make_optimiser
from taylorfit.training.pack import Scaling, pack

TEST_SET = (1, 11, 22, 28, 38, 60)
"""Numbers of the test structures, from 1 (README of the golden data)."""
SPECIES = ("Ti", "O")


@dataclass
class GoldenRun:
    """The data of golden/run and ænet's start."""

    folder: Path
    train: EnergyLoss
    test: EnergyLoss
    start: np.ndarray

    def recorded(self, method: str) -> np.ndarray:
        """(n_epoch, 5) epoch, MAE and RMSE of training, MAE and RMSE of testing, eV/atom."""
        return np.loadtxt(self.folder / method / "epochs_fulldigits.txt")

    def method(self, name: str) -> Method:
        """The METHOD of ænet's own input file."""
        return TrainInput.read(self.folder / name / "train.in").method

    def epochs(self, method: Method, n: int) -> tuple[list[Epoch], np.ndarray]:
        """Errors of epochs 0 … n and the last weights."""
        training = Training(self.train, self.test, make_optimiser(method, self.start))
        return list(training.run(n)), training.optimiser.weights


@pytest.fixture(scope="module")
def run(shared: Path) -> GoldenRun:
    folder = shared / "golden" / "run"
    source = read_trainset(folder / "small.train")
    assert source.species == SPECIES
    scaling = Scaling.of(source)
    networks = [read_potential(folder / "init" / f"{symbol}.nn").network for symbol in SPECIES]
    tables = NetworkTables.from_networks(networks)
    test = [number - 1 for number in TEST_SET]
    train = [s for s in range(source.n_structures) if s not in test]
    losses = [
        EnergyLoss(
            pack([source], [(0, s) for s in chosen], scaling), tables, energy_scale=scaling.energy_scale, threads=1
        )
        for chosen in (train, test)
    ]
    return GoldenRun(folder, *losses, np.concatenate([network.weights for network in networks]))


def errors(epochs: list[Epoch]) -> np.ndarray:
    return np.array([[e.epoch, e.train_mae, e.train_rmse, e.test_mae, e.test_rmse] for e in epochs])


@pytest.mark.parametrize("name", ("online_sd", "ekf"))
def test_trajectory_is_that_of_aenet(run: GoldenRun, name: str) -> None:
    recorded = run.recorded(name)
    epochs, weights = run.epochs(run.method(name), len(recorded) - 1)
    np.testing.assert_allclose(errors(epochs), recorded, rtol=0, atol=1e-12)
    final = np.concatenate([read_potential(run.folder / name / f"{symbol}.nn").network.weights for symbol in SPECIES])
    np.testing.assert_allclose(weights, final, rtol=0, atol=1e-11)


def test_levenberg_marquardt_steps_are_those_of_aenet(run: GoldenRun) -> None:
    """ænet's epochs alternate between steps and checks: its epochs 1, 3, 5 and 6 are single trials.

    λ is 0.1, divided by 5 after each of the first two steps; the third (epoch 5) fails, so that
    epoch 6 is its repetition with 5 times the λ.
    """
    recorded, terms = run.recorded("lm"), run.train.terms
    every = np.arange(terms.n_structures)

    def trial(weights: np.ndarray, damping: float, epoch: int) -> np.ndarray:
        energy, derivative = jacobian(terms, every, weights)
        derivative *= terms.factor[:, None]
        residual = terms.factor * (terms.energy_ref - energy)
        matrix = derivative.T @ derivative + damping * np.eye(len(weights))
        moved = weights + np.linalg.solve(matrix, derivative.T @ residual)
        for loss, columns in ((run.train, slice(1, 3)), (run.test, slice(3, 5))):
            error = loss(moved, with_gradient=False)[1]
            expected = recorded[epoch, columns]
            assert (np.abs(error).mean(), np.sqrt((error**2).mean())) == pytest.approx(expected, rel=0, abs=1e-10)
        return moved

    first = trial(run.start, 0.1, 1)
    second = trial(first, 0.02, 3)
    trial(second, 0.004, 5)
    trial(second, 0.02, 6)


@pytest.mark.parametrize("iter_", (1, 3))
def test_levenberg_marquardt_is_at_least_as_good_as_recorded(run: GoldenRun, iter_: int) -> None:
    method = run.method("lm")
    assert method == LmMethod(batchsize=54, learnrate=0.1, iter=3, conv=1.0e-3, adjust=5.0)
    recorded = run.recorded("lm")
    epochs, _ = run.epochs(LmMethod(54, 0.1, iter_, 1.0e-3, 5.0), len(recorded) - 1)
    ours = errors(epochs)
    assert (ours[1:, 2] <= recorded[1:, 2] + 1e-10).all()
    assert ours[-1, 2] < 0.1 * recorded[-1, 2]
    assert ours[:, 4].min() < recorded[:, 4].min()


def test_adam_becomes_better_than_what_the_others_recorded(run: GoldenRun) -> None:
    epochs, _ = run.epochs(AdamMethod(mu=0.002), 40)
    best = min(epochs, key=lambda epoch: epoch.test_rmse)
    for name in ("lm", "ekf", "online_sd"):
        recorded = run.recorded(name)
        assert best.train_rmse < recorded[:, 2].min()
        assert best.test_rmse < recorded[:, 4].min()
