"""Every benchmark runs, on the smallest sizes; what it measures is not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("script", sorted(Path(__file__).parent.glob("bench_*.py")), ids=lambda path: path.stem)
def test_it_starts_and_ends(script: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, script, "--quick"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "skipped, no LAMMPS" in done.stdout:
        pytest.skip(done.stdout.strip())
    assert done.stdout.count("\n") > 2
    assert not list(tmp_path.iterdir())
