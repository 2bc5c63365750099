"""Standardisation of descriptors and scaling of energies: one definition for training and prediction."""

from __future__ import annotations

import numpy as np

from .descriptor import DescriptorStatistics
from .errors import InputError

SMALLEST_DEVIATION = 1.0e-10
"""Components whose standard deviation is not larger are set to zero (ænet's limit)."""


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
            "the energies per atom do not differ, so they cannot be scaled", file=file,
            value=f"{energy_min:.8g} … {top:.8g} eV/atom", expected="at least two different energies per atom",
        )
    return 2.0 / (top - energy_min), 0.5 * (top + energy_min)
