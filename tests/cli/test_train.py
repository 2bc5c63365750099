"""`train` through the command line: ænet's own run repeated, the split, restarts, and what Taylor copies are for."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import (
    EPOCHS,
    energies_file,
    errors,
    make_toy,
    morse_cluster,
    report,
    run,
    succeed,
    taylor,
    train,
    train_in,
)
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.rngstate import rngstate_test_set, write_rngstate
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.provenance import parse_copy_name
from taylorfit.model.scaling import standardisation
from taylorfit.training import prepare as problem
from taylorfit.training.pack import PackLayout
from taylorfit.training.split import Split


def predicted(folder: Path) -> dict[str, float]:
    """Energy of each structure of toy.train relative to the atoms, eV, from Ar.nn by NumPy alone."""
    training_set, potential = read_trainset(folder / "toy.train"), read_potential(folder / "Ar.nn")
    shift, factor = standardisation(potential.setup.statistics)
    energies = {}
    for s, name in enumerate(training_set.names):
        a, b = training_set.first_atom[s], training_set.first_atom[s + 1]
        x = training_set.descriptors[training_set.first_value[a] : training_set.first_value[b]].reshape(b - a, -1)
        x, start = (x - shift) * factor, 0
        sizes = potential.network.layer_sizes
        for n_in, n_out in pairwise(sizes):
            w = potential.network.weights[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
            start += w.size
            x = x @ w[:-1] + w[-1]
            if start < potential.network.n_weights:
                x = np.tanh(x)
        energies[name] = float(x.sum() / potential.info.scale + (b - a) * potential.info.shift)
    return energies


# --- ænet's own run ----------------------------------------------------------------------------


@pytest.fixture
def golden_run(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ænet's run of 60 TiO2 cells: its training set, start potentials, train.in and test set."""
    source = shared / "golden" / "run"
    for name in ("small.train", "train.in", "init/Ti.nn", "init/O.nn"):
        shutil.copyfile(source / name, tmp_path / Path(name).name)
    test = [0, 10, 21, 27, 37, 59]
    split = Split([(0, s) for s in range(60) if s not in test], [(0, s) for s in test], 0, 0)
    monkeypatch.setattr(problem, "split_parents", lambda *arguments: split)
    return tmp_path


def test_ænets_run_is_repeated_epoch_by_epoch(golden_run: Path, shared: Path) -> None:
    found = errors(report(golden_run, "train", "train.in"))
    reference = np.loadtxt(shared / "golden" / "run" / "bfgs" / "epochs_fulldigits.txt")[:, 1:]
    assert found.shape == reference.shape == (41, 4)
    assert np.abs(found[0] / reference[0] - 1.0).max() < 1e-12
    # ænet's epoch 1 repeats epoch 0: its epoch k + 1 is our epoch k
    np.testing.assert_allclose(found[:20], reference[1:21], rtol=1e-10)
    np.testing.assert_allclose(found[:40], reference[1:], rtol=1e-6)
    assert found[40, 1] <= reference[40, 1]  # 40 epochs: train RMSE no worse than ænet's


def test_saved_energies_are_those_of_ænet_byte_for_byte(golden_run: Path, shared: Path) -> None:
    source = shared / "golden" / "run"
    for name in ("Ti.nn", "O.nn"):
        shutil.copyfile(source / name, golden_run / name)  # ænet's final potentials
    text = (golden_run / "train.in").read_text()
    (golden_run / "train.in").write_text(text.replace("ITERATIONS 40", "ITERATIONS 0"))
    succeed(golden_run, "train", "train.in")
    for name in ("energies.train.0", "energies.test.0"):
        ours, theirs = (golden_run / name).read_text().splitlines(), (source / "bfgs" / name).read_text().splitlines()
        assert ours == theirs


# --- the numbers of an epoch -------------------------------------------------------------------


@pytest.mark.parametrize("epochs", (0, 25))
def test_errors_are_those_of_the_written_potential_computed_by_numpy(toy: Path, epochs: int) -> None:
    found = train(toy, iterations=epochs, testpercent=25, save_energies=True)
    assert len(found["epochs"]) == epochs + 1
    energy = predicted(toy)
    reference = dict(zip(*((t := read_trainset(toy / "toy.train")).names, t.energy)))
    best = found["epochs"][found["best_epoch"]]
    for part, n in (("train", 18), ("test", 6)):
        rows = energies_file(toy / f"energies.{part}.0")
        error = np.array([(reference[row[-1]] - energy[row[-1]]) / 5 for row in rows])
        assert len(error) == n == found[f"n_{part}"]
        assert best[f"{part}_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-11)
        assert best[f"{part}_rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-11)
        for row in rows:
            assert [float(x) for x in row[:2]] == pytest.approx([reference[row[-1]], energy[row[-1]]], rel=1e-6)
            assert (row[2], row[7]) == ("5", "5")
    tested = {row[-1] for row in energies_file(toy / "energies.test.0")}
    assert not tested & {row[-1] for row in energies_file(toy / "energies.train.0")}


def test_training_lowers_the_error_tenfold(toy: Path) -> None:
    found = errors(train(toy, iterations=60))
    assert found[40, 1] < 0.1 * found[0, 1]


def test_best_and_last_potentials_are_what_the_report_says(toy: Path) -> None:
    found = train(
        toy,
        iterations=40,
        testpercent=25,
        validation="xsf/*.xsf",
        validationevery=10,
        hidden="1 20:tanh",
        best="energy",
    )
    assert found["best_epoch"] == int(np.argmin(errors(found)[:, 3])) < 40
    assert [entry["epoch"] for entry in found["validation_history"]] == [10, 20, 30, 40]
    for suffix, key in (("", "validation"), (".last", "validation_last")):
        own = report(toy, "predict", "--potential", f"Ar.nn{suffix}", "--", "xsf/*.xsf")["errors"]
        assert own == pytest.approx(found[key], rel=1e-12)
    assert found["validation_history"][-1] == pytest.approx({"epoch": 40, **found["validation_last"]}, rel=1e-12)
    assert found["potentials"] == ["Ar.nn"]


def test_the_report_has_the_keys_the_help_documents(toy: Path) -> None:
    found = train(toy, iterations=3)
    assert {
        "epochs",
        "best_epoch",
        "n_train",
        "n_test",
        "n_copies",
        "seconds_per_epoch",
        "validation",
        "validation_last",
    } <= set(found)
    assert set(EPOCHS) | {"epoch"} <= set(found["epochs"][0])
    help_text = run(toy, "train", "--help").out
    for key in set(found) - {"command", "version", "exit_code"}:
        assert re.search(rf"\b{key}\b", help_text), key


# --- split and copies --------------------------------------------------------------------------


def test_copies_of_test_structures_are_never_trained_on(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    fill = PackLayout.fill
    monkeypatch.setattr(PackLayout, "fill", lambda *a, **k: packed.append(fill(*a, **k)) or packed[-1])
    found = train(toy, iterations=2, testpercent=25, taylorset="copies.train")
    trained, tested, _ = packed  # and some training structures whose force errors are shown
    parents = {name for name in trained.names if parse_copy_name(name) is None}
    copies = [name for name in trained.names if parse_copy_name(name) is not None]
    assert (len(parents), len(tested.names), len(copies)) == (18, 6, 108)
    assert (found["n_train"], found["n_test"], found["n_copies"]) == (18, 6, 108)
    assert {parse_copy_name(name).parent for name in copies} == parents
    assert not parents & set(tested.names)
    assert not any(parse_copy_name(name) for name in tested.names)


def test_copies_of_a_structure_listed_twice_are_not_trained_on_when_one_of_the_two_is_tested(tmp_path: Path) -> None:
    make_toy(tmp_path, 6, extra=taylor(delta=0.03, fraction=2))
    text = (tmp_path / "generate.in").read_text()
    (tmp_path / "generate.in").write_text(text.replace("FILES\n6", "FILES\n12") + text.partition("FILES\n6\n")[2])
    succeed(tmp_path, "generate", "generate.in")
    found = train(tmp_path, iterations=0, testpercent=25, save_energies=True)
    tested, trained = (
        {row[-1] for row in energies_file(tmp_path / f"energies.{part}.0")} for part in ("test", "train")
    )
    assert tested & trained  # the case that is meant
    assert found["n_copies"] == 4 * len(trained - tested)


def test_errors_are_of_reference_structures_alone(toy: Path) -> None:
    alone = train(toy, iterations=0, testpercent=25)
    with_copies = train(toy, "--fresh", iterations=0, testpercent=25, taylorset="copies.train")
    np.testing.assert_allclose(errors(alone), errors(with_copies), rtol=1e-13)
    assert alone["epochs"][0]["copies_rmse"] is None and with_copies["epochs"][0]["copies_rmse"] > 0


def test_copies_in_the_training_set_itself_are_copies_too(toy: Path) -> None:
    (toy / "generate.in").write_text(
        (toy / "generate.in").read_text().replace("outfile=copies.train", "").replace("toy.train", "all.train")
    )
    assert report(toy, "generate", "generate.in")["copies"] == 144
    found = train(toy, iterations=2, testpercent=25, trainingset="all.train")
    assert (found["n_train"], found["n_test"], found["n_copies"]) == (18, 6, 108)


def test_the_seed_decides_about_split_and_weights(toy: Path) -> None:
    runs = [errors(train(toy, "--fresh", iterations=1, testpercent=25, seed=seed)) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.isclose(runs[0], runs[2]).any()


def test_the_random_numbers_of_ænet_choose_the_test_set_unless_told_otherwise(toy: Path) -> None:
    def tested(*options: str) -> set[str]:
        train(toy, "--fresh", *options, iterations=0, testpercent=25, save_energies=True)
        return {row[-1] for row in energies_file(toy / "energies.test.0")}

    drawn = tested()
    write_rngstate(toy / "train.rngstate", range(8))
    chosen = {read_trainset(toy / "toy.train").names[s] for s in rngstate_test_set(toy / "train.rngstate", 24, 25)}
    assert tested() == chosen != drawn == tested("--no-rngstate")
    assert "--no-rngstate" in run(toy, "train", "train.in").out


def test_no_test_set_at_all(toy: Path) -> None:
    found = train(toy, iterations=5, testpercent=0)
    assert (found["n_train"], found["n_test"]) == (24, 0)
    assert found["best_epoch"] == int(np.argmin(errors(found)[:, 1]))
    assert all(epoch["test_rmse"] is None for epoch in found["epochs"])
    assert "NaN" not in (toy / "report.json").read_text()


def test_maxenergy_drops_structures_and_rescales(toy: Path) -> None:
    training_set = read_trainset(toy / "toy.train")
    per_atom = np.sort(training_set.energy / 5)
    limit = 0.5 * (per_atom[-3] + per_atom[-4])
    found = train(toy, iterations=1, testpercent=0, maxenergy=f"{limit:.6f}")
    assert found["n_train"] == 21
    info = read_potential(toy / "Ar.nn").info
    assert info.scale == pytest.approx(2.0 / (float(f"{limit:.6f}") - per_atom[0]))
    assert info.n_structures == 21
    assert "3 structures above MAXENERGY dropped" in run(toy, "train", "train.in").out


# --- losses and weights of copies --------------------------------------------------------------


def test_losses_differ_for_structures_of_different_size(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 10)
    rng = np.random.default_rng(3)
    for s in range(5):
        write_xsf(tmp_path / structures[s].name, morse_cluster(rng, 9))
    succeed(tmp_path, "generate", "generate.in")
    found = {
        loss: errors(train(tmp_path, "--fresh", iterations=60, testpercent=0, loss=loss)) for loss in ("aenet", "total")
    }
    assert np.array_equal(found["aenet"][0, :2], found["total"][0, :2])
    assert not np.isclose(found["aenet"][5:30, 1], found["total"][5:30, 1], rtol=1e-6).all()


def test_copies_without_weight_change_nothing(toy: Path) -> None:
    def first(**keywords: Any) -> np.ndarray:
        return errors(train(toy, "--fresh", iterations=10, testpercent=25, **keywords))

    alone = first()
    np.testing.assert_allclose(first(taylorset="copies.train", copyweight=0), alone, rtol=1e-6)
    full, half = first(taylorset="copies.train"), first(taylorset="copies.train", copyweight=0.5)
    assert not np.isclose(full[5:], alone[5:], rtol=1e-3).all()
    assert not np.isclose(full[5:], half[5:], rtol=1e-3).all()


def test_taylor_copies_improve_the_forces_on_unseen_structures(tmp_path: Path) -> None:
    make_toy(tmp_path, 30, extra=taylor(delta=0.03, fraction=15, outfile="copies.train"))
    rng = np.random.default_rng(101)
    (tmp_path / "unseen").mkdir()
    for s in range(20):
        write_xsf(tmp_path / f"unseen/{s:02d}.xsf", morse_cluster(rng))
    succeed(tmp_path, "generate", "generate.in")
    common = {"iterations": 200, "hidden": "1 10:tanh", "validation": "unseen/*.xsf", "validationevery": 0}
    energy = train(tmp_path, "--fresh", **common)["validation_last"]
    with_copies = train(tmp_path, "--fresh", **common, taylorset="copies.train")["validation_last"]
    # Ratios of 0.44 to 0.55 with other seeds
    for key in ("force_rmse", "force_mae", "force_error_norm_mean"):
        assert with_copies[key] < 0.75 * energy[key], (key, with_copies, energy)
    assert with_copies["energy_rmse"] < energy["energy_rmse"]


# --- start, stop ------------------------------------------------------------------------------


def test_an_existing_potential_is_continued_and_fresh_starts_again(toy: Path) -> None:
    first = errors(train(toy, iterations=20))
    best = json.loads((toy / "report.json").read_text())["best_epoch"]
    again = errors(train(toy, iterations=5))
    np.testing.assert_allclose(again[0], first[best], rtol=1e-13)
    assert "continued from Ar.nn" in run(toy, "train", "train.in").out
    assert np.array_equal(errors(train(toy, "--fresh", iterations=20)), first)


def test_patience_stops_when_the_test_error_no_longer_falls(toy: Path) -> None:
    found = train(toy, iterations=2000, testpercent=25, patience=15, hidden="1 20:tanh")
    test = errors(found)[:, 3]
    assert len(test) - 1 - found["best_epoch"] == 15
    assert len(test) < 2001 and test[found["best_epoch"]] == test.min()
    assert "PATIENCE" in run(toy, "train", "train.in", "--fresh").out


def test_a_file_named_stop_ends_the_run_after_the_epoch(toy: Path) -> None:
    (toy / "STOP").touch()
    found = train(toy, iterations=50)
    assert len(found["epochs"]) == 1 and not found["interrupted"]
    read_potential(toy / "Ar.nn")
    assert not (toy / "STOP").exists()
    assert len(train(toy, "--resume", iterations=50)["epochs"]) == 51


def test_no_iterations_evaluate_only(toy: Path) -> None:
    before = train(toy, iterations=10)
    weights = read_potential(toy / "Ar.nn").network.weights
    found = train(toy, iterations=0)
    assert [epoch["epoch"] for epoch in found["epochs"]] == [0]
    assert np.array_equal(read_potential(toy / "Ar.nn").network.weights, weights)
    np.testing.assert_allclose(errors(found)[0], errors(before)[before["best_epoch"]], rtol=1e-13)


def test_the_number_of_threads_does_not_change_a_bit(toy: Path) -> None:
    made = []
    for threads in ("1", "2", "3"):
        found = train(toy, "--fresh", "--threads", threads, iterations=30, taylorset="copies.train")
        made.append((errors(found).tobytes(), (toy / "Ar.nn").read_bytes(), (toy / "Ar.nn.last").read_bytes()))
    assert made[0] == made[1] == made[2]


# --- what is shown -----------------------------------------------------------------------------


def test_the_table_has_units_and_the_numbers_of_the_report(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=8, testpercent=25))
    out = succeed(toy, "train", "train.in", "--report", "r.json").out
    found = errors(json.loads((toy / "r.json").read_text()))
    assert re.search(r"TRAIN.*TEST.*eV/atom", out)
    rows = re.findall(r"^ +(\d+) +(\S+E[+-]\d+) +(\S+) +(\S+) +(\S+) <", out, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(9))
    np.testing.assert_allclose([[float(x) for x in row[1:]] for row in rows], found, rtol=1e-6)
    assert "18 training structures, 0 Taylor copies, 6 test structures" in out
    assert "memory" in out and "best epoch" in out


def test_low_verbosity_shows_no_table(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=8, verbosity="low"))
    assert not re.search(r"\d\.\d+E[+-]\d\d", succeed(toy, "train", "train.in").out)


def test_timing_writes_a_table_with_units(toy: Path) -> None:
    train(toy, iterations=4, timing=True)
    header, values = (toy / "train.time").read_text().splitlines()
    assert "(s)" in header and int(values.split()[1]) == 5


# --- without a test set ------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0, 0.1, 4])
def test_without_a_test_set_there_are_blanks_and_one_line(toy: Path, percent: float) -> None:
    (toy / "train.in").write_text(train_in(testpercent=percent, iterations=4))
    out = succeed(toy, "train", "train.in", "--fresh").out
    assert "NAN" not in out.upper().replace("NANO", "") and out.count("no test set (TESTPERCENT") == 1
    assert ("was TESTPERCENT 10 meant?" in out) == (percent == 0.1)
    rows = [line for line in out.splitlines() if line.strip()[:1].isdigit() and "E" in line]
    assert len(rows) == 5 and all("<" not in row for row in rows)


@pytest.mark.parametrize("every", [10, 0, 3])
def test_best_of_both_without_a_test_set_is_never_the_start(toy: Path, every: int) -> None:
    found = train(toy, "--fresh", testpercent=0, iterations=9, best="both", validationevery=every)
    assert found["best_epoch"] > 0
    assert all(epoch["train_force_rmse"] is not None for epoch in found["epochs"])


def test_a_random_start_is_never_what_is_kept(toy: Path) -> None:
    # Steps as long as ænet's default lead away from the start, whose errors are the smallest
    keywords = {"iterations": 3, "best": "energy", "testpercent": 25}

    def away(*options: str) -> dict[str, Any]:
        (toy / "train.in").write_text(train_in(**keywords).replace("bfgs", "online_sd gamma=0.9"))
        return report(toy, "train", "train.in", *options)

    found = away("--fresh")
    test = errors(found)[:, 3]
    assert np.argmin(test) == 0 and found["best_epoch"] == 1 + np.argmin(test[1:])
    # A potential that is trained further may be the best of all
    train(toy, "--fresh", **{**keywords, "iterations": 60})
    assert away()["best_epoch"] == 0


def test_a_training_set_twice_is_refused(toy: Path) -> None:
    (toy / "other.train").symlink_to("copies.train")
    succeed(toy, "convert", "toy.train", "toy.txt")
    for keywords, words in (
        ({"taylorset": "copies.train copies.train"}, "a training set twice"),
        ({"taylorset": "copies.train other.train"}, "a training set twice"),
        ({"taylorset": "./toy.train"}, "a training set twice"),
        ({"trainingset": "toy.txt"}, "a training set as text, expected one that convert made binary"),
    ):
        (toy / "train.in").write_text(train_in(**keywords))
        assert words in run(toy, "train", "train.in").complaint
