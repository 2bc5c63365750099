"""`taylorfit plot`: figures for print from the files that the other commands write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import plotting
from ..analysis.errors import error_lines, errors_in
from ..analysis.lennard_jones import LennardJones, potential_curve
from ..errors import InputError
from ..formats.aenet.records import printable
from ..formats.csv_table import Table, read_table
from ..formats.predictions import read_predictions
from ..formats.report_file import read_train_report
from ..model.predictions import Predictions
from ..potential.potential import Potential
from ..tools.atomic_write import check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMER_GRID = np.linspace(1.3, 3.0, 341)
"""Distances at which potentials are evaluated, Å."""


Reader: TypeAlias = Callable[[str], Any]
Draw: TypeAlias = Callable[[Any, Any, argparse.Namespace], "Figure"]
"""Reads a file; draws by the module in `plotting`, what was read from the files, and the arguments."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw and save one figure; return the report."""
    if arguments.kind not in DRAW:
        raise InputError("unknown kind of plot", value=arguments.kind, expected=" or ".join(DRAW))
    for option, kind in (("x", "scan"), ("relative", "scan"), ("log", "errors"), ("atoms", "nve")):
        if getattr(arguments, option) not in (None, False) and arguments.kind != kind:
            raise InputError(f"--{option} belongs to plot {kind}", value=arguments.kind)
    if arguments.atoms is not None and arguments.atoms < 1:
        raise InputError("--atoms is no number of atoms", value=arguments.atoms, expected="at least 1")
    if arguments.kind in OF_ONE_FILE and len(arguments.files) > 1:
        raise InputError(f"plot {arguments.kind} takes one file", value=len(arguments.files), expected="one FILE")
    if arguments.label and len(arguments.label) != len(arguments.files):
        raise InputError(
            "--label needs a name for every file", value=len(arguments.label), expected=f"{len(arguments.files)} names"
        )
    plotting.require_matplotlib()
    from ..plotting.style import check_suffix, save

    check_suffix(arguments.output)
    check_writable(arguments.output)
    read, draw = DRAW[arguments.kind]
    contents = [read(file) for file in arguments.files]
    printed = {}
    if read is read_predictions:
        contents, printed["errors"] = _errors(contents, arguments.label)
    of_results = arguments.kind in plotting.__all__
    module = plotting if of_results else import_module(f"..plotting.{arguments.kind}", __package__)
    save(draw(module, contents, arguments), arguments.output)
    print(f"{arguments.kind} of {', '.join(arguments.files)} → {arguments.output}")
    return {"kind": arguments.kind, "files": arguments.files, "output": arguments.output, **printed}


def _labels(arguments: argparse.Namespace) -> list[str]:
    """The labels given, or the names of the files without their endings."""
    return arguments.label or [Path(file).stem for file in arguments.files]


def _own_labels(arguments: argparse.Namespace) -> list[str | None]:
    """What is to stand instead of the names inside of the files: labels given, or several files' names."""
    return list(_labels(arguments)) if arguments.label or len(arguments.files) > 1 else [None]


def _errors(sets: list[Predictions], labels: list[str] | None) -> tuple[list[Predictions], list[dict[str, Any]]]:
    """Put predictions under the labels given, and print their errors, which a figure cannot tell exactly."""
    sets = [replace(one, label=label) for one, label in zip(sets, labels or [one.label for one in sets])]
    found = [errors_in(one) for one in sets]
    for one, errors in zip(sets, found):
        print(f"{printable(one.label)}: {one.n_structures} structures")
        for line in error_lines(errors):
            print(f"  {line}")
    return sets, [{"label": one.label, **errors.to_dict()} for one, errors in zip(sets, found)]


def _runs(
    take: Callable[..., list[Any]], tables: Sequence[Table], arguments: argparse.Namespace, *more: object
) -> list[Any]:
    """Runs or curves of all tables, under their labels."""
    names = zip(tables, _own_labels(arguments), arguments.files)
    return [one for table, label, file in names for one in take(table, label, Path(file).stem, *more)]


def _dimer(module: Any, potentials: list[Potential], arguments: argparse.Namespace) -> Figure:
    curves = [potential_curve(one, label, DIMER_GRID) for one, label in zip(potentials, _labels(arguments))]
    figure: Figure = module.figure(curves, LennardJones(), DIMER_GRID)
    return figure


DRAW: dict[str, tuple[Reader, Draw]] = {
    "curves": (read_train_report, lambda module, reports, arguments: module.curves(reports, _labels(arguments))),
    "parity": (read_predictions, lambda module, sets, arguments: module.parity(sets[0])),
    "errors": (read_predictions, lambda module, sets, arguments: module.errors(sets, log=arguments.log)),
    "directions": (read_predictions, lambda module, sets, arguments: module.directions(sets)),
    "scan": (
        read_table,
        lambda module, tables, arguments: module.figure(tables[0], arguments.x or "delta", arguments.relative),
    ),
    "rdf": (read_table, lambda module, tables, arguments: module.figure(_runs(module.rdf_curves, tables, arguments))),
    "nve": (
        read_table,
        lambda module, tables, arguments: module.figure(_runs(module.nve_runs, tables, arguments, arguments.atoms)),
    ),
    "dimer": (lambda file: Potential.load([file]), _dimer),
}
"""Kind of figure, as in `usage.plot.KINDS` → what draws it."""

OF_ONE_FILE = ("parity", "scan")
"""Kinds that are drawn from a single file."""
