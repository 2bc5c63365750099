"""`taylorfit label` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import read, write

from cli_support import report, run


def test_a_pool_is_labelled_and_bad_calls_are_refused(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.positions += 0.05 * np.random.default_rng(1).standard_normal((4, 3))
    write(tmp_path / "pool.xyz", [atoms, atoms])
    call = ("label", "pool.xyz", "--reference", "ase.calculators.lj:LennardJones")
    found = report(tmp_path, *call, "sigma=2.2", "epsilon=0.4", "--output", "new.extxyz", "--processes", "1")
    assert found["structures"] == 2 and found["computed"] == 1
    assert found["reference"] == "ase.calculators.lj:LennardJones epsilon=0.4 sigma=2.2"
    assert len(read(tmp_path / "new.extxyz", ":")) == 2
    assert "output exists" in run(tmp_path, *call, "--output", "new.extxyz").complaint
    assert "key=value" in run(tmp_path, *call, "sigma", "--output", "other.extxyz").complaint
    assert "{input}" in run(tmp_path, "label", "pool.xyz", "--command", "x", "--output", "other.extxyz").complaint
    waits = run(tmp_path, "label", "pool.xyz", "--external", "--output", "other.extxyz")
    assert waits.code == 3 and "2 wait" in waits.out
