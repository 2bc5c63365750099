"""Predictions: what potentials say about reference structures, beside the reference, in one `.npz` file."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fsdecode
from typing import Any

import numpy as np

from ..errors import FormatError, InputError
from ..tools.atomic_write import atomic_write

VERSION = 1
MARK = "taylorfit_predictions"
"""Name of the first array, which holds the version: by it the file is recognised."""

_SHAPES = {
    "potentials": ("n_potential",),
    "names": ("n_structure",),
    "offsets": ("n_structure + 1",),
    "symbols": ("n_atom",),
    "isolated_energy": ("n_structure",),
    "energy_ref": ("n_structure",),
    "energy": ("n_structure",),
    "forces_ref": ("n_atom", 3),
    "forces": ("n_atom", 3),
}
_TEXT = ("potentials", "names", "symbols")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted and reference energies and forces of a set of structures; NaN where there is no reference.

    Raises
    ------
    InputError
        on construction, if the arrays do not belong together.
    """

    label: str
    """What a legend calls this set of potentials."""
    potentials: tuple[str, ...]
    """Potential files."""
    names: tuple[str, ...]
    """(n_structure,) file names of the structures."""
    symbols: tuple[str, ...]
    """(n_atom,) chemical symbols, one structure after the other."""
    offsets: np.ndarray
    """(n_structure + 1,) int64: structure s has the atoms offsets[s] to offsets[s + 1] − 1."""
    isolated_energy: np.ndarray
    """(n_structure,) sum of the energies of the isolated atoms, eV."""
    energy_ref: np.ndarray
    """(n_structure,) total reference energy, eV."""
    energy: np.ndarray
    """(n_structure,) total energy of the potentials, eV."""
    forces_ref: np.ndarray
    """(n_atom, 3) reference forces, eV/Å; NaN also where the potentials were not asked for forces."""
    forces: np.ndarray
    """(n_atom, 3) forces of the potentials, eV/Å."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in _TEXT:
            set_(self, name, tuple(map(str, getattr(self, name))))
        set_(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        n, atoms = len(self.names), len(self.symbols)
        if (
            self.offsets.shape != (n + 1,)
            or self.offsets[0] != 0
            or self.offsets[-1] != atoms
            or (np.diff(self.offsets) < 1).any()
        ):
            raise InputError(
                "the numbers of atoms contradict each other", expected=f"{n} structures, together {atoms} atoms"
            )
        for name in ("isolated_energy", "energy_ref", "energy", "forces_ref", "forces"):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            wanted = (n,) if "energy" in name else (atoms, 3)
            if array.shape != wanted:
                raise InputError(f"{name} has shape {array.shape}", expected=str(wanted))
            set_(self, name, array)

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.names)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) atoms of each structure."""
        return np.diff(self.offsets)

    @property
    def has_energy(self) -> np.ndarray:
        """(n_structure,) whether there is a reference energy."""
        return ~np.isnan(self.energy_ref)

    @property
    def has_forces(self) -> np.ndarray:
        """(n_atom,) whether there is a reference force."""
        return ~np.isnan(self.forces_ref).any(axis=1)

    @property
    def energies_per_atom(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and prediction, without the isolated atoms, of structures with a reference, eV/atom."""
        known = self.has_energy
        isolated, n = self.isolated_energy[known], self.n_atoms[known]
        return (self.energy_ref[known] - isolated) / n, (self.energy[known] - isolated) / n

    @property
    def energy_error_per_atom(self) -> np.ndarray:
        """Prediction minus reference of structures with a reference, eV/atom."""
        return (self.energy - self.energy_ref)[self.has_energy] / self.n_atoms[self.has_energy]

    @property
    def compared_forces(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and prediction of atoms that have both, (n, 3) each, eV/Å."""
        known = self.has_forces
        return self.forces_ref[known], self.forces[known]


def write_predictions(path: str | PathLike[str], predictions: Predictions) -> None:
    """Write predictions; the same predictions give the same bytes.

    Raises
    ------
    InputError
        if the file cannot be written.
    """
    arrays: dict[str, Any] = {MARK: np.array(VERSION), "label": np.array(predictions.label)}
    for name in _SHAPES:
        value = getattr(predictions, name)
        # An empty tuple has no type of its own
        arrays[name] = np.array(value, dtype=np.str_) if name in _TEXT else value
    with atomic_write(path, "wb") as stream:
        np.savez(stream, **arrays)


def read_predictions(path: str | PathLike[str]) -> Predictions:
    """Read the file that :func:`write_predictions` wrote.

    Raises
    ------
    FormatError
        if it is another kind of file, of another version, or damaged.
    InputError
        if it cannot be opened.
    """
    file = fsdecode(path)
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        version = int(arrays.pop(MARK))
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"cannot be read: {error.strerror}", file=file) from None
        raise _damaged(file) from None
    except Exception:  # what NumPy and zipfile raise on a damaged file is not documented
        raise _damaged(file) from None
    if version != VERSION:
        raise FormatError("predictions of another version", file=file, value=version, expected=str(VERSION))
    missing = [name for name in ("label", *_SHAPES) if name not in arrays]
    if missing:
        raise FormatError("predictions without an array", file=file, value=missing[0], expected=" ".join(_SHAPES))
    for name, shape in _SHAPES.items():
        array = arrays[name]
        kinds = "U" if name in _TEXT else "i" if name == "offsets" else "f"
        what = "text" if name in _TEXT else "numbers"
        if array.ndim != len(shape) or array.dtype.kind not in kinds:
            raise FormatError(
                f"{name} is {array.dtype} of shape {array.shape}",
                file=file,
                expected=f"{what} of shape ({', '.join(map(str, shape))})",
            )
    try:
        predictions = Predictions(label=str(arrays["label"]), **{name: arrays[name] for name in _SHAPES})
    except InputError as error:
        raise FormatError(error.message, file=file, expected=error.expected) from None
    compared = (predictions.isolated_energy, predictions.energy, *predictions.compared_forces)
    if not all(np.isfinite(array).all() for array in compared) or np.isinf(predictions.energy_ref).any():
        raise FormatError(
            "predictions have values that are not finite", file=file, expected="finite energies and forces"
        )
    return predictions


def _damaged(file: str) -> FormatError:
    return FormatError(
        "is not a predictions file or is damaged", file=file, expected="a file written by predict --save-predictions"
    )
