"""What lies in the folders of golden sets beside ænet's own files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taylorfit.engine import DescriptorTables
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.xsf import read_xsf
from taylorfit.model.structure import Structure


def rows_of(path: Path) -> list[list[str]]:
    """The words of each line of a table, remarks left out."""
    return [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def structures_of(folder: Path) -> list[Structure]:
    """The structures whose energies `energies.txt` has."""
    return [read_xsf(folder / row[1]) for row in rows_of(folder / "energies.txt")]


def tables_of(folder: Path, species: Sequence[str]) -> DescriptorTables:
    """The descriptors of the setup files."""
    return DescriptorTables.from_setups(species, [read_setup(folder / f"{s}.fingerprint.stp") for s in species])
