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
    positions = structure.positions[order]
    centres = np.arange(n_atoms)[:: -(-n_atoms // _DISTANCE_ATOMS)]
    difference = positions[centres, None] - positions
    if any(structure.pbc):
        periodic = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
        difference -= np.rint(difference @ np.linalg.pinv(periodic)) @ periodic
    square = np.einsum("ijk,ijk->ij", difference, difference)
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


def bond_lengths(shortest: dict[str, float]) -> dict[str, float]:
    """Shortest distances over the sums of covalent radii: 0.8 to 1.3 for bonds; pairs without such radii are missing."""
    result = {}
    for pair, distance in shortest.items():
        a, b = pair.split("-")
        if a in COVALENT_RADII and b in COVALENT_RADII and not {a, b} & NOBLE_GASES:
            result[pair] = distance / (COVALENT_RADII[a] + COVALENT_RADII[b])
    return result
