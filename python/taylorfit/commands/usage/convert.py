"""What `taylorfit convert --help` says."""

from __future__ import annotations

import argparse

from ...formats.aenet.dialects import AENET
from ...formats.structures.kinds import EXTXYZ, XSF
from ..options import add_force, add_reading

BINARY, TEXT = "binary", "text"
TARGETS = (BINARY, TEXT, AENET, XSF, EXTXYZ)
"""Formats that can be written."""


DESCRIPTION = f"""\
Convert, without loss of digits:

  training sets   binary ↔ text; text is that of trainbin2ASCII.x (ænet-PyTorch), or with
                  --to {AENET} that of trnset2ASCII.x (ænet; it has no setups)
  potentials      binary ↔ text (.nn.ascii)
  structures      anything that ASE reads, and XSF → XSF of ænet, one file per frame, into a
                  folder or under a pattern (frames/s*.xsf), or all frames into one extended
                  XYZ file

What the input is, is told by its content, not by its name.

Examples: taylorfit convert water.train water.train.ascii
          taylorfit convert Ti.nn.ascii Ti.nn
          taylorfit convert OUTCAR traj.extxyz@::10 frames/
          taylorfit convert 'frames/*.xsf' all.extxyz
"""

EPILOG = """\
Keys of the report: kind, to, inputs, outputs (files written), structures (number), notes
(what the target cannot hold).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("inputs", nargs="+", metavar="IN", help="file to convert; of structures several, or patterns")
    parser.add_argument("output", metavar="OUT", help="file to write; for XSF a folder, a file, or a pattern with *")
    parser.add_argument("--to", choices=TARGETS, help="format to write (default: follows from IN and OUT)")
    parser.add_argument(
        "--scaled",
        action="store_true",
        help="training sets: standardise and scale as train.x does (trnset2ASCII.x without --raw)",
    )
    add_force(parser, "files that exist")
    add_reading(parser)
