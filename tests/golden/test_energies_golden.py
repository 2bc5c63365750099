"""`energies.train.0` and `energies.test.0` of the real ænet: read, and written again byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from taylorfit.commands.cli import main
from taylorfit.formats.aenet.energies_file import read_energies, write_energies, write_saved_energies
from taylorfit.formats.recognise import FileKind, recognise

PARTS = {"train": 54, "test": 6}
parts = pytest.mark.parametrize("part", PARTS)


@parts
@pytest.mark.parametrize("digits", ["", ".fulldigits"])
def test_written_again_byte_for_byte(part: str, digits: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/run/bfgs"
    saved = read_energies(folder / f"energies.{part}.0{digits}")
    assert saved.species == ("Ti", "O") and saved.n_structures == len(saved.names) == PARTS[part]
    write_saved_energies(tmp_path / "again", saved)
    assert (tmp_path / "again").read_bytes() == (folder / f"energies.{part}.0").read_bytes()


@parts
def test_computed_columns_are_those_of_ænet(part: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden/run/bfgs"
    saved = read_energies(folder / f"energies.{part}.0.fulldigits")
    assert saved.scale is not None
    write_energies(
        tmp_path / "again", saved.species, saved.names, saved.counts, saved.reference, saved.error_per_atom, saved.scale
    )
    assert (tmp_path / "again").read_bytes() == (folder / f"energies.{part}.0").read_bytes()


@parts
def test_info_tells_the_errors(part: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = shared / f"golden/run/bfgs/energies.{part}.0"
    assert recognise(path) is FileKind.ENERGIES
    assert main(["info", "--report", "report.json", str(path)]) == 0
    (entry,) = json.loads(Path("report.json").read_text())["files"]
    error = np.loadtxt(path, skiprows=1, usecols=5)
    assert entry["n_structures"] == PARTS[part] and entry["atoms"]["O"] == 2 * entry["atoms"]["Ti"]
    np.testing.assert_allclose([entry["mae"], entry["rmse"]], [np.abs(error).mean(), np.sqrt((error**2).mean())])
