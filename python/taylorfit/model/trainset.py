"""The training set in memory: structure-energy pairs with their descriptors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .descriptor import DescriptorSetup


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The content of an ænet training-set file (`.train`), ragged arrays stored flat.

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
    """(n_structure,) structure names; copies carry their provenance (see `taylor.provenance`)."""
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

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.names)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) number of atoms of each structure."""
        return np.diff(self.first_atom)
