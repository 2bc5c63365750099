"""`taylorfit md`: what became of each run, in a word."""

from __future__ import annotations

import csv
from pathlib import Path

from ase.io import write

from calculator_cases import random_atoms, write_committee
from cli_support import report, succeed
from taylorfit.formats.data_limits import write_data_limits
from taylorfit.model.data_limits import DataLimits

BASE = """STRUCTURE start.xyz
POTENTIALS
many committee

TIMESTEP 0.1   ! fs
STEPS 20
SAMPLE 5
THREADS 1
"""


def test_each_run_has_a_verdict(tmp_path: Path):
    """Held, left its data, collapsed: by what the committee remembers, or is told."""
    atoms = random_atoms()
    write_committee(tmp_path / "committee", atoms, 2)
    write(tmp_path / "start.xyz", atoms, format="extxyz")
    held = "EXTRAPOLATION max_force_std=1e6"
    for limits, lines, verdict, status in (
        (DataLimits(1e6, {"O-O": 0.1}), (), "held", "finished"),
        (DataLimits(1e-6), (), "left its data at step 0 (0 ps)", "finished"),
        (DataLimits(1e-6), (held,), "held", "finished"),
        (DataLimits(1e6, {"H-O": 20.0}), (), "collapsed at step 0 (0 ps)", "collapsed: atom "),
        (DataLimits(1e6, {"H-O": 20.0}), (f"{held} shortest=O-H:0.1",), "held", "finished"),
        (DataLimits(1e-6), ("EXTRAPOLATION action=dump beyond=2",), "collapsed at step 0 (0 ps)", "collapsed: atom "),
        (DataLimits(1e-6), ("EXTRAPOLATION action=ignore",), "finished", "finished"),
    ):
        write_data_limits(tmp_path / "committee", limits)
        (tmp_path / "md.in").write_text("\n".join([BASE, *lines, ""]))
        (row,) = report(tmp_path, "md", "md.in", "--force")["walks"]
        assert row["verdict"] == verdict and row["status"].startswith(status)
        with open(tmp_path / "md.starts.csv", newline="") as stream:
            assert next(csv.DictReader(stream))["verdict"] == verdict
        assert row["worst"] is None and (row["worst_force_std"] is None) == (row["first_extrapolation"] is None)
    assert not (tmp_path / "extrapolations").exists()
    out = succeed(tmp_path, "md", "md.in", "--force").out
    assert "verdict" in out and "finished" in out
