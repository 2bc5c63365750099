"""generate.in: which structures become a training set, with which descriptors and copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

from . import blocks as block
from .displacements import OPTIONS, TaylorOptions, format_derivatives, read_derivatives
from .keyword_file import (
    VERBOSITIES,
    Document,
    FileEntry,
    Keyword,
    as_entries,
    describe,
    read_keyword_file,
    require,
    require_distinct_species,
    require_one_of,
    write_text,
)
from .words import Line, Word, choice, real


@dataclass(frozen=True)
class GenerateInput:
    """What generate.in says; paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for a value out of range or species that do not fit together.
    """

    types: tuple[tuple[str, float], ...]
    """Species in global order, with the energy of the isolated atom, eV."""
    setups: dict[str, str]
    """Descriptor setup file of each species."""
    files: tuple[FileEntry, ...]
    """Structure files and patterns."""
    output: str = "refdata.train"
    forces: bool = False
    """Write descriptor derivatives too?"""
    forces_percent: float = 100.0
    """Percentage of structures that get derivatives."""
    derivatives: TaylorOptions | None = None
    timing: bool = False
    debug: bool = False
    verbosity: str = "normal"

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "types", tuple((str(symbol), float(energy)) for symbol, energy in self.types))
        set_(self, "files", as_entries(self.files))
        require(bool(self.types), "types", "no species", expected="at least one")
        require(bool(self.files), "files", "no structure files", expected="at least one")
        require_distinct_species("types", self.species)
        for symbol in self.species:
            require(symbol in self.setups, "setups", "no setup for a species", symbol, "symbol file")
        for symbol in self.setups:
            self._require_known("setups", "setup", symbol)
        require(0 <= self.forces_percent <= 100, "forces_percent", "not a percentage", self.forces_percent, "0 to 100")
        require_one_of("verbosity", self.verbosity, VERBOSITIES)
        if self.derivatives is not None:
            for symbol in self.derivatives.delta_species:
                self._require_known("derivatives", f"delta_{symbol}", symbol)
            for symbol in self.derivatives.species or ():
                self._require_known("derivatives", "species=", symbol)
            for symbol in self.derivatives.curvature if isinstance(self.derivatives.curvature, dict) else ():
                self._require_known("derivatives", "curvature=", symbol)
            require(
                self.derivatives.outfile != self.output,
                "derivatives",
                "outfile is the same file as OUTPUT",
                self.output,
                "another name",
            )

    @property
    def species(self) -> tuple[str, ...]:
        """Species in global order."""
        return tuple(symbol for symbol, _ in self.types)

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV."""
        return dict(self.types)

    def _require_known(self, field: str, what: str, symbol: str) -> None:
        expected = "one of " + " ".join(self.species)
        require(symbol in self.species, field, f"{what} for a species not in TYPES", symbol, expected)


def read_generate_input(path: str | PathLike[str]) -> GenerateInput:
    """Read generate.in.

    Raises
    ------
    InputError, FormatError
        with file, line, value and what was expected.
    """
    return read_keyword_file(path, _TABLE, GenerateInput)


def write_generate_input(path: str | PathLike[str], data: GenerateInput) -> None:
    """Write generate.in such that reading it gives `data` again."""
    lines = [f"OUTPUT {block.quote(data.output)}", "", "TYPES", str(len(data.types))]
    lines += [f"{symbol:2} {energy!r}" for symbol, energy in data.types]
    lines += ["", "SETUPS"]
    lines += [f"{symbol:2} {block.quote(file)}" for symbol, file in data.setups.items()]
    lines += [""] + [name for name in ("FORCES", "TIMING", "DEBUG") if getattr(data, name.lower())]
    if data.forces_percent != 100:
        lines.append(f"FORCESPERCENT {data.forces_percent!r}")
    if data.verbosity != "normal":
        lines.append(f"VERBOSITY {data.verbosity}")
    if data.derivatives is not None:
        lines += ["", "DERIVATIVES", format_derivatives(data.derivatives)]
    text = "\n".join(lines) + "\n\n" + block.format_file_list("FILES", data.files)
    write_text(path, text)


def _atomic_energy(symbol: Word, words: Iterator[Word]) -> tuple[str, float]:
    word = next(words, None)
    if word is None:
        symbol.fail("no atomic energy", "symbol energy")
    return symbol.text, real(word)


def _read_types(document: Document, line: Line) -> tuple[tuple[str, float], ...]:
    return block.counted_species(document, line, _atomic_energy)


_TABLE = {
    "OUTPUT": Keyword("output", block.path("a file name"), "file: training set to write (refdata.train)"),
    "TYPES": Keyword("types", _read_types, "below: n, then n lines: symbol, atomic energy in eV"),
    "SETUPS": Keyword("setups", block.species_paths, "below, per species: symbol, descriptor setup file"),
    "FILES": Keyword("files", block.file_list, "below: n, then n structure files or patterns"),
    "DERIVATIVES": Keyword("derivatives", read_derivatives, "below: options of the Taylor copies (none)"),
    "FORCES": Keyword("forces", block.flag, "flag: write descriptor derivatives to OUTPUT.forces"),
    "FORCESPERCENT": Keyword(
        "forces_percent", block.value(real, "a percentage"), "p: structures that get derivatives (100)"
    ),
    "TIMING": Keyword("timing", block.flag, "flag: write generate.time"),
    "DEBUG": Keyword("debug", block.flag, "flag: accepted for ænet's sake"),
    "VERBOSITY": Keyword(
        "verbosity", block.value(choice(*VERBOSITIES), "low, normal or high"), "low, normal or high (normal)"
    ),
}

KEYWORDS = {name: keyword.help for name, keyword in _TABLE.items()}
"""Each keyword of generate.in with one line of help."""


def describe_keywords() -> str:
    """Return help for the keywords and the options of DERIVATIVES."""
    return f"{describe(_TABLE)}\n\noptions of DERIVATIVES:\n{describe(OPTIONS)}"
