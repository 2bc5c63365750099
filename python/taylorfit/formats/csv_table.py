"""Tables as CSV: a line of column names, then rows; columns are asked for by name."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike, fsdecode

import numpy as np

from ..errors import FormatError
from ..tools.atomic_write import atomic_write
from ..tools.plain_text import decode_lines, fortran_number, number_complaint, read_bytes


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a CSV file, as text."""

    file: str
    columns: dict[str, tuple[str, ...]]
    """Name → (n_row,) cells."""
    lines: tuple[int, ...]
    """(n_row,) line of each row in the file, from 1."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def words(self, name: str) -> tuple[str, ...]:
        """(n_row,) cells of a column.

        Raises
        ------
        FormatError
            if there is no such column.
        """
        if name not in self.columns:
            raise FormatError(
                f"no column {name}",
                file=self.file,
                line=1,
                value=",".join(self.columns),
                expected=f"a table with the column {name}",
            )
        return self.columns[name]

    def numbers(self, name: str, blanks: bool = False) -> np.ndarray:
        """(n_row,) numbers of a column; NaN for empty cells and `nan`, where `blanks` allows them.

        Raises
        ------
        FormatError
            if there is no such column, or a cell is not a finite number.
        """
        values = np.empty(self.n_rows)
        for row, word in enumerate(self.words(name)):
            value = fortran_number(word)
            if value is None and blanks and word.lower() in ("", "nan"):
                value = np.nan
            if value is None:
                raise FormatError(
                    f"{name} {number_complaint(word)}",
                    file=self.file,
                    line=self.lines[row],
                    value=word,
                    expected="a finite number",
                )
            values[row] = value
        return values

    def run_labels(self, label: str | None, fallback: str) -> list[str]:
        """(n_row,) names of the potentials of a table of `md`: its column `potential`, where there is one.

        Parameters
        ----------
        label
            stands instead of them; before them if there are several
        fallback
            stands where there is neither
        """
        names = list(self.columns.get("potential", ()))
        if not names:
            return [label or fallback] * self.n_rows
        if label is None:
            return names
        return [f"{label}, {name}" for name in names] if len(set(names)) > 1 else [label] * self.n_rows


def write_table(path: str | PathLike[str], names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file as a whole: it is never seen with half a row.

    Raises
    ------
    InputError
        if it cannot be written.
    """
    with atomic_write(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _cells(line: str, number: int, file: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]))]
    except csv.Error as error:
        raise FormatError(str(error), file=file, line=number, expected="cells separated by commas") from None


def read_table(path: str | PathLike[str], required: Sequence[str] = ()) -> Table:
    """Read a CSV file; empty lines and lines that begin with `#` do not count.

    Raises
    ------
    FormatError
        if there are no rows, a row has another number of cells than there are names, a name stands twice, or a
        column of `required` is missing.
    InputError
        if the file cannot be opened.
    """
    file = fsdecode(path)
    # Cells with line breaks are not foreseen: a row is a line
    rows = [
        (number, _cells(line, number, file))
        for number, line in enumerate(decode_lines(read_bytes(path), file), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise FormatError("no column names", file=file, expected="a line of names, separated by commas")
    head_line, names = rows.pop(0)
    for position, name in enumerate(names):
        if not name or name in names[:position]:
            raise FormatError(
                "column without a name" if not name else "column named twice",
                file=file,
                line=head_line,
                value=name,
                expected="different names, separated by commas",
            )
    for number, cells in rows:
        if len(cells) != len(names):
            raise FormatError(
                "row of another length", file=file, line=number, value=len(cells), expected=f"{len(names)} cells"
            )
    if not rows:
        raise FormatError("no rows", file=file, expected="rows below the names")
    table = Table(
        file,
        {name: tuple(cells[place] for _, cells in rows) for place, name in enumerate(names)},
        tuple(number for number, _ in rows),
    )
    for name in required:
        table.words(name)
    return table
