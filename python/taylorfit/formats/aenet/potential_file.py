"""Potential files of either kind: the one door through which potentials are read."""

from __future__ import annotations

from os import PathLike

from ...model.network import SpeciesPotential
from ..recognise import FileKind, recognise
from .network_binary import read_potential


def read_potential_file(path: str | PathLike[str]) -> SpeciesPotential:
    """Read the ANN potential of one species, binary (`.nn`) or text (`.nn.ascii`), told by content.

    Raises
    ------
    FormatError
        if the file is malformed or no potential.
    InputError
        if it cannot be opened.
    """
    if recognise(path) is FileKind.POTENTIAL_TEXT:
        from .network_ascii import read_potential_ascii

        return read_potential_ascii(path)
    return read_potential(path)
