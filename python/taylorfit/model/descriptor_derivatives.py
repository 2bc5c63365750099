"""Derivatives of descriptors with respect to positions, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class AtomDerivatives:
    """Derivatives of the raw descriptor of one atom."""

    species: int
    """Index of the atom's species, from 0."""
    neighbours: np.ndarray
    """(n_neighbour,) int32: the atom, from 0, of which each neighbour is an image"""
    own: np.ndarray
    """(n_feature, 3) dG/dR of the atom itself, 1/Å; minus the sum of `images`"""
    images: np.ndarray
    """(n_neighbour, n_feature, 3) dG/dR of each neighbour, 1/Å"""


@dataclass(frozen=True, eq=False)
class StructureDerivatives:
    """Derivatives of all descriptors of one structure."""

    name: str
    n_atoms: int
    n_species_in: int
    """Number of different species in the structure."""
    atoms: tuple[AtomDerivatives, ...] | None
    """One for each atom; None if the structure was not chosen (FORCESPERCENT)."""
