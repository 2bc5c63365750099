"""Uniform random points in balls."""

from __future__ import annotations

import numpy as np


def uniform_in_ball(rng: np.random.Generator, shape: tuple[int, ...], dimension: int = 3) -> np.ndarray:
    """Return (*shape, dimension) vectors, uniform in the unit ball.

    The first d coordinates of a uniform point on the unit sphere in d + 2 dimensions are uniform in the
    ball (Archimedes' theorem on the sphere and its cylinder), so no root is needed.
    """
    normal = rng.standard_normal((*shape, dimension + 2))
    return normal[..., :dimension] / np.sqrt(square(normal))[..., None]


def square(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths along the last axis; a loop over the few components beats a sum over short rows."""
    total = vectors[..., 0] * vectors[..., 0]
    for component in range(1, vectors.shape[-1]):
        total += vectors[..., component] * vectors[..., component]
    return total
