"""Neighbour lists with a skin, which serve for many steps of molecular dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.structure import Structure
from . import library
from .descriptors import Batch
from .handles import Handle
from .library import call, thread_count


@dataclass(frozen=True, eq=False)
class NeighbourList:
    """Neighbours of all atoms within `cutoff + skin`, held by the engine.

    Which atoms are neighbours within the cutoff is seen from the list as long as no atom has moved by more than half
    the skin.
    """

    cutoff: float
    """Å"""
    skin: float
    """Å"""
    positions: np.ndarray
    """(n_atom, 3) positions for which it was made, Å"""
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    wrapped: np.ndarray
    """(n_atom, 3) where these are in the cell, Å"""
    offset: np.ndarray
    """(n_atom, 3) whole lattice vectors from these positions to those in the cell, Å"""
    handle: Handle
    """The list in the engine."""

    @classmethod
    def of(cls, structure: Structure, cutoff: float, skin: float = 0.0, threads: int = 1) -> NeighbourList:
        """Make the list of a structure; it does not depend on the number of threads.

        Raises
        ------
        InputError
            for a degenerate cell or positions that are not finite; it names the structure.
        """
        handle, batch = Handle(library.structures.list_handle), Batch.of([structure], None)
        wrapped = np.empty((structure.n_atoms, 3))
        arguments = batch.views(), float(cutoff + skin), thread_count(threads), wrapped.T
        call(library.structures.list_build, handle.object, *arguments, names=batch.names)
        positions = structure.positions.copy()
        return cls(cutoff, skin, positions, structure.cell.copy(), structure.pbc, wrapped, wrapped - positions, handle)

    def __reduce__(self) -> tuple[object, ...]:
        # Made anew, for the engine's list cannot be copied; species do not matter
        symbols = ("X",) * len(self.positions)
        return _made_anew, (Structure(symbols, self.positions, self.cell, self.pbc), self.cutoff, self.skin)

    def serves(self, structure: Structure) -> bool:
        """Return whether the list holds for a structure: same cell, and no atom moved by more than half the skin."""
        if structure.n_atoms != len(self.positions) or structure.pbc != self.pbc:
            return False
        same = structure.cell == self.cell
        if not same.all() and not same[list(self.pbc)].all():
            return False
        moved = structure.positions - self.positions
        # A position that is not a number makes the largest square none
        return bool(np.einsum("ij,ij->i", moved, moved).max(initial=0.0) <= (0.5 * self.skin) ** 2)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a copy of the list.

        Returns
        -------
        first
            (n_atom + 1,) int64: neighbours of atom i are ghost[first[i]:first[i + 1]]
        ghost_atom
            (n_ghost,) int32: the atom an image is of, from 0
        ghost_shift
            (n_ghost, 3) by which it is shifted from its place in the cell, Å
        ghost
            (n_pair,) int32: images, from 0
        """
        n_ghosts, n_pairs = map(int, library.structures.list_sizes(self.handle.object))
        first = np.empty(len(self.positions) + 1, dtype=np.int64)
        ghost_atom, shift = np.empty(n_ghosts, dtype=np.int32), np.empty((n_ghosts, 3))
        ghost = np.empty(n_pairs, dtype=np.int32)
        call(library.structures.list_copy, self.handle.object, first, ghost_atom, shift.T, ghost)
        return first, ghost_atom - 1, shift, ghost - 1


def _made_anew(structure: Structure, cutoff: float, skin: float) -> NeighbourList:
    return NeighbourList.of(structure, cutoff, skin)


def neighbours(structure: Structure, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbours of every atom within `reach` (Å), images included, the atom itself not.

    Returns
    -------
    first
        (n_atom + 1,) int64: pairs of atom i are first[i]:first[i+1]
    atom
        (n_pair,) int32: index of the neighbour, from 0
    vector
        (n_pair, 3) from the atom to the neighbour, Å
    """
    made = NeighbourList.of(structure, reach)
    first, image_atom, shift, image = made.arrays()
    atom, centre = image_atom[image], np.repeat(np.arange(structure.n_atoms), np.diff(first))
    return first, atom, made.wrapped[atom] + shift[image] - made.wrapped[centre]
