"""Statistics of plain numbers."""

from __future__ import annotations

import numpy as np


def robust_deviation(deviations: np.ndarray) -> float:
    """Standard deviation that outliers do not enlarge: 1.4826 times the median of (n,) absolute deviations, n > 0."""
    return 1.4826 * float(np.median(np.abs(deviations)))
