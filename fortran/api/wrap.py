"""Build step: wrap the tf_api_* modules for Python with f90wrap and f2py.

Usage: wrap.py OUTPUT_DIRECTORY KIND_MAP SOURCE...

Writes f90wrap_<source>.f90 for each source, _engine.py and _extmodule.c, with f2py's own fortranobject.[ch].  f2py only
writes C code; compiling is meson's job.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy.f2py


def main() -> None:
    """Run f90wrap and f2py in the output directory."""
    output, kind_map, *sources = (Path(argument).resolve() for argument in sys.argv[1:])
    os.chdir(output)
    # Copies with bare names: otherwise the docstrings quote the paths of the build machine
    for file in (kind_map, *sources):
        shutil.copy(file, output)
    names = [source.name for source in sources]
    run(
        "-m",
        "f90wrap",
        "-m",
        "_engine",
        "--f90-mod-name",
        "taylorfit._ext",
        "-k",
        kind_map.name,
        "--return-decoded",
        "--py-max-line-length",
        "120",
        *names,
    )
    wrapped = [f"f90wrap_{name}" for name in names]
    for name in wrapped:
        # Releases Python's global lock during the call
        substitute(Path(name), "implicit none\n", "implicit none\n    !f2py threadsafe\n")
    # The few classes that are needed at run time are our own (engine/runtime.py)
    substitute(Path("_engine.py"), "import f90wrap.runtime\n", "from taylorfit.engine import runtime\n")
    substitute(Path("_engine.py"), "f90wrap.runtime.", "runtime.")
    substitute(Path("_engine.py"), "import logging\n", "")  # takes a while, and is not used
    for name in ("fortranobject.c", "fortranobject.h"):
        shutil.copy(Path(numpy.f2py.get_include()) / name, output)
    run("-m", "numpy.f2py", *wrapped, "-m", "_ext", "--lower", "--f2cmap", ".f2py_f2cmap")


def substitute(path: Path, old: str, new: str) -> None:
    """Replace `old` in a generated file, which must hold it."""
    text = path.read_text()
    if old not in text:
        sys.exit(f"{path} as f90wrap writes it has no {old!r}: this version of f90wrap is not the one we know")
    path.write_text(text.replace(old, new))


def run(*arguments: str) -> None:
    """Run a Python module; show its output only if it fails."""
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{result.stdout}\n{result.stderr}")


main()
