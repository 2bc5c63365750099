"""What queues and their users do: two runs into one place, signals, kills at any time."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import ase.io
import pytest
from ase.io import write

import kill_runs
from calculator_cases import random_atoms, write_member
from cli_support import contents, make_toy, run, start, succeed, taylor, train_in
from taylorfit.tools.locks import alone

SCAN = "GENERATE generate.in\nTRAIN train.in\n\nSCAN\nmode energy taylor\nseeds 1 2\n"
MD = "STRUCTURE start.xyz\nPOTENTIALS\none one\n\nTIMESTEP 0.1\nSTEPS 20\nSAMPLE 5\nTHREADS 1\nTRAJECTORY run.extxyz\n"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Morse clusters, training sets, and an input file of each command that runs for long."""
    folder = tmp_path_factory.mktemp("generated")
    make_toy(folder, 12, extra=taylor(delta=0.03, fraction=4, outfile="copies.train"))
    succeed(folder, "generate", "generate.in")
    (folder / "scan.in").write_text(SCAN)
    (folder / "md.in").write_text(MD)
    write_train(folder)
    atoms = random_atoms()
    write_member(folder / "one", atoms, 1)
    write(folder / "start.xyz", atoms, format="extxyz")
    return folder


def write_train(folder: Path, iterations: int = 4, method: str = "bfgs", **keywords: str) -> None:
    """Write train.in and committee.in."""
    common = {"iterations": iterations, "testpercent": 25, "checkpoint": 5, "hidden": "1 3:tanh", **keywords}
    for name, more in (("train.in", {}), ("committee.in", {"committee": "3"})):
        (folder / name).write_text(train_in(**common, **more).replace("bfgs", method))


@pytest.mark.parametrize(
    ("command", "places"),
    [
        (("train", "train.in"), ("Ar.nn", "train.checkpoint.npz")),
        (("train", "committee.in"), ("committee", "Ar.nn")),
        (("scan", "scan.in"), ("scan.csv", "scan")),
        (("md", "md.in"), ("md.checkpoint.npz", "run.extxyz")),
    ],
)
def test_a_second_run_into_one_place_is_refused(toy: Path, command: tuple[str, str], places: tuple[str, ...]) -> None:
    for place in places:
        with alone(toy / place):
            before = contents(toy)
            complaint = run(toy, *command).complaint
            assert complaint.startswith(f"{place}: another run is writing to it") and "another name" in complaint
            assert contents(toy) == before
    succeed(toy, *command)
    assert not list(toy.rglob(".*"))


# --- killed ------------------------------------------------------------------------------------


def left_behind(folder: Path) -> list[Path]:
    """Files that begin with a dot: temporary ones, locks and partial folders."""
    return sorted(folder.rglob(".*"))


@pytest.mark.parametrize(
    "command", [("generate", "generate.in", "--force"), ("train", "committee.in"), ("scan", "scan.in"), ("md", "md.in")]
)
def test_temporary_files_of_a_killed_run_go_with_the_next(toy: Path, command: tuple[str, ...]) -> None:
    succeed(toy, *command)
    (toy / "scan.csv").unlink(missing_ok=True)
    assert not left_behind(toy)
    for folder in [toy, *(path for path in toy.rglob("*") if path.is_dir() and path.name not in ("xsf", "one"))]:
        if any(path.is_file() for path in folder.iterdir()):
            (folder / ".Ar.nn.0123456789ab.tmp").write_text("half")
    assert left_behind(toy)
    succeed(toy, *command, *(["--force"] if command[0] == "md" else []))
    assert not left_behind(toy)


# --- signals -----------------------------------------------------------------------------------


def begun(folder: Path, command: tuple[str, str]) -> bool:
    """Whether a run of the command has something that would be lost."""
    if command[0] == "md":
        return (folder / "run.extxyz").exists()
    logs = [*folder.glob("committee.partial/*/*.log"), *folder.glob("scan/points/*.partial/train.log")]
    return any(re.search(r"\n +[1-9][0-9]* ", log.read_text()) for log in logs)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("command", [("train", "committee.in"), ("scan", "scan.in"), ("md", "md.in")])
def test_signals_end_every_long_command_and_it_goes_on(toy: Path, command: tuple[str, str], name: str) -> None:
    number = getattr(signal, name)
    write_train(toy, 1_000_000, method="adam", verbosity="high")
    (toy / "md.in").write_text(MD.replace("STEPS 20", "STEPS 1000000"))
    process = start(toy, *command)
    while process.poll() is None and not begun(toy, command):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130 if name == "SIGINT" else 128 + number, "")
    assert "interrupted" in out and not left_behind(toy)
    if command[0] == "md":
        last = int(ase.io.read(toy / "run.extxyz", -1).info["step"])
        (toy / "md.in").write_text(MD.replace("STEPS 20", f"STEPS {last + 10}"))
        succeed(toy, *command, "--resume")
        steps = [atoms.info["step"] for atoms in ase.io.read(toy / "run.extxyz", ":")]
        assert steps == list(range(0, last + 11, 5))
        return
    checkpoints = [*toy.glob("committee/*/*.npz"), *toy.glob("scan/points/*.partial/*.npz")]
    assert checkpoints
    # Of logs that have an epoch: points and members begin one after the other
    logs = [log.read_text() for log in toy.rglob("*.log") if "set" not in str(log)]
    last = max(int(epoch) for log in logs for epoch in re.findall(r"\n +([0-9]+) ", log)[-1:])
    write_train(toy, last + 5, method="adam", verbosity="high")
    succeed(toy, *command, *(["--resume"] if command[0] == "train" else []))
    assert not left_behind(toy)


@pytest.mark.parametrize("name", kill_runs.COMMANDS)
def test_nothing_is_lost_by_a_kill_at_a_random_time(tmp_path: Path, name: str) -> None:
    """More of it: python tests/kill_runs.py."""
    (tally,) = kill_runs.kill_all([name], 1, 5, tmp_path).values()
    assert (tally.tried, tally.survived, tally.lost) == (1, 1, ())
