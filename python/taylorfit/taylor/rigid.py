"""Rigid motions: what displacements must not contain because the energy does not know it."""

from __future__ import annotations

import numpy as np

_RANK = 1e-6  # relative to the largest: rotations of atoms on a line about that line


def rigid_motions(n_atoms: int, positions: np.ndarray | None = None) -> np.ndarray:
    """Return an orthonormal basis of the rigid motions of some atoms.

    Parameters
    ----------
    positions
        (n_atom, 3) Å, for infinitesimal rotations too; None: translations alone.

    Returns
    -------
    np.ndarray
        (n_motion, n_atom, 3): three translations and, with `positions`, up to three rotations about the
        mean of the positions (two for atoms on a line, none for one atom).  A displacement without any
        component along them fulfils Σ_i δ_i = 0 and Σ_i r_i × δ_i = 0.
    """
    translations = np.zeros((3, n_atoms, 3))
    translations[[0, 1, 2], :, [0, 1, 2]] = 1.0 / np.sqrt(n_atoms)
    if positions is None or n_atoms < 2:
        return translations
    arms = positions - positions.mean(axis=0)
    # Principal axes of Σ r rᵀ: rotations about them are orthogonal to each other
    squares, axes = np.linalg.eigh(np.einsum("ix,iy->xy", arms, arms))
    sizes = squares.sum() - squares  # Σ |axis × r|²
    kept = sizes > _RANK**2 * sizes.max(initial=0.0)
    turns = np.cross(axes.T[kept][:, None, :], arms[None]) / np.sqrt(sizes[kept])[:, None, None]
    return np.concatenate([translations, turns])


def without_motions(displacements: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Take the components along orthonormal `motions` (n_motion, n_atom, 3) out of (…, n_atom, 3)."""
    along = np.einsum("...ix,mix->...m", displacements, motions)
    return displacements - np.einsum("...m,mix->...ix", along, motions)
