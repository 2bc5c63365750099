"""An ænet user's folder, as it is: input file, training set, potentials, and train.rngstate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from taylorfit.commands.cli import main


def test_folder_of_an_aenet_run_gives_its_errors(shared: Path, tmp_path: Path, monkeypatch):
    golden = shared / "golden" / "run"
    for file in (golden / "small.train", golden / "train.in", *(golden / "init").iterdir()):
        shutil.copy(file, tmp_path)
        (tmp_path / file.name).chmod(0o644)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "train.in", "--report", "report.json"]) == 0
    epochs = json.loads(Path("report.json").read_text())["epochs"]
    own = np.array([[e["train_mae"], e["train_rmse"], e["test_mae"], e["test_rmse"]] for e in epochs])
    reference = np.loadtxt(golden / "bfgs" / "epochs_fulldigits.txt")[:, 1:]
    # ænet's first call of L-BFGS-B hands back the start, so its epoch k + 1 is our epoch k
    np.testing.assert_allclose(own[0], reference[0], rtol=1e-12)
    np.testing.assert_allclose(own[1:11], reference[2:12], rtol=1e-10)
    assert own[40, 1] <= reference[40, 1]
