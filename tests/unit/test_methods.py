"""Methods that step within an epoch: steps against NumPy, Jacobian, determinism, resuming, learning."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pass_cases import Problem, residuals, rows_of
from taylorfit.engine import Lbfgs, Loss
from taylorfit.errors import EngineError, InputError, TaylorfitError
from taylorfit.settings.methods import SAMPLINGS, AdamMethod, BfgsMethod, EkfMethod, LmMethod, Method, OnlineSdMethod
from taylorfit.tools.interrupts import deferred_interrupt
from taylorfit.training.loop import Training
from taylorfit.training.losses import CentredTaylorLoss
from taylorfit.training.optimisers import make_optimiser, method_notes, sampling_of
from taylorfit.training.optimisers.kalman import start_covariance
from taylorfit.training.optimisers.levenberg_marquardt import LevenbergMarquardt
from taylorfit.training.optimisers.sampling import Sampler


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem()


# --- energies ------------------------------------------------------------------------------------


def test_energies_of_many_structures_are_the_same_for_any_number_of_threads() -> None:
    large = Problem(n_structures=400)
    one, two = (large.terms(threads=n).energies(large.all, large.weights) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, large.terms().evaluate(large.weights).energy, rtol=1e-13, atol=1e-13)


def test_no_structures_chosen(problem: Problem) -> None:
    assert problem.terms().energies([], problem.weights).shape == (0,)


@pytest.mark.parametrize("chosen", ([-1], [40], [0, 1000]))
def test_structures_outside_the_pack_are_errors(problem: Problem, chosen: list[int]) -> None:
    with pytest.raises(EngineError, match="not in the packed data set"):
        problem.terms().energies(chosen, problem.weights)


def test_arrays_of_wrong_size_are_errors(problem: Problem) -> None:
    terms, w = problem.terms(), problem.weights
    rows = rows_of(terms, problem.all)
    for call in (
        lambda: terms.energies([0], w[1:]),
        lambda: terms.descent(problem.all, 0.0, 0.1, w.copy(), np.zeros(3)),
        lambda: terms.filter(problem.all, 10, 0.9, 0.0, w.copy(), np.zeros(7), np.ones(1)),
        lambda: terms.adam(rows, 0, (0.1, 0.9, 0.9, 1e-8, 0.0), w.copy(), w.copy(), w.copy(), np.zeros(1, np.int32)),
        lambda: terms.adam(
            rows[:2], 9, (0.1, 0.9, 0.9, 1e-8, 0.0), w.copy(), w.copy(), w.copy(), np.zeros(1, np.int32)
        ),
        lambda: terms.batch(rows, 30, 11, w),
        lambda: terms.batch(rows, -1, 11, w),
        lambda: terms.batch(rows + 1, 30, 10, w),
        lambda: terms.levenberg_marquardt(problem.all, 0, 1, 2.0, 0.0, w.copy(), np.ones(1)),
        lambda: terms.levenberg_marquardt(problem.all, 5, 1, 2.0, 0.0, w.copy(), np.ones(2)),
        lambda: problem.terms(weight=np.ones(3)),
    ):
        with pytest.raises(EngineError):
            call()


# --- steps against NumPy -------------------------------------------------------------------------


@pytest.fixture
def weighted(problem: Problem) -> Loss:
    return problem.terms(weight=np.random.default_rng(5).uniform(0.1, 2.0, len(problem.all)))


@pytest.mark.parametrize("batch_size", (1, 7, 40))
@pytest.mark.parametrize("threads", (1, 2))
def test_levenberg_marquardt_pass_equals_numpy(problem: Problem, batch_size: int, threads: int) -> None:
    weight = np.random.default_rng(5).uniform(0.1, 2.0, len(problem.all))
    terms = problem.terms(weight=weight, threads=threads)
    w, damping = problem.weights.copy(), np.array([1.0e-4])
    expected, lambda_ = w.copy(), 1.0e-4
    for start in range(0, len(problem.all), batch_size):
        batch = problem.all[start : start + batch_size]
        r, derivative = residuals(terms, batch, expected)
        for _ in range(5):
            # The same as (DᵀD + λ)⁻¹ Dᵀ r, where D has fewer rows than columns
            matrix = derivative @ derivative.T + lambda_ * np.eye(len(r))
            trial = expected + derivative.T @ np.linalg.solve(matrix, r)
            after = (
                np.sqrt(weight[batch]) * terms.factor[batch] * (terms.energy_ref[batch] - terms.energies(batch, trial))
            )
            if after @ after < r @ r:
                expected, lambda_ = trial, lambda_ / 3.0
                break
            lambda_ *= 3.0
    assert terms.levenberg_marquardt(problem.all, batch_size, 1, 3.0, 0.0, w, damping)
    np.testing.assert_allclose(w, expected, rtol=1e-6, atol=1e-8)
    assert damping[0] == pytest.approx(lambda_, rel=1e-12)


def test_a_matrix_that_is_not_positive_definite_gives_no_step(problem: Problem) -> None:
    w = problem.weights.copy()
    problem.terms().levenberg_marquardt(problem.all, 40, 1, 1.0, 0.0, w, np.array([-1.0e6]))
    np.testing.assert_array_equal(w, problem.weights)


def test_descent_pass_equals_numpy(problem: Problem, weighted: Loss) -> None:
    order = np.random.default_rng(2).permutation(problem.all)
    w, v = problem.weights.copy(), np.zeros_like(problem.weights)
    expected, velocity = w.copy(), v.copy()
    for s in order:
        r, derivative = residuals(weighted, np.array([s]), expected)
        velocity = 0.3 * velocity + 0.05 * r @ derivative
        expected = expected + velocity
    weighted.descent(order, 0.3, 0.05, w, v)
    np.testing.assert_allclose(w, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(v, velocity, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "decay"), [(1, 0.0), (7, 0.3), (40, 0.9), (100, 0.0)])
def test_adam_pass_equals_numpy(problem: Problem, weighted: Loss, batch_size: int, decay: float) -> None:
    mu, b1, b2, eps = 0.02, 0.8, 0.95, 1.0e-6
    order = np.random.default_rng(2).permutation(problem.all)
    w = problem.weights.copy()
    m, v, n_steps = np.zeros_like(w), np.zeros_like(w), np.zeros(1, dtype=np.int32)
    expected, mean, square = w.copy(), m.copy(), v.copy()
    for t, start in enumerate(range(0, len(order), batch_size), start=1):
        r, derivative = residuals(weighted, order[start : start + batch_size], expected)
        gradient = -r @ derivative
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        expected = (1 - mu * decay) * expected - mu * mean / (1 - b1**t) / (np.sqrt(square / (1 - b2**t)) + eps)
    weighted.adam(rows_of(weighted, order), batch_size, (mu, b1, b2, eps, decay), w, m, v, n_steps)
    assert n_steps[0] == t
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("width", (1, 13, 40, 10**4))
def test_filter_pass_equals_numpy(problem: Problem, weighted: Loss, width: int) -> None:
    n = len(problem.weights)
    blocks = [slice(a, min(a + width, n)) for a in range(0, n, width)]
    w, covariance, forgetting = problem.weights.copy(), start_covariance(n, width, 0.2), np.array([0.99])
    expected, lambda_ = w.copy(), 0.99
    matrices = [0.2 * np.eye(b.stop - b.start) for b in blocks]
    for s in problem.all:
        r, derivative = residuals(weighted, np.array([s]), expected)
        expected = expected.copy()
        for k, b in enumerate(blocks):
            h = derivative[0, b]
            gain = matrices[k] @ h / (h @ matrices[k] @ h + lambda_)
            expected[b] += gain * r[0]
            matrices[k] = (matrices[k] - np.outer(gain, h @ matrices[k])) / lambda_ + 1.0e-4 * np.eye(len(h))
        lambda_ = 0.9 * (lambda_ - 1) + 1
    weighted.filter(problem.all, width, 0.9, 1.0e-4, w, covariance, forgetting)
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(covariance, np.concatenate([p.ravel() for p in matrices]), rtol=1e-8, atol=1e-11)
    assert forgetting[0] == pytest.approx(lambda_, abs=1e-15)
    first = covariance[: min(width, n) ** 2].reshape(min(width, n), -1)
    np.testing.assert_array_equal(first, first.T)


def test_lm_counts_a_structure_of_weight_two_twice(problem: Problem) -> None:
    weight = np.ones(len(problem.all))
    weight[5] = 2.0
    once = make_optimiser(LmMethod(), problem.weights)
    once.run_epoch(problem.terms(weight=weight))
    twice = make_optimiser(LmMethod(), problem.weights)
    twice.run_epoch(problem.terms(problem.pack([*problem.all, 5])))
    assert np.abs(once.weights - problem.weights).max() > 0.01
    np.testing.assert_allclose(once.weights, twice.weights, rtol=1e-8, atol=1e-10)


def test_lm_with_one_batch_never_raises_the_loss(problem: Problem) -> None:
    training = problem.training(LmMethod(learnrate=1.0e-8))
    losses = [training.train(training.optimiser.weights)[0]]
    for _ in range(15):
        training.optimiser.run_epoch(training.train.terms)
        losses.append(training.train(training.optimiser.weights)[0])
    assert all(b <= a for a, b in pairwise(losses))
    assert losses[-1] < 1.0e-3 * losses[0]


def test_lm_makes_iter_steps_on_a_batch(problem: Problem) -> None:
    one, three = (make_optimiser(LmMethod(iter=n, conv=0.0), problem.weights) for n in (1, 3))
    for _ in range(3):
        one.run_epoch(problem.terms())
    three.run_epoch(problem.terms())
    np.testing.assert_array_equal(one.weights, three.weights)


def test_lm_stops_where_no_step_helps(problem: Problem) -> None:
    terms = problem.terms()
    energies = terms.energies(problem.all, problem.weights)
    exact = problem.terms(replace(problem.data, energy=energies))
    optimiser = make_optimiser(LmMethod(), problem.weights)
    status = [optimiser.run_epoch(exact) for _ in range(4)]
    assert status[-1] == Lbfgs.STUCK
    np.testing.assert_array_equal(optimiser.weights, problem.weights)


def test_lm_keeps_the_weights_when_the_data_are_not_finite(problem: Problem) -> None:
    bad = problem.terms(replace(problem.data, energy=np.full(len(problem.all), np.nan)))
    optimiser = make_optimiser(LmMethod(), problem.weights)
    optimiser.run_epoch(bad)
    np.testing.assert_array_equal(optimiser.weights, problem.weights)


# --- the epoch loop ------------------------------------------------------------------------------

METHODS = (
    LmMethod(),
    LmMethod(batchsize=15, iter=2),
    EkfMethod(),
    EkfMethod(wgroup=20, pnoise=1.0e-6),
    AdamMethod(mu=0.01),
    AdamMethod(mu=0.02, samplesize=30, batchsize=4),
    OnlineSdMethod(0.05, 0.03),
)
FACTOR = {LmMethod: 20.0, EkfMethod: 10.0, AdamMethod: 10.0, OnlineSdMethod: 8.0}
"""In 20 epochs the training error falls at least by this factor."""


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_method_learns(problem: Problem, method: Method) -> None:
    epochs = list(problem.training(method).run(20))
    assert [epoch.epoch for epoch in epochs] == list(range(len(epochs)))
    assert epochs[-1].train_rmse < epochs[0].train_rmse / FACTOR[type(method)]
    assert epochs[0].copies_rmse is not None and epochs[-1].copies_rmse < epochs[0].copies_rmse / 1.5


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_epoch_zero_is_the_start_and_epoch_k_follows_k_passes(problem: Problem, method: Method) -> None:
    epochs = list(problem.training(method).run(2))
    optimiser = make_optimiser(method, problem.weights)
    loss = problem.loss()
    for epoch in epochs:
        error = loss(optimiser.weights, with_gradient=False)[1][~problem.data.is_copy]
        assert epoch.train_rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-14)
        optimiser.run_epoch(loss.terms)


@pytest.mark.parametrize("sampling", (None, *SAMPLINGS))
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_resumed_run_equals_uninterrupted_one(problem: Problem, method: Method, sampling: str | None) -> None:
    whole = problem.training(method, sampling)
    list(whole.run(6))
    first = problem.training(method, sampling)
    list(first.run(3))
    saved = {key: np.array(value) for key, value in first.arrays().items()}
    second = problem.training(method, sampling)
    second.restore(saved)
    list(second.run(6))
    assert second.state.history == whole.state.history
    for key, value in whole.optimiser.state.items():
        np.testing.assert_array_equal(second.optimiser.state[key], value)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_result_does_not_depend_on_the_number_of_threads(method: Method) -> None:
    large = Problem(n_structures=200)
    method = type(method)(**{**method.__dict__, **({"batchsize": 150} if hasattr(method, "batchsize") else {})})
    one, two = (large.training(method, "random", threads) for threads in (1, 2))
    assert list(one.run(2)) == list(two.run(2))
    np.testing.assert_array_equal(one.optimiser.weights, two.optimiser.weights)


def test_the_seed_decides_the_order(problem: Problem) -> None:
    runs = [list(problem.training(AdamMethod(), seed=seed).run(3)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("where", ("pass", "evaluation"))
def test_interrupted_epoch_is_undone(
    problem: Problem, method: Method, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(problem.training(method).run(4))
    training = problem.training(method)
    list(training.run(2))
    optimiser, run_epoch = training.optimiser, training.optimiser.run_epoch

    def interrupted(terms: Loss) -> str:
        status = run_epoch(terms)
        if where == "pass":
            raise KeyboardInterrupt
        return status

    def evaluate(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optimiser, "run_epoch", interrupted)
        if where == "evaluation":
            patch.setattr(training, "test", evaluate)
        with pytest.raises(KeyboardInterrupt):
            list(training.run(4))
    list(training.run(4))
    assert training.state.history == whole


@pytest.mark.parametrize("method", (LmMethod(batchsize=15), EkfMethod()), ids=repr)
def test_ctrl_c_leaves_the_last_complete_epoch(method: Method) -> None:
    large = Problem(n_structures=200)
    training = large.training(method)
    list(training.run(1))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupt:
        list(training.run(10**7, interrupt=interrupt))
    timer.join()
    n = len(training.state.history) + 1
    assert list(training.run(n))[-1].epoch == n
    assert training.state.history == list(large.training(method).run(n))


@pytest.mark.parametrize(
    "change",
    (
        lambda state: state.pop("weights"),
        lambda state: state.update(extra=np.zeros(1)),
        lambda state: state.update(weights=np.zeros(3)),
    ),
)
def test_state_that_does_not_fit_is_refused(problem: Problem, change: Callable[[dict], object]) -> None:
    optimiser = make_optimiser(EkfMethod(), problem.weights)
    state = {key: value.copy() for key, value in optimiser.state.items()}
    change(state)
    with pytest.raises(TaylorfitError, match="does not fit"):
        optimiser.restore(state)


def test_methods_leave_the_callers_weights_alone(problem: Problem) -> None:
    start = problem.weights.copy()
    for method in METHODS:
        list(problem.training(method).run(1))
    np.testing.assert_array_equal(problem.weights, start)


def test_a_loss_that_couples_structures_is_refused_at_once(problem: Problem) -> None:
    data = problem.pack(problem.all, 10**6)
    with np.errstate(divide="ignore"):  # copies of single atoms are not displaced at all
        loss = CentredTaylorLoss(data, problem.tables, beta=1.0e-3)
    with pytest.raises(InputError, match="couples Taylor copies"):
        Training(loss, None, make_optimiser(LmMethod(), problem.weights))


# --- SAMPLING ------------------------------------------------------------------------------------


def test_sequential_goes_round(problem: Problem) -> None:
    sampler = Sampler("sequential")
    orders = [sampler.order(problem.terms(), problem.weights, epoch, 15) for epoch in range(4)]
    np.testing.assert_array_equal(np.concatenate(orders), np.arange(60) % 40)
    np.testing.assert_array_equal(sampler.order(problem.terms(), problem.weights, 3), problem.all)


def test_random_takes_each_structure_once_in_a_new_order(problem: Problem) -> None:
    orders = [Sampler("random").order(problem.terms(), problem.weights, epoch, 500) for epoch in range(2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), problem.all)
    assert not np.array_equal(*orders)


def test_blocks_come_in_a_new_order_with_their_structures_together(problem: Problem) -> None:
    terms = problem.terms()
    orders = [Sampler("blocks").order(terms, problem.weights, epoch) for epoch in range(2)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), problem.all)
        assert (np.diff(terms.block[order]) != 0).sum() == terms.block[-1]
    assert not np.array_equal(*orders)
    np.testing.assert_array_equal(Sampler("blocks").order(terms, problem.weights, 1, 7), orders[1][:7])


def _frequencies(kind: str, terms: Loss, weights: np.ndarray) -> np.ndarray:
    draws = [Sampler(kind).order(terms, weights, epoch) for epoch in range(300)]
    return np.bincount(np.concatenate(draws), minlength=terms.n_structures) / (300 * terms.n_structures)


def test_weighted_draws_by_error(problem: Problem, weighted: Loss) -> None:
    error = np.abs(residuals(weighted, problem.all, problem.weights)[0])
    np.testing.assert_allclose(_frequencies("weighted", weighted, problem.weights), error / error.sum(), atol=0.01)


def test_weighted_without_errors_draws_all_alike(problem: Problem) -> None:
    terms = problem.terms(weight=np.zeros(len(problem.all)))
    np.testing.assert_allclose(_frequencies("weighted", terms, problem.weights), 1 / 40, atol=0.008)


def test_energy_prefers_low_structures(problem: Problem) -> None:
    chance = np.exp(-problem.data.energy / problem.data.n_atoms)
    np.testing.assert_allclose(
        _frequencies("energy", problem.terms(), problem.weights), chance / chance.sum(), atol=0.01
    )


def test_unknown_sampling_is_refused() -> None:
    with pytest.raises(InputError, match="unknown sampling"):
        Sampler("backwards")


def test_sampling_of_each_method() -> None:
    assert sampling_of(AdamMethod(), None) == "random" and sampling_of(AdamMethod(), "energy") == "energy"
    assert sampling_of(LmMethod(), None) == "sequential" and sampling_of(BfgsMethod(), "random") == "sequential"


def test_useless_settings_are_remarked_on() -> None:
    assert "too large" in method_notes(OnlineSdMethod(), None)[0]
    assert "no effect" in method_notes(BfgsMethod(), "random")[0]
    assert method_notes(OnlineSdMethod(0.05, 0.03), "random") == method_notes(BfgsMethod(), None) == []


def test_optimisers_of_all_methods() -> None:
    assert isinstance(make_optimiser(BfgsMethod(), np.zeros(3)), Lbfgs)
    assert isinstance(make_optimiser(LmMethod(), np.zeros(3)), LevenbergMarquardt)
