"""Kinds of values: how a word, or what stands after a keyword, becomes a value, and how it is written back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..tools.plain_text import fortran_number
from .document import Document
from .words import Line, Word, choice, integer, logical, real, text

if TYPE_CHECKING:
    from .option import Option


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Parameters
    ----------
    what
        What is expected where nothing stands, e.g. "a number".
    convert
        Makes a value of a word, or raises a FormatError.
    write
        Makes the text of a value: one word, or the lines of a block.
    form
        What a line of help shows for the value behind a keyword.
    names
        The names that are allowed, with their meaning or ""; empty: anything that `convert` takes.
    reader
        Reads what stands after a keyword; None: a single word on its line.
    is_block
        Does it stand on the lines below the keyword?
    tables
        Title → options, for values that have options themselves.
    """

    what: str
    convert: Callable[[Word], Any] = text
    write: Callable[[Any], str] = str
    form: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    reader: Callable[[Document, Line], Any] | None = None
    is_block: bool = False
    tables: Callable[[str], Mapping[str, Mapping[str, Option]]] = lambda key: {}

    def read(self, document: Document, line: Line) -> Any:
        """Read what stands after the keyword of `line`.

        As in ænet a remark may follow a value (``ITERATIONS 1000 epochs``); a second number, an
        assignment or another keyword is refused, for ænet would lose it silently.

        Raises
        ------
        FormatError
            if it is missing or malformed.
        """
        if self.reader is not None:
            return self.reader(document, line)
        words = after_keyword(line)
        word = next(words, None)
        if word is None:
            line.fail(f"{line.text.split()[0]} without a value", expected=self.what)
        converted = self.convert(word)
        _refuse_second_value(document, words)
        return converted

    def lines(self, key: str, value: Any) -> str:
        """Return the lines of a keyword with its value."""
        return f"{key}{chr(10) if self.is_block else ' '}{self.write(value)}".rstrip()


def quote(name: str) -> str:
    """Return `name` so that it is read back as one word, by ænet too (which stops at a slash)."""
    if not name or name[0] in "!#%" or any(c in "/,\"'=" or c.isspace() for c in name):
        return '"' + name.replace('"', '""') + '"'
    return name


def one_of(*names: str, **meanings: str) -> Kind:
    """Return the kind of a name in lower case: one of `names`, or of `meanings`, where each comes with its meaning."""
    *most, last = names = names or tuple(meanings)
    listed = " or ".join(filter(None, (", ".join(most), last)))
    return Kind(listed, choice(*names), form="" if meanings else listed, names=meanings or dict.fromkeys(names, ""))


def list_of(kind: Kind, convert: Callable[[Word], Any] | None = None) -> Kind:
    """Return the kind of several values in one word, with commas between them."""
    convert = convert or kind.convert

    def read(word: Word) -> tuple[Any, ...]:
        return tuple(convert(Word(part.strip(), word.line)) for part in word.text.split(","))

    return Kind(f"{kind.what}, or several", read, lambda values: quote(",".join(map(str, values))))


def name(what: str) -> Kind:
    """Return the kind of a name; one with blanks must be quoted."""

    def read(document: Document, line: Line) -> str:
        words = after_keyword(line)
        word = next(words, None)
        if word is None:
            line.fail(f"{line.text.split()[0]} without a name", expected=what)
        nothing_more(words)
        return text(word)

    return Kind(what, write=quote, form=what.split()[1], reader=read)


def _read_flag(document: Document, line: Line) -> bool:
    words = after_keyword(line)
    word = next(words, None)
    if word is None:
        return True
    converted = logical(word)
    _refuse_second_value(document, words)
    return converted


INTEGER = Kind("an integer", integer, form="n")
REAL = Kind("a number", real, repr, form="x")
FLAG = Kind("nothing, or .true. or .false.", logical, lambda on: "" if on else ".false.", "flag", reader=_read_flag)
"""True without a value, else a Fortran logical."""
TEXT = Kind("a word", write=quote)
FILE = name("a file name")
FOLDER = name("a folder")
NAME = name("a name")
EPOCHS = replace(INTEGER, what="epochs")
THREADS = replace(INTEGER, what="a number of threads")
VERBOSITY = one_of("low", "normal", "high")


def after_keyword(line: Line) -> Iterator[Word]:
    """Yield the words behind the keyword."""
    words = line.words()
    next(words)
    return words


def nothing_more(words: Iterator[Word]) -> None:
    """Raise FormatError if there is another word on the line."""
    word = next(words, None)
    if word is not None:
        word.fail("unexpected text", "the end of the line (names with blanks in quotes, remarks after !)")


def _refuse_second_value(document: Document, words: Iterator[Word]) -> None:
    word = next(words, None)
    if word is None:
        return
    if fortran_number(word.text) is not None or "=" in word.text or word.text.upper() in document.keywords:
        word.fail("second value", "one value (remarks after !)")
