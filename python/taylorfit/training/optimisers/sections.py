"""Sections of a data set: the units that mini-batches are cut into, and that ranks share, however many there are.

A section is a run of consecutive blocks of the pack.  The structures of a mini-batch stand in the order of the pack, so
that those of a section, and of a rank, are consecutive in it.
"""

from __future__ import annotations

import numpy as np

ATOMS, MOST = 128, 64
"""A section should have so many atoms of a mini-batch, for products of matrices that are worth it; sections at most."""


def n_sections(batch_size: int, n_structures: int, n_atoms: int, n_blocks: int) -> int:
    """Return how many sections a data set of so many structures, atoms and blocks has, a power of two."""
    in_batch = n_atoms * min(batch_size, n_structures) / max(n_structures, 1)
    n = 1
    while 2 * n <= min(MOST, n_blocks, in_batch / ATOMS):
        n *= 2
    return n


def blocks_of(sections: range, n_blocks: int, n: int) -> range:
    """Return the blocks of consecutive ones of `n` sections."""
    return range(n_blocks * sections.start // n, n_blocks * sections.stop // n)


def section_of(blocks: np.ndarray, n_blocks: int, n: int) -> np.ndarray:
    """Return the section, of `n`, of each of some blocks."""
    return ((blocks + 1) * n - 1) // n_blocks
