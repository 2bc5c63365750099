"""Writing structures to files: XSF, one for each, or extended XYZ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from ..errors import InputError
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.in_memory import Structures, as_structures
from ..formats.structures.kinds import EXTXYZ, XSF, XYZ_ENDINGS
from ..formats.structures.xsf import write_xsf
from ..model.structure import Structure
from ..tools.os_errors import make_folder
from ..tools.warn import warn_of_data


@dataclass(frozen=True)
class Written:
    """What has been written."""

    files: tuple[str, ...]
    n_structures: int
    notes: tuple[str, ...]
    """What the format cannot hold."""


def write(path: str | PathLike[str], structures: Structures, *, overwrite: bool = False) -> list[Path]:
    """Write structures to files that `read` and other programs read.

    Parameters
    ----------
    path
        `all.extxyz`: all of them as frames of one file.  `frames/s*.xsf`: numbered XSF files, one for each;
        `frame.xsf`: one; a folder: XSF files with the names of the structures.
    structures
        Of taylorfit or ASE, with what is known of energies, forces and stresses.
    overwrite
        Replace files that exist?

    Returns
    -------
    list of Path
        The files.

    Warns
    -----
    DataWarning
        for what the format cannot hold.

    Raises
    ------
    InputError
        if a file exists or cannot be written, or several structures are to go into one XSF file.

    Examples
    --------
    >>> from taylorfit import RandomDisplacements, displace, write
    >>> paths = write("copies.extxyz", displace(structures, RandomDisplacements()))      # doctest: +SKIP
    """
    output = fspath(path)
    written = write_structures(output, as_structures(structures), kind_of(output), overwrite)
    warn_of_data(written.notes)
    return [Path(file) for file in written.files]


def kind_of(output: str) -> str:
    """The format that the name of a file or folder stands for."""
    return EXTXYZ if output.lower().endswith(XYZ_ENDINGS) else XSF


def write_structures(output: str, structures: Iterable[Structure], kind: str, overwrite: bool = False) -> Written:
    """Write structures as they come, as `XSF` or `EXTXYZ`; see `write`."""
    lost: dict[str, int] = {}
    n = 0

    def counted() -> Iterator[Structure]:
        nonlocal n
        for structure in structures:
            n += 1
            for what in _lost(structure) if kind == XSF else ():
                lost[what] = lost.get(what, 0) + 1
            yield structure

    if kind == EXTXYZ:
        write_extxyz(output, counted(), overwrite=overwrite)
        files = [output]
    else:
        files = _write_xsf_files(output, counted(), overwrite)
    return Written(tuple(files), n, tuple(f"{what} ({n} structures)" for what, n in lost.items()))


def _write_xsf_files(output: str, structures: Iterator[Structure], overwrite: bool) -> list[str]:
    """Write each structure to a file of its own; return their names."""
    path = Path(output)
    pattern = "*" in path.name
    single = not pattern and not path.is_dir() and path.suffix.lower() == ".xsf"
    directory = make_folder(path.parent if pattern or single else path)
    if single:
        first = next(structures, None)
        if first is None:
            raise InputError("no structures to write", file=output, expected="one")
        if next(structures, None) is not None:
            raise InputError(
                "the input has more than one structure",
                file=output,
                expected="a folder, or a pattern such as frames/s*.xsf",
            )
        write_xsf(path, first, overwrite=overwrite)
        return [output]
    written: list[str] = []
    seen: set[str] = set()
    for number, structure in enumerate(structures, start=1):
        name = path.name.replace("*", f"{number:06d}", 1) if pattern else _file_name(structure.name, seen)
        write_xsf(directory / name, structure, overwrite=overwrite)
        written.append(str(directory / name))
    return written


def _file_name(name: str, seen: set[str]) -> str:
    """Return the name of a structure's file in a folder: from that of its source and its frame."""
    path, mark, frame = name.rpartition("#")
    # What comes after a colon tells what a copy is: `#taylor:random:0003:0.008`
    copy = re.sub(r"[^\w.+-]+", "-", frame) if mark and ":" in frame else ""
    if not (mark and (frame.isdigit() or copy)):
        path = name
    frame = frame if mark and frame.isdigit() else ""
    file = Path(path)
    # Names such as OUTCAR and vasprun.xml say less than their folders
    stem = (
        file.stem
        if file.stem.lower() not in ("outcar", "vasprun", "")
        else f"{file.parent.name}_{file.stem}".lstrip("_")
    )
    stem += f"-{int(frame):06d}" if frame else f"-{copy}" if copy else ""
    unique, k = stem, 1
    while unique in seen:
        k += 1
        unique = f"{stem}_{k}"
    seen.add(unique)
    return f"{unique}.xsf"


def _lost(structure: Structure) -> list[str]:
    """Say what a structure loses in XSF."""
    notes = []
    if any(structure.pbc) and not all(structure.pbc):
        notes.append(
            "to ænet structures periodic in one or two directions are periodic in all three (to taylorfit not)"
        )
    if not any(structure.pbc) and structure.cell.any():
        notes.append("XSF has no place for the cell of a structure that is not periodic")
    if structure.energy is None and structure.cohesive_energy is None:
        notes.append("no energy, so generate will refuse it")
    return notes
