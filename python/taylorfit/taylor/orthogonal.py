"""Orthogonal displacements: no two copies of a structure carry the same information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..tools.randomness import Stream
from .balls import square, uniform_in_ball
from .displacements import INSIDE, DisplacementPlan, DisplacementStrategy
from .rigid import without_motions
from .selection import AtomSelection

_ROUNDS, _STEPS = 12, 2
_MAX_STEPS = 100  # a few are enough but for complete sets
_CONVERGES = 1.7
_ORTHONORMAL = 1e-14
_TINY = 1e-300


@dataclass(frozen=True)
class OrthogonalDisplacements(DisplacementStrategy):
    """Strategy B with the displacement vectors of a structure mutually orthogonal in 3N dimensions.

    A structure gets at most as many copies as there are independent displacements: 3N - 3, or
    3N - 6 without rotations, N being its displaced atoms.  The copies measure different components of the
    forces: a of 3N - 3 directions hold exactly a/(3N - 3) of the information, where random vectors repeat
    part of what others say.

    The vectors v_c fulfil v_c·v_c' = 0, Σ_i v_c(i) = 0 and |v_c(i)| ≤ δ_max(i), and are as long as that
    allows.  Starting from strategy B, (i) rigid motions are taken out and the vectors brought towards the nearest
    orthonormal ones (the polar factor, by the iteration of Newton and Schulz), (ii) every atom's part is given
    the length δ_max(i).  After a few rounds of this alternating projection (Tropp, Dhillon, Heath, Strohmer 2005)
    almost all atoms move by almost δ_max; a complete (i) and one factor per vector make all conditions exact.

    ⟨δ_x²⟩ is close to the largest possible value, δ_max²/3 (strategy B: δ_max²/5): 0.99 of it for up to half of
    all directions, 0.85 to 0.9 for all of them.  With unequal δ_max a complete set has less (0.6 for a ratio of
    0.7), because a complete basis cannot favour an atom.
    """

    name: ClassVar[str] = "orthogonal"
    _stream: ClassVar[Stream] = Stream.ORTHOGONAL

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the number of copies of each structure; see the class."""
        return self._shared_plan(selections, limited=True)

    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        deltas = self.deltas(selection)
        moved = np.flatnonzero(deltas)
        displacements = np.zeros((n_copies, len(deltas), 3))
        start = deltas[moved, None] * uniform_in_ball(self._rng(structure + 1, 0), (n_copies, len(moved)))
        displacements[:, moved] = _orthogonal(start, deltas[moved], self._motions(selection, moved))
        return displacements


def _orthogonal(vectors: np.ndarray, deltas: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Return orthogonal vectors near `vectors` (n_copy, n_moved, 3), without `motions`, inside the bounds `deltas`."""
    for _ in range(_ROUNDS):
        vectors = _towards_orthonormal(without_motions(vectors, motions), _STEPS)
        vectors *= (deltas / np.maximum(np.sqrt(square(vectors)), _TINY))[:, :, None]
    vectors = _towards_orthonormal(without_motions(vectors, motions), _MAX_STEPS)
    # Many steps let motions grow again out of rounding errors; few do not
    vectors = _towards_orthonormal(without_motions(vectors, motions), _STEPS)
    longest = (np.sqrt(square(vectors)) / deltas).max(axis=1)
    return vectors * (INSIDE / longest)[:, None, None]


def _towards_orthonormal(vectors: np.ndarray, n_steps: int) -> np.ndarray:
    """Approach the orthonormal vectors nearest to `vectors` in at most so many steps V ← (3 V - V Vᵀ V)/2.

    einsum, not matrix products: the bits of those depend on the number of threads of BLAS.
    """
    flat = vectors.reshape(len(vectors), -1)
    flat = flat / np.sqrt((flat**2).sum(axis=1))[:, None]
    products = np.einsum("cx,dx->cd", flat, flat)
    # The row sum bounds the squares of the singular values, which must stay below 3 to converge
    flat *= min(1.0, _CONVERGES / np.sqrt(np.abs(products).sum(axis=1).max()))
    for _ in range(n_steps):
        products = np.einsum("cx,dx->cd", flat, flat)
        if np.abs(products - np.eye(len(flat))).max() < _ORTHONORMAL:
            break
        flat = 1.5 * flat - 0.5 * np.einsum("cd,dx->cx", products, flat)
    return flat.reshape(vectors.shape)
