"""Measures of error as pure functions of predicted and reference values; no files, no engine.

What a result must show (Cooper et al. 2020, figures 3, 5 and S2): not only averages but the distribution of
the force error, its tail, and how wrong the direction of small and large forces is.
"""

from __future__ import annotations

import numpy as np

from ..model.measures import TAIL
from ..tools.statistics import median


def mae_and_rmse(errors: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Mean absolute and root mean square of errors, in their unit; an empty set gives 0 and NaN, as ænet prints.

    With `weights` (of the same shape, ≥ 0) the means are weighted; all weights 0 is an empty set.
    """
    errors = np.asarray(errors)
    if weights is not None:
        total = float(np.sum(weights))
        if total == 0.0:
            return 0.0, float("nan")
        return float((weights * np.abs(errors)).sum() / total), float(np.sqrt((weights * errors**2).sum() / total))
    if errors.size == 0:
        return 0.0, float("nan")
    return float(np.abs(errors).mean()), float(np.sqrt((errors**2).mean()))


def force_error_norm(forces: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n_atom,) |F − F_ref| in eV/Å of forces (n_atom, 3), eV/Å."""
    return np.linalg.norm(forces - reference, axis=1)


def direction_error(forces: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n_atom,) angle between F and F_ref in degrees; NaN where one of them is zero.

    Parameters
    ----------
    forces, reference
        (n_atom, 3) eV/Å
    """
    norm, norm_ref = np.linalg.norm(forces, axis=1), np.linalg.norm(reference, axis=1)
    defined = (norm > 0) & (norm_ref > 0)
    angle = np.full(len(norm), np.nan)
    cosine = (forces * reference).sum(axis=1)[defined] / (norm * norm_ref)[defined]
    angle[defined] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return angle


def tail_fraction(error_norm: np.ndarray, threshold: float = TAIL) -> float:
    """Fraction (0 to 1) of the values above `threshold`; NaN of none."""
    return float((error_norm > threshold).mean()) if len(error_norm) else float("nan")


def density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Probability density in bins, per unit of `values`.

    Values outside of the bins count in the norm, so the area under the curve is the fraction that is shown and
    the curves of several sets can be compared.

    Parameters
    ----------
    values
        (n,) of any unit
    edges
        (n_bin + 1,) ascending, the same unit
    """
    counts, _ = np.histogram(values, edges)
    return counts / (np.diff(edges) * max(len(values), 1))


def binned_median(x: np.ndarray, y: np.ndarray, edges: np.ndarray, least: int = 1) -> np.ndarray:
    """(n_bin,) median of `y` where `x` lies in each bin; NaN where fewer than `least` values do."""
    place = np.digitize(x, edges) - 1
    medians = np.full(len(edges) - 1, np.nan)
    for index in range(len(medians)):
        inside = y[place == index]
        if len(inside) >= max(least, 1):
            medians[index] = median(inside)
    return medians
