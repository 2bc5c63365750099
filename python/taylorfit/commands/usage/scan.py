"""What `taylorfit scan --help` says."""

from __future__ import annotations

import argparse

from ...settings.scan import ScanInput
from ...settings.tables import describe
from ..options import add_input, add_threads

DESCRIPTION = """\
Train with all combinations of the settings named below SCAN, and write their errors on the
structures of VALIDATION into one table (CSV; a row for each training, units in the names of
the columns, weights of the best epoch and, in columns last_…, of the last).

  GENERATE generate.in
  TRAIN train-taylor.in
  SCAN
  mode energy taylor centred
  delta 0.004 0.008 0.016
  a 11 22
  seeds 1 2 3

Example: taylorfit scan scan.in --threads 2

Everything that is not varied is as in GENERATE and TRAIN. What a mode does not depend on is
not varied for it: energy training is done once for all delta. As many trainings run at a
time as there are threads. Training sets are generated once for all modes, networks and
seeds, and kept in FOLDER/sets; potentials, logs and reports (train.json) are in FOLDER/points/KEY. The same
command goes on after an interruption and skips what is in the table; a scan may be extended.
"""

EPILOG = f"""\
{describe(ScanInput)}

Keys of the report: output, points (number), done_before, trained, failed (list of key, error), sets_generated,
sets_reused, interrupted, seconds, rows (the table), summary (list: what is varied, seeds, best and median of the
errors).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_input(parser, "scan.in")
    add_threads(parser, keyword="THREADS")
    parser.add_argument("--seeds", type=int, default=None, metavar="N", help="only the first N of the axis seeds")
    parser.add_argument("--fresh", action="store_true", help="train everything again, and replace the table")
