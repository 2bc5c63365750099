"""Which rooms of the package may load which libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import taylorfit

PACKAGE = Path(taylorfit.__file__).parent


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("settings", {"numpy", "ase", "taylorfit.engine", "taylorfit.commands"}),
        ("model", {"ase", "taylorfit.engine", "taylorfit.commands"}),
        ("formats", {"ase.calculators", "matplotlib", "taylorfit.engine", "taylorfit.commands"}),
    ],
)
def test_a_room_loads_nothing_from_above(room: str, forbidden: set[str]) -> None:
    files = sorted((PACKAGE / room).rglob("*.py"))
    modules = [".".join(("taylorfit", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files]
    assert len(modules) > 3
    code = (
        f"import sys, importlib; {{*map(importlib.import_module, {modules})}}; print(*{forbidden} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr
