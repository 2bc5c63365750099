"""generate.in: which structures become a training set, with which descriptors and copies."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike

from ..errors import FormatError
from . import input_blocks as block
from .input_file import (
    VERBOSITIES, Document, FileEntry, Keyword, Located, Option, as_entries, build, describe,
    read_keyword_file, require, require_distinct_species, require_one_of, write_text,
)
from .input_words import Line, Word, choice, integer, real, species_name, text

MAX_ATOMS = 1_000_000
"""Longest list of `atoms=`; more can only be a slip, and would exhaust the memory."""
STRATEGIES = ("random", "cartesian")
"""Displacement strategies; in aenet-python's words disp_all=1 and disp_all=0."""


@dataclass(frozen=True)
class TaylorOptions:
    """Taylor copies of each structure: the block DERIVATIVES.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    method: str = "taylor"
    """`taylor`, or `analytical`: the derivatives that FORCES writes."""
    delta: float = 0.01
    """Largest displacement of an atom, Å."""
    fraction: float = 16.0
    """Copies per structure: the multiple a of the paper."""
    strategy: str = "random"
    """`random` (B: all atoms at once) or `cartesian` (A: one atom, ±x ±y ±z)."""
    n_max: int = 100000
    """Largest number of copies in all."""
    outfile: str | None = None
    """Training-set file for the copies; None: into OUTPUT."""
    seed: int = 1
    delta_species: dict[str, float] = field(default_factory=dict)
    """Largest displacement for single species, Å, instead of `delta`."""
    forcemin: float = 0.0
    """Smallest force that is worth a displacement, eV/Å."""
    forcemax: float | None = None
    """Largest force that is, eV/Å; None: no limit."""
    skip: float | None = None
    """Structures whose largest force is below this get no copies, eV/Å; None: the default of
    `taylorfit.taylor.selection`; 0: none is skipped."""
    species: tuple[str, ...] | None = None
    """Species to displace; None: all."""
    atoms: tuple[int, ...] | None = None
    """Numbers of the atoms to displace, from 1; None: all."""

    def __post_init__(self) -> None:
        require_one_of("method", self.method, ("taylor", "analytical"))
        require_one_of("strategy", self.strategy, STRATEGIES)
        for length in (self.delta, *self.delta_species.values()):
            name = "delta" if length == self.delta else "delta_species"
            require(0 < length < math.inf, name, "delta not positive", length, "Å > 0")
        require(0 < self.fraction < math.inf, "fraction", "fraction not positive", self.fraction, "copies per structure > 0")
        require(self.n_max >= 0, "n_max", "N_max negative", self.n_max, "≥ 0")
        require(self.seed >= 0, "seed", "seed negative", self.seed, "≥ 0")
        require(self.forcemin >= 0, "forcemin", "forcemin negative", self.forcemin, "eV/Å ≥ 0")
        require(
            self.forcemax is None or self.forcemin < self.forcemax < math.inf, "forcemax",
            "forcemax not above forcemin", self.forcemax, f"eV/Å > {self.forcemin!r}",
        )
        require(
            self.skip is None or 0 <= self.skip < math.inf, "skip", "skip negative", self.skip,
            "eV/Å ≥ 0",
        )
        for name, chosen in (("species", self.species), ("atoms", self.atoms)):
            require(chosen is None or len(chosen) > 0, name, f"{name} empty", expected="at least one")
        for atom in self.atoms or ():
            require(atom >= 1, "atoms", "not an atom number", atom, "an integer from 1")

    def delta_of(self, species: str) -> float:
        """Largest displacement of an atom of `species`, Å."""
        return self.delta_species.get(species, self.delta)


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
        require(
            0 <= self.forces_percent <= 100, "forces_percent", "not a percentage",
            self.forces_percent, "0 to 100",
        )
        require_one_of("verbosity", self.verbosity, VERBOSITIES)
        if self.derivatives is not None:
            for symbol in self.derivatives.delta_species:
                self._require_known("derivatives", f"delta_{symbol}", symbol)
            for symbol in self.derivatives.species or ():
                self._require_known("derivatives", "species=", symbol)
            require(
                self.derivatives.outfile != self.output, "derivatives",
                "outfile is the same file as OUTPUT", self.output, "another name",
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
        lines += ["", "DERIVATIVES", _format_taylor(data.derivatives)]
    text = "\n".join(lines) + "\n\n" + block.format_file_list("FILES", data.files)
    write_text(path, text)


def _atomic_energy(symbol: Word, words: Iterator[Word]) -> tuple[str, float]:
    word = next(words, None)
    if word is None:
        symbol.fail("no atomic energy", "symbol energy")
    return symbol.text, real(word)


def _disp_all(word: Word) -> str:
    if word.text not in ("0", "1"):
        word.fail("unknown disp_all", "1 (all atoms at once) or 0 (one atom)")
    return STRATEGIES[0] if word.text == "1" else STRATEGIES[1]


def _species_list(word: Word) -> tuple[str, ...]:
    return tuple(species_name(Word(part.strip(), word.line)) for part in word.text.split(","))


def _atom_numbers(word: Word) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in word.text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?\s*", part)
        if match is None:
            word.fail("not a list of atoms", "numbers and ranges such as 1-8,12")
        first, last = int(match[1]), int(match[2] or match[1])
        if not (1 <= first <= last and last - first < MAX_ATOMS - len(numbers)):
            word.fail("not a list of atoms", f"1 ≤ from ≤ to, at most {MAX_ATOMS} atoms")
        numbers.extend(range(first, last + 1))
    return tuple(numbers)


def _format_atoms(numbers: tuple[int, ...]) -> str:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in ranges)


def _read_derivatives(document: Document, line: Line) -> TaylorOptions:
    pairs = block.option_words(document, line)
    found = block.read_options(pairs, OPTIONS)
    from_disp_all = found.pop("disp_all", None)
    if from_disp_all is not None:
        chosen: Located = found.setdefault("strategy", from_disp_all)
        if chosen.value != from_disp_all.value:
            raise FormatError(
                "strategy contradicts disp_all", file=document.file, line=chosen.line,
                value=chosen.value, expected=f"{from_disp_all.value}, or only one of the two",
            )
    return build(TaylorOptions, found, document.file, line.number)


def _format_taylor(options: TaylorOptions) -> str:
    words = [f"method={options.method} delta={options.delta!r} fraction={options.fraction!r}"]
    if options.outfile is not None:
        words.append(f"outfile={block.quote(options.outfile)}")
    words.append(f"disp_all={1 - STRATEGIES.index(options.strategy)} N_max={options.n_max}")
    words.append(f"seed={options.seed}")
    words += [f"delta_{symbol}={length!r}" for symbol, length in options.delta_species.items()]
    if options.forcemin > 0:
        words.append(f"forcemin={options.forcemin!r}")
    if options.forcemax is not None:
        words.append(f"forcemax={options.forcemax!r}")
    if options.skip is not None:
        words.append(f"skip={options.skip!r}")
    if options.species is not None:
        words.append("species=" + block.quote(",".join(options.species)))
    if options.atoms is not None:
        words.append("atoms=" + block.quote(_format_atoms(options.atoms)))
    return " ".join(words)


OPTIONS = {
    "method": Option("method", choice("taylor", "analytical"), "taylor, or analytical (taylor)"),
    "delta": Option("delta", real, "largest displacement of an atom, Å (0.01)"),
    "fraction": Option("fraction", real, "copies per structure, the paper's a (16.0)"),
    "disp_all": Option("disp_all", _disp_all, "1: strategy B, random; 0: strategy A, cartesian (1)"),
    "N_max": Option("n_max", integer, "largest number of copies in all (100000)"),
    "outfile": Option("outfile", text, "training-set file for the copies (into OUTPUT)"),
    "seed": Option("seed", integer, "seed of the displacements (1)"),
    "strategy": Option("strategy", choice(*STRATEGIES), "random or cartesian, instead of disp_all"),
    "delta_*": Option("delta_species", real, "delta for one species, e.g. delta_H=0.005, Å"),
    "forcemin": Option("forcemin", real, "displace only above this force, eV/Å (0)"),
    "forcemax": Option("forcemax", real, "displace only below this force, eV/Å (none)"),
    "skip": Option("skip", real, "no copies of structures with all forces below, eV/Å; 0 none (0.05)"),
    "species": Option("species", _species_list, "displace only these, e.g. Li,O (all)"),
    "atoms": Option("atoms", _atom_numbers, "displace only these, from 1, e.g. 1-8,12 (all)"),
}
"""Options of DERIVATIVES."""


def _read_types(document: Document, line: Line) -> tuple[tuple[str, float], ...]:
    return block.counted_species(document, line, _atomic_energy)


_TABLE = {
    "OUTPUT": Keyword("output", block.path("a file name"), "file: training set to write (refdata.train)"),
    "TYPES": Keyword("types", _read_types, "below: n, then n lines: symbol, atomic energy in eV"),
    "SETUPS": Keyword("setups", block.species_paths, "below, per species: symbol, descriptor setup file"),
    "FILES": Keyword("files", block.file_list, "below: n, then n structure files or patterns"),
    "DERIVATIVES": Keyword("derivatives", _read_derivatives, "below: options of the Taylor copies (none)"),
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
