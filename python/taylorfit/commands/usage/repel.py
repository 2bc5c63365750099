"""What `taylorfit repel --help` says."""

from __future__ import annotations

import argparse

from ...settings.repulsion import RepulsionPlan
from ..options import add_setting, add_sources

DESCRIPTION = """\
Write copies of structures in each of which two atoms are pushed together, with estimated energies (eV): first-order
Taylor expansion with the forces, mean force constants where they are known (--temperature, --curvature, --potential,
or pairs of near frames), and the universal repulsion of nuclei (Ziegler, Biersack, Littmark 1985) beyond first order.
Atoms of two molecules (what bonds connect) come together with all of their molecules, so that no bond is strained.
A potential trained with them keeps atoms apart where the reference structures know nothing, so that MD does not
end in atoms falling into each other. The energies are rough: the files have small weights and no forces. List them in
generate.in beside the structures; they serve every mode of training. `train` heeds the weights, which are in the
.geometry file of the training set (ænet does not). A copy goes where the structure goes that it is made from: none of
a test structure is trained on, none is a test structure. Energies are scaled to the wider range of all structures; the
ranges outside which a potential extrapolates are those of the structures without the copies.

Example: taylorfit repel 'xsf/*.xsf' --output repulsive --temperature 400
         and in generate.in, under FILES: 2, xsf/*.xsf, repulsive/*.xsf
"""

EPILOG = """\
Keys of the report: structures and copies (numbers), folder, rise (5, 25, 50, 75, 95 % of the rises of the energy, eV),
smallest_weight, shortest_distances (pair → Å, of the copies).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_sources(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the XSF files; must be new or empty")
    add_setting(parser, RepulsionPlan, "copies", "N")
    push = (RepulsionPlan.shortest_push, RepulsionPlan.longest_push)
    parser.add_argument(
        "--push",
        type=float,
        nargs=2,
        default=push,
        metavar="Å",
        help="least and most by which a pair is shortened (default: {:g} {:g})".format(*push),
    )
    add_setting(parser, RepulsionPlan, "highest", "eV")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1000 * RepulsionPlan.tolerance,
        metavar="meV",
        help="weights make the uncertainty of the copies' energies count like errors of so many meV/atom "
        "(default: %(default)s)",
    )
    add_setting(parser, RepulsionPlan, "seed", "N")
