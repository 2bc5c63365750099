"""Single kernels of the engine: for tests, benchmarks, and choices of structures."""

from __future__ import annotations

import numpy as np

from . import library
from .library import call, thread_count


def cutoff(r: np.ndarray, r_cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine cutoff function and its derivative (1/Å) at distances `r` (n,), Å."""
    r = np.ascontiguousarray(r, dtype=np.float64)
    fc, slope = np.empty_like(r), np.empty_like(r)
    call(library.structures.cutoff, r, float(r_cut), fc, slope)
    return fc, slope


def activation(code: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return value and slope of an activation function (code as in `activations.ACTIVATIONS`)."""
    value = np.array(x, dtype=np.float64)
    slope = np.empty_like(value)
    call(library.optimisers.activation, int(code), value, slope)
    return value, slope


def panel_products(x: np.ndarray, w: np.ndarray, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return z = repeats·x wᵀ accumulated, and g = Σ zᵀ x: the dense kernels, for tests and benchmark.

    `x` is (n_q, n_in) with n_q a multiple of `LANES`, `w` is (n_out, n_in).
    """
    x, w = np.asfortranarray(x, dtype=np.float64), np.asfortranarray(w, dtype=np.float64)
    z = np.zeros((x.shape[0], w.shape[0]), order="F")
    g = np.zeros_like(w, order="F")
    call(library.optimisers.panel_products, x, w, z, g, int(repeats))
    return z, g


def blas_product(a: np.ndarray, b: np.ndarray, repeats: int = 1) -> np.ndarray:
    """Return a b, computed `repeats` times by the engine's BLAS on one thread: for tests and benchmark."""
    a, b = np.asfortranarray(a, dtype=np.float64), np.asfortranarray(b, dtype=np.float64)
    c = np.zeros((a.shape[0], b.shape[1]), order="F")
    call(library.optimisers.blas_product, a, b, c, int(repeats))
    return c


def farthest_points(
    points: np.ndarray, given: np.ndarray, n: int, weights: np.ndarray, threads: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Choose points far from each other and from given ones: always the one with the largest weight times distance².

    Parameters
    ----------
    points, given
        (n_point, n_dimension) and (n_given, n_dimension), at least one given.
    n
        How many, at most n_point.
    weights
        (n_point,) not negative.
    threads
        0: all cores.  The result does not depend on it.

    Returns
    -------
    chosen
        (n,) int32 places in `points`, in the order in which they were chosen; of equal ones the first
    distances
        (n,) of each, when it was chosen, to the nearest point there was
    """
    everything = np.ascontiguousarray(np.concatenate([given, points]), dtype=np.float64)
    chosen, distances = np.zeros(n, dtype=np.int32), np.zeros(n)
    scale = np.ascontiguousarray(weights, dtype=np.float64)
    call(library.descriptors.farthest, everything.T, len(given), scale, thread_count(threads), chosen, distances)
    return chosen - 1, distances
