"""`repel`: its files go through generate and train, and the error of an epoch weighs them as the loss does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_support import contents, generate_in, make_toy, report, run, succeed, train
from taylorfit.formats.structures.xsf import read_xsf, write_xsf


def test_copies_are_trained_on_with_their_weights(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 12)
    found = report(tmp_path, "repel", "xsf/*.xsf", "--output", "repulsive", "--copies", "3", "--temperature", "2000")
    files = sorted((tmp_path / "repulsive").iterdir())
    copies = [read_xsf(file) for file in files]
    assert found["structures"] == 12 and found["copies"] == len(copies) > 24
    assert all(
        c.forces is None and 0.0 < c.weight <= 1.0 and c.energy > min(s.energy for s in structures) for c in copies
    )
    assert found["smallest_weight"] == pytest.approx(min(c.weight for c in copies))
    assert "not a reference calculation" in files[0].read_text()
    (tmp_path / "with.in").write_text(generate_in(("Ar",), ["xsf/*.xsf", "repulsive/*.xsf"]))
    generated = report(tmp_path, "generate", "with.in", "--force")
    assert generated["structures"] == 12 + len(copies)
    errors = {}
    for name in ("weighted", "plain"):
        if name == "plain":
            for file in files:
                lines = [line for line in file.read_text().splitlines() if not line.startswith("# weight")]
                file.write_text("\n".join(lines) + "\n")
            succeed(tmp_path, "generate", "with.in", "--force")
        trained = train(tmp_path, "--fresh", forces="mode=exact beta=1e-3", testpercent=20, iterations=2, seed=1)
        errors[name] = [trained["epochs"][0][key] for key in ("train_rmse", "test_rmse")]
    assert np.isfinite(list(errors.values())).all()
    train_change, test_change = abs(np.array(errors["weighted"]) - np.array(errors["plain"]))
    assert train_change > 1e-6 and test_change == 0.0  # no copy is a test structure


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    make_toy(tmp_path, 4)
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        succeed(tmp_path, "repel", "generate.in", "--output", folder, "--seed", seed)
    texts = [{f.name: f.read_text() for f in (tmp_path / folder).iterdir()} for folder in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    make_toy(tmp_path, 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    first = read_xsf(tmp_path / "xsf" / "00.xsf")
    write_xsf(tmp_path / "bad.xsf", replace(first, symbols=("X", *first.symbols[1:])))
    before = contents(tmp_path)
    assert "not empty" in run(tmp_path, "repel", "xsf/*.xsf", "--output", "full").complaint
    assert "copies" in run(tmp_path, "repel", "xsf/*.xsf", "--output", "new", "--copies", "0").complaint
    assert "shortened" in run(tmp_path, "repel", "xsf/*.xsf", "--output", "new", "--push", "2", "1").complaint
    assert "rise" in run(tmp_path, "repel", "xsf/*.xsf", "--output", "new", "--highest", "0").complaint
    assert "smaller --push" in run(tmp_path, "repel", "xsf/*.xsf", "--output", "new", "--push", "4.5", "4.9").complaint
    # A frame that fails after others were written
    assert run(tmp_path, "repel", "xsf/*.xsf", "bad.xsf", "--output", "new").complaint.startswith("bad.xsf")
    assert contents(tmp_path) == before


def test_a_killed_run_leaves_no_folder_and_the_next_removes_what_is_left(tmp_path: Path) -> None:
    make_toy(tmp_path, 4)
    left = tmp_path / ".pushed.999999999.partial"
    left.mkdir()
    (left / "half.xsf").write_text("half")
    (tmp_path / "pushed").mkdir()
    succeed(tmp_path, "repel", "xsf/*.xsf", "--output", "pushed")
    assert not left.exists() and not list(tmp_path.glob(".*.partial"))
    assert len(list((tmp_path / "pushed").glob("*.xsf"))) > 0


def test_an_error_while_writing_leaves_no_folder(tmp_path: Path) -> None:
    from taylorfit.errors import InputError
    from taylorfit.formats.structures.xsf_folder import XsfFolder

    (structure,) = make_toy(tmp_path, 1)

    def write_and_fail() -> None:
        with XsfFolder(tmp_path / "new") as folder:
            folder.add("a.xsf", structure, [])
            assert not (tmp_path / "new").exists()
            folder.add("b.xsf", replace(structure, positions=np.full((5, 3), np.nan)), [])

    with pytest.raises(InputError, match="not finite"):
        write_and_fail()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Ar.stp", "generate.in", "xsf"]
