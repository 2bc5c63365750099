"""The potential of a system: one network per species, together; its files, and what it says of structures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path

from ..engine import Evaluation, PotentialTables, evaluate
from ..errors import InputError
from ..formats.aenet.potential_file import check_potential, read_potential_file, write_potential
from ..formats.data_limits import read_data_limits
from ..formats.structures.in_memory import Structures, as_structures
from ..model.data_limits import DataLimits
from ..model.network import SpeciesPotential
from ..tools.atomic_write import Together, check_writable
from ..tools.chunks import runs
from ..tools.locks import alone_in_python
from ..tools.os_errors import make_folder

ENDINGS = (".nn", ".nn.ascii")
"""Names of potential files in a folder; the second only where there is none of the first."""

Files = str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, str | PathLike[str]]
"""Where the potentials of all species are: a folder, files, or a file for each species."""


@dataclass(frozen=True, eq=False, repr=False)
class Potential:
    """ANN potentials of all species of a system, which belong together.

    A potential never changes: it may be shared between threads, and is pickled and copied with its arrays.

    Raises
    ------
    InputError
        on construction, if there are none, two are of one species, or one knows a neighbour without a potential.

    Examples
    --------
    >>> potential = Potential.load(["H.nn", "O.nn"])           # doctest: +SKIP
    >>> potential.evaluate(structures)[0].energy               # doctest: +SKIP
    """

    parts: tuple[SpeciesPotential, ...]
    """The potential of each species."""
    files: tuple[str, ...] = ()
    """The file of each species that it was read from; empty for a potential made in memory."""
    limits: DataLimits | None = None
    """What the committee that it is a member of remembers of its data; None: not known."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("no potentials", expected="one per species")
        parts = tuple(
            replace(part, network=replace(part.network, weights=part.network.weights.copy())) for part in self.parts
        )
        for part in parts:
            part.network.weights.setflags(write=False)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "files", tuple(self.files))
        known: dict[str, str | None] = {}
        for part, file in self._with_files():
            if part.species in known:
                there = known[part.species] or "another potential"
                raise InputError(
                    f"second potential for {part.species}", file=file, expected=f"one file per species; {there} is one"
                )
            known[part.species] = file
        for part, file in self._with_files():
            for neighbour in part.setup.environment:
                if neighbour not in known:
                    raise InputError(
                        f"the potential for {part.species} knows a neighbour without a potential",
                        file=file,
                        value=neighbour,
                        expected=f"a potential for {neighbour} as well",
                    )

    def __repr__(self) -> str:
        parts = [f"{part.species} {'-'.join(map(str, part.network.layer_sizes))}" for part in self.parts]
        return f"<Potential {', '.join(parts)}, cutoff {self.cutoff:g} Å>"

    def __reduce__(self) -> tuple[object, ...]:
        # Not the engine's tables: they belong to this process
        return type(self), (self.parts, self.files, self.limits)

    @classmethod
    def load(cls, files: Files) -> Potential:
        """Read a potential from ænet's files, binary or text.

        Parameters
        ----------
        files
            A folder with files `*.nn`, a list of files, or a dict species → file.

        Raises
        ------
        FormatError
            if a file is damaged or of another kind.
        InputError
            if there are none, or they do not belong together.
        """
        return cls(*_read(files))

    def save(self, folder: str | PathLike[str], overwrite: bool = False) -> list[Path]:
        """Write one file for each species, `H.nn`, `O.nn`, …, in ænet's binary format; return their paths.

        All files get their names together.

        Parameters
        ----------
        folder
            Made if it does not exist.
        overwrite
            Replace files that exist?

        Raises
        ------
        InputError
            if a file exists or cannot be written, or another run is writing to the folder.
        """
        paths = [make_folder(folder) / f"{symbol}{ENDINGS[0]}" for symbol in self.species]
        with alone_in_python(folder), Together() as together:
            for path, part in zip(paths, self.parts):
                check_writable(path, overwrite=overwrite)
                check_potential(path, part)
            for path, part in zip(paths, self.parts):
                write_potential(path, part, together)
        return paths

    @property
    def species(self) -> tuple[str, ...]:
        """Species there are potentials for."""
        return tuple(part.species for part in self.parts)

    @property
    def cutoff(self) -> float:
        """Largest distance that an atom sees another at, Å."""
        return max(part.setup.r_cut for part in self.parts)

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV, each from its own potential (as ænet does).

        Raises
        ------
        InputError
            if a potential does not state it.
        """
        energies = {}
        for part in self.parts:
            own = dict(zip(part.info.species, part.info.atomic_energies))
            if part.species not in own:
                raise InputError(f"the potential for {part.species} does not state its atomic energy")
            energies[part.species] = own[part.species]
        return energies

    @cached_property
    def tables(self) -> PotentialTables:
        """The potential as the engine takes it."""
        return PotentialTables.from_potentials(self.parts)

    def evaluate(
        self,
        structures: Structures,
        *,
        forces: bool = True,
        threads: int = 0,
        advance: Callable[[int], None] = lambda done: None,
    ) -> list[Evaluation]:
        """Return energies (eV), and forces (eV/Å) and strain derivatives (eV), of structures.

        Parameters
        ----------
        structures
            Of taylorfit or ASE.
        forces
            Evaluate forces and strain derivatives, too?
        threads
            Of the engine; 0: all cores.  The results do not depend on it.
        advance
            Called with the number of structures done.

        Raises
        ------
        InputError
            for a species without potential, coinciding atoms, or a degenerate cell; it names the structure.
        """
        evaluations: list[Evaluation] = []
        for part in runs(as_structures(structures, named=False), lambda structure: structure.n_atoms):
            evaluations += evaluate(part, self.tables, forces=forces, threads=threads)
            advance(len(evaluations))
        return evaluations

    def _with_files(self) -> Iterator[tuple[SpeciesPotential, str | None]]:
        return zip(self.parts, self.files or [None] * len(self.parts), strict=True)


Source = Potential | Files
"""A potential, or where its files are."""


def as_potential(source: Source) -> Potential:
    """Return a potential as it is, or read it (see `Potential.load`)."""
    return source if isinstance(source, Potential) else Potential.load(source)


def load_members(source: str | PathLike[str] | Sequence[Source]) -> list[Potential]:
    """Return the potential of each member of a committee.

    Parameters
    ----------
    source
        A folder whose subfolders (01, 02, …) hold the potentials of one member each, in the order of their
        names; or for each member a potential or its files.  A folder of potentials is a single member.

    Raises
    ------
    InputError
        if there are none, or the members are not for the same species.
    """
    sources = _member_sources(source)
    limits = read_data_limits(source) if isinstance(source, (str, PathLike)) else None
    own = [member.limits if isinstance(member, Potential) else limits for member in sources]
    members = [(member.parts, member.files) if isinstance(member, Potential) else _read(member) for member in sources]
    if not members:
        raise InputError("a committee without members", expected="potentials of at least one member")
    species = [part.species for part in members[0][0]]
    seen: dict[bytes, tuple[str, ...]] = {}
    for parts, files in members:
        content = b"".join(part.network.weights.tobytes() for part in sorted(parts, key=lambda part: part.species))
        if content in seen:
            raise InputError(
                "the same member twice in a committee",
                file=next(iter(files), None),
                value=" ".join(seen[content]) or None,
                expected="members that differ",
            )
        seen[content] = files
    for parts, files in members[1:]:
        if {part.species for part in parts} != set(species):
            raise InputError(
                "a member of the committee is for other species",
                file=next(iter(files), None),
                value=" ".join(sorted(part.species for part in parts)),
                expected=" ".join(sorted(species)),
            )
    ordered = [_in_order(parts, files, species) for parts, files in members]
    return [replace(potential, limits=limits) for potential, limits in zip(ordered, own, strict=True)]


def _member_sources(source: str | PathLike[str] | Sequence[Source]) -> Sequence[Source]:
    if not isinstance(source, (str, PathLike)):
        return source
    folder = Path(source)
    if not folder.is_dir():
        raise InputError(
            "no such folder",
            file=source,
            expected="a folder with potentials, or with those of a member in each subfolder",
        )
    children = [child for child in sorted(folder.iterdir()) if child.is_dir() and _files_in(child)]
    # Beside the members of train (01, 02, ...) a copy such as 03.bak is none
    numbered = [child for child in children if child.name.isdigit()]
    has_potentials = numbered or children
    return [folder] if _files_in(folder) or not has_potentials else has_potentials


def _in_order(parts: tuple[SpeciesPotential, ...], files: tuple[str, ...], species: Sequence[str]) -> Potential:
    order = sorted(range(len(parts)), key=lambda place: species.index(parts[place].species))
    return Potential(tuple(parts[place] for place in order), tuple(files[place] for place in order if files))


def _read(files: Files) -> tuple[tuple[SpeciesPotential, ...], tuple[str, ...]]:
    """Read the potentials in files, and return them with the names of these."""
    if isinstance(files, Mapping):
        paths = [fspath(path) for path in files.values()]
    elif isinstance(files, (str, PathLike)):
        paths = _files_in(Path(files)) if Path(files).is_dir() else [fspath(files)]
    else:
        paths = [fspath(path) for path in files]
    if not paths:
        raise InputError(
            "no potentials",
            file=files if isinstance(files, (str, PathLike)) else None,
            expected="files *.nn, one per species",
        )
    parts = tuple(read_potential_file(path) for path in paths)
    for symbol, path, part in zip(files, paths, parts) if isinstance(files, Mapping) else ():
        if part.species != symbol:
            raise InputError("holds the potential of another species", file=path, value=part.species, expected=symbol)
    return parts, tuple(paths)


def _files_in(folder: Path) -> list[str]:
    found = (sorted(folder.glob(f"*{ending}")) for ending in ENDINGS)
    return [fspath(path) for path in next(filter(None, found), [])]
