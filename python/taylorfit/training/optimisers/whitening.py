"""METHOD bfgs whiten=…: L-BFGS in coordinates in which the descriptors are hardly correlated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...engine import Lbfgs, PartialSums
from ...model.network import Network
from ...tools.ranks import Ranks
from ..pack import PackedDataset

BLOCKS = 64
"""Correlations are those of the atoms in so many blocks, evenly spaced over the data."""


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """Coordinates for the weights W (n_feature, n_node) of a first layer: W = L⁻ᵀ U, so that Uᵀ multiplies L⁻¹ x.

    With L Lᵀ = C + share·⟨variance⟩·1, C the second moments of the descriptors x, those of L⁻¹ x are nearly unit.
    """

    place: slice
    """In the vector of all weights"""
    n_features: int
    factor: np.ndarray
    """(n_feature, n_feature) Lᵀ"""
    inverse: np.ndarray
    """L⁻¹"""

    @classmethod
    def of(cls, place: slice, moments: np.ndarray, share: float) -> FirstLayer:
        """Make coordinates from second moments (n_feature, n_feature)."""
        n = len(moments)
        mean = float(np.trace(moments)) / n
        if mean <= 0.0:
            return cls(place, n, np.eye(n), np.eye(n))
        lower = _cholesky(moments + share * mean * np.eye(n))
        inverse = _inverse(lower)
        # The mean variance stays, and with it the weight of this layer among the others
        left = float(np.einsum("ij,jk,ik->", inverse, moments, inverse)) / n
        scale = np.sqrt(mean / left)
        return cls(place, n, lower.T / scale, inverse * scale)

    def apply(self, matrix: np.ndarray, vector: np.ndarray) -> None:
        """Multiply this layer's part of `vector` (n_weight,) by a matrix, in place."""
        # Not by BLAS, whose rounding may depend on the number of threads
        vector[self.place] = np.einsum("ij,jk->ik", matrix, vector[self.place].reshape(self.n_features, -1)).ravel()


class WhitenedLbfgs(Lbfgs):
    """L-BFGS whose own weights are coordinates (`FirstLayer`); what it takes and gives are those of the networks."""

    def __init__(self, weights: np.ndarray, memory: int, layers: Sequence[FirstLayer]) -> None:
        self._layers = layers
        super().__init__(weights, memory)

    def restart(self, weights: np.ndarray) -> None:
        """Start anew at `weights` (n_weight,), for another loss."""
        inner = np.array(weights, dtype=np.float64)
        for layer in self._layers:
            layer.apply(layer.factor, inner)
        super().restart(inner)

    @property
    def weights(self) -> np.ndarray:
        """(n_weight,) the point where loss and gradient are wanted next."""
        outer = self.state["weights"].copy()
        for layer in self._layers:
            layer.apply(layer.inverse.T, outer)
        return outer

    def step(self, loss: float, gradient: np.ndarray) -> str:
        """Take one step; return RUNNING, CONVERGED (largest gradient component below tolerance) or STUCK."""
        inner = gradient.copy()
        for layer in self._layers:
            layer.apply(layer.inverse, inner)
        return super().step(loss, inner)


def first_layers(data: PackedDataset, networks: Sequence[Network], share: float, ranks: Ranks) -> list[FirstLayer]:
    """Return coordinates for the first layer of each species; the same for any number of ranks."""
    (n_blocks,) = ranks.add(len(data.panel_width))
    n_sampled = min(BLOCKS, n_blocks)
    sampled = (2 * np.arange(n_sampled) + 1) * n_blocks // (2 * max(n_sampled, 1))
    sizes = [network.layer_sizes[0] for network in networks]
    here = np.flatnonzero((sampled >= data.first_leaf) & (sampled < data.first_leaf + len(data.panel_width)))
    sums = PartialSums.of_leaves(int(here[0]) if len(here) else 0, np.zeros((0, sum(n * n + 1 for n in sizes))))
    for k in map(int, here):
        block = int(sampled[k]) - data.first_leaf
        row = np.concatenate([_moments(data, block, t, n) for t, n in enumerate(sizes)])
        sums = sums.joined(PartialSums.of_leaves(k, row[None]))
    (total,) = ranks.totals([sums])
    layers, start, weight = [], 0, 0
    for network, n in zip(networks, sizes):
        moments, n_atoms = total[start : start + n * n].reshape(n, n), total[start + n * n]
        place = slice(weight, weight + n * network.layer_sizes[1])
        layers.append(FirstLayer.of(place, moments / max(n_atoms, 1.0), share))
        start, weight = start + n * n + 1, weight + network.n_weights
    return layers


def _moments(data: PackedDataset, block: int, species: int, n_features: int) -> np.ndarray:
    """Sums of products of the standardised descriptors of a species in a block, and behind them its atoms."""
    width, at = data.panel_width[block, species], data.panel_offset[block, species]
    panel = data.features[at : at + n_features * width].reshape(n_features, width).astype(np.float64, copy=False)
    structures = slice(data.block_first[block], data.block_first[block + 1])
    return np.append(np.einsum("ia,ja->ij", panel, panel).ravel(), data.atom_count[structures, species].sum())


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower triangle L of matrix = L Lᵀ, with the same rounding for any number of threads of LAPACK."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        column = matrix[j:, j] - (lower[j:, :j] * lower[j, :j]).sum(axis=1)
        lower[j:, j] = column / np.sqrt(column[0])
    return lower


def _inverse(lower: np.ndarray) -> np.ndarray:
    """Inverse of a lower triangle."""
    inverse = np.zeros_like(lower)
    for i in range(len(lower)):
        inverse[i] = -(lower[i, :i, None] * inverse[:i]).sum(axis=0)
        inverse[i, i] += 1.0
        inverse[i] /= lower[i, i]
    return inverse
