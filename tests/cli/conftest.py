"""Fixtures shared by the tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def toy(generated: Path, tmp_path: Path) -> Path:
    """A copy, to train in, of the folder that the module's own fixture `generated` has filled."""
    folder = tmp_path / "toy"
    shutil.copytree(generated, folder)
    return folder
