"""Fixtures shared by the tests of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli_support import make_toy, succeed, taylor


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 Morse clusters of five atoms, toy.train, and Taylor copies in copies.train."""
    folder = tmp_path_factory.mktemp("generated")
    make_toy(folder, 24, extra=taylor(delta=0.03, fraction=6, outfile="copies.train"))
    succeed(folder, "generate", "generate.in")
    return folder


@pytest.fixture
def toy(generated: Path, tmp_path: Path) -> Path:
    """A copy, to train in, of the folder that `generated`, perhaps the module's own, has filled."""
    folder = tmp_path / "toy"
    shutil.copytree(generated, folder)
    return folder
