"""Options declared in fields: help, tables, docstrings and checks that follow from the declaration."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any

import pytest

from taylorfit.errors import InputError
from taylorfit.settings.displacements import TaylorOptions
from taylorfit.settings.extrapolation import ExtrapolationPolicy
from taylorfit.settings.forces import ForceMode
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.methods import METHODS
from taylorfit.settings.option import INTEGER, Settings, one_of, option, options_of
from taylorfit.settings.predict import PredictInput, RelaxOptions
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.tables import describe, markdown, option_tables
from taylorfit.settings.train import TrainInput

INPUT_FILES = [GenerateInput, TrainInput, PredictInput, MdInput, ScanInput]
OTHERS = [TaylorOptions, ForceMode, RelaxOptions, ExtrapolationPolicy, *METHODS.values()]


@dataclass(frozen=True)
class Toy(Settings):
    """A toy.

    Raises
    ------
    InputError
        as it likes.
    """

    n: int = option(3, check="n ≥ 1", help="how many")
    width: float = option(0.5, unit="Å", check="0 < w < ∞", help="how wide")
    share: float | None = option(None, kind=INTEGER, check="0 ≤ p ≤ 100", shown="all", help="how much")
    kind: str = option("a", one_of(a="the first", b="the second"), help="which")


def test_lines_of_help_show_default_unit_and_names() -> None:
    assert [entry.line() for entry in options_of(Toy).values()] == [
        "how many (3)",
        "how wide (0.5 Å)",
        "how much (all)",
        "which; a: the first; b: the second (a)",
    ]


def test_docstring_explains_the_options() -> None:
    assert re.search(r"A toy\.\n\nParameters\n-+\nn\n    how many\nwidth\n    how wide, in Å\n", Toy.__doc__ or "")
    assert (Toy.__doc__ or "").endswith("as it likes.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n": 0}, "n too small: found 0, expected an integer ≥ 1"),
        ({"n": "3"}, "n is no number: found '3', expected an integer"),
        ({"n": None}, "n is no number"),
        ({"width": 0.0}, "width out of range: found 0.0, expected Å > 0"),
        ({"width": math.nan}, "width out of range: found nan, expected Å > 0"),
        ({"width": math.inf}, "width out of range: found inf"),
        ({"share": 101}, "share out of range: found 101, expected 0 ≤ p ≤ 100"),
        ({"kind": "c"}, "unknown kind: found 'c', expected one of a b"),
    ],
)
def test_values_out_of_bounds_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Toy(**values)
    assert str(caught.value).startswith(message)
    assert Toy(1, 1e-9, None, "b").share is None


@pytest.mark.parametrize("cls", [*INPUT_FILES, *OTHERS])
def test_every_option_says_what_it_means(cls: type[Settings]) -> None:
    declared = options_of(cls)
    assert declared and all(entry.meaning for entry in declared.values())
    assert set(cls.key_order.split()) <= declared.keys()
    assert {entry.field for entry in declared.values()} - {"disp_all"} <= {field.name for field in fields(cls)}
    assert all(entry.meaning in (cls.__doc__ or "") for entry in declared.values() if entry.key != "disp_all")


@pytest.mark.parametrize("cls", INPUT_FILES)
def test_tables_hold_every_option_once(cls: Any) -> None:
    tables = option_tables(cls)
    text, page = describe(cls), markdown(cls)
    assert text.count("\n  ") == page.count("\n| `") == sum(map(len, tables.values()))
    for block in page.split("\n\n")[1::2]:
        columns = [len(re.split(r"(?<!\\)\|", row)) for row in block.splitlines()]
        assert len(set(columns)) == 1, block
