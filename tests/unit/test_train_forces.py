"""FORCES in train.in."""

from __future__ import annotations

from pathlib import Path

import pytest

from taylorfit.errors import TaylorfitError
from taylorfit.settings.forces import ForceMode
from taylorfit.settings.train import TrainInput

TEXT = "TRAININGSET a.train\nNETWORKS\nH H.nn 1 5:tanh\n\n"


def read(tmp_path: Path, line: str) -> ForceMode:
    """Read train.in with one more line."""
    path = tmp_path / "train.in"
    path.write_text(TEXT + line + "\n")
    return TrainInput.read(path).forces


def test_without_the_keyword_the_data_decide(tmp_path):
    assert read(tmp_path, "") == ForceMode(mode=None, beta=1e-3)


@pytest.mark.parametrize(
    "line, expected",
    (
        ("FORCES mode=centred beta=2d-3", ForceMode("centred", 2e-3)),
        ("FORCES mode = energy ! nothing", ForceMode("energy")),
        ("forces mode=taylor", ForceMode("taylor")),
    ),
)
def test_modes_are_read_and_written_back(tmp_path, line, expected):
    assert read(tmp_path, line) == expected
    data = TrainInput.read(tmp_path / "train.in")
    data.write(tmp_path / "again.in")
    assert TrainInput.read(tmp_path / "again.in") == data


@pytest.mark.parametrize(
    "line, complaint",
    (
        ("FORCES", "without a mode"),
        ("FORCES mode=exakt", "exakt"),
        ("FORCES mode=centred beta=0", "beta"),
        ("FORCES mode=centred beta=-1e-3", "beta"),
        ("FORCES mode=centred beta=nan", "nan"),
        ("FORCES mode=centred bete=1", "beta"),
        ("FORCES centred", "centred"),
    ),
)
def test_mistakes_are_named_with_their_line(tmp_path, line, complaint):
    with pytest.raises(TaylorfitError, match=complaint) as error:
        read(tmp_path, line)
    assert "train.in, line 5" in str(error.value)
