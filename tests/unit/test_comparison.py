"""Running the example and the table that compares its trainings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from taylorfit.commands import cli
from taylorfit.commands.example import SHOWN, comparison_lines
from taylorfit.errors import InputError
from taylorfit.examples import EXAMPLES, copy_example


def report(best: int, energy: float, force: float | None) -> dict:
    """A report of `train`, as far as the table reads it."""
    errors = {
        "energy_mae": energy,
        "energy_rmse": 2 * energy,
        "force_mae": force,
        "force_rmse": force,
        "force_error_norm_mean": force,
        "angle_error_mean": None,
        "n_structures": 7,
    }
    last = {**errors, "energy_mae": 3 * energy}
    return {
        "best_epoch": best,
        "epochs": [{"epoch": 0}, {"epoch": 40}],
        "validation": errors,
        "validation_last": last,
        "n_train": 5,
        "n_copies": 110,
        "seconds_per_epoch": 0.0123,
    }


def test_table() -> None:
    lines = comparison_lines({"energy": report(12, 0.004, 0.5), "Taylor": report(31, 0.002, 0.25)})
    assert len({len(line) for line in lines}) == 1
    table = [(re.split(r"\s{2,}", line.strip())[0], line.split()[-2:]) for line in lines]
    assert lines[0].split()[-2:] == ["energy", "Taylor"] and "7 validation structures" in lines[0]
    assert ("best epoch", ["12", "31"]) in table and ("last epoch", ["40", "40"]) in table
    assert ("energy MAE, meV/atom", ["4.00", "2.00"]) in table
    assert ("force MAE, eV/Å per component", ["0.500", "0.250"]) in table
    assert [cells for label, cells in table if label.startswith("energy RMSE")] == [["8.00", "4.00"], ["8.00", "4.00"]]
    assert not any("angle" in line for line in lines)  # no value anywhere: no row


def test_table_without_forces_or_validation() -> None:
    lines = comparison_lines({"a": report(1, 0.1, None)})
    assert not any("eV/Å" in line for line in lines)
    with pytest.raises(InputError, match="VALIDATION"):
        comparison_lines({"a": {**report(1, 0.1, None), "validation": None}})


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
