"""Reading `ML_AB` and `ML_ABN`, the structures that VASP trains its own force fields on: eV and Å."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from ...errors import FormatError
from ...model.elements import SYMBOLS
from ...tools.plain_text import decode_lines, fortran_number, read_bytes
from .frames import Frame

_RULE = re.compile(r"\s*([*=-])\1{9,}\s*")
_ENERGY, _FORCES, _POSITIONS = "Total energy (eV)", "Forces (eV ang.^-1)", "Atomic positions (ang.)"
_CELL, _TYPES, _STRESS = "Primitive lattice vectors (ang.)", "Atom types and atom numbers", "Stress (kbar)"
_Rows = list[tuple[int, list[str]]]
"""Line number and words of each line of a section."""


def read_ml_ab_frames(path: str, tell: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the configurations of an `ML_AB`.

    Stresses are left out, as their sign is documented nowhere and converters take it either way.

    Raises
    ------
    FormatError
        with file and line, if a section is missing or cannot be understood.
    """
    n_frames = 0
    for line, sections in _configurations(decode_lines(read_bytes(path), path)):
        if _STRESS in sections and not n_frames:
            tell("stresses of ML_AB are left out: their sign is not documented")
        yield _frame(path, line, sections)
        n_frames += 1
    if n_frames == 0:
        raise FormatError("no structures", file=path, expected="sections 'Configuration num.'")


def _configurations(lines: list[str]) -> Iterator[tuple[int, dict[str, _Rows]]]:
    """The first line (from 1) of each configuration, and its sections by their titles."""
    start, sections, rows = 0, dict[str, _Rows](), _Rows()
    for number, line in enumerate(lines, start=1):
        if line.split()[:2] == ["Configuration", "num."]:
            if start:
                yield start, sections
            start, sections, rows = number, {}, []
        elif (rule := _RULE.fullmatch(line)) is None:
            rows.append((number, line.split()))
        elif rule[1] == "-" and rows:
            # What stands above it is the title of what follows
            title, rows = " ".join(rows[-1][1]), _Rows()
            sections.setdefault(title, rows)
        else:
            rows = []
    if start:
        yield start, sections


def _frame(path: str, line: int, sections: dict[str, _Rows]) -> Frame:
    for title in (_TYPES, _CELL, _POSITIONS, _ENERGY, _FORCES):
        if not sections.get(title):
            raise FormatError("a configuration without a section", file=path, line=line, expected=title)
    symbols: list[str] = []
    for number, words in sections[_TYPES]:
        symbol = words[0].split("_")[0] if words else ""
        if len(words) != 2 or symbol not in SYMBOLS[1:] or not words[1].isdigit():
            raise FormatError(
                "not a type of atoms", file=path, line=number, value=" ".join(words), expected="an element and a number"
            )
        symbols += [symbol] * min(int(words[1]), len(sections[_POSITIONS]) + 1)
    n_atoms = len(symbols)
    return Frame(
        tuple(symbols),
        _table(path, sections[_POSITIONS], _POSITIONS, n_atoms, 3),
        _table(path, sections[_CELL], _CELL, 3, 3),
        (True, True, True),
        {"energy": float(_table(path, sections[_ENERGY], _ENERGY, 1, 1)[0, 0])},
        {"forces": _table(path, sections[_FORCES], _FORCES, n_atoms, 3)},
        line=line,
    )


def _table(path: str, rows: _Rows, title: str, n_rows: int, n_columns: int) -> np.ndarray:
    """The numbers of a section, (n_rows, n_columns)."""
    values = np.empty((n_rows, n_columns))
    for k in range(n_rows):
        number, words = rows[k] if k < len(rows) else (rows[-1][0], [])
        numbers = [fortran_number(word) for word in words]
        if len(numbers) != n_columns or None in numbers:
            raise FormatError(
                f"{title}: not {n_columns} numbers",
                file=path, line=number, value=" ".join(words), expected=f"{n_rows} lines of {n_columns} numbers",
            )  # fmt: skip
        values[k] = numbers
    if len(rows) > n_rows:
        raise FormatError(f"{title}: too many lines", file=path, line=rows[n_rows][0], expected=f"{n_rows} lines")
    return values
