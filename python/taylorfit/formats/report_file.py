"""The report of a command, as JSON: everything it prints, machine-readable."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike
from typing import Any

from ..tools.atomic_write import atomic_write


def write_report(path: str | PathLike[str], command: str, report: Mapping[str, Any]) -> None:
    """Write what a command returns, with its name and the version.

    Raises
    ------
    InputError
        if the file cannot be written.
    """
    from .. import __version__  # which takes a while to find

    with atomic_write(path) as stream:
        json.dump(_plain({"command": command, "version": __version__, **report}), stream, indent=1, allow_nan=False)
        stream.write("\n")


def _plain(value: object) -> object:
    """Return what JSON knows: NumPy values as lists and numbers, NaN and infinity, which it lacks, as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
