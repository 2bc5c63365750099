"""Run an example from beginning to end and compare its trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.errors import error_rows
from ..commands.in_process import run_command, working_directory
from ..errors import InputError
from ..reporting.document import Table, text_lines
from . import Example

SHOWN = ("energy_mae", "energy_rmse", "force_mae", "force_rmse", "force_error_norm_mean", "angle_error_mean")
"""Keys of `analysis.ERROR_ROWS` that are compared."""
SHOWN_LAST = ("energy_rmse", "force_error_norm_mean")
"""Those that are also compared for the weights of the last epoch."""


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
            code = run_command(
                [command, input_file, *again, "--report", f"{name}.json"],
                output=f"{name}.out" if command == "predict" else None,
            )
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
    reports = list(trainings.values())
    best, last = ([report[key] for report in reports] for key in ("validation", "validation_last"))
    return text_lines(
        Table(
            (f"errors on {n} validation structures", *trainings),
            (
                ("best epoch", *(str(r["best_epoch"]) for r in reports)),
                *error_rows(best, keys=SHOWN),
                ("last epoch", *(str(r["epochs"][-1]["epoch"]) for r in reports)),
                *error_rows(last, keys=SHOWN_LAST),
                ("structures + copies trained on", *(f"{r['n_train']} + {r['n_copies']}" for r in reports)),
                ("ms per epoch", *(f"{1e3 * r['seconds_per_epoch']:.1f}" for r in reports)),
            ),
            numeric=True,
        )
    )
