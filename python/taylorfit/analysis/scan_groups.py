"""Rows of a scan that differ in the seed alone, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.scan_table import COORDINATES, option_columns
from ..model.measures import MEASURES

SUMMARY = (MEASURES["energy_rmse"], MEASURES["force_mae"], MEASURES["force_error_norm_mean"])
"""What a summary shows; without VALIDATION the next instead."""
WITHOUT_VALIDATION = (MEASURES["test_rmse"],)

Cells = Mapping[str, str]
"""A row of the table."""

POINT_REPORT = "train.json"
"""In the folder of a training: its report, as of `train --report`."""


def point_folder(folder: str | PathLike[str], key: str) -> Path:
    """Folder of a training: potentials, log and report; `folder` is FOLDER of the scan, `key` that of the row."""
    return Path(folder) / "points" / key


def coordinate_names(rows: Sequence[Cells]) -> list[str]:
    """Columns that say which training a row is, without the seed."""
    return [name for name in (*COORDINATES, *option_columns(rows)) if name != "seed"]


def varied_columns(rows: Sequence[Cells]) -> list[str]:
    """The mode, and what else of `coordinate_names` has more than one value."""
    return [
        name for name in coordinate_names(rows) if name == "mode" or len({row.get(name, "") for row in rows} - {""}) > 1
    ]


def seed_groups(rows: Sequence[Cells], names: Sequence[str] | None = None) -> dict[tuple[str, ...], list[Cells]]:
    """Cells of the columns `names` (default: all `coordinate_names`) → rows, in the order they appear."""
    names = coordinate_names(rows) if names is None else names
    groups: dict[tuple[str, ...], list[Cells]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name, "") for name in names), []).append(row)
    return groups


def best_and_median(rows: Sequence[Cells], column: str) -> tuple[float, float] | None:
    """Smallest and median value of a column; None if no row has one."""
    values = [float(row[column]) for row in rows if row.get(column)]
    return (min(values), float(np.median(values))) if values else None


def summarise(rows: Sequence[Cells]) -> list[dict[str, Any]]:
    """Reduce the rows over the seeds.

    Returns
    -------
    list of dict
        The cells that differ between trainings, seeds (number of them), and (best, median) of each measure that
        is there.
    """
    varied = varied_columns(rows)
    summary = []
    for cells, group in seed_groups(rows, varied).items():
        entry: dict[str, Any] = {**dict(zip(varied, cells)), "seeds": len(group)}
        for measure in (*SUMMARY, *WITHOUT_VALIDATION):
            values = best_and_median(group, measure.column)
            if values is not None:
                entry[measure.column] = values
        summary.append(entry)
    return summary
