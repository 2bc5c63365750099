"""Sums over the blocks of a data set, part by part: the same bits however the blocks are shared out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import library


def most_nodes(n_leaves: int) -> int:
    """Return how many nodes make up any `n_leaves` consecutive leaves at most, with one that is being added."""
    return int(library.sums.sums_most(int(n_leaves)))


def columns_of_sums(n_leaves: int, threads: int) -> int:
    """Return how many vectors of partial sums an evaluation of `n_leaves` blocks takes."""
    return int(library.sums.sums_columns(int(n_leaves), int(threads)))


@dataclass(frozen=True, eq=False)
class PartialSums:
    """Sums over consecutive leaves, as nodes of a fixed binary tree (`tf_tree_sum`)."""

    nodes: np.ndarray
    """(n_node, 2) int64: first leaf and level of each node"""
    sums: np.ndarray
    """(n_node, n_number)"""

    @classmethod
    def of_leaves(cls, first: int, values: np.ndarray) -> PartialSums:
        """Return the sums of leaves that contribute `values` (n_leaf, n_number), which are used up; `first`: number."""
        nodes = np.zeros((len(values), 2), dtype=np.int64)
        nodes[:, 0] = np.arange(first, first + len(values))
        return cls(nodes, values)._reduced()

    def joined(self, after: PartialSums) -> PartialSums:
        """Return the sums over these leaves and those that come directly after them."""
        return PartialSums(
            np.concatenate([self.nodes, after.nodes]), np.concatenate([self.sums, after.sums])
        )._reduced()

    def _reduced(self) -> PartialSums:
        n = int(library.sums.sums_join(self.nodes.T, self.sums.T))
        return PartialSums(self.nodes[:n].copy(), self.sums[:n].copy())

    def total(self) -> np.ndarray:
        """Return the sums (n_number,) over all leaves, which begin with the first; they are used up by that."""
        if not len(self.nodes):
            return np.zeros(self.sums.shape[1])
        library.sums.sums_total(self.sums.T)
        return self.sums[0]
