"""What `taylorfit md --help` says."""

from __future__ import annotations

import argparse

from ...md.walk_keys import WALK_KEYS
from ...settings.md import MdInput
from ...settings.tables import describe
from ..options import add_force, add_input, add_threads, key_lines

DESCRIPTION = """\
Molecular dynamics with one or more potentials or committees, from the same starts: conservation of energy
(NVE), radial distribution functions, and how many steps until a structure is unlike the training data
or the run explodes.

Examples: taylorfit md md.in
          taylorfit md md.in --resume
"""

EPILOG = f"""\
{describe(MdInput)}

Written: OUTPUT.steps.csv (energies of every sample), OUTPUT.starts.csv (one line per run), OUTPUT.rdf.csv,
OUTPUT.checkpoint.npz, and the trajectories, each run its own (NAME-LABEL-START.extxyz) where there are several.
Ctrl-C leaves all of them usable; --resume goes on from the last sample (with larger STEPS or STARTS too).

Keys of the report: n_atoms, timestep (fs), ensemble, interrupted, outputs (files), rdf (r in Å; potentials: pair,
g, std over the starts, peak_r in Å, peak_g) and walks, a list with
{key_lines(WALK_KEYS)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_input(parser, "md.in")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run (or a shorter one) ended")
    add_force(parser, "the files of an earlier run")
    add_threads(parser, keyword="THREADS")
