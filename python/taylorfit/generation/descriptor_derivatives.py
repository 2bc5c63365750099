"""Generating descriptor derivatives: choose structures → derivatives → `.train.forces`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np

from ..engine import DescriptorTables
from ..engine.derivatives import descriptor_derivatives
from ..formats.aenet.derivatives_file import DerivativesWriter
from ..model.structure import Structure
from ..taylor.copies import CopySource
from ..tools.atomic_write import Together
from ..tools.randomness import Stream


def choose_structures(n_structures: int, percent: float, seed: int) -> np.ndarray:
    """Return which structures get derivatives, (n_structure,) bool: nint(n·p/100) of them at random."""
    n = math.floor(n_structures * percent / 100.0 + 0.5)
    chosen = np.zeros(n_structures, dtype=bool)
    chosen[Stream.DERIVATIVES.generator(seed).permutation(n_structures)[:n]] = True
    return chosen


def write_derivatives(
    path: str | PathLike[str],
    structures: Sequence[Structure],
    chosen: np.ndarray,
    tables: DescriptorTables,
    source: CopySource | None = None,
    *,
    threads: int = 0,
    overwrite: bool = True,
    together: Together | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the derivatives of the chosen structures; return the number of numbers in them.

    Entries stand in the order of the training set.  Taylor copies that it holds after their
    parents (`source`) get entries without derivatives.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, a degenerate cell, or an unwritable file.
    """
    n_copies = np.zeros(len(structures), dtype=int) if source is None else source.n_copies
    with DerivativesWriter(
        path, len(structures) + int(n_copies.sum()), overwrite=overwrite, together=together
    ) as writer:
        for s, structure in enumerate(structures):
            n_species = len(set(structure.symbols))
            atoms = descriptor_derivatives(structure, tables, threads) if chosen[s] else None
            writer.add(structure.name, structure.n_atoms, n_species, atoms)
            for name in source.names(s, structure) if source is not None and n_copies[s] else ():
                writer.add(name, structure.n_atoms, n_species)
            advance(s + 1)
        return writer.n_values
