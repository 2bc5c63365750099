"""`taylorfit report`: a page about a training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.predictions import read_predictions
from ..formats.report_file import read_train_report
from ..plotting import require_matplotlib
from ..reporting.document import check_document_path, write_document


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
    warnings = [*training_warnings(training), *(line for one in sets for line in prediction_warnings(one, training))]
    for line in warnings:
        print(f"warning: {line}")
    pictures = f", with {len(files) - 1} pictures in {Path(files[1]).parent}" if files[1:] else ""
    print(f"report written to {files[0]}{pictures}")
    return {"training": arguments.training, "predictions": arguments.predictions, "files": files, "warnings": warnings}
