"""Trajectories of molecular dynamics: frames are appended as they come, and cut when a run goes on from before them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import ase.io
from ase import Atoms
from ase.io import Trajectory

from ..errors import InputError
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import explained

_STEP = re.compile(rb"\bstep=(-?[0-9]+)")


class FrameWriter:
    """Appends frames to a file; those for which the disk is full wait in memory until there is space again.

    Parameters
    ----------
    path
        the file
    tell
        is told, in one line, when frames cannot be written, and when they can again
    """

    MOST = 1000
    """Frames that wait at most; then the oldest are lost."""

    def __init__(self, path: str, tell: Callable[[str], None]) -> None:
        self.path, self._tell = path, tell
        self._waiting: list[Atoms] = []
        self._last: int | None = None
        self._fails = False
        self.n_lost = 0

    @property
    def n_missing(self) -> int:
        """Frames that are not in the file."""
        return self.n_lost + len(self._waiting)

    def write(self, frame: Atoms) -> None:
        """Write a frame and those that wait, or let it wait; its `info` has the step."""
        self._waiting.append(frame)
        try:
            if self._fails and os.path.exists(self.path):
                # Part of a frame may be there
                cut_after(self.path, int(frame.info["step"]) - 1 if self._last is None else self._last)
            while self._waiting:
                append_frame(self.path, self._waiting[0])
                self._last = int(self._waiting.pop(0).info["step"])
        except InputError as error:
            if not self._fails:
                self._tell(f"warning: {error}; the run goes on, and tries again with the next frame")
            self._fails = True
            if len(self._waiting) > self.MOST:
                del self._waiting[0]
                self.n_lost += 1
            return
        if self._fails:
            self._tell(f"{self.path}: frames are written again")
        self._fails = False


def append_frame(path: str, frame: Atoms) -> None:
    """Append a frame; its `info` has the step.

    Raises
    ------
    InputError
        if the file cannot be written.
    """
    with explained("cannot be written", path):
        if _is_binary(path):
            with Trajectory(path, "a") as stream:
                stream.write(frame)
        else:
            ase.io.write(path, frame, format="extxyz", append=True)


def cut_after(path: str, step: int) -> int | None:
    """Drop the frames after a step, and one that is not complete: what a run wrote after its last checkpoint.

    Returns
    -------
    Step of the last frame that is left; None if there is none.

    Raises
    ------
    InputError
        if the file is not a trajectory of md, or cannot be written.
    """
    with explained("cannot be written", path):
        return (_cut_binary if _is_binary(path) else _cut_text)(path, step)


def _is_binary(path: str) -> bool:
    return path.lower().endswith(".traj")


def _cut_text(path: str, step: int) -> int | None:
    last = None
    with open(path, "rb+") as stream:
        while True:
            start = stream.tell()
            head, comment = stream.readline(), stream.readline()
            if not head:
                return last
            found = _STEP.search(comment)
            if comment.endswith(b"\n") and not (head.strip().isdigit() and found):
                raise InputError("is not a trajectory of md", file=path, expected="frames with their steps")
            whole = comment.endswith(b"\n") and all(stream.readline().endswith(b"\n") for _ in range(int(head)))
            if not whole or found is None or int(found[1]) > step:
                stream.truncate(start)
                return last
            last = int(found[1])


def _cut_binary(path: str, step: int) -> int | None:
    frames = []
    is_whole = True
    try:
        with Trajectory(path) as stream:
            for number in range(len(stream)):
                frames.append(stream[number])
    # A frame, or the head of the file, that a killed run has left half written: ASE fails with whatever it meets
    except Exception:
        is_whole = False
    if any("step" not in frame.info for frame in frames):
        raise InputError("is not a trajectory of md", file=path, expected="frames with their steps")
    kept = [frame for frame in frames if frame.info["step"] <= step]
    last = int(kept[-1].info["step"]) if kept else None
    if is_whole and len(kept) == len(frames):
        return last
    # ASE closes what it writes to
    with (
        atomic_write(path, "wb") as file,
        os.fdopen(os.dup(file.fileno()), "wb") as own,
        Trajectory(own, "w") as stream,
    ):
        for frame in kept:
            stream.write(frame)
    return last
