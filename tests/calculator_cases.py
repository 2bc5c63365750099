"""Small potentials on disk for tests of the calculator and of molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from engine_reference import chebyshev_tables, random_potential, random_structure
from taylorfit.engine import DescriptorTables
from taylorfit.formats.aenet.potential_file import write_potential
from taylorfit.model.structure import Structure

TRICLINIC = np.array([[7.1, 0.3, -0.2], [1.9, 6.8, 0.4], [-2.2, 1.1, 8.0]])
SPECIES = ("H", "O")


def random_atoms(seed: int = 0, n_atoms: int = 12, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Atoms:
    """H and O in a triclinic cell, no two atoms closer than 1.2 Å."""
    structure = random_structure(np.random.default_rng(seed), n_atoms, TRICLINIC, (True, True, True), SPECIES)
    return Atoms(structure.symbols, structure.positions, cell=TRICLINIC, pbc=pbc)


def as_structure(atoms: Atoms) -> Structure:
    """The same for the engine."""
    return Structure(tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, tuple(atoms.pbc))


def write_member(
    folder: Path, atoms: Atoms, seed: int = 0, tables: DescriptorTables | None = None, hidden: Sequence[int] = (6, 5)
) -> Path:
    """Write H.nn and O.nn with random weights, their statistics from shaken copies of `atoms`; return the folder."""
    tables = tables or chebyshev_tables(SPECIES, (4.0, 6), (3.0, 3))
    rng = np.random.default_rng(seed)
    codes = (*(1,) * len(hidden), 0)
    folder.mkdir(parents=True, exist_ok=True)
    for potential in random_potential(rng, [as_structure(atoms)], tables, [hidden] * 2, [codes] * 2):
        write_potential(folder / f"{potential.species}.nn", potential)
    return folder


def write_committee(folder: Path, atoms: Atoms, n_members: int = 3) -> Path:
    """Write members 01, 02, … with the same descriptors; return the folder."""
    for member in range(1, n_members + 1):
        write_member(folder / f"{member:02d}", atoms, seed=member, hidden=(6, 5) if member % 2 else (4,))
    return folder
