"""predict.in: which potentials to use on which structures, and what to print."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

from . import blocks as block
from .keyword_file import (
    VERBOSITIES,
    Document,
    FileEntry,
    Keyword,
    Option,
    as_entries,
    build,
    describe,
    read_keyword_file,
    require,
    require_distinct_species,
    require_one_of,
    write_text,
)
from .words import Line, Word, choice, integer, real, text


@dataclass(frozen=True)
class RelaxOptions:
    """Relaxation of the structures: the block RELAX.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    method: str = "bfgs"
    f_conv: float = 0.01
    """Converged below this force, eV/Å."""
    e_conv: float = 0.001
    """Converged below this change of energy, eV."""
    steps: int = 99
    dmax: float | None = None
    """Largest displacement in a step, Å; None: the optimiser's own."""

    def __post_init__(self) -> None:
        require_one_of("method", self.method, ("bfgs",))
        for name in ("f_conv", "e_conv"):
            number = getattr(self, name)
            require(0 < number < math.inf, name, f"{name} not positive", number, "a number > 0")
        require(self.steps >= 0, "steps", "steps negative", self.steps, "≥ 0")
        require(self.dmax is None or 0 < self.dmax < math.inf, "dmax", "dmax not positive", self.dmax, "Å > 0")


@dataclass(frozen=True)
class PredictInput:
    """What predict.in says; paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for species without network and networks without species.
    """

    types: tuple[str, ...]
    """Species in global order."""
    networks: dict[str, str]
    """Potential file of each species."""
    files: tuple[FileEntry, ...] = ()
    """Structure files and patterns; may be empty, the command line can name them."""
    forces: bool = False
    print_atomic_energies: bool = False
    relax: RelaxOptions | None = None
    verbosity: str = "normal"
    timing: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", tuple(self.types))
        object.__setattr__(self, "files", as_entries(self.files))
        require(bool(self.types), "types", "no species", expected="at least one")
        require_distinct_species("types", self.types)
        for symbol in self.types:
            require(symbol in self.networks, "networks", "no network for a species", symbol, "symbol file")
        for symbol in self.networks:
            require(
                symbol in self.types,
                "networks",
                "network for a species not in TYPES",
                symbol,
                "one of " + " ".join(self.types),
            )
        require_one_of("verbosity", self.verbosity, VERBOSITIES)


def read_predict_input(path: str | PathLike[str]) -> PredictInput:
    """Read predict.in.

    Raises
    ------
    InputError, FormatError
        with file, line, value and what was expected.
    """
    return read_keyword_file(path, _TABLE, PredictInput)


def write_predict_input(path: str | PathLike[str], data: PredictInput) -> None:
    """Write predict.in such that reading it gives `data` again."""
    lines = ["TYPES", str(len(data.types)), *data.types, "", "NETWORKS"]
    lines += [f"{symbol:2} {block.quote(file)}" for symbol, file in data.networks.items()] + [""]
    flags = ("FORCES", "PRINT_ATOMIC_ENERGIES", "TIMING", "DEBUG")
    lines += [name for name in flags if getattr(data, name.lower())]
    if data.verbosity != "normal":
        lines.append(f"VERBOSITY {data.verbosity}")
    if data.relax is not None:
        relax = data.relax
        options = f"F_conv={relax.f_conv!r} E_conv={relax.e_conv!r} steps={relax.steps}"
        options += "" if relax.dmax is None else f" dmax={relax.dmax!r}"
        lines += ["", "RELAX", f"method={block.quote(relax.method)} {options}"]
    text = "\n".join(lines) + "\n\n"
    if data.files:
        text += block.format_file_list("FILES", data.files)
    write_text(path, text)


def _symbol(symbol: Word, words: Iterator[Word]) -> str:
    return symbol.text


def _read_types(document: Document, line: Line) -> tuple[str, ...]:
    return block.counted_species(document, line, _symbol)


def _read_relax(document: Document, line: Line) -> RelaxOptions:
    found = block.read_options(block.option_words(document, line), RELAX_OPTIONS)
    return build(RelaxOptions, found, document.file, line.number)


RELAX_OPTIONS = {
    "method": Option("method", text, "optimiser (bfgs)"),
    "F_conv": Option("f_conv", real, "converged below this force, eV/Å (0.01)"),
    "E_conv": Option("e_conv", real, "converged below this change of energy, eV (0.001)"),
    "steps": Option("steps", integer, "largest number of steps (99)"),
    "dmax": Option("dmax", real, "largest displacement in a step, Å"),
}
"""Options of RELAX."""

_TABLE = {
    "TYPES": Keyword("types", _read_types, "below: n, then n lines with a symbol each"),
    "NETWORKS": Keyword("networks", block.species_paths, "below, per species: symbol, potential file"),
    "FILES": Keyword("files", block.file_list, "below: n, then n structure files or patterns"),
    "FORCES": Keyword("forces", block.flag, "flag: print forces"),
    "PRINT_ATOMIC_ENERGIES": Keyword("print_atomic_energies", block.flag, "flag: print the energy of each atom"),
    "RELAX": Keyword("relax", _read_relax, "below: options of the relaxation (none)"),
    "VERBOSITY": Keyword(
        "verbosity", block.value(choice(*VERBOSITIES), "low, normal or high"), "low, normal or high (normal)"
    ),
    "TIMING": Keyword("timing", block.flag, "flag: accepted for ænet's sake"),
    "DEBUG": Keyword("debug", block.flag, "flag: accepted for ænet's sake"),
}

KEYWORDS = {name: keyword.help for name, keyword in _TABLE.items()}
"""Each keyword of predict.in with one line of help."""


def describe_keywords() -> str:
    """Return help for the keywords and the options of RELAX."""
    return f"{describe(_TABLE)}\n\noptions of RELAX:\n{describe(RELAX_OPTIONS)}"
