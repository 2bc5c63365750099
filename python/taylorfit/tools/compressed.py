"""Files that may be compressed: told by their first bytes, not by their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from os import PathLike, fsdecode
from typing import IO, Any

from ..errors import InputError
from .os_errors import explained

_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_MOST_BYTES = 1 << 33
"""A small file may unpack to more than fits any memory."""
_PIECE = 1 << 24

DAMAGED = (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error)
"""What reading a file raises that is not there or not whole."""


def is_compressed(head: bytes) -> bool:
    """Tell by the first bytes whether a file is packed by gzip, bzip2 or xz."""
    return head.startswith(tuple(_OPENERS))


def opened(path: str | PathLike[str]) -> IO[bytes]:
    """Open a file for reading its bytes, unpacked if it is compressed; the caller meets what is in `DAMAGED`."""
    with open(path, "rb") as stream:
        start = stream.read(8)
    opener = next((opener for mark, opener in _OPENERS.items() if start.startswith(mark)), open)
    return opener(path, "rb")


def first_bytes(path: str | PathLike[str], n: int) -> bytes:
    """The first bytes of a file, unpacked if it is compressed.

    Raises
    ------
    InputError
        if it cannot be read, or is damaged.
    """
    return _read(fsdecode(path), n)


def unpacked(path: str | PathLike[str]) -> bytes:
    """The content of a compressed file.

    Raises
    ------
    InputError
        if it cannot be read, is damaged, or too large.
    """
    content = _read(fsdecode(path), _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputError("too large a file", file=path, expected=f"at most {_MOST_BYTES >> 30} GB when unpacked")
    return content


def _read(name: str, n: int) -> bytes:
    with explained("cannot be read", name):
        try:
            with opened(name) as stream:
                # in pieces: xz reserves at once as many bytes as it is asked for
                pieces, left = [], n
                while left > 0 and (piece := stream.read(min(left, _PIECE))):
                    pieces.append(piece)
                    left -= len(piece)
                return b"".join(pieces)
        except DAMAGED as error:
            raise ValueError(getattr(error, "strerror", None) or f"damaged archive ({error})") from None
