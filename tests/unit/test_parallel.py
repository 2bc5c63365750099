"""Jobs in processes of their own: threads shared out, failures told apart, Ctrl-C; values shared between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import parallel_jobs
from taylorfit.errors import TaylorfitError
from taylorfit.tools.parallel import Job, Outcome, run_jobs, threads_for_next
from taylorfit.tools.sharing import share


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


def test_results_come_in_the_order_of_the_jobs_and_failures_are_told_apart() -> None:
    jobs = [
        Job("sum", parallel_jobs.add, (1, 2)),
        *(Job(kind, parallel_jobs.fail, (kind,)) for kind in ("input", "bug", "kill", "exit")),
    ]
    told, ended = [], []
    outcomes, interrupted = run_jobs(jobs, 3, told=lambda *what: told.append(what), ended=ended.append)
    assert not interrupted
    assert outcomes == [
        Outcome("sum", (3, 1)),
        Outcome("input", error="a.in, line 3: is bad"),
        Outcome("bug", error="ZeroDivisionError: none left"),
        Outcome("kill", error="its process was killed by signal 9 (out of memory?)"),
        Outcome("exit", error="its process ended with exit code 3"),
    ]
    assert sorted(ended, key=outcomes.index) == outcomes
    assert told == [("sum", "adding")]


def test_a_script_may_start_processes_without_guarding_its_main_part(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"""
import sys
sys.path.insert(0, {str(Path(parallel_jobs.__file__).parent)!r})
import parallel_jobs
from taylorfit.tools.parallel import Job, run_jobs
print("begin")
print(run_jobs([Job("sum", parallel_jobs.add, (1, 2))], 1)[0][0].result)
""")
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (found.stdout, found.stderr) == ("begin\n(3, 1)\n", "")


def interrupt_when(folder: Path, *names: str) -> threading.Thread:
    """Send this process a Ctrl-C as soon as each of the files is there, one after the other."""

    def watch() -> None:
        for name in names:
            while not (folder / name).exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_ctrl_c_stops_what_runs_and_starts_no_more(tmp_path: Path) -> None:
    jobs = [Job(name, parallel_jobs.wait, (tmp_path, name, True)) for name in ("first", "second")]
    thread = interrupt_when(tmp_path, "first")
    outcomes, interrupted = run_jobs(jobs, 1)
    thread.join()
    assert interrupted and all(outcome.interrupted for outcome in outcomes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "first.stopped"]


def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    thread = interrupt_when(tmp_path, "stubborn", "stubborn.stopped")
    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job("stubborn", parallel_jobs.wait, (tmp_path, "stubborn", False))], 1)
    thread.join()


@pytest.fixture
def value() -> dict[str, Any]:
    """Arrays of all kinds, one of them empty."""
    rng = np.random.default_rng(1)
    return {
        "array": rng.random(1000),
        "matrix": np.asfortranarray(rng.random((7, 5))),
        "empty": np.zeros((0, 3)),
        "words": ["a", "ä"],
        "whole": np.arange(3, dtype=np.int32),
        "flags": np.array([True, False]),
    }


def test_a_shared_value_is_mapped_aligned_and_equal(value: dict[str, Any], tmp_path: Path) -> None:
    shared = share(value, tmp_path / "data")
    assert len(shared.pickled) < 1500 < (tmp_path / "data").stat().st_size
    found = shared.load()
    (tmp_path / "data").unlink()
    assert found["words"] == value["words"] and set(found) == set(value)
    for key in set(value) - {"words"}:
        assert found[key].dtype == value[key].dtype and found[key].flags.f_contiguous == value[key].flags.f_contiguous
        np.testing.assert_array_equal(found[key], value[key])
        assert not found[key].flags.owndata
        assert found[key].size == 0 or found[key].ctypes.data % 64 == 0


def test_what_a_process_writes_into_a_shared_value_stays_there(value: dict[str, Any], tmp_path: Path) -> None:
    shared = share(value, tmp_path / "data")
    outcomes, _ = run_jobs([Job(name, parallel_jobs.double, (shared,)) for name in ("a", "b")], 2)
    assert [outcome.result for outcome in outcomes] == [pytest.approx(2 * value["array"].sum())] * 2
    np.testing.assert_array_equal(shared.load()["array"], value["array"])


def test_no_room_for_a_shared_value_is_one_clear_complaint(value: dict[str, Any]) -> None:
    with pytest.raises(TaylorfitError, match="/dev/full: the data that processes share cannot be written .*TMPDIR"):
        share({"array": np.zeros(100000)}, "/dev/full")
