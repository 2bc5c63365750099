"""Force maps: how descriptors change when atoms move, kept from epoch to epoch (fortran/force_map.f90)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from ..model.structure import Structure
from . import library
from .descriptors import Batch, DescriptorTables
from .handles import Handle, Zeros, aligned_zeros, views
from .library import LANES, call, thread_count

WINDOW = LANES
"""Points of the radial grid that a pair touches."""
BATCH_ATOMS = 2048
"""Atoms per thread and engine call: half a second at most, so that progress and Ctrl-C also reach worker threads."""
PAIR_BYTES = 2 * 4 + 4 * 4 + 4 * WINDOW
"""Of a pair: the other atom and the place on the grid, the unit vector, and the weights of the slopes."""


@dataclass(frozen=True, eq=False)
class ForceMap:
    """The linear maps of all structures of a data set; atoms of each are ordered by species.

    Built by `force_map`, or from derivatives of descriptors that a file holds.
    """

    radial_count: np.ndarray
    """(n_species,) int32 radial functions of each centre that pairs serve on a grid"""
    radial_half: np.ndarray
    """(n_species,) int32 place before their weighted half, 0 if none"""
    pair_feature: np.ndarray
    """(n_most, n_species, n_species) int32 Fortran order: descriptor values of the radial functions of a neighbour
    species (second) and a centre that pairs serve one by one, then 0"""
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
    """int32 derivatives of the functions of each group, two in a word, as multiples of `group_scale`"""
    group_scale: np.ndarray
    """(n_atom, n_species, n_group) float32 of each function of each group, 1/Å"""
    first_atom: np.ndarray
    """(n_structure + 1,) int64"""
    species: np.ndarray
    """(n_atom,) int32 from 1"""

    n_features: np.ndarray
    """(n_species,) int32 values of each descriptor"""

    @cached_property
    def handle(self) -> Handle:
        """The map in the engine, which has views of the arrays.

        Raises
        ------
        EngineError
            if it names atoms that are not in its structures, places beyond its grid, or other functions.
        """
        return self.make_handle()

    def make_handle(self, with_values: bool = True) -> Handle:
        """Return the map in the engine; without values as a place for these."""
        handle = Handle(library.force_maps.force_map_handle)
        table = views(
            ("radial_count", self.radial_count, np.int32, 1),
            ("radial_half", self.radial_half, np.int32, 1),
            ("pair_feature", self.pair_feature, np.int32, 3),
            ("weight", self.weight, np.float64, 2),
            ("group_count", self.group_count, np.int32, 2),
            ("group_feature", self.group_feature, np.int32, 4),
            ("pair_first", self.pair_first, np.int64, 1),
            ("pair_atom", self.pair_atom, np.int32, 1),
            ("pair_place", self.pair_place, np.int32, 1),
            ("pair_unit", self.pair_unit.T, np.float32, 2),
            ("pair_value", self.pair_value.T, np.float32, 2),
            ("group_atom_first", self.group_atom_first, np.int64, 1),
            ("group_value_first", self.group_value_first, np.int64, 1),
            ("group_atom", self.group_atom, np.int32, 1),
            ("group_value", self.group_value, np.int32, 1),
            ("group_scale", self.group_scale.T, np.float32, 3),
            ("first_atom", self.first_atom, np.int64, 1),
            ("species", self.species, np.int32, 1),
            written=not with_values,
        )
        call(library.force_maps.force_map_fill, handle.object, self.n_features, int(with_values), table)
        handle.keep(*self._arrays())
        return handle

    def _arrays(self) -> list[np.ndarray]:
        return [getattr(self, field.name) for field in fields(self)]

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "handle"}

    @property
    def nbytes(self) -> int:
        """Memory of the map."""
        return sum(array.nbytes for array in self._arrays())


def no_pairs(n_atoms: int, n_species: int) -> dict[str, np.ndarray]:
    """The arrays of a `ForceMap` without pairs."""
    none = np.zeros(0, dtype=np.int32)
    return {
        "radial_count": np.zeros(n_species, dtype=np.int32),
        "radial_half": np.zeros(n_species, dtype=np.int32),
        "pair_feature": np.zeros((0, n_species, n_species), dtype=np.int32, order="F"),
        "weight": np.zeros((n_species, n_species), order="F"),
        "pair_first": np.zeros(n_atoms * n_species + 1, dtype=np.int64),
        "pair_atom": none,
        "pair_place": none,
        "pair_unit": np.zeros((0, 4), dtype=np.float32),
        "pair_value": np.zeros((0, WINDOW), dtype=np.float32),
    }


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
    return force_map_layout(structures, tables, threads, merged).build(threads, advance)


def force_map_layout(
    structures: Sequence[Structure], tables: DescriptorTables, threads: int = 0, merged: bool | None = None
) -> ForceMapLayout:
    """Return what the map of structures will look like, and how large it will be; arguments as of `force_map`."""
    ordered = [in_canonical_order(s, s.species_index(tables.species)) for s in structures]
    batch = Batch.of(ordered, tables)
    # Pairs and neighbours; none and more neighbours with everything in groups
    counts = np.zeros((3, len(batch.species), len(tables.setups)), dtype=np.int32)
    first = 0
    for part in _parts(ordered, threads):
        some = Batch.of(part, tables)
        atoms = slice(first, first + len(some.species))
        call(
            library.force_maps.force_map_sizes,
            tables.handle.object,
            some.views(),
            thread_count(threads),
            *(array[atoms].T for array in counts),
            names=some.names,
        )
        first = atoms.stop
    n_pairs, n_neighbours, n_merged = counts
    layouts = [
        ForceMapLayout.of(ordered, batch, tables, choice, *of)
        for choice, of in ((False, (n_pairs, n_neighbours)), (True, (np.zeros_like(n_pairs), n_merged)))
        if merged in (None, choice)
    ]
    return min(layouts, key=lambda one: one.n_value_bytes)


def _parts(structures: Sequence[Structure], threads: int) -> Iterator[Sequence[Structure]]:
    """Cut into runs of about `BATCH_ATOMS` atoms for each thread."""
    most = BATCH_ATOMS * thread_count(threads)
    start, n = 0, 0
    for index, structure in enumerate(structures):
        n += structure.n_atoms
        if n >= most or index == len(structures) - 1:
            yield structures[start : index + 1]
            start, n = index + 1, 0


@dataclass(frozen=True, eq=False)
class ForceMapLayout:
    """Tables and sizes of a map before it is filled."""

    structures: Sequence[Structure]
    """In canonical order."""
    descriptors: DescriptorTables
    merged: bool
    tables: dict[str, np.ndarray]
    """Fields of the map that its structures do not change"""
    n_pairs: np.ndarray
    """(n_atom, n_species)"""
    n_neighbours: np.ndarray
    """(n_atom, n_species)"""
    first_atom: np.ndarray
    species: np.ndarray
    n_features: np.ndarray

    @classmethod
    def of(
        cls,
        structures: Sequence[Structure],
        batch: Batch,
        tables: DescriptorTables,
        merged: bool,
        n_pairs: np.ndarray,
        n_neighbours: np.ndarray,
    ) -> ForceMapLayout:
        """Find the tables for structures in canonical order, whose pairs and neighbours are known."""
        n, widest = len(tables.setups), int(tables.n_function.max())
        radial_count, radial_half = (np.zeros(n, dtype=np.int32) for _ in range(2))
        pair_feature = np.zeros((widest, n, n), dtype=np.int32, order="F")
        weight = np.zeros((n, n), order="F")
        group_count = np.zeros((n, n), dtype=np.int32, order="F")
        group_feature = np.zeros((2, widest, n, n), dtype=np.int32, order="F")
        call(
            library.force_maps.force_map_tables,
            tables.handle.object,
            int(merged),
            radial_count,
            radial_half,
            pair_feature,
            weight,
            group_count,
            group_feature,
        )
        n_most = int((pair_feature > 0).any(axis=(1, 2)).sum())
        n_group = max(1, int(group_count.max()))
        return cls(
            structures,
            tables,
            merged,
            {
                "radial_count": radial_count,
                "radial_half": radial_half,
                "pair_feature": np.asfortranarray(pair_feature[:n_most]),
                "weight": weight,
                "group_count": group_count,
                "group_feature": np.asfortranarray(group_feature[:, :n_group]),
            },
            n_pairs,
            n_neighbours,
            batch.first_atom.astype(np.int64),
            batch.species,
            tables.n_function,
        )

    @property
    def group_sizes(self) -> np.ndarray:
        """(n_atom, n_species) words of each group."""
        return group_words(self.n_neighbours, self.tables["group_count"].T[self.species - 1])

    @property
    def n_value_bytes(self) -> int:
        """Bytes of pairs and of the values of groups, by which layouts are chosen."""
        return int(4 * self.group_sizes.sum() + PAIR_BYTES * self.n_pairs.sum(dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that `build` takes from `zeros`."""
        return self.n_value_bytes + 4 * (int(self.n_neighbours.sum(dtype=np.int64)) + self.n_pairs.size * self.n_group)

    @property
    def n_group(self) -> int:
        """Most functions of a group."""
        return int(self.tables["group_feature"].shape[1])

    @property
    def index_bytes(self) -> int:
        """Bytes of the other arrays: two offsets for each atom and species, and numbers of atoms."""
        return 16 * self.n_pairs.size + 4 * len(self.species) + self.first_atom.nbytes

    def build(
        self, threads: int = 0, advance: Callable[[int], None] = lambda done: None, zeros: Zeros = aligned_zeros
    ) -> ForceMap:
        """Make the map, its large arrays from `zeros`; other arguments as of `force_map`."""
        result = self._allocate(zeros)
        place = result.make_handle(with_values=False)
        done = 0
        for part in _parts(self.structures, threads):
            batch = Batch.of(part, self.descriptors)
            call(
                library.force_maps.force_map_values,
                place.object,
                self.descriptors.handle.object,
                batch.views(),
                int(self.merged),
                done,
                thread_count(threads),
                names=batch.names,
            )
            done += len(part)
            advance(done)
        return result

    def _allocate(self, zeros: Zeros) -> ForceMap:
        n_pairs, sizes = int(self.n_pairs.sum(dtype=np.int64)), self.group_sizes
        n_scales = self.n_pairs.size * self.n_group
        result = ForceMap(
            **self.tables,
            pair_first=offsets(self.n_pairs.ravel()),
            pair_atom=zeros(n_pairs, np.int32),
            pair_place=zeros(n_pairs, np.int32),
            pair_unit=zeros(4 * n_pairs, np.float32).reshape(n_pairs, 4),
            pair_value=zeros(WINDOW * n_pairs, np.float32).reshape(n_pairs, WINDOW),
            group_atom_first=offsets(self.n_neighbours.ravel()),
            group_value_first=offsets(sizes.ravel()),
            group_atom=zeros(int(self.n_neighbours.sum(dtype=np.int64)), np.int32),
            group_value=zeros(int(sizes.sum()), np.int32),
            group_scale=zeros(n_scales, np.float32).reshape(*self.n_pairs.shape, self.n_group),
            first_atom=self.first_atom,
            species=self.species,
            n_features=self.n_features,
        )
        # Atoms that are there, for the engine's checks
        result.pair_atom[...] = 1
        result.group_atom[...] = 1
        return result


def group_lanes(n_neighbours: np.ndarray) -> np.ndarray:
    """Rows of the matrix of a group: three components for each neighbour, padded."""
    return (-(-3 * n_neighbours.astype(np.int64) // LANES)) * LANES


def group_words(n_neighbours: np.ndarray, n_functions: np.ndarray) -> np.ndarray:
    """Words of groups: two functions in each (fortran/loss/group_products.f90)."""
    return group_lanes(n_neighbours) * ((n_functions.astype(np.int64) + 1) // 2)


def round_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of (row, lane) values, int32, and the (row,) float32 scales that they are multiples of."""
    n_rows, n_lanes = values.shape
    scale = (np.abs(values).max(axis=1, initial=0.0) / 32767).astype(np.float32)
    rounded = np.zeros((n_rows + n_rows % 2, n_lanes), dtype=np.int32)
    rounded[:n_rows] = np.rint(values / np.where(scale > 0, scale, 1.0)[:, None]).clip(-32767, 32767)
    return (rounded[::2] + (rounded[1::2] << 16)).ravel(), scale


def offsets(counts: np.ndarray | Sequence[int]) -> np.ndarray:
    """(n + 1,) int64 running sum from 0."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def changes_along(map_: ForceMap, structure: int, displacements: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the changes of the standardised descriptors of one structure along displacements of its atoms.

    Parameters
    ----------
    structure
        Its number in the map.
    displacements
        (n_direction, n_atom, 3), atoms by species, Å.
    factor
        (n_feature_most, n_species): standardisation of the descriptors.

    Returns
    -------
    np.ndarray
        (n_direction, n_value) float32; per species, feature by feature, atom by atom.
    """
    atoms = map_.species[map_.first_atom[structure] : map_.first_atom[structure + 1]]
    change = np.zeros((len(displacements), int(map_.n_features[atoms - 1].sum())), dtype=np.float32)
    call(
        library.force_maps.force_map_changes,
        map_.handle.object,
        structure,
        np.asfortranarray(factor),
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
        library.descriptors.strain_changes,
        tables.handle.object,
        batch.views(),
        thread_count(threads),
        values.T,
        names=batch.names,
    )
    return [part.T for part in np.split(values, np.cumsum(sizes)[:-1], axis=1)]
