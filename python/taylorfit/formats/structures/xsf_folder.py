"""A folder of XSF files that is written as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TypeVar

from ...errors import InputError
from ...model.structure import Structure
from ...tools.atomic_write import check_writable
from ...tools.os_errors import explained
from .xsf import write_xsf

_Folder = TypeVar("_Folder", bound="XsfFolder")


class XsfFolder:
    """A context manager; the folder, new or empty, is made at the start of the ``with`` block.

    If that ends with an exception, the files written so far are removed again, and so is the folder if it was
    not there before.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self._directory = Path(directory)
        self._written: list[Path] = []
        self._is_new = False

    def __enter__(self: _Folder) -> _Folder:
        check_xsf_directory(self._directory)
        self._is_new = not self._directory.exists()
        self._directory.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is None:
            return
        with suppress(OSError):
            for path in self._written:
                path.unlink(missing_ok=True)
            if self._is_new:
                self._directory.rmdir()

    def add(self, name: str, structure: Structure, comments: Iterable[str]) -> None:
        """Write one file; `comments` go to its top."""
        path = self._directory / name
        self._written.append(path)
        write_xsf(path, structure, comments)


def check_xsf_directory(directory: str | PathLike[str]) -> None:
    """Refuse a folder for XSF copies that holds files or could not be made.

    Raises
    ------
    InputError
        saying why.
    """
    path = Path(directory)
    if not path.is_dir():
        check_writable(path, overwrite=False)
        return
    with explained("cannot be used for XSF copies", path):
        occupied = any(path.iterdir())
    if occupied:
        raise InputError("is not empty", file=path, expected="an empty or new folder for the XSF copies")
    check_writable(path / "copy.xsf")
