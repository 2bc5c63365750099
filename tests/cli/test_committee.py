"""`train` with COMMITTEE: members are ordinary trainings, run side by side, resumed, stopped and compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import (
    VALIDATED,
    contents,
    energies_file,
    make_toy,
    outcome,
    report,
    run,
    start,
    succeed,
    taylor,
    train,
    train_in,
)
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.data_limits import read_data_limits
from taylorfit.formats.structures.xsf import read_xsf
from taylorfit.model.network import Network
from taylorfit.potential.potential import Potential
from taylorfit.reporting.committee_log import table
from taylorfit.settings.train import NetworkSpec, TrainInput
from taylorfit.tools import progress
from taylorfit.tools.tables import text_lines
from taylorfit.training.checkpoint import load_checkpoint
from taylorfit.training.committee import MemberErrors, summary
from taylorfit.training.data import read_data
from taylorfit.training.networks import potentials_from, training_set_info
from taylorfit.training.outputs import write_potentials
from taylorfit.training.pack import Scaling
from taylorfit.training.prepare import prepare


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 Morse clusters of five atoms, toy.train, and Taylor copies in copies.train."""
    folder = tmp_path_factory.mktemp("generated")
    make_toy(folder, 24, extra=taylor(delta=0.03, fraction=4, outfile="copies.train"))
    succeed(folder, "generate", "generate.in")
    return folder


def outcomes(folder: Path, found: dict[str, Any]) -> list[tuple[Any, ...]]:
    """`outcome` of each member."""
    return [outcome(folder / member["folder"], member) for member in found["committee"]["members"]]


RUN = {"committee": 3, "threads": 2, "iterations": 15, **VALIDATED}


@dataclass(frozen=True)
class Trained:
    """A finished committee of three."""

    folder: Path
    report: dict[str, Any]
    out: str
    outcomes: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def trained(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """RUN in a folder that stays as it is."""
    folder = tmp_path_factory.mktemp("trained") / "toy"
    shutil.copytree(generated, folder)
    (folder / "train.in").write_text(train_in(**RUN))
    out = succeed(folder, "train", "train.in", "--report", "report.json").out
    found = json.loads((folder / "report.json").read_text())
    return Trained(folder, found, out, outcomes(folder, found))


# --- members are ordinary trainings ------------------------------------------------------------


def test_members_equal_single_trainings_from_the_same_weights_bit_for_bit(trained: Trained, toy: Path) -> None:
    members = trained.report["committee"]["members"]
    assert [member["folder"] for member in members] == [f"committee/{k:02d}" for k in (1, 2, 3)]
    training_set = read_trainset(toy / "toy.train")
    layers = (training_set.setups[0].n_feature, 6, 6, 1)
    for k, expected in enumerate(trained.outcomes):
        network = Network.random(layers, (1, 1, 0), np.random.default_rng([1, 2, k]))
        start = potentials_from(
            network.weights,
            [network],
            training_set.setups,
            training_set_info(training_set, "toy.train", Scaling.of(training_set)),
        )
        write_potentials(start, [NetworkSpec("Ar", str(toy / "Ar.nn"), None)])
        assert outcome(toy, train(toy, iterations=15, **VALIDATED)) == expected


@pytest.mark.parametrize(
    "keywords",
    (
        {"forces": "mode=taylor", **VALIDATED},
        {"forces": "mode=directional directions=5", **VALIDATED},
        {"forces": "mode=exact", "committee": "2 split=own"},
        {"testpercent": 0},
    ),
    ids=("taylor", "directional", "exact, own split", "no test set"),
)
def test_the_first_member_is_the_training_without_committee(toy: Path, keywords: dict[str, Any]) -> None:
    found = train(toy, **{"committee": 2, "iterations": 12, **keywords})
    first, second = outcomes(toy, found)
    single = train(toy, "--fresh", iterations=12, **{key: v for key, v in keywords.items() if key != "committee"})
    assert outcome(toy, single) == first != second
    assert "committee" not in single


def test_a_committee_remembers_its_data(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the members say of the test structures, computed here anew."""
    limits = read_data_limits(trained.folder / "committee")
    assert limits is not None and trained.report["committee"]["limits"] == asdict(limits)
    monkeypatch.chdir(trained.folder)
    settings = TrainInput.read("train.in")
    problem = prepare(settings, read_data(settings, "train.in", fresh=True), 1)
    assert problem.test is not None
    tested = [read_xsf(name) for name in problem.test.names]
    members = [Potential.load(f"committee/{k:02d}") for k in (1, 2, 3)]
    forces = np.array([np.concatenate([e.forces for e in member.evaluate(tested)]) for member in members])
    deviation = np.linalg.norm(forces.std(axis=0), axis=1)
    assert limits.force_std == pytest.approx(1.5 * np.percentile(deviation, 99.0), rel=5e-3)
    distances = [
        np.linalg.norm(a - b)
        for s in map(read_xsf, Path("xsf").iterdir())
        for k, a in enumerate(s.positions)
        for b in s.positions[:k]
    ]
    assert limits.shortest == {"Ar-Ar": pytest.approx(min(distances), rel=1e-3)}


def test_threads_and_processes_do_not_change_a_bit(trained: Trained, toy: Path) -> None:
    found = train(toy, "--threads", "5", **{**RUN, "committee": 2})
    assert outcomes(toy, found) == trained.outcomes[:2]
    assert outcomes(toy, train(toy, "--fresh", "--threads", "1", **{**RUN, "committee": 2})) == trained.outcomes[:2]


def test_own_splits_differ_and_the_same_split_does_not(toy: Path) -> None:
    tested = {}
    for split in ("same", "own"):
        train(toy, "--fresh", committee=f"2 split={split} folder={split}", iterations=0, save_energies=True)
        tested[split] = {
            tuple(row[-1] for row in energies_file(toy / split / member / "energies.test.0")) for member in ("01", "02")
        }
    assert (len(tested["same"]), len(tested["own"])) == (1, 2)
    assert not list(toy.glob("energies*"))


def test_a_committee_of_one_is_an_ordinary_training(toy: Path) -> None:
    expected = outcome(toy, train(toy, iterations=5))
    for options, keywords in (((), {"committee": 1}), (("--committee", "1"), {"committee": 5})):
        found = train(toy, "--fresh", *options, iterations=5, **keywords)
        assert outcome(toy, found) == expected and "committee" not in found
    assert not (toy / "committee").exists()


def test_the_option_overrides_the_keyword_and_members_go_on_from_their_potentials(toy: Path) -> None:
    first = train(toy, "--committee", "2", committee=7, iterations=10)
    assert first["committee"]["n"] == len(first["committee"]["members"]) == 2
    again = train(toy, committee=2, iterations=0)
    for before, after in zip(first["committee"]["members"], again["committee"]["members"]):
        best = next(epoch for epoch in before["epochs"] if epoch["epoch"] == before["best_epoch"])
        assert after["epochs"][0]["test_rmse"] == pytest.approx(best["test_rmse"], rel=1e-12)


# --- the best, the table, the report -----------------------------------------------------------


def test_the_best_member_goes_to_the_files_of_networks(trained: Trained) -> None:
    found, folder = trained.report, trained.folder
    best = int(np.argmin([member["best_value"] for member in found["committee"]["members"]])) + 1
    assert found["committee"]["best_member"] == best
    for name in ("Ar.nn", "Ar.nn.last"):
        assert (folder / name).read_bytes() == (folder / f"committee/{best:02d}" / name).read_bytes()
    assert found["potentials"] == ["Ar.nn"]
    assert outcome(folder, found) == trained.outcomes[best - 1]
    values = [member["validation"]["force_mae"] for member in found["committee"]["members"]]
    assert found["committee"]["median"]["force_mae"] == pytest.approx(np.median(values))
    assert found["committee"]["spread"]["force_mae"] == pytest.approx(np.std(values, ddof=1))
    assert found["committee"]["best"]["force_mae"] == values[best - 1]


def test_the_table_has_units_and_the_numbers_of_the_report(trained: Trained) -> None:
    found = trained.report["committee"]
    lines = trained.out.splitlines()
    head = next(k for k, line in enumerate(lines) if line.startswith("member  "))
    assert lines[head + 1].split() == ["epoch", "meV/atom", "meV/atom", "eV/Å", "meV/atom", *["eV/Å"] * 3, "s"]
    for member, line in zip(found["members"], lines[head + 3 : head + 6]):
        cells = line.split()
        assert int(cells[0]) == member["member"] and int(cells[2]) == member["best_epoch"]
        assert float(cells[4]) == pytest.approx(1e3 * member["epochs"][member["best_epoch"]]["test_rmse"], abs=6e-4)
        assert float(cells[7]) == pytest.approx(member["validation"]["force_mae"], abs=6e-5)
    titles = [line.split()[0] for line in lines[head + 7 : head + 10]]
    assert titles == ["best", "median", "spread"]
    for member in found["members"]:
        assert re.search(rf"^member {member['member']:02d} finished at epoch 15 in ", trained.out, re.MULTILINE)
        log = (trained.folder / member["folder"] / "train.log").read_text()
        assert "|-----TRAIN" in log and "best epoch" in log


def member(k: int, test: float | None, best_value: float | None = None) -> MemberErrors:
    """A member of one epoch without validation structures."""
    return MemberErrors(
        epochs=0,
        best_epoch=0,
        best_value=(0.01 * k if test is None else test) ** 2 if best_value is None else best_value,
        train_rmse=0.01 * k,
        test_rmse=test,
        test_force_rmse=None,
        energy_rmse=None,
        force_mae=None,
        force_rmse=None,
        force_error_norm_mean=None,
        seconds=1.0,
    )


def test_best_median_and_spread_by_hand() -> None:
    errors = {k: member(k, test) for k, test in ((1, 0.004), (2, 0.002), (5, 0.009))}
    found = summary(errors)
    assert found.best_member == 2 and found.best == errors[2]
    assert found.median.test_rmse == 0.004
    assert found.spread.test_rmse == pytest.approx(np.sqrt((1 + 9 + 16) / 2) * 1e-3)
    assert found.median.force_mae is None and found.spread.force_mae is None
    assert "force" not in "".join(text_lines(table(errors, found)))


def test_without_test_structures_the_training_error_decides_and_a_broken_member_never_wins() -> None:
    errors = {k: member(k, None) for k in (3, 2)}
    assert summary(errors).best_member == 2
    errors[2] = member(2, None, best_value=float("nan"))
    assert summary(errors).best_member == 3
    single = summary({1: member(1, 0.1)})
    assert single.spread.test_rmse is None and text_lines(table({1: single.best}, single))


# --- stopped and resumed -----------------------------------------------------------------------


def test_a_resumed_committee_equals_an_uninterrupted_one_and_may_grow(trained: Trained, toy: Path) -> None:
    train(toy, **{**RUN, "committee": 2, "iterations": 7})
    resumed = train(toy, "--resume", **RUN)
    assert outcomes(toy, resumed) == trained.outcomes
    before = contents(toy / "committee")
    (toy / "train.in").write_text(train_in(**RUN))
    assert "nothing was done: the trainings of all members" in succeed(toy, "train", "train.in", "--resume").out
    again = train(toy, "--resume", **RUN)
    assert outcomes(toy, again) == trained.outcomes
    seconds = [[member["seconds"] for member in found["committee"]["members"]] for found in (again, resumed)]
    assert seconds[0] == seconds[1]
    after = contents(toy / "committee")
    assert {path for path in before if after[path] != before[path]} == {f"{k:02d}/train.log" for k in (1, 2, 3)}


def write_endless(folder: Path, **keywords: Any) -> None:
    """Write a train.in that goes on for long (bfgs would converge)."""
    (folder / "train.in").write_text(train_in(**{"iterations": 1000000, **keywords}).replace("bfgs", "adam"))


def interrupt(folder: Path, send: Callable[[subprocess.Popen[str]], None], **keywords: Any) -> dict[str, Any]:
    """Train until the first two of three members are beyond epoch 20, interrupt by `send`; return the report."""
    write_endless(folder, **keywords)
    process = start(folder, "train", "train.in", "--report", "report.json", start_new_session=True)
    logs = [folder / f"committee.partial/0{k}/train.log" for k in (1, 2)]
    while process.poll() is None and not all(log.exists() and re.search(r"\n +20 ", log.read_text()) for log in logs):
        time.sleep(0.02)
    send(process)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "interrupted, 1 not begun; train --resume goes on" in out
    stopped = json.loads((folder / "report.json").read_text())
    assert [m["status"] for m in stopped["committee"]["members"]] == ["interrupted"] * 2
    read_potential(folder / "Ar.nn")
    return stopped


LONG = {
    "committee": 3,
    "threads": 2,
    "verbosity": "high",
    "checkpoint": 1000000,
    "hidden": "2 20:tanh 20:tanh",
    **VALIDATED,
}


def test_ctrl_c_stops_all_members_cleanly_and_they_can_be_resumed(toy: Path) -> None:
    stopped = interrupt(toy, lambda process: process.send_signal(signal.SIGINT), **LONG)
    last = max(m["epochs"][-1]["epoch"] for m in stopped["committee"]["members"]) + 5
    write_endless(toy, **LONG, iterations=last)
    resumed = outcomes(toy, report(toy, "train", "train.in", "--resume"))
    assert resumed == outcomes(toy, report(toy, "train", "train.in", "--fresh"))


def test_a_member_not_begun_does_not_resume_from_an_earlier_committee(toy: Path) -> None:
    """Its checkpoint is there, but belongs to other settings."""
    train(toy, **{**LONG, "iterations": 3, "seed": 5})
    assert (toy / "committee/03/train.checkpoint.npz").exists()
    stopped = interrupt(toy, lambda process: process.send_signal(signal.SIGINT), **LONG)
    last = max(m["epochs"][-1]["epoch"] for m in stopped["committee"]["members"]) + 5
    write_endless(toy, **LONG, iterations=last)
    resumed = report(toy, "train", "train.in", "--resume")
    assert [m["epochs"][-1]["epoch"] for m in resumed["committee"]["members"]] == [last] * 3
    assert resumed["committee"]["failed"] == []


def test_ctrl_c_on_a_terminal_reaches_all_processes_and_stops_them_once(toy: Path) -> None:
    interrupt(toy, lambda process: os.killpg(process.pid, signal.SIGINT), **LONG)


def test_a_file_named_stop_ends_all_members(toy: Path) -> None:
    write_endless(toy, **LONG)
    process = start(toy, "train", "train.in", "--report", "report.json")
    while process.poll() is None and not all((toy / f"committee.partial/0{k}/train.log").exists() for k in (1, 2)):
        time.sleep(0.02)
    (toy / "STOP").touch()
    assert process.wait(timeout=30) == 0
    members = json.loads((toy / "report.json").read_text())["committee"]["members"]
    assert [m["status"] for m in members] == ["stopped"] * 2
    assert load_checkpoint_epochs(toy / "committee/01/train.checkpoint.npz") == members[0]["epochs"][-1]["epoch"] + 1
    assert not (toy / "STOP").exists()
    (toy / "STOP").touch()
    assert run(toy, "train", "train.in").complaint == "STOP: no member was begun, expected no such file"


def load_checkpoint_epochs(path: Path) -> int:
    """How many epochs a checkpoint holds."""
    with np.load(path) as file:
        return len(load_checkpoint(path, str(file["identity"]))["history"])


def test_resume_without_a_checkpoint_starts_anew_and_says_so(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(committee=2, iterations=3))
    found = succeed(toy, "train", "train.in", "--resume")
    assert "note: there is no committee/01/train.checkpoint.npz to resume from" in found.out
    assert "epoch" in found.out and (toy / "committee/02/Ar.nn").exists()
    assert "to resume from" not in succeed(toy, "train", "train.in", "--resume").out


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_member_that_fails_leaves_the_others_alone(trained: Trained, toy: Path) -> None:
    (toy / "train.in").write_text(train_in(**RUN))
    (toy / "committee/02").mkdir(parents=True)
    (toy / "committee/02/Ar.nn").write_bytes(b"damaged")
    result = run(toy, "train", "train.in", "--report", "r.json")
    assert result.code == 2
    assert re.fullmatch(r"taylorfit: member 02: committee.partial/02/Ar\.nn: .*\n", result.err)
    found = json.loads((toy / "r.json").read_text())
    assert outcomes(toy, found) == [trained.outcomes[0], trained.outcomes[2]]
    assert [entry["member"] for entry in found["committee"]["failed"]] == [2]
    assert "Ar.nn" in found["committee"]["failed"][0]["error"]


def test_if_all_members_fail_so_does_the_committee(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(committee=3, threads=2))
    for k in (2, 3):
        (toy / f"committee/0{k}").mkdir(parents=True)
        (toy / f"committee/0{k}/Ar.nn").write_bytes(b"damaged")
    # The first member's is found before anything starts, as it would be without a committee
    (toy / "committee/01/Ar.nn").parent.mkdir()
    (toy / "committee/01/Ar.nn").write_bytes(b"damaged")
    assert run(toy, "train", "train.in").complaint.startswith("committee.partial/01/Ar.nn: ")


@pytest.mark.parametrize(
    ("line", "expected"),
    (
        ("COMMITTEE", "line 2: COMMITTEE without a number, expected e.g. COMMITTEE 10"),
        ("COMMITTEE n=3", "line 2: COMMITTEE without a number, expected e.g. COMMITTEE 10"),
        ("COMMITTEE ten", "line 2: is not an integer: found 'ten', expected an integer"),
        ("COMMITTEE 0", "line 2: COMMITTEE without members: found 0, expected an integer ≥ 1"),
        ("COMMITTEE 3 split=each", "line 2: unknown value: found 'each', expected one of same own"),
        ("COMMITTEE 3 foldr=x", "line 2: unknown option: found 'foldr', expected folder (did you mean that?)"),
        ("COMMITTEE 3 4", "line 2: not an option: found '4', expected key=value"),
    ),
)
def test_a_bad_line_is_one_clear_complaint(toy: Path, line: str, expected: str) -> None:
    (toy / "train.in").write_text(train_in().replace("\n", f"\n{line}\n", 1))
    before = contents(toy)
    assert run(toy, "train", "train.in").complaint == f"train.in, {expected}"
    assert contents(toy) == before


def test_what_cannot_be_done_is_said_before_anything_is_written(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(committee=2))
    assert run(toy, "train", "train.in", "--committee", "0").complaint.startswith("COMMITTEE without members: found 0")
    (toy / "committee").touch()
    assert run(toy, "train", "train.in").complaint.startswith("committee: ")
    text = train_in(("Ar", "Kr"), committee=2)
    (toy / "train.in").write_text(text.replace("Ar.nn", "a/X.nn").replace("Kr.nn", "b/X.nn"))
    assert "two networks with one file name" in run(toy, "train", "train.in").complaint
    assert not list(toy.glob("*.nn"))


def test_members_of_a_larger_committee_are_pointed_out(toy: Path) -> None:
    (toy / "committee/07").mkdir(parents=True)
    (toy / "train.in").write_text(train_in(committee=2, iterations=1))
    assert "note: committee also holds 07, not of this committee\n" in succeed(toy, "train", "train.in").out


# --- progress ----------------------------------------------------------------------------------


def test_a_pipe_gets_plain_lines_of_all_members(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress._Lines, "INTERVAL", 0.0)
    keywords = {"iterations": 400, "hidden": "2 20:tanh 20:tanh", **VALIDATED}
    (toy / "train.in").write_text(train_in(committee=3, threads=2, **keywords))
    out = succeed(toy, "train", "train.in").out
    line = r"^committee: \d+ of 1200 epochs, ETA \d.*  \d of 3 done, 0\d at \d+, 0\d at \d+$"
    assert re.search(line, out, re.MULTILINE)


def test_low_verbosity_shows_the_table_alone(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(committee=2, iterations=3, verbosity="low"))
    out = succeed(toy, "train", "train.in").out
    assert "member 01 finished" not in out and "best (0" in out
