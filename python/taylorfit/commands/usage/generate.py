"""What `taylorfit generate --help` says."""

from __future__ import annotations

import argparse

from ...data.findings import DROPPABLE
from ...settings.generate import GenerateInput
from ...settings.tables import describe
from ..options import add_force, add_input, add_reading, add_threads

DESCRIPTION = """\
Compute descriptors of all structures and write an ænet training-set file. With a block

  DERIVATIVES
  method=taylor delta=0.008 fraction=22 disp_all=1 N_max=100000 outfile=water.taylor.train

also displaced copies, whose energies follow from the forces by first-order Taylor
expansion (Cooper, Kästner, Urban, Artrith 2020). Energies in eV, lengths in Å. With
FORCES, or a block DERIVATIVES with method=analytical, the derivatives of the descriptors
of FORCESPERCENT of the structures go into OUTPUT.forces, for ænet-PyTorch.

Example: taylorfit generate generate.in
"""

EPILOG = f"""\
{describe(GenerateInput)}

Also written: OUTPUT.geometry, a small companion with cells, stresses and weights, which ænet's
format has no place for and training on forces needs.

Keys of the report: structures (written), copies, skipped (number of structures
without copies), skipped_by_reason, dropped (on request), atoms (copies counted), seconds, output, taylor_output,
derivatives_output (FORCES), n_with_derivatives (structures), energy_mean/min/max (eV/atom,
relative to the atomic energies), check (the data check), taylor (delta: species → Å; with a mean curvature also
curvature: species → eV/Å², curvature_source, forecast: signal, bias, scatter, error in meV/atom, ratio, left;
with strategy=strain: strain, signal in meV/atom).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_input(parser, "generate.in")
    add_threads(parser)
    parser.add_argument("--write-xsf", metavar="DIR", help="also write the copies as XSF files into this folder")
    add_force(parser, "output files that exist")
    add_reading(parser, DROPPABLE)
