"""Jobs in processes of their own: some at a time, within a number of threads, stopped together.

Processes are spawned: a process forked after the engine has used its threads would hang.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from os import PathLike
from types import FrameType, ModuleType
from typing import Any

from ..errors import TaylorfitError
from .interrupts import deferred_interrupt

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


@dataclass
class _Worker:
    """A process that does one job after the other."""

    process: Any
    connection: Connection
    job: Job | None = None
    threads: int = 0


def threads_for_next(free: int, waiting: int) -> int:
    """Threads of the next job to start: those that are free, shared out among the jobs that can start now."""
    return -(-free // min(free, waiting))


def run_jobs(
    jobs: Sequence[Job],
    threads: int,
    *,
    told: Callable[[str, Any], None] = lambda name, message: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Outcome], bool]:
    """Run all jobs, at most `threads` at a time; return their outcomes, and whether the user interrupted.

    Ctrl-C interrupts the running jobs, waits for them, and starts no more; a second one kills them.  After
    `stop` has been true no more are started either.  A job that fails leaves the others alone.

    Parameters
    ----------
    told
        called with the name of a job and what it tells
    ended
        called with each outcome as it comes
    stop
        called before jobs are started

    Raises
    ------
    KeyboardInterrupt
        at the second Ctrl-C.
    """
    waiting = deque(jobs)
    workers: list[_Worker] = []
    outcomes: dict[str, Outcome] = {}
    free = max(1, threads)
    stopping = False

    def busy() -> dict[Any, tuple[_Worker, Job]]:
        return {worker.connection: (worker, worker.job) for worker in workers if worker.job is not None}

    with deferred_interrupt() as interrupt:
        try:
            while waiting or busy():
                if waiting and stop():
                    waiting.clear()
                while waiting and free:
                    idle = next((worker for worker in workers if worker.job is None), None)
                    if idle is None:
                        idle = _start()
                        workers.append(idle)
                    idle.job, idle.threads = waiting[0], threads_for_next(free, len(waiting))
                    free -= idle.threads
                    idle.connection.send((waiting.popleft(), idle.threads))
                running = busy()
                for connection in wait(list(running), timeout=POLL):
                    worker, job = running[connection]
                    message = _received(worker, job.name)
                    if not isinstance(message, Outcome):
                        told(job.name, message)
                        continue
                    free, worker.job = free + worker.threads, None
                    if worker.process.exitcode is not None:
                        workers.remove(worker)
                    outcomes[message.name] = message
                    ended(message)
                if interrupt.taken():
                    if stopping:
                        raise KeyboardInterrupt
                    stopping = True
                    waiting.clear()
                    for worker, _ in busy().values():
                        worker.process.terminate()
        finally:
            for worker in workers:
                worker.connection.close()
                if worker.job is not None:
                    worker.process.kill()
                worker.process.join()
    return [outcomes.get(job.name, Outcome(job.name, interrupted=True)) for job in jobs], stopping


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    # Its start would let the signal through that is held back below
    resource_tracker.ensure_running()
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    # Ctrl-C on a terminal reaches every process; it is for this one to pass it on, once
    with _blocked(signal.SIGINT), _without_main():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a process that is started from running the script of this one, which it would do to know its functions."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back for a while; processes started meanwhile never get it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(worker: _Worker, name: str) -> Any:
    """What a process sends that does the job of this name; if it has died, an outcome that says so."""
    with suppress(EOFError, OSError):
        return worker.connection.recv()
    worker.process.join()
    code = worker.process.exitcode
    if code in (0, -signal.SIGTERM):
        # Told to end before the job had begun
        return Outcome(name, interrupted=True)
    how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with exit code {code}"
    return Outcome(name, error=f"its process {how}")


def _work(connection: Connection) -> None:
    """Do the jobs that come, in a process of its own, and send the outcome of each, until no more come."""

    def send(message: Any) -> None:
        # Half a message would be worse than a late end
        with _blocked(signal.SIGTERM):
            connection.send(message)

    signal.signal(signal.SIGTERM, _pass_on)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        while True:
            job, threads = connection.recv()
            send(_outcome(job, threads, send))


def _outcome(job: Job, threads: int, tell: Callable[[Any], None]) -> Outcome:
    """Do a job."""
    try:
        return Outcome(job.name, job.function(*job.arguments, threads=threads, tell=tell))
    except KeyboardInterrupt:
        return Outcome(job.name, interrupted=True)
    except (BrokenPipeError, ConnectionResetError):
        # The starting process has died
        raise
    except TaylorfitError as error:
        return Outcome(job.name, error=str(error))
    except Exception as error:
        return Outcome(job.name, error=f"{type(error).__name__}: {error}")


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Do on SIGTERM what this process does on Ctrl-C at this moment."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


@contextmanager
def logged(path: str | PathLike[str], append: bool = False) -> Iterator[None]:
    """Send what this process prints to a file, errors and warnings too."""
    with open(path, "a" if append else "w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        yield
