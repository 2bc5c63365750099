"""The engine's small kernels against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from engine_reference import ACTIVATION
from taylorfit import engine
from taylorfit.errors import EngineError
from taylorfit.model.activations import ACTIVATIONS

EPSILON = np.finfo(float).eps
LARGE = (19.0, 20.0, 22.0, 40.0, 700.0, 710.0, 1.0e5, 1.0e154, 1.0e300, np.inf)


@pytest.mark.parametrize("r_cut", [0.5, 3.5, 6.5, 20.0])
def test_cutoff_function_and_slope_equal_their_formulas(r_cut: float) -> None:
    r = np.concatenate([np.linspace(0.0, 1.2 * r_cut, 1003), [r_cut, np.nextafter(r_cut, 0.0), 1.0e-300]])
    fc, slope = engine.cutoff(r, r_cut)
    inside = r < r_cut
    np.testing.assert_allclose(
        fc, np.where(inside, 0.5 * (np.cos(np.pi * r / r_cut) + 1.0), 0.0), rtol=0.0, atol=4 * EPSILON
    )
    expected = np.where(inside, -0.5 * np.pi / r_cut * np.sin(np.pi * r / r_cut), 0.0)
    np.testing.assert_allclose(slope, expected, rtol=0.0, atol=8 * EPSILON / r_cut)


def test_cutoff_function_is_zero_at_and_beyond_the_cutoff() -> None:
    fc, slope = engine.cutoff(np.array([4.0, 4.0 + 1e-12, 5.0, 1.0e6, 1.0e300, np.inf]), 4.0)
    np.testing.assert_array_equal(fc, 0.0)
    np.testing.assert_array_equal(slope, 0.0)


def test_cutoff_function_has_no_points() -> None:
    fc, slope = engine.cutoff(np.zeros(0), 4.0)
    assert fc.shape == slope.shape == (0,)


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
@pytest.mark.parametrize("n", [0, 1, 3, 7, 8, 9, 1001])
def test_activation_equals_numpy(code: int, n: int) -> None:
    x = np.random.default_rng(n).normal(scale=3.0, size=n)
    value, slope = engine.activation(code, x)
    expected_value, expected_slope = ACTIVATION[code](x)
    np.testing.assert_allclose(value, expected_value, rtol=10 * EPSILON, atol=2 * EPSILON)
    np.testing.assert_allclose(slope, expected_slope, rtol=10 * EPSILON, atol=8 * EPSILON)


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_activation_saturates(code: int, sign: float) -> None:
    x = sign * np.array(LARGE)
    value, slope = engine.activation(code, x)
    expected_value, expected_slope = ACTIVATION[code](x)
    np.testing.assert_allclose(value, expected_value, rtol=4 * EPSILON, atol=2 * EPSILON)
    np.testing.assert_allclose(slope, expected_slope, rtol=0.0, atol=4 * EPSILON)


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_activation_of_tiny_arguments_keeps_relative_accuracy(code: int, sign: float) -> None:
    x = sign * np.array([5e-324, 1e-308, 1e-200, 1e-20, 1e-9, 1e-5, 1e-3, 0.1, 0.3465, 0.3466, 0.5])
    value, slope = engine.activation(code, x)
    expected_value, expected_slope = ACTIVATION[code](x)
    np.testing.assert_allclose(value, expected_value, rtol=6 * EPSILON, atol=5e-324)
    np.testing.assert_allclose(slope, expected_slope, rtol=6 * EPSILON)


def test_tanh_is_odd() -> None:
    x = np.random.default_rng(0).normal(scale=4.0, size=100)
    np.testing.assert_array_equal(engine.activation(1, x)[0], -engine.activation(1, -x)[0])


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
def test_nan_propagates_through_the_activation_and_stays_where_it_is(code: int) -> None:
    x = np.linspace(-1.0, 1.0, 19)
    x[7] = np.nan
    value, slope = engine.activation(code, x)
    np.testing.assert_array_equal(np.isnan(value), np.isnan(x))
    if ACTIVATIONS[code] != "linear":
        np.testing.assert_array_equal(np.isnan(slope), np.isnan(x))


@pytest.mark.parametrize("q", [8, 16, 40])
def test_panel_products_equal_numpy_for_every_shape(q: int) -> None:
    rng = np.random.default_rng(q)
    for n_in in (1, 2, 3, 4, 5, 7, 8, 13, 44):
        for n_out in (1, 2, 3, 4, 5, 6, 9, 10, 11, 16):
            x, w = rng.normal(size=(q, n_in)), rng.normal(size=(n_out, n_in))
            z, g = engine.panel_products(x, w)
            scale = n_in * q
            np.testing.assert_allclose(z, x @ w.T, rtol=0.0, atol=scale * 10 * EPSILON, err_msg=f"{n_in} {n_out}")
            np.testing.assert_allclose(g, z.T @ x, rtol=0.0, atol=scale * 100 * EPSILON, err_msg=f"{n_in} {n_out}")


def test_panel_products_accumulate() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(16, 7)), rng.normal(size=(6, 7))
    z, g = engine.panel_products(x, w, repeats=3)
    np.testing.assert_allclose(z, 3.0 * x @ w.T, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(g, (1.0 + 2.0 + 3.0) * (x @ w.T).T @ x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: engine.activation(5, np.zeros(3)),
        lambda: engine.activation(-1, np.zeros(3)),
        lambda: engine.panel_products(np.zeros((8, 3)), np.zeros((2, 4))),
        lambda: engine.activation(1, np.zeros((2, 2))),
        lambda: engine.cutoff(np.zeros((2, 2)), 1.0),
    ],
    ids=["activation 5", "activation -1", "panels that do not fit", "activation of a matrix", "cutoff of a matrix"],
)
def test_wrong_arguments_are_errors(call: object) -> None:
    with pytest.raises(EngineError):
        call()
