"""Progress of long work: a bar with ETA on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # rich is only imported where there is a terminal
    from rich.progress import Progress, TaskID

Advance = Callable[..., None]
"""Called with the number of steps done, and optionally a note."""
Steps = Callable[..., AbstractContextManager[Advance]]
"""Called like `progress`, for a part of the work that takes long."""

Tell = Callable[[Any], None]
"""Sends something to the starting thread."""

TELL_EVERY = 0.2
"""Seconds between two messages of a job about its progress."""


def duration(seconds: float) -> str:
    """Time in words: ``4.2 s``, ``3 min 10 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def no_steps(title: str, total: int, unit: str = "structures") -> AbstractContextManager[Advance]:
    """In place of `progress`: show nothing."""
    return nullcontext(lambda done, note="": None)


@contextmanager
def progress(title: str, total: int, unit: str = "structures", quiet: bool = False) -> Iterator[Callable[..., None]]:
    """Show how far a loop is; call the yielded function with the number done, and optionally a note.

    On a terminal a bar with ETA (rich) on stderr.  Elsewhere plain lines on stdout, at most
    one every ten seconds, so that a log stays readable and short work stays silent.
    """
    if quiet or total == 0:
        yield lambda done, note="": None
    elif sys.stderr.isatty():
        with _bars(unit) as bars:
            task = bars.add_task(title, total=total, note="")
            yield lambda done, note="": bars.update(task, completed=done, note=note)
    else:
        yield _Lines(title, total, unit).update


@contextmanager
def progress_of_jobs(title: str, n_jobs: int, total: int, unit: str, quiet: bool = False) -> Iterator[JobsProgress]:
    """Show how far jobs of `total` steps each are that run at the same time, as `progress` does."""
    if quiet or n_jobs * total == 0:
        yield JobsProgress(n_jobs, total, lambda done, note="": None)
    elif sys.stderr.isatty():
        with _bars(unit) as bars:
            whole = bars.add_task(title, total=n_jobs * total, note="")
            yield JobsProgress(n_jobs, total, lambda done, note="": bars.update(whole, completed=done), bars)
    else:
        yield JobsProgress(n_jobs, total, _Lines(title, n_jobs * total, unit).update)


def tell_progress(tell: Tell) -> Steps:
    """In place of `progress`, in the thread of a job: tell the starting thread (epochs done, note), not too often."""

    @contextmanager
    def steps(title: str, total: int, unit: str = "structures", quiet: bool = False) -> Iterator[Advance]:
        last = 0.0

        def update(done: int, note: str = "") -> None:
            nonlocal last
            now = time.monotonic()
            if unit == "epochs" and now - last >= TELL_EVERY:
                last = now
                tell((done, note))

        yield update

    return steps


class JobsProgress:
    """Adds up the steps of several jobs.

    Parameters
    ----------
    show
        called with the number of steps done, and a note that says what runs
    bars
        shows each running job as well
    """

    def __init__(self, n_jobs: int, total: int, show: Callable[..., None], bars: Progress | None = None) -> None:
        self._n_jobs, self._total, self._show, self._bars = n_jobs, total, show, bars
        self._ended = 0
        self._running: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}

    def update(self, name: str, done: int, note: str = "") -> None:
        """Job `name` has done so many steps."""
        self._running[name] = done
        if self._bars is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(f"  {name}", total=self._total, completed=done, note=note)
            self._bars.update(self._tasks[name], completed=done, note=note)
        self._show_all()

    def end(self, name: str) -> None:
        """Job `name` has ended, early or not."""
        self._ended += 1
        self._running.pop(name, None)
        if self._bars is not None and name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._show_all()

    def _show_all(self) -> None:
        running = ", ".join(f"{name} at {done}" for name, done in self._running.items())
        self._show(
            self._ended * self._total + sum(self._running.values()),
            f"{self._ended} of {self._n_jobs} done" + (f", {running}" if running else ""),
        )


@contextmanager
def _bars(unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} " + unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Otherwise rich sends what is printed meanwhile to stderr, even if standard output is a file
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect) as bars:
        yield bars


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
        print(
            f"{self._title}: {done} of {self._total} {self._unit}, ETA {duration(left)}"
            + (f"  {note}" if note else ""),
            flush=True,
        )
