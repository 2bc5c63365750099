"""A value that holds large arrays, written once and mapped into the memory of several processes."""

from __future__ import annotations

import mmap
import pickle
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from ..errors import TaylorfitError

ALIGNMENT = 64
"""Arrays start at multiples of this many bytes: a cache line, and as aligned as the engine may want them."""


@dataclass(frozen=True)
class SharedValue:
    """Where a value lies; small enough to be sent to another process.

    The contents of its arrays are in a file, of which all processes that `load` the value share one copy
    in memory (the system's file cache).
    """

    path: str
    """File with the arrays one after the other."""
    pickled: bytes
    """Everything but the contents of the arrays."""
    places: tuple[tuple[int, int], ...]
    """(start, end) of each array in the file, bytes."""

    def load(self) -> Any:
        """Return the value.  Its arrays are mapped, not read; what is written to them stays in this process.

        The file may be removed while the value is in use.
        """
        with open(self.path, "rb") as stream:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.pickled, buffers=[content[start:end] for start, end in self.places])


def share(value: Any, path: str | PathLike[str]) -> SharedValue:
    """Write the arrays of `value`, anything that can be pickled, to the file `path`.

    Raises
    ------
    TaylorfitError
        if the file cannot be written, e.g. for want of room.
    """
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    try:
        with open(path, "wb") as stream:
            for buffer in buffers:
                stream.write(bytes(-stream.tell() % ALIGNMENT))
                start = stream.tell()
                stream.write(buffer.raw())
                places.append((start, stream.tell()))
            # An empty file cannot be mapped
            stream.write(b"\0")
    except OSError as error:
        raise TaylorfitError(
            f"{fspath(path)}: the data that processes share cannot be written ({error.strerror}); "
            "set TMPDIR to a folder with more room"
        ) from None
    return SharedValue(fspath(path), pickled, tuple(places))
