"""NumPy archives (`.npz`) of our own: one array holds the version."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TypeVar

import numpy as np

from ..errors import FormatError, InputError

Content = TypeVar("Content")


def read_archive(
    path: str | PathLike[str],
    damaged: str,
    expected: str,
    take: Callable[[dict[str, np.ndarray]], Content],
    version: tuple[str, int, str],
) -> Content:
    """Read an archive.

    Parameters
    ----------
    damaged, expected
        what is said of another file, or of a damaged one
    take
        makes the content from the arrays; whatever it raises means that the file is damaged
    version
        array that holds the version, its value, and what is said of another one

    Raises
    ------
    FormatError
        if it is another kind of file, of another version, or damaged.
    InputError
        if it cannot be read.
    """
    key, known, other = version
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = int(arrays.pop(key))
        content = take(arrays) if found == known else None
    except Exception as error:  # what NumPy and zipfile raise on a damaged file is not documented
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot be read: {error.strerror}", file=path) from None
        raise FormatError(damaged, file=path, expected=expected) from None
    if content is None:
        raise FormatError(other, file=path, value=found, expected=str(known))
    return content
