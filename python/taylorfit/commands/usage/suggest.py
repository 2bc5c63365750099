"""What `taylorfit suggest --help` says."""

from __future__ import annotations

import argparse

from ...settings.forces import WITH_COPIES
from ..options import add_sources

DESCRIPTION = """\
Propose displacements for Taylor copies of a set of structures with energies (eV) and forces (eV/Å): the largest
displacement of each species (Å), copies per structure and strategy; with the expected signal, bias and scatter of the
copies' energies (meV/atom) and the reasons. Nothing is written: copy the block DERIVATIVES into generate.in.

The size of the second order comes from mean force constants, by --curvature, --temperature (k = <F_x^2>/kT: all
structures from a dynamics at that temperature), --potential (a first potential), or pairs of near frames in the data.

Examples: taylorfit suggest 'xsf/300*.xsf' --temperature 300
          taylorfit suggest generate.in --mode taylor
"""

EPILOG = """\
Keys of the report: structures (number), forces (species → rms component and largest norm, eV/Å),
shortest_distances (pair → Å), curvature (species → eV/Å²) and curvature_source or null, mode, derivatives (the block),
fraction, strategy, delta (species → Å), reasons, alternatives (title, delta, forecast in meV/atom).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_sources(parser)
    parser.add_argument(
        "--mode",
        choices=WITH_COPIES,
        default="centred",
        help="training that the block is for, as in FORCES of train.in (default: %(default)s)",
    )
