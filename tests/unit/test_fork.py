"""A process that was forked after the engine had used threads: it must not wait for threads that are not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from calculator_cases import random_atoms, write_member

PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
from calculator_cases import as_structure, random_atoms
from taylorfit import EngineError, Potential
potential, structures = Potential.load({folder!r}), [as_structure(random_atoms(k)) for k in range(8)]
def energies(threads):
    return [e.energy for e in potential.evaluate(structures, threads=threads)]
before = energies({parent})
if os.fork() == 0:
    try:
        print(energies({child}) == before, flush=True)
    except EngineError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [(2, 2, "was forked"), (2, 0, "True"), (2, 1, "True"), (1, 2, "True")],
    ids=["several", "all cores", "one", "threads in the child alone"],
)
def test_a_forked_process(tmp_path: Path, parent: int, child: int, expected: str):
    write_member(tmp_path, random_atoms())
    program = PROGRAM.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path), parent=parent, child=child)
    # The limit is only there so that a program that waits for ever is a failure
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert expected in done.stdout
