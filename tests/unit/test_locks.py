"""Locks on outputs, and what killed runs leave."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taylorfit.errors import InputError
from taylorfit.tools.atomic_write import atomic_write, remove_left
from taylorfit.tools.locks import alone


@pytest.mark.parametrize("name", ["file", "folder", "new/folder/file", "n" * 255])
def test_a_place_belongs_to_one_run_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(name)
    before = sorted(tmp_path.iterdir())
    told: list[str] = []
    with alone(tmp_path / name, tmp_path / "other", tell=told.append):
        for second in (name, "link", f"./{name}", "other"):
            with pytest.raises(InputError, match=rf"another run is writing.*process {os.getpid()}"):
                with alone(tmp_path / second, tell=told.append):
                    pass
        with alone(tmp_path / "third", tell=told.append):
            pass
    with alone(tmp_path / name, tell=told.append):
        pass
    assert not told and sorted(tmp_path.iterdir()) == before


def test_devices_need_no_lock_and_the_same_place_twice_is_one() -> None:
    with alone("/dev/null", "/dev/null"), alone("/dev/null"):
        pass


def test_the_lock_file_of_a_killed_run_does_not_hinder(tmp_path: Path) -> None:
    code = "import sys, time\nfrom taylorfit.tools.locks import alone\n"
    code += "with alone(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(600)\n"
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"process {process.pid} "), alone(tmp_path / "x"):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == [".x.lock"]
    with alone(tmp_path / "x"):
        pass
    assert not list(tmp_path.iterdir())


def test_without_locks_there_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / f".x.{'0' * 12}.tmp").write_text("perhaps in use")
    told: list[str] = []
    with alone(tmp_path / "x", tell=told.append), alone(tmp_path / "x", tell=told.append):
        pass
    assert len(told) == 2 and "No locks available" in told[0] and "would not be noticed" in told[0]
    assert [path.name for path in tmp_path.iterdir()] == [f".x.{'0' * 12}.tmp"]


def test_temporary_files_go_that_nobody_writes(tmp_path: Path) -> None:
    others = [".x.tmp", "x.0123456789ab.tmp", ".x.0123456789AB.tmp", ".x.0123456789ab"]
    for name in [*others, ".x.0123456789ab.tmp", f".{'y' * 40}.ffffffffffff.tmp"]:
        (tmp_path / name).write_text("left")
    with atomic_write(tmp_path / "x") as file:
        file.write("new")
        remove_left(tmp_path)
    assert (tmp_path / "x").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "x"])
