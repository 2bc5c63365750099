"""Arrays in a file: what is too large for the memory is mapped from a disk, and read where it is used."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from .os_errors import explained

LOCAL = frozenset(["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "jfs", "reiserfs", "bcachefs", "overlay"])
"""File systems on disks of this machine.  Others (in memory, on a network) are used only if a folder is named."""


class DiskArrays:
    """Zeros in a file of `n_bytes`, which are reserved at once: a disk that is full later does not matter.

    The file has no name, and is gone with the last array, or with the process, however that ends.

    Raises
    ------
    InputError
        if the folder cannot be used, or its disk has too little room.
    """

    def __init__(self, folder: str | os.PathLike[str], n_bytes: int) -> None:
        self._used, self._size = 0, max(n_bytes, 1)
        expected = f"{_megabytes(n_bytes)} MB of free disk; STORE disk folder=… names another place"
        with (
            explained("cannot hold the data of the training", folder, expected),
            tempfile.TemporaryFile(prefix=".taylorfit-", dir=folder) as stream,
        ):
            # Not a file with holes: where a page finds no room on the disk the process is killed
            os.posix_fallocate(stream.fileno(), 0, self._size)
            self._map = mmap.mmap(stream.fileno(), self._size)
        self._map.madvise(mmap.MADV_SEQUENTIAL)

    def zeros(self, n: int, dtype: type) -> np.ndarray:
        """Return n zeros of a type, from the start of a page."""
        start = self._used
        self._used = start + room(n * np.dtype(dtype).itemsize)
        return np.frombuffer(self._map, dtype, n, start) if n else np.zeros(0, dtype)


def room(n_bytes: int) -> int:
    """Bytes of the file that an array of `n_bytes` takes."""
    return -(-n_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def disk_folder(n_bytes: int, proc: Path = Path("/proc")) -> str:
    """Return a folder with room for `n_bytes` on a disk of this machine: TMPDIR, /var/tmp, or the current one.

    Raises
    ------
    InputError
        if there is none.
    """
    tried = []
    for folder in dict.fromkeys((tempfile.gettempdir(), "/var/tmp", os.getcwd())):
        kind = next(iter(_kinds(folder, proc)), "")
        if kind not in LOCAL:
            tried.append(f"{folder} is no local disk ({kind or 'of unknown kind'})")
            continue
        state = os.statvfs(folder)
        free = state.f_bavail * state.f_frsize
        if free > n_bytes and os.access(folder, os.W_OK):
            return folder
        tried.append(f"{folder} has {_megabytes(free)} MB")
    raise InputError(
        f"no disk for the data of the training: {'; '.join(tried)}",
        expected=f"{_megabytes(n_bytes)} MB; STORE disk folder=… names a place",
    )


def _kinds(folder: str, proc: Path) -> Iterator[str]:
    """Kinds of the file systems that a folder is in, the innermost first."""
    path = Path(folder).resolve()
    try:
        mounts = [line.split() for line in (proc / "self/mountinfo").read_text().splitlines()]
    except OSError:
        return
    # Of several on one place the last is seen
    kinds = {mount[4]: mount[mount.index("-") + 1] for mount in mounts}
    yield from (kinds[str(place)] for place in (path, *path.parents) if str(place) in kinds)


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.0f}"
