"""Structures from files of any kind: XSF by our own reader, everything else through ASE.

ASE's XSF reader is never used: it takes forces for Hartree/Å and knows no energies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from itertools import chain, islice
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...model.structure import Structure
from ...tools.plain_text import read_bytes
from .xsf import line_of_symbol, parse_xsf

Entry = str | tuple[str, int | None]
"""A path or pattern, alone or with the number of the line it stands in."""

_INTEGER = "-?[0-9]{1,9}"
_SELECTION = re.compile(f"(.+)@({_INTEGER}|(?:{_INTEGER})?(?::(?:{_INTEGER})?){{1,2}})", re.DOTALL)
XSF_KEYWORD = re.compile(rb"^[ \t]*(PRIMVEC|PRIMCOORD|ATOMS|ANIMSTEPS)[ \t]*[0-9]*[ \t\r]*$", re.M)
_PEEK_BYTES = 16384


def expand_patterns(
    entries: Iterable[Entry], base_dir: str | PathLike[str] = ".", *, listed_in: str | PathLike[str] | None = None
) -> list[str]:
    """Return the files that paths and patterns (`data/*.xsf`, `runs/**/OUTCAR`) stand for.

    The order is that of `entries`; the matches of one pattern are in natural order
    (`s2.xsf` before `s10.xsf`), which does not depend on the file system.  A pattern does
    not repeat files that are listed by their own names or match an earlier pattern.  An
    existing file of exactly the name of the entry is taken as it is.  A selection of frames
    (`traj.extxyz@::10`, as in ASE) is kept on every path; see :func:`read_structures`.

    Parameters
    ----------
    entries
        Paths or patterns, each alone or as (text, line number).
    base_dir
        Directory that relative entries start from.
    listed_in
        File that the entries stand in, for error messages.

    Raises
    ------
    InputError
        if an entry is empty, a file does not exist or is a directory, or a pattern matches
        no file.
    """
    listed = [entry if isinstance(entry, tuple) else (entry, None) for entry in entries]
    plain: list[tuple[str, str, int | None, bool]] = []
    for text, line in listed:
        if not text.strip():
            raise InputError("empty file name", file=listed_in, line=line, expected="a path")
        path, selection = split_selection(os.path.join(base_dir, text))
        path = os.fspath(Path(path))
        plain.append((path, selection, line, has_magic(path) and not os.path.lexists(path)))

    seen = {path + selection for path, selection, _, pattern in plain if not pattern}
    files: list[str] = []
    for (path, selection, line, pattern), (text, _) in zip(plain, listed):
        if not pattern:
            _check_file(path, text, listed_in, line)
            files.append(path + selection)
            continue
        try:
            found = sorted(filter(os.path.isfile, glob(path, recursive=True)), key=natural_key)
        except (OSError, ValueError, re.error) as error:
            raise InputError(f"unusable pattern ({error})", file=listed_in, line=line, value=text) from error
        if not found:
            raise InputError(
                "pattern matches no file",
                file=listed_in,
                line=line,
                value=text,
                expected=f"a pattern of files in {os.path.dirname(path) or os.curdir}",
            )
        matches = [name + selection for name in found]
        files += [name for name in matches if name not in seen]
        seen.update(matches)
    return files


def read_structures(
    path: str | PathLike[str],
    *,
    require_energy: bool = False,
    require_forces: bool = False,
    force_consistent: bool = True,
) -> Iterator[Structure]:
    """Yield the structures of one file, one after the other.

    Parameters
    ----------
    path
        XSF (recognised by name or content) or anything that ASE reads: extxyz, OUTCAR,
        vasprun.xml, trajectories, ...  It may end in a selection of frames in ASE's
        notation: `@3`, `@-1`, `@10:20`, `@::10`.
    require_energy, require_forces
        Raise if a frame has no energy or forces?
    force_consistent
        Prefer the free energy to the energy extrapolated to zero electronic temperature,
        where the file has both (VASP: "TOTEN" instead of "sigma->0")?  The default is yes:
        the forces are derivatives of the free energy, and a Taylor expansion must not mix
        the two.  Choose no to reproduce energies of programs that take ASE's default.

    Yields
    ------
    Structure
        Forces are raw: constraints (fixed atoms) do not change them.  The name is the path,
        with `#<frame>` appended if the file has several frames; frames count from 0 in the
        file, also within a selection.

    Raises
    ------
    FormatError
        if the file is damaged, a number is not finite, or energy or forces are missing.
    InputError
        if the file cannot be read or the selection is empty.
    """
    name, selection = split_selection(fsdecode(path))
    if _is_xsf(name):
        structure = parse_xsf(read_bytes(name), name, require_energy=require_energy, require_forces=require_forces)
        for _, only in _select([(0, structure)], name, selection):
            yield only
        return

    from .ase_frames import read_frames, structure_from_atoms

    frames = read_frames(name)
    head = list(islice(frames, 2))
    for number, atoms in _select(enumerate(chain(head, frames)), name, selection):
        yield structure_from_atoms(
            atoms,
            f"{name}#{number}" if len(head) > 1 else name,
            require_energy=require_energy,
            require_forces=require_forces,
            force_consistent=force_consistent,
        )


def read_structure_files(
    entries: Iterable[Entry],
    base_dir: str | PathLike[str] = ".",
    *,
    listed_in: str | PathLike[str] | None = None,
    require_energy: bool = False,
    require_forces: bool = False,
    force_consistent: bool = True,
) -> Iterator[Structure]:
    """Yield the structures of all files that `entries` stand for.

    All entries are expanded before the first file is read.  See :func:`expand_patterns` and
    :func:`read_structures` for the parameters and errors.
    """
    for path in expand_patterns(entries, base_dir, listed_in=listed_in):
        yield from read_structures(
            path, require_energy=require_energy, require_forces=require_forces, force_consistent=force_consistent
        )


def require_species(structure: Structure, species: Sequence[str], message: str = "unknown species") -> None:
    """Refuse a structure with atoms of other species.

    Raises
    ------
    InputError
        naming the first such species, and its line where the file is an XSF file.
    """
    for symbol in structure.symbols:
        if symbol not in species:
            raise InputError(
                message,
                file=structure.name or None,
                line=_line_of_symbol(structure.name, symbol),
                value=symbol,
                expected=f"one of {' '.join(species)}",
            )


def _line_of_symbol(name: str, symbol: str) -> int | None:
    """Find the first atom of a species in an XSF file once more, for an error message."""
    try:
        return line_of_symbol(read_bytes(name), name, symbol) if os.path.isfile(name) and _is_xsf(name) else None
    except InputError:
        return None


def _is_xsf(name: str) -> bool:
    if name.lower().endswith((".xsf", ".axsf")):
        return True
    try:
        with open(name, "rb") as file:
            return XSF_KEYWORD.search(file.read(_PEEK_BYTES)) is not None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=name) from error


def split_selection(text: str) -> tuple[str, str]:
    """Split `path@selection`; a file that has the whole name is a file, not a selection."""
    match = _SELECTION.fullmatch(text)
    if match is None or os.path.lexists(text):
        return text, ""
    return match[1], "@" + match[2]


def _select(frames: Iterable[tuple[int, Any]], name: str, selection: str) -> Iterator[tuple[int, Any]]:
    """Yield the (number, frame) pairs in `selection` (empty or `@...`), lazily if possible."""
    parts = [int(part) if part else None for part in selection[1:].split(":")]
    if not selection:
        chosen = slice(None)
    elif len(parts) == 1 and parts[0] is not None:
        chosen = slice(parts[0], parts[0] + 1 or None)
    else:
        chosen = slice(*parts)
    if chosen.step == 0:
        raise InputError("step of zero", file=name, value=selection, expected="@start:stop:step")
    if any(part is not None and part < 0 for part in (chosen.start, chosen.stop, chosen.step)):
        selected: Iterable[tuple[int, Any]] = list(frames)[chosen]
    else:
        selected = islice(frames, chosen.start, chosen.stop, chosen.step)
    empty = True
    for pair in selected:
        empty = False
        yield pair
    if empty and selection:
        raise InputError("no frame selected", file=name, value=selection, expected="a selection of existing frames")


def _check_file(path: str, text: str, listed_in: str | PathLike[str] | None, line: int | None) -> None:
    if "\0" in path or not os.path.exists(path):
        raise InputError("no such file", file=listed_in, line=line, value=text, expected="an existing file")
    if os.path.isdir(path):
        raise InputError(
            "is a directory",
            file=listed_in,
            line=line,
            value=text,
            expected=f"a file, or a pattern such as {text.rstrip('/')}/*.xsf",
        )


def natural_key(path: str) -> tuple[Sequence[Any], str]:
    """Sort key by path component, in which numbers count by their value."""
    split = [re.split("([0-9]+)", part) for part in path.split(os.sep)]
    keys = [[int(p) if i % 2 else p for i, p in enumerate(pieces)] for pieces in split]
    return keys, path
