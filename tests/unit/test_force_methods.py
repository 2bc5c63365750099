"""Methods for training on forces besides plain L-BFGS: Adam over blocks, and L-BFGS for uncorrelated descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import make_toy
from taylorfit import Adam, Bfgs, Directional, Energy, Exact, Fit, Setup, Structure, propose, read, train
from taylorfit.engine import Lbfgs, adam_step
from taylorfit.errors import InputError
from taylorfit.generation.generate import generate
from taylorfit.settings.forces import ForceMode
from taylorfit.settings.methods import Method
from taylorfit.settings.train import NetworkSpec, TrainInput
from taylorfit.tools.ranks import ALONE
from taylorfit.training.data import TrainingData, reference_data
from taylorfit.training.optimisers.sampling import Sampler
from taylorfit.training.optimisers.whitening import FirstLayer, first_layers
from taylorfit.training.prepare import Problem, prepare
from taylorfit.training.run import training_of

HIDDEN = [(6, "tanh"), (6, "tanh")]
EPOCHS = 6
METHODS: list[tuple[Method, ForceMode]] = [
    (Adam(mu=0.01, batchsize=7, samplesize=50), Exact(beta=0.01)),
    (Adam(mu=0.01, batchsize=1, anneal=EPOCHS, decay=0.1), Directional(beta=0.01, directions=4)),
    (Bfgs(whiten=0.1), Exact(beta=0.01)),
    (Bfgs(whiten=0.1), Energy()),
]


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> list[Structure]:
    """Clusters that fill several blocks."""
    folder = tmp_path_factory.mktemp("toy")
    make_toy(folder, 60, 12)
    return read(str(folder / "xsf" / "*.xsf"))


@pytest.fixture(scope="module")
def setup(structures: list[Structure]) -> Setup:
    return propose(structures, mode="exact").replace(networks=HIDDEN)


def fitted(structures: list[Structure], setup: Setup, method: Method, forces: ForceMode, **options: Any) -> Fit:
    defaults: dict[str, Any] = {"epochs": EPOCHS, "test_fraction": 0.1, "threads": 1, "best": "last"}
    return train(structures, setup, method=method, forces=forces, **(defaults | options))


def weights(fit: Fit) -> np.ndarray:
    return np.concatenate([part.network.weights for part in fit.potential.parts])


def problem_of(structures: list[Structure], setup: Setup, method: Method, sampling: str | None = None) -> Problem:
    made = generate(structures, setup)
    settings = TrainInput(
        trainingset="toy",
        networks=tuple(NetworkSpec(s, f"{s}.nn", tuple(HIDDEN)) for s in setup.species),
        forces=Exact(beta=0.01),
        method=method,
        sampling=sampling,
        iterations=1,
    )
    return prepare(settings, TrainingData((made,), ("toy",), reference_data(made, "toy"), (), {}), 1)


@pytest.mark.parametrize(("method", "forces"), METHODS)
def test_the_error_falls_and_threads_do_not_matter(
    method: Method, forces: ForceMode, structures: list[Structure], setup: Setup
) -> None:
    one = fitted(structures, setup, method, forces)
    assert one.history.train_rmse[-1] < 0.7 * one.history.train_rmse[0]
    assert np.array_equal(weights(one), weights(fitted(structures, setup, method, forces, threads=3)))
    other = fitted(structures, setup, method, forces, seed=2)
    assert not np.array_equal(weights(one), weights(other))


@pytest.mark.parametrize(("method", "forces"), METHODS)
def test_resumed_equals_uninterrupted(
    method: Method, forces: ForceMode, structures: list[Structure], setup: Setup, tmp_path: Path
) -> None:
    whole = fitted(structures, setup, method, forces)
    fitted(structures, setup, method, forces, epochs=2, checkpoint=tmp_path / "c.npz")
    resumed = fitted(structures, setup, method, forces, checkpoint=tmp_path / "c.npz", resume=True)
    assert np.array_equal(weights(whole), weights(resumed)) and len(resumed.history) == EPOCHS + 1


@pytest.mark.parametrize("method", [Adam(mu=0.01, batchsize=7), Bfgs(whiten=0.1)])
def test_single_precision_gives_nearly_the_same(method: Method, structures: list[Structure], setup: Setup) -> None:
    double, single = (
        fitted(structures, setup, method, Exact(beta=0.01), precision=name) for name in ("double", "single")
    )
    assert np.allclose(single.history.train_rmse, double.history.train_rmse, rtol=1e-2)
    assert not np.array_equal(weights(single), weights(double))


def test_batches_are_whole_blocks_and_their_gradients_add_up(structures: list[Structure], setup: Setup) -> None:
    problem = problem_of(structures, setup, Adam(batchsize=1000, samplesize=1000))
    loss = problem.losses()[0]
    start = np.concatenate([network.weights for network in problem.networks])
    loss(start)
    terms, whole = loss.terms, loss.gradient.copy()
    assert terms.n_blocks > 3
    single = [terms.batch(np.array([[b + 1]]), 0, 1, start).total().copy() for b in range(terms.n_blocks)]
    assert np.allclose(sum(single), whole, rtol=1e-10, atol=1e-12 * np.abs(whole).max())
    # One batch of everything is one step along the whole gradient
    training = training_of(problem)
    list(training.run(1))
    expected, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    adam_step(problem.settings.method.rates(0), 1, whole, expected, mean, square)
    assert np.array_equal(training.optimiser.weights, expected)


def test_the_step_size_falls_along_half_a_wave() -> None:
    method = Adam(mu=0.1, anneal=4)
    assert [method.rates(epoch)[0] for epoch in (0, 2)] == [0.1, pytest.approx(0.05)]
    assert 0.0 < method.rates(3)[0] == method.rates(9)[0] < 0.02
    assert Adam(mu=0.1).rates(9) == (0.1, 0.9, 0.999, 1e-8, 0.0)
    assert Adam(decay=0.2).rates(0)[4] == 0.2


def test_decay_takes_its_share_of_the_step_size_off_all_weights() -> None:
    start, gradient = np.random.default_rng(3).normal(size=(2, 9))
    mu, eps, decay = 0.2, 1e-8, 0.3
    moved = {}
    for share in (0.0, decay):
        moved[share] = start.copy()
        adam_step((mu, 0.9, 0.999, eps, share), 1, gradient, moved[share], np.zeros(9), np.zeros(9))
    # A first step is one of the sign of the gradient; the decay is no part of it
    assert np.allclose(moved[0.0], start - mu * gradient / (np.abs(gradient) + eps), rtol=1e-12)
    assert np.allclose(moved[decay], moved[0.0] - mu * decay * start, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["sequential", "random"])
def test_all_blocks_come_once_where_an_epoch_takes_all(kind: str) -> None:
    sampler = Sampler(kind, seed=3)
    orders = [sampler.places(9, epoch, 100) for epoch in range(3)]
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert len(sampler.places(9, 0, 4)) == 4
    assert any((orders[0] != order).any() for order in orders) == (kind == "random")


def test_what_does_not_go(structures: list[Structure], setup: Setup) -> None:
    with pytest.raises(InputError, match="takes whole blocks of structures"):
        train(structures, setup, forces=Exact(), epochs=1, method=Adam(), sampling="weighted")
    for make, name in (
        (lambda: Bfgs(whiten=-1.0), "whiten"),
        (lambda: Adam(anneal=-1), "anneal"),
        (lambda: Adam(decay=1.0), "decay"),
    ):
        with pytest.raises(InputError, match=name):
            make()


def test_whitened_steps_have_the_gradient_of_their_own_coordinates(structures: list[Structure], setup: Setup) -> None:
    problem = problem_of(structures, setup, Bfgs(whiten=0.01))
    loss, optimiser = problem.losses()[0], training_of(problem).optimiser
    assert isinstance(optimiser, Lbfgs)
    start = np.concatenate([network.weights for network in problem.networks])
    assert np.allclose(optimiser.weights, start, rtol=1e-12)
    loss(optimiser.weights)
    (layer,) = first_layers(problem.train, problem.networks, 0.01, ALONE)
    inner = loss.gradient.copy()
    layer.apply(layer.inverse, inner)
    rng = np.random.default_rng(1)
    direction = rng.standard_normal(len(start))
    step, values = 1e-5 / np.linalg.norm(inner), []
    own = optimiser.state["weights"].copy()
    for sign in (1.0, -1.0):
        optimiser.state["weights"][...] = own + sign * step * direction
        values.append(loss(optimiser.weights)[0])
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(inner @ direction, rel=1e-4)


def test_descriptors_are_nearly_uncorrelated_in_the_new_coordinates() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6, 400)) * np.array([3.0, 1.0, 1.0, 1.0, 0.5, 0.0])[:, None]
    x[1] = x[0] + 0.1 * x[1]
    moments = x @ x.T / x.shape[1]
    layer = FirstLayer.of(slice(0, 12), moments, 1e-6)
    assert np.allclose(layer.factor.T @ layer.inverse, np.eye(6), atol=1e-10)
    found = layer.inverse @ moments @ layer.inverse.T
    # The last value never changes, so five directions share the mean variance, which stays
    assert np.trace(found) == pytest.approx(np.trace(moments))
    assert np.allclose(found[:5, :5], np.eye(5) * np.trace(moments) / 5, atol=1e-2)
    assert np.array_equal(FirstLayer.of(slice(0, 4), np.zeros((2, 2)), 0.1).factor, np.eye(2))
