"""Hessians of structures, from files of NumPy or plain text.

A Hessian is the (3N, 3N) matrix ∂²E/∂x_a∂x_b in eV/Å², rows and columns x1 y1 z1 x2 … in the order of the
atoms in the structure file.  It stands alone in a `.npy` or text file (3N lines of 3N numbers, `#` starts a
comment), or alone or under the key `hessian` in a `.npz` file.
"""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path, PurePath

import numpy as np

from ..errors import FormatError, InputError
from ..tools.plain_text import decode_lines, read_bytes
from .archive import load_arrays

SUFFIXES = (".npz", ".npy", ".txt", ".dat", ".hessian")
"""Of files in a folder of Hessians, in the order in which they are looked for."""
KEY = "hessian"

_ASYMMETRY = 0.05  # of the largest element: finite differences of a converged method have below 0.01


def hessian_stem(structure_name: str) -> str:
    """Return the file name, without suffix, of the Hessian of a structure.

    That of the structure file without its own suffix, followed by the number of the frame in files of
    several: ``a`` for ``xsf/a.xsf``, ``md_12`` for frame 12 of ``runs/md.extxyz``.
    """
    match = re.fullmatch(r"(.+)#([0-9]+)", structure_name, re.DOTALL)
    path, frame = (match[1], f"_{match[2]}") if match else (structure_name, "")
    return PurePath(path).stem + frame


def find_hessian(folder: str | PathLike[str], structure_name: str) -> Path:
    """Return the file in `folder` with the Hessian of a structure.

    Raises
    ------
    InputError
        if there is none.
    """
    stem = hessian_stem(structure_name)
    for suffix in SUFFIXES:
        path = Path(folder) / (stem + suffix)
        if path.is_file():
            return path
    raise InputError(
        "no Hessian for a structure",
        file=fspath(folder),
        value=structure_name,
        expected=f"a file {stem}.npy (or {' '.join(SUFFIXES)})",
    )


def read_hessian(path: str | PathLike[str], n_atoms: int) -> np.ndarray:
    """Read a Hessian and return its symmetric part, (3N, 3N), eV/Å².

    Raises
    ------
    InputError, FormatError
        if the file cannot be read, has another shape, numbers that are not finite, or is not symmetric.
    """
    matrix = _array(path)
    expected = (3 * n_atoms, 3 * n_atoms)
    if matrix.shape != expected:
        raise FormatError(f"Hessian of shape {matrix.shape}", file=path, expected=f"{expected} for {n_atoms} atoms")
    if not np.isfinite(matrix).all():
        raise FormatError("Hessian with numbers that are not finite", file=path, expected="eV/Å²")
    largest = np.abs(matrix).max()
    difference = np.abs(matrix - matrix.T).max()
    if difference > _ASYMMETRY * largest:
        raise FormatError(
            "Hessian is not symmetric",
            file=path,
            value=f"differences up to {difference:.3g}",
            expected=f"below {_ASYMMETRY:g} of the largest element, {largest:.3g} eV/Å²",
        )
    return 0.5 * (matrix + matrix.T)


def _array(path: str | PathLike[str]) -> np.ndarray:
    name = fspath(path)
    content = read_bytes(name)
    if not content.startswith((b"PK", b"\x93NUMPY")):
        return _text(content, name)
    try:
        loaded = load_arrays(name)
        key = KEY if KEY in loaded else next(iter(loaded)) if len(loaded) == 1 else None
        matrix = None if key is None else np.asarray(loaded[key], dtype=np.float64)
    except Exception as error:  # what NumPy and zipfile raise on a damaged file is not documented
        raise FormatError(f"cannot be read as NumPy file ({error})", file=name, expected="a (3N, 3N) array") from None
    if matrix is None:
        raise FormatError(
            "several arrays, none called hessian",
            file=name,
            value=" ".join(loaded)[:60],
            expected="one array, or one called hessian",
        )
    return matrix


def _text(content: bytes, name: str) -> np.ndarray:
    rows: list[list[float]] = []
    for number, line in enumerate(decode_lines(content, name), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            raise FormatError(
                "not a row of numbers", file=name, line=number, value=line.strip()[:40], expected="3N numbers, eV/Å²"
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise FormatError(f"row of {len(rows[-1])} numbers", file=name, line=number, expected=f"{len(rows[0])}")
    return np.array(rows)
