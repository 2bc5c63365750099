"""scan.in: which settings of a generate.in and a train.in are varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .displacements import TaylorOptions
from .document import Document, Line, Word, integer, suggestion
from .forces import ForceMode
from .keyword_file import InputFile
from .option import FILE, FOLDER, INTEGER, THREADS, Kind, Option, option, options_of
from .train import read_layer

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


def _axes(cls: type) -> dict[str, Option]:
    return {
        key: entry._replace(shown="")
        for key, entry in options_of(cls).items()
        if key not in NOT_SCANNED and not key.endswith("*")
    }


DERIVATIVES_AXES = _axes(TaylorOptions)
FORCES_AXES = _axes(ForceMode)
OWN_AXES = {
    entry.key: entry
    for entry in (
        Option("network", "network", Kind("layers", _layers), "hidden layers for all species, e.g. 10:tanh-10:tanh"),
        Option(
            "size",
            "size",
            INTEGER._replace(convert=_at_least(1)),
            "structures to use, drawn from FILES; the larger sets hold the smaller ones",
        ),
        Option(
            "seeds", "seeds", INTEGER._replace(convert=_at_least(0)), "seeds of split and weights (SEED of train.in)"
        ),
    )
}
AXES: dict[str, Option] = {**DERIVATIVES_AXES, **FORCES_AXES, **OWN_AXES}
"""What can be varied: options of DERIVATIVES, options of FORCES, and our own."""

ALIASES = {"a": "fraction", "seed": "seeds"}
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
        values = tuple(AXES[name].kind.convert(word) for word in words)
        for place, value in enumerate(values):
            if value in values[:place]:
                words[place].fail("value given twice", "each value once")
        axes.append(Axis(name, values, tuple(word.text for word in words), row.number))
    if not axes:
        line.fail("SCAN without axes", expected="lines such as delta 0.005 0.01 0.02")
    return tuple(axes)


def _axis_tables(key: str) -> dict[str, Mapping[str, Option]]:
    return {
        f"axes of {key}, options of DERIVATIVES (a: fraction)": DERIVATIVES_AXES,
        f"axes of {key}, options of FORCES": FORCES_AXES,
        f"axes of {key}, others": OWN_AXES,
    }


SCAN = Kind(
    "axes",
    write=lambda axes: "\n".join(" ".join((axis.name, *axis.words)) for axis in axes),
    form="below",
    reader=_read_axes,
    is_block=True,
    tables=_axis_tables,
)


@dataclass(frozen=True)
class ScanInput(InputFile):
    """What scan.in says; paths are relative to the current working directory.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    file_name: ClassVar[str] = "scan.in"
    key_order: ClassVar[str] = "GENERATE TRAIN SCAN"

    axes: tuple[Axis, ...] = option(kind=SCAN, key="SCAN", help="lines of an axis and its values, see below")
    generate: str = option("generate.in", FILE, help="generate.in to start from")
    train: str = option("train.in", FILE, help="train.in to start from")
    output: str = option("scan.csv", FILE, help="table of results, CSV")
    folder: str = option("scan", FOLDER, help="for training sets, potentials and logs")
    threads: int = option(0, THREADS, check="n ≥ 0", help="threads, 0: all")

    def values_of(self, name: str) -> tuple[Any, ...]:
        """Values of an axis; none if it is not varied."""
        return next((axis.values for axis in self.axes if axis.name == name), ())
