"""Exceptions of taylorfit.

Every error a user can cause is a :class:`TaylorfitError`; the command line prints it
as one line on stderr and exits with code 2.
"""

from __future__ import annotations

from os import PathLike, fspath


class TaylorfitError(Exception):
    """Base class of all errors that taylorfit raises on purpose."""

    exit_code = 2


class InputError(TaylorfitError):
    """Something the user supplied cannot be used.

    Parameters
    ----------
    message
        What is wrong, without a full stop.
    file, line
        Where it was found; `line` counts from 1.
    value
        The offending value, shown as it stands in the file.
    expected
        What would have been accepted.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        value: object = None,
        expected: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else fspath(file)
        self.line = line
        self.value = value
        self.expected = expected
        super().__init__(message)

    def __str__(self) -> str:
        where = ""
        if self.file is not None:
            where = printable(self.file) + (f", line {self.line}" if self.line is not None else "") + ": "
        found = "" if self.value is None else f": found {_shown(self.value)}"
        wanted = "" if self.expected is None else f", expected {self.expected}"
        return " ".join(f"{where}{printable(self.message)}{found}{printable(wanted)}".split())


class FormatError(InputError):
    """A file is malformed, truncated, or of another kind than it should be."""


class EngineError(TaylorfitError):
    """The Fortran engine refused its input or failed."""


class DataWarning(UserWarning):
    """Data that can be used but look doubtful: the Python API warns, the command line prints a line."""


def printable(text: str) -> str:
    """Return text in which control characters, escape codes of terminals and bytes of no encoding are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in " \n\t" else repr(c)[1:-1] for c in text)


def _shown(value: object, limit: int = 60) -> str:
    """Return `value` quoted, printable, and cut to `limit` characters."""
    if isinstance(value, (int, float)):
        return repr(value)
    text = repr(str(value))
    return text if len(text) <= limit else text[: limit - 4] + "...'"
