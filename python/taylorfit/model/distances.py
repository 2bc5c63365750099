"""Nearest images, shortest distances in a structure, and what they are in units of bonds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .elements import COVALENT_RADII, NOBLE_GASES
from .structure import Structure

_DISTANCE_ATOMS = 256  # centres looked at per structure; bounds the cost of large cells
_BLOCK = 1 << 16  # pairs of atoms looked at together; bounds the memory


def shortest_distances(structures: Sequence[Structure]) -> list[dict[str, float]]:
    """Shortest distance of each pair of species (`H-O`) in each structure, Å, over nearest images.

    Exact up to half the spacing of the lattice planes (short distances are what is looked for), never
    too short.  In structures with many atoms only evenly spaced centres are looked at.
    """
    found: list[dict[str, float]] = [{} for _ in structures]
    groups: dict[tuple[tuple[str, ...], tuple[bool, ...]], list[int]] = {}
    for index, structure in enumerate(structures):
        if structure.n_atoms > 1:
            groups.setdefault((structure.symbols, structure.pbc), []).append(index)
    for (symbols, _), members in groups.items():
        step = max(1, _BLOCK // (min(len(symbols), _DISTANCE_ATOMS) * len(symbols)))
        for first in range(0, len(members), step):
            part = members[first : first + step]
            pairs, distances = _shortest_of_kind(symbols, [structures[index] for index in part])
            for index, row in zip(part, distances.T.tolist()):
                found[index] = {pair: distance for pair, distance in zip(pairs, row) if distance < np.inf}
    return found


def _shortest_of_kind(symbols: tuple[str, ...], structures: Sequence[Structure]) -> tuple[list[str], np.ndarray]:
    """Pairs of species, and (n_pair, n_structure) their shortest distances, of structures with the same atoms."""
    order = np.argsort(symbols, kind="stable")
    species = sorted(set(symbols))
    first = [0]
    for symbol in species[:-1]:
        first.append(first[-1] + symbols.count(symbol))
    centres = np.arange(len(symbols))[:: -(-len(symbols) // _DISTANCE_ATOMS)]
    sorted_symbols = np.array(symbols)[order]
    positions = np.stack([structure.positions for structure in structures])
    square = _squares(structures, positions[:, order[centres]], positions[:, order])
    square[:, np.arange(len(centres)), centres] = np.inf
    nearest = np.sqrt(np.minimum.reduceat(square, first, axis=2))  # (n_structure, n_centre, n_species)
    shortest: dict[str, np.ndarray] = {}
    for a in species:
        own = sorted_symbols[centres] == a
        for b, distances in zip(species, nearest[:, own].min(axis=1, initial=np.inf).T):
            pair = "-".join(sorted((a, b)))
            shortest[pair] = np.minimum(distances, shortest[pair]) if pair in shortest else distances
    return list(shortest), np.stack(list(shortest.values()))


def shortest_of_pairs(structures: Sequence[Structure]) -> dict[str, float]:
    """Shortest distance of each pair of species (`H-O`) in any of the structures, Å; see `shortest_distances`."""
    shortest: dict[str, float] = {}
    for found in shortest_distances(structures):
        for pair, length in found.items():
            shortest[pair] = min(length, shortest.get(pair, np.inf))
    return shortest


def nearest_image(vectors: np.ndarray, structure: Structure) -> np.ndarray:
    """(…, 3) vectors to the nearest periodic images, Å.

    Exact for vectors shorter than half the spacing of the lattice planes, which those between near frames are.
    """
    if not any(structure.pbc):
        return vectors
    periodic = np.where(np.array(structure.pbc)[:, None], structure.cell, 0.0)
    return vectors - np.rint(vectors @ np.linalg.pinv(periodic)) @ periodic


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
    square = _squares([structure], structure.positions[None, centres], structure.positions[None, atoms])[0]
    square[centres[:, None] == atoms] = np.inf
    relative = np.sqrt(square) / (radii[centres, None] + radii[atoms])
    nearest = relative.argmin(axis=1)
    lengths = relative[np.arange(len(centres)), nearest]
    middle = int(np.argsort(lengths)[(len(lengths) - 1) // 2])
    i, j = int(centres[middle]), int(atoms[nearest[middle]])
    pair = "-".join(sorted((structure.symbols[i], structure.symbols[j])))
    return float(lengths[middle]), pair, float(lengths[middle] * (radii[i] + radii[j]))


def _squares(structures: Sequence[Structure], centres: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(n_structure, n_centre, n_position) squared distances, Å², over nearest images, of structures of one pbc.

    `centres` and `positions` are (n_structure, n, 3).
    """
    # Components first: loops along atoms are long
    x, y = (np.ascontiguousarray(np.moveaxis(points, 2, 0)) for points in (centres, positions))
    difference = x[..., :, None] - y[..., None, :]
    if any(structures[0].pbc):
        periodic = np.stack([np.where(np.array(s.pbc)[:, None], s.cell, 0.0) for s in structures])
        inverse = np.linalg.pinv(periodic)
        a, b = (np.ascontiguousarray(np.moveaxis(points @ inverse, 2, 0)) for points in (centres, positions))
        turns = np.rint(a[..., :, None] - b[..., None, :])
        for component in range(3):
            for vector in range(3):
                difference[component] -= turns[vector] * periodic[:, vector, component, None, None]
    difference *= difference
    squares: np.ndarray = difference[0] + difference[1] + difference[2]
    return squares
