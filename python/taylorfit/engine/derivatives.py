"""Derivatives of all descriptor values with respect to single neighbours, from the engine.

Training by Taylor expansion and prediction never need them; they are for `.train.forces`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..model.descriptor import AtomDerivatives
from ..model.structure import Structure
from . import library
from .descriptors import Batch, DescriptorTables
from .library import call, thread_count
from .neighbour_lists import neighbours

MARGIN = 1.0e-3
"""ænet lists neighbours up to so much (Å) beyond the largest cutoff."""
BLOCK_VALUES = 4_000_000
"""Derivatives per engine call, about 32 MB."""


def descriptor_derivatives(
    structure: Structure, tables: DescriptorTables, threads: int = 0
) -> Iterator[AtomDerivatives]:
    """Yield the derivatives of the raw descriptors, atom after atom, in blocks of bounded size.

    Neighbours are those within the largest cutoff of all species plus `MARGIN`, as in ænet,
    images apart, in no particular order.

    Parameters
    ----------
    threads
        0: all cores.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    batch, index = Batch.of([structure], tables), tables.check(structure)
    reach = tables.cutoff + MARGIN
    first, neighbour, _ = neighbours(structure, reach)
    n_features = tables.n_function[index].astype(np.int64)
    n_neighbours = np.diff(first)
    sizes = 3 * n_features * n_neighbours
    start = 0
    while start < structure.n_atoms:
        stop = start + max(1, int(np.searchsorted(np.cumsum(sizes[start:]), BLOCK_VALUES, side="right")))
        own, image = np.empty(3 * int(n_features[start:stop].sum())), np.empty(int(sizes[start:stop].sum()))
        place = batch.views(), reach, start + 1, stop, thread_count(threads)
        call(library.descriptors.descriptor_derivatives, tables.handle.object, *place, own, image, names=batch.names)
        a = b = 0
        for atom in range(start, stop):
            n, m = int(n_features[atom]), int(n_neighbours[atom])
            yield AtomDerivatives(
                species=int(index[atom]),
                neighbours=neighbour[first[atom] : first[atom + 1]],
                own=own[a : a + 3 * n].reshape(3, n).T,
                images=image[b : b + 3 * n * m].reshape(3, n, m).T,
            )
            a, b = a + 3 * n, b + 3 * n * m
        start = stop
