"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# Modules that several tests share lie beside this file, which importlib mode does not put on the path; the studies
# are scripts and not installed.
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "python" / "studies")]


def shared_directory() -> Path:
    """Return where reference data live: `TAYLORFIT_SHARED`, else `../shared` of the repository."""
    return Path(os.environ.get("TAYLORFIT_SHARED") or REPOSITORY.parent / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Directory of the reference data (`golden/`, `data/`); skips the test if absent."""
    directory = shared_directory()
    if not (directory / "golden").is_dir():
        pytest.skip(f"reference data not found: {directory} (set TAYLORFIT_SHARED)")
    return directory
