"""The tokenizer of ænet's keyword files: lines, words, options; words as numbers and names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn, TypeVar

from ..errors import FormatError
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


@dataclass(frozen=True)
class Line:
    """A line with content: neither blank nor a comment."""

    file: str
    number: int
    """Counted from 1."""
    text: str
    """Without leading and trailing blanks."""
    after_blank: bool
    """Is there a blank line between this line and the content before it?"""

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


@dataclass(frozen=True)
class Word:
    """A word of a line, without its quotes."""

    text: str
    line: Line
    quoted: bool = False

    def fail(self, message: str, expected: str | None = None) -> NoReturn:
        """Raise a FormatError that shows this word and names its line."""
        self.line.fail(message, self.text, expected)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what to expect instead of `name`: the nearest of `known`, else all of them."""
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
