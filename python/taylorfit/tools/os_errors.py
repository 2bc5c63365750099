"""What the operating system refuses, as one line for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from ..errors import InputError


@contextmanager
def explained(what: str, file: str | PathLike[str], expected: str | None = None) -> Iterator[None]:
    """Raise what fails within as an InputError about a file: ``FILE: cannot be read: No such file or directory``."""
    try:
        yield
    except (OSError, ValueError) as error:
        # A name with a NUL byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{what}: {reason}", file=file, expected=expected) from None


def make_folder(folder: str | PathLike[str]) -> Path:
    """Make a folder, if it is not there, with those it is in.

    Raises
    ------
    InputError
        if that is impossible.
    """
    with explained("cannot be used as folder", folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)
