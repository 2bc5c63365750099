"""Checkpoints of a training: one file, complete or not there, that a later run can continue."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.archive import read_archive
from ..tools.atomic_write import atomic_write

VERSION = 2


def checkpoint_path(train_input: str | PathLike[str]) -> Path:
    """Where the checkpoint of a train.in is: beside the networks, named after the input file."""
    return Path(Path(train_input).stem + ".checkpoint.npz")


def fingerprint(*arrays: np.ndarray, text: str = "") -> str:
    """Hash of what a run depends on: data, split, architecture, loss; not of its length."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        # Without a copy of what may be half of the memory
        digest.update(np.ascontiguousarray(array).reshape(-1).data)
    return digest.hexdigest()


def save_checkpoint(path: str | PathLike[str], arrays: dict[str, np.ndarray], identity: str) -> None:
    """Write the arrays under a temporary name and rename the file."""
    with atomic_write(path, "wb") as stream:
        head = {"version": np.array(VERSION), "identity": np.array(identity), "names": np.array(list(arrays))}
        content: dict[str, Any] = {**head, **arrays}
        np.savez(stream, **content)


def require_checkpoint(path: str | PathLike[str]) -> None:
    """Raise an InputError if there is no checkpoint."""
    if not Path(path).exists():
        raise InputError("there is no checkpoint to resume from", file=path, expected="a run that was interrupted")


def load_checkpoint(
    path: str | PathLike[str],
    identity: str,
    belongs: str = "the same train.in (ITERATIONS, PATIENCE, THREADS and VALIDATION may differ)",
) -> dict[str, np.ndarray]:
    """Read the arrays of a checkpoint; `belongs` says in an error to what it would have belonged.

    Raises
    ------
    InputError
        if there is none, or it belongs to other data, networks or settings.
    FormatError
        if the file is damaged.
    """
    require_checkpoint(path)

    def take(arrays: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
        names = arrays.pop("names").tolist()
        return str(arrays.pop("identity")), {name: arrays[name] for name in names}

    found, arrays = read_archive(
        path,
        "is not a checkpoint or is damaged",
        "a file written by train",
        take,
        ("version", VERSION, "checkpoint of another version"),
    )
    if found != identity:
        raise InputError("the checkpoint belongs to other data or settings", file=path, expected=belongs)
    return arrays
