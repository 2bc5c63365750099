"""What `taylorfit report --help` says."""

from __future__ import annotations

import argparse

DESCRIPTION = """\
Write a page about a training: warnings, errors (meV/atom, eV/Å), data, settings, networks, plots, and the
structures and atoms with the largest errors. HTML is one file with the pictures inside; Markdown has them in
the folder NAME-pictures beside it. Needs matplotlib: pip install "taylorfit[plot]"

Example: taylorfit report train.json validation.npz -o report.html
after    taylorfit train train.in --report train.json
         taylorfit predict predict.in --save-predictions validation.npz
"""

EPILOG = """\
Keys of the report: training, predictions, files (written), warnings.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("training", metavar="train.json", help="file of train --report")
    parser.add_argument("predictions", nargs="*", metavar="pred.npz", help="files of predict --save-predictions")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="page to write: .html or .md")
