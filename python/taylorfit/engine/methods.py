"""Training methods with several steps an epoch.

The packed
data are those of `dataset.PackedDataset`, the terms of the loss those of `losses.EnergyLoss`:
L = ½ Σ_s weight_s (factor_s (E_ref,s − E_s))² in the units of the network outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import library
from .library import call, integers, thread_count
from .potentials import NetworkTables


@dataclass(frozen=True, eq=False)
class LossTerms:
    """What an energy loss is made of: packed data, networks, and three numbers per structure."""

    pack: tuple[np.ndarray, ...]
    """`PackedDataset.arguments()`"""
    networks: NetworkTables
    energy_ref: np.ndarray
    """(n_structure,) reference energies"""
    factor: np.ndarray
    """(n_structure,) 1/n_atoms (ænet) or 1"""
    weight: np.ndarray
    """(n_structure,) COPYWEIGHT of a Taylor copy, 1 of a reference structure"""
    threads: int
    """0: all cores"""

    @property
    def n_structures(self) -> int:
        """Number of structures, Taylor copies included."""
        return len(self.energy_ref)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) number of atoms of each structure."""
        return self.pack[5].sum(axis=1)

    def _arguments(self, chosen: Sequence[int] | np.ndarray) -> tuple[np.ndarray, ...]:
        features, panel_offset, panel_width, block_first, atom_offset, atom_count = self.pack
        return (
            features,
            panel_offset.T,
            panel_width.T,
            block_first,
            atom_offset.T,
            atom_count.T,
            *self.networks.arguments(),
            integers(chosen) + np.int32(1),
        )

    def _terms(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.energy_ref, self.factor, self.weight


def chosen_energies(terms: LossTerms, chosen: Sequence[int] | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the energies (n_chosen,) of the structures with these indices (from 0)."""
    energy = np.empty(len(chosen))
    call(library.methods.energies, *terms._arguments(chosen), weights, thread_count(terms.threads), energy)
    return energy


def jacobian(
    terms: LossTerms, chosen: Sequence[int] | np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (n_chosen,) and their derivatives with respect to the weights (n_chosen, n_weight)."""
    energy, derivative = np.empty(len(chosen)), np.empty((len(chosen), len(weights)))
    call(
        library.methods.jacobian, *terms._arguments(chosen), weights, thread_count(terms.threads), energy, derivative.T
    )
    return energy, derivative


def normal_matrix(derivative: np.ndarray, threads: int) -> np.ndarray:
    """Return D Dᵀ or Dᵀ D, whichever is smaller, for D (n_residual, n_weight); one triangle is meaningful."""
    n = min(derivative.shape)
    product = np.zeros((n, n))
    call(library.methods.normal, derivative.T, thread_count(threads), product.T)
    return product


def damped_step(derivative: np.ndarray, residual: np.ndarray, normal: np.ndarray, damping: float) -> np.ndarray | None:
    """Return the step δ with (DᵀD + damping·1) δ = Dᵀ residual, or None if that matrix is not positive definite.

    `normal` is `normal_matrix` of D (n_residual, n_weight).
    """
    step = np.empty(derivative.shape[1])
    solved = call(library.methods.damped, derivative.T, residual, normal.T, float(damping), step)
    return step if solved else None


def descent_pass(
    terms: LossTerms, order: np.ndarray, momentum: float, rate: float, weights: np.ndarray, velocity: np.ndarray
) -> None:
    """Steepest descent with momentum, one step per entry of `order`; moves `weights` and `velocity`."""
    call(
        library.methods.descent,
        *terms._arguments(order),
        *terms._terms(),
        float(momentum),
        float(rate),
        weights,
        velocity,
    )


def start_covariance(n_weights: int, width: int, variance: float) -> np.ndarray:
    """Return the covariance of a Kalman filter at the start: blocks of `width` weights, one after the other."""
    full, rest = divmod(n_weights, width)
    covariance = np.empty(full * width**2 + rest**2)
    call(library.methods.filter_start, n_weights, width, float(variance), covariance)
    return covariance


def filter_pass(
    terms: LossTerms,
    order: np.ndarray,
    width: int,
    forgetting_rate: float,
    noise: float,
    weights: np.ndarray,
    covariance: np.ndarray,
    forgetting: np.ndarray,
) -> None:
    """Extended Kalman filter, one observation per entry of `order`; moves the last three arrays."""
    call(
        library.methods.filter,
        *terms._arguments(order),
        *terms._terms(),
        int(width),
        float(forgetting_rate),
        float(noise),
        thread_count(terms.threads),
        weights,
        covariance,
        forgetting,
    )


def adam_pass(
    terms: LossTerms,
    order: np.ndarray,
    batch_size: int,
    rates: tuple[float, float, float, float],
    weights: np.ndarray,
    mean: np.ndarray,
    mean_square: np.ndarray,
    n_steps: np.ndarray,
) -> None:
    """Adam over mini-batches of `order`; `rates` is (mu, b1, b2, eps); moves the last four arrays."""
    call(
        library.methods.adam,
        *terms._arguments(order),
        *terms._terms(),
        int(batch_size),
        *map(float, rates),
        thread_count(terms.threads),
        weights,
        mean,
        mean_square,
        n_steps,
    )
