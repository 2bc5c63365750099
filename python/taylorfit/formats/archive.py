"""NumPy's files (`.npz`, `.npy`), which may be damaged or not what they say; our archives hold a version."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from os import PathLike
from typing import IO, TypeVar

import numpy as np

from ..errors import FormatError, InputError

Content = TypeVar("Content")
MOST_UNPACKED = 2 << 30
"""Bytes that the arrays of an archive may take beyond the size of the file: a small file can unpack to anything."""


def load_arrays(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an archive by name; of a `.npy` file its array, under the empty name.

    An array is read only if the file has as many bytes as its shape says.

    Raises
    ------
    Exception
        of whatever kind, as NumPy's and zipfile's own errors for damaged files are not documented.
    """
    import zipfile  # which takes a while

    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.read(2) != b"PK":
            stream.seek(0)
            _check_header(stream, size)
            stream.seek(0)
            return {"": np.lib.format.read_array(stream, allow_pickle=False)}
        arrays = {}
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > size + MOST_UNPACKED:
                raise ValueError(f"unpacks to more than {MOST_UNPACKED >> 30} GiB")
            for member in members:
                if not member.filename.endswith(".npy"):
                    raise ValueError(f"{member.filename!r} is no array")
                with archive.open(member) as content:
                    _check_header(content, member.file_size)
                with archive.open(member) as content:
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
                    if arrays[name].dtype.kind == "U" and _largest_character(arrays[name]) > sys.maxunicode:
                        raise ValueError(f"{member.filename!r} is no text")
                    if content.read(1):  # the end is read, so that the checksum is compared
                        raise ValueError(f"{member.filename!r} is longer than its array")
        return arrays


def _largest_character(array: np.ndarray) -> int:
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(-1)
    return int(plain.view(np.uint32).max(initial=0))


def _check_header(stream: IO[bytes], size: int) -> None:
    """Raise a ValueError unless `size` is that of the array in the header."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.kind not in "biufUS":
        raise ValueError(f"{dtype} in place of numbers or text")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or wanted != size - stream.tell():
        raise ValueError(f"{size - stream.tell()} bytes for {dtype} of shape {shape}")


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
        arrays = load_arrays(path)
        found = int(arrays.pop(key))
        content = take(arrays) if found == known else None
    except Exception as error:  # what NumPy and zipfile raise on a damaged file is not documented
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot be read: {error.strerror}", file=path) from None
        raise FormatError(damaged, file=path, expected=expected) from None
    if content is None:
        raise FormatError(other, file=path, value=found, expected=str(known))
    return content
