"""Files of structures to train on and to keep back, for generate.in and train.in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ..formats.structures.extxyz import write_extxyz
from ..model.structure import Structure
from ..tools.atomic_write import check_writable
from .split import split

FRACTION = 0.1
FEWEST = 20
"""Of fewer structures none are kept back: errors of one or two tell nothing."""
TRAINING, VALIDATION = "training.extxyz", "validation.extxyz"
"""Written where a file holds structures of both sides."""


def can_hold_back(structures: Sequence[Structure]) -> bool:
    """Whether there are enough structures, with forces, to keep some for validation."""
    return len(structures) >= FEWEST and any(structure.forces is not None for structure in structures)


def hold_back(
    structures: Sequence[Structure], folder: str | PathLike[str], overwrite: bool = False
) -> tuple[list[str], list[str], bool]:
    """Split structures at random; return the files of both sides, and whether these have been written into `folder`.

    Where each structure has a file of its own, the files are those.

    Raises
    ------
    InputError
        if files are to be written and exist, or cannot be written.
    """
    sides = split(structures, FRACTION)
    files = [list(dict.fromkeys(_file(structure) for structure in side)) for side in sides]
    if all(map(len, files)) and not set(files[0]) & set(files[1]):
        return files[0], files[1], False
    paths = [Path(folder) / name for name in (TRAINING, VALIDATION)]
    for path in paths:
        check_writable(path, overwrite=overwrite)
    for path, side in zip(paths, sides):
        write_extxyz(path, side, overwrite=overwrite)
    return [str(paths[0])], [str(paths[1])], True


def _file(structure: Structure) -> str:
    name = structure.name
    return name if Path(name).is_file() else re.sub(r"#[0-9]+$", "", name)
