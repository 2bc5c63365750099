"""Records as lines of text: what gfortran's list-directed output makes of them, and reading them back.

The classes stand for `records.RecordReader` and `RecordWriter`, so that the code for the binary formats reads and
writes their text versions too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import chain
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import FormatError
from ...tools.os_errors import explained
from ...tools.plain_text import fortran_integer, fortran_logical, fortran_numbers, number_complaint
from .records import RecordReader, RecordWriter, decode_text, encode_text, printable

_NO_NUMBER = re.compile(r"[./~]*(?!nan|inf)[a-z_].*[a-z]", re.IGNORECASE)
_PACKED_SPECIES = re.compile(r"([A-Z][a-z0-9]?) *")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


_text = import_module("._text", __package__.partition(".")[0])
"""The extension that writes numbers (fortran/api/text_module.c)."""


def list_directed(values: Iterable[float]) -> str:
    """Return doubles as gfortran's ``write(*,*)`` shows them: 17 significant digits, 26 characters each."""
    return str(_text.reals(np.array(list(values), dtype=np.float64), _text.LISTED), "ascii")


def scientific(values: Iterable[float], per_line: int | None = None) -> list[str]:
    """Return doubles as lines of ``(1x,ES24.17)`` items, all on one line or so many on each."""
    text = str(_text.reals(np.array(list(values), dtype=np.float64), _text.SCIENTIFIC), "ascii")
    step = (per_line or max(len(text), 1)) * int(_text.SCIENTIFIC)
    return [text[first : first + step] for first in range(0, len(text), step)]


def atom_lines(
    species: np.ndarray,
    positions: np.ndarray,
    forces: np.ndarray,
    first_value: np.ndarray,
    descriptors: np.ndarray,
    *,
    is_scientific: bool,
) -> bytes:
    """Return five lines for each atom: species from 1, position, force, length of the descriptor, descriptor.

    Parameters
    ----------
    species
        (n_atom,) int32, from 0.
    positions, forces
        (n_atom, 3) float64.
    first_value
        (n_atom + 1,) int64: where the descriptors begin, counted from any place.
    descriptors
        (n_value,) float64 of these atoms.
    is_scientific
        Are descriptors written as (1x,ES24.17) with a blank at the end, or list-directed as all else?
    """
    style = _text.SCIENTIFIC if is_scientific else _text.LISTED
    text: bytes = _text.atoms(species, positions, forces, first_value, descriptors, style)
    return text


class TextRecordReader(RecordReader):
    """Reads one record after the other from lines of text.

    A record begins on a new line; it may go on over several lines, as list-directed input
    allows, but nothing may be left on its last line.

    Parameters
    ----------
    path
        File to read; closed by `close` or at the end of a ``with`` block.

    Raises
    ------
    InputError
        if the file cannot be opened.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        self.position = 1
        """Number of the next line, from 1."""
        with explained("cannot be read", self.path):
            self._stream = open(self.path, "rb")  # noqa: SIM115

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def error(
        self, what: str, at: int | None = None, *, value: object = None, expected: str | None = None
    ) -> FormatError:
        """Return the error for `what` in line `at` (default: the next one)."""
        line = self.position if at is None else at
        return FormatError(what, file=self.path, line=line, value=value, expected=expected)

    def line(self, what: str) -> str:
        """Return the next line without its end.

        Raises
        ------
        FormatError
            if there is none, or it holds binary data.
        """
        with explained("cannot be read", self.path):
            raw = self._stream.readline()
        if not raw:
            raise self.error(f"file ends before {what}")
        if b"\0" in raw:
            raise self.error(f"binary data instead of {what}", expected="a text file")
        self.position += 1
        return raw.decode("utf-8", "surrogateescape").rstrip("\r\n")

    def integers(self, what: str, count: int) -> np.ndarray:
        """Return a record of `count` integers, (count,) int32."""
        at = self.position
        words = self._words(what, count)
        values = []
        for number, word in enumerate(words, start=1):
            value = fortran_integer(word)
            if value is None or not -(2**31) <= value < 2**31:
                which = f"{what}, value {number}" if count > 1 else what
                raise self.error(which, at, value=printable(word), expected="an integer")
            values.append(value)
        return np.array(values, dtype=np.int32)

    def logical(self, what: str) -> bool:
        """Return a record of one logical: T, F, True, False, .true. or .false."""
        at = self.position
        word = self._words(what, 1)[0]
        value = fortran_logical(word)
        if value is None:
            raise self.error(what, at, value=printable(word), expected="T or F")
        return value

    def reals(self, what: str, count: int, finite: bool = True) -> np.ndarray:
        """Return a record of `count` doubles, (count,) float64; NaN and infinity refused if `finite`."""
        at = self.position
        words = self._words(what, count)
        values = fortran_numbers(words)
        for k, word in enumerate(words):
            if values[k] is None:
                values[k] = self._not_finite(f"{what}, value {k + 1}" if count > 1 else what, word, at, finite)
        return np.array(values, dtype=np.float64)

    def text(self, what: str, length: int) -> str:
        """Return a line of at most `length` characters, without the blank in front and those behind."""
        at = self.position
        line = self.line(what)
        text = decode_text(encode_text(line.removeprefix(" ")))
        if len(encode_text(text)) > length:
            raise self.error(f"{what} is too long", at, value=printable(text), expected=f"at most {length} characters")
        return text

    def texts(self, what: str, count: int, length: int) -> tuple[str, ...]:
        """Return a record of `count` strings of at most `length` characters without blanks.

        The species names that ænet's tools write without a blank between them (``TiO``) are
        told apart by their capitals.
        """
        at = self.position
        words: list[str] = []
        while len(words) < count:
            found = self.line(what).split()
            packed = "".join(found)
            if any(len(encode_text(word)) > length for word in found) and not words:
                found = _PACKED_SPECIES.findall(packed)
                if "".join(found) != packed or len(found) != count:
                    raise self.error(
                        what, at, value=printable(packed), expected=f"{count} names with blanks between them"
                    )
            words += found
        if len(words) != count or any(len(encode_text(word)) > length for word in words):
            raise self.error(
                what, at, value=printable(" ".join(words)), expected=f"{count} names of at most {length} characters"
            )
        return tuple(words)

    def end(self) -> None:
        """Check that nothing but blank lines is left."""
        for line in self._stream:
            if line.strip():
                raise self.error(
                    "more lines than expected", value=printable(line.decode("latin-1").strip()), expected="end of file"
                )
            self.position += 1

    def _words(self, what: str, count: int) -> list[str]:
        """Return the words of a record of `count` items."""
        at = self.position
        if count < 1:
            if count < 0:
                raise self.error(what, value=f"a count of {count}", expected="a positive count")
            self.line(what)
            return []
        words = self.line(what).replace(",", " ").split()
        # Text in place of numbers is complained about where it stands, not at the end of the file
        while len(words) < count and not (words and _NO_NUMBER.match(words[0])):
            words += self.line(what).replace(",", " ").split()
        if len(words) > count:
            raise self.error(what, at, value=f"{len(words)} items", expected=f"{count}")
        return words

    def _not_finite(self, what: str, word: str, at: int, finite: bool) -> float:
        if not finite and word.lstrip("+-").lower() in ("nan", "inf", "infinity"):
            return float(word)
        raise self.error(f"{what} {number_complaint(word)}", at, value=printable(word), expected="a finite number")


class TextRecordWriter(RecordWriter):
    """Writes records as gfortran's list-directed output does, one to a line.

    Parameters
    ----------
    stream
        Anything with ``write(bytes)``.
    """

    def line(self, text: str) -> None:
        """Write a line as it stands, but for control characters, which become blanks."""
        self.stream.write(encode_text(_CONTROL.sub(" ", text)) + b"\n")

    def integers(self, *values: int | Iterable[int] | np.ndarray) -> None:
        """Write one record of integers."""
        self.line("".join(f"{value:12d}" for value in _flat(values)))

    def reals(self, *values: float | Iterable[float] | np.ndarray) -> None:
        """Write one record of doubles."""
        self.line(list_directed(_flat(values)))

    def logical(self, value: bool) -> None:
        """Write one logical."""
        self.line(" T" if value else " F")

    def text(self, value: str, length: int) -> None:
        """Write one record of `length` characters, padded with blanks or cut."""
        self.line(" " + encode_text(value, length).decode("utf-8", "surrogateescape"))

    def texts(self, values: Sequence[str], length: int) -> None:
        """Write one record of several strings of `length` characters, each after a blank."""
        self.line("".join(f" {value:{length}}" for value in values))


def _flat(values: tuple[Any, ...]) -> list[Any]:
    return list(chain.from_iterable(np.asarray(value).ravel().tolist() for value in values))
