"""Force maps: how descriptors change when atoms move, kept from epoch to epoch (fortran/force_map.f90)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..model.structure import Structure
from . import library
from .descriptors import Batch, DescriptorTables
from .library import LANES, call, integers, thread_count

WINDOW = LANES
"""Points of the radial grid that a pair touches."""
BATCH_ATOMS = 4096
"""Atoms per engine call: short enough for progress and Ctrl-C."""
PAIR_BYTES = 2 * 4 + 4 * 4 + 4 * WINDOW
"""Of a pair: the other atom and the place on the grid, the unit vector, and the weights of the slopes."""


@dataclass(frozen=True, eq=False)
class ForceMap:
    """The linear maps of all structures of a data set; atoms of each are ordered by species.

    Built by `force_map`, or from derivatives of descriptors that a file holds.
    """

    radial_count: np.ndarray
    """(n_species,) int32 radial functions of each centre that pairs serve"""
    radial_half: np.ndarray
    """(n_species,) int32 place before their weighted half, 0 if none"""
    weight: np.ndarray
    """(n_species, n_species) Fortran order: weight of a neighbour species (first) for a centre"""
    group_count: np.ndarray
    """(n_species, n_species) int32 Fortran order: functions of the group of a neighbour species (first) of a centre"""
    group_feature: np.ndarray
    """(2, n_group, n_species, n_species) int32 Fortran order: the descriptor values they are"""
    pair_first: np.ndarray
    """(n_atom·n_species + 1,) int64"""
    pair_atom: np.ndarray
    """(n_pair,) int32: other atom, from 1 within its structure"""
    pair_place: np.ndarray
    """(n_pair,) int32: points of the radial grid before the window"""
    pair_unit: np.ndarray
    """(n_pair, 4) float32 unit vector and 0"""
    pair_value: np.ndarray
    """(n_pair, WINDOW) float32 weights of the radial functions' slopes on the grid, 1/Å (fortran/radial_grid.f90)"""
    group_atom_first: np.ndarray
    """(n_atom·n_species + 1,) int64"""
    group_value_first: np.ndarray
    """(n_atom·n_species + 1,) int64"""
    group_atom: np.ndarray
    """int32 neighbours of each group, from 1 within their structure"""
    group_value: np.ndarray
    """float32 derivatives of the functions of each group, 1/Å"""
    first_atom: np.ndarray
    """(n_structure + 1,) int64"""
    species: np.ndarray
    """(n_atom,) int32 from 1"""

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The arrays as the engine wants them."""
        return (
            self.radial_count,
            self.radial_half,
            self.weight,
            self.group_count,
            self.group_feature,
            self.pair_first,
            self.pair_atom,
            self.pair_place,
            self.pair_unit.T,
            self.pair_value.T,
            self.group_atom_first,
            self.group_value_first,
            self.group_atom,
            self.group_value,
        )

    @property
    def nbytes(self) -> int:
        """Memory of the map."""
        return sum(array.nbytes for array in self.arguments())

    def part(self, structure: int) -> ForceMap:
        """The map of one structure; its values are views."""
        atoms = slice(self.first_atom[structure], self.first_atom[structure + 1])
        n_species = len(self.radial_count)
        groups = slice(atoms.start * n_species, atoms.stop * n_species + 1)

        def cut(first: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
            here = first[groups]
            return [here - here[0], *(array[here[0] : here[-1]] for array in values)]

        pairs = cut(self.pair_first, self.pair_atom, self.pair_place, self.pair_unit, self.pair_value)
        group_atoms, group_values = (
            cut(self.group_atom_first, self.group_atom),
            cut(self.group_value_first, self.group_value),
        )
        return replace(
            self,
            pair_first=pairs[0],
            pair_atom=pairs[1],
            pair_place=pairs[2],
            pair_unit=pairs[3],
            pair_value=pairs[4],
            group_atom_first=group_atoms[0],
            group_atom=group_atoms[1],
            group_value_first=group_values[0],
            group_value=group_values[1],
            first_atom=np.array([0, atoms.stop - atoms.start], dtype=np.int64),
            species=self.species[atoms],
        )

    def check(self, n_features: np.ndarray) -> ForceMap:
        """Return the map, having checked that it names only atoms of its structures and places of its grid.

        Parameters
        ----------
        n_features
            (n_species,) values of each descriptor.

        Raises
        ------
        EngineError
            if not.
        """
        call(library.force_maps.force_map_check, integers(n_features), self.first_atom, self.species, *self.arguments())
        return self


def no_pairs(n_atoms: int, n_species: int) -> dict[str, np.ndarray]:
    """The arrays of a `ForceMap` without pairs."""
    none = np.zeros(0, dtype=np.int32)
    return {
        "pair_first": np.zeros(n_atoms * n_species + 1, dtype=np.int64),
        "pair_atom": none,
        "pair_place": none,
        "pair_unit": np.zeros((0, 4), dtype=np.float32),
        "pair_value": np.zeros((0, WINDOW), dtype=np.float32),
    }


def empty_map(n_species: int) -> ForceMap:
    """The map of no atoms."""
    none, zero = np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64)
    count = np.zeros(n_species, dtype=np.int32)
    square = (n_species, n_species)
    return ForceMap(
        radial_count=count,
        radial_half=count,
        weight=np.zeros(square, order="F"),
        group_count=np.zeros(square, dtype=np.int32, order="F"),
        group_feature=np.zeros((2, 1, *square), dtype=np.int32, order="F"),
        **no_pairs(0, n_species),
        group_atom_first=zero,
        group_value_first=zero,
        group_atom=none,
        group_value=np.zeros(0, dtype=np.float32),
        first_atom=zero,
        species=none,
    )


def canonical_order(species: np.ndarray) -> np.ndarray:
    """(n_atom,) order of the atoms in packs and force maps: by species, else as they were."""
    return np.argsort(species, kind="stable")


def in_canonical_order(structure: Structure, species: np.ndarray) -> Structure:
    """The structure with its atoms by species; `species` are their indices."""
    order = canonical_order(species)
    return replace(
        structure,
        symbols=tuple(structure.symbols[i] for i in order),
        positions=structure.positions[order],
        forces=None if structure.forces is None else structure.forces[order],
    )


def force_map(
    structures: Sequence[Structure],
    tables: DescriptorTables,
    threads: int = 0,
    advance: Callable[[int], None] = lambda done: None,
    merged: bool | None = None,
) -> ForceMap:
    """Build the map of structures.

    Parameters
    ----------
    structures
        In any order of their atoms; the map has them by species.
    threads
        0: all cores.
    advance
        Called with the number of structures done.
    merged
        Sum up periodic images also of the radial functions; None: whichever is smaller.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    ordered = [in_canonical_order(s, s.species_index(tables.species)) for s in structures]
    layouts = [_Layout.of(ordered, tables, choice, threads) for choice in (False, True) if merged in (None, choice)]
    layout = min(layouts, key=lambda one: one.nbytes)
    result = layout.allocate()
    done = 0
    for part in _parts(ordered):
        batch = Batch.of(part, tables)
        call(
            library.force_maps.force_map_values,
            *tables.arguments(),
            *batch.arguments(),
            int(layout.merged),
            int(result.first_atom[done]),
            *result.arguments(),
            thread_count(threads),
            names=batch.names,
        )
        done += len(part)
        advance(done)
    return result.check(tables.n_function)


def _parts(structures: Sequence[Structure]) -> Iterator[Sequence[Structure]]:
    """Cut into runs of about `BATCH_ATOMS` atoms."""
    start, n = 0, 0
    for index, structure in enumerate(structures):
        n += structure.n_atoms
        if n >= BATCH_ATOMS or index == len(structures) - 1:
            yield structures[start : index + 1]
            start, n = index + 1, 0


@dataclass(frozen=True, eq=False)
class _Layout:
    """Tables and sizes of a map before it is filled."""

    merged: bool
    tables: tuple[np.ndarray, ...]
    n_pairs: np.ndarray
    """(n_atom, n_species)"""
    n_neighbours: np.ndarray
    """(n_atom, n_species)"""
    first_atom: np.ndarray
    species: np.ndarray

    @classmethod
    def of(cls, structures: Sequence[Structure], tables: DescriptorTables, merged: bool, threads: int) -> _Layout:
        n, widest = len(tables.setups), int(tables.n_function.max())
        radial_count, radial_half = (np.zeros(n, dtype=np.int32) for _ in range(2))
        weight = np.zeros((n, n), order="F")
        group_count = np.zeros((n, n), dtype=np.int32, order="F")
        group_feature = np.zeros((2, widest, n, n), dtype=np.int32, order="F")
        call(
            library.force_maps.force_map_tables,
            *tables.arguments(),
            int(merged),
            radial_count,
            radial_half,
            weight,
            group_count,
            group_feature,
        )
        n_group = max(1, int(group_count.max()))
        batch = Batch.of(structures, tables)
        n_pairs, n_neighbours = (np.zeros((len(batch.species), n), dtype=np.int32) for _ in range(2))
        call(
            library.force_maps.force_map_sizes,
            *tables.arguments(),
            *batch.arguments(),
            int(merged),
            thread_count(threads),
            n_pairs.T,
            n_neighbours.T,
            names=batch.names,
        )
        return cls(
            merged,
            (radial_count, radial_half, weight, group_count, np.asfortranarray(group_feature[:, :n_group])),
            n_pairs,
            n_neighbours,
            batch.first_atom.astype(np.int64),
            batch.species,
        )

    @property
    def group_sizes(self) -> np.ndarray:
        """(n_atom, n_species) values of each group."""
        return group_lanes(self.n_neighbours) * self.tables[3].T[self.species - 1].astype(np.int64)

    @property
    def nbytes(self) -> int:
        return int(4 * self.group_sizes.sum() + PAIR_BYTES * self.n_pairs.sum(dtype=np.int64))

    def allocate(self) -> ForceMap:
        n_pairs, sizes = int(self.n_pairs.sum(dtype=np.int64)), self.group_sizes
        return ForceMap(
            *self.tables,
            pair_first=offsets(self.n_pairs.ravel()),
            pair_atom=np.ones(n_pairs, dtype=np.int32),
            pair_place=np.zeros(n_pairs, dtype=np.int32),
            pair_unit=np.zeros((n_pairs, 4), dtype=np.float32),
            pair_value=np.zeros((n_pairs, WINDOW), dtype=np.float32),
            group_atom_first=offsets(self.n_neighbours.ravel()),
            group_value_first=offsets(sizes.ravel()),
            group_atom=np.ones(int(self.n_neighbours.sum(dtype=np.int64)), dtype=np.int32),
            group_value=np.zeros(int(sizes.sum()), dtype=np.float32),
            first_atom=self.first_atom,
            species=self.species,
        )


def group_lanes(n_neighbours: np.ndarray) -> np.ndarray:
    """Rows of the matrix of a group: three components for each neighbour, padded."""
    return (-(-3 * n_neighbours.astype(np.int64) // LANES)) * LANES


def offsets(counts: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 running sum from 0."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def changes_along(
    map_: ForceMap, structure: int, displacements: np.ndarray, n_features: np.ndarray, factor: np.ndarray
) -> np.ndarray:
    """Return the changes of the standardised descriptors of one structure along displacements of its atoms.

    Parameters
    ----------
    structure
        Its number in the map.
    displacements
        (n_direction, n_atom, 3), atoms by species, Å.
    n_features, factor
        (n_species,) and (n_feature_most, n_species): values of each descriptor, and their standardisation.

    Returns
    -------
    np.ndarray
        (n_direction, n_value) float32; per species, feature by feature, atom by atom.
    """
    part = map_.part(structure)
    change = np.zeros((len(displacements), int(n_features[part.species - 1].sum())), dtype=np.float32)
    call(
        library.force_maps.force_map_changes,
        integers(n_features),
        part.species,
        np.asfortranarray(factor),
        *part.arguments(),
        np.ascontiguousarray(displacements).T,
        change.T,
    )
    return change


def strain_changes(structures: Sequence[Structure], tables: DescriptorTables, threads: int = 0) -> list[np.ndarray]:
    """Return the derivatives of the raw descriptors with respect to homogeneous strains.

    Returns
    -------
    list of np.ndarray
        for each structure (n_value, 6): atom after atom as the structure has them; strains xx, yy, zz, yz, xz, xy.

    Raises
    ------
    InputError
        as `force_map`.
    """
    batch = Batch.of(structures, tables)
    sizes = [
        int(tables.n_function[batch.species[a:b] - 1].sum()) for a, b in zip(batch.first_atom, batch.first_atom[1:])
    ]
    values = np.zeros((6, sum(sizes)))
    call(
        library.force_maps.strain_changes,
        *tables.arguments(),
        *batch.arguments(),
        thread_count(threads),
        values.T,
        names=batch.names,
    )
    return [part.T for part in np.split(values, np.cumsum(sizes)[:-1], axis=1)]
