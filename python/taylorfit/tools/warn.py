"""Warnings that point at the line of the user's program that asked."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

from ..errors import DataWarning


def warn_of_data(remarks: Iterable[str]) -> None:
    """Raise a `DataWarning` for each remark on the data."""
    for remark in remarks:
        warnings.warn(remark, DataWarning, stacklevel=level_of_caller())


def level_of_caller() -> int:
    """Level for `warnings.warn`, called beside it, of the line that asked, outside taylorfit and ASE."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("taylorfit", "ase"):
        level, frame = level + 1, frame.f_back
    return level
