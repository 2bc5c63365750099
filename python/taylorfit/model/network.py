"""Feed-forward networks and atomic potentials as plain values."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .descriptor import DESCRIPTION_LENGTH, DescriptorSetup


@dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward network with packed weights in ænet's order.

    Weights of layer l → l+1 are a column-major (n_out, n_in + 1) matrix, bias last
    column; in NumPy ``weights[a:b].reshape(n_in + 1, n_out)`` with the bias as last row.
    """

    layer_sizes: tuple[int, ...]
    """Nodes per layer without bias, input and output layers included."""
    activations: tuple[int, ...]
    """Code into `activations.ACTIVATIONS` for each layer after the input."""
    weights: np.ndarray
    """(n_weight,) float64"""

    @staticmethod
    def count_weights(layer_sizes: tuple[int, ...]) -> int:
        """Number of weights and biases of a network of these layers."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))

    @property
    def n_weights(self) -> int:
        """Number of weights and biases."""
        return self.count_weights(self.layer_sizes)

    @classmethod
    def random(cls, layer_sizes: tuple[int, ...], activations: tuple[int, ...], rng: np.random.Generator) -> Network:
        """Draw weights and biases uniformly in ±½·sqrt(12/(n_in+1)), i.e. variance 1/(n_in+1) (ænet)."""
        parts = [
            rng.uniform(-0.5, 0.5, (n_in + 1) * n_out) * np.sqrt(12.0 / (n_in + 1))
            for n_in, n_out in pairwise(layer_sizes)
        ]
        return cls(tuple(layer_sizes), tuple(activations), np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class TrainingSetInfo:
    """What a potential file remembers of its training set."""

    file: str
    normalised: bool
    scale: float
    """Energies are trained as scale · (E − n_atoms · shift)."""
    shift: float
    """eV per atom"""
    species: tuple[str, ...]
    atomic_energies: tuple[float, ...]
    """eV"""
    n_atoms: int
    n_structures: int
    energy_min: float
    """Scaled energy per atom (dimensionless), as the next two."""
    energy_max: float
    energy_mean: float


@dataclass(frozen=True, eq=False)
class SpeciesPotential:
    """ANN potential of one species: network, descriptor setup with statistics, energy scaling."""

    network: Network
    setup: DescriptorSetup
    info: TrainingSetInfo

    @property
    def species(self) -> str:
        """Central species."""
        return self.setup.species

    def remark(self, key: str) -> str | None:
        """What the description says behind `KEY: `, on a line of its own; None: nothing.

        ænet's files have no other place for what we want a potential to remember.
        """
        lines = re.split(r"\$\$|\n", self.setup.description)
        found = [line.strip().removeprefix(f"{key}:") for line in lines if line.strip().startswith(f"{key}:")]
        return found[-1].strip() if found else None

    def with_remark(self, key: str, value: str) -> SpeciesPotential:
        """The potential with such a line at the end of its description, in place of an earlier one."""
        lines = re.split(r"\$\$|\n", self.setup.description)
        kept = "$$".join(line for line in lines if line.strip() and not line.strip().startswith(f"{key}:"))
        remark = f"{key}: {value}"
        room = DESCRIPTION_LENGTH - len(remark.encode()) - len("$$")
        text = "$$".join(filter(None, (kept.encode()[:room].decode(errors="ignore"), remark)))
        return replace(self, setup=replace(self.setup, description=text))
