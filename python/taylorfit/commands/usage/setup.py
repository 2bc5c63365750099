"""What `taylorfit setup --help` says."""

from __future__ import annotations

import argparse

from ...settings.forces import MODES
from ..options import add_force, add_reading

DESCRIPTION = """\
Propose, for a set of structures with energies (eV) and perhaps forces (eV/Å): a descriptor
setup for each species, atomic reference energies (least squares over the compositions),
generate.in, train.in (FORCES mode=exact where there are forces; a tenth of the structures,
if there are 20, kept back for VALIDATION), predict.in and md.in; and show the distances and
neighbours behind the choice. The files are a start, meant to be edited.

Example: taylorfit setup 'xsf/*.xsf' --output fit
         cd fit && taylorfit generate generate.in && taylorfit train train.in
"""

EPILOG = """\
Keys of the report: species, structures (number), atomic_energies (eV), atomic_energy_rank
(independent compositions), atomic_energy_rmse (eV/atom), shortest_distances (pair → Å),
neighbours (species → mean number within radii), radii (Å), radial_cutoff, angular_cutoff,
r_min, delta (Å), mode, reasons, files (written).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("structures", nargs="+", metavar="STRUCTURES", help="structure files or patterns")
    parser.add_argument("--output", default=".", metavar="DIR", help="folder to write into (default: here)")
    parser.add_argument("--behler", action="store_true", help="symmetry functions G2 and G4 instead of Chebyshev")
    parser.add_argument(
        "--mode", choices=MODES, help="how forces are trained on, as FORCES mode= (default: exact where there are any)"
    )
    add_force(parser, "files that exist")
    add_reading(parser)
