"""What `taylorfit plot --help` says."""

from __future__ import annotations

import argparse

from ...analysis.scan_axes import AXES
from ...model.measures import ERROR_KEYS
from ..options import key_lines

KINDS = {
    "curves": "train.json…   learning curves of trainings (files of train --report)",
    "parity": "pred.npz      predicted against reference energies (with their errors) and force components",
    "errors": "pred.npz…     distributions of |F − F_ref| and of the energy error per atom",
    "directions": "pred.npz…     angle between F and F_ref against |F_ref|, a map for each file",
    "scan": "scan.csv      errors against δ, a, set size or β: best and median",
    "rdf": "md.rdf.csv…   radial distribution functions of md; columns r_A, g, perhaps pair, potential",
    "nve": "md.steps.csv… total energy in NVE runs of md; columns time_ps, E_tot_eV, n_atoms",
    "dimer": "X.nn…         Lennard-Jones dimer of the paper's figure 2, and potentials for it",
}
"""Kinds of figures: FILE… and what is drawn."""

DESCRIPTION = f"""\
Draw a figure for print: PNG with 300 dpi or PDF, units on the axes, colours that the colour-blind tell apart.
Needs matplotlib: pip install "taylorfit[plot]"

KIND FILE…
{key_lines(KINDS)}

pred.npz is written by predict --save-predictions.

Examples: taylorfit plot curves train-energy.json train-taylor.json -o curves.pdf
          taylorfit plot errors energy.npz taylor.npz -o errors.png --label "energies" "Taylor"
          taylorfit plot scan scan.csv --x delta --relative energy -o delta.pdf
"""

EPILOG = f"""\
Keys of the report: kind, files, output; for predictions also errors, a list with label and
{key_lines(ERROR_KEYS)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("kind", metavar="KIND", help="which figure: " + ", ".join(KINDS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="what it is drawn from, see above")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE.png", help="picture to write: .png (300 dpi) or .pdf"
    )
    parser.add_argument(
        "--label",
        nargs="+",
        action="extend",
        metavar="TEXT",
        help="names in the legend, one per FILE; default: the label in the file, or its name",
    )
    parser.add_argument("--x", choices=AXES, help="scan: what is varied along the axis (delta)")
    parser.add_argument("--relative", metavar="MODE", help="scan: divide by the errors of this mode or label")
    parser.add_argument("--atoms", type=int, metavar="N", help="nve: atoms of the cell, for a table without n_atoms")
    parser.add_argument(
        "--log", action="store_true", help="errors: share of larger errors, logarithmic, which shows the tails"
    )
