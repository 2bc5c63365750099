"""What `taylorfit example --help` says."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...examples import EXAMPLES
from ..options import add_force

DESCRIPTION = """\
Copy an example, structures and input files, into a folder and say what to run there.
With --run, run it as well and compare its trainings; input files that are in the folder
already are then used as they are, with your changes.

Example: taylorfit example water-cluster demo --run
"""

EPILOG = """\
Keys of the report: example, directory, files (paths written), commands; with --run:
reports (input file without ending: report of that step); with --list: examples (list of
name, summary).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"which example: {', '.join(sorted(EXAMPLES))}")
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="folder to copy it to; made if missing")
    parser.add_argument(
        "--run", action="store_true", help="run it and print a table of errors; replaces earlier results"
    )
    parser.add_argument("--list", action="store_true", help="list the examples and stop")
    add_force(parser, "files of the example that are there already")
