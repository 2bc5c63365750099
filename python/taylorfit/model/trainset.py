"""The training set in memory: structure-energy pairs with their descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from .descriptor import DescriptorSetup
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


@dataclass(frozen=True, eq=False, repr=False)
class TrainingSet:
    """The content of an ænet training-set file (`.train`): structures, Taylor copies, and their descriptors.

    Made by `generate`; ragged arrays are stored flat.

    Atoms of structure s are ``first_atom[s]:first_atom[s+1]``; the descriptor of atom a is
    ``descriptors[first_value[a]:first_value[a+1]]``.
    """

    species: tuple[str, ...]
    """Species in TYPES order."""
    atomic_energies: np.ndarray
    """(n_species,) eV"""
    normalised: bool
    """True for ænet's `.train.scaled`: energies and descriptors are already scaled."""
    scale: float
    shift: float
    names: list[str]
    """(n_structure,) structure names; copies carry their provenance (see `model.provenance`)."""
    n_species_in: np.ndarray
    """(n_structure,) int32 number of species in the structure"""
    energy: np.ndarray
    """(n_structure,) total cohesive energy, eV (scaled energy if `normalised`)"""
    first_atom: np.ndarray
    """(n_structure + 1,) int64"""
    atom_species: np.ndarray
    """(n_atom,) int32 index into `species`, from 0"""
    positions: np.ndarray
    """(n_atom, 3) Å, as ænet stores them (wrapped / relative to the bounding box)"""
    forces: np.ndarray
    """(n_atom, 3) eV/Å"""
    first_value: np.ndarray
    """(n_atom + 1,) int64"""
    descriptors: np.ndarray
    """(n_value,) raw descriptor values (standardised if `normalised`)"""
    energy_mean: float
    """Footer: mean, minimum and maximum energy per atom, eV/atom."""
    energy_min: float
    energy_max: float
    setups: tuple[DescriptorSetup, ...] | None
    """One per species with statistics, or None if the file has none."""
    geometry: Geometry | None = None
    """Cells, stresses and weights of the reference structures (copies left out), in their order; None: not known."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was made."""

    def __repr__(self) -> str:
        n_copies = self.n_structures - len(self.parents)
        copies = f" and {n_copies} Taylor copies" if n_copies else ""
        return (
            f"<TrainingSet of {self.n_structures - n_copies} structures{copies}, species {' '.join(self.species)}, "
            f"{len(self.atom_species)} atoms>"
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TrainingSet:
        """Read a training set from ænet's binary file, and from its companion `PATH.geometry` where there is one.

        Raises
        ------
        FormatError
            if a file is damaged.
        InputError
            if the file cannot be opened, or the companion belongs to another one.
        """
        from ..formats.companion import load_training_set

        return load_training_set(path)

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write ænet's binary file, and with a geometry its companion `PATH.geometry`.

        Raises
        ------
        InputError
            if a file exists or cannot be written.
        """
        from ..formats.companion import save_training_set

        save_training_set(path, self, overwrite)

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.names)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) number of atoms of each structure."""
        return np.diff(self.first_atom)

    @property
    def parents(self) -> list[int]:
        """The structures that are no Taylor copies."""
        from .provenance import parse_copy_name

        return [s for s, name in enumerate(self.names) if parse_copy_name(name) is None]

    def n_atoms_of(self, structure: int) -> int:
        """Return the number of atoms of a structure."""
        return int(self.first_atom[structure + 1] - self.first_atom[structure])

    def positions_of(self, structure: int) -> np.ndarray:
        """Return the positions (n_atom, 3) of the atoms of a structure."""
        return self.positions[self.first_atom[structure] : self.first_atom[structure + 1]]

    def forces_of(self, structure: int) -> np.ndarray:
        """Return the forces (n_atom, 3) on the atoms of a structure."""
        return self.forces[self.first_atom[structure] : self.first_atom[structure + 1]]

    def descriptors_of(self, atoms: np.ndarray) -> np.ndarray:
        """Return the descriptors (n, n_feature) of atoms (n,), all of one species."""
        first = self.first_value[atoms]
        n_feature = int(self.first_value[atoms[0] + 1] - first[0]) if len(atoms) else 0
        return self.descriptors[first[:, None] + np.arange(n_feature)]
