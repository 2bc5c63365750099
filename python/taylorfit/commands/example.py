"""`taylorfit example`: copy an example that ships with taylorfit into a folder."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.errors import error_rows
from ..errors import InputError
from ..examples import EXAMPLES, Example
from ..examples.copying import copy_example
from ..model.measures import MEASURES
from ..tools.tables import Table, print_table
from .cli import run_command

SHOWN = ("energy_mae", "energy_rmse", "force_mae", "force_rmse", "force_error_norm_mean", "angle_error_mean")
"""Measures that are compared."""
SHOWN_LAST = ("energy_rmse", "force_error_norm_mean")
"""Those that are also compared for the weights of the last epoch."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Copy the example, print what was written and what to run next; return the report."""
    if arguments.list:
        for name, example in sorted(EXAMPLES.items()):
            print(f"{name}  {example.summary}")
        return {"examples": [{"name": name, "summary": EXAMPLES[name].summary} for name in sorted(EXAMPLES)]}
    if arguments.name is None:
        raise InputError("no example named", expected=f"{' or '.join(sorted(EXAMPLES))}, and a folder")
    if arguments.directory is None:
        raise InputError("no folder named", expected=f"example {arguments.name} DIR")
    directory: Path = arguments.directory
    there = directory.is_dir() and any(directory.iterdir())
    written = copy_example(arguments.name, directory, overwrite=arguments.force, keep=arguments.run)
    if arguments.run and there and not arguments.force:
        print(f"{directory}: input files that were there are used as they are, earlier results are replaced")
    if written:
        _print_files(directory, written)
    example = EXAMPLES[arguments.name]
    report = {
        "example": arguments.name,
        "directory": str(directory),
        "files": [str(path) for path in written],
        "commands": list(example.commands),
    }
    if arguments.run:
        return report | _run(example, directory)
    print("\nNext:")
    for command in (f"cd {shlex.quote(str(directory))}", *example.commands):
        print(f"  {command}")
    return report


def _run(example: Example, directory: Path) -> dict[str, Any]:
    """Run the example and print the comparison of its trainings; return reports and exit code."""
    outcome = run_example(example, directory)
    if outcome.exit_code == 0:
        trainings = {title: outcome.reports[Path(file).stem] for title, file in example.trainings}
        print()
        print_table(comparison(trainings))
        print(f"\nFiles in {directory.resolve()}:")
        for what, names in _files_of(example, outcome.reports).items():
            print(f"  {what:34s} {names}")
    return {"reports": outcome.reports, "exit_code": outcome.exit_code}


def _files_of(example: Example, reports: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What a reader may want to open, by title."""
    files = {
        f"potentials, {title}": " ".join(reports[Path(file).stem]["potentials"]) for title, file in example.trainings
    }
    return files | {
        "their last epochs": "the same with .last",
        "reports of all steps": " ".join(f"{name}.json" for name in reports),
        "predictions, every structure": "predict.out",
    }


def _print_files(directory: Path, written: list[Path]) -> None:
    """Name the files in `directory`; folders of many only by their number of files."""
    print(f"Written to {directory}:")
    folders: dict[str, int] = {}
    for path in written:
        relative = path.relative_to(directory)
        if len(relative.parts) == 1:
            print(f"  {relative}")
        else:
            folders[relative.parts[0]] = folders.get(relative.parts[0], 0) + 1
    for folder, n_files in folders.items():
        print(f"  {folder}/  {n_files} structures")


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
    before = os.getcwd()
    os.chdir(directory)
    try:
        for command, input_file in example.steps:
            name = Path(input_file).stem
            again = {"generate": ["--force"], "train": ["--fresh"]}.get(command, [])
            print(f"\n=== taylorfit {command} {input_file}", flush=True)
            words = [command, input_file, *again, "--report", f"{name}.json"]
            code = run_command(words, f"{name}.out" if command == "predict" else None)
            if code != 0:
                return Outcome(reports, code)
            reports[name] = json.loads(Path(f"{name}.json").read_text(encoding="utf-8"))
        return Outcome(reports)
    finally:
        os.chdir(before)


def comparison(trainings: Mapping[str, Mapping[str, Any]]) -> Table:
    """The errors of several trainings side by side.

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
    return Table(
        (f"errors on {n} validation structures", *trainings),
        (
            ("best epoch", *(str(r["best_epoch"]) for r in reports)),
            *error_rows(best, measures=[MEASURES[key] for key in SHOWN]),
            ("last epoch", *(str(r["epochs"][-1]["epoch"]) for r in reports)),
            *error_rows(last, measures=[MEASURES[key] for key in SHOWN_LAST]),
            ("structures + copies trained on", *(f"{r['n_train']} + {r['n_copies']}" for r in reports)),
            ("ms per epoch", *(f"{1e3 * r['seconds_per_epoch']:.1f}" for r in reports)),
        ),
        numeric=True,
    )
