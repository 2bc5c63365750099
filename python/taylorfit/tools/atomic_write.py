"""Output files that are either complete or not there at all."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import IO, Any

from ..errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

_MODES = ("w", "wb")
_WRITE_OUT = 1 << 25
"""Bytes of a file after which the system is told to write them out."""
OVERWRITE = "overwrite=True"
"""What lets a file be replaced, as the command line's `--force` does."""
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)
"""Names of temporary files."""


def check_writable(path: str | PathLike[str], overwrite: bool = True) -> None:
    """Check that `path` could be written; meant for the time before long work starts.

    Raises
    ------
    InputError
        if it exists and `overwrite` is false, if it is a directory, or if its directory
        does not exist or does not permit writing.
    """
    path = Path(path)
    if "\0" in os.fspath(path):
        raise InputError("cannot be written", file=path, expected="a file name without NUL bytes")
    try:
        # A dangling symbolic link counts as absent: its target will be created.
        if path.is_dir():
            raise InputError("is a directory", file=path, expected="the name of a file to write")
        if path.exists():
            if not overwrite:
                raise _exists(path)
            if _is_stream(path):
                return
        directory = _target(path).parent
        if not directory.is_dir():
            raise InputError(
                "cannot be written: its directory does not exist",
                file=path,
                value=directory,
                expected="an existing directory",
            )
        if not os.access(directory, os.W_OK | os.X_OK):
            raise InputError(
                "cannot be written: no permission to write into its directory",
                file=path,
                value=directory,
                expected="a writable directory",
            )
    except OSError as error:
        raise _translated(path, error) from error


class Together:
    """Files that get their names together, once all are complete; a context manager.

    After an exception in the block there are none of them, and what was there before is left as it was.
    """

    def __init__(self) -> None:
        self._finished: list[tuple[Path, Path, Path, bool]] = []
        self._descriptors: list[int] = []
        self._stale: list[Path] = []

    def __enter__(self) -> Together:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                for stale in self._stale:
                    stale.unlink(missing_ok=True)
                for temporary, target, path, overwrite in self._finished:
                    try:
                        _put_in_place(temporary, target, path, overwrite)
                    except OSError as error:
                        _raise_if_ours(error, path, temporary)
                for folder in {target.parent for _, target, *_rest in self._finished}:
                    _keep_names(folder)
        finally:
            for temporary, *_rest in self._finished:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            for descriptor in self._descriptors:
                os.close(descriptor)

    def add(self, temporary: Path, target: Path, path: Path, overwrite: bool, descriptor: int) -> None:
        """Take a complete file that shall get the name `target`, in messages `path`; its descriptor is closed then."""
        self._finished.append((temporary, target, path, overwrite))
        self._descriptors.append(descriptor)

    def remove(self, path: str | PathLike[str]) -> None:
        """Delete a file of an earlier run, if there is one, when the others get their names."""
        self._stale.append(Path(path))


@contextmanager
def atomic_write(
    path: str | PathLike[str], mode: str = "w", *, overwrite: bool = True, together: Together | None = None
) -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` when the block ends without exception.

    The temporary file lies in the same directory, is flushed to the disk and renamed at
    the end, and is removed on any exception, so an interrupted run leaves an existing
    `path` as it was.  A symbolic link is followed, the permissions of a replaced file are
    kept, and a device or pipe (`/dev/stdout`) is written directly.

    Parameters
    ----------
    path
        The file to write.
    mode
        `"w"` (text, UTF-8, Unix line ends) or `"wb"`.
    overwrite
        Replace an existing file?
    together
        The file gets its name with these; None: at the end of the block.

    Raises
    ------
    InputError
        if the file exists and `overwrite` is false, or if it cannot be written (directory
        missing or read-only, disk full, ...).
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {_MODES}, not {mode!r}")
    path = Path(path)
    check_writable(path, overwrite)
    if _is_stream(path):
        # Renaming over a device or pipe would replace it by a plain file.
        try:
            with _open(path, mode) as file:
                yield file
        except OSError as error:
            _raise_if_ours(error, path, path)
        return

    target = _target(path)
    # Names may have 255 bytes at most, and the temporary one must not be longer than that.
    temporary = target.with_name(f".{target.name[:40]}.{os.urandom(6).hex()}.tmp")
    waits = False
    try:
        with _open(temporary, mode + "x") as file:
            # By the lock `remove_left` of another run knows that it is in use
            with suppress(OSError):
                try_lock(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
            if together is not None:
                # The copy of the descriptor keeps the lock
                together.add(temporary, target, path, overwrite, os.dup(file.fileno()))
                waits = True
        if together is None:
            _put_in_place(temporary, target, path, overwrite)
            _keep_names(target.parent)
    except OSError as error:
        _raise_if_ours(error, path, temporary)
    finally:
        if not waits:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def try_lock(descriptor: int) -> None:
    """Lock an open file until it is closed; EAGAIN or EACCES if another process has it.

    Raises
    ------
    OSError
        if it is locked, or there are no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_left(folder: str | PathLike[str]) -> None:
    """Remove the temporary files in a folder that nobody writes any more: those of runs that were killed."""
    with suppress(OSError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if not _TEMPORARY.fullmatch(name):
                continue
            with suppress(OSError), open(path, "rb") as file:
                try_lock(file.fileno())
                os.unlink(path)


class _EarlyToDisk(io.FileIO):
    """A file that goes to the disk while it grows, so that little is left to be flushed at its end."""

    _n_waiting = 0

    def write(self, data: Any, /) -> int:
        """Write bytes; from time to time have the system write out what it keeps, without waiting for that."""
        n = super().write(data)
        self._n_waiting += n or 0
        if self._n_waiting >= _WRITE_OUT:
            self._n_waiting = 0
            # Whole file; SYNC_FILE_RANGE_WRITE.  Linux alone has it, and only the speed depends on it
            with suppress(AttributeError, OSError, TypeError):
                ctypes.CDLL(None).sync_file_range(self.fileno(), ctypes.c_int64(0), ctypes.c_int64(0), 2)
        return n


def _open(path: Path, mode: str) -> IO[Any]:
    raw = _EarlyToDisk(path, mode.replace("wx", "x").replace("wbx", "x").replace("b", ""))
    file = io.BufferedWriter(raw)
    return file if "b" in mode else io.TextIOWrapper(file, encoding="utf-8", newline="\n")


def _put_in_place(temporary: Path, target: Path, path: Path, overwrite: bool) -> None:
    """Give the finished `temporary` its name; see `_keep_names`."""
    if overwrite:
        with suppress(OSError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    else:
        # A link, unlike a renaming, fails if another run made the file in the meantime.
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise _exists(path) from None
        except OSError:
            if target.exists():
                raise _exists(path) from None
            os.replace(temporary, target)


def _keep_names(folder: Path) -> None:
    """Make the new names in a folder survive a power cut."""
    with suppress(OSError):
        directory = os.open(folder, os.O_RDONLY)  # fails on Windows, which needs none
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _is_stream(path: Path) -> bool:
    """Tell devices and pipes; `/dev/stdout` is one even where it is redirected to a file."""
    if path.parent in (Path("/dev"), Path("/dev/fd")) or path.parts[:2] == ("/", "proc"):
        return True
    return path.exists() and not path.is_file()


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _exists(path: Path) -> InputError:
    return InputError("output exists", file=path, expected=f"another name, or {OVERWRITE}")


def _translated(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot be written: {error.strerror or error}", file=path)


def _raise_if_ours(error: OSError, path: Path, opened: Path) -> None:
    """Translate an error of our own file; one that names another file is not ours."""
    if error.filename is not None and os.fspath(error.filename) != os.fspath(opened):
        raise error
    raise _translated(path, error) from error
