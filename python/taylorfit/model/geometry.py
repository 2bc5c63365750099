"""Cells, periodicity, stresses, weights and origin of structures: what ænet's training sets have no place for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .structure import Structure

HASH = "S64"
"""Type of arrays of hashes."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Of the reference structures of a training set, in its order."""

    cell: np.ndarray
    """(n_structure, 3, 3) lattice vectors as rows, Å"""
    pbc: np.ndarray
    """(n_structure, 3) bool"""
    has_forces: np.ndarray
    """(n_structure,) bool: the training set holds zeros where there are none"""
    stress: np.ndarray
    """(n_structure, 3, 3) eV/Å³ (ASE's sign); NaN where there is none"""
    weight: np.ndarray
    """(n_structure,) weight of each structure in the loss"""
    first_atom: np.ndarray
    """(n_structure + 1,) int64"""
    atom_weight: np.ndarray
    """(n_atom,) weight of the force on each atom, in the order of the training set"""
    content: np.ndarray
    """(n_structure,) bytes: `Structure.content_hash`, by which structures are split; empty where not known"""
    pushed_from: np.ndarray
    """(n_structure,) bytes: that of the structure a copy with pushed atoms is made from (`repel`); empty for others"""

    @classmethod
    def of(cls, structures: Sequence[Structure]) -> Geometry:
        """Return that of some structures."""
        n_atoms = [s.n_atoms for s in structures]
        return cls(
            cell=np.array([s.cell for s in structures]).reshape(-1, 3, 3),
            pbc=np.array([s.pbc for s in structures], dtype=bool).reshape(-1, 3),
            has_forces=np.array([s.forces is not None for s in structures], dtype=bool),
            stress=np.array([np.full((3, 3), np.nan) if s.stress is None else s.stress for s in structures]).reshape(
                -1, 3, 3
            ),
            weight=np.array([s.weight for s in structures], dtype=np.float64),
            first_atom=np.concatenate([[0], np.cumsum(n_atoms, dtype=np.int64)]),
            atom_weight=np.concatenate(
                [np.zeros(0), *(np.ones(s.n_atoms) if s.force_weights is None else s.force_weights for s in structures)]
            ),
            content=np.array([s.content_hash() for s in structures], dtype=HASH),
            pushed_from=np.array([s.pushed_from for s in structures], dtype=HASH),
        )
