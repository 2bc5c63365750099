"""Neighbour lists with a skin, which serve for many steps of molecular dynamics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.structure import Structure
from . import library
from .library import call, integers

_SPARE = 1.1
"""Arrays are made this much longer than the last list of the same atoms needed, so that one call suffices."""


@dataclass(frozen=True, eq=False)
class NeighbourList:
    """Neighbours of all atoms within `cutoff + skin`; the engine borrows the arrays for each call.

    Which atoms are neighbours within the cutoff is seen from the list as long as no atom has moved
    by more than half the skin.
    """

    cutoff: float
    """Å"""
    skin: float
    """Å"""
    positions: np.ndarray
    """(n_atom, 3) positions for which it was made, Å"""
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    offset: np.ndarray
    """(n_atom, 3) whole lattice vectors from these positions to those in the cell, Å"""
    first: np.ndarray
    """(n_atom + 1,) int64: neighbours of atom i are ghost[first[i]:first[i + 1]]"""
    ghost_atom: np.ndarray
    """(n_ghost,) int32: the atom an image is of, from 1"""
    ghost_shift: np.ndarray
    """(n_ghost, 3) by which it is shifted, Å"""
    ghost: np.ndarray
    """(n_pair,) int32: images, from 1"""
    n_most: int
    """Largest number of neighbours of an atom."""

    @classmethod
    def of(
        cls, structure: Structure, cutoff: float, skin: float = 0.0, like: NeighbourList | None = None
    ) -> NeighbourList:
        """Make the list of a structure; `like` is an older one, which tells how much room it needs.

        Raises
        ------
        InputError
            for a degenerate cell or positions that are not finite; it names the structure.
        """
        room = (0, 0) if like is None else (int(_SPARE * len(like.ghost_atom)), int(_SPARE * len(like.ghost)))
        n = structure.n_atoms
        wrapped, first = np.empty((n, 3)), np.zeros(n + 1, dtype=np.int64)
        while True:
            ghost_atom, shift = np.empty(room[0], dtype=np.int32), np.empty((room[0], 3))
            ghost = np.empty(room[1], dtype=np.int32)
            n_ghosts, n_pairs, n_most = call(
                library.potentials.neighbour_list,
                structure.positions.T,
                structure.cell.T,
                integers(structure.pbc),
                float(cutoff + skin),
                wrapped.T,
                first,
                ghost_atom,
                shift.T,
                ghost,
                names=[structure.name],
            )
            if n_ghosts <= room[0] and n_pairs <= room[1]:
                break
            room = (int(_SPARE * n_ghosts), int(_SPARE * n_pairs))
        return cls(
            cutoff,
            skin,
            structure.positions.copy(),
            structure.cell.copy(),
            structure.pbc,
            wrapped - structure.positions,
            first,
            ghost_atom[:n_ghosts],
            shift[:n_ghosts],
            ghost[:n_pairs],
            int(n_most),
        )

    def serves(self, structure: Structure) -> bool:
        """Whether the list holds for a structure: same cell, and no atom moved by more than half the skin."""
        if structure.n_atoms != len(self.positions) or structure.pbc != self.pbc:
            return False
        if not np.array_equal(structure.cell[list(self.pbc)], self.cell[list(self.pbc)]):
            return False
        moved = structure.positions - self.positions
        # A position that is not a number is larger than any skin
        return not np.einsum("ij,ij->i", moved, moved).max(initial=0.0) > (0.5 * self.skin) ** 2 and bool(
            np.isfinite(moved).all()
        )

    def arguments(self) -> tuple[object, ...]:
        """The engine's arguments."""
        return self.first, self.ghost_atom, self.ghost_shift.T, self.ghost, self.n_most
