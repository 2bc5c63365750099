"""Statistics of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def median(values: np.ndarray | Sequence[float]) -> float:
    """Median of all values, what `numpy.median` gives without importing `numpy.ma`; NaN for none, or with a NaN."""
    ordered = np.sort(np.asarray(values, dtype=float), axis=None)
    n = len(ordered)
    if n == 0 or np.isnan(ordered[-1]):
        return float("nan")
    return float(ordered[n // 2] if n % 2 else np.mean(ordered[n // 2 - 1 : n // 2 + 1]))


def robust_deviation(deviations: np.ndarray) -> float:
    """Standard deviation that outliers do not enlarge: 1.4826 times the median of (n,) absolute deviations, n > 0."""
    return 1.4826 * median(np.abs(deviations))
