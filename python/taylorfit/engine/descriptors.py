"""Descriptors of structures and of their displaced copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..errors import EngineError, InputError
from ..model.descriptor import BEHLER2011, CHEBYSHEV, DescriptorSetup
from ..model.structure import Structure
from . import library
from .handles import Handle, StopToken, token_array, views
from .library import call, integers, thread_count

_BASIS = {CHEBYSHEV: 1, BEHLER2011: 2}


@dataclass(frozen=True, eq=False)
class DescriptorTables:
    """Descriptor setups of all species, flattened for the engine (in TYPES order)."""

    species: tuple[str, ...]
    setups: tuple[DescriptorSetup, ...]
    basis: np.ndarray
    n_function: np.ndarray
    function: np.ndarray
    """(total,) 0 for Chebyshev, 1..5 for G1..G5"""
    parameters: np.ndarray
    """(4, total) Fortran order"""
    neighbours: np.ndarray
    """(2, total) Fortran order: species of type2 and type3 of a symmetry function, from 1; 0 where unused"""
    environment: np.ndarray
    """(n_species, n_species) Fortran order: place of the first index in the ENV list of the second"""

    @classmethod
    def from_setups(
        cls, species: Sequence[str], setups: Sequence[DescriptorSetup], files: Sequence[str] | None = None
    ) -> DescriptorTables:
        """Flatten `setups`, one per entry of `species` in the same order; `files` are named in errors.

        Raises
        ------
        InputError
            if a setup is of the wrong species or of an unknown kind, or a symmetry function names no species of ENV.
        """
        where = [None] * len(setups) if files is None else files
        for symbol, setup, file in zip(species, setups, where, strict=True):
            if setup.species != symbol:
                raise InputError(
                    f"the setup for {symbol} describes another species", file=file, value=setup.species, expected=symbol
                )
            if setup.kind not in _BASIS:
                raise InputError(
                    f"descriptor of species {symbol} is unknown",
                    file=file,
                    value=setup.basis,
                    expected="Chebyshev or Behler2011",
                )
        environment = np.zeros((len(species), len(species)), dtype=np.int32, order="F")
        for t, setup in enumerate(setups):
            outside = [symbol for symbol in setup.environment if symbol not in species]
            # Weights follow from the length of the ENV list, so a name may not simply be left out
            if outside:
                raise InputError(
                    f"ENV of the setup for {setup.species} names a species that is not in TYPES",
                    file=where[t],
                    value=" ".join(outside),
                    expected=" ".join(species),
                )
            for place, symbol in enumerate(setup.environment, start=1):
                environment[species.index(symbol), t] = place
            if setup.neighbours.min(initial=0) < 0 or setup.neighbours.max(initial=0) > len(setup.environment):
                raise InputError(
                    f"a symmetry function of the setup for {setup.species} names a species outside ENV",
                    file=where[t],
                    value=int(np.abs(setup.neighbours).max()),
                    expected=f"1 to {len(setup.environment)}",
                )
        return cls(
            species=tuple(species),
            setups=tuple(setups),
            basis=integers([_BASIS[setup.kind] for setup in setups]),
            n_function=integers([setup.n_feature for setup in setups]),
            function=integers(np.concatenate([setup.function for setup in setups])),
            parameters=np.asfortranarray(np.concatenate([setup.parameters for setup in setups]).T),
            neighbours=integers(np.concatenate([_global_neighbours(species, setup) for setup in setups]).T),
            environment=environment,
        )

    @property
    def cutoff(self) -> float:
        """Largest cutoff of all species, Å."""
        return max(setup.r_cut for setup in self.setups)

    @cached_property
    def handle(self) -> Handle:
        """The descriptors in the engine."""
        handle = Handle(library.descriptors.descriptors_handle)
        wanted = "basis i4 1, n_function i4 1, function i4 1, parameters f8 2, neighbours i4 2, environment i4 2"
        call(library.descriptors.descriptors_fill, handle.object, views(vars(self), wanted))
        return handle

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "handle"}

    def check(self, structure: Structure) -> np.ndarray:
        """Return the species index (from 0) of each atom, having checked that all ENV lists know all species.

        Raises
        ------
        InputError
            for an unknown species, or one that is missing in an ENV list.
        """
        index = structure.species_index(self.species)
        present = set(structure.symbols)
        for symbol, setup in zip(self.species, self.setups):
            # A Chebyshev descriptor with one environment species does not look at the neighbours' species
            if symbol not in present or (setup.kind == CHEBYSHEV and len(setup.environment) == 1):
                continue
            missing = present.difference(setup.environment)
            if missing:
                raise InputError(
                    f"ENV of the setup for {symbol} lacks a species of this structure",
                    file=structure.name or None,
                    value=" ".join(sorted(missing)),
                    expected=" ".join(setup.environment),
                )
        return index


def _global_neighbours(species: Sequence[str], setup: DescriptorSetup) -> np.ndarray:
    """Return the neighbour species of each function as index into `species`, from 1; (n_feature, 2), 0 where unused."""
    places = [0, *(list(species).index(symbol) + 1 for symbol in setup.environment)]
    return np.array(places, dtype=np.int32)[setup.neighbours]


class Batch(NamedTuple):
    """Several structures as flat arrays."""

    names: list[str]
    first_atom: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    species: np.ndarray
    token: np.ndarray
    """What ends a call early, see `token_array`."""

    @classmethod
    def of(
        cls, structures: Sequence[Structure], tables: DescriptorTables | None, stop: StopToken | None = None
    ) -> Batch:
        """Lay out structures for the engine, which knows their species by the order of `tables`.

        Without tables species do not matter.
        """
        if tables is None:
            species = [np.zeros(structure.n_atoms, dtype=np.int32) for structure in structures]
        else:
            species = [tables.check(structure) for structure in structures]
        return cls(
            names=[structure.name for structure in structures],
            first_atom=integers(np.concatenate([[0], np.cumsum([s.n_atoms for s in structures])])),
            positions=stack([s.positions for s in structures], (0, 3)).T,
            # Fortran sees (3, 3, n): columns are lattice vectors, as in the C-ordered rows of ASE
            cells=stack([s.cell[None] for s in structures], (0, 3, 3)).T,
            periodic=stack([np.array(s.pbc, dtype=np.int32)[None] for s in structures], (0, 3), np.int32).T,
            species=stack([s + 1 for s in species], (0,), np.int32),
            token=token_array(stop),
        )

    def views(self) -> np.ndarray:
        """Return the table of the arrays, for a call while the batch lives."""
        return views(
            self._asdict(), "first_atom i4 1, positions f8 2, cells f8 3, periodic i4 2, species i4 1, token i4 1"
        )


def stack(parts: list[np.ndarray], empty: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    """Concatenate arrays along their first axis; an array of shape `empty` where there is none."""
    return np.ascontiguousarray(np.concatenate(parts), dtype=dtype) if parts else np.zeros(empty, dtype=dtype)


def describe(
    structures: Sequence[Structure],
    tables: DescriptorTables,
    displacements: Sequence[np.ndarray] | None = None,
    threads: int = 0,
    stop: StopToken | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the raw descriptors of structures, or of displaced copies of them.

    Parameters
    ----------
    displacements
        for each structure (n_copy, n_atom, 3) in Å; the copies share the structure's neighbour
        list.  None describes each structure as it is (one copy, not displaced).
    threads
        0: all cores.
    stop
        Ends the call early.

    Returns
    -------
    list of (values, positions)
        for each structure (n_copy, n_value), the atoms' descriptors one after the other, and
        (n_copy, n_atom, 3) positions in Å, wrapped into the cell before displacing.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    EngineError
        once `stop` has been set.
    """
    batch = Batch.of(structures, tables, stop)
    if displacements is None:
        displacements = [np.zeros((1, structure.n_atoms, 3)) for structure in structures]
    for structure, displacement in zip(structures, displacements, strict=True):
        if displacement.ndim != 3 or displacement.shape[1:] != (structure.n_atoms, 3):
            raise EngineError(f"displacements of {structure.name} have shape {displacement.shape}")
    n_copies = integers([len(displacement) for displacement in displacements])
    moved = stack([d.reshape(-1, 3) for d in displacements], (0, 3))
    before = np.concatenate([[0], np.cumsum(tables.n_function[batch.species - 1])])
    n_values = np.diff(before[batch.first_atom]).tolist()
    values = np.empty(sum(n * c for n, c in zip(n_values, n_copies.tolist())))
    placed = np.empty_like(moved)
    arguments = tables.handle.object, batch.views(), n_copies, moved.T, thread_count(threads), values, placed.T
    call(library.descriptors.describe, *arguments, names=batch.names)
    if stop is not None and stop.is_set():
        raise EngineError("stopped")
    results, v, p = [], 0, 0
    for structure, n, c in zip(structures, n_values, n_copies.tolist()):
        w, q = v + n * c, p + structure.n_atoms * c
        results.append((values[v:w].reshape(c, n), placed[p:q].reshape(c, structure.n_atoms, 3)))
        v, p = w, q
    return results
