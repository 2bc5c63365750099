"""Jobs for the tests of `taylorfit.parallel`: other processes import them from here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taylorfit.errors import InputError
from taylorfit.tools.sharing import SharedValue

Tell = Callable[[Any], None]


def add(a: int, b: int, *, threads: int, tell: Tell) -> tuple[int, int]:
    """Return the sum and the threads."""
    tell("adding")
    return a + b, threads


def fail(kind: str, *, threads: int, tell: Tell) -> None:
    """Fail in one of several ways."""
    if kind == "input":
        raise InputError("is bad", file="a.in", line=3)
    if kind == "bug":
        raise ZeroDivisionError("none left")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def double(value: SharedValue, *, threads: int, tell: Tell) -> float:
    """Change a shared array; return its sum."""
    array = value.load()["array"]
    array *= 2
    return float(array.sum())


def wait(folder: Path, name: str, obey: bool, *, threads: int, tell: Tell) -> None:
    """Say in a file that the job runs, and wait for Ctrl-C, which is obeyed or not."""
    (folder / name).touch()
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            (folder / f"{name}.stopped").touch()
            if obey:
                raise
