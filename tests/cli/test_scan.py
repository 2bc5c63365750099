"""`scan`: a grid of trainings, each as `generate` and `train` would do it, once; resumed, extended, interrupted."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import make_crystals, make_toy, report, run, start, succeed, taylor, train_in
from taylorfit.analysis.scan_grid import SetPlan, Structures, set_key
from taylorfit.analysis.scan_groups import summarise
from taylorfit.commands.scan import summary_table
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.report_file import read_train_report
from taylorfit.formats.scan_table import FIXED, labels
from taylorfit.formats.structures.extxyz import write_extxyz
from taylorfit.settings.document import FileEntry
from taylorfit.settings.generate import GenerateInput
from taylorfit.tools.tables import text_lines

SCAN = """GENERATE generate.in
TRAIN train.in

SCAN
mode energy taylor centred exact  ! energy and exact training do not depend on delta
delta 0.02 0.04
seeds 1 2
"""
TIMES = ("seconds", "seconds_per_epoch")
SETTINGS = {"iterations": 8, "testpercent": 25, "validation": "xsf/0*.xsf", "validationevery": 4}


def make(folder: Path, **keywords: Any) -> Path:
    """Morse clusters, generate.in with four copies of each, train.in."""
    make_toy(folder, 16, extra=taylor(delta=0.03, fraction=4, outfile="copies.train"))
    (folder / "train.in").write_text(train_in(**{**SETTINGS, **keywords}))
    return folder


def rows_of(folder: Path, name: str = "scan.csv") -> list[dict[str, str]]:
    """The table."""
    with open(folder / name, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def timeless(rows: list[dict[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """The rows without times, in an order that does not depend on which ended first."""
    return sorted(tuple(sorted((k, v) for k, v in row.items() if k not in TIMES)) for row in rows)


def scan(folder: Path, text: str = SCAN, *options: str, threads: int = 1) -> dict[str, Any]:
    """Write scan.in, scan, and return the report."""
    (folder / "scan.in").write_text(text)
    return report(folder, "scan", "scan.in", "--threads", str(threads), *options)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished scan, in a folder that stays as it is, and its report."""
    folder = make(tmp_path_factory.mktemp("scanned") / "toy")
    return folder, scan(folder, threads=2)


@pytest.fixture
def done(scanned: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(scanned[0], tmp_path / "toy")


# --- the trainings -----------------------------------------------------------------------------


def test_every_combination_is_trained_once_and_has_a_row(scanned: tuple[Path, dict[str, Any]]) -> None:
    folder, found = scanned
    rows = rows_of(folder)
    assert tuple(rows[0]) == FIXED
    expected = [("energy", "", "", "", "", seed) for seed in "12"]
    expected += [("exact", "", "", "", "0.001", seed) for seed in "12"]
    expected += [("taylor", "random", delta, "4", "", seed) for delta in ("0.02", "0.04") for seed in "12"]
    expected += [("centred", "random", delta, "4", "0.001", seed) for delta in ("0.02", "0.04") for seed in "12"]
    names = ("mode", "strategy", "delta_A", "multiple_a", "beta_A2", "seed")
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(expected)
    assert {row["n_structures"] for row in rows} == {"16"} and {row["network"] for row in rows} == {"6:tanh-6:tanh"}
    assert [row["label"] for row in rows] == [row["mode"] for row in rows]
    assert (found["points"], found["trained"], found["done_before"], found["failed"]) == (12, 12, 0, [])
    # Without copies, and two values of delta: three generate steps for twelve trainings
    assert (found["sets_generated"], found["sets_reused"]) == (3, 0)
    assert len(list((folder / "scan/sets").iterdir())) == 3


@pytest.mark.parametrize("mode", ("exact", "centred"))
def test_a_row_is_what_generate_and_train_give(scanned: tuple[Path, dict[str, Any]], tmp_path: Path, mode: str) -> None:
    make(tmp_path, seed=2, forces=f"mode={mode}", **({} if mode == "exact" else {"taylorset": "copies.train"}))
    text = (tmp_path / "generate.in").read_text()
    (tmp_path / "generate.in").write_text(text.replace("delta=0.03", "delta=0.04"))
    succeed(tmp_path, "generate", "generate.in")
    found = report(tmp_path, "train", "train.in")
    row = next(
        row
        for row in rows_of(scanned[0])
        if row["mode"] == mode and row["seed"] == "2" and row["delta_A"] in ("", "0.04")
    )
    assert int(row["best_epoch"]) == found["best_epoch"] and int(row["epochs"]) == 8
    for prefix, epoch, validation in (("", found["best_epoch"], "validation"), ("last_", 8, "validation_last")):
        expected = {
            "train_rmse_meV_per_atom": 1e3 * found["epochs"][epoch]["train_rmse"],
            "test_rmse_meV_per_atom": 1e3 * found["epochs"][epoch]["test_rmse"],
            "energy_rmse_meV_per_atom": 1e3 * found[validation]["energy_rmse"],
            "energy_mae_meV_per_atom": 1e3 * found[validation]["energy_mae"],
            **{
                f"{key}_eV_per_A": found[validation][key]
                for key in ("force_mae", "force_rmse", "force_error_norm_mean")
            },
        }
        for name, value in expected.items():
            assert float(row[prefix + name]) == pytest.approx(value, rel=1e-9), prefix + name
    potential = scanned[0] / "scan/points" / row["key"] / "Ar.nn"
    np.testing.assert_array_equal(
        read_potential(potential).network.weights, read_potential(tmp_path / "Ar.nn").network.weights
    )


def test_networks_betas_and_strategies_reach_the_trainings(tmp_path: Path) -> None:
    make(tmp_path, iterations=2)
    scan(
        tmp_path,
        "SCAN\nmode centred\nbeta 1d-2\nnetwork 3:t 4:twist-5:linear\nstrategy random cartesian\n"
        "FOLDER out\nOUTPUT t.csv\n",
    )
    rows = rows_of(tmp_path, "t.csv")
    assert len(rows) == 4 and {row["beta_A2"] for row in rows} == {"0.01"}
    assert {row["label"] for row in rows} == {
        f"centred {strategy} {network}"
        for strategy in ("random", "cartesian")
        for network in ("3:tanh", "4:twist-5:linear")
    }
    for row in rows:
        folder = tmp_path / "out/points" / row["key"]
        _, *hidden, _ = read_potential(folder / "Ar.nn").network.layer_sizes
        assert hidden == ([3] if row["network"] == "3:tanh" else [4, 5])
        assert f"FORCES mode=centred beta={float(row['beta_A2'])!r}" in (folder / "train.in").read_text()
    sets = [(folder / "generate.in").read_text() for folder in (tmp_path / "out/sets").iterdir()]
    assert sorted(re.findall(r"disp_all=(\d)", "".join(sets))) == ["0", "1"]


def test_the_weight_of_virials_reaches_strained_copies_and_no_others(tmp_path: Path) -> None:
    make_crystals(tmp_path, fraction=5, skip=0)
    (tmp_path / "train.in").write_text(train_in(iterations=2, testpercent=0, forces="mode=exact virial=0.5"))
    base = "GENERATE generate.in\nTRAIN train.in\nOUTPUT {}\nFOLDER {}\nSCAN\nmode centred exact\n"
    assert not scan(tmp_path, base.format("a.csv", "a"))["failed"]
    found = scan(tmp_path, base.format("b.csv", "b") + "virial 1 2\n")
    assert not found["failed"] and found["points"] == 4
    text = (tmp_path / "generate.in").read_text()
    (tmp_path / "generate.in").write_text(text.replace("strategy=strain", "strategy=random"))
    found = scan(tmp_path, base.format("c.csv", "c") + "virial 1 2\n")
    assert not found["failed"] and found["points"] == 3
    virials = {
        folder: sorted(
            (re.search(r"mode=(\w+)", text)[1], (re.search(r"virial=(\S+)", text) or ["", "0"])[1])
            for text in (path.read_text() for path in (tmp_path / folder).glob("points/*/train.in"))
        )
        for folder in "abc"
    }
    assert virials["a"] == [("centred", "0.5"), ("exact", "0.5")]
    assert virials["b"] == [(mode, f"{v}.0") for mode in ("centred", "exact") for v in (1, 2)]
    assert virials["c"] == [("centred", "0"), ("exact", "1.0"), ("exact", "2.0")]


def test_smaller_sets_are_nested_and_frames_of_a_file_are_structures(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 16, extra=taylor(delta=0.03, fraction=2))
    write_extxyz(tmp_path / "frames.extxyz", structures[4:])
    text = (tmp_path / "generate.in").read_text()
    listed = "\n".join([*(s.name for s in structures[:4]), "frames.extxyz"])
    (tmp_path / "generate.in").write_text(f"{text[: text.index('FILES')]}FILES\n5\n{listed}\n")
    (tmp_path / "train.in").write_text(train_in(**{**SETTINGS, "iterations": 0}))
    scan(tmp_path, "SCAN\nmode energy\nsize 12 6\n")
    assert sorted(row["n_structures"] for row in rows_of(tmp_path)) == ["12", "6"]
    chosen = {}
    for folder in (tmp_path / "scan/sets").iterdir():
        found = read_trainset(folder / "set.train")
        # Isolated atoms have -10 eV
        chosen[found.n_structures] = [
            next(k for k, s in enumerate(structures) if abs(s.energy + 50.0 - energy) < 1e-9) for energy in found.energy
        ]
    for size in (6, 12):
        assert len(chosen[size]) == size and chosen[size] == sorted(set(chosen[size]))
    assert set(chosen[6]) < set(chosen[12]) and set(chosen[12]) & set(range(4)) and set(chosen[6]) - set(range(4))


def test_subsets_are_drawn_from_all_structures() -> None:
    structures = Structures(tuple((f"{k}.xsf", None) for k in range(1000)), {f"{k}.xsf": "" for k in range(1000)})
    chosen = [int(path.removesuffix(".xsf")) for path, _ in structures.subset(200)]
    assert chosen == sorted(set(chosen)) and len(chosen) == 200
    # Uniform: mean 499.5, standard deviation of the mean 18
    assert abs(np.mean(chosen) - 499.5) < 80
    assert structures.subset(None) == structures.entries
    assert structures.digest(structures.subset(3)) != structures.digest(structures.subset(4))


def test_contents_and_not_only_names_tell_structures_apart(tmp_path: Path) -> None:
    make_toy(tmp_path, 2)
    before = Structures.of([FileEntry(str(tmp_path / "xsf/*.xsf"))], "generate.in")
    path = tmp_path / "xsf/01.xsf"
    path.write_text(path.read_text() + "\n# changed\n")
    after = Structures.of([FileEntry(str(tmp_path / "xsf/*.xsf"))], "generate.in")
    assert before.entries == after.entries and before.digest(before.entries) != after.digest(after.entries)


# --- again, more, interrupted ------------------------------------------------------------------


def test_a_finished_scan_does_nothing_again(done: Path) -> None:
    before = (done / "scan.csv").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (done / "scan").rglob("*")}
    found = scan(done)
    assert (found["trained"], found["done_before"], found["sets_generated"]) == (0, 12, 0)
    assert (done / "scan.csv").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in (done / "scan").rglob("*")} == times


def test_sets_whose_copies_are_gone_are_generated_again(done: Path) -> None:
    for path in (done / "scan/sets").glob("*/copies.train"):
        path.unlink()
    (done / "scan.csv").unlink()
    again = scan(done)
    assert again["sets_generated"] == 2 and again["trained"] == 12 and not again["failed"]
    assert len(list((done / "scan/sets").glob("*/copies.train"))) == 2


def test_only_what_is_missing_is_trained_and_generated_sets_are_used_again(done: Path) -> None:
    whole = rows_of(done)
    lines = (done / "scan.csv").read_text().splitlines(keepends=True)
    (done / "scan.csv").write_text("".join(lines[:3] + lines[5:]))
    times = {path: path.stat().st_mtime_ns for path in (done / "scan/sets").rglob("*")}
    found = scan(done)
    assert (found["trained"], found["done_before"], found["sets_generated"]) == (2, 10, 0)
    assert timeless(rows_of(done)) == timeless(whole)
    more = scan(done, SCAN.replace("seeds 1 2", "seeds 1 2 3"))
    assert (more["trained"], more["points"], more["sets_generated"], more["sets_reused"]) == (6, 18, 0, 3)
    assert {path: path.stat().st_mtime_ns for path in (done / "scan/sets").rglob("*")} == times
    fewer = scan(done, SCAN.replace("mode energy taylor centred exact", "mode energy"))
    assert (fewer["trained"], len(fewer["rows"]), len(rows_of(done))) == (0, 2, 18)


def test_results_of_other_inputs_are_refused_and_fresh_replaces_them(done: Path) -> None:
    before = (done / "scan.csv").read_bytes()
    (done / "train.in").write_text(train_in(**{**SETTINGS, "iterations": 3}))
    result = run(done, "scan", "scan.in")
    assert result.complaint == (
        "scan.csv, line 2: has results of other inputs (generate.in, train.in or structures "
        "have changed), expected another OUTPUT, or --fresh to replace it"
    )
    assert (done / "scan.csv").read_bytes() == before
    text = SCAN.replace("mode energy taylor centred exact", "mode energy")
    assert scan(done, text, "--fresh")["trained"] == 2
    assert {row["epochs"] for row in rows_of(done)} == {"3"} and len(rows_of(done)) == 2


def test_ctrl_c_leaves_a_table_and_the_same_command_goes_on_to_the_same_end(
    scanned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    make(tmp_path)
    (tmp_path / "scan.in").write_text(SCAN)
    process = start(tmp_path, "scan", "scan.in", "--threads", "2", "--report", "r.json")
    while process.poll() is None and not (tmp_path / "scan.csv").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    n_done = len(rows_of(tmp_path))
    assert 1 <= n_done < 12
    assert f"interrupted: {n_done} of 12 trainings done; the same command goes on" in out
    assert json.loads((tmp_path / "r.json").read_text())["interrupted"]
    found = scan(tmp_path, threads=2)
    assert (found["trained"], found["done_before"], found["sets_generated"]) == (12 - n_done, n_done, 0)
    assert timeless(rows_of(tmp_path)) == timeless(rows_of(scanned[0]))
    assert not list((tmp_path / "scan").rglob("*.npz"))


def test_a_training_that_was_interrupted_is_continued(done: Path) -> None:
    rows = rows_of(done)
    row = next(row for row in rows if row["mode"] == "exact")
    folder = done / "scan/points" / row["key"]
    (done / "scan.csv").unlink()
    shutil.rmtree(folder)
    scan(done, SCAN.replace("mode energy taylor centred exact", "mode exact"))
    # What an interruption after three epochs leaves
    short = (folder / "train.in").read_text().replace("ITERATIONS 8", "ITERATIONS 3")
    (done / "short.in").write_text(short)
    succeed(done, "train", "short.in", "--fresh")
    (done / "short.checkpoint.npz").rename(folder / "train.checkpoint.npz")
    (done / "scan.csv").unlink()
    scan(done, SCAN.replace("mode energy taylor centred exact", "mode exact"))
    assert "resumed from" in (folder / "train.log").read_text()
    assert timeless(rows_of(done)) == timeless([r for r in rows if r["mode"] == "exact"])


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_training_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    make(tmp_path, iterations=2)
    (tmp_path / "scan.in").write_text("SCAN\nmode energy centred\na 1 4\n")
    result = run(tmp_path, "scan", "scan.in", "--threads", "1", "--report", "r.json")
    assert result.code == 2
    pattern = r"taylorfit: centred random delta=0\.03 a=1 .*: .*at least two copies of a structure.*\n"
    assert re.fullmatch(pattern, result.err)
    assert sorted((row["mode"], row["multiple_a"]) for row in rows_of(tmp_path)) == [("centred", "4"), ("energy", "")]
    assert len(json.loads((tmp_path / "r.json").read_text())["failed"]) == 1


def test_a_generate_step_that_fails_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, iterations=2)
    monkeypatch.chdir(tmp_path)
    base = GenerateInput.read("generate.in")
    key = set_key(SetPlan(None, 8), base, Structures.of(base.files, "generate.in"))
    # A file where the folder of a training set should be
    (tmp_path / "scan/sets").mkdir(parents=True)
    (tmp_path / "scan/sets" / key).touch()
    (tmp_path / "scan.in").write_text("SCAN\nmode energy\nsize 8 16\n")
    result = run(tmp_path, "scan", "scan.in", "--threads", "1")
    assert result.complaint.startswith(f"training set {key}: ")
    assert [row["n_structures"] for row in rows_of(tmp_path)] == ["16"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    (
        ("", "scan.in: empty file, expected a text file with keywords"),
        ("TRAIN train.in", "scan.in: SCAN is missing, expected SCAN"),
        ("SCAN", "scan.in, line 1: SCAN without axes, expected lines such as delta 0.005 0.01 0.02"),
        (
            "SCAN delta 1 2",
            "scan.in, line 1: axis on the line of SCAN: found 'SCAN delta 1 2', expected axes on the lines",
        ),
        ("SCAN\ndelta", "scan.in, line 2: axis without values: found 'delta', expected e.g. delta 0.005 0.01 0.02"),
        ("SCAN\ndetla 0.1", "scan.in, line 2: unknown axis: found 'detla', expected delta (did you mean that?)"),
        ("SCAN\ndelta 0.1 x", "scan.in, line 2: is not a number: found 'x', expected a number such as"),
        ("SCAN\ndelta 0.1 1d-1", "scan.in, line 2: value given twice: found '1d-1', expected each value once"),
        ("SCAN\na 1 2\nfraction 3", "scan.in, line 3: axis given twice: found 'fraction', expected each axis once"),
        ("SCAN\nmode energy exakt", "scan.in, line 2: unknown value: found 'exakt', expected "),
        ("SCAN\nmode taylor\ndelta 0.1 -0.1", "scan.in, line 3: delta not positive: found -0.1, expected Å > 0"),
        (
            "SCAN\nmode centred\nbeta 0",
            "scan.in, line 3: beta out of range: found 0.0, expected a positive number (Å²)",
        ),
        (
            "SCAN\nnetwork 10",
            "scan.in, line 2: not a hidden layer: found '10', expected nodes:activation, e.g. 10:tanh",
        ),
        (
            "SCAN\nsize 4 17",
            "scan.in, line 2: more structures than there are: found 17, expected at most 16, those of generate.in",
        ),
        ("SCAN\nsize 0", "scan.in, line 2: too small: found '0', expected an integer ≥ 1"),
        ("SCAN\nseeds 1\nGENERATE no.in", "no.in: cannot be read: No such file or directory, expected a text file"),
        ("SCAN\nseeds 1\nOUTPUT train.in", "train.in, line "),
    ),
)
def test_a_bad_input_is_one_clear_complaint(done: Path, lines: str, expected: str) -> None:
    (done / "scan.in").write_text(lines)
    assert run(done, "scan", "scan.in").complaint.startswith(expected)


def test_copies_are_asked_for_where_a_mode_needs_them(tmp_path: Path) -> None:
    make_toy(tmp_path, 6)
    (tmp_path / "train.in").write_text(train_in(iterations=1))
    (tmp_path / "scan.in").write_text("SCAN\nmode energy taylor\n")
    complaint = run(tmp_path, "scan", "scan.in").complaint
    assert complaint == "generate.in: mode=taylor needs Taylor copies, expected a block DERIVATIVES"
    assert [row["mode"] for row in scan(tmp_path, "SCAN\nseeds 1\n")["rows"]] == ["energy"]


# --- the summary -------------------------------------------------------------------------------


def row(mode: str, seed: int, energy: float, force: str = "", network: str = "5:tanh") -> dict[str, str]:
    """A row with little in it."""
    return {
        **dict.fromkeys(FIXED, ""),
        "mode": mode,
        "seed": str(seed),
        "network": network,
        "energy_rmse_meV_per_atom": str(energy),
        "force_error_norm_mean_eV_per_A": force,
        "test_rmse_meV_per_atom": "3",
    }


def test_best_and_median_over_the_seeds_by_hand() -> None:
    rows = [row("energy", 1, 4.0), row("energy", 2, 1.0), row("energy", 3, 3.0), row("taylor", 1, 2.0, "0.5")]
    energy, copies = summarise(rows)
    assert (energy["seeds"], energy["energy_rmse_meV_per_atom"]) == (3, (1.0, 3.0))
    assert copies["force_error_norm_mean_eV_per_A"] == (0.5, 0.5) and "network" not in copies
    lines = text_lines(summary_table([energy, copies]))
    assert "energy RMSE, meV/atom" in lines[0] and "|F − F_ref|, eV/Å" in lines[0] and "test" not in lines[0]
    assert lines[3].split() == ["energy", "3", "1.000", "3.000", "nan", "nan"]
    only_energies = [{**r, "energy_rmse_meV_per_atom": ""} for r in rows[:3]]
    assert "test RMSE, meV/atom" in text_lines(summary_table(summarise(only_energies)))[0]


def test_the_terminal_shows_the_summary_of_the_table(scanned: tuple[Path, dict[str, Any]]) -> None:
    folder, found = scanned
    rows = [r for r in rows_of(folder) if r["mode"] == "centred" and r["delta_A"] == "0.02"]
    values = [float(r["force_error_norm_mean_eV_per_A"]) for r in rows]
    out = succeed(folder, "scan", "scan.in").out
    line = next(line for line in out.splitlines() if re.match(r" *centred +0\.02 ", line))
    assert line.split()[:3] == ["centred", "0.02", "2"]
    assert line.split()[-2:] == [f"{min(values):.4f}", f"{np.median(values):.4f}"]
    assert len(found["summary"]) == 6


def test_labels_name_what_no_axis_of_a_plot_shows() -> None:
    assert labels([row("energy", 1, 1.0), row("energy", 2, 1.0)]) == ["energy", "energy"]
    two = [row("taylor", 1, 1.0, network=network) for network in ("5:tanh", "6:tanh")]
    two[1]["percent"] = "50"
    assert labels(two) == ["taylor 5:tanh", "taylor 6:tanh"]
    two[0]["percent"] = "20"
    assert labels(two) == ["taylor percent=20 5:tanh", "taylor percent=50 6:tanh"]


# --- some of the seeds, and reports -------------------------------------------------------------


def test_first_seeds_alone_then_all_with_a_report_of_each(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy")
    text = "GENERATE generate.in\nTRAIN train.in\nSCAN\nmode energy\nseeds 4 5 6\n"
    assert scan(folder, text, "--seeds", "1")["points"] == 1
    assert [row["seed"] for row in rows_of(folder)] == ["4"]
    found = scan(folder, text, "--seeds", "9")
    assert (found["points"], found["done_before"]) == (3, 1)
    for row in rows_of(folder):
        told = read_train_report(folder / "scan" / "points" / row["key"] / "train.json")
        assert told.data["settings"]["seed"] == int(row["seed"]) and told.best_epoch == int(row["best_epoch"])
        assert list(told.validation_epoch) == [4, 8]


@pytest.mark.parametrize(("text", "n"), [(SCAN, "0"), (SCAN.replace("seeds 1 2", ""), "1")])
def test_seeds_that_are_not_there(text: str, n: str, tmp_path: Path) -> None:
    (make(tmp_path / "toy") / "scan.in").write_text(text)
    assert "--seeds" in run(tmp_path / "toy", "scan", "scan.in", "--seeds", n).complaint


@pytest.mark.parametrize("damaged", ["*/set.train", "*/set.train.geometry", "*/copies.train", "*/generate.json"])
def test_truncated_sets_are_made_again(tmp_path: Path, damaged: str) -> None:
    make(tmp_path)
    text = SCAN.replace("mode energy taylor centred exact", "mode taylor").replace("0.02 0.04", "0.02")
    scan(tmp_path, text)
    whole = timeless(rows_of(tmp_path))
    (file,) = (tmp_path / "scan/sets").glob(damaged)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (tmp_path / "scan.csv").unlink()
    found = scan(tmp_path, text)
    assert (found["sets_generated"], found["sets_reused"]) == (1, 0)
    assert timeless(rows_of(tmp_path)) == whole


def test_numbers_in_fortrans_form_are_numbers_in_tables(done: Path) -> None:
    text = (done / "scan.csv").read_text()
    header, first, *rest = text.splitlines(keepends=True)
    cells = first.split(",")
    place = header.split(",").index("train_rmse_meV_per_atom")
    cells[place] = "2.5D1"
    (done / "scan.csv").write_text(header + ",".join(cells) + "".join(rest))
    assert float(rows_of(done)[0]["train_rmse_meV_per_atom"].replace("D", "e")) == 25.0
    assert scan(done)["rows"][0]["train_rmse_meV_per_atom"] == "2.5e1"
