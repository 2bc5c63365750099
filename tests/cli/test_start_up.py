"""Commands import what they need: start-up is most of the time of small jobs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

MONO = Path(__file__).parents[1] / "data/golden/mono"
NOT_NEEDED = (
    # from elsewhere
    ("ase", "logging", "matplotlib", "numpy.ma", "numpy.random", "rich", "traceback")
    # readers of other formats, the rest of the engine, other commands' settings, Taylor copies, training
    + tuple(f"taylorfit.engine.{name}" for name in ("force_maps", "lbfgs", "losses", "neighbour_lists"))
    + tuple(f"taylorfit.formats.structures.{name}" for name in ("ase_frames", "extxyz_frames", "foreign", "frames"))
    + ("taylorfit.settings.md", "taylorfit.settings.train", "taylorfit.taylor.displacements", "taylorfit.training")
)
PROGRAM = """
import sys
from taylorfit.commands.cli import main
code = main(sys.argv[1:])
print("modules:", *sys.modules, file=sys.stderr)
sys.exit(code)
"""


def imported(folder: Path, *argv: str) -> set[str]:
    """Modules that a command imports."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *argv], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("modules:")[2].split())


def test_predict_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    modules = imported(tmp_path, "predict", "--potential", str(MONO / "Si.nn"), str(MONO / "xsf/mono01.xsf"))
    assert "taylorfit.engine.potentials" in modules
    others = {"zipfile", "taylorfit.settings.generate", "taylorfit.settings.displacements"}
    assert not modules & {*NOT_NEEDED, *others}


def test_generate_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    for name in ("Si.fingerprint.stp", "generate.in", "xsf"):
        source = MONO / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    modules = imported(tmp_path, "generate", "generate.in")
    assert "taylorfit.engine.descriptors" in modules
    others = {"taylorfit.engine.potentials", "taylorfit.formats.recognise", "taylorfit.potential.potential"}
    assert not modules & {*NOT_NEEDED, *others}


def test_help_needs_no_numpy(tmp_path: Path) -> None:
    assert "numpy" not in imported(tmp_path, "--version")
