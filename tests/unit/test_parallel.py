"""Jobs in threads of their own: threads shared out, failures told apart, Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from taylorfit.analysis.errors import validate
from taylorfit.engine import Loss, NetworkTables, StopToken
from taylorfit.errors import InputError
from taylorfit.model.network import Network
from taylorfit.model.structure import Structure
from taylorfit.tools.interrupts import Interrupt
from taylorfit.tools.parallel import Job, Outcome, in_order, run_jobs, threads_for_next


@pytest.mark.parametrize(
    ("free", "waiting", "expected"),
    ((2, 10, [1, 1]), (5, 2, [3, 2]), (8, 3, [3, 3, 2]), (4, 1, [4]), (1, 5, [1]), (3, 3, [1, 1, 1])),
)
def test_free_threads_are_shared_out_among_jobs_that_can_start(free: int, waiting: int, expected: list[int]) -> None:
    given = []
    while free and waiting:
        given.append(threads_for_next(free, waiting))
        free, waiting = free - given[-1], waiting - 1
    assert given == expected and free == 0


def add(a: int, b: int, *, threads: int, tell: Any, interrupt: Interrupt) -> tuple[int, int]:
    """Return the sum and the threads."""
    tell("adding")
    return a + b, threads


def fail(error: BaseException, **_: Any) -> None:
    """Raise it."""
    raise error


def test_results_come_in_the_order_of_the_jobs_and_failures_are_told_apart() -> None:
    jobs = [
        Job("sum", add, (1, 2)),
        Job("input", fail, (InputError("is bad", file="a.in", line=3),)),
        Job("bug", fail, (ZeroDivisionError("none left"),)),
        Job("interrupt", fail, (KeyboardInterrupt(),)),
    ]
    told, ended = [], []
    outcomes, interrupted = run_jobs(jobs, 3, told=lambda *what: told.append(what), ended=ended.append)
    assert not interrupted
    assert outcomes == [
        Outcome("sum", (3, 1)),
        Outcome("input", error="a.in, line 3: is bad"),
        Outcome("bug", error="ZeroDivisionError: none left"),
        Outcome("interrupt", interrupted=True),
    ]
    assert sorted(ended, key=outcomes.index) == outcomes
    assert told == [("sum", "adding")]


def test_no_more_run_at_a_time_than_there_are_threads() -> None:
    most, now, lock = [0], [0], threading.Lock()
    together = threading.Barrier(2, timeout=30)

    def work(**_: Any) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()  # with the other of two that run at the same time
        with lock:
            now[0] -= 1

    outcomes, _ = run_jobs([Job(str(k), work) for k in range(6)], 2)
    assert most == [2] and not any(outcome.error for outcome in outcomes)


def test_nothing_is_begun_after_stop() -> None:
    ended: list[Outcome] = []
    jobs = [Job(str(k), add, (k, k)) for k in range(3)]
    outcomes, interrupted = run_jobs(jobs, 1, ended=ended.append, stop=lambda: len(ended) == 1)
    assert [outcome.result for outcome in outcomes] == [(0, 1), None, None] and not interrupted
    assert [outcome.interrupted for outcome in outcomes] == [False, True, True]


def press_ctrl_c(name: str, message: Any) -> None:
    """Interrupt this process, when a job tells that it runs."""
    os.kill(os.getpid(), signal.SIGINT)


def obey(*, threads: int, tell: Any, interrupt: Interrupt) -> None:
    """Run until interrupted, as calls of the engine do."""
    ended = threading.Event()
    interrupt.also(ended.set)
    with interrupt.allowed():
        tell("runs")
        assert ended.wait(30)


def test_ctrl_c_stops_what_runs_and_starts_no_more() -> None:
    outcomes, interrupted = run_jobs([Job("first", obey), Job("second", add, (1, 2))], 1, told=press_ctrl_c)
    assert interrupted and outcomes == [Outcome("first", interrupted=True), Outcome("second", interrupted=True)]


def test_a_second_ctrl_c_raises_once_all_have_ended() -> None:
    ended: list[str] = []

    def stubborn(*, threads: int, tell: Any, interrupt: Interrupt) -> None:
        for what in ("first", "second"):
            asked = threading.Event()
            interrupt.taken()
            interrupt.also(asked.set)
            tell(what)
            assert asked.wait(30)
            ended.append(what)

    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job("stubborn", stubborn)], 1, told=press_ctrl_c)
    assert ended == ["first", "second"]


def test_no_thread_is_left_behind_by_an_error_of_this_one() -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    n_before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        run_jobs([Job("a", obey), Job("b", obey)], 2, told=break_down)
    assert threading.active_count() == n_before


def test_ctrl_c_reaches_into_a_call_of_the_engine() -> None:
    """Each call alone would go on for minutes."""
    n, n_steps = 64, 40_000_000
    rng = np.random.default_rng(0)
    pack = SimpleNamespace(
        first_leaf=0,
        features=rng.normal(size=3 * n),
        panel_offset=np.zeros((1, 1), dtype=np.int64),
        panel_width=np.full((1, 1), n, dtype=np.int32),
        block_first=np.array([0, n], dtype=np.int32),
        atom_offset=np.arange(n, dtype=np.int32)[:, None].copy(),
        atom_count=np.ones((n, 1), dtype=np.int32),
        energy=rng.normal(size=n),
    )
    network = Network.random((3, 2, 1), (1, 0), rng)
    taken: list[int] = []

    def train(*, threads: int, tell: Any, interrupt: Interrupt) -> None:
        stop, done = StopToken(), np.zeros(1, dtype=np.int32)
        interrupt.also(stop.set)
        tables, ones = NetworkTables.from_networks([network]), np.ones(n)
        loss = Loss(pack, tables, ones, ones, threads=threads, stop=stop)
        w, rows = network.weights.copy(), np.ones((3, n_steps), dtype=np.int32)
        tell("runs")
        loss.adam(rows, 1, (1e-6, 0.9, 0.99, 1e-8, 0.0), w, np.zeros_like(w), np.zeros_like(w), done)
        taken.append(int(done[0]))

    def press_once(name: str, message: object) -> None:
        if name == "b":
            press_ctrl_c(name, message)

    _, interrupted = run_jobs([Job("a", train), Job("b", train)], 2, told=press_once)
    assert interrupted and len(taken) == 2 and max(taken) < n_steps


def test_a_validation_ends_where_a_training_is_to_stop() -> None:
    stop = StopToken()
    structures = [Structure(("H",), np.zeros((1, 3)))]
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        validate(structures, None, {}, 1, stop)


def test_threads_take_quick_turns_while_jobs_run():
    before = sys.getswitchinterval()
    during: list[float] = []

    def job(**_: object) -> None:
        during.append(sys.getswitchinterval())

    run_jobs([Job("a", job)], 1)
    assert during[0] <= 2e-3 and sys.getswitchinterval() == before


def test_what_is_made_in_threads_comes_in_order_and_not_far_ahead() -> None:
    begun: list[int] = []
    all_wait = threading.Barrier(3, timeout=10.0)

    def one(item: int) -> int:
        begun.append(item)
        if item < 3:
            all_wait.wait()  # three at a time, or this breaks
        return item * item

    made = in_order(one, range(20), 3)
    assert next(made) == 0 and max(begun) <= 5
    assert list(made) == [item * item for item in range(1, 20)]
    assert not [thread for thread in threading.enumerate() if thread is not threading.current_thread()]


def test_the_first_error_in_order_is_raised_when_no_thread_works_any_more() -> None:
    later = threading.Event()
    ended: list[int] = []

    def one(item: int) -> int:
        if item == 1:
            assert later.wait(10.0)
            raise InputError("first")
        if item == 2:
            later.set()
            raise InputError("second")
        ended.append(item)
        return item

    with pytest.raises(InputError, match="first"):
        list(in_order(one, range(30), 3))
    assert 0 in ended and len(ended) < 8
    assert not [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
