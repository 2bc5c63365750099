"""Kill runs at random times and see what is lost: ``python tests/kill_runs.py [N] [SEED]``.

Each command runs in a folder of its own, is killed (SIGKILL) after a random part of the time that it takes, and runs
again, as a user would do; after that all results must be those of a run that was left alone, whatever was killed, and
no temporary files may be left.  A table says how many were tried, how many came to their end, and what was lost.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ase.io import read, write

from calculator_cases import random_atoms, write_member
from cli_support import make_toy, run_process, start, succeed, taylor, train_in
from learn_cases import write_learn

TRAIN = {"iterations": 60, "testpercent": 25, "checkpoint": 3, "hidden": "1 4:tanh", "verbosity": "high"}
MD = "STRUCTURE first.xyz\nPOTENTIALS\none one\n\nTIMESTEP 0.1\nSTEPS 200\nSAMPLE 2\nTHREADS 1\nTRAJECTORY run.extxyz\n"


@dataclass(frozen=True)
class Command:
    """A command to be killed, what a user types after that, and the files that must be the same."""

    words: tuple[str, ...]
    again: Callable[[Path], tuple[str, ...]]
    results: tuple[str, ...]


def _resume(*files: str) -> Callable[[Path], tuple[str, ...]]:
    """Resume if there is something to resume from, else begin anew, without what is there."""
    return lambda folder: ("--resume",) if any(True for name in files for _ in folder.glob(name)) else ("--fresh",)


def _resume_md(folder: Path) -> tuple[str, ...]:
    return ("--resume",) if (folder / "md.checkpoint.npz").exists() else ("--force",)


COMMANDS = {
    "generate": Command(
        ("generate", "generate.in"), lambda folder: ("--force",), ("toy.train", "toy.train.geometry", "copies.train")
    ),
    "generate --write-xsf": Command(
        ("generate", "generate.in", "--force", "--write-xsf", "xsf-copies"), lambda folder: (), ("xsf-copies/*",)
    ),
    "train": Command(("train", "train.in"), _resume("train.checkpoint.npz"), ("Ar.nn", "Ar.nn.last")),
    "committee": Command(
        ("train", "committee.in"),
        lambda folder: ("--resume",) if list(folder.glob("committee*/*/*.npz")) else (),
        ("Ar.nn", "committee/*/Ar.nn", "committee/*/Ar.nn.last"),
    ),
    "scan": Command(("scan", "scan.in"), lambda folder: (), ("scan/points/*/Ar.nn", "scan/sets/*/*.train")),
    "md": Command(("md", "md.in"), _resume_md, ("md.steps.csv", "md.starts.csv", "run.extxyz")),
}
MORE = {
    "train, single": Command(("train", "single.in"), _resume("single.checkpoint.npz"), ("Ar.nn", "Ar.nn.last")),
    "learn": Command(
        ("learn", "learn.in"), lambda folder: (), tuple(f"learnt/{name}" for name in ("data.extxyz", "potential/Cu.nn"))
    ),
    "label": Command(
        ("label", "pool.xyz", "--reference", "ase.calculators.emt:EMT", "--processes", "2", "--output", "new.extxyz"),
        lambda folder: ("--force",),
        ("new.extxyz",),
    ),
    "select": Command(
        ("select", "pool.xyz", "-n", "5", "--output", "chosen.extxyz"), lambda folder: ("--force",), ("chosen.extxyz",)
    ),
}
"""Killed by `main` only, for they take longer."""
ALL = COMMANDS | MORE


def make(folder: Path) -> None:
    """Fill a folder with inputs, and with what the commands need of each other."""
    make_toy(folder, 12, extra=taylor(delta=0.03, fraction=8, outfile="copies.train"))
    succeed(folder, "generate", "generate.in")
    for name, more in (("train.in", {}), ("committee.in", {"committee": "3"})):
        (folder / name).write_text(train_in(**TRAIN, **more).replace("bfgs", "adam"))
    (folder / "scan.in").write_text("GENERATE generate.in\nTRAIN train.in\n\nSCAN\nmode energy taylor\nseeds 1 2\n")
    (folder / "md.in").write_text(MD)
    single = train_in(**TRAIN, precision="single", forces="mode=exact beta=0.01")
    (folder / "single.in").write_text(single)
    write_learn(folder)
    write(folder / "pool.xyz", [frame for _ in range(4) for frame in read(folder / "start.xyz", ":")])
    atoms = random_atoms()
    write_member(folder / "one", atoms, 1)
    write(folder / "first.xyz", atoms, format="extxyz")


def results(folder: Path, command: Command) -> dict[str, bytes]:
    """The files that must be the same."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in command.results
        for path in sorted(folder.glob(pattern))
    }


@dataclass
class Tally:
    """What became of the runs of a command."""

    tried: int = 0
    killed: int = 0
    """Before their end."""
    survived: int = 0
    lost: tuple[str, ...] = ()


def try_kill(name: str, base: Path, expected: dict[str, bytes], seconds: float, tally: Tally) -> None:
    """Kill a run after some time, run again, and compare."""
    command = ALL[name]
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(shutil.copytree(base, Path(parent) / "toy"))
        if name == "generate":
            for file in command.results:
                (folder / file).unlink()
        process = start(folder, *command.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        tally.tried += 1
        tally.killed += process.wait() == -signal.SIGKILL
        if name == "generate --write-xsf" and (folder / "xsf-copies").exists():
            again = None  # it is there as a whole, and a folder with files is not written to
        else:
            again = run_process(folder, *command.words, *command.again(folder))
        problem = None
        if again is not None and again.code:
            problem = f"exit code {again.code}: {again.err.strip()}"
        elif results(folder, command) != expected:
            problem = "other results"
        elif left := [str(path.relative_to(folder)) for path in folder.rglob(".*")]:
            problem = f"left: {' '.join(left)}"
        if problem:
            tally.lost += (f"{name}, killed after {seconds:.3f} s: {problem}",)
        else:
            tally.survived += 1


def kill_all(names: Iterable[str], n: int, seed: int, folder: Path) -> dict[str, Tally]:
    """Kill each command `n` times."""
    base = folder / "base"
    make(base)
    rng = random.Random(seed)
    tallies = {}
    for name in names:
        whole = Path(shutil.copytree(base, folder / name.replace(" ", "")))
        if name == "generate":
            for file in ALL[name].results:
                (whole / file).unlink()
        begin = time.perf_counter()
        finished = run_process(whole, *ALL[name].words)
        duration = time.perf_counter() - begin
        assert finished.code == 0, finished.err
        expected = results(whole, ALL[name])
        assert expected
        tallies[name] = Tally()
        for _ in range(n):
            # Little is written in the first part, in which the program is loaded
            try_kill(name, base, expected, rng.uniform(0.2, 1.02) * duration, tallies[name])
    return tallies


def main() -> int:
    """Print the table."""
    n, seed = (int(word) for word in (sys.argv[1:] + ["20", "1"][len(sys.argv) - 1 :])[:2])
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        print("command                tried  killed  survived  lost")
        for name, tally in kill_all(ALL, n, seed, Path(folder)).items():
            print(f"{name:22s} {tally.tried:5d} {tally.killed:7d} {tally.survived:9d} {len(tally.lost):5d}")
            lost += tally.lost
    print(*lost, sep="\n")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
