"""Predictions in a file `.npz`."""

from __future__ import annotations

from os import PathLike, fsdecode
from typing import Any

import numpy as np

from ..errors import FormatError, InputError
from ..model.predictions import TEXT_FIELDS, Predictions
from ..tools.atomic_write import atomic_write
from .archive import read_archive

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


_WEIGHTS = {"weight": ("n_structure",), "atom_weight": ("n_atom",)}
"""In files of structures with weights."""


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
        arrays[name] = np.array(value, dtype=np.str_) if name in TEXT_FIELDS else value
    for name in _WEIGHTS:
        if getattr(predictions, name) is not None:
            arrays[name] = getattr(predictions, name)
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
    arrays: dict[str, Any] = read_archive(
        file,
        "is not a predictions file or is damaged",
        "a file written by predict --save-predictions",
        dict,
        (MARK, VERSION, "predictions of another version"),
    )
    missing = [name for name in ("label", *_SHAPES) if name not in arrays]
    if missing:
        raise FormatError("predictions without an array", file=file, value=missing[0], expected=" ".join(_SHAPES))
    weights = {name: arrays[name] for name in _WEIGHTS if name in arrays}
    for name, shape in (*_SHAPES.items(), *((name, _WEIGHTS[name]) for name in weights)):
        array = arrays[name]
        kinds = "U" if name in TEXT_FIELDS else "i" if name == "offsets" else "f"
        what = "text" if name in TEXT_FIELDS else "numbers"
        if array.ndim != len(shape) or array.dtype.kind not in kinds:
            raise FormatError(
                f"{name} is {array.dtype} of shape {array.shape}",
                file=file,
                expected=f"{what} of shape ({', '.join(map(str, shape))})",
            )
    try:
        predictions = Predictions(label=str(arrays["label"]), **{name: arrays[name] for name in _SHAPES}, **weights)
        for name, length in (("weight", len(predictions.names)), ("atom_weight", len(predictions.symbols))):
            array = weights.get(name)
            if array is not None and (len(array) != length or not (np.isfinite(array) & (array >= 0.0)).all()):
                raise InputError(f"{name} cannot be used", expected=f"{length} numbers ≥ 0")
    except InputError as error:
        raise FormatError(error.message, file=file, expected=error.expected) from None
    compared = (predictions.isolated_energy, predictions.energy, *predictions.compared_forces)
    if not all(np.isfinite(array).all() for array in compared) or np.isinf(predictions.energy_ref).any():
        raise FormatError(
            "predictions have values that are not finite", file=file, expected="finite energies and forces"
        )
    return predictions
