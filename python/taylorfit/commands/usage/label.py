"""What `taylorfit label --help` says."""

from __future__ import annotations

import argparse

from ...settings.label import Labelling
from ..options import add_force, add_reading, add_setting

DESCRIPTION = """\
Compute energies, forces and (of periodic cells) stresses of structures by a reference, several at a time, and write
them as extended XYZ with the reference, its options and versions in every frame. The reference is a calculator of ASE
by its import path, a command that is run for each frame, or external: frames are written into folders, for a cluster,
and the same command goes on when results are there. Labels are kept as they come: a run that was broken off goes on.
Calculations that fail or do not converge, and unphysical forces, are set aside with the reason.

Examples: taylorfit label pool.extxyz --reference tblite.ase:TBLite method=GFN1-xTB verbosity=0 --output new.extxyz
          taylorfit label pool.extxyz --command "./run.sh {input} {output}" --output new.extxyz
          taylorfit label pool.extxyz --external --output new.extxyz
"""

EPILOG = """\
Values of key=value are JSON (numbers, true, lists, {"density": 2}), otherwise text. A command is run without a shell;
{input} is an extended XYZ file, {output} the name of a file to write, in any format that taylorfit reads.
With --external, OUTPUT.frames/frame-*/ hold frame.extxyz and POSCAR; results there are vasprun.xml, OUTCAR or
output.*; a file `skip` sets a frame aside. The exit code is 3 while frames wait.

Keys of the report: structures (labelled), set_aside (place from 0, name, reason), waiting (names), computed (labels
made by this run), reference, versions, output.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("structures", nargs="+", metavar="STRUCTURES", help="structure files or patterns")
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument(
        "--reference", nargs="+", metavar=("MODULE:CLASS", "key=value"), help="calculator of ASE, and its options"
    )
    reference.add_argument("--command", dest="run", metavar="COMMAND", help="command with {input} and {output}")
    reference.add_argument("--external", action="store_true", help="write the frames; they are computed elsewhere")
    parser.add_argument("--output", required=True, metavar="FILE.extxyz", help="structures with labels")
    add_setting(parser, Labelling, "processes", "N")
    parser.add_argument("--reuse", action="store_true", help="keep calculators from frame to frame (see the manual)")
    parser.add_argument(
        "--max-force",
        type=float,
        default=Labelling.max_force,
        metavar="F",
        help="labels with a larger force are set aside (default: %(default)s eV/Å)",
    )
    parser.add_argument("--retry", action="store_true", help="compute again what was set aside")
    add_force(parser, "the output")
    add_reading(parser)
