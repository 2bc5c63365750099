"""Frames read through ASE, and what taylorfit takes from them."""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import FormatError, InputError
from ...tools.compressed import first_bytes, is_compressed
from ...tools.plain_text import read_bytes, without_mark
from .convergence import scf_converged
from .foreign import advice
from .frames import Frame
from .labels import label_key

if TYPE_CHECKING:
    from ase import Atoms

_HEAD_BYTES = 1 << 16
_PACKED_NAME = re.compile(r"\.(?:gz|bz2|xz)$", re.IGNORECASE)
_BY_NAME = {"espresso-out": "PWSCF", "gaussian-out": "Gaussian"}
"""What stands in files of the kinds that ASE takes any `.out` or `.log` for."""
_LABELS = ("energy", "free_energy", "stress")


def read_ase_frames(path: str, kind: str | None, tell: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames of a file as ASE reads them, without what ASE fills in for a file that does not hold it.

    Parameters
    ----------
    kind
        ASE's name of the format where the content has told it; None: ASE finds out
    tell
        called with one line for each kind of placeholder left out

    Raises
    ------
    FormatError
        if ASE does not know or cannot read the file, it has no frames, or its atoms have no elements.
    InputError
        if ASE is not installed.
    """
    try:
        from ase.io import iread
        from ase.io.formats import UnknownFileTypeError, filetype, ioformats
    except ImportError as error:
        raise InputError("ASE is needed to read this file", file=path, expected="ASE installed") from error
    n_frames = 0
    try:
        with _plain(path) as absolute:
            try:
                kind = kind or filetype(absolute)
            except UnknownFileTypeError:
                kind = ""
            if kind == "xsf":
                raise FormatError("unusable XSF file", file=path, expected="a PRIMCOORD or ATOMS section")
            head = first_bytes(absolute, _HEAD_BYTES).decode("latin-1")
            if kind not in ioformats or _BY_NAME.get(kind, "") not in head:
                raise FormatError("neither taylorfit nor ASE knows what this is", file=path, expected=advice(path))
            _check_elements(head, kind, path)
            units = _stated_units(head, kind)
            if kind in ("xyz", "extxyz"):
                _check_counts(read_bytes(absolute), path)
            converged = scf_converged(absolute, kind)
            frames = iread(absolute, index=":", format=kind, do_not_split_by_at_sign=True)
            # Within the loop: the filters of warnings belong to the whole process
            while (atoms := _next(frames, tell)) is not None:
                frame = frame_of(atoms, path)
                if units is not None:
                    frame.info["units"] = units
                frame.converged = converged[n_frames] if n_frames < len(converged) else True
                if kind.startswith("lammps-dump") and frame.info.pop("energy", None) is not None and n_frames == 0:
                    tell("LAMMPS dumps hold no energies: the 0.0 of ASE's reader is left out")
                yield frame
                n_frames += 1
    except InputError:
        raise
    # ASE's readers fail with whatever their parsing stumbles upon.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FormatError(
            f"ASE cannot read frame {n_frames} as {kind!r} ({reason})", file=path, expected=advice(path)
        ) from error
    if n_frames == 0:
        raise FormatError(f"no structures (read by ASE as {kind!r})", file=path, expected="at least one frame")


def _next(frames: Iterator[Atoms], tell: Callable[[str], None]) -> Atoms | None:
    """The next frame; what ASE warns of goes where other remarks do."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        atoms = next(frames, None)
    for warning in said:
        if issubclass(warning.category, UserWarning):
            tell(f"ASE: {' '.join(str(warning.message).split())[:200]}")
    return atoms


def _check_counts(content: bytes, path: str) -> None:
    """Refuse a file whose frames announce more atoms than it has lines: ASE would read the end of it again and again.

    Raises
    ------
    FormatError
        naming the line with the number of atoms.
    """
    lines = content.splitlines()
    k = 0
    while k < len(lines) and lines[k].strip().isdigit():
        n_atoms, left = int(lines[k]), len(lines) - k - 2
        if n_atoms > left:
            raise FormatError(
                "more atoms than lines", file=path, line=k + 1, value=n_atoms, expected=f"at most {max(left, 0)}"
            )
        k += n_atoms + 2
        # Cell vectors may follow the atoms
        while k < len(lines) and lines[k].lstrip().startswith(b"VEC"):
            k += 1


def frame_of(atoms: Atoms, name: str) -> Frame:
    """Return the content of an `Atoms` object; results of its calculator replace keys of the same name.

    Raises
    ------
    FormatError
        if an atom has no element.
    """
    results = {key: value for key, value in (getattr(atoms.calc, "results", None) or {}).items() if value is not None}
    symbols = tuple(atoms.get_chemical_symbols())
    if "X" in symbols:
        raise FormatError(
            f"atom {symbols.index('X') + 1} has no element",
            file=name,
            value="X",
            expected="a file with chemical symbols",
        )
    info = {key: value for key, value in atoms.info.items() if isinstance(key, str) and not _is_replaced(key, results)}
    info |= {key: results[key] for key in _LABELS if key in results}
    columns = {key: values for key, values in atoms.arrays.items() if key.lower() not in results}
    if "forces" in results:
        columns["forces"] = results["forces"]
    a, b, c = atoms.pbc.tolist()
    fixed, dropped = _fixed(atoms)
    return Frame(symbols, atoms.positions, atoms.cell.array, (a, b, c), info, columns, fixed, dropped)


def _fixed(atoms: Atoms) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """(n_atom, 3) fixed components, None if there are none; and the kinds of constraints that are not kept."""
    fixed = np.zeros((len(atoms), 3), dtype=bool)
    dropped = []
    for constraint in atoms.constraints:
        kind = type(constraint).__name__
        if kind == "FixAtoms":
            fixed[constraint.index] = True
        elif kind == "FixCartesian":
            fixed[constraint.index] |= np.asarray(constraint.mask, dtype=bool)
        else:
            dropped.append(f"constraints of kind {kind}")
    return (fixed if fixed.any() else None), tuple(dropped)


def _is_replaced(key: str, results: Mapping[str, Any]) -> bool:
    """Tell whether the calculator has what a key without prefix says."""
    label = label_key(key, is_column=False)
    if label is None or label.source:
        return key.lower() in results
    same = {"energy": ("energy", "free_energy"), "free_energy": ("energy", "free_energy")}.get(label.kind, ("stress",))
    return any(name in results for name in same)


@contextmanager
def _plain(path: str) -> Iterator[str]:
    """A path under which the file stands uncompressed and without a byte-order mark; the absolute one if it is so.

    ASE takes some relative names ("postgres...") for addresses of databases.
    """
    absolute = os.path.abspath(path)
    with open(absolute, "rb") as stream:
        head = stream.read(8)
    if not is_compressed(head) and without_mark(head) == head:
        yield absolute
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, _PACKED_NAME.sub("", os.path.basename(path)))
        with open(copy, "wb") as stream:
            stream.write(without_mark(read_bytes(path)))
        yield copy


def _stated_units(head: str, kind: str) -> str | None:
    """The system of units that a text file of LAMMPS states: `dump_modify ID units yes`, `write_data`."""
    pattern = {"lammps-dump-text": r"^ITEM: UNITS\s*\n\s*(\S+)", "lammps-data": r"\A.*\bunits\s*=\s*(\w+)"}.get(kind)
    if pattern is None:
        return None
    stated = re.search(pattern, head, re.MULTILINE)
    return stated[1] if stated else None


def _check_elements(head: str, kind: str, path: str) -> None:
    """Refuse files of LAMMPS that number the kinds of atoms: ASE makes 1 a hydrogen, 2 a helium atom, ..."""
    if kind not in ("lammps-dump-text", "lammps-dump-binary", "lammps-data"):
        return
    columns = re.search(r"^ITEM: ATOMS(.*)$", head, re.MULTILINE)
    if kind == "lammps-data":
        named = re.search(r"^\s*(Masses|Atom Type Labels)\b", head, re.MULTILINE) is not None
        expected = "a section Masses or Atom Type Labels"
    else:
        named = columns is not None and "element" in columns[1].split()
        expected = "a column element (dump_modify ID element O H) in a text dump"
    if not named:
        line = None if columns is None else head.count("\n", 0, columns.start()) + 1
        raise FormatError("atoms have types but no elements", file=path, line=line, expected=expected)
