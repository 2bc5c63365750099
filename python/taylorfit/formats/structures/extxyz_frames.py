"""Reading XYZ and extended XYZ: every key in whatever case is read or refused, never dropped."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import IO, Any, NoReturn, TypeAlias

import numpy as np

from ...errors import FormatError, InputError
from ...model.elements import SYMBOLS
from ...tools.compressed import DAMAGED, opened
from ...tools.plain_text import value_complaint, without_mark
from .frames import Frame
from .number_columns import number_columns

_PAIR = re.compile(
    r"\s*(?P<key>\"[^\"]*\"|'[^']*'|[^\s=,\"']+)"
    r"(?:\s*=\s*(?P<value>\"(?:\\.|[^\"\\])*\"|'[^']*'|\{[^}]*\}|\[.*?\](?=\s|,|$)|[^\s,\"'][^\s\"']*)|(?=[\s,]|$))[\s,]*"
)
_COLUMN = re.compile(r"([^:]+):([RSIL]):([0-9]{1,4})")
_CELL_KEYS = ("lattice", "cell", "unit_cell", "box")
_PBC_KEYS = ("pbc", "periodic", "periodicity")
_BOOLEAN = {**dict.fromkeys(("t", "true", ".true.", "1"), True), **dict.fromkeys(("f", "false", ".false.", "0"), False)}
_SPECIES_COLUMNS = ("species", "symbol", "symbols", "element", "elements")
_NUMBER_COLUMNS = ("z", "numbers", "atomic_numbers")
_POSITION_COLUMNS = ("pos", "position", "positions")
_ELEMENTS = frozenset(SYMBOLS[1:])
_Columns: TypeAlias = "tuple[tuple[str, str, int], ...]"
"""Name, kind (R, S, I, L) and width of each column."""


def read_extxyz_frames(path: str) -> Iterator[Frame]:
    """Yield the frames of an XYZ file, plain or extended, perhaps compressed (.gz, .bz2, .xz).

    Raises
    ------
    FormatError
        with file and line, if anything in it cannot be understood.
    InputError
        if the file cannot be read.
    """
    with _opened(path) as stream:
        lines = _Lines(stream, path)
        n_frames = 0
        while (frame := _frame(lines)) is not None:
            yield frame
            n_frames += 1
    if n_frames == 0:
        raise FormatError("no structures", file=path, expected="at least one frame")


def scan_keys(path: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the keys and the columns of each frame without reading its atoms."""
    with _opened(path) as stream:
        lines = _Lines(stream, path)
        while (n_atoms := lines.count()) is not None:
            pairs = _pairs(lines.next() or "", path, lines.number)
            columns = next((value for key, value in pairs if key.lower() == "properties"), "")
            lines.some(n_atoms)
            yield [key for key, _ in pairs], str(columns).strip("\"'").split(":")[::3]


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    try:
        with opened(path) as stream:
            head = stream.read(4)
            if without_mark(head) != head:  # the whole file in another encoding, or with a mark: rare and small
                yield io.StringIO(without_mark(head + stream.read()).decode("utf-8", "replace"))
                return
            stream.seek(0)
            yield io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
    except DAMAGED as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path) from None


class _Lines:
    """The lines of a file, counted."""

    def __init__(self, stream: IO[str], path: str) -> None:
        self._stream = stream
        self.path = path
        self.number = 0
        self._ahead: str | None = None

    def next(self) -> str | None:
        """The next line, without its end; None at the end of the file."""
        line, self._ahead = self._ahead or self._stream.readline(), None
        self.number += bool(line)
        return line.rstrip("\r\n") if line else None

    def vector(self) -> list[float] | None:
        """The numbers of the next line if that is a lattice vector below the atoms (`VEC1 4.0 0 0`)."""
        self._ahead = self._ahead or self._stream.readline()
        if not self._ahead.lstrip().startswith("VEC"):
            return None
        line = self.next() or ""
        try:
            numbers = [float(word) for word in line.split()[1:]]
        except ValueError:
            numbers = []
        if len(numbers) != 3:
            self.fail("no lattice vector", self.number, line, "VEC1 and three numbers")
        return numbers

    def some(self, n: int) -> list[str]:
        """The next `n` lines, with their ends, or those up to the end of the file."""
        ahead, self._ahead = [self._ahead] if self._ahead and n else [], None if n else self._ahead
        found = [*ahead, *islice(self._stream, n - len(ahead))]
        self.number += len(found)
        return found

    def count(self) -> int | None:
        """Number of atoms of the next frame; None if there is none.

        ASE drops everything after a blank line, and would count to any number of atoms that a damaged file asks for.
        """
        blank = 0
        while (line := self.next()) is not None:
            word = line.strip()
            if not word:
                blank = blank or self.number
                continue
            if word.startswith("VEC"):  # scan_keys comes by
                continue
            if blank:
                self.fail("blank line between frames (what follows would be lost)", blank, None, "no blank line there")
            if not (word.isascii() and word.isdigit()) or len(word) > 9:
                self.fail("no number of atoms", self.number, word, "a line with the number of atoms of the frame")
            return int(word)
        return None

    def fail(self, message: str, line: int, value: object, expected: str) -> NoReturn:
        """Refuse the file."""
        raise FormatError(message, file=self.path, line=line, value=value, expected=expected)


def _frame(lines: _Lines) -> Frame | None:
    n_atoms = lines.count()
    if n_atoms is None:
        return None
    start = lines.number
    comment = lines.next()
    pairs = [] if comment is None else _pairs(comment, lines.path, lines.number)
    rows = list(map(str.split, lines.some(n_atoms)))
    if comment is None or len(rows) < n_atoms:
        lines.fail(f"truncated frame: {len(rows)} of {n_atoms} atoms", start, None, f"{n_atoms} atom lines")
    info: dict[str, Any] = {}
    header = _Header(pairs, lines, start + 1)
    for key, text in header.rest:
        info[key] = True if text is None else _value(text, key, lines, start + 1)
    table = _Table(header.columns, rows, lines, start + 2)
    cell, pbc = header.cell, header.pbc
    vectors: list[list[float]] = []
    while len(vectors) < 3 and (vector := lines.vector()) is not None:
        vectors.append(vector)
    if vectors and cell is None:
        n = len(vectors)
        cell, pbc = np.array(vectors + [[0.0] * 3] * (3 - n)), (n > 0, n > 1, n > 2)
    if cell is None:
        cell, pbc = np.zeros((3, 3)), pbc or (False,) * 3
    return Frame(
        symbols=table.symbols(),
        positions=table.positions(),
        cell=cell,
        pbc=pbc if pbc is not None else (True,) * 3,
        info=info,
        columns=table.rest(),
        fixed=table.fixed(),
        line=start + 1,
    )


def _pairs(comment: str, path: str, number: int) -> list[tuple[str, str | None]]:
    """Split the second line of a frame into keys and values; a word without a value has None.

    A line without any `=` is free text, whose words are kept, for they may name a unit.
    """
    pairs: list[tuple[str, str | None]] = []
    position = 0
    text = comment.strip()
    for match in _PAIR.finditer(text):
        if match.start() != position:
            break
        key, value = match.groups()
        pairs.append((key.strip("\"'"), value))
        position = match.end()
    if position < len(text) and "=" in text:
        raise FormatError(
            "cannot be understood as key=value",
            file=path,
            line=number,
            value=text[position:],
            expected='pairs such as energy=-1.5 Lattice="4 0 0 0 4 0 0 0 4"',
        )
    return pairs


class _Header:
    """Cell, periodicity and columns, and the other keys of a frame."""

    def __init__(self, pairs: list[tuple[str, str | None]], lines: _Lines, number: int) -> None:
        self._lines = lines
        self._number = number
        self.rest: list[tuple[str, str | None]] = []
        given: dict[str, str] = {}
        seen: dict[str, str | None] = {}
        misspelt: list[tuple[str, str]] = []
        for key, value in pairs:
            lower = key.lower()
            if value is not None and lower in seen and seen[lower] != value:
                self._fail(
                    "key given twice with different values", f"{key}={seen[lower]} {key}={value}", "one of the two"
                )
            seen[lower] = value
            name = _NAME_OF.get(lower)
            if name is None or value is None:
                self.rest.append((key, value))
                if value is not None:
                    misspelt.append((key, value))
            elif given.get(name, value) != value:
                self._fail(f"two keys for {name}", f"{key}={value}", "one")
            else:
                given[name] = value
        for key, value in misspelt:
            for name, looks_like in _LOOKS.items():
                if name not in given and looks_like(key.lower(), value):
                    self._fail(f"{name} under an unknown key", f"{key}={value}", " or ".join(_NAMES[name]))
        self.cell = self._cell(given.get("the cell"))
        self.pbc = self._pbc(given.get("the periodicity"))
        self.columns = self._columns(given.get("the columns"))

    def _cell(self, value: str | None) -> np.ndarray | None:
        if value is None:
            return None
        numbers = _numbers(value)
        if numbers is None or len(numbers) != 9:
            self._fail("no cell", value, 'nine numbers, such as Lattice="4 0 0 0 4 0 0 0 4"')
        return np.reshape(numbers, (3, 3))

    def _pbc(self, value: str | None) -> tuple[bool, bool, bool] | None:
        if value is None:
            return None
        words = _truths(value)
        if len(words) == 1 and words[0] is not None:
            words *= 3
        if len(words) != 3 or None in words:
            self._fail("no periodicity", value, 'pbc="T T F" or the like')
        return bool(words[0]), bool(words[1]), bool(words[2])

    def _columns(self, value: str | None) -> _Columns:
        columns = _columns("species:S:1:pos:R:3" if value is None else value)
        if columns is None:
            self._fail("columns cannot be understood", value or "", "Properties=species:S:1:pos:R:3:forces:R:3")
        return columns

    def _fail(self, message: str, value: str, expected: str) -> NoReturn:
        self._lines.fail(message, self._number, value, expected)


_NAMES = {"the cell": _CELL_KEYS, "the periodicity": _PBC_KEYS, "the columns": ("properties",)}
_NAME_OF = {key: name for name, keys in _NAMES.items() for key in keys}


@lru_cache(maxsize=64)  # frames of a file mostly agree in what follows
def _columns(value: str) -> _Columns | None:
    """Name, kind and width of each column; None if that cannot be understood."""
    parts = value.strip("\"'").split(":")
    matches = [_COLUMN.fullmatch(":".join(parts[i : i + 3])) for i in range(0, len(parts), 3)]
    found = tuple([(match[1], match[2], int(match[3])) for match in matches if match is not None])
    return found if len(found) == len(matches) else None


@lru_cache(maxsize=64)
def _place(columns: _Columns, names: tuple[str, ...]) -> int | None:
    """Where the first column with one of these names begins."""
    place = 0
    for name, _, n in columns:
        if name.lower() in names:
            return place
        place += n
    return None


@lru_cache(maxsize=64)
def _neighbours(columns: _Columns, place: int) -> tuple[int, int]:
    """Begin and end of the columns of numbers that stand side by side, among which is the one at this place."""
    begin = end = 0
    for _, kind, n in columns:
        if kind not in "RI" and end != place:
            if end > place:
                break
            begin = end + n
        end += n
    return begin, end


@lru_cache(maxsize=64)
def _truths(value: str) -> tuple[bool | None, ...]:
    return tuple([_BOOLEAN.get(word) for word in re.sub(r"[\[\]{}\"',]", " ", value).lower().split()])


def _looks_like_a_cell(key: str, value: str) -> bool:
    return re.search("lattice|cell|box|vectors", key) is not None and len(_numbers(value) or ()) == 9


def _looks_like_columns(key: str, value: str) -> bool:
    return re.fullmatch(r"(?:[^:]+:[RSIL]:[0-9]+(?::|$)){2,}", value.strip("\"'")) is not None


def _looks_like_periodicity(key: str, value: str) -> bool:
    words = re.sub(r"[\[\]{}\"',]", " ", value).lower().split()
    known = {*_BOOLEAN, "p", "pp", "s", "ss", "ff", "m", "none", "full"}
    return re.search("pbc|periodic|boundar", key) is not None and known.issuperset(words)


_LOOKS = {
    "the cell": _looks_like_a_cell,
    "the periodicity": _looks_like_periodicity,
    "the columns": _looks_like_columns,
}
"""What would silently be lost under a key in another spelling."""


@dataclass
class _Table:
    """The atom lines of a frame, by columns."""

    columns: _Columns
    words: list[list[str]]
    lines: _Lines
    start: int
    _converted: dict[tuple[int, int], np.ndarray | None] = field(default_factory=dict)
    """Neighbouring columns of numbers, by begin and end."""

    def __post_init__(self) -> None:
        width = sum(n for _, _, n in self.columns)
        if min(map(len, self.words), default=width) >= width:
            return
        for number, row in enumerate(self.words):
            if len(row) < width:
                self._fail(number, f"atom {number + 1} has {len(row)} columns", " ".join(row), f"{width} columns")

    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols, also from atomic numbers."""
        place = self._place(_SPECIES_COLUMNS)
        place = self._place(_NUMBER_COLUMNS) if place is None else place
        if place is None:
            self.lines.fail("no column with the species", self.start - 1, self._names(), "species:S:1")
        words = [row[place] for row in self.words]
        are_numbers = place == self._place(_NUMBER_COLUMNS)
        known: dict[str, str] = {}
        for word in dict.fromkeys(words):
            symbol = word.capitalize()
            if are_numbers and word.isascii() and word.isdigit() and 0 < int(word) < len(SYMBOLS):
                symbol = SYMBOLS[int(word)]
            elif word.isdigit():
                # Mostly a type of LAMMPS
                number = words.index(word)
                expected = "chemical symbols, or atomic numbers in a column Z:I:1"
                self._fail(number, f"atom {number + 1} has a number, perhaps a type, for an element", word, expected)
            if symbol not in _ELEMENTS:
                number = words.index(word)
                self._fail(number, f"unknown element of atom {number + 1}", word, "a chemical symbol")
            known[word] = symbol
        return tuple([known[word] for word in words])

    def positions(self) -> np.ndarray:
        """(n_atom, 3) positions."""
        place = self._place(_POSITION_COLUMNS)
        if place is None:
            self.lines.fail("no column with the positions", self.start - 1, self._names(), "pos:R:3")
        return self._reals(place, 3, "position")

    def rest(self) -> dict[str, np.ndarray]:
        """The other columns with numbers."""
        found: dict[str, np.ndarray] = {}
        place = 0
        for name, kind, n in self.columns:
            if kind in "RI" and name.lower() not in _POSITION_COLUMNS:
                values = self._reals(place, n, name)
                if name in found:
                    self.lines.fail("column given twice", self.start - 1, name, "each once")
                found[name] = values[:, 0] if n == 1 else values
            place += n
        return found

    def fixed(self) -> np.ndarray | None:
        """(n_atom, 3) components that `move_mask` (ASE: T moves) fixes; None if there are none."""
        place = 0
        for name, _, n in self.columns:
            if name.lower() == "move_mask":
                words = [[_BOOLEAN.get(word.lower()) for word in row[place : place + n]] for row in self.words]
                if n not in (1, 3) or any(word is None for row in words for word in row):
                    self.lines.fail("move_mask is not T or F", self.start - 1, f"{name}:{n}", "move_mask:L:1 or L:3")
                fixed = ~np.broadcast_to(np.array(words, dtype=bool), (len(words), 3))
                return fixed if fixed.any() else None
            place += n
        return None

    def _place(self, names: tuple[str, ...]) -> int | None:
        return _place(self.columns, names)

    def _reals(self, place: int, n: int, what: str) -> np.ndarray:
        # Columns of numbers that stand side by side are converted together
        begin, end = side = _neighbours(self.columns, place)
        if side not in self._converted:
            self._converted[side] = self._numbers(begin, end)
        together = self._converted[side]
        own = self._numbers(place, place + n) if together is None else together[:, place - begin : place - begin + n]
        if own is not None:
            return own
        for number, row in enumerate(self.words):
            for word in row[place : place + n]:
                try:
                    float(word)
                except ValueError:
                    complaint = value_complaint(word)
                    self._fail(number, f"{what} of atom {number + 1} {complaint}", word, "a number")
                if "_" in word:
                    self._fail(number, f"{what} of atom {number + 1} is not a number", word, "a number")
        raise AssertionError("one of the words is no number")

    def _numbers(self, begin: int, end: int) -> np.ndarray | None:
        """(n_atom, end - begin) numbers of some columns; None if one of the words is none."""
        numbers = number_columns(self.words, begin, end)
        if numbers is not None:
            return numbers
        words = [word for row in self.words for word in row[begin:end]]
        try:
            if "_" not in "".join(words):  # float() also takes 1_000
                return np.fromiter(map(float, words), np.float64, len(words)).reshape(len(self.words), end - begin)
        except ValueError:
            pass
        return None

    def _names(self) -> str:
        return ":".join(name for name, _, _ in self.columns)

    def _fail(self, atom: int, message: str, value: str, expected: str) -> NoReturn:
        self.lines.fail(message, self.start + atom, value, expected)


def _numbers(text: str) -> list[float] | None:
    """The numbers of a value, in brackets or not; None if they are others."""
    inner = text.strip("\"'")
    bracketed = inner[:1] in "[{"
    words = re.sub(r"[\[\]{}]", " ", inner)
    words = re.sub(r",(?=\s)|,$", " ", words) if not bracketed and "." not in words else words.replace(",", " ")
    try:
        return [float(word) for word in words.split()]
    except ValueError:
        return None


def _value(text: str, key: str, lines: _Lines, number: int) -> Any:
    """A value as number, array of numbers, boolean or text."""
    numbers = _numbers(text)
    if numbers:
        return numbers[0] if len(numbers) == 1 else np.array(numbers)
    plain = text.strip("\"'")
    if value_complaint(plain) == "has a decimal comma":
        lines.fail(f"{key} has a decimal comma", number, plain, "a decimal point")
    if key.lower() not in ("energy", "free_energy"):
        return _BOOLEAN.get(plain.lower(), plain)
    return plain
