"""Shortest distances in a structure, and what they are in units of bonds."""

from __future__ import annotations

import numpy as np

from .elements import COVALENT_RADII, NOBLE_GASES
from .structure import Structure

_DISTANCE_ATOMS = 256  # centres looked at per structure; bounds the cost of large cells


def shortest_distances(structure: Structure) -> dict[str, float]:
    """Shortest distance of each pair of species (`H-O`), Å, over nearest images.

    Exact up to half the spacing of the lattice planes (short distances are what is looked for), never
    too short.  In structures with many atoms only evenly spaced centres are looked at.
    """
    n_atoms = structure.n_atoms
    if n_atoms < 2:
        return {}
    order = np.argsort(structure.symbols, kind="stable")
    symbols = np.array(structure.symbols)[order]
    centres = np.arange(n_atoms)[:: -(-n_atoms // _DISTANCE_ATOMS)]
    square = _squares(structure, order[centres], structure.positions[order])
    square[np.arange(len(centres)), centres] = np.inf
    species, first = np.unique(symbols, return_index=True)
    nearest = np.sqrt(np.minimum.reduceat(square, first, axis=1))  # (n_centre, n_species)
    result: dict[str, float] = {}
    for a in np.unique(symbols[centres]):
        for b, distance in zip(species, nearest[symbols[centres] == a].min(axis=0)):
            pair = "-".join(sorted((str(a), str(b))))
            if np.isfinite(distance):
                result[pair] = min(float(distance), result.get(pair, np.inf))
    return result


def typical_bond(structure: Structure) -> tuple[float, str, float] | None:
    """Nearest neighbour of the median atom: distance over the sum of the covalent radii, pair, distance in Å.

    The first is 0.8 to 1.3 for bonds, rattled structures included.  Noble gases count as no neighbours; None if there
    are no others.
    """
    radii = np.array([np.nan if s in NOBLE_GASES else COVALENT_RADII.get(s, np.nan) for s in structure.symbols])
    atoms = np.flatnonzero(np.isfinite(radii))
    if len(atoms) < 2:
        return None
    centres = atoms[:: -(-len(atoms) // _DISTANCE_ATOMS)]
    square = _squares(structure, centres, structure.positions[atoms])
    square[centres[:, None] == atoms] = np.inf
    relative = np.sqrt(square) / (radii[centres, None] + radii[atoms])
    nearest = relative.argmin(axis=1)
    lengths = relative[np.arange(len(centres)), nearest]
    middle = int(np.argsort(lengths)[(len(lengths) - 1) // 2])
    i, j = int(centres[middle]), int(atoms[nearest[middle]])
    pair = "-".join(sorted((structure.symbols[i], structure.symbols[j])))
    return float(lengths[middle]), pair, float(lengths[middle] * (radii[i] + radii[j]))


def _squares(structure: Structure, centres: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(n_centre, n_position) squared distances, Å², over nearest images."""
    difference = structure.positions[centres, None] - positions
    if any(structure.pbc):
        periodic = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
        difference -= np.rint(difference @ np.linalg.pinv(periodic)) @ periodic
    squares: np.ndarray = np.einsum("ijk,ijk->ij", difference, difference)
    return squares
