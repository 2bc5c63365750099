"""What queues and their users do: two runs into one place, signals, kills at any time."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.io import write

from calculator_cases import random_atoms, write_member
from cli_support import contents, make_toy, run, succeed, taylor, train_in
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


def write_train(folder: Path, iterations: int = 4) -> None:
    """Write train.in and committee.in."""
    common = {"iterations": iterations, "testpercent": 25, "checkpoint": 5, "hidden": "1 3:tanh"}
    (folder / "train.in").write_text(train_in(**common))
    (folder / "committee.in").write_text(train_in(**common, committee="3"))


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
