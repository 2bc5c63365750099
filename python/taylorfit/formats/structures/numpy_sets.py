"""Structures in arrays of NumPy: archives such as those of rMD17 and sGDML, and folders of DeePMD."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ...errors import FormatError, InputError
from ...model.elements import SYMBOLS
from ...model.units import SYSTEM_FORM, UnitSystem, unit_system
from ...tools.plain_text import decode_lines, read_bytes
from ..archive import load_arrays
from .frames import Frame

_NUMBERS = ("nuclear_charges", "atomic_numbers", "z")
_NAMES = {"positions": ("coords", "R"), "energies": ("energies", "E"), "forces": ("forces", "F")}
"""Names of arrays in archives: rMD17's, sGDML's."""


def has_molecules(path: str) -> bool:
    """Whether an archive has the arrays that `read_molecule_frames` reads, as far as their names tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return bool(names & set(_NUMBERS)) and all(names & set(known) for known in _NAMES.values())


def read_molecule_frames(path: str, units: UnitSystem | None) -> Iterator[Frame]:
    """Yield the frames of an archive of one molecule: atomic numbers, coordinates, energies and forces.

    Parameters
    ----------
    units
        what the user says that they are; None: what the file says (`e_unit` and `r_unit` of sGDML)

    Raises
    ------
    FormatError
        if the file is damaged, lacks an array, or says other units.
    InputError
        if nobody states the units.
    """
    arrays = _load(path)
    said = _said_units(arrays)
    if units is not None and said is not None and (said.energy, said.length) != (units.energy, units.length):
        raise FormatError(f"units other than asked for ({units.text})", file=path, expected=said.text)
    if units is None and said is None:
        raise InputError(
            "this archive does not say its units (rMD17 has kcal/mol and Å)",
            file=path,
            expected=f"--units, UNITS or units= with {SYSTEM_FORM}",
        )
    numbers = _find(path, arrays, _NUMBERS)
    positions, energies, forces = (_find(path, arrays, names) for names in _NAMES.values())
    n_frames, n_atoms = len(positions), numbers.size
    _check_shapes(path, ((numbers, (n_atoms,)), (positions, (n_frames, n_atoms, 3)), (forces, (n_frames, n_atoms, 3))))
    elements = numbers.dtype.kind in "iu" and bool(np.isin(numbers, range(1, len(SYMBOLS))).all())
    if energies.size != n_frames or not elements:
        raise FormatError("arrays that do not fit together", file=path, expected="an energy for each frame, elements")
    symbols = tuple(SYMBOLS[z] for z in numbers.tolist())
    # The units that the file says are ours to convert, those of the user are converted with the rest of the frame
    factor = said if units is None and said is not None else UnitSystem()
    for x, e, f in zip(positions, energies.reshape(-1), forces):
        yield Frame(
            symbols,
            factor.length * x.astype(float),
            np.zeros((3, 3)),
            (False, False, False),
            {"energy": factor.energy * float(e)},
            {"forces": factor.force * f.astype(float)},
        )


def read_deepmd_frames(path: str) -> Iterator[Frame]:
    """Yield the frames of a folder `set.*` of DeePMD, named by its `coord.npy`: eV and Å.

    Raises
    ------
    FormatError
        if an array or `type.raw` beside the folder is missing, damaged, or of another shape.
    """
    folder, above = Path(path).parent, Path(path).parent.parent
    types = [int(word) if word.isdigit() else -1 for word in _words(above / "type.raw")]
    names = _words(above / "type_map.raw")
    if not types or not names or min(types) < 0 or max(types) >= len(names):
        raise FormatError("types without names", file=above / "type.raw", expected="elements in type_map.raw")
    unknown = next((name for name in names if name not in SYMBOLS[1:]), None)
    if unknown is not None:
        raise FormatError("no element", file=above / "type_map.raw", value=unknown, expected="chemical symbols")
    coord, energy, force = (_array(folder / f"{name}.npy") for name in ("coord", "energy", "force"))
    n_frames, n_atoms = len(coord), len(types)
    periodic = not (above / "nopbc").exists()
    box = _array(folder / "box.npy") if periodic else np.zeros((n_frames, 9))
    virial = _array(folder / "virial.npy") if (folder / "virial.npy").exists() else None
    _check_shapes(path, ((coord, (n_frames, 3 * n_atoms)), (force, (n_frames, 3 * n_atoms)), (box, (n_frames, 9))))
    if energy.size != n_frames or (virial is not None and virial.shape != (n_frames, 9)):
        raise FormatError("arrays that do not fit together", file=path, expected=f"{n_frames} frames")
    for k in range(n_frames):
        info: dict[str, object] = {"energy": float(energy.reshape(-1)[k])}
        if virial is not None:
            info["virial"] = virial[k].reshape(3, 3).astype(float)
        yield Frame(
            tuple(names[t] for t in types),
            coord[k].reshape(-1, 3).astype(float),
            box[k].reshape(3, 3).astype(float),
            (periodic,) * 3,
            info,
            {"forces": force[k].reshape(-1, 3).astype(float)},
        )


def _load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        return load_arrays(path)
    except Exception as error:  # what NumPy and zipfile raise on a damaged file is not documented
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"arrays that cannot be read ({reason})", file=path, expected="a whole NumPy file") from None


def _array(path: Path) -> np.ndarray:
    arrays = _load(path)
    if list(arrays) != [""] or arrays[""].ndim < 1 or arrays[""].dtype.kind != "f":
        raise FormatError("not an array of numbers", file=path, expected="floating-point numbers")
    return arrays[""]


def _find(path: str, arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    found = next((arrays[name] for name in names if name in arrays), None)
    if found is None or found.ndim == 0 or found.dtype.kind not in "iuf":
        raise FormatError("an archive without an array", file=path, expected=" or ".join(names))
    return found


def _check_shapes(path: str, arrays: tuple[tuple[np.ndarray, tuple[int, ...]], ...]) -> None:
    for array, shape in arrays:
        if array.shape != shape:
            raise FormatError("an array of another shape", file=path, value=str(array.shape), expected=str(shape))


def _said_units(arrays: Mapping[str, np.ndarray]) -> UnitSystem | None:
    energy, length = (str(arrays[name]) if name in arrays else None for name in ("e_unit", "r_unit"))
    return None if energy is None or length is None else unit_system(f"{energy} {length}")


def _words(path: Path) -> list[str]:
    return [word for line in decode_lines(read_bytes(path), str(path)) for word in line.split()]
