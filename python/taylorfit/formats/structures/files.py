"""Structures from files of any kind: XSF, extended XYZ and n2p2 by our own readers, everything else through ASE.

ASE's XSF reader is never used: it takes forces for Hartree/Å and knows no energies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from glob import glob, has_magic
from itertools import chain, islice
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import InputError
from ...model.structure import Structure
from ...model.units import required_system
from ...settings.reading import AS_THEY_ARE, ReadingOptions
from ...tools.compressed import first_bytes
from ...tools.plain_text import read_bytes, without_mark
from ...tools.progress import Steps, no_steps
from ...tools.ranks import ALONE, Ranks
from .xsf import line_of_symbol, parse_xsf

if TYPE_CHECKING:
    from ...model.units import UnitSystem
    from .frames import Frame
    from .labels import FileLabels

Entry = str | tuple[str, int | None]
"""A path or pattern, alone or with the number of the line it stands in."""

_INTEGER = "-?[0-9]{1,9}"
_SELECTION = re.compile(f"(.+)@({_INTEGER}|(?:{_INTEGER})?(?::(?:{_INTEGER})?){{1,2}})", re.DOTALL)
XSF_KEYWORD = re.compile(rb"^[ \t]*(PRIMVEC|PRIMCOORD|ATOMS|ANIMSTEPS)[ \t]*[0-9]*[ \t\r]*$", re.M)
_PEEK_BYTES = 16384
_FILES_AT_ONCE = 64
"""Files that each of several processes reads before progress is shown."""

_SKIPPED = "unreadable, left out: "
XSF, EXTXYZ, N2P2 = "aenet-xsf", "extxyz", "n2p2"
ML_AB, MOLECULES, DEEPMD = "ml-ab", "numpy-archive", "deepmd"
_XSF_NAME = re.compile(r"\.a?xsf(?:\.(?:gz|bz2|xz))?$", re.IGNORECASE)
_XYZ_NAME = re.compile(r"\.(?:ext)?xyz(?:\.(?:gz|bz2|xz))?$", re.IGNORECASE)
_ML_AB_START = rb"\s*1\.0\s+Version\b"
_N2P2_START = rb"(?i)\s*begin\b[^\n]*\n\s*(?:comment|lattice|atom|energy|charge)\b"
_EXTXYZ_START = rb"(?i)\s*[0-9]+[ \t]*\r?\n[^\n]*\b(?:properties|lattice)\s*="
_ASE_STARTS = {
    "vasp-xml": rb"\A\s*(?:<\?xml[^>]*>\s*)?<modeling>",
    "vasp-out": rb"(?s)\A\s*vasp\.\d.*?\n.*executed on",
    "aims-output": rb"(?m)Invoking FHI-aims|^\s*(?:FHI-aims|Reading geometry description geometry\.in)",
    "lammps-data": rb"\A[^\n]*\n(?:\s*(?:#[^\n]*)?\n)*\s*\d+\s+atoms\s*\n",
    "lammps-dump-text": rb"\A\s*ITEM: (?:UNITS|TIME|TIMESTEP)\b",
}


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
    options: ReadingOptions = AS_THEY_ARE,
    *,
    require_energy: bool = False,
    require_forces: bool = False,
    force_consistent: bool = True,
    tell: Callable[[str], None] = lambda remark: None,
) -> Iterator[Structure]:
    """Yield the structures of one file, one after the other.

    Parameters
    ----------
    path
        XSF, extended XYZ, `input.data` of n2p2 and RuNNer (recognised by content), or anything that ASE reads: OUTCAR,
        vasprun.xml, trajectories, ...  It may end in a selection of frames in ASE's
        notation: `@3`, `@-1`, `@10:20`, `@::10`.
    options
        Units and names of labels where the file leaves them open.
    require_energy, require_forces
        Raise if a frame has no energy or forces?
    force_consistent
        Prefer the free energy to the energy extrapolated to zero electronic temperature,
        where the file has both (VASP: "TOTEN" instead of "sigma->0")?  The default is yes:
        the forces are derivatives of the free energy, and a Taylor expansion must not mix
        the two.  Choose no to reproduce energies of programs that take ASE's default.
    tell
        Called with one line for each thing worth knowing about the file: labels chosen among several, units converted,
        placeholders left out.

    Yields
    ------
    Structure
        Forces are raw: constraints (fixed atoms) do not change them.  The name is the path,
        with `#<frame>` appended if the file has several frames; frames count from 0 in the
        file, also within a selection.

    Raises
    ------
    FormatError
        if the file is damaged, a number is not finite, there are labels of several sources, or energy or forces are
        missing.
    InputError
        if the file cannot be read, its units must be stated, or the selection is empty.
    """
    name, selection = split_selection(fsdecode(path))
    kind = kind_of_file(name)
    system = None if options.units is None else required_system(options.units)
    if kind == XSF:
        structure = parse_xsf(
            read_bytes(name), name, require_energy=require_energy, require_forces=require_forces, units=system
        )
        if options.energy_key is not None:
            structure = replace(structure, predicted_by="")
        if not selection:
            yield structure
            return
        for _, only in _select([(0, structure)], name, selection):
            yield only
        return

    # The modules for formats other than ours are imported where there is such a file
    from .frames import structure_of
    from .labels import FileLabels

    labels = FileLabels(name, options)
    frames = _frames(name, kind, system, labels, tell)
    if not (kind in (EXTXYZ, N2P2, MOLECULES) or str(kind).startswith("lammps-dump")):
        system = None  # the units of other formats are fixed
    if system is not None and not system.is_standard:
        tell(f"converted from {system.text}")
    head = list(islice(frames, 2))
    n_told = 0
    for number, frame in _select(enumerate(chain(head, frames)), name, selection):
        if kind != EXTXYZ:
            labels.add(frame.info, frame.columns)
        structure = structure_of(
            frame,
            f"{name}#{number}" if len(head) > 1 else name,
            labels,
            units=system,
            require_energy=require_energy,
            require_forces=require_forces,
            force_consistent=force_consistent,
        )
        for remark in labels.remarks[n_told:]:
            tell(remark)
            n_told += 1
        yield structure


def _frames(
    name: str, kind: str | None, system: UnitSystem | None, labels: FileLabels, tell: Callable[[str], None]
) -> Iterator[Frame]:
    """The frames of a file that is not XSF; all labels of extended XYZ are known then."""
    if kind == EXTXYZ:
        from .extxyz_frames import read_extxyz_frames, scan_keys

        for keys, columns in scan_keys(name):
            labels.add(keys, columns)
        return read_extxyz_frames(name)
    if kind == N2P2:
        from .n2p2 import read_n2p2_frames

        return read_n2p2_frames(name, system)
    if kind == ML_AB:
        from .ml_ab import read_ml_ab_frames

        return read_ml_ab_frames(name, tell)
    if kind in (MOLECULES, DEEPMD):
        from .numpy_sets import read_deepmd_frames, read_molecule_frames

        return read_deepmd_frames(name) if kind == DEEPMD else read_molecule_frames(name, system)
    from .foreign import identify, read_foreign_frames

    foreign = identify(name)
    if foreign is not None:
        return read_foreign_frames(name, foreign)
    from .ase_frames import read_ase_frames

    return read_ase_frames(name, kind, tell)


def read_files(
    files: Iterable[Entry] | Entry,
    options: ReadingOptions = AS_THEY_ARE,
    *,
    index: str | int = ":",
    drop: Collection[str] = (),
    listed_in: str | PathLike[str] | None = None,
    require_energy: bool = False,
    tell: Callable[[str], None] = lambda remark: None,
    show: Steps = no_steps,
    ranks: Ranks = ALONE,
) -> list[Structure]:
    """Read the structures of all files that paths and patterns stand for.

    Parameters
    ----------
    files
        as for `expand_patterns`
    options
        what is to be said about files that leave it open
    index
        frames of each file that has no selection of its own (`traj.extxyz@::10`), in ASE's notation
    drop
        what to leave out instead of failing: "unreadable" files, "unconverged" frames
    listed_in
        file that the entries stand in, for error messages
    require_energy
        raise if a structure has no energy?
    tell
        called with remarks for the user, one line each, the same for many files only once, when all is read
    show
        shows how many files are read
    ranks
        share the files; the first of them calls this and returns the structures

    Raises
    ------
    InputError, FormatError
        as for `expand_patterns` and `read_structures`; also if nothing could be read.
    """
    entries = [files] if isinstance(files, (str, tuple)) else list(files)
    paths = expand_patterns(entries, listed_in=listed_in)
    remarks: dict[str, list[str]] = {}
    structures: list[Structure] = []
    try:
        with show("read", len(paths), "files") as advance:
            chosen = [path if split_selection(path)[1] or index == ":" else f"{path}@{index}" for path in paths]
            read = partial(_read_all, options, drop, require_energy)
            # A process alone reads one by one, and shows it
            n = 1 if ranks.size == 1 else _FILES_AT_ONCE * ranks.size
            for first in range(0, len(paths), n):
                for done, found in enumerate(ranks.spread(read, chosen[first : first + n]), start=first + 1):
                    for remark in found.remarks:
                        remarks.setdefault(remark, []).append(paths[done - 1])
                    if found.error is not None:
                        raise found.error
                    structures += found.structures
                    advance(done)
    finally:
        # Also before an error, which they may explain
        for remark, where in remarks.items():
            names = ", ".join(where[:3]) + (f" and {len(where) - 3} more" if len(where) > 3 else "")
            tell(remark if remark.startswith(_SKIPPED) else f"{names}: {remark}")
    n_skipped = sum(remark.startswith(_SKIPPED) for remark in remarks)
    if n_skipped:
        tell(f"{n_skipped} of {len(paths)} files were unreadable and are left out")
    if "unconverged" in drop and not all(structure.converged for structure in structures):
        n_before = len(structures)
        structures = [structure for structure in structures if structure.converged]
        tell(f"{n_before - len(structures)} of {n_before} structures were not converged and are left out")
    if not structures:
        raise InputError("no structures are left", file=listed_in, expected="at least one structure")
    return structures


class _FileRead(NamedTuple):
    """What was found in a file; another process may have read it."""

    structures: list[Structure]
    remarks: list[str]
    error: InputError | None


def _read_all(
    options: ReadingOptions, drop: Collection[str], require_energy: bool, paths: Sequence[str]
) -> list[_FileRead]:
    """Read files."""
    read: list[_FileRead] = []
    for path in paths:
        structures: list[Structure] = []
        remarks: list[str] = []
        error = None
        try:
            structures += read_or_skip(path, options, drop, remarks.append, require_energy=require_energy)
        except InputError as refused:
            error = refused
        read.append(_FileRead(structures, remarks, error))
    return read


def read_or_skip(
    path: str,
    options: ReadingOptions,
    drop: Collection[str],
    tell: Callable[[str], None],
    *,
    require_energy: bool = False,
) -> Iterable[Structure]:
    """Return what `read_structures` does; with "unreadable" in `drop` nothing, and why, for a file it refuses."""
    frames = read_structures(path, options, require_energy=require_energy, tell=tell)
    if "unreadable" not in drop:
        return frames
    try:
        return list(frames)
    except InputError as error:
        tell(f"{_SKIPPED}{error}")
        return []


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
        return (
            line_of_symbol(read_bytes(name), name, symbol)
            if os.path.isfile(name) and kind_of_file(name) == XSF
            else None
        )
    except InputError:
        return None


def kind_of_file(name: str) -> str | None:
    """Tell formats by their content: `XSF`, `EXTXYZ`, `N2P2` or ASE's name of a format; None where ASE is to tell.

    Raises
    ------
    InputError
        if the file cannot be read.
    """
    if _XSF_NAME.search(name):
        return XSF
    head = without_mark(first_bytes(name, _PEEK_BYTES))
    if head.startswith(b"\x93NUMPY") and os.path.basename(name) == "coord.npy":
        return DEEPMD
    if head.startswith(b"PK\x03\x04"):
        from .numpy_sets import has_molecules

        if has_molecules(name):
            return MOLECULES
    kind = kind_from_head(head)
    return EXTXYZ if kind is None and _XYZ_NAME.search(name) else kind


def kind_from_head(head: bytes) -> str | None:
    """As `kind_of_file`, from the first bytes alone, without a byte-order mark."""
    if XSF_KEYWORD.search(head):
        return XSF
    if re.match(_N2P2_START, head):
        return N2P2
    if re.match(_EXTXYZ_START, head):
        return EXTXYZ
    if re.match(_ML_AB_START, head):
        return ML_AB
    return next((kind for kind, start in _ASE_STARTS.items() if re.search(start, head)), None)


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


def file_of(name: str) -> str:
    """Return the file that a structure with this name was read from: that before ``#`` and the number of a frame."""
    return name if os.path.isfile(name) else re.sub(r"#[0-9]+$", "", name)


def natural_key(path: str) -> tuple[Sequence[Any], str]:
    """Sort key by path component, in which numbers count by their value."""
    folder, separator, name = path.rpartition(os.sep)
    return (*_natural_keys(folder), _natural_keys(name)[0]) if separator else _natural_keys(name), path


@lru_cache
def _natural_keys(path: str) -> tuple[list[Any], ...]:
    """Each component of a path in pieces, of which every second is a number; folders come again and again."""
    split = [re.split("([0-9]+)", part) for part in path.split(os.sep)]
    return tuple([int(p) if i % 2 else p for i, p in enumerate(pieces)] for pieces in split)
