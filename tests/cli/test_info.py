"""`info`: every kind of file, recognised under any name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import GOLDEN, make_toy, report, run, succeed, taylor, train_in
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.recognise import FileKind, recognise
from taylorfit.formats.structures.xsf import read_xsf, write_xsf

NAMES = {
    "mono/mono.train": FileKind.TRAINSET,
    "cluster/four_species/mol.train": FileKind.TRAINSET,
    "mono/Si.nn": FileKind.POTENTIAL,
    "cluster/four_species/C.nn": FileKind.POTENTIAL,
    "mono/Si.nn.ascii": FileKind.POTENTIAL_TEXT,
    "mono/Si.fingerprint.stp": FileKind.SETUP,
    "mono/xsf/mono01.xsf": FileKind.XSF,
    "cluster/four_species/xsf/mol01.xsf": FileKind.XSF,
    "mono/generate.in": FileKind.GENERATE_INPUT,
    "mono/training/train.in": FileKind.TRAIN_INPUT,
    "mono/predict.in": FileKind.PREDICT_INPUT,
    "mono/descriptors.txt": FileKind.STRUCTURES,
}


@pytest.mark.parametrize("name", NAMES)
def test_kind_is_told_by_content(name: str, tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / name, tmp_path / "anything")
    assert recognise(tmp_path / "anything") is NAMES[name]


def test_shared_files_are_recognised(shared: Path) -> None:
    expected = {
        ".train": FileKind.TRAINSET,
        ".nn": FileKind.POTENTIAL,
        ".stp": FileKind.SETUP,
        ".xsf": FileKind.XSF,
        ".forces": FileKind.DERIVATIVES,
        ".ascii": FileKind.POTENTIAL_TEXT,
        ".rngstate": FileKind.RNGSTATE,
    }
    seen = 0
    for path in sorted((shared / "golden").rglob("*")):
        if path.is_file() and path.suffix in expected:
            assert recognise(path) is expected[path.suffix], path
            seen += 1
    assert seen > 150
    for head in ("ascii", "trnset2ASCII"):
        assert recognise(shared / f"golden/run/small.train.{head}.head") is FileKind.TRAINSET_TEXT


def only(folder: Path, *argv: str) -> dict[str, Any]:
    (entry,) = report(folder, "info", *argv)["files"]
    return entry


def test_training_set(tmp_path: Path) -> None:
    found = only(tmp_path, str(GOLDEN / "cluster/four_species/mol.train"))
    training_set = read_trainset(GOLDEN / "cluster/four_species/mol.train")
    assert found["kind"] == "training set" and found["species"] == ["C", "H", "N", "O"]
    assert found["n_structures"] == 4 and found["n_copies"] == 0 and found["n_atoms"] == 24
    assert found["energy_min"] == training_set.energy_min
    assert found["setups"][0]["weights"] == [-2, -1, 1, 2]
    text = succeed(tmp_path, "info", str(GOLDEN / "cluster/four_species/mol.train")).out
    for words in ("eV/atom", "eV/Å", "Å", "C (weight -2)", "standard deviations", "no Taylor copies"):
        assert words in text


def test_text_form_tells_the_same(tmp_path: Path) -> None:
    for name in ("mono/mono.train", "mono/Si.nn"):
        succeed(tmp_path, "convert", "--force", str(GOLDEN / name), "text")
        text, binary = only(tmp_path, "text"), only(tmp_path, str(GOLDEN / name))
        for entry in (text, binary):
            for key in ("file", "kind", "size"):
                del entry[key]
            for setup in entry.get("setups") or [entry.get("setup")]:
                setup["description"] = setup["description"].strip()
        assert text == binary


def test_copies_by_strategy_and_derivatives(tmp_path: Path) -> None:
    make_toy(tmp_path, n_structures=4, extra="FORCES\nFORCESPERCENT 50\n" + taylor(delta=0.02, fraction=3, skip=0))
    succeed(tmp_path, "generate", "generate.in")
    found = only(tmp_path, "toy.train")
    assert found["copies"] == [{"strategy": "random", "delta": 0.02, "copies": 12}]
    assert (found["n_structures"], found["n_copies"], found["n_parents_of_copies"]) == (4, 12, 4)
    assert "12 copies random, up to 0.02 Å" in succeed(tmp_path, "info", "toy.train").out
    derivatives = only(tmp_path, "toy.train.forces")
    assert (derivatives["n_structures"], derivatives["n_with_derivatives"], derivatives["n_atoms"]) == (16, 2, 10)


def test_potential(tmp_path: Path) -> None:
    found = only(tmp_path, str(GOLDEN / "mono/Si.nn"))
    assert found["network"] == {
        "layers": [16, 7, 5, 1],
        "activations": ["mtanh", "sigmoid", "linear"],
        "n_weights": 165,
        "largest_weight": found["network"]["largest_weight"],
    }
    assert found["training_set"]["n_structures"] == 21
    assert found["training_set"]["energy_min"] == pytest.approx(-1 / found["scale"] + found["shift"])
    text = succeed(tmp_path, "info", str(GOLDEN / "mono/Si.nn")).out
    assert "16-7-5-1" in text and "species are not told apart" in text and "scale 1.393250188 per eV" in text


def test_setup_with_symmetry_functions(shared: Path, tmp_path: Path) -> None:
    found = only(tmp_path, str(shared / "golden/behler/O.fingerprint.stp"))
    assert found["functions"][0] == {
        "G": 4,
        "neighbours": ["Ti", "O"],
        "Rc": 5.0,
        "lambda": -1.0,
        "zeta": 2.5,
        "eta": 0.01,
    }
    assert (
        "G2 O     Rc=6.5 Rs=1.9 eta=1.42843"
        in succeed(tmp_path, "info", str(shared / "golden/behler/O.fingerprint.stp")).out
    )


def test_checkpoint(tmp_path: Path) -> None:
    make_toy(tmp_path, n_structures=10)
    (tmp_path / "train.in").write_text(train_in(iterations=5, checkpoint=1))
    succeed(tmp_path, "generate", "generate.in")
    trained = report(tmp_path, "train", "train.in")
    found = only(tmp_path, "train.checkpoint.npz")
    assert found["kind"] == "checkpoint of a training"
    assert (found["next_epoch"], found["n_epochs"], found["best_epoch"]) == (6, 6, trained["best_epoch"])
    assert found["last"]["train_rmse"] == trained["epochs"][-1]["train_rmse"]
    content = (tmp_path / "train.checkpoint.npz").read_bytes()
    for length in (100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:length])
        assert run(tmp_path, "info", "cut").complaint


def test_structures(tmp_path: Path) -> None:
    make_toy(tmp_path, n_structures=3)
    one = only(tmp_path, "xsf/01.xsf")
    assert one["compositions"] == {"Ar5": 1} and len(one["energy_per_atom"]) == 1
    assert "isolated" in succeed(tmp_path, "info", "xsf/01.xsf").out
    periodic = succeed(tmp_path, "info", str(GOLDEN / "mono/xsf/mono02.xsf")).out
    assert "volume" in periodic and "angles" in periodic
    succeed(tmp_path, "convert", "xsf/*.xsf", "all.extxyz")
    found = only(tmp_path, "all.extxyz@1:")
    assert found["n_structures"] == 2 and found["n_with_forces"] == 2 and found["force_max"] > 0
    assert len(report(tmp_path, "info", "xsf/*.xsf")["files"]) == 3


def test_weights_of_structures_are_told_where_there_are_any(tmp_path: Path) -> None:
    make_toy(tmp_path, n_structures=3)
    assert "weights" not in succeed(tmp_path, "info", "xsf/01.xsf").out
    plain = read_xsf(tmp_path / "xsf/01.xsf")
    write_xsf(tmp_path / "weighted.xsf", replace(plain, weight=2.0, force_weights=[0.0, 1.0, 1.0, 0.5, 1.0]))
    found = only(tmp_path, "weighted.xsf")
    assert (found["n_weighted"], found["n_weighted_atoms"]) == (1, 2)
    assert "weights other than 1: 1 structures, 2 forces on atoms" in succeed(tmp_path, "info", "weighted.xsf").out


def test_input_files_and_random_state(tmp_path: Path) -> None:
    from taylorfit.formats.aenet.rngstate import write_rngstate

    assert "METHOD                 name=" in succeed(tmp_path, "info", str(GOLDEN / "mono/training/train.in")).out
    assert only(tmp_path, str(GOLDEN / "mono/generate.in"))["types"] == [["Si", -100.0]]
    write_rngstate(tmp_path / "state", range(8))
    assert only(tmp_path, "state")["words"] == list(range(8))
    (tmp_path / "restart").write_bytes(b"\x32\0\0\0" + b"bfgs".ljust(50) + b"\x32\0\0\0")
    assert only(tmp_path, "restart")["method"] == "bfgs"


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "big").write_bytes(b"\0\0\0\4\0\0\0\2\0\0\0\4" + bytes(20))
    (tmp_path / "noise").write_bytes(np.random.default_rng(1).bytes(2000))
    for name, words in (("empty", "empty file"), ("big", "big-endian"), ("noise", "ASE"), ("absent", "no such file")):
        assert words in run(tmp_path, "info", name).complaint


def test_the_companion_of_a_training_set_is_described(tmp_path: Path) -> None:
    make_toy(tmp_path, 4)
    succeed(tmp_path, "generate", "generate.in")
    found = report(tmp_path, "info", "toy.train.geometry")["files"][0]
    assert found["kind"] == "companion of a training set"
    assert (found["n_structures"], found["n_atoms"], found["n_periodic"], found["n_with_forces"]) == (4, 20, 0, 4)
