"""The reports of commands, as JSON: written for all of them, read for plots and pages of trainings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..tools.atomic_write import atomic_write
from ..tools.plain_text import read_bytes

_EXPECTED = "a file written by train --report"


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


@dataclass(frozen=True, eq=False)
class TrainReport:
    """The epochs of a training as arrays, and everything else as it stands in the file."""

    file: str
    epoch: np.ndarray
    """(n_epoch,) numbers of the epochs"""
    train_rmse: np.ndarray
    """(n_epoch,) eV/atom; NaN where it was not finite."""
    test_rmse: np.ndarray
    """(n_epoch,) eV/atom; NaN without test structures."""
    best_epoch: int
    validation_epoch: np.ndarray
    """(n_validation,) epochs with errors of the validation structures"""
    validation_energy_rmse: np.ndarray
    """(n_validation,) eV/atom; NaN where there is none."""
    validation_force_error: np.ndarray
    """(n_validation,) mean |F − F_ref|, eV/Å; NaN where there is none."""
    test_force_rmse: np.ndarray
    """(n_epoch,) of the force components, eV/Å; NaN in epochs without."""
    data: Mapping[str, Any]
    """All keys of the report."""

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return Path(self.file).stem

    @property
    def has_test(self) -> bool:
        """Whether there were test structures."""
        return bool(np.isfinite(self.test_rmse).any())

    @property
    def has_forces(self) -> bool:
        """Whether there were validation structures with forces."""
        return bool(np.isfinite(self.validation_force_error).any())

    @property
    def has_test_forces(self) -> bool:
        """Whether forces of test structures were evaluated during the training."""
        return bool(np.isfinite(self.test_force_rmse).any())


def read_train_report(path: str | PathLike[str]) -> TrainReport:
    """Read the report of a training.

    Raises
    ------
    FormatError
        if it is not JSON, the report of another command, or has no epochs.
    InputError
        if the file cannot be opened.
    """
    file = fsdecode(path)
    try:
        data = json.loads(read_bytes(path))
    except json.JSONDecodeError as error:
        raise FormatError(f"is not JSON ({error.msg})", file=file, line=error.lineno, expected=_EXPECTED) from None
    except (UnicodeDecodeError, RecursionError):
        raise FormatError("is not JSON", file=file, expected=_EXPECTED) from None
    if not isinstance(data, dict) or data.get("command") != "train":
        found = data.get("command") if isinstance(data, dict) else None
        raise FormatError("is not the report of a training", file=file, value=found, expected=_EXPECTED)
    return report_of(data, file)


def report_of(data: Mapping[str, Any], file: str) -> TrainReport:
    """Return the report of a training, as it stands in a file or `Fit.to_dict` gives it; `file` is its name.

    Raises
    ------
    FormatError
        if it has no epochs.
    """
    epochs, history = data.get("epochs"), data.get("validation_history", [])
    if not epochs or not isinstance(data.get("best_epoch"), int):
        raise FormatError("the report has no epochs", file=file, expected=_EXPECTED)
    return TrainReport(
        file=file,
        epoch=_column(file, epochs, "epoch"),
        train_rmse=_column(file, epochs, "train_rmse"),
        test_rmse=_column(file, epochs, "test_rmse"),
        best_epoch=data["best_epoch"],
        validation_epoch=_column(file, history, "epoch"),
        validation_energy_rmse=_column(file, history, "energy_rmse"),
        validation_force_error=_column(file, history, "force_error_norm_mean"),
        test_force_rmse=_column(file, epochs, "test_force_rmse", optional=True),
        data=data,
    )


def _column(file: str, rows: Sequence[Mapping[str, Any]], key: str, optional: bool = False) -> np.ndarray:
    """One key of all rows as float64; NaN for null, and where an `optional` key is missing."""
    try:
        values = [row.get(key) if optional else row[key] for row in rows]
        return np.array([np.nan if value is None else float(value) for value in values])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise FormatError(f"the report has an epoch without {key}", file=file, expected="a number or null") from None
