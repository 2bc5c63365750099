"""The keyword files of ænet (generate.in, train.in, predict.in) and ours, read into dataclasses and written.

Unlike ænet, nothing is ignored silently: an unknown keyword, a keyword given twice and a count that
disagrees with its list are errors.
"""

from __future__ import annotations

from itertools import groupby
from os import PathLike, fspath
from typing import TypeVar

from ..errors import FormatError, InputError
from .blocks import build
from .document import Document, Located, read_text, write_text
from .option import REQUIRED, InputFile, options_of, own_options
from .words import suggestion

T = TypeVar("T", bound=InputFile)


def read_keyword_file(path: str | PathLike[str], cls: type[T]) -> T:
    """Read a keyword file into the dataclass `cls`.

    Raises
    ------
    InputError
        if the file cannot be read, a keyword is unknown, given twice or missing, or a
        value cannot be used.
    FormatError
        if the file is not text or a line is malformed.
    """
    file, table = fspath(path), options_of(cls)
    document = Document(file, read_text(path), table)
    if document.peek() is None:
        raise FormatError("empty file", file=file, expected=f"keywords such as {next(iter(table))}")
    found: dict[str, Located] = {}
    while document.peek() is not None:
        line = document.take()
        name = line.text.split()[0]
        keyword = table.get(name.upper())
        if keyword is None:
            raise InputError(
                "unknown keyword", file=file, line=line.number, value=name, expected=suggestion(name, table)
            )
        if keyword.field in found:
            raise InputError(
                f"{name.upper()} given twice, first on line {found[keyword.field].line}",
                file=file,
                line=line.number,
                value=line.text,
                expected="one of the two",
            )
        found[keyword.field] = Located(keyword.kind.read(document, line), line.number)
    for keyword in table.values():
        if keyword.default is REQUIRED and keyword.field not in found:
            raise InputError(f"{keyword.key} is missing", file=file, expected=keyword.key)
    return build(cls, found, file)


def write_keyword_file(path: str | PathLike[str], data: InputFile) -> None:
    """Write a keyword file such that reading it gives `data` again; what has its default is left out.

    Blank lines stand around blocks and around the keywords between two blocks.

    Raises
    ------
    InputError
        if it cannot be written.
    """
    lines: list[str] = []
    for block, group in groupby(own_options(type(data)), key=lambda keyword: keyword.key * keyword.kind.is_block):
        written = [
            keyword.kind.lines(keyword.key, getattr(data, keyword.field))
            for keyword in group
            if keyword.always or getattr(data, keyword.field) != keyword.default
        ]
        if written or not block:
            lines += [*written, ""]
    write_text(path, "\n".join(lines).rstrip("\n") + "\n")
