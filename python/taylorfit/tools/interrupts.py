"""Ctrl-C that does not break into what must be complete, and the file STOP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ranks import Ranks

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals by which queues and closed terminals end a program: obeyed like Ctrl-C."""
ASKING = getattr(signal, "SIGUSR1", None)
"""Signal that asks for a checkpoint."""

STOP_FILE = "STOP"
"""A file of this name in the working directory ends trainings after the epoch."""


def stop_requested() -> bool:
    """Whether there is a file STOP."""
    return Path(STOP_FILE).is_file()


def stop_obeyed() -> None:
    """Remove the file STOP, so that the next run is not ended by it."""
    with suppress(OSError):
        Path(STOP_FILE).unlink(missing_ok=True)


class Interrupt:
    """Ctrl-C that is obeyed only where it may be: in `allowed` blocks at once, elsewhere at the next `check`.

    In a thread other than the main one, which gets no signals, it is obeyed at the end of the block.
    """

    def __init__(self) -> None:
        self.requested = False
        self._allowed = False
        self._also: list[Callable[[], None]] = []

    def also(self, function: Callable[[], None]) -> None:
        """Call a function at a `request`, such as one that ends long calls early."""
        self._also.append(function)
        if self.requested:
            function()

    def request(self) -> None:
        """Interrupt another thread."""
        self.requested = True
        for function in self._also:
            function()

    def handle(self, signum: int, frame: object) -> None:
        """Note an interrupt; raise KeyboardInterrupt where it is allowed."""
        self.requested = True
        if self._allowed:
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at once within the block, and at its start for what came before."""
        self._allowed = True
        try:
            self.check()
            yield
            self.check()
        finally:
            self._allowed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if an interrupt was noted."""
        if self.requested:
            raise KeyboardInterrupt

    def taken(self) -> bool:
        """Was there a Ctrl-C since the last call?  For loops that go on for a while after it."""
        requested, self.requested = self.requested, False
        return requested


class SharedInterrupt(Interrupt):
    """An interrupt of any rank, obeyed by all at the same `check`, and nowhere else.

    `own` is the one that catches signals here.
    """

    def __init__(self, own: Interrupt, ranks: Ranks) -> None:
        super().__init__()
        self._own, self._ranks = own, ranks

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Obey nothing: the ranks wait for each other within the block."""
        yield

    def check(self) -> None:
        """Raise KeyboardInterrupt on all ranks if an interrupt was noted on one."""
        if self._ranks.any(self._own.requested):
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Install the handler for the time of the block (only the main thread can)."""
    interrupt = Interrupt()
    with _handled(signal.SIGINT, interrupt.handle):
        yield interrupt


@contextmanager
def _handled(number: int | None, handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle a signal within the block, if the system has it and this is the main thread."""
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


class QueueSignals:
    """The signals of queues while a command runs: those of `ENDING` act like Ctrl-C, `ASKING` does not end it.

    A context manager for the main thread; elsewhere it does nothing.  Signals that are ignored (nohup) stay so.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The last signal of `ENDING`."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> QueueSignals:
        if threading.current_thread() is threading.main_thread():
            handlers = dict.fromkeys(ENDING, self._end) | (
                {} if ASKING is None else {ASKING: lambda number, frame: None}
            )
            for number, handler in handlers.items():
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def code(self, code: int) -> int:
        """The exit code: 128 + signal in place of that of Ctrl-C."""
        return code if self.received is None or code != INTERRUPTED else 128 + self.received

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(number, frame)


@contextmanager
def counted_requests() -> Iterator[Callable[[], int]]:
    """Count the signals that ask for a checkpoint within the block (only the main thread gets any)."""
    numbers: list[int] = []
    with _handled(ASKING, lambda number, frame: numbers.append(number)):
        yield lambda: len(numbers)
