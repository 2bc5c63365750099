"""The optimiser on functions whose minimum is known, on misleading ones, and beside SciPy's L-BFGS-B."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from taylorfit.engine import Lbfgs
from taylorfit.errors import EngineError, TaylorfitError

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]
DECREASE, CURVATURE = 1.0e-3, 0.9


def quadratic(n: int, condition: float) -> Objective:
    """A convex quadratic with eigenvalues from 1 to `condition` and its minimum 0 at 1, 2, 3, …"""
    q, _ = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))
    matrix = (q * np.geomspace(1.0, condition, n)) @ q.T
    minimum = np.arange(1.0, n + 1.0)
    return lambda x: (0.5 * (x - minimum) @ matrix @ (x - minimum), matrix @ (x - minimum))


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    """The generalised Rosenbrock function, minimum 0 at all ones."""
    g = np.zeros_like(x)
    bend = x[1:] - x[:-1] ** 2
    g[1:] += 200.0 * bend
    g[:-1] += -400.0 * x[:-1] * bend - 2.0 * (1.0 - x[:-1])
    return float(100.0 * bend @ bend + (1.0 - x[:-1]) @ (1.0 - x[:-1])), g


def wavy(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Many local minima and much negative curvature."""
    return float(0.05 * x @ x + np.cos(3.0 * x).sum()), 0.1 * x - 3.0 * np.sin(3.0 * x)


def steep_walls(x: np.ndarray) -> tuple[float, np.ndarray]:
    """exp(x)-like growth: the first unit step is far too long."""
    with np.errstate(over="ignore"):
        return float(np.exp(5.0 * x).sum() + x @ x), 5.0 * np.exp(5.0 * x) + 2.0 * x


@dataclass
class Run:
    """Every evaluation of one optimisation, and the accepted points."""

    points: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accepted: list[tuple[np.ndarray, float, np.ndarray]] = field(default_factory=list)
    status: str = Lbfgs.RUNNING


def optimise(objective: Objective, start: np.ndarray, evaluations: int, **options: object) -> tuple[Run, Lbfgs]:
    """Run at most so many evaluations."""
    optimiser, run = Lbfgs(start, **options), Run()
    for _ in range(evaluations):
        x = optimiser.weights.copy()
        loss, gradient = objective(x)
        iteration = optimiser.state["integers"][4]
        run.points.append(x)
        run.losses.append(loss)
        run.status = optimiser.step(loss, gradient)
        if optimiser.state["integers"][4] > iteration or not run.accepted:
            run.accepted.append((x, loss, gradient))
        if run.status != Lbfgs.RUNNING:
            break
    return run, optimiser


CONVERGENT = {
    "quadratic of one variable": (quadratic(1, 1.0), np.zeros(1), np.ones(1), 30),
    "round quadratic": (quadratic(10, 1.0), np.zeros(10), np.arange(1.0, 11.0), 30),
    "narrow quadratic": (quadratic(30, 1.0e4), np.zeros(30), np.arange(1.0, 31.0), 2000),
    "Rosenbrock": (rosenbrock, np.array([-1.2, 1.0]), np.ones(2), 80),
    "Rosenbrock of 20 variables": (rosenbrock, np.tile([-1.2, 1.0], 10), np.ones(20), 400),
    "Rosenbrock from far away": (rosenbrock, np.array([-60.0, 75.0, 20.0]), None, 1000),
}


@pytest.mark.parametrize("name", CONVERGENT)
@pytest.mark.parametrize("memory", [1, 5, 20])
def test_optimiser_converges(name: str, memory: int) -> None:
    objective, start, minimum, evaluations = CONVERGENT[name]
    run, optimiser = optimise(objective, start, 5 * evaluations if memory == 1 else evaluations, memory=memory)
    assert run.status == Lbfgs.CONVERGED, run.losses[-5:]
    assert np.abs(objective(optimiser.weights)[1]).max() <= 1.0e-6
    if minimum is not None:
        np.testing.assert_allclose(optimiser.weights, minimum, rtol=0.0, atol=2e-5)


@pytest.mark.parametrize(
    "objective", [quadratic(12, 300.0), rosenbrock, wavy, steep_walls], ids=["quadratic", "rosenbrock", "wavy", "walls"]
)
@pytest.mark.parametrize("seed", range(4))
def test_accepted_steps_satisfy_the_strong_wolfe_conditions(objective: Objective, seed: int) -> None:
    """Except in the last digits, where rounding ends the line search."""
    run, _ = optimise(objective, np.random.default_rng(seed).normal(scale=1.5, size=12), 150)
    assert len(run.accepted) > 5
    for (x0, f0, g0), (x1, f1, g1) in zip(run.accepted, run.accepted[1:]):
        slope0, slope1 = g0 @ (x1 - x0), g1 @ (x1 - x0)
        noise = 1.0e-12 * (1.0 + abs(f0))
        assert slope0 < 0.0
        assert f1 <= f0 + DECREASE * slope0 + noise
        assert abs(slope1) <= CURVATURE * abs(slope0) + noise


def test_start_at_the_minimum_is_converged_and_stays() -> None:
    run, optimiser = optimise(rosenbrock, np.ones(5), 10)
    assert run.status == Lbfgs.CONVERGED and len(run.points) == 1
    np.testing.assert_array_equal(optimiser.weights, 1.0)


def test_tolerance_is_on_the_largest_gradient_component() -> None:
    for tolerance in (1.0e-1, 1.0e-3, 1.0e-8):
        run, optimiser = optimise(quadratic(8, 50.0), np.zeros(8), 300, tolerance=tolerance)
        assert run.status == Lbfgs.CONVERGED
        assert np.abs(quadratic(8, 50.0)(optimiser.weights)[1]).max() <= tolerance
        assert np.abs(run.accepted[-2][2]).max() > tolerance


# --- misleading functions ----------------------------------------------------------------------


def _forbidden_region(x: np.ndarray) -> tuple[float, np.ndarray]:
    if np.abs(x).max() > 2.0:
        return np.nan, np.full_like(x, np.nan)
    return rosenbrock(x)


def _infinite_region(x: np.ndarray) -> tuple[float, np.ndarray]:
    return (np.inf, np.zeros_like(x)) if x[0] > 1.5 else rosenbrock(x)


@pytest.mark.parametrize("objective", [_forbidden_region, _infinite_region], ids=["NaN", "infinity"])
@pytest.mark.parametrize("seed", range(5))
def test_values_that_are_not_finite_are_stepped_back_from(objective: Objective, seed: int) -> None:
    start = np.random.default_rng(seed).uniform(-1.4, 1.4, 6)
    run, optimiser = optimise(objective, start, 400)
    assert run.status != Lbfgs.RUNNING
    assert np.isfinite(objective(optimiser.weights)[0])
    assert min(loss for loss in run.losses if np.isfinite(loss)) < 0.1 * run.losses[0]


@pytest.mark.parametrize("noise", [1.0e-6, 1.0e-2, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_gradient_ends_and_never_ends_above_the_start(noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def noisy(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = rosenbrock(x)
        return loss, gradient + noise * np.abs(gradient).max() * rng.normal(size=len(x))

    run, optimiser = optimise(noisy, np.tile([-1.2, 1.0], 4), 3000)
    assert run.status != Lbfgs.RUNNING, "did not end"
    assert rosenbrock(optimiser.weights)[0] <= run.losses[0]
    np.testing.assert_allclose(rosenbrock(optimiser.weights)[0], run.accepted[-1][1], rtol=1e-12)


def test_a_gradient_of_the_wrong_sign_is_given_up_at_the_best_point() -> None:
    objective = quadratic(6, 10.0)
    run, optimiser = optimise(lambda x: (objective(x)[0], -objective(x)[1]), np.zeros(6), 200)
    assert run.status == Lbfgs.STUCK
    np.testing.assert_array_equal(optimiser.weights, 0.0)


@pytest.mark.parametrize("loss", [np.nan, np.inf, 1.0])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_start_that_is_not_finite_ends(loss: float, value: float) -> None:
    run, _ = optimise(lambda x: (loss, np.full_like(x, value)), np.zeros(4), 200)
    assert run.status == Lbfgs.STUCK


def test_memory_is_thrown_away_when_the_function_changes_under_way() -> None:
    """Curvature learnt from one function points nowhere in the next."""
    optimiser = Lbfgs(np.zeros(10))
    first, second = quadratic(10, 1.0e4), lambda x: (float(np.abs(x + 3.0).sum()), np.sign(x + 3.0))
    for _ in range(30):
        optimiser.step(*first(optimiser.weights))
    before = second(optimiser.weights)[0]
    status = Lbfgs.RUNNING
    for _ in range(2000):
        status = optimiser.step(*second(optimiser.weights))
        if status != Lbfgs.RUNNING:
            break
    assert status != Lbfgs.RUNNING
    assert optimiser.restarts >= 1
    assert second(optimiser.weights)[0] < before


def test_unbounded_descent_does_not_hang_or_crash() -> None:
    run, _ = optimise(lambda x: (float(x.sum()), np.ones_like(x)), np.zeros(3), 500)
    assert run.losses[-1] < run.losses[0]


# --- beside SciPy ------------------------------------------------------------------------------


def scipy_evaluations(objective: Objective, start: np.ndarray, n: int, tolerance: float = 1.0e-6) -> list[np.ndarray]:
    """Return the points at which SciPy's L-BFGS-B asks for the loss."""
    optimize = pytest.importorskip("scipy.optimize")
    points: list[np.ndarray] = []

    def recorded(x: np.ndarray) -> tuple[float, np.ndarray]:
        points.append(x.copy())
        return objective(x)

    options = {"maxcor": 20, "ftol": 0.0, "gtol": tolerance, "maxfun": n, "maxiter": n}
    optimize.minimize(recorded, start, jac=True, method="L-BFGS-B", options=options)
    return points


@pytest.mark.parametrize("n, evaluations", [(2, 12), (10, 20), (40, 25)])
@pytest.mark.parametrize("name", ["quadratic", "rosenbrock", "wavy"])
def test_trajectory_equals_that_of_scipy(name: str, n: int, evaluations: int) -> None:
    objective = {"quadratic": quadratic(n, 100.0), "rosenbrock": rosenbrock, "wavy": wavy}[name]
    start = np.random.default_rng(n).normal(scale=1.5, size=n)
    theirs = scipy_evaluations(objective, start, evaluations)
    run, _ = optimise(objective, start, evaluations)
    compared = min(len(theirs), len(run.points), evaluations)
    assert compared >= 8
    for k in range(compared):
        np.testing.assert_allclose(
            run.points[k], theirs[k], rtol=0.0, atol=1e-8 * 10.0 ** max(0, k - 10), err_msg=f"evaluation {k}"
        )


@pytest.mark.parametrize("scale", [1.0e-6, 1.0e-2, 1.0e3])
def test_trajectory_equals_that_of_scipy_whatever_the_size_of_the_gradient(scale: float) -> None:
    def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = rosenbrock(x)
        return scale * loss, scale * gradient

    start = np.tile([-1.2, 1.0], 3)
    points = scipy_evaluations(scaled, start, 12, tolerance=1.0e-12)
    run, _ = optimise(scaled, start, 10, tolerance=1.0e-12)
    assert min(len(run.points), len(points)) >= 8
    for ours, theirs in zip(run.points, points):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-8)


# --- state -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1, 2, 7, 23, 40])
def test_continuing_from_a_saved_state_is_bitwise_the_same(stop: int) -> None:
    start = np.tile([-1.2, 1.0], 6)
    whole, _ = optimise(rosenbrock, start, 60, memory=5)
    first = Lbfgs(start, memory=5)
    for _ in range(stop):
        first.step(*rosenbrock(first.weights))
    saved = {key: value.copy() for key, value in first.state.items()}
    for _ in range(3):
        first.step(*rosenbrock(first.weights))  # must not touch what was saved
    second = Lbfgs(np.zeros(12), memory=5)
    second.restore(saved)
    for k in range(stop, len(whole.points)):
        np.testing.assert_array_equal(second.weights, whole.points[k], err_msg=f"evaluation {k}")
        second.step(*rosenbrock(second.weights))


def test_optimiser_leaves_the_callers_arrays_alone() -> None:
    start = np.array([-1.2, 1.0])
    optimiser = Lbfgs(start)
    loss, gradient = rosenbrock(start)
    kept = gradient.copy()
    optimiser.step(loss, gradient)
    np.testing.assert_array_equal(start, [-1.2, 1.0])
    np.testing.assert_array_equal(gradient, kept)
    assert not np.array_equal(optimiser.weights, start)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("rho"),
        lambda state: state.update(weights=np.zeros(4)),
        lambda state: state.update(s=np.zeros((6, 3))),
        lambda state: state.update(reals=np.zeros(2)),
    ],
    ids=["missing", "weights", "memory", "reals"],
)
def test_state_that_does_not_fit_is_refused_and_changes_nothing(change: Callable[[dict], None]) -> None:
    state = {key: value + 1 for key, value in Lbfgs(np.zeros(3), memory=5).state.items()}
    change(state)
    optimiser = Lbfgs(np.zeros(3), memory=5)
    with pytest.raises(TaylorfitError):
        optimiser.restore(state)
    np.testing.assert_array_equal(optimiser.weights, 0.0)
    np.testing.assert_array_equal(optimiser.state["s"], 0.0)


@pytest.mark.parametrize(
    "gradient", [np.zeros(2), np.zeros(4), np.zeros(0), np.zeros((3, 3))], ids=lambda g: str(g.shape)
)
def test_gradient_of_the_wrong_size_is_an_error(gradient: np.ndarray) -> None:
    with pytest.raises(EngineError):
        Lbfgs(np.zeros(3)).step(1.0, gradient)


@pytest.mark.parametrize(
    "key, value",
    [
        ("s", np.zeros((5, 4))),
        ("y", np.zeros((4, 3))),
        ("rho", np.zeros(0)),
        ("x_start", np.zeros(2)),
        ("g_start", np.zeros(4)),
        ("direction", np.zeros(0)),
        ("reals", np.zeros(3)),
        ("integers", np.zeros(9, dtype=np.int32)),
    ],
)
def test_state_arrays_of_the_wrong_size_are_errors(key: str, value: np.ndarray) -> None:
    optimiser = Lbfgs(np.ones(3), memory=5)
    with pytest.raises(TaylorfitError):
        optimiser.restore(optimiser.state | {key: value})
