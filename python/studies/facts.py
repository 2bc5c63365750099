"""What a study has measured: a row for each training, and other facts, as JSON that can be committed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taylorfit.analysis.scan_series import numbers_text
from taylorfit.errors import InputError
from taylorfit.tools.atomic_write import atomic_write

Cell = str | float | None
Training = Mapping[str, Cell]
"""A training: scan, mode, strategy, delta, multiple, beta, structures, network, seed, epochs, and its errors."""
Cells = Mapping[str, Cell]
"""What trainings must have in common."""

FULL = "full"
"""Scan of the trainings at the paper's size."""
UNITS = (
    dict.fromkeys(("force_error", "last_force_error"), "eV/Å")
    | dict.fromkeys(("tail", "within_15", "above_half", "above_three"), "%")
    | {"energy_rmse": "meV/atom", "angle_peak": "°"}
)
"""Column of the trainings → unit, where claims say it."""


class MissingFact(LookupError):
    """Nothing was measured that a claim asks for."""


@dataclass(frozen=True)
class Fact:
    """A quantity, a value for each seed."""

    values: tuple[float, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise MissingFact("no values")

    @property
    def median(self) -> float:
        """Over the seeds."""
        return float(np.median(self.values))

    @property
    def low(self) -> float:
        """The smallest, of errors the best."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)

    def text(self, digits: int = 2) -> str:
        """Median, best and spread: ``0.70 eV/Å (best 0.66, up to 0.74; n = 3)``."""
        unit = f" {self.unit}" if self.unit and self.unit != "%" else self.unit
        words = f"{self.median:.{digits}f}{unit}"
        if len(self.values) == 1:
            return f"{words} (n = 1)"
        return f"{words} ({self.low:.{digits}f} to {self.high:.{digits}f}; n = {len(self.values)})"

    def over(self, other: Fact, unit: str = "") -> Fact:
        """Each value divided by the median of another fact."""
        return Fact(tuple(value / other.median for value in self.values), unit)

    def gain(self, other: Fact) -> Fact:
        """By how much each value is below the median of another fact, %."""
        return Fact(tuple(100.0 * (1.0 - value / other.median) for value in self.values), "%")


@dataclass(frozen=True)
class Results:
    """All that a study has measured."""

    study: str
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Machine, commit, date, command, budget."""
    trainings: tuple[Training, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def rows(self, cells: Cells) -> list[Training]:
        """Trainings with given cells; numbers are compared as numbers."""
        return [row for row in self.trainings if all(_same(row.get(name), cell) for name, cell in cells.items())]

    def of(self, column: str, cells: Cells, unit: str | None = None) -> Fact:
        """A column of the trainings with given cells, one value for each seed; default unit: that of `UNITS`.

        Raises
        ------
        MissingFact
            if there are none.
        """
        values = [value for row in self.rows(cells) if isinstance(value := row.get(column), int | float)]
        if not values:
            raise MissingFact(f"{column} of {dict(cells)}")
        return Fact(tuple(values), UNITS.get(column, "") if unit is None else unit)

    def fact(self, name: str) -> Fact:
        """A fact by its name.

        Raises
        ------
        MissingFact
            if it was not measured.
        """
        if name not in self.facts:
            raise MissingFact(name)
        return self.facts[name]

    def values_of(self, column: str, cells: Cells) -> list[float]:
        """The different values of a column among trainings with given cells, ascending."""
        return sorted({value for row in self.rows(cells) if isinstance(value := row.get(column), int | float)})

    def save(self, path: Path) -> None:
        """Write as JSON: the trainings as a table of columns and rows."""
        columns = list(dict.fromkeys(name for row in self.trainings for name in row))
        lines = [json.dumps([row.get(name) for name in columns], ensure_ascii=False) for row in self.trainings]
        facts = {name: {"values": fact.values, "unit": fact.unit} for name, fact in self.facts.items()}
        text = json.dumps({"study": self.study, "provenance": dict(self.provenance)}, indent=1, ensure_ascii=False)[:-2]
        text += (
            f',\n "columns": {json.dumps(columns)},\n "rows": [\n  ' + ",\n  ".join(lines) + '\n ],\n "facts": {\n  '
        )
        text += ",\n  ".join(f"{json.dumps(name)}: {json.dumps(facts[name], ensure_ascii=False)}" for name in facts)
        with atomic_write(path) as stream:
            stream.write(text + "\n }\n}\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            if it cannot be read.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error})", file=path, expected="results of a study") from None
        return cls(
            data["study"],
            data["provenance"],
            tuple(dict(zip(data["columns"], row)) for row in data["rows"]),
            {name: Fact(tuple(one["values"]), one["unit"]) for name, one in data["facts"].items()},
        )


def _same(cell: Cell | None, wanted: Cell) -> bool:
    if isinstance(cell, int | float) and isinstance(wanted, int | float):
        return math.isclose(cell, wanted, rel_tol=1e-9)
    return cell == wanted


Quantity = Callable[[Results], Fact]
"""How a quantity follows from results; raises `MissingFact`."""


def measured(column: str, cells: Cells) -> Quantity:
    """A column of trainings, of those at the paper's size unless the cells name another scan."""
    return lambda results: results.of(column, {"scan": FULL, **cells})


def fact(name: str) -> Quantity:
    """A fact by its name."""
    return lambda results: results.fact(name)


def gain(of: Quantity, reference: Quantity) -> Quantity:
    """By how much one quantity is below the median of another, %."""
    return lambda results: of(results).gain(reference(results))


def ratio(of: Quantity, reference: Quantity, unit: str = "") -> Quantity:
    """One quantity over the median of another."""
    return lambda results: of(results).over(reference(results), unit)


def share(of: Quantity, worst: Quantity, best: Quantity) -> Quantity:
    """How much of the way between the medians of two others a quantity goes, %."""

    def make(results: Results) -> Fact:
        low, high = best(results).median, worst(results).median
        if high <= low:
            raise MissingFact("no improvement to have a share of")
        return Fact(tuple(100.0 * (high - value) / (high - low) for value in of(results).values), "%")

    return make


class Searched(NamedTuple):
    """What a search has found."""

    best: float
    tried: Sequence[float]
    seeds: tuple[int, ...]
    """How many of each."""

    @property
    def of(self) -> str:
        """In words: ``of 0.01, 0.02; n = 3``."""
        return f"of {', '.join(f'{value:g}' for value in self.tried)}; n = {numbers_text(self.seeds)}"


Search = Callable[[Results], Searched]
"""How the best of several settings follows from results."""


def best_setting(axis: str, column: str, cells: Cells) -> Search:
    """The value of an axis (delta, multiple) with the smallest median of a column, and all values tried."""

    def make(results: Results) -> Searched:
        tried = results.values_of(axis, cells)
        if len(tried) < 3:
            raise MissingFact(f"no search over {axis}")
        found = {value: results.of(column, {**cells, axis: value}) for value in tried}
        best = min(found, key=lambda value: found[value].median)
        return Searched(best, tried, tuple(len(one.values) for one in found.values()))

    return make
