"""`taylorfit plot`: figures for print from the files that the other commands write."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.dimer import potential_curve
from ..analysis.errors import error_lines, errors_in
from ..analysis.lennard_jones import LennardJones
from ..errors import InputError
from ..formats.aenet.records import printable
from ..formats.csv_table import read_table
from ..formats.predictions import read_predictions
from ..formats.train_report import read_train_report
from ..model.predictions import Predictions
from ..plotting import require_matplotlib
from ..potential.potential import Potential
from ..tools.atomic_write import check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMER_GRID = np.linspace(1.3, 3.0, 341)
"""Distances at which potentials are evaluated, Å."""


Drawing = tuple["Figure", dict[str, Any]]
"""A figure, and what was printed with it, for the report."""


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
    require_matplotlib()
    from ..plotting.style import check_suffix, save

    check_suffix(arguments.output)
    check_writable(arguments.output)
    drawing, printed = DRAW[arguments.kind](arguments)
    save(drawing, arguments.output)
    print(f"{arguments.kind} of {', '.join(arguments.files)} → {arguments.output}")
    return {"kind": arguments.kind, "files": arguments.files, "output": arguments.output, **printed}


def _labels(arguments: argparse.Namespace) -> list[str]:
    """The labels given, or the names of the files without their endings."""
    return arguments.label or [Path(file).stem for file in arguments.files]


def _own_labels(arguments: argparse.Namespace) -> list[tuple[str, str | None]]:
    """Files and what is to stand instead of the names inside: labels given, or several files' names."""
    if arguments.label or len(arguments.files) > 1:
        return list(zip(arguments.files, _labels(arguments)))
    return [(arguments.files[0], None)]


def _predictions(arguments: argparse.Namespace) -> tuple[list[Predictions], dict[str, Any]]:
    """Read predictions, under the labels given; print their errors, which a figure cannot tell exactly."""
    sets = [read_predictions(file) for file in arguments.files]
    if arguments.label:
        sets = [replace(one, label=label) for one, label in zip(sets, arguments.label)]
    found = [errors_in(one) for one in sets]
    for one, errors in zip(sets, found):
        print(f"{printable(one.label)}: {one.n_structures} structures")
        for line in error_lines(errors):
            print(f"  {line}")
    return sets, {"errors": [{"label": one.label, **errors.to_dict()} for one, errors in zip(sets, found)]}


def _curves(arguments: argparse.Namespace) -> Drawing:
    from ..plotting import curves

    return curves([read_train_report(file) for file in arguments.files], _labels(arguments)), {}


def _parity(arguments: argparse.Namespace) -> Drawing:
    from ..plotting import parity

    sets, printed = _predictions(arguments)
    return parity(sets[0]), printed


def _errors(arguments: argparse.Namespace) -> Drawing:
    from ..plotting import errors

    sets, printed = _predictions(arguments)
    return errors(sets, log=arguments.log), printed


def _directions(arguments: argparse.Namespace) -> Drawing:
    from ..plotting import directions

    sets, printed = _predictions(arguments)
    return directions(sets), printed


def _scan(arguments: argparse.Namespace) -> Drawing:
    from ..plotting.scan import figure

    return figure(read_table(arguments.files[0]), arguments.x or "delta", arguments.relative), {}


def _rdf(arguments: argparse.Namespace) -> Drawing:
    from ..plotting.rdf import figure, rdf_curves

    return figure(
        [
            curve
            for file, label in _own_labels(arguments)
            for curve in rdf_curves(read_table(file), label, Path(file).stem)
        ]
    ), {}


def _nve(arguments: argparse.Namespace) -> Drawing:
    from ..plotting.nve import figure, nve_runs

    return figure(
        [
            run
            for file, label in _own_labels(arguments)
            for run in nve_runs(read_table(file), label, Path(file).stem, arguments.atoms)
        ]
    ), {}


def _dimer(arguments: argparse.Namespace) -> Drawing:
    from ..plotting.dimer import figure

    curves = [
        potential_curve(Potential.load([file]), label, DIMER_GRID)
        for file, label in zip(arguments.files, _labels(arguments))
    ]
    return figure(curves, LennardJones(), DIMER_GRID), {}


DRAW: dict[str, Callable[[argparse.Namespace], Drawing]] = {
    "curves": _curves,
    "parity": _parity,
    "errors": _errors,
    "directions": _directions,
    "scan": _scan,
    "rdf": _rdf,
    "nve": _nve,
    "dimer": _dimer,
}
"""Kind of figure, as in `usage.plot.KINDS` → what draws it."""

OF_ONE_FILE = ("parity", "scan")
"""Kinds that are drawn from a single file."""
