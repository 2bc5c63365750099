"""scan.in: which settings of a generate.in and a train.in are varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from . import blocks as block
from . import forces as train_forces
from . import generate as generate_input
from .keyword_file import Document, Keyword, Option, describe, read_keyword_file, require
from .train import read_layer
from .words import Line, Word, integer, suggestion

NOT_SCANNED = {"method", "outfile", "disp_all", "seed", "derivatives"}
"""Options of DERIVATIVES and FORCES that are no axis; the seed of the copies stays, seeds are those of SEED."""


def _layers(word: Word) -> tuple[tuple[int, str], ...]:
    return tuple(read_layer(Word(part, word.line)) for part in word.text.split("-"))


def _at_least(smallest: int) -> Any:
    def convert(word: Word) -> int:
        number = integer(word)
        if number < smallest:
            word.fail("too small", f"an integer ≥ {smallest}")
        return number

    return convert


def _axes(options: Mapping[str, Option]) -> dict[str, Option]:
    return {name: option for name, option in options.items() if name not in NOT_SCANNED and not name.endswith("*")}


DERIVATIVES_AXES = _axes(generate_input.OPTIONS)
FORCES_AXES = _axes(train_forces.OPTIONS)
OWN_AXES = {
    "network": Option("network", _layers, "hidden layers, e.g. 10:tanh-10:tanh, for all species"),
    "size": Option("size", _at_least(1), "structures to use, drawn from FILES; the larger sets hold the smaller ones"),
    "seeds": Option("seeds", _at_least(0), "seeds of split and weights (SEED of train.in)"),
}
AXES: dict[str, Option] = {**DERIVATIVES_AXES, **FORCES_AXES, **OWN_AXES}
"""What can be varied: options of DERIVATIVES, options of FORCES, and our own."""

ALIASES = {"a": "fraction", "seed": "seeds"}


@dataclass(frozen=True)
class Axis:
    """A setting that is varied."""

    name: str
    """Key of `AXES`."""
    values: tuple[Any, ...]
    words: tuple[str, ...]
    """The values as written."""
    line: int
    """Line of scan.in, from 1."""


@dataclass(frozen=True)
class ScanInput:
    """What scan.in says; paths are relative to the current working directory.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    axes: tuple[Axis, ...]
    generate: str = "generate.in"
    train: str = "train.in"
    output: str = "scan.csv"
    """Table of results."""
    folder: str = "scan"
    """For training sets, potentials and logs."""
    threads: int = 0
    """Threads; 0: all."""

    def __post_init__(self) -> None:
        require(self.threads >= 0, "threads", "THREADS negative", self.threads, "an integer ≥ 0")

    def values_of(self, name: str) -> tuple[Any, ...]:
        """Values of an axis; none if it is not varied."""
        return next((axis.values for axis in self.axes if axis.name == name), ())


def read_scan_input(path: str | PathLike[str]) -> ScanInput:
    """Read scan.in.

    Raises
    ------
    InputError, FormatError
        with file, line, value and what was expected.
    """
    return read_keyword_file(path, _TABLE, ScanInput)


def _read_axes(document: Document, line: Line) -> tuple[Axis, ...]:
    if len(list(line.words())) > 1:
        line.fail("axis on the line of SCAN", line.text, "axes on the lines below SCAN")
    axes: list[Axis] = []
    for row in document.take_block(until_blank=False):
        first, *words = row.words()
        name = ALIASES.get(first.text.lower(), first.text)
        known = {key.lower(): key for key in AXES}
        if name.lower() not in known:
            first.fail("unknown axis", suggestion(first.text, [*AXES, "a"]))
        name = known[name.lower()]
        if any(axis.name == name for axis in axes):
            first.fail("axis given twice", "each axis once")
        if not words:
            first.fail("axis without values", f"e.g. {_EXAMPLES.get(name, name + ' 1 2')}")
        values = tuple(AXES[name].convert(word) for word in words)
        for place, value in enumerate(values):
            if value in values[:place]:
                words[place].fail("value given twice", "each value once")
        axes.append(Axis(name, values, tuple(word.text for word in words), row.number))
    if not axes:
        line.fail("SCAN without axes", expected="lines such as delta 0.005 0.01 0.02")
    return tuple(axes)


_EXAMPLES = {
    "delta": "delta 0.005 0.01 0.02",
    "fraction": "a 11 22",
    "mode": "mode energy centred exact",
    "beta": "beta 1e-3 1e-2",
    "strategy": "strategy random cartesian",
    "network": "network 5:tanh-5:tanh 10:tanh-10:tanh",
    "size": "size 100 200 400",
    "seeds": "seeds 1 2 3",
}

_TABLE = {
    "GENERATE": Keyword("generate", block.path("a file name"), "file: generate.in to start from (generate.in)"),
    "TRAIN": Keyword("train", block.path("a file name"), "file: train.in to start from (train.in)"),
    "SCAN": Keyword("axes", _read_axes, "below: lines of an axis and its values, see below"),
    "OUTPUT": Keyword("output", block.path("a file name"), "file: table of results, CSV (scan.csv)"),
    "FOLDER": Keyword("folder", block.path("a folder"), "folder for training sets, potentials and logs (scan)"),
    "THREADS": Keyword("threads", block.value(integer, "a number of threads"), "n: threads, 0 all (0)"),
}

KEYWORDS = {name: keyword.help for name, keyword in _TABLE.items()}
"""Each keyword of scan.in with one line of help."""


def describe_keywords() -> str:
    """Return help for the keywords and the axes of SCAN."""
    return (
        f"{describe(_TABLE)}\n\naxes of SCAN, options of DERIVATIVES (a: fraction):\n{describe(DERIVATIVES_AXES)}\n"
        f"options of FORCES:\n{describe(FORCES_AXES)}\nand:\n{describe(OWN_AXES)}"
    )
