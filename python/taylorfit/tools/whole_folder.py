"""Folders that get their name when they are complete: whole, or not there at all, whenever a run is killed."""

from __future__ import annotations

import os
import shutil
from os import PathLike
from pathlib import Path

from .os_errors import explained, make_folder

PARTIAL = ".partial"
"""What the name of a folder ends in until it is complete."""


def partial_folder(folder: str | PathLike[str]) -> Path:
    """Return where a folder is made: beside it; the folder itself where it cannot be renamed, as the one we are in."""
    target = Path(os.path.realpath(folder))
    if target == Path.cwd() or target in Path.cwd().parents or os.path.ismount(target):
        return Path(folder)
    return (target if Path(folder).is_symlink() else Path(folder)).with_name(target.name + PARTIAL)


def begin_folder(folder: str | PathLike[str], *, go_on: bool = False) -> Path:
    """Make the partial folder: what `folder` holds, or, to `go_on`, what a run that was killed or broken off has left.

    Raises
    ------
    InputError
        if that is impossible.
    """
    folder, partial = Path(folder), partial_folder(folder)
    if partial == folder:
        return make_folder(folder)
    replaced = _replaced(partial)
    with explained("cannot be used as folder", folder):
        if replaced.exists() and not folder.exists():
            # Killed between two renamings
            replaced.rename(folder)
        if go_on and partial.is_dir():
            return partial
        shutil.rmtree(partial, ignore_errors=True)
        if folder.exists():
            shutil.copytree(folder, partial, symlinks=True)
    return make_folder(partial)


def finish_folder(folder: str | PathLike[str]) -> None:
    """Give the partial folder its name; what had it before goes.

    Raises
    ------
    InputError
        if that is impossible.
    """
    folder, partial = Path(folder), partial_folder(folder)
    if partial == folder:
        return
    target, replaced = Path(os.path.realpath(folder)), _replaced(partial)
    with explained("cannot be written", folder):
        shutil.rmtree(replaced, ignore_errors=True)
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_partial(folder: str | PathLike[str]) -> None:
    """Remove the partial folder, with all that is in it."""
    if (partial := partial_folder(folder)) != Path(folder):
        shutil.rmtree(partial, ignore_errors=True)


def _replaced(partial: Path) -> Path:
    """Where the folder of before is while it is replaced."""
    return partial.with_name(f".{partial.name.removesuffix(PARTIAL)}.replaced")
