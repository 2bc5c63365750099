"""Progress of long work: a bar with ETA on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def duration(seconds: float) -> str:
    """Time in words: ``4.2 s``, ``3 min 10 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress(title: str, total: int, unit: str = "structures", quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Show how far a loop is; call the yielded function with the number done, and optionally a note.

    On a terminal a bar with ETA (rich) on stderr.  Elsewhere plain lines on stdout, at most
    one every ten seconds, so that a log stays readable and short work stays silent.
    """
    if quiet or total == 0:
        yield lambda done, note="": None
    elif sys.stderr.isatty():
        with _bar(title, total, unit) as update:
            yield update
    else:
        yield _Lines(title, total, unit).update


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} " + unit),
        TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )
    # Otherwise rich sends what is printed meanwhile to stderr, even if standard output is a file
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda done, note="": bar.update(task, completed=done, note=note)


class _Lines:
    """Plain lines for a log file."""

    INTERVAL = 10.0  # seconds

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._start = self._shown = time.monotonic()
        self._first: int | None = None

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._start = done, now
        if now - self._shown < self.INTERVAL or done <= self._first:
            return
        self._shown = now
        left = (now - self._start) / (done - self._first) * (self._total - done)
        print(f"{self._title}: {done} of {self._total} {self._unit}, ETA {duration(left)}"
              + (f"  {note}" if note else ""), flush=True)
