"""Every benchmark runs, on the smallest sizes; what it measures is not looked at."""

from __future__ import annotations

import json
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


def test_all_figures_come_into_one_table_and_are_compared(tmp_path: Path) -> None:
    command = [sys.executable, Path(__file__).with_name("run.py"), "--quick", "--output", tmp_path / "run.json"]
    first = subprocess.run([*command, "bench_engine"], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    made = json.loads((tmp_path / "run.json").read_text())
    figures = {figure["name"]: figure for figure in made["figures"]}
    epoch = figures["energy epoch, 48-10-10-1, 1 thread(s)"]
    assert epoch["of"] == "dgemm"
    assert epoch["value"] > 0 < epoch["limit"]
    assert all(name in first.stdout for name in figures)

    # A stored run that was much faster, and one that was slower
    for factor, code in ((1e-3, 1), (1e3, 0)):
        stored = {**made, "figures": [{**figure, "value": factor * figure["value"]} for figure in made["figures"]]}
        (tmp_path / "stored.json").write_text(json.dumps(stored))
        comparing = [*command, "bench_engine", "--compare", tmp_path / "stored.json"]
        again = subprocess.run(comparing, capture_output=True, text=True)
        assert again.returncode == code, again.stderr
        assert again.stdout.count("slower: ") == code * len(figures)
