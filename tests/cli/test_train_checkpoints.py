"""`train` through the command line: checkpoints, resumed runs, and what interrupts them."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import VALIDATED, contents, errors, outcome, run, start, succeed, train, train_in
from taylorfit.errors import InputError
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.reporting.training_log import EpochTable
from taylorfit.training.checkpoint import load_checkpoint, save_checkpoint


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(toy: Path) -> None:
    whole = outcome(toy, train(toy, "--fresh", iterations=60, **VALIDATED))
    part = train(toy, "--fresh", iterations=30, **VALIDATED)
    assert len(part["epochs"]) == 31
    resumed = train(toy, "--resume", iterations=60, **VALIDATED)
    assert outcome(toy, resumed) == whole


def test_a_run_killed_between_checkpoints_is_resumed_from_the_last_one(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outcome(toy, train(toy, "--fresh", iterations=40, **VALIDATED))
    for path in toy.glob("*.nn*"):
        path.unlink()
    (toy / "train.checkpoint.npz").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(EpochTable, "line", _power_cut_at(25))
        with pytest.raises(SystemError):
            train(toy, "--fresh", iterations=40, checkpoint=10, verbosity="high", **VALIDATED)
    assert not (toy / "Ar.nn").exists()
    resumed = train(toy, "--resume", iterations=40, checkpoint=10, **VALIDATED)
    assert outcome(toy, resumed) == whole


def _power_cut_at(epoch: int) -> Any:
    def line(table: EpochTable, found: Any) -> str:
        if found.epoch == epoch:
            raise SystemError("power cut")
        return ""

    return line


def test_ctrl_c_ends_a_run_and_it_can_be_resumed(toy: Path) -> None:
    keywords = {"verbosity": "high", "hidden": "2 20:tanh 20:tanh", "checkpoint": 1000000, **VALIDATED}
    (toy / "train.in").write_text(train_in(iterations=1000000, **keywords))
    process = start(toy, "train", "train.in", "--report", "report.json")
    for line in process.stdout:
        if re.match(r"\s+20 ", line):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted after epoch" in out and err == ""
    stopped = json.loads((toy / "report.json").read_text())
    assert stopped["interrupted"]
    last = stopped["epochs"][-1]["epoch"]
    assert last >= 20
    for name in ("Ar.nn", "Ar.nn.last"):
        read_potential(toy / name)
    assert len(errors(stopped)) == last + 1
    resumed = outcome(toy, train(toy, "--resume", iterations=last + 15, **keywords))
    whole = outcome(toy, train(toy, "--fresh", iterations=last + 15, **keywords))
    assert resumed == whole


@pytest.mark.parametrize(
    "change",
    (
        {"seed": 2},
        {"testpercent": 50},
        {"loss": "total"},
        {"copyweight": 0.5},
        {"hidden": "1 7:tanh"},
        {"taylorset": ""},
    ),
    ids=str,
)
def test_a_checkpoint_of_other_data_or_settings_is_refused(toy: Path, change: dict[str, Any]) -> None:
    train(toy, iterations=5, testpercent=25, taylorset="copies.train")
    for path in toy.glob("*.nn*"):
        path.unlink()
    keywords = {"iterations": 9, "testpercent": 25, "taylorset": "copies.train"} | change
    if not keywords["taylorset"]:
        del keywords["taylorset"]
    (toy / "train.in").write_text(train_in(**keywords))
    before = contents(toy)
    complaint = run(toy, "train", "train.in", "--resume").complaint
    assert "train.checkpoint.npz: the checkpoint belongs to other data" in complaint
    assert contents(toy) == before


def test_threads_and_length_may_differ_when_resuming(toy: Path) -> None:
    train(toy, iterations=5, patience=3)
    assert len(train(toy, "--resume", "--threads", "2", iterations=12, validation="xsf/00.xsf")["epochs"]) == 13


def test_resuming_a_finished_run_changes_nothing(toy: Path) -> None:
    first = outcome(toy, train(toy, iterations=12))
    assert outcome(toy, train(toy, "--resume", iterations=12)) == first
    assert outcome(toy, train(toy, "--resume", iterations=5)) == first


def test_every_damage_to_a_checkpoint_is_one_clear_complaint(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    arrays = {"weights": np.arange(5.0), "status": np.array("running")}
    save_checkpoint(path, arrays, "identity")
    intact = path.read_bytes()
    assert set(load_checkpoint(path, "identity")) == set(arrays)
    for cut in range(0, len(intact) - 1, 17):
        path.write_bytes(intact[:cut])
        with pytest.raises(InputError, match="is not a checkpoint or is damaged"):
            load_checkpoint(path, "identity")
    harmless = 0
    for position in range(0, len(intact), 3):
        path.write_bytes(intact[:position] + bytes([intact[position] ^ 0x5A]) + intact[position + 1 :])
        try:
            found = load_checkpoint(path, "identity")
        except InputError:
            continue
        harmless += 1  # e.g. a time stamp
        assert np.array_equal(found["weights"], arrays["weights"]) and str(found["status"]) == "running"
    assert harmless < 0.5 * len(intact) / 3


def test_resuming_says_when_nothing_is_done_or_nothing_is_there(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(testpercent=25, iterations=5))
    (toy / "train.checkpoint.npz").unlink(missing_ok=True)
    out = succeed(toy, "train", "train.in", "--resume", "--fresh").out
    assert "there is no train.checkpoint.npz to resume from: the training starts anew" in out
    for iterations, is_over in ((5, True), (3, True), (8, False)):
        (toy / "train.in").write_text(train_in(testpercent=25, iterations=iterations))
        out = succeed(toy, "train", "train.in", "--resume").out
        assert ("nothing was done" in out) == is_over


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_of_queues_end_a_run_like_ctrl_c(toy: Path, name: str) -> None:
    number = getattr(signal, name)
    (toy / "train.in").write_text(train_in(iterations=1000000, verbosity="high", checkpoint=1000000, **VALIDATED))
    process = start(toy, "train", "train.in", "--report", "report.json")
    for line in process.stdout:
        if re.match(r"\s+20 ", line):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number and "interrupted after epoch" in out and err == ""
    last = json.loads((toy / "report.json").read_text())["epochs"][-1]["epoch"]
    read_potential(toy / "Ar.nn")
    (toy / "train.in").write_text(train_in(iterations=last + 5, verbosity="high", checkpoint=1000000, **VALIDATED))
    assert f"at epoch {last}" in succeed(toy, "train", "train.in", "--resume").out


def test_a_signal_asks_for_a_checkpoint_and_the_run_goes_on(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=1000000, verbosity="high", checkpoint=1000000, **VALIDATED))
    process = start(toy, "train", "train.in", "--fresh")
    begun = 0
    for line in process.stdout:
        found = re.match(r"\s+(\d+) ", line)
        if found and int(found[1]) == 20:
            assert not (toy / "train.checkpoint.npz").exists()
            process.send_signal(signal.SIGUSR1)
        begun = int(found[1]) if found else begun
        if begun >= 20 and (toy / "train.checkpoint.npz").exists():
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert begun >= 20
    (toy / "train.in").write_text(train_in(iterations=begun + 100, checkpoint=1000000, **VALIDATED))
    assert "resumed from train.checkpoint.npz at epoch" in succeed(toy, "train", "train.in", "--resume").out


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taylorfit.training import run as module

    calls: list[int] = []

    def full_disk_at_first(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) <= 2:
            raise InputError("cannot be written: No space left on device", file="train.checkpoint.npz")
        save_checkpoint(*arguments)

    monkeypatch.setattr(module, "save_checkpoint", full_disk_at_first)
    (toy / "train.in").write_text(train_in(iterations=12, checkpoint=5, **VALIDATED))
    out = succeed(toy, "train", "train.in", "--fresh").out
    assert out.count("warning: no checkpoint") == 2 and "No space left on device" in out
    monkeypatch.undo()
    (toy / "train.in").write_text(train_in(iterations=14, checkpoint=5, **VALIDATED))
    assert "at epoch 12" in succeed(toy, "train", "train.in", "--resume").out


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the disk be full for files of these names."""
    from taylorfit.tools import atomic_write as module

    put = module._put_in_place

    def full(temporary: Path, target: Path, path: Path, overwrite: bool) -> None:
        if path.name in names:
            raise OSError(28, "No space left on device", str(temporary))
        put(temporary, target, path, overwrite)

    monkeypatch.setattr(module, "_put_in_place", full)


def test_a_full_disk_at_the_end_leaves_what_can_be_written(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = train_in(iterations=12, checkpoint=5, save_energies=True, timing=True, **VALIDATED)
    (toy / "train.in").write_text(text)
    for name in ("Ar.nn", "Ar.nn.last", "train.checkpoint.npz"):
        (toy / name).unlink(missing_ok=True)
    for missing in ("Ar.nn", "Ar.nn.last", "energies.train.0", "train.time"):
        with monkeypatch.context() as patch:
            refuse(patch, missing)
            result = run(toy, "train", "train.in", "--fresh")
        assert (
            f"{missing}: cannot be written: No space left on device; the other files are complete" in result.complaint
        )
        assert "train.checkpoint.npz has the training" in result.complaint
        assert "best epoch" in result.out and "validation, best epoch" in result.out
        files = {"Ar.nn", "Ar.nn.last", "energies.train.0", "train.time", "train.checkpoint.npz"}
        assert {name for name in files if (toy / name).exists()} == files - {missing}
        succeed(toy, "train", "train.in", "--resume")
        assert all((toy / name).exists() for name in files)
        for name in files:
            (toy / name).unlink()
    refuse(monkeypatch, "Ar.nn", "Ar.nn.last", "energies.train.0", "train.time", "train.checkpoint.npz")
    result = run(toy, "train", "train.in", "--fresh")
    assert result.complaint.endswith("nothing is saved") and "the training cannot be resumed" in result.out
    assert not list(toy.glob("*.nn*")) and not list(toy.glob(".*"))
