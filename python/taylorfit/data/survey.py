"""A survey of a data set: shortest distances, neighbours, and atomic energies by least squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ..engine import neighbours
from ..model.structure import Structure

COINCIDING = 0.1
"""Atoms closer than this (Å) are an error in the data."""
REACH = 8.0
"""How far the survey looks, Å."""
MAX_ATOMS = 50_000
"""Distances are surveyed in evenly spaced structures with about so many atoms in all."""
BIN = 0.5
"""Neighbours are counted within multiples of this distance, Å."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Distances and neighbours of a data set."""

    species: tuple[str, ...]
    shortest: dict[tuple[str, str], float]
    """Shortest distance of each pair of species (in the order of `species`), Å; pairs that never
    come within `REACH` are missing."""
    where: dict[tuple[str, str], str]
    """Structure with the shortest distance."""
    radii: np.ndarray
    """(n_radius,) multiples of `BIN`, Å"""
    mean_neighbours: np.ndarray
    """(n_species, n_radius) mean number of neighbours within each radius, of all species"""
    most_neighbours: np.ndarray
    """(n_species, n_radius) largest number"""
    longest: float
    """Longest distance within `REACH`, Å; 0 if there are no pairs."""
    n_structures: int
    """Structures surveyed."""

    @property
    def shortest_of_all(self) -> float | None:
        """Shortest distance of any two atoms, Å; None if there are no pairs."""
        return min(self.shortest.values(), default=None)


def survey(
    structures: Sequence[Structure], species: tuple[str, ...], advance: Callable[[int], None] = lambda done: None
) -> Survey:
    """Look at the distances in (a sample of) the structures.

    Raises
    ------
    InputError
        for a degenerate cell; it names the structure.
    """
    n_atoms = sum(structure.n_atoms for structure in structures)
    step = max(1, -(-n_atoms // MAX_ATOMS))
    radii = np.arange(BIN, REACH + BIN / 2, BIN)
    index = {symbol: t for t, symbol in enumerate(species)}
    total, most = np.zeros((len(species), len(radii))), np.zeros((len(species), len(radii)), dtype=int)
    counted = np.zeros(len(species))
    shortest: dict[tuple[str, str], float] = {}
    where: dict[tuple[str, str], str] = {}
    longest = 0.0
    chosen = structures[::step]
    for done, structure in enumerate(chosen, start=1):
        types = np.array([index[symbol] for symbol in structure.symbols])
        first, atom, vector = neighbours(structure, REACH)
        distance = np.linalg.norm(vector, axis=1)
        centre = np.repeat(np.arange(structure.n_atoms), np.diff(first))
        within = np.searchsorted(radii, distance)  # a neighbour at r counts within all radii ≥ r
        counts = np.zeros((structure.n_atoms, len(radii) + 1), dtype=int)
        np.add.at(counts, (centre, within), 1)
        cumulative = counts.cumsum(axis=1)[:, :-1]
        for t in np.unique(types):
            rows = cumulative[types == t]
            total[t] += rows.sum(axis=0)
            most[t] = np.maximum(most[t], rows.max(axis=0))
            counted[t] += len(rows)
        for a, b in combinations_with_replacement(range(len(species)), 2):
            pair = distance[(types[centre] == a) & (types[atom] == b)]
            key = species[a], species[b]
            if len(pair) and pair.min() < shortest.get(key, np.inf):
                shortest[key], where[key] = float(pair.min()), structure.name
        longest = max(longest, float(distance.max(initial=0.0)))
        advance(done)
    mean = total / np.maximum(counted, 1)[:, None]
    return Survey(species, shortest, where, radii, mean, most, longest, len(chosen))


@dataclass(frozen=True)
class AtomicEnergyFit:
    """Energies of the isolated atoms that explain the total energies best."""

    energies: dict[str, float]
    """eV"""
    rmse: float
    """Of the total energies about the fit, eV per atom."""
    n_structures: int
    rank: int
    """Number of independent compositions, isolated atoms among them."""
    isolated: tuple[str, ...] = ()
    """Species whose energy is that of an isolated atom in the data."""

    @property
    def determined(self) -> bool:
        """Whether the compositions fix the energy of each species."""
        return self.rank == len(self.energies)

    @property
    def doubt(self) -> str | None:
        """What is not determined, in words; None if all is."""
        if self.determined:
            return None
        known = "composition" if self.rank == 1 else "independent compositions"
        return (
            f"{self.rank} {known} cannot determine {len(self.energies)} energies; "
            "the open part is the mean energy per atom"
        )


def fit_atomic_energies(structures: Sequence[Structure], species: tuple[str, ...]) -> AtomicEnergyFit | None:
    """Fit E = Σ n_species E_species to the total energies by least squares; None if there are none.

    Species of which the data hold isolated atoms have the (lowest) energy of these.  Structures count by their weights.
    Where the compositions leave it open (a single composition, say), every species gets the mean
    energy per atom plus the smallest correction that fits.
    """
    given = _isolated_energies(structures)
    known = [s for s in structures if s.energy is not None and s.weight > 0.0 and not s.is_isolated_atom]
    if not known and not given:
        return None
    open_species = [symbol for symbol in species if symbol not in given]
    counts = np.array([[s.symbols.count(symbol) for symbol in species] for s in known], dtype=float).reshape(
        -1, len(species)
    )
    n_atoms = counts.sum(axis=1)
    fractions = counts / n_atoms[:, None]
    fixed = np.array([given.get(symbol, 0.0) for symbol in species])
    energies = np.array([s.energy for s in known], dtype=float) / n_atoms
    is_open = np.array([symbol not in given for symbol in species])
    values, rank = fixed.copy(), 0
    if open_species and known:
        # Weighted as in a loss; the unknown of a species is its difference from the mean per atom
        rest, share = energies - fractions @ fixed, fractions[:, is_open]
        weight = np.array([s.weight for s in known])
        covered = share.sum(axis=1)
        mean = float((weight * covered * rest).sum() / max((weight * covered**2).sum(), 1e-300))
        root = np.sqrt(weight)
        correction, _, rank, _ = np.linalg.lstsq(share * root[:, None], (rest - mean * covered) * root, rcond=1e-8)
        values[is_open] = mean + correction
    residual = energies - fractions @ values
    weights = np.array([s.weight for s in known])
    return AtomicEnergyFit(
        energies={symbol: float(value) for symbol, value in zip(species, values)},
        rmse=float(np.sqrt(np.average(residual**2, weights=weights))) if known else 0.0,
        n_structures=sum(s.energy is not None for s in structures),
        rank=int(rank) + len(species) - len(open_species),
        isolated=tuple(symbol for symbol in species if symbol in given),
    )


def _isolated_energies(structures: Sequence[Structure]) -> dict[str, float]:
    """Lowest energy of the isolated atoms of each species that the data hold, eV."""
    found: dict[str, float] = {}
    for s in structures:
        if s.is_isolated_atom and s.energy is not None and s.converged:
            found[s.symbols[0]] = min(s.energy, found.get(s.symbols[0], np.inf))
    return found
