"""Tables by column names: what is read, and errors with line and name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError
from taylorfit.formats.csv_table import read_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Comments, an empty line, a quoted comma, an empty cell."""
    path = tmp_path / "table.csv"
    path.write_text('# from somewhere\nlabel, delta_A ,x\n\n"a, b",0.01,1\nenergy,,2.5e0\n')
    return path


def test_columns_by_name(table: Path) -> None:
    found = read_table(table, required=("x",))
    assert found.n_rows == 2 and "label" in found and "y" not in found
    assert found.words("label") == ("a, b", "energy")
    np.testing.assert_array_equal(found.numbers("delta_A", blanks=True), [0.01, np.nan])
    np.testing.assert_array_equal(found.numbers("x"), [1.0, 2.5])


def test_cells_that_are_no_numbers_are_named(table: Path) -> None:
    found = read_table(table)
    with pytest.raises(FormatError, match="line 5: delta_A is not a number: found ''"):
        found.numbers("delta_A")
    with pytest.raises(FormatError, match="line 4: label is not a number: found 'a, b'"):
        found.numbers("label", blanks=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1\n", "line 2: row of another length: found 1, expected 2 cells"),
        ("a,b\n", "no rows"),
        ("# nothing\n", "no column names"),
        ("a,a\n1,2\n", "line 1: column named twice: found 'a'"),
        ("a,,b\n1,2,3\n", "column without a name"),
        ("", "empty file"),
        ("a,b\n1,\0\n", "binary data"),
        (f"a,b\n1,{'2' * 200_000}\n", "line 2: field larger than field limit"),
    ],
)
def test_malformed_tables(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(FormatError) as caught:
        read_table(tmp_path / "bad.csv")
    assert words in str(caught.value)


def test_a_required_column_is_asked_for_at_once(table: Path) -> None:
    with pytest.raises(FormatError, match="no column y: found 'label,delta_A,x', expected a table with the column y"):
        read_table(table, required=("x", "y"))
