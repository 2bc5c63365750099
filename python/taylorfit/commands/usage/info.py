"""What `taylorfit info --help` says."""

from __future__ import annotations

import argparse

from ..options import add_reading

DESCRIPTION = """\
Say what files hold: training sets, potentials (both also as text), descriptor derivatives
(.train.forces), companions of training sets (.geometry), setup files, checkpoints of train and md,
energies of train, predictions, input files, structures (XSF, and what ASE reads). Kinds are told by
content, not by name. Energies in eV, lengths in Å.

Examples: taylorfit info water.train O.nn H.nn
          taylorfit info 'xsf/*.xsf' traj.extxyz@::10
"""

EPILOG = """\
Keys of the report: files, a list with file, kind, size (bytes), and what the kind has.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files or patterns")
    add_reading(parser, ("unreadable",))
