"""A folder of XSF files that is written as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from glob import escape
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
    """A context manager; the folder, new or empty, is there at the end of the ``with`` block, with all its files.

    Until then they are in a hidden folder beside it, which goes if the block ends with an exception; one that a killed
    run has left is removed by the next.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self._directory = Path(directory)
        self._target = self._directory.resolve()
        self._partial = self._target.with_name(f".{self._target.name}.{os.getpid()}.partial")

    def __enter__(self: _Folder) -> _Folder:
        check_xsf_directory(self._directory)
        for left in self._target.parent.glob(f".{escape(self._target.name)}.*.partial"):
            number = left.name.split(".")[-2]
            if number.isdigit() and not _is_running(int(number)):
                shutil.rmtree(left, ignore_errors=True)
        try:
            with explained("cannot be used as folder", self._directory):
                self._partial.mkdir()
        except BaseException:
            # Ctrl-C that comes as soon as the folder is there, but before the block that removes it
            shutil.rmtree(self._partial, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        with explained("cannot be written", self._directory):
            try:
                if self._target == Path.cwd():
                    raise OSError
                self._partial.replace(self._target)  # over an empty folder, too
            except OSError:
                # An empty folder that cannot be replaced, such as the one we are in, or the root of a file system
                for path in sorted(self._partial.iterdir()):
                    shutil.move(path, self._target / path.name)
                self._partial.rmdir()

    def add(self, name: str, structure: Structure, comments: Iterable[str]) -> None:
        """Write one file; `comments` go to its top."""
        write_xsf(self._partial / name, structure, comments)


def _is_running(process: int) -> bool:
    """Tell whether a process of this machine still runs; one that is not ours does."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
