"""Reading potentials of all species and checking that they belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .errors import InputError
from .formats.network_binary import read_potential
from .network import Potential


def read_potentials(files: Mapping[str, str]) -> list[Potential]:
    """Read the potential file of each species.

    Raises
    ------
    InputError
        if a file holds the potential of another species.
    """
    potentials = []
    for symbol, path in files.items():
        potential = read_potential(path)
        if potential.species != symbol:
            raise InputError("holds the potential of another species", file=path, value=potential.species,
                             expected=symbol)
        potentials.append(potential)
    return potentials


def potentials_by_species(paths: Iterable[str]) -> dict[str, str]:
    """Map species to potential file for files given without their species.

    Raises
    ------
    InputError
        if two files are of the same species.
    """
    files: dict[str, str] = {}
    for path in paths:
        symbol = read_potential(path).species
        if symbol in files:
            raise InputError(f"second potential for {symbol}", file=path, expected=f"one file per species; {files[symbol]} is one")
        files[symbol] = path
    return files


def atomic_energies(potentials: Sequence[Potential]) -> dict[str, float]:
    """Energy of the isolated atom of each species, eV, each from its own file (as ænet does)."""
    energies = {}
    for potential in potentials:
        own = dict(zip(potential.info.species, potential.info.atomic_energies))
        if potential.species not in own:
            raise InputError(f"the potential for {potential.species} does not state its atomic energy")
        energies[potential.species] = own[potential.species]
    return energies


def check_covered(symbols: Iterable[str], potentials: Sequence[Potential], name: str) -> None:
    """Refuse a structure with a species that has no potential.

    Raises
    ------
    InputError
        naming the structure and the species.
    """
    covered = [potential.species for potential in potentials]
    missing = sorted(set(symbols) - set(covered))
    if missing:
        raise InputError("no potential for a species of this structure", file=name or None,
                         value=" ".join(missing), expected="one of " + " ".join(covered))
