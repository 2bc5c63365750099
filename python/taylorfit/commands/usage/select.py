"""What `taylorfit select --help` says."""

from __future__ import annotations

import argparse

from ...settings.option import options_of
from ...settings.select import BY, SelectPlan
from ..options import add_force, add_reading, add_threads

DESCRIPTION = """\
Choose frames of a pool that are worth a reference calculation: those that a committee differs about (--committee), and
those that look like no other and like no known one (--existing), in the space of descriptors. Without a committee by
descriptors alone, which also thins a data set: labels stay with their frames, those of a potential do not.

Examples: taylorfit select md.extxyz -n 20 --committee committee --existing data.extxyz --output chosen.extxyz
          taylorfit select data.extxyz -n 500 --output thinned.extxyz
"""

EPILOG = """\
Keys of the report: chosen (place in the pool from 0, name, deviation in eV/Å or null, distance to the nearest frame
when it was chosen or null), known and beyond (numbers of frames outside --low and --high), output.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    table = options_of(SelectPlan)
    parser.add_argument("structures", nargs="+", metavar="POOL", help="structure files or patterns")
    parser.add_argument("-n", type=int, required=True, metavar="N", help=table["n"].help)
    parser.add_argument("--committee", metavar="FOLDER", help="folder with the members 01, 02, …")
    parser.add_argument("--existing", nargs="+", default=[], metavar="FILES", help="frames there are labels for")
    parser.add_argument("--by", choices=tuple(BY), help=table["by"].line())
    parser.add_argument("--low", type=float, default=SelectPlan.low, metavar="F", help=table["low"].line())
    parser.add_argument("--high", type=float, metavar="F", help=table["high"].line())
    parser.add_argument("--output", required=True, metavar="FILE.extxyz", help="the chosen frames")
    add_threads(parser)
    add_force(parser, "the output")
    add_reading(parser)
