"""What `taylorfit predict --help` says."""

from __future__ import annotations

import argparse

from ...model.measures import ERROR_KEYS
from ...settings.predict import PredictInput
from ...settings.tables import describe
from ..options import add_reading, add_threads, key_lines

DESCRIPTION = """\
Evaluate potentials (ænet's binary .nn files) for structures.

Examples: taylorfit predict predict.in
          taylorfit predict --potential O.nn H.nn cluster.xsf
          taylorfit predict predict.in --save-predictions taylor.npz --label "Taylor training"
"""

EPILOG = f"""\
{describe(PredictInput)}

Keys of the report: structures (list of file, energy, energy_ref: total energies in eV, cohesive_energy in eV,
forces in eV/Å or null, stress 3×3 in eV/Å³ or null, atomic_energies in eV; with RELAX also positions in Å and
relaxation: steps, converged, largest_displacement in Å) and errors:
{key_lines(ERROR_KEYS)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="predict.in, or (with --potential) structure files; after predict.in: structures "
        "instead of those it lists",
    )
    parser.add_argument(
        "--potential",
        nargs="+",
        action="extend",
        metavar="NN",
        help="potential files, one per species; structure files may follow",
    )
    parser.add_argument(
        "--save-predictions",
        metavar="FILE.npz",
        help="write predicted and reference energies (eV) and forces (eV/Å) for plot and report",
    )
    parser.add_argument(
        "--label",
        metavar="TEXT",
        help="name of these potentials in plots; default: name of FILE.npz without its ending",
    )
    add_threads(parser)
    add_reading(parser)
