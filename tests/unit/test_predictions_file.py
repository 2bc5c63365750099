"""Predictions: round trip, the same bytes twice, what `info` says, and files that are something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prediction_cases import noisy_predictions
from taylorfit.commands.info import describe_file
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.predictions import read_predictions, write_predictions
from taylorfit.formats.recognise import FileKind
from taylorfit.model.predictions import Predictions

NONE = Predictions("none", (), (), (), np.zeros(1), *(np.zeros(0),) * 3, *(np.zeros((0, 3)),) * 2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file of five structures."""
    path = tmp_path / "saved.npz"
    write_predictions(path, noisy_predictions(0.1, "Ångström und ‰", n_structures=5))
    return path


def altered(path: Path, **changes: object) -> Path:
    """The same file with other arrays; None leaves one out."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_round_trip(saved: Path) -> None:
    before, after = noisy_predictions(0.1, "Ångström und ‰", n_structures=5), read_predictions(saved)
    for name in ("label", "potentials", "names", "symbols"):
        assert getattr(after, name) == getattr(before, name)
    for name in ("offsets", "isolated_energy", "energy_ref", "energy", "forces_ref", "forces"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_missing_references_stay_missing(tmp_path: Path) -> None:
    one = noisy_predictions(0.1, n_structures=3)
    energy_ref, forces_ref = one.energy_ref.copy(), one.forces_ref.copy()
    energy_ref[1] = np.nan
    forces_ref[:4] = np.nan
    write_predictions(tmp_path / "x", replace(one, energy_ref=energy_ref, forces_ref=forces_ref))
    found = read_predictions(tmp_path / "x")
    assert found.has_energy.tolist() == [True, False, True] and found.has_forces.sum() == len(one.symbols) - 4
    assert len(found.energy_error_per_atom) == 2 and len(found.compared_forces[0]) == len(one.symbols) - 4


def test_no_structures(tmp_path: Path) -> None:
    write_predictions(tmp_path / "x", NONE)
    assert read_predictions(tmp_path / "x").n_structures == 0


def test_the_same_predictions_give_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "again", read_predictions(saved))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_info(saved: Path) -> None:
    kind, (lines, data) = describe_file(str(saved))
    assert kind is FileKind.PREDICTIONS
    assert "5 structures" in lines[0] and "O.nn H.nn" in lines[0] and any("RMSE" in line for line in lines[1:])
    assert data["n_structures"] == 5 and 0.05 < data["errors"]["force_mae"] < 0.11


@pytest.mark.parametrize("cut", (0.3, 0.9, 0.999))
def test_cut_files(saved: Path, cut: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(FormatError, match="damaged"):
        read_predictions(saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"taylorfit_predictions": np.array(7)}, "another version: found 7, expected 1"),
        ({"taylorfit_predictions": None}, "not a predictions file"),
        ({"label": None}, "without an array: found 'label'"),
        ({"forces": None}, "without an array: found 'forces'"),
        ({"forces": np.zeros(3)}, "forces is float64 of shape (3,)"),
        ({"energy": np.zeros(4)}, "energy has shape (4,), expected (5,)"),
        ({"names": np.arange(5)}, "names is int64"),
        ({"offsets": np.array([0, 3, 2, 9, 12, 15])}, "contradict each other"),
        ({"offsets": np.array([0, 3, 6, 9, 12, 999])}, "contradict each other"),
        ({"energy": np.full(5, np.nan)}, "not finite"),
        ({"energy_ref": np.full(5, np.inf)}, "not finite"),
    ],
)
def test_damaged_content(saved: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_predictions(altered(saved, **changes))
    assert words in str(caught.value) and str(saved) in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not an archive")
    with pytest.raises(FormatError, match="not a predictions file"):
        read_predictions(tmp_path / "text")
    with pytest.raises(InputError, match="No such file"):
        read_predictions(tmp_path / "missing")
    with pytest.raises(InputError, match="directory"):
        read_predictions(tmp_path)
