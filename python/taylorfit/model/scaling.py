"""Standardisation of descriptors and scaling of energies: one definition for training and prediction."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .descriptor import DescriptorStatistics

SMALLEST_DEVIATION = 1.0e-10
"""Components whose standard deviation is not larger are set to zero (ænet's limit)."""
UNVARYING = 1.0e-3
"""Relative change of a component without variance in the training data that counts as one σ."""


def standardisation(statistics: DescriptorStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Return shift and factor, each (n_feature,), such that G̃ = (G − shift)·factor (ænet).

    shift = ⟨G⟩, factor = 1/sqrt(⟨G²⟩ − ⟨G⟩²); 0 where a component does not vary, also where
    rounding makes the variance slightly negative (which gives NaN in ænet).
    """
    variance = statistics.mean_square - statistics.mean**2
    deviation = np.sqrt(np.maximum(variance, 0.0))
    varies = (deviation > SMALLEST_DEVIATION) & (statistics.minimum < statistics.maximum)
    factor = np.zeros_like(deviation)
    np.divide(1.0, deviation, out=factor, where=varies)
    return statistics.mean, factor


def range_unit(statistics: DescriptorStatistics) -> np.ndarray:
    """Return 1/σ, (n_feature,): the measure of how far a value is outside the range of the training data.

    A component that did not vary there has no σ, and the network does not see it: it counts as
    having σ = `UNVARYING` times its size (at least 1), so that rounding is no departure but a new kind of neighbour is.
    """
    _, factor = standardisation(statistics)
    return np.where(factor > 0.0, factor, 1.0 / (UNVARYING * np.maximum(np.abs(statistics.mean), 1.0)))


def energy_scaling(
    energy_min: float, energy_max: float, max_energy: float | None = None, file: str | None = None
) -> tuple[float, float]:
    """Return scale and shift that map energies per atom (eV) to [−1, 1], as ænet does.

    Parameters
    ----------
    energy_min, energy_max
        Range of the energies per atom over all structures, train and test, eV.
    max_energy
        MAXENERGY: structures above it are dropped, so the interval ends there.
    file
        Training set, for the error.

    Raises
    ------
    InputError
        if all energies are equal: nothing can be learnt, and the scale would be infinite.
    """
    top = energy_max if max_energy is None else min(energy_max, max_energy)
    if not top > energy_min:
        raise InputError(
            "the energies per atom do not differ, so they cannot be scaled",
            file=file,
            value=f"{energy_min:.8g} … {top:.8g} eV/atom",
            expected="at least two different energies per atom, or forces and FORCES mode=exact energyweight=0",
        )
    return 2.0 / (top - energy_min), 0.5 * (top + energy_min)


def force_scaling(forces: np.ndarray, energy: float) -> tuple[float, float]:
    """Return scale and shift for a training on forces alone, whose energies per atom (eV) are all the same.

    The rms component of the (n, 3) forces, eV/Å, becomes 1 per Å.
    """
    rms = float(np.sqrt((forces**2).mean())) if forces.size else 0.0
    return 1.0 / rms if rms > 0.0 else 1.0, energy
