"""`taylorfit report`: a page about a training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.predictions import read_predictions
from ..formats.train_report import read_train_report
from ..plotting import require_matplotlib
from ..reporting.document import check_document_path, write_document

DESCRIPTION = """\
Write a page about a training: warnings, errors (meV/atom, eV/Å), data, settings, networks, plots, and the
structures and atoms with the largest errors. HTML is one file with the pictures inside; Markdown has them in
the folder NAME-pictures beside it. Needs matplotlib: pip install "taylorfit[plot]"

Example: taylorfit report train.json validation.npz -o report.html
after    taylorfit train train.in --report train.json
         taylorfit predict predict.in --save-predictions validation.npz

Keys of the report: training, predictions, files (written), warnings.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("training", metavar="train.json", help="file of train --report")
    parser.add_argument("predictions", nargs="*", metavar="pred.npz", help="files of predict --save-predictions")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="page to write: .html or .md")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the page, print the warnings; return the report."""
    check_document_path(arguments.output)
    inputs = [arguments.training, *arguments.predictions]
    if any(Path(arguments.output).resolve() == Path(file).resolve() for file in inputs):
        raise InputError("the page would replace its own input", file=arguments.output, expected="another name")
    require_matplotlib()
    from ..reporting.training_page import training_page
    from ..reporting.warnings import prediction_warnings, training_warnings

    training = read_train_report(arguments.training)
    sets = [read_predictions(file) for file in arguments.predictions]
    files = write_document(arguments.output, training_page(training, sets))
    warnings = [*training_warnings(training), *(line for one in sets for line in prediction_warnings(one))]
    for line in warnings:
        print(f"warning: {line}")
    pictures = f", with {len(files) - 1} pictures in {Path(files[1]).parent}" if files[1:] else ""
    print(f"report written to {files[0]}{pictures}")
    return {"training": arguments.training, "predictions": arguments.predictions, "files": files, "warnings": warnings}
