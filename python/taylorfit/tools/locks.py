"""Locks on outputs: a second run into the same place is refused, and what a killed run has left is removed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path

from ..errors import InputError
from .atomic_write import remove_left, try_lock
from .warn import warn_of_data

_HELD = (errno.EAGAIN, errno.EACCES)


@contextmanager
def alone(*places: str | PathLike[str], tell: Callable[[str], None] = print) -> Iterator[None]:
    """Keep other runs away from files and folders while the block runs, and remove what killed runs have left there.

    Beside each place there is a lock file for that time.  The operating system frees the lock of a process that is
    killed, so a lock file that is left does not hinder the next run, which removes it.

    Parameters
    ----------
    places
        files and folders to be written, there or not; devices and pipes need no lock
    tell
        is told, in one line, that there are no locks here

    Raises
    ------
    InputError
        if another run holds one of them.
    """
    real = {Path(os.path.realpath(place)): place for place in places}
    with ExitStack() as stack:
        for target, place in sorted(real.items()):
            if target.exists() and not (target.is_file() or target.is_dir()):
                continue
            # Of what is yet to be made, the outermost folder
            while not target.parent.is_dir():
                target = target.parent
            try:
                stack.enter_context(_locked(target.with_name(f".{target.name[:200]}.lock"), place))
            except OSError as error:
                reason = error.strerror or error
                tell(f"warning: {place} cannot be locked ({reason}): a second run into it would not be noticed")
        for folder in {target.parent for target in real} | {target for target in real if target.is_dir()}:
            remove_left(folder)
        yield


def alone_in_python(*places: str | PathLike[str]) -> AbstractContextManager[None]:
    """As `alone`, for functions called from Python: where there are no locks, they warn."""
    return alone(*places, tell=lambda line: warn_of_data([line.removeprefix("warning: ")]))


@contextmanager
def _locked(path: Path, place: str | PathLike[str]) -> Iterator[None]:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try_lock(descriptor)
            # Whoever held the lock before may have removed the file that we opened
            if os.fstat(descriptor).st_nlink:
                break
        except OSError as error:
            owner = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in _HELD:
                with suppress(OSError):
                    path.unlink()
                raise
            raise InputError(
                "another run is writing to it", file=place, value=owner or None, expected="its end, or another name"
            ) from None
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
