"""Jobs in threads of their own: some at a time, within a number of threads of the engine, stopped together.

What takes long runs in the engine, without Python's global lock.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from ..errors import TaylorfitError
from .interrupts import Interrupt

Item = TypeVar("Item")
Value = TypeVar("Value")

POLL = 0.1
"""Seconds between two looks for Ctrl-C while all jobs run."""
TURN = 2e-4
"""Seconds after which a busy Python thread lets another one go on, while jobs run.

NumPy and the engine give up Python's lock some dozens of times an epoch, and wait for it each time, by default 5 ms.
Beside a busy thread epochs of 83 ms took 1.43 times as long with 1 ms, 1.10 times with this (one engine thread, a free
core for the busy one); those of two members on two cores, which three have to share, 1.80 and 1.54 times."""


class Job(NamedTuple):
    """A function to call in a thread of its own.

    It is called with `arguments`, and by name with `threads`, its share of them, `tell`, which sends anything to
    the starting thread, and `interrupt`, which it should obey soon.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Outcome(NamedTuple):
    """How a job ended: with a result, with an error, or interrupted (perhaps before it began)."""

    name: str
    result: Any = None
    error: str | None = None
    """One line."""
    interrupted: bool = False


class _Running:
    """A job in a thread of its own."""

    def __init__(self, job: Job, threads: int, messages: SimpleQueue[tuple[str, Any]]) -> None:
        self.threads, self.interrupt = threads, Interrupt()
        self.outcome: Outcome | None = None
        self._job, self._messages = job, messages
        self.thread = threading.Thread(target=self._work, name=job.name)

    def has_begun(self) -> bool:
        """Whether the thread runs or has run; one whose start was interrupted may need a moment."""
        for _ in range(10):
            if self.thread.ident is not None:
                return True
            time.sleep(POLL)
        return False

    def _tell(self, message: Any) -> None:
        self._messages.put((self._job.name, message))

    def _work(self) -> None:
        self.outcome = _outcome(self._job, self.threads, self._tell, self.interrupt)
        self._tell(None)


def threads_for_next(free: int, waiting: int) -> int:
    """Threads of the next job to start: those that are free, shared out among the jobs that can start now."""
    return -(-free // min(free, waiting))


def in_order(
    function: Callable[[Item], Value], items: Sequence[Item], threads: int, hurry: Callable[[], None] = lambda: None
) -> Generator[Value, None, None]:
    """Yield what a function makes of all items, in their order, in threads of its own that are a few items ahead.

    The first error, in the order of items, is raised once no thread works any more.  Whoever may leave early should
    close the generator.  `hurry` is called when what the threads still make is not wanted.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    waiting: deque[_Call] = deque()
    gate = threading.Semaphore(threads)
    with _quick_turns():
        try:
            for item in items:
                waiting.append(_Call(partial(function, item), gate))
                waiting[-1].start()
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            hurry()
            for one in waiting:
                if one.ident is not None:
                    one.join()


class _Call(threading.Thread):
    """A call in a thread of its own, once a semaphore lets it; importing concurrent.futures here may lose a Ctrl-C."""

    def __init__(self, function: Callable[[], Any], gate: threading.Semaphore) -> None:
        super().__init__()
        self._function, self._gate = function, gate
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call the function."""
        try:
            with self._gate:
                self._value = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """Wait for what the function returns, or raise its error."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._value


def run_jobs(
    jobs: Sequence[Job],
    threads: int,
    *,
    told: Callable[[str, Any], None] = lambda name, message: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
    stop: Callable[[], bool] = lambda: False,
    interrupt: Interrupt | None = None,
) -> tuple[list[Outcome], bool]:
    """Run all jobs, at most `threads` at a time; return their outcomes, and whether the user interrupted.

    Ctrl-C interrupts the running jobs, waits for them, and starts no more; a second one interrupts also what they do
    after the first.  After `stop` has been true no more are started either.  A job that fails leaves the others alone.

    Parameters
    ----------
    told
        called with the name of a job and what it tells
    ended
        called with each outcome as it comes
    stop
        called before jobs are started
    interrupt
        keeps Ctrl-C from breaking into `told` and `ended`, where it catches signals

    Raises
    ------
    KeyboardInterrupt
        at the second Ctrl-C, once the jobs have ended.
    """
    waiting, running = deque(jobs), dict[str, _Running]()
    outcomes: dict[str, Outcome] = {}
    messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    interrupt, n_interrupts = interrupt or Interrupt(), 0
    with _quick_turns(), _ended_with(running):
        while waiting or running:
            try:
                if waiting and stop():
                    waiting.clear()
                while waiting and (free := max(1, threads) - sum(one.threads for one in running.values())) > 0:
                    job = waiting[0]
                    running[job.name] = _Running(job, threads_for_next(free, len(waiting)), messages)
                    waiting.popleft()
                    running[job.name].thread.start()
                with suppress(Empty):
                    name, message = messages.get(timeout=POLL)
                    if message is not None:
                        told(name, message)
                for name, outcome in [(name, one.outcome) for name, one in running.items()]:
                    if outcome is not None:
                        outcomes[name] = outcome
                        running.pop(name).thread.join()
                        ended(outcome)
                if interrupt.taken():
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                n_interrupts += 1
                waiting.clear()
                for one in running.values():
                    one.interrupt.request()
                for name in [name for name, one in running.items() if not one.has_begun()]:
                    del running[name]
    if n_interrupts > 1:
        raise KeyboardInterrupt
    return [outcomes.get(job.name, Outcome(job.name, interrupted=True)) for job in jobs], n_interrupts > 0


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Let threads take turns at least every `TURN` seconds, and afterwards as before."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _ended_with(running: dict[str, _Running]) -> Iterator[None]:
    """Leave no thread behind, whatever happens: the interpreter may crash if it ends while one is in the engine."""
    try:
        yield
    finally:
        for one in running.values():
            one.interrupt.request()
        for one in running.values():
            if one.thread.ident is not None:  # else it could not be started
                one.thread.join()


def _outcome(job: Job, threads: int, tell: Callable[[Any], None], interrupt: Interrupt) -> Outcome:
    """Do a job."""
    try:
        return Outcome(job.name, job.function(*job.arguments, threads=threads, tell=tell, interrupt=interrupt))
    except KeyboardInterrupt:
        return Outcome(job.name, interrupted=True)
    except TaylorfitError as error:
        return Outcome(job.name, error=str(error))
    except Exception as error:
        return Outcome(job.name, error=f"{type(error).__name__}: {error}")
