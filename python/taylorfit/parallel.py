"""Jobs in processes of their own: some at a time, within a number of threads, stopped together.

Processes are spawned: a process forked after the engine has used its threads would hang.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from .errors import TaylorfitError
from .interrupts import deferred_interrupt, stop_requested

POLL = 0.1
"""Seconds between two looks for Ctrl-C while all processes work."""


@dataclass(frozen=True)
class Job:
    """A function to call in another process.

    It is called with `arguments`, and by name with `threads`, its share of them, and `tell`, which sends
    anything to the starting process.  It should end soon after a KeyboardInterrupt.
    """

    name: str
    function: Callable[..., Any]
    """Of a module, so that the other process finds it by name."""
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a result, with an error, or interrupted (perhaps before it began)."""

    name: str
    result: Any = None
    error: str | None = None
    """One line."""
    interrupted: bool = False


@dataclass(frozen=True)
class _Running:
    job: Job
    process: Any
    threads: int


def threads_for_next(free: int, waiting: int) -> int:
    """Threads of the next job to start: those that are free, shared out among the jobs that can start now."""
    return -(-free // min(free, waiting))


def run_jobs(
    jobs: Sequence[Job], threads: int, *, told: Callable[[str, Any], None] = lambda name, message: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[list[Outcome], bool]:
    """Run all jobs, at most `threads` at a time; return their outcomes, and whether the user interrupted.

    Ctrl-C interrupts the running jobs, waits for them, and starts no more; a second one kills them.  After a
    file STOP has appeared no more are started either.  A job that fails leaves the others alone.

    Parameters
    ----------
    told
        called with the name of a job and what it tells
    ended
        called with each outcome as it comes

    Raises
    ------
    KeyboardInterrupt
        at the second Ctrl-C.
    """
    waiting = deque(jobs)
    running: dict[Connection, _Running] = {}
    outcomes: dict[str, Outcome] = {}
    free = max(1, threads)
    stopping = False

    def note(outcome: Outcome) -> None:
        outcomes[outcome.name] = outcome
        ended(outcome)

    with deferred_interrupt() as interrupt:
        try:
            while waiting or running:
                if waiting and stop_requested():
                    waiting.clear()
                while waiting and free:
                    share = threads_for_next(free, len(waiting))
                    connection, started = _start(waiting.popleft(), share)
                    running[connection] = started
                    free -= share
                for connection in wait(list(running), timeout=POLL):
                    message = _received(connection, running[connection])
                    if not isinstance(message, Outcome):
                        told(running[connection].job.name, message)
                        continue
                    free += running[connection].threads
                    running.pop(connection).process.join()
                    connection.close()
                    note(message)
                if interrupt.taken():
                    if stopping:
                        raise KeyboardInterrupt
                    stopping = True
                    waiting.clear()
                    for entry in running.values():
                        entry.process.terminate()
        finally:
            for entry in running.values():
                entry.process.kill()
                entry.process.join()
    return [outcomes.get(job.name, Outcome(job.name, interrupted=True)) for job in jobs], stopping


def _start(job: Job, threads: int) -> tuple[Connection, _Running]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, job, threads), name=job.name, daemon=True)
    # Ctrl-C on a terminal reaches every process; it is for this one to pass it on, once
    with _blocked(signal.SIGINT):
        process.start()
    theirs.close()
    return ours, _Running(job, process, threads)


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back for a while; processes started meanwhile never get it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(connection: Connection, entry: _Running) -> Any:
    """What a process sends; if it has died, an outcome that says so."""
    with suppress(EOFError, OSError):
        return connection.recv()
    entry.process.join()
    code = entry.process.exitcode
    if code == -signal.SIGTERM:
        # Before it could listen: nothing had begun
        return Outcome(entry.job.name, interrupted=True)
    how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
    return Outcome(entry.job.name, error=f"its process {how}")


def _work(connection: Connection, job: Job, threads: int) -> None:
    """Do a job in a process of its own and send the outcome."""
    signal.signal(signal.SIGTERM, _pass_on)
    try:
        outcome = Outcome(job.name, job.function(*job.arguments, threads=threads, tell=connection.send))
    except KeyboardInterrupt:
        outcome = Outcome(job.name, interrupted=True)
    except BrokenPipeError:
        # The starting process has died
        os._exit(1)
    except TaylorfitError as error:
        outcome = Outcome(job.name, error=str(error))
    except Exception as error:
        outcome = Outcome(job.name, error=f"{type(error).__name__}: {error}")
    connection.send(outcome)


def _pass_on(number: int, frame: object) -> None:
    """Do on SIGTERM what this process does on Ctrl-C at this moment."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
