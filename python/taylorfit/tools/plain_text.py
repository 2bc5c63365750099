"""Decoding of text files, and numbers as Fortran programs write them."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike, fsdecode

from ..errors import FormatError
from .compressed import is_compressed, unpacked
from .os_errors import explained

_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eEdDqQ]([+-]?[0-9]+)|([+-][0-9]{3}))?")
"""A Fortran number; three-digit exponents are written without their letter."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_LOGICALS = {
    **dict.fromkeys(("t", "true", ".t.", ".true."), True),
    **dict.fromkeys(("f", "false", ".f.", ".false."), False),
}
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eEdD][+-]?[0-9]+)?")

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Return the content of a file, unpacked if it is compressed.

    Raises
    ------
    InputError
        if it does not exist or cannot be read.
    """
    name = fsdecode(path)
    # Unbuffered: one system call less for each of thousands of small files.
    with explained("cannot be read", name), open(name, "rb", buffering=0) as file:
        content = file.read()
    return unpacked(name) if is_compressed(content) else content


def without_mark(content: bytes) -> bytes:
    """Return the bytes of a text without a byte-order mark; UTF-16 and UTF-32 become UTF-8."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace").encode() if encoding != "utf-8" else content[3:]
    return content


def decode_lines(content: bytes, name: str) -> list[str]:
    """Return the lines of a text file, without line ends (LF, CRLF or CR).

    Raises
    ------
    FormatError
        if `content` is empty, has NUL bytes, or is neither ASCII nor UTF-8 outside of
        comments (lines starting with `#`); `name` is the file named in the error.
    """
    content = without_mark(content)
    if not content.strip():
        raise FormatError("empty file", file=name, expected="text")
    if b"\0" in content:
        number = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise FormatError("binary data", file=name, line=number, expected="a text file")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return content.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        pass
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        # Comments may hold an Å in whatever encoding.
        if not line.isascii() and not line.lstrip().startswith(b"#"):
            raise FormatError(
                "neither ASCII nor UTF-8",
                file=name,
                line=number,
                value=line.decode("latin-1").strip(),
                expected="a text file",
            )
    return [line.decode("latin-1") for line in lines]


def fortran_number(word: str) -> float | None:
    """Return the finite Fortran number `word`, or None."""
    match = _NUMBER.fullmatch(word)
    if match is None:
        return None
    value = float(f"{match[1]}e{match[2] or match[3] or 0}")
    return value if math.isfinite(value) else None


def fortran_numbers(words: Sequence[str]) -> list[float | None]:
    """Return what `fortran_number` makes of each word; fast where Python's own numbers do."""
    text = "".join(words)
    if "_" not in text and text.isascii():  # float() also takes 1_000 and digits of other scripts
        with suppress(ValueError):
            values = list(map(float, words))
            if all(map(math.isfinite, values)):
                return list(values)
    return [fortran_number(word) for word in words]


def fortran_integer(word: str) -> int | None:
    """Return the integer `word` of at most 18 digits, or None."""
    return int(word) if _INTEGER.fullmatch(word) else None


def fortran_logical(word: str) -> bool | None:
    """Return the logical `word` (.true., T, false …), or None."""
    return _LOGICALS.get(word.lower())


def number_complaint(word: str) -> str:
    """Say what is wrong with a `word` that :func:`fortran_number` does not take."""
    if "*" in word:
        return "was lost to Fortran overflow"
    if word.strip("+-").lower() in ("nan", "inf", "infinity") or _NUMBER.fullmatch(word):
        return "is not finite"
    return "is not a number"


def value_complaint(word: str) -> str:
    """As `number_complaint`, for data that other programs wrote: some do so with decimal commas."""
    return "has a decimal comma" if _DECIMAL_COMMA.fullmatch(word) else number_complaint(word)
