"""A keyword file as a document: its lines with content, their words and options, and where the reader stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, NamedTuple, NoReturn, TypeVar

from ..errors import FormatError, InputError
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import explained
from ..tools.plain_text import fortran_integer, fortran_logical, fortran_number, number_complaint

T = TypeVar("T")

_QUOTED = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'"
_WORD = re.compile(rf"\s*(?:(?P<comment>[!#%].*)|(?P<quoted>{_QUOTED})(?=\s|$)|(?P<plain>[^\s\"'!#%]\S*))")
_OPTION = re.compile(
    r"\s*(?:(?P<comment>[!#%].*)"
    rf"|(?P<key>[^\s=\"'!#%][^\s=\"']*)\s*=\s*(?P<value>{_QUOTED}|[^\s=\"'!#%][^\s=\"']*)(?=\s|$)"
    r"|(?P<bare>[^\s=\"'!#%][^\s=\"']*)(?=\s|$))"
)
_SPECIES_LENGTH = 2


class Line(NamedTuple):
    """A line with content: neither blank nor a comment."""

    file: str
    number: int
    """Counted from 1."""
    text: str
    """Without leading and trailing blanks."""
    after_blank: bool
    """Is there a blank line between this line and the content before it?"""

    @property
    def keyword(self) -> str:
        """The first word, as written."""
        return self.text.split(None, 1)[0]

    def behind_keyword(self) -> Iterator[Word]:
        """Yield the words after the first; see `words`."""
        words = self.words()
        next(words)
        yield from words

    def words(self) -> Iterator[Word]:
        """Yield the words up to a comment; quoted words may hold blanks.

        Raises
        ------
        FormatError
            on reaching a quote that is not closed.
        """
        position = 0
        while position < len(self.text):
            match = _WORD.match(self.text, position)
            if match is None:
                self.fail("quote not closed", self.text[position:], "a closing quote, then a blank")
            if match["comment"] is not None:
                return
            quoted = match["quoted"] is not None
            yield Word(_unquote(match["quoted"] or match["plain"]), self, quoted)
            position = match.end()

    def options(self) -> Iterator[tuple[str, Word]]:
        """Yield the ``key=value`` options up to a comment; a bare word has an empty key.

        Blanks around ``=`` are allowed; a value with blanks or ``=`` must be quoted.

        Raises
        ------
        FormatError
            on reaching something else.
        """
        position = 0
        while position < len(self.text):
            match = _OPTION.match(self.text, position)
            if match is None:
                self.fail("not an option", self.text[position:].strip(), "key=value")
            if match["comment"] is not None:
                return
            token = match["bare"] or match["value"]
            yield match["key"] or "", Word(_unquote(token), self, token[0] in "\"'")
            position = match.end()

    def fail(self, message: str, value: object = None, expected: str | None = None) -> NoReturn:
        """Raise a FormatError that names this line."""
        raise FormatError(message, file=self.file, line=self.number, value=value, expected=expected)


class Word(NamedTuple):
    """A word of a line, without its quotes."""

    text: str
    line: Line
    quoted: bool = False

    def fail(self, message: str, expected: str | None = None) -> NoReturn:
        """Raise a FormatError that shows this word and names its line."""
        self.line.fail(message, self.text, expected)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what to expect instead of `name`: the nearest of `known`, else all of them."""
    from difflib import get_close_matches

    by_lower = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower()[:80], by_lower, n=1)
    if near:
        return f"{by_lower[near[0]]} (did you mean that?)"
    return "one of " + " ".join(by_lower.values())


def _converter(read: Callable[[str], T | None], complain: Callable[[str], str], expected: str) -> Callable[[Word], T]:
    """Return the conversion of a word by `read`; it raises a FormatError where that returns None."""

    def convert(word: Word) -> T:
        value = read(word.text)
        if value is None:
            word.fail(complain(word.text), expected)
        return value

    return convert


integer = _converter(fortran_integer, lambda text: "is not an integer", "an integer")
real = _converter(fortran_number, number_complaint, "a number such as 0.01 or 1.0d-2")
logical = _converter(fortran_logical, lambda text: "not a logical", ".true. or .false.")


def text(word: Word) -> str:
    """Return the word as it is, e.g. for a file name; raises FormatError when empty."""
    if not word.text.strip():
        word.fail("empty name", "a name")
    return word.text


def choice(*allowed: str) -> Callable[[Word], str]:
    """Return a conversion to one of the lower-case names `allowed`."""

    def convert(word: Word) -> str:
        if word.text.lower() not in allowed:
            word.fail("unknown value", suggestion(word.text, allowed))
        return word.text.lower()

    return convert


def species_name(word: Word) -> str:
    """Return a species name of one or two characters; raises FormatError."""
    if not 1 <= len(word.text.strip()) <= _SPECIES_LENGTH:
        word.fail("not a species", "a name of one or two characters")
    return word.text


def _unquote(token: str) -> str:
    if token[0] in "\"'":
        return token[1:-1].replace(token[0] * 2, token[0])
    return token


_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


class Located(NamedTuple):
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
