"""Force maps: how descriptors change when atoms move, kept from epoch to epoch (fortran/force_map.f90)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from ..model.structure import Structure
from ..tools.chunks import runs
from . import library
from .descriptors import Batch, DescriptorTables
from .handles import Handle, StopToken, Zeros, aligned_zeros, views
from .library import LANES, call, integers, thread_count

WINDOW = LANES
"""Points of the radial grid that a pair touches."""
BATCH_ATOMS = 2048
"""Atoms per thread and engine call: half a second at most, so that progress and Ctrl-C also reach worker threads."""
PAIR_BYTES = 2 * 4 + 4 * 4 + 4 * WINDOW
"""Of a pair: the other atom and the place on the grid, the unit vector, and the weights of the slopes."""


_ARRAYS = (
    "radial_count i4 1, radial_half i4 1, pair_feature i4 3, weight f8 2, group_count i4 2, group_feature i4 4, "
    "pair_first i8 1, pair_atom i4 1, pair_place i4 1, pair_unit f4 2T, pair_value f4 2T, group_atom_first i8 1, "
    "group_value_first i8 1, group_atom i4 1, group_value i4 1, group_scale f4 3T, first_atom i8 1, species i4 1"
)


@dataclass(frozen=True, eq=False)
class ForceMap:
    """The linear maps of all structures of a data set; atoms of each are ordered by species.

    Built by `ForceMapLayout.build`, or from derivatives of descriptors that a file holds.  The arrays are those of
    `force_map_type` in fortran/loss/force_map.f90, pair_unit, pair_value and group_scale transposed.
    """

    radial_count: np.ndarray
    radial_half: np.ndarray
    pair_feature: np.ndarray
    weight: np.ndarray
    group_count: np.ndarray
    group_feature: np.ndarray
    pair_first: np.ndarray
    pair_atom: np.ndarray
    pair_place: np.ndarray
    pair_unit: np.ndarray
    pair_value: np.ndarray
    group_atom_first: np.ndarray
    group_value_first: np.ndarray
    group_atom: np.ndarray
    group_value: np.ndarray
    group_scale: np.ndarray
    first_atom: np.ndarray
    species: np.ndarray
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
        table = views(vars(self), _ARRAYS, written=not with_values)
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


def force_map_layout(
    structures: Sequence[Structure],
    tables: DescriptorTables,
    threads: int = 0,
    merged: bool | None = None,
    stop: StopToken | None = None,
) -> ForceMapLayout:
    """Return what the map of structures will look like, and how large it will be.

    Parameters
    ----------
    structures
        In any order of their atoms; the map has them by species.
    threads
        0: all cores.
    merged
        Sum up periodic images also of the radial functions; None: whichever is smaller.
    stop
        Ends it early, and `build`, with KeyboardInterrupt.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    ordered = [in_canonical_order(s, s.species_index(tables.species)) for s in structures]
    # Pairs and neighbours; none and more neighbours with everything in groups
    counts = np.zeros((3, sum(s.n_atoms for s in ordered), len(tables.setups)), dtype=np.int32)
    first = 0
    for batch in _batches(ordered, tables, threads, stop):
        here = counts[:, first : first + len(batch.species)].transpose(0, 2, 1)
        arguments = tables.handle.object, batch.views(), thread_count(threads), *here
        call(library.force_maps.force_map_sizes, *arguments, names=batch.names)
        first += len(batch.species)
    n_pairs, n_neighbours, n_merged = counts
    layouts = [
        ForceMapLayout.of(ordered, tables, choice, stop, *of)
        for choice, of in ((False, (n_pairs, n_neighbours)), (True, (np.zeros_like(n_pairs), n_merged)))
        if merged in (None, choice)
    ]
    return min(layouts, key=lambda one: one.n_value_bytes)


def _batches(
    structures: Sequence[Structure], tables: DescriptorTables, threads: int, stop: StopToken | None
) -> Iterator[Batch]:
    """Lay out runs of about `BATCH_ATOMS` atoms for each thread; after each see whether it is to end early."""
    for part in runs(structures, lambda structure: structure.n_atoms, BATCH_ATOMS * thread_count(threads)):
        yield Batch.of(part, tables, stop)
        if stop is not None:
            stop.check()


@dataclass(frozen=True, eq=False)
class ForceMapLayout:
    """Tables and sizes of a map before it is filled."""

    structures: Sequence[Structure]
    """In canonical order."""
    descriptors: DescriptorTables
    merged: bool
    stop: StopToken | None
    tables: dict[str, np.ndarray]
    """Fields of the map that its structures do not change"""
    n_pairs: np.ndarray
    """(n_atom, n_species)"""
    n_neighbours: np.ndarray
    """(n_atom, n_species)"""
    first_atom: np.ndarray
    species: np.ndarray

    @classmethod
    def of(
        cls,
        structures: Sequence[Structure],
        descriptors: DescriptorTables,
        merged: bool,
        stop: StopToken | None,
        n_pairs: np.ndarray,
        n_neighbours: np.ndarray,
    ) -> ForceMapLayout:
        """Find the tables for structures in canonical order, whose pairs and neighbours are known."""
        n, widest = len(descriptors.setups), int(descriptors.n_function.max())
        shapes = {
            "radial_count": (n,),
            "radial_half": (n,),
            "pair_feature": (widest, n, n),
            "weight": (n, n),
            "group_count": (n, n),
            "group_feature": (2, widest, n, n),
        }
        tables = {
            name: np.zeros(shape, dtype=np.float64 if name == "weight" else np.int32, order="F")
            for name, shape in shapes.items()
        }
        call(library.force_maps.force_map_tables, descriptors.handle.object, int(merged), *tables.values())
        n_most = int((tables["pair_feature"] > 0).any(axis=(1, 2)).sum())
        n_group = max(1, int(tables["group_count"].max()))
        tables["pair_feature"] = np.asfortranarray(tables["pair_feature"][:n_most])
        tables["group_feature"] = np.asfortranarray(tables["group_feature"][:, :n_group])
        species = [structure.species_index(descriptors.species) + 1 for structure in structures]
        return cls(
            structures,
            descriptors,
            merged,
            stop,
            tables,
            n_pairs,
            n_neighbours,
            offsets([structure.n_atoms for structure in structures]),
            integers(np.concatenate([np.zeros(0), *species])),
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
        """Make the map, its large arrays from `zeros`; `advance` is told the number of structures done."""
        result = self._allocate(zeros)
        place, known = result.make_handle(with_values=False).object, self.descriptors.handle.object
        done = 0
        for batch in _batches(self.structures, self.descriptors, threads, self.stop):
            arguments = place, known, batch.views(), int(self.merged), done, thread_count(threads)
            call(library.force_maps.force_map_values, *arguments, names=batch.names)
            done += len(batch.names)
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
            n_features=self.descriptors.n_function,
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
    moved = np.ascontiguousarray(displacements).T
    call(
        library.force_maps.force_map_changes, map_.handle.object, structure, np.asfortranarray(factor), moved, change.T
    )
    return change


def strain_changes(
    structures: Sequence[Structure], tables: DescriptorTables, threads: int = 0, stop: StopToken | None = None
) -> list[np.ndarray]:
    """Return the derivatives of the raw descriptors with respect to homogeneous strains; `stop` as for a layout.

    Returns
    -------
    list of np.ndarray
        for each structure (n_value, 6): atom after atom as the structure has them; strains xx, yy, zz, yz, xz, xy.

    Raises
    ------
    InputError
        as `force_map_layout`.
    """
    batch = Batch.of(structures, tables, stop)
    sizes = [
        int(tables.n_function[batch.species[a:b] - 1].sum()) for a, b in zip(batch.first_atom, batch.first_atom[1:])
    ]
    values = np.zeros((6, sum(sizes)))
    arguments = tables.handle.object, batch.views(), thread_count(threads), values.T
    call(library.descriptors.strain_changes, *arguments, names=batch.names)
    if stop is not None:
        stop.check()
    return [part.T for part in np.split(values, np.cumsum(sizes)[:-1], axis=1)]
