"""Inputs of `taylorfit md` for tests: two potentials, a committee, a start, and md.in."""

from __future__ import annotations

import csv
from pathlib import Path

from ase.io import write

from calculator_cases import random_atoms, write_committee, write_member

BASE = """STRUCTURE start.xyz
POTENTIALS
one    one
two    two/O.nn two/H.nn

TIMESTEP 0.1   ! fs
STEPS 20
SAMPLE 5
THREADS 1
"""


def make_md(tmp_path: Path) -> Path:
    """Fill a folder."""
    atoms = random_atoms()
    write_member(tmp_path / "one", atoms, 1)
    write_member(tmp_path / "two", atoms, 2)
    write_committee(tmp_path / "committee", atoms, 2)
    write(tmp_path / "start.xyz", [atoms, random_atoms(1)], format="extxyz")
    (tmp_path / "md.in").write_text(BASE)
    return tmp_path


def change(folder: Path, *lines: str, without: str = "POTENTIALS", base: str = BASE) -> None:
    """Write md.in with more keywords; `without`: keywords of `base` to be replaced."""
    kept, skip = [], False
    for line in base.splitlines():
        word = line.split()[0] if line.strip() else ""
        skip = word in without.split() or (skip and bool(word) and not word.isupper())
        if not skip:
            kept.append(line)
    (folder / "md.in").write_text("\n".join([*kept, *lines]) + "\n")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))
