"""`learn`: from a few frames to data, a committee and a statement; whatever kills it, it ends with the same bits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from cli_support import report, run
from learn_cases import learn_in
from learn_cases import write_learn as start
from taylorfit import Exploration, LabelBudget, Reference, learn, repel
from taylorfit.errors import InputError
from taylorfit.formats.structures.files import read_files
from taylorfit.learning.rounds import pushed_beyond
from taylorfit.model.distances import shortest_of_pairs
from taylorfit.potential.potential import load_members
from taylorfit.settings.learn import LearnInput
from taylorfit.settings.repulsion import RepulsionPlan

KEPT = (
    "data.extxyz",
    "statement.txt",
    "committee/01/Cu.nn",
    "committee/02/Cu.nn",
    "committee/data.limits",
    "potential/Cu.nn",
)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in KEPT}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learn")
    start(folder)
    found = report(folder, "learn", "learn.in", "--threads", "2")
    assert found["status"] == "labels spent"
    return folder


def test_rounds_are_labelled_reported_and_summed_up(learnt: Path) -> None:
    found = json.loads((learnt / "report.json").read_text())
    rounds = found["rounds"]
    assert [one["n_trained"] for one in rounds] == [6, 10, 14] and found["structures"] == 16
    assert [one["n_labels"] for one in rounds] == [0, 4, 8] and rounds[-1]["n_new"] == 2
    assert all(one["check_error"] > 0.0 and len(one["walks"]) == 4 for one in rounds)
    assert rounds[1]["calibration"] != 1.0
    assert len(read(learnt / "learnt/data.extxyz", ":")) == 16
    limits = load_members(learnt / "learnt/committee")[0].limits
    assert limits is not None and limits.force_std == rounds[-1]["high"] == 0.5
    # Not those of the copies with atoms pushed together
    kept = shortest_of_pairs(read_files([str(learnt / "learnt/data.extxyz")])[:14])["Cu-Cu"]
    assert limits.shortest["Cu-Cu"] == pytest.approx(kept, rel=1e-3)
    assert any("press, NPT at 700 K and 1 GPa" in line for line in found["statement"])
    assert (learnt / "learnt/rounds.png").exists()
    assert len((learnt / "learnt/rounds.csv").read_text().splitlines()) == 4


def test_runs_are_wrong_where_frames_that_check_them_are_far_off(learnt: Path, tmp_path: Path) -> None:
    shutil.copytree(learnt / "learnt", tmp_path / "learnt")
    start(tmp_path)
    folder = tmp_path / "learnt/round-03"
    known, chosen, before = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("explored", "chosen", "round")
    )
    assert chosen["roles"] == ["check", "check"]
    for walk in known["walks"]:
        walk["verdict"] = "held"
    frames = read_files([str(folder / "labelled.extxyz")])
    said = [member.evaluate(frames) for member in load_members(folder / "committee")]
    squares = [
        ((np.mean([one[k].known_forces for one in said], axis=0) - frame.known_forces) ** 2).sum(axis=1)
        for k, frame in enumerate(frames)
    ]
    runs = [known["walk"][place] for place in chosen["places"]]
    errors = {run: np.sqrt(np.mean([squares[k] for k in range(2) if runs[k] == run])) for run in runs}
    for share, verdict in ((0.99, "wrong"), (1.01, "held")):
        # As if the limit had been such that the largest error is just above it, or just allowed
        worst = max(errors, key=lambda run: errors[run])
        known["thresholds"] = [0.0, share * errors[worst] * 3.0 / before["calibration"]]
        (folder / "explored.json").write_text(json.dumps(known))
        (folder / "round.json").unlink()
        found = report(tmp_path, "learn", "learn.in")["rounds"][-1]
        assert found["walks"][worst]["verdict"] == verdict
        assert found["held"] == (0.75 if verdict == "wrong" else 1.0)


def test_copies_are_pushed_beyond_the_data(learnt: Path) -> None:
    frames = read_files([str(learnt / "learnt/data.extxyz")])
    copies = pushed_beyond(frames, RepulsionPlan(shortest_push=0.05))
    closest = shortest_of_pairs(frames)["Cu-Cu"]
    assert all(shortest_of_pairs([copy])["Cu-Cu"] < closest and copy.pushed_from for copy in copies)
    assert 0 < len(copies) < len(repel(frames, push=(0.05, 1.2)).structures)


def test_a_finished_run_is_not_run_again_and_other_settings_are_refused(learnt: Path) -> None:
    before = contents(learnt / "learnt")
    begun = {path: path.stat().st_mtime_ns for path in (learnt / "learnt/round-01").iterdir()}
    assert report(learnt, "learn", "learn.in")["status"] == "labels spent"
    assert contents(learnt / "learnt") == before
    assert {path: path.stat().st_mtime_ns for path in (learnt / "learnt/round-01").iterdir()} == begun
    (learnt / "other.in").write_text(learn_in().replace("EPOCHS 20", "EPOCHS 21"))
    assert "other settings" in run(learnt, "learn", "other.in").complaint
    # More labels are no other settings
    (learnt / "more.in").write_text(learn_in("more").replace("most=8", "most=4"))
    assert len(report(learnt, "learn", "more.in")["rounds"]) == 2
    (learnt / "more.in").write_text(learn_in("more"))
    assert len(report(learnt, "learn", "more.in")["rounds"]) >= 3


STAGES = (
    "round-01/checkpoints/01.checkpoint.npz",
    "round-01/trained.json",
    "round-01/explored.json",
    "round-01/chosen.json",
    "round-01/chosen.labels",
    "round-01/round.json",
    "round-02/explored.json",
    "round-03/trained.json",
)


def test_killed_in_every_stage_it_ends_with_the_same_bits(learnt: Path, tmp_path: Path) -> None:
    start(tmp_path)
    command = [sys.executable, "-m", "taylorfit", "learn", "learn.in", "--threads", "1"]
    killed = 0
    for stage in STAGES:
        wanted = tmp_path / "learnt" / stage
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        while process.poll() is None and not wanted.exists():
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 5
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "learnt") == contents(learnt / "learnt")


def test_labels_from_elsewhere_are_waited_for(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "learn.in").write_text(
        learn_in().replace("REFERENCE ase.calculators.emt:EMT", "REFERENCE external").replace("most=8", "most=4")
    )
    for n in (6, 4, 2):
        waits = run(tmp_path, "learn", "learn.in")
        assert waits.code == 3 and f"{n} frames wait" in waits.out, waits
        for folder in (tmp_path / "learnt/frames").iterdir():
            if not (folder / "output.extxyz").exists():
                atoms = read(folder / "frame.extxyz")
                from ase.calculators.emt import EMT

                atoms.calc = EMT()
                atoms.get_forces(), atoms.get_stress()
                write(folder / "output.extxyz", atoms)
    assert report(tmp_path, "learn", "learn.in")["status"] == "labels spent"


def test_members_go_on_from_those_of_the_round_before(learnt: Path, tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "learn.in").write_text(learn_in(warmstart=" .false.").replace("most=8", "most=4"))
    cold = report(tmp_path, "learn", "learn.in")["rounds"]
    warm = json.loads((learnt / "report.json").read_text())["rounds"]
    # The same data; twice the epochs in all
    assert cold[0]["train_rmse"] == warm[0]["train_rmse"]
    assert cold[1]["n_trained"] == warm[1]["n_trained"] and cold[1]["train_rmse"] > warm[1]["train_rmse"]


def test_as_a_function_it_is_quiet_and_stopped_by_a_function(tmp_path: Path, capsys) -> None:
    start(tmp_path)
    settings = LearnInput.read(tmp_path / "learn.in")
    seen = []
    learned = learn(
        read(tmp_path / "start.xyz", ":"),
        "ase.calculators.emt:EMT",
        Exploration("warm", temperature=400, steps=20, starts=2, timestep=4.0, sample=5),
        folder=tmp_path / "f",
        labels=LabelBudget(4, 8, 2),
        thresholds=settings.thresholds,
        committee=2,
        epochs=10,
        layers=[(4, "tanh")],
        threads=1,
        progress=lambda found: bool(seen.append(found)) or True,
    )
    assert learned.status == "stopped" and len(seen) == 1 and capsys.readouterr().out == ""
    assert learned.potential.species == ("Cu",) and len(learned.committee) == 2
    assert len(learned.structures) == 6 + seen[0].n_new > 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("warm  nvt", "warm  nvtx", "learn.in, line 6: .*nvtx"),
        ("warm  nvt", "warm", "line 6: not an exploration"),
        ("temperature=500", "temperature=-5", "line 6: temperature out of range"),
        ("nvt temperature=500", "nvt temperature=500 pressure=2", "line 6: a pressure does not go with nvt"),
        ("press npt", "warm npt", "a label twice"),
        ("check=2", "check=4", "line 4: no labels are left"),
        ("low=0 high=0.5", "low=0.6 high=0.5", "no deviation"),
        ("emt:EMT", "emt:EMT 3", "line 2: not an option"),
        ("ase.calculators.emt:EMT", "command=run.sh", "without {input}"),
        ("REPEL copies=1", "REPEL of", "line 15: not an option"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    start(tmp_path)
    text = learn_in()
    assert old in text
    (tmp_path / "learn.in").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        LearnInput.read(tmp_path / "learn.in")
    assert run(tmp_path, "learn", "learn.in").complaint


def test_input_files_are_written_as_they_are_read(tmp_path: Path) -> None:
    start(tmp_path)
    settings = LearnInput.read(tmp_path / "learn.in")
    settings.write(tmp_path / "again.in")
    assert LearnInput.read(tmp_path / "again.in") == settings
    command = LearnInput(
        ("a b.xyz",), Reference(command="run {input} {output}"), (Exploration("x", "npt"),), repel=None
    )
    command.write(tmp_path / "command.in")
    assert LearnInput.read(tmp_path / "command.in") == command
