"""Numbers of atom lines: the bits of `float`, and nothing that only looks like a number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taylorfit.formats.structures.number_columns import number_columns

DECIMALS = st.from_regex(r"[+-]?([0-9]{1,22}(\.[0-9]{0,22})?|\.[0-9]{1,22})([eE][+-]?[0-9]{1,4})?", fullmatch=True)


@given(st.lists(st.tuples(DECIMALS, st.floats(allow_nan=False, allow_infinity=False).map(repr)), max_size=5))
def test_bits_are_those_of_float(words: list[tuple[str, str]]) -> None:
    found = number_columns([["H", *row] for row in words], 1, 3)
    assert found is not None and found.shape == (len(words), 2)
    for row, values in zip(words, found):
        for word, value in zip(row, values):
            assert value == float(word) and math.copysign(1.0, value) == math.copysign(1.0, float(word)), word


@pytest.mark.parametrize(
    "word", ["", ".", "-", "1e", "1e+", "e5", "1_0", "nan", "inf", "1d5", "1.0.0", "١", "\ud800", "1\0"]
)
def test_other_words_are_no_numbers(word: str) -> None:
    assert number_columns([["1.0"], [word]], 0, 1) is None


def test_a_short_line_has_no_such_columns() -> None:
    assert number_columns([["1.0", "2.0"], ["1.0"]], 0, 2) is None
