"""The keyword files of ænet (generate.in, train.in, predict.in): lines, words, options, blocks.

Each kind of file is a table of :class:`Keyword`; :func:`read_keyword_file` walks the lines
once, hands each keyword the document so that it consumes its own block, and builds the
frozen dataclass.  Unlike ænet, nothing is ignored silently: an unknown keyword, a keyword
given twice and a count that disagrees with its list are errors.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, TypeVar

from ..errors import FormatError, InputError
from ..tools.atomic_write import atomic_write
from .words import Line, Word, suggestion

T = TypeVar("T")

VERBOSITIES = ("low", "normal", "high")

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


class FieldError(InputError):
    """A field of an input dataclass has a value that cannot be used."""

    def __init__(self, field: str, message: str, value: object = None, expected: str | None = None) -> None:
        super().__init__(message, value=value, expected=expected)
        self.field = field


def require(condition: bool, field: str, message: str, value: object = None, expected: str | None = None) -> None:
    """Raise a :class:`FieldError` unless `condition` holds."""
    if not condition:
        raise FieldError(field, message, value, expected)


def require_one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    """Raise a :class:`FieldError` unless `value` is one of `allowed`."""
    require(value in allowed, field, f"unknown {field}", value, "one of " + " ".join(allowed))


def require_distinct_species(field: str, symbols: Sequence[str]) -> None:
    """Raise a :class:`FieldError` unless all species differ and have one or two characters."""
    seen: set[str] = set()
    for symbol in symbols:
        require(len(symbol) in (1, 2), field, "not a species", symbol, "one or two characters")
        require(symbol not in seen, field, "species given twice", symbol, "each species once")
        seen.add(symbol)


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
        for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
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


@dataclass(frozen=True)
class Keyword:
    """A keyword of an input file.

    Parameters
    ----------
    field
        Field of the dataclass it fills.
    read
        Called with the document (just past the keyword's line) and that line.
    help
        One line: what follows the keyword, what it means, the default in parentheses.
    """

    field: str
    read: Callable[[Document, Line], Any]
    help: str


@dataclass(frozen=True)
class Option:
    """A ``key=value`` option: the field it fills, the conversion, and one line of help."""

    field: str
    convert: Callable[[Word], Any]
    help: str


def describe(table: Mapping[str, Keyword] | Mapping[str, Option], indent: str = "  ") -> str:
    """Return the help lines of a table of keywords or options, for ``--help``."""
    width = max(map(len, table))
    return "\n".join(f"{indent}{name:{width}}  {entry.help}" for name, entry in table.items())


def read_keyword_file(path: str | PathLike[str], table: Mapping[str, Keyword], cls: type[T]) -> T:
    """Read a keyword file into the dataclass `cls`.

    Raises
    ------
    InputError
        if the file cannot be read, a keyword is unknown, given twice or missing, or a
        value cannot be used.
    FormatError
        if the file is not text or a line is malformed.
    """
    file = fspath(path)
    document = Document(file, read_text(path), table)
    if document.peek() is None:
        raise FormatError("empty file", file=file, expected=f"keywords such as {next(iter(table))}")
    found: dict[str, Located] = {}
    while document.peek() is not None:
        line = document.take()
        name = line.text.split()[0]
        keyword = table.get(name.upper())
        if keyword is None:
            raise InputError(
                "unknown keyword", file=file, line=line.number, value=name, expected=suggestion(name, table)
            )
        if keyword.field in found:
            raise InputError(
                f"{name.upper()} given twice, first on line {found[keyword.field].line}",
                file=file,
                line=line.number,
                value=line.text,
                expected="one of the two",
            )
        found[keyword.field] = Located(keyword.read(document, line), line.number)
    names = {keyword.field: name for name, keyword in table.items()}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        no_default = item.default is dataclasses.MISSING
        if no_default and item.default_factory is dataclasses.MISSING and item.name not in found:
            raise InputError(f"{names[item.name]} is missing", file=file, expected=names[item.name])
    return build(cls, found, file)


def build(cls: Callable[..., T], values: Mapping[str, Located], file: str, line: int | None = None) -> T:
    """Construct `cls`, giving errors of its validation the place where the value stands.

    Raises
    ------
    InputError
        if `cls` refuses a value.
    """
    try:
        return cls(**{name: located.value for name, located in values.items()})
    except FieldError as error:
        if error.field in values:
            line = values[error.field].line
        raise InputError(error.message, file=file, line=line, value=error.value, expected=error.expected) from None


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
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
            if b"\0" in head:
                # Say so before reading the rest: this may be a training set of many GB.
                raise FormatError("binary file", file=file, expected="a text file with keywords")
            raw = head + stream.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read ({reason})", file=file, expected="a text file") from None
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
