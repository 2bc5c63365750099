"""Scans reduced to lines: best and median over the seeds, for every mode and every value of what else varies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..formats.csv_table import Table
from ..model.measures import MEASURES
from .scan_axes import AXES

PANELS = (MEASURES["energy_rmse"], MEASURES["force_error_norm_mean"])
"""What is drawn, a panel each."""


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a panel."""

    label: str
    x: np.ndarray
    """(n,) ascending; empty if the series does not depend on it: then there is one value of each."""
    best: np.ndarray
    median: np.ndarray
    seeds: tuple[int, int]
    """Fewest and most rows behind one value."""
    single: tuple[np.ndarray, ...] = ()
    """All values behind each, relative to the median of the mode that they are compared with."""


def numbers_text(numbers: Collection[int]) -> str:
    """``3``, or ``1 to 3`` where numbers of trainings differ."""
    fewest, most = min(numbers), max(numbers)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def scan_series(table: Table, x: str, measure: str, relative: str | None = None) -> list[Series]:
    """Reduce a scan to lines: best and median over the seeds, for every mode and every value of what else varies.

    Parameters
    ----------
    table
        with the columns `label` or `mode`, the one of `x`, and `measure`
    x
        key of `AXES`
    measure
        column of the error
    relative
        name of a mode: its median over the seeds becomes 1, among rows with as many structures

    Raises
    ------
    InputError
        if `relative` is not in the table.
    """
    names = np.array(table.words("label" if "label" in table else "mode"))
    modes = np.array(table.words("mode")) if "mode" in table else names
    values = table.numbers(measure, blanks=True)
    parameters = {
        key: table.numbers(axis.column, blanks=True) for key, axis in AXES.items() if axis.column in table or key == x
    }
    place = parameters.pop(x)
    baseline = np.zeros(len(names), dtype=bool)
    if relative is not None:
        baseline = ((names == relative) | (modes == relative)) & ~np.isnan(values)
        if not baseline.any():
            raise InputError(
                "no rows of the mode to compare with",
                file=table.file,
                value=relative,
                expected=" or ".join(dict.fromkeys([*names, *modes])),
            )
    sizes = parameters.get("size", np.zeros(len(names)))
    lines: dict[tuple[object, ...], list[int]] = {}
    for row in range(len(names)):
        if not np.isnan(values[row]):
            own = [parameter[row] for parameter in parameters.values()]
            lines.setdefault((names[row], *(None if np.isnan(v) else v for v in own)), []).append(row)
    found = []
    for key, rows in lines.items():
        same_name = [other for other in lines if other[0] == key[0]]
        # Only what tells lines of one name apart is named
        details = [
            AXES[axis].short.format(key[k + 1])
            for k, axis in enumerate(parameters)
            if key[k + 1] is not None and len({other[k + 1] for other in same_name}) > 1
        ]
        points = sorted({place[row] for row in rows if not np.isnan(place[row])})
        groups = [[row for row in rows if place[row] == point] for point in points] or [rows]
        factors = [_baseline(values, baseline, sizes, group[0], relative) for group in groups]
        found.append(
            Series(
                ", ".join([str(key[0]), *details]),
                np.array(points),
                np.array([values[group].min() / factor for group, factor in zip(groups, factors)]),
                np.array([np.median(values[group]) / factor for group, factor in zip(groups, factors)]),
                (min(map(len, groups)), max(map(len, groups))),
                tuple(values[group] / factor for group, factor in zip(groups, factors)),
            )
        )
    return found


def _baseline(values: np.ndarray, baseline: np.ndarray, sizes: np.ndarray, row: int, relative: str | None) -> float:
    """Median of the baseline for the set size of a row, or of all sizes if it has none of that."""
    if relative is None:
        return 1.0
    rows = baseline & (sizes == sizes[row])
    same = values[rows if rows.any() else baseline]
    return float(np.median(same))
