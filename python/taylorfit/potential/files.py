"""Reading potentials of all species, and of all members of a committee, and checking that they belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

from ..errors import InputError
from ..formats.aenet.potential_file import read_potential_file
from ..model.network import SpeciesPotential

Source = str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, str | PathLike[str]]
"""Where the potentials of all species are: a folder, files, or a file for each species."""

ENDINGS = (".nn", ".nn.ascii")
"""Names of potential files in a folder; the second only where there is none of the first."""


def read_potentials(files: Mapping[str, str]) -> list[SpeciesPotential]:
    """Read the potential file of each species.

    Raises
    ------
    InputError
        if a file holds the potential of another species, or a species it knows has none.
    """
    potentials = []
    for symbol, path in files.items():
        potential = read_potential_file(path)
        if potential.species != symbol:
            raise InputError(
                "holds the potential of another species", file=path, value=potential.species, expected=symbol
            )
        for neighbour in potential.setup.environment:
            if neighbour not in files:
                raise InputError(
                    f"the potential for {symbol} knows a neighbour without a potential",
                    file=path,
                    value=neighbour,
                    expected=f"a potential for {neighbour} as well",
                )
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
        symbol = read_potential_file(path).species
        if symbol in files:
            raise InputError(
                f"second potential for {symbol}", file=path, expected=f"one file per species; {files[symbol]} is one"
            )
        files[symbol] = path
    return files


def find_potentials(source: Source) -> dict[str, str]:
    """Map species to potential file: those of a folder, of a list of files, or as they are given.

    Raises
    ------
    InputError
        if there are none, or two files are of the same species.
    """
    if isinstance(source, Mapping):
        files = {symbol: fspath(path) for symbol, path in source.items()}
    elif isinstance(source, (str, PathLike)) and Path(source).is_dir():
        found = next((names for ending in ENDINGS if (names := sorted(Path(source).glob(f"*{ending}")))), [])
        files = potentials_by_species(map(fspath, found))
    else:
        paths = [source] if isinstance(source, (str, PathLike)) else source
        files = potentials_by_species(map(fspath, paths))
    if not files:
        raise InputError(
            "no potentials",
            file=source if isinstance(source, (str, PathLike)) else None,
            expected="files *.nn, one per species",
        )
    return files


def find_members(source: Source | Sequence[Source]) -> list[dict[str, str]]:
    """Map species to potential file for each member of a committee.

    Parameters
    ----------
    source
        A folder whose subfolders (01, 02, …) hold the potentials of one member each, in the order of their
        names; or for each member what `find_potentials` takes.  A folder of potentials is a single member.

    Raises
    ------
    InputError
        if there are none, or the members are not for the same species.
    """
    if isinstance(source, (str, PathLike)):
        if not Path(source).is_dir():
            raise InputError(
                "no such folder",
                file=source,
                expected="a folder with potentials, or with those of a member in each subfolder",
            )
        has_potentials = [
            folder
            for folder in sorted(Path(source).iterdir())
            if folder.is_dir() and any(next(folder.glob(f"*{ending}"), None) for ending in ENDINGS)
        ]
        own = any(next(Path(source).glob(f"*{ending}"), None) for ending in ENDINGS)
        sources: Sequence[Source] = [source] if own or not has_potentials else has_potentials
    else:
        sources = source  # type: ignore[assignment]
    members = [find_potentials(member) for member in sources]
    if not members:
        raise InputError("a committee without members", expected="potentials of at least one member")
    for member in members[1:]:
        if set(member) != set(members[0]):
            raise InputError(
                "a member of the committee is for other species",
                file=next(iter(member.values())),
                value=" ".join(sorted(member)),
                expected=" ".join(sorted(members[0])),
            )
    return [{symbol: member[symbol] for symbol in members[0]} for member in members]


def atomic_energies(potentials: Sequence[SpeciesPotential]) -> dict[str, float]:
    """Energy of the isolated atom of each species, eV, each from its own file (as ænet does)."""
    energies = {}
    for potential in potentials:
        own = dict(zip(potential.info.species, potential.info.atomic_energies))
        if potential.species not in own:
            raise InputError(f"the potential for {potential.species} does not state its atomic energy")
        energies[potential.species] = own[potential.species]
    return energies
