"""Running the example: all its trainings, with few epochs, copies and structures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from taylorfit.commands import cli
from taylorfit.commands.example import SHOWN
from taylorfit.examples import EXAMPLES
from taylorfit.examples.copying import copy_example


def shortened(tmp_path: Path) -> Path:
    """The water clusters with few epochs, copies and structures."""
    folder = tmp_path / "water"
    copy_example("water-cluster", folder)
    for name, pattern, new in (
        ("train-energy.in", r"ITERATIONS\s+\d+", "ITERATIONS 4"),
        ("train-taylor.in", r"ITERATIONS\s+\d+", "ITERATIONS 2"),
        ("train-centred.in", r"ITERATIONS\s+\d+", "ITERATIONS 2"),
        ("train-directional.in", r"ITERATIONS\s+\d+", "ITERATIONS 2"),
        ("train-exact.in", r"ITERATIONS\s+\d+", "ITERATIONS 2"),
        ("generate.in", r"fraction=\d+", "fraction=2"),
    ):
        text, n = re.subn(pattern, new, (folder / name).read_text())
        assert n == 1
        (folder / name).write_text(text)
    return folder


def test_example_runs_and_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shortened(tmp_path)
    (folder / "predict.in").unlink()  # a folder of an older version: what is missing is added
    tables = []
    for _ in range(2):
        assert cli.main(["example", "water-cluster", str(folder), "--run", "--report", str(tmp_path / "all.json")]) == 0
        printed = capsys.readouterr().out
        # Input files that were changed stay
        assert "ITERATIONS 2" in (folder / "train-taylor.in").read_text()
        reports = json.loads((tmp_path / "all.json").read_text())["reports"]
        assert set(reports) == {Path(file).stem for _, file in EXAMPLES["water-cluster"].steps}
        assert reports["train-taylor"]["n_copies"] == 2 * reports["train-taylor"]["n_train"]
        # The potentials on disk give the errors that training reports
        for key in SHOWN:
            assert reports["predict"]["errors"][key] == pytest.approx(
                reports["train-exact"]["validation"][key], rel=1e-9
            )
        table = printed[printed.index("errors on 200 validation structures") :]
        tables.append([line for line in table.splitlines() if "ms per epoch" not in line])
        for word in ("centred Taylor", "O.taylor.nn", "predict.out", str(folder)):
            assert word in printed
    assert tables[0] == tables[1]
    assert len((folder / "predict.out").read_text().splitlines()) > 200


def test_a_failing_step_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shortened(tmp_path)
    (folder / "train-energy.in").write_text("TRAININGSET nothing.train\nMETHOD\nbfgs\n")
    assert cli.main(["example", "water-cluster", str(folder), "--run"]) == 2
    printed = capsys.readouterr()
    assert "train-taylor" not in printed.out
    assert printed.err.startswith("taylorfit: ") and printed.err.count("\n") == 1
