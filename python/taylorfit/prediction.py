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
        if a file holds the potential of another species, or a species it knows has none.
    """
    potentials = []
    for symbol, path in files.items():
        potential = read_potential(path)
        if potential.species != symbol:
            raise InputError("holds the potential of another species", file=path, value=potential.species,
                             expected=symbol)
        for neighbour in potential.setup.environment:
            if neighbour not in files:
                raise InputError(f"the potential for {symbol} knows a neighbour without a potential", file=path,
                                 value=neighbour, expected=f"a potential for {neighbour} as well")
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
