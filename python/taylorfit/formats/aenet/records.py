"""Fortran sequential unformatted records, as gfortran writes them.

A record is its payload between two int32 byte counts (little endian).  A record longer
than 2 GiB is split into sub-records: a negative count in front says "continued in the
next one", a negative count behind says "continues the previous one".
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import PathLike, fspath
from typing import IO, TypeVar

import numpy as np

from ...errors import FormatError
from ...tools.os_errors import explained

INTEGER = np.dtype("<i4")
REAL = np.dtype("<f8")
MAX_SUBRECORD = 2_147_483_639
"""gfortran's default limit of one sub-record, bytes."""

_MARKER = struct.Struct("<i")


Reader = TypeVar("Reader", bound="RecordReader")


class RecordReader:
    """Reads one record after the other from a memory-mapped file.

    Every read names what it expects, so that an error can say what was being read and
    where.  No count in the file is trusted before the bytes it promises are known to exist.

    Parameters
    ----------
    path
        File to read; closed again by `close` or at the end of a ``with`` block.

    Raises
    ------
    InputError
        if the file cannot be opened.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        self.position = 0
        """Byte offset of the next record."""
        with explained("cannot be read", self.path), open(self.path, "rb") as stream:
            self.size = stream.seek(0, 2)
            # An empty file cannot be mapped.
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if self.size else None
        self.buffer: mmap.mmap | bytes = b"" if self._map is None else self._map

    def close(self) -> None:
        """Release the file (left to the garbage collector while arrays still refer to it)."""
        if self._map is not None:
            with suppress(BufferError):
                self._map.close()

    def __enter__(self: Reader) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget(self) -> None:
        """Give back the memory of what has been read; read again, it comes from the file."""
        if self._map is not None and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return self.size - self.position

    def error(
        self, what: str, at: int | None = None, *, value: object = None, expected: str | None = None
    ) -> FormatError:
        """Return the error for `what` at byte `at` (default: the next record)."""
        at = self.position if at is None else at
        return FormatError(f"{what} (at byte {at})", file=self.path, value=value, expected=expected)

    def read(self, what: str, n_bytes: int | None = None) -> bytes:
        """Return the payload of the next record.

        Raises
        ------
        FormatError
            if the file ends too early, the byte counts disagree, or the payload does not
            have `n_bytes` bytes.
        """
        start, continued = self.position, False
        parts: list[bytes] = []
        while True:
            at = self.position
            head = self._marker(what)
            length = abs(head)
            if n_bytes is not None and not parts and head != n_bytes and (head >= 0 or length > n_bytes):
                raise self._wrong_length(what, at, head, n_bytes)
            if length + 4 > self.remaining:
                raise self.error(
                    f"file ends inside {what}",
                    at,
                    value=f"{max(self.remaining, 0)} bytes",
                    expected=f"{length} bytes and a byte count",
                )
            parts.append(self.buffer[self.position : self.position + length])
            self.position += length
            tail = self._marker(what)
            if tail != (-length if continued else length):
                raise self.error(f"byte counts around {what} disagree", at, value=f"{head} and {tail}")
            if head >= 0:
                break
            continued = True
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        if n_bytes is not None and len(payload) != n_bytes:
            raise self._wrong_length(what, start, len(payload), n_bytes)
        return payload

    def integers(self, what: str, count: int) -> np.ndarray:
        """Return a record of `count` integers, (count,) int32."""
        return np.frombuffer(self.read(what, 4 * self._count(what, count)), INTEGER).astype(np.int32)

    def integer(self, what: str, minimum: int | None = None, maximum: int | None = None) -> int:
        """Return a record of one integer, checked against the bounds."""
        at = self.position
        value = int(self.integers(what, 1)[0])
        if minimum is not None and value < minimum:
            raise self.error(what, at, value=value, expected=f"at least {minimum}")
        if maximum is not None and value > maximum:
            raise self.error(what, at, value=value, expected=f"at most {maximum}")
        return value

    def logical(self, what: str) -> bool:
        """Return a record of one logical (int32 0 or 1)."""
        return bool(self.integer(what, 0, 1))

    def reals(self, what: str, count: int, finite: bool = True) -> np.ndarray:
        """Return a record of `count` doubles, (count,) float64; NaN and infinity refused if `finite`."""
        at = self.position
        values = np.frombuffer(self.read(what, 8 * self._count(what, count)), REAL).astype(np.float64)
        if finite and not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise self.error(f"{what}, value {bad + 1}", at, value=float(values[bad]), expected="a finite number")
        return values

    def real(self, what: str, finite: bool = True) -> float:
        """Return a record of one double."""
        return float(self.reals(what, 1, finite)[0])

    def text(self, what: str, length: int) -> str:
        """Return a record of `length` characters without the padding blanks at its end."""
        return decode_text(self.read(what, self._count(what, length)))

    def texts(self, what: str, count: int, length: int) -> tuple[str, ...]:
        """Return a record of `count` strings of `length` characters each."""
        payload = self.read(what, self._count(what, count) * length)
        return tuple(decode_text(payload[i : i + length]) for i in range(0, count * length, length))

    def end(self) -> None:
        """Check that nothing is left."""
        if self.remaining:
            raise self.error("more data than expected", value=f"{self.remaining} bytes", expected="end of file")

    def _count(self, what: str, count: int) -> int:
        if count < 0:
            raise self.error(what, value=f"a count of {count}", expected="a positive count")
        return int(count)

    def _marker(self, what: str) -> int:
        if self.remaining < 4:
            raise self.error(
                f"file ends before {what}" if self.remaining <= 0 else f"file ends inside {what}",
                value=f"{max(self.remaining, 0)} bytes",
                expected="a record",
            )
        (value,) = _MARKER.unpack_from(self.buffer, self.position)
        self.position += 4
        return value

    def _wrong_length(self, what: str, at: int, found: int, expected: int) -> FormatError:
        swapped = int.from_bytes(_MARKER.pack(found), "big", signed=True)
        hint = " (the file appears to be big-endian)" if swapped == expected != found else ""
        return self.error(
            f"wrong record length of {what}", at, value=f"{found} bytes", expected=f"{expected} bytes{hint}"
        )


class RecordWriter:
    """Writes records to a binary stream.

    Parameters
    ----------
    stream
        Anything with ``write(bytes)``.
    max_subrecord
        Longest sub-record in bytes; longer records are split as gfortran does.
    """

    def __init__(self, stream: IO[bytes], max_subrecord: int = MAX_SUBRECORD) -> None:
        self.stream = stream
        self.max_subrecord = max_subrecord

    def write(self, payload: bytes) -> None:
        """Write one record."""
        limit, continued = self.max_subrecord, False
        rest = memoryview(payload)
        while True:
            part, rest = rest[:limit], rest[limit:]
            n = len(part)
            self.stream.write(_MARKER.pack(-n if len(rest) else n))
            self.stream.write(part)
            self.stream.write(_MARKER.pack(-n if continued else n))
            if not len(rest):
                return
            continued = True

    def integers(self, *values: int | Iterable[int] | np.ndarray) -> None:
        """Write one record of integers."""
        parts = [np.asarray(value, dtype=INTEGER).ravel() for value in values]
        self.write(np.concatenate(parts).tobytes())

    def reals(self, *values: float | Iterable[float] | np.ndarray) -> None:
        """Write one record of doubles."""
        parts = [np.asarray(value, dtype=REAL).ravel() for value in values]
        self.write(np.concatenate(parts).tobytes())

    def logical(self, value: bool) -> None:
        """Write one record of a logical (int32 0 or 1)."""
        self.integers(int(value))

    def text(self, value: str, length: int) -> None:
        """Write one record of `length` characters, padded with blanks or cut."""
        self.write(encode_text(value, length))

    def note(self, value: str, length: int) -> None:
        """Write a free text in a record of `length` characters."""
        self.text(value, length)

    def texts(self, values: Sequence[str], length: int) -> None:
        """Write one record of several strings of `length` characters each."""
        self.write(b"".join(encode_text(value, length) for value in values))


def decode_text(payload: bytes) -> str:
    """Return a blank-padded Fortran string; `encode_text` gives the very same bytes again.

    Bytes that are no UTF-8 (ænet leaves uninitialised memory in descriptions) survive as
    surrogates.  Only blanks are stripped, for other padding must come back unchanged.
    """
    return payload.decode("utf-8", "surrogateescape").rstrip(" ")


def encode_text(value: str, length: int | None = None) -> bytes:
    """Return `value` as bytes, padded with blanks or cut to `length` if that is given."""
    payload = value.encode("utf-8", "surrogateescape")
    return payload if length is None else payload[:length].ljust(length)


def printable(text: str, limit: int = 80) -> str:
    """Return text from a file as it may stand in a message: no control characters, not too long."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
