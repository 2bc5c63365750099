"""A keyword file as a document: its lines with content, and where the reader stands among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

from ..errors import FormatError, InputError
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import explained
from .words import Line

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Located:
    """A value and the number of the line it comes from, from 1."""

    value: Any
    line: int


@dataclass(frozen=True)
class FileEntry:
    """A structure file, or a pattern for several, as named in a list such as FILES."""

    path: str
    """As written, relative to the current working directory (ænet)."""
    line: int | None = field(default=None, compare=False)
    """Line of the input file, from 1, for messages."""

    def __post_init__(self) -> None:
        if not self.path.strip() or "\n" in self.path:
            raise InputError("not a file name", value=self.path, expected="a path or a pattern")


def as_entries(files: Iterable[FileEntry | str]) -> tuple[FileEntry, ...]:
    """Return `files` with plain strings made entries."""
    return tuple(file if isinstance(file, FileEntry) else FileEntry(file) for file in files)


class Document:
    """The content lines of a keyword file and a position among them.

    Parameters
    ----------
    file
        Name of the file, for messages.
    text
        Its content.
    keywords
        Upper-case names that open a keyword line.
    """

    def __init__(self, file: str, text: str, keywords: Iterable[str]) -> None:
        self.file = file
        self.keywords = tuple(keywords)
        self._lines: list[Line] = []
        self._position = 0
        blank = False
        self._raw = re.split(r"\r\n|\r|\n", text)
        for number, raw in enumerate(self._raw, start=1):
            stripped = raw.strip()
            if not stripped:
                blank = True
            elif stripped[0] not in "!#%":
                self._lines.append(Line(file, number, stripped, blank))
                blank = False

    def peek(self) -> Line | None:
        """Return the next line without taking it; None at the end."""
        return self._lines[self._position] if self._position < len(self._lines) else None

    def take(self) -> Line:
        """Return the next line, which must exist, and move past it."""
        self._position += 1
        return self._lines[self._position - 1]

    def take_verbatim(self, end: str) -> list[str] | None:
        """Take all that stands below the line taken last, up to a line with `end`; None if there is no such line."""
        first = self._lines[self._position - 1].number
        last = next((k for k, raw in enumerate(self._raw) if k >= first and end in raw.lower()), None)
        if last is None:
            return None
        while (line := self.peek()) is not None and line.number <= last + 1:
            self.take()
        return self._raw[first:last]

    def opens_keyword(self, line: Line) -> bool:
        """Whether the first word of `line` is a keyword, and not the key of an option."""
        name, *rest = line.text.split(None, 1)
        return name.upper() in self.keywords and not (rest and rest[0].startswith("="))

    def at_keyword_or_end(self) -> bool:
        """Whether nothing is left before the next keyword."""
        line = self.peek()
        return line is None or self.opens_keyword(line)

    def take_block(self, *, until_blank: bool) -> list[Line]:
        """Take lines up to the next keyword or, with `until_blank`, a blank line within."""
        block: list[Line] = []
        while not self.at_keyword_or_end():
            line = self.peek()
            assert line is not None
            if until_blank and block and line.after_blank:
                break
            block.append(self.take())
        return block


def read_text(path: str | PathLike[str]) -> str:
    """Return the text of a file; bytes that are not UTF-8 survive as surrogates (file names).

    Raises
    ------
    InputError
        if the file cannot be read.
    FormatError
        if it is empty or binary.
    """
    file = fspath(path)
    with explained("cannot be read", file, "a text file"), open(path, "rb") as stream:
        head = stream.read(4096)
        if b"\0" in head:
            # Say so before reading the rest: this may be a training set of many GB.
            raise FormatError("binary file", file=file, expected="a text file with keywords")
        raw = head + stream.read()
    if not raw.strip():
        raise FormatError("empty file", file=file, expected="a text file with keywords")
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    match = _BINARY.search(text)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        raise FormatError("control character", file=file, line=line, value=match[0], expected="a text file")
    return text


def write_text(path: str | PathLike[str], text: str) -> None:
    """Write a text file so that :func:`read_text` returns `text`.

    Raises
    ------
    InputError
        if it cannot be written.
    """
    with atomic_write(path, "wb") as stream:
        stream.write(text.encode("utf-8", errors="surrogateescape"))
