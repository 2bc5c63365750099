"""What `taylorfit learn --help` says."""

from __future__ import annotations

import argparse

from ...settings.learn import LearnInput
from ...settings.tables import describe
from ..options import add_input, add_threads

DESCRIPTION = """\
From a few frames to a potential that holds where it is used, with few reference calculations. A round: train a
committee, run dynamics with it, choose frames that it does not know, label them by the reference, report. Learning
ends when all runs hold and the error on them is small enough, or when labels or rounds are spent.

Example: taylorfit learn learn.in

A run that was broken off, in whatever way, goes on when it is started again, and ends with the same data and
potentials.
"""

EPILOG = f"""\
{describe(LearnInput)}

Written into FOLDER: round-01/, round-02/, … (committee, runs, chosen and labelled frames, round.json), and at the end
data.extxyz, committee/, potential/ (its best member), rounds.csv, rounds.png (with matplotlib) and statement.txt,
which says what the potential holds for. The exit code is 3 while frames wait for an external reference.

Keys of the report: status, statement (sentences), structures (frames in the data set), waiting (names), folder, and
rounds, a list with number, n_trained, n_labels, train_rmse (eV/atom), calibration, low, high (eV/Å), walks
(exploration, start, verdict, time in ps), held (share), stable_time (ps), n_new, n_set_aside, check_error, check_worst,
chosen_error (eV/Å or null), errors (sums of squares), seconds (of each stage).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_input(parser, "learn.in")
    add_threads(parser, keyword="THREADS")
