"""What `taylorfit train --help` says."""

from __future__ import annotations

import argparse

from ...model.measures import ERROR_KEYS
from ...settings.tables import describe
from ...settings.train import TrainInput
from ..options import add_input, add_threads, key_lines

DESCRIPTION = """\
Train ANN potentials on a training set of generate: on energies alone, on Taylor copies in
the training set or in the file that TAYLORSET names, or on forces themselves (FORCES).
Train/test split and all errors printed are of reference structures alone. Errors in eV/atom
and eV/Å.

Example: taylorfit train train.in --report train.json
"""

EPILOG = f"""\
{describe(TrainInput)}

Written: the potential files of NETWORKS (weights of the best epoch, see BEST), FILE.last
(weights of the last epoch), and a checkpoint NAME.checkpoint.npz for --resume. A file named STOP in the
working directory ends the run after the epoch. Potential files that are there already are trained further:
their weights are where the run starts, unless --fresh is given.

Errors of the training forces are those of all training structures with mode=exact, else of a sample.

COMMITTEE n (or --committee n) trains n networks from different random weights, as many at a
time as there are threads. What one training writes is in FOLDER/01, FOLDER/02, … for each, with
its log, and in FOLDER.partial until all have ended; the potentials of the best also go to the
files of NETWORKS. Member 01 is the training without COMMITTEE.

Keys of the report: epochs (list of epoch, train_mae, train_rmse, test_mae, test_rmse in
eV/atom, copies_rmse, train_force_mae, train_force_rmse, test_force_mae, test_force_rmse in
eV/Å per component), best_epoch, criterion, best_value (what the best
epoch has least of, eV²/atom²), mode, settings, n_train, n_test, n_copies,
n_force_atoms (atoms whose forces are trained on), n_weights, memory_mb,
seconds, seconds_per_epoch, interrupted, status (finished, interrupted, patience, converged,
stuck, stopped), potentials, versions (Python, NumPy, engine), checksums (SHA-256 of training
sets and potentials, by file), validation (best epoch), validation_last, validation_history
(list with epoch). With COMMITTEE these are of the best member, and committee holds n, split,
members (their reports, with member and folder), best_member, criterion, failed (list of member,
error), and best, median, spread of epochs, best_epoch, train_rmse, test_rmse, seconds and the
validation errors:
{key_lines(ERROR_KEYS)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_input(parser, "train.in")
    parser.add_argument("--resume", action="store_true", help="continue exactly from the checkpoint of this input file")
    parser.add_argument("--fresh", action="store_true", help="start from random weights even if potential files exist")
    parser.add_argument(
        "--committee",
        type=int,
        default=None,
        metavar="N",
        help="train N networks from different random weights; overrides COMMITTEE",
    )
    parser.add_argument(
        "--no-rngstate",
        action="store_true",
        help="draw the test set with SEED even if a file train.rngstate of ænet is there",
    )
    add_threads(parser, keyword="THREADS")
