"""Run an example from beginning to end and compare its trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis import ERROR_ROWS
from ..errors import InputError
from ..in_process import run_command, working_directory
from . import Example

SHOWN = ("energy_mae", "energy_rmse", "force_mae", "force_rmse", "force_error_norm_mean", "angle_error_mean")
"""Keys of `ERROR_ROWS` that are compared."""
SHOWN_LAST = ("energy_rmse", "force_error_norm_mean")
"""Those that are also compared for the weights of the last epoch."""
COLUMN = 12
"""Least width of a column."""


@dataclass(frozen=True)
class Outcome:
    """Reports of all steps of an example that ran."""

    reports: dict[str, dict[str, Any]]
    """Input file without its ending → report."""
    exit_code: int = 0
    """Of the step that failed, or zero."""


def run_example(example: Example, directory: Path) -> Outcome:
    """Run the steps of `example` in `directory`, replacing what an earlier run left there.

    Each step writes its report beside its input file.  What `predict` prints (every structure)
    goes to a file of its own.
    """
    reports: dict[str, dict[str, Any]] = {}
    with working_directory(directory):
        for command, input_file in example.steps:
            name = Path(input_file).stem
            again = {"generate": ["--force"], "train": ["--fresh"]}.get(command, [])
            print(f"\n=== taylorfit {command} {input_file}", flush=True)
            code = run_command([command, input_file, *again, "--report", f"{name}.json"],
                               output=f"{name}.out" if command == "predict" else None)
            if code != 0:
                return Outcome(reports, code)
            reports[name] = json.loads(Path(f"{name}.json").read_text(encoding="utf-8"))
    return Outcome(reports)


def comparison_lines(trainings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The errors of several trainings side by side, as text.

    Parameters
    ----------
    trainings
        Title of a column → report of `train`.

    Raises
    ------
    InputError
        if a training had no validation structures.
    """
    for title, report in trainings.items():
        if not report.get("validation"):
            raise InputError(f"no validation structures in the {title}", expected="VALIDATION in train.in")
    n = next(iter(trainings.values()))["validation"]["n_structures"]
    rows = [row for row in ERROR_ROWS if row[1] in SHOWN]
    reports = list(trainings.values())
    title_width = max(COLUMN, *map(len, trainings))

    def line(label: str, cells: Sequence[str]) -> tuple[str, list[str]]:
        return label, [f"  {cell:>{title_width}}" for cell in cells]

    def values(label: str, key: str, which: str, factor: float, form: str) -> tuple[str, list[str]]:
        found = [r[which].get(key) for r in reports]
        return line(label, ["-" if value is None else format(factor * value, form) for value in found])

    def known(key: str) -> bool:
        return any(r["validation"].get(key) is not None for r in reports)

    table = [line(f"errors on {n} validation structures", list(trainings)),
             line("best epoch", [str(r["best_epoch"]) for r in reports])]
    table += [values(label, key, "validation", factor, form) for label, key, factor, form in rows if known(key)]
    table.append(line("last epoch", [str(r["epochs"][-1]["epoch"]) for r in reports]))
    table += [values(label, key, "validation_last", factor, form) for label, key, factor, form in rows
              if key in SHOWN_LAST and known(key)]
    table.append(line("structures + copies trained on", [f"{r['n_train']} + {r['n_copies']}" for r in reports]))
    table.append(line("ms per epoch", [f"{1e3 * r['seconds_per_epoch']:.1f}" for r in reports]))
    width = max(len(label) for label, _ in table)
    lines = [f"{label:{width}}" + "".join(cells) for label, cells in table]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
