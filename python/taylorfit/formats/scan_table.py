"""The table of a scan: CSV, one training a row, units in the names of the columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from ..model.measures import MEASURES
from .csv_table import read_table, write_table

COORDINATES = ("mode", "strategy", "delta_A", "multiple_a", "beta_A2", "n_structures", "network", "seed")
"""Columns that say which training it is (columns of other options come between these and `EPOCHS`)."""
EPOCHS = ("epochs", "best_epoch")
ERRORS = tuple(
    MEASURES[key]
    for key in (
        "train_rmse",
        "test_rmse",
        "energy_rmse",
        "energy_mae",
        "force_mae",
        "force_rmse",
        "force_error_norm_mean",
    )
)
"""Measures with a column, of the values shown.  Weights of the best epoch; the first two on the structures trained on
and tested, the others on those of VALIDATION."""
FORCE_NORM = MEASURES["force_error_norm_mean"].column
"""The error by which potentials are compared."""
LAST = "last_"
"""Before a column of `ERRORS`: the same with the weights of the last epoch."""
SECONDS_PER_EPOCH = "seconds_per_epoch"
TIMES = ("seconds", SECONDS_PER_EPOCH)
KEY = "key"
"""Column that recognises a training: the same inputs, the same key."""
FIXED = ("label", *COORDINATES, *EPOCHS, *(m.column for m in ERRORS), *(LAST + m.column for m in ERRORS), *TIMES, KEY)
"""Columns that every table has."""

Row = dict[str, str]


def read_scan_table(path: str | PathLike[str]) -> list[Row]:
    """Read the rows of a table; none if the file does not exist.

    Raises
    ------
    FormatError
        if it is another kind of file or damaged.
    InputError
        if it cannot be read.
    """
    if not Path(path).exists():
        return []
    table = read_table(path, FIXED)
    numbers = FIXED[FIXED.index(EPOCHS[0]) : FIXED.index(KEY)]
    for name in numbers:
        table.numbers(name, blanks=True)
    # 1d-3 is a number to us, but not to `float`
    columns = {
        name: [re.sub("[dD]", "e", cell) for cell in cells] if name in numbers else cells
        for name, cells in table.columns.items()
    }
    return [dict(zip(columns, cells)) for cells in zip(*columns.values())]


def write_scan_table(path: str | PathLike[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Write all rows; the labels are made anew, so that they tell apart what the table holds.

    Raises
    ------
    InputError
        if it cannot be written.
    """
    options = option_columns(rows)
    before = FIXED.index(EPOCHS[0])
    names = [*FIXED[:before], *options, *FIXED[before:]]
    cells = ({**row, "label": label} for row, label in zip(rows, labels(rows)))
    write_table(path, names, ([row.get(name, "") for name in names] for row in cells))


def option_columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Columns of options that have no fixed one, in the order they appear."""
    return list(dict.fromkeys(name for row in rows for name in row if name not in FIXED))


def labels(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each row: the mode, and what else varies and is no number on an axis of a plot."""
    parts = [
        name
        for name in ("strategy", *option_columns(rows), "network")
        if len({row.get(name, "") for row in rows} - {""}) > 1
    ]
    return [
        " ".join(
            [
                row["mode"],
                *(row[name] if name in COORDINATES else f"{name}={row[name]}" for name in parts if row.get(name)),
            ]
        )
        for row in rows
    ]


def coordinates(row: Mapping[str, str], options: Sequence[str]) -> tuple[str, ...]:
    """What tells a row from all others, `options` being the `option_columns`."""
    return tuple(row.get(name, "") for name in (*COORDINATES, *options))


def number(value: float | int | None) -> str:
    """Return a number as a cell; empty for None."""
    return "" if value is None else str(value) if isinstance(value, int) else format(value, ".10g")
