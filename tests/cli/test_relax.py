"""RELAX in predict.in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from taylorfit.commands.cli import main
from taylorfit.formats.structures.xsf import read_xsf

GOLDEN = Path(__file__).parent.parent / "data" / "golden" / "cluster" / "tio2_nets"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden potentials and structures, in the working directory."""
    for file in GOLDEN.glob("*.nn"):
        shutil.copy(file, tmp_path)
    shutil.copytree(GOLDEN / "xsf", tmp_path / "xsf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(file: str, relax: str = "") -> dict:
    """Run predict on one structure; return its row of the report."""
    Path("predict.in").write_text(
        f"TYPES\n2\nTi\nO\n\nNETWORKS\nTi Ti.nn\nO O.nn\n\n{relax}\n\nFORCES\n\nFILES\n1\n{file}\n"
    )
    assert main(["predict", "predict.in", "--report", "report.json"]) == 0
    return json.loads(Path("report.json").read_text())["structures"][0]


def largest(row: dict) -> float:
    """Largest force on an atom, eV/Å."""
    return float(np.linalg.norm(row["forces"], axis=1).max())


def test_relaxed_structure_has_lower_energy_and_small_forces(folder: Path, capsys: pytest.CaptureFixture[str]):
    file = sorted(path.as_posix() for path in Path("xsf").iterdir())[1]
    before = predict(file)
    after = predict(file, "RELAX\nmethod=bfgs F_conv=0.001 E_conv=1e-12 steps=500")
    assert after["relaxation"]["converged"] and after["relaxation"]["steps"] > 0
    assert largest(before) > 0.05 and largest(after) <= 0.001
    assert after["energy"] < before["energy"] - 1e-3
    assert "relaxed in" in capsys.readouterr().out
    # What is reported belongs together: the same energy at the reported positions
    moved = np.abs(np.array(after["positions"]) - read_xsf(file).positions).max()
    assert 0 < moved <= after["relaxation"]["largest_displacement"] + 1e-12


def test_relaxed_means_that_the_forces_are_small(folder: Path):
    for file in sorted(path.as_posix() for path in Path("xsf").iterdir()):
        row = predict(file, "RELAX\nsteps=300")
        assert not row["relaxation"]["converged"] or largest(row) <= 0.01
    assert row["relaxation"]["converged"]


def test_steps_and_dmax_are_limits(folder: Path, capsys: pytest.CaptureFixture[str]):
    file = sorted(path.as_posix() for path in Path("xsf").iterdir())[2]
    row = predict(file, "RELAX\nF_conv=1e-9 E_conv=1e-15 steps=3 dmax=0.01")
    assert row["relaxation"]["steps"] == 3 and not row["relaxation"]["converged"]
    assert row["relaxation"]["largest_displacement"] <= 3 * 0.01 + 1e-12
    assert "NOT relaxed" in capsys.readouterr().out


def test_no_steps_change_nothing(folder: Path):
    file = sorted(path.as_posix() for path in Path("xsf").iterdir())[0]
    assert predict(file, "RELAX\nsteps=0 F_conv=1e-12")["energy"] == pytest.approx(predict(file)["energy"], abs=1e-12)
