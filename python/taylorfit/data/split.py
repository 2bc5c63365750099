"""Keeping structures back for validation: at random, or by a hash that does not change when data are added."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import ceil
from os import PathLike
from pathlib import Path

from ..errors import InputError
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import file_of
from ..formats.structures.in_memory import Structures, as_structures
from ..model.provenance import parse_copy_name
from ..model.structure import Structure
from ..tools.atomic_write import check_writable
from ..tools.randomness import Stream

SEED, HASH = "seed", "hash"
RULES = (SEED, HASH)
FRACTION = 0.1
FEWEST = 20
"""Of fewer structures none are kept back: errors of one or two tell nothing."""
TRAINING, VALIDATION = "training.extxyz", "validation.extxyz"
"""Written where a file holds structures of both sides."""


def split(
    structures: Structures, fraction: float = 0.1, *, seed: int = 1, by: str = "seed"
) -> tuple[list[Structure], list[Structure]]:
    """Split structures into those to train on and those to keep back.

    Structures of one name stay together, and so do Taylor copies (see `displace`) and copies with pushed atoms (see
    `repel`) and the structure they are made from, wherever they stand in the list.

    Parameters
    ----------
    structures
        Of taylorfit or ASE.
    fraction
        Share of the structures (copies not counted) to keep back.
    seed
        Another seed gives another split.
    by
        `seed`: drawn at random, ⌊fraction · n⌋ of them, so that another number of structures gives another split.
        `hash`: a hash of species, positions and cell decides for each structure by itself.  It stays on its side when
        data are added or sorted in another way, and so do copies of it where it is not there; the share is only about
        `fraction`.  It is the split of ``train(…, split="hash")``.

    Returns
    -------
    tuple
        The structures to train on and the ones kept back, each in the order of `structures`.

    Raises
    ------
    InputError
        if an argument is out of range, or nothing is left to train on.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Structure, split
    >>> dimers = [Structure(("H", "H"), np.diag([0.0, 0.7 + 0.1 * k, 0.0])[:2]) for k in range(20)]
    >>> train, held_out = split(dimers, 0.2)
    >>> len(train), len(held_out)
    (16, 4)
    """
    if not 0.0 <= fraction < 1.0:
        raise InputError("fraction cannot be used", value=fraction, expected="0 ≤ fraction < 1")
    if seed < 0:
        raise InputError("seed is negative", value=seed, expected="0 or more")
    if by not in RULES:
        raise InputError("unknown rule for a split", value=by, expected=" or ".join(RULES))
    found = as_structures(structures)
    own = [s for s in found if parse_copy_name(s.name) is None and not s.pushed_from]
    contents = {structure.name: structure.content_hash() for structure in own}
    name_of = {content: name for name, content in contents.items()}

    def origin(structure: Structure) -> str:
        if structure.pushed_from:
            return name_of.get(structure.pushed_from, structure.pushed_from)
        copy = parse_copy_name(structure.name)
        return structure.name if copy is None else copy.parent

    origins = list(map(origin, found))
    # Copies without their parent stay together, too
    names = list(contents) + [name for name in dict.fromkeys(origins) if name not in contents]
    if by == HASH:
        kept_back = {name for name in names if place_of(contents.get(name, name), seed) < fraction}
    else:
        # The tiny subtraction keeps rounding from turning 0.9·60 = 54.000…01 into 55
        n_train = ceil((1.0 - fraction) * len(names) - 1e-9)
        drawn = Stream.SPLIT.generator(seed).choice(len(names), len(names) - n_train, replace=False)
        kept_back = {names[k] for k in drawn}
    if len(kept_back) == len(names):
        raise InputError("no structures to train on", value=len(names), expected="at least one")
    sides: tuple[list[Structure], list[Structure]] = ([], [])
    for structure, name in zip(found, origins):
        sides[name in kept_back].append(structure)
    return sides


def place_of(content: str, *seed: int) -> float:
    """A number in [0, 1) that belongs to a structure's `content_hash`: it is kept back if that is below the share."""
    words = " ".join([*map(str, seed), content])
    digest = hashlib.sha256(words.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 256.0**6


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
    files = [list(dict.fromkeys(file_of(structure.name) for structure in side)) for side in sides]
    if all(map(len, files)) and not set(files[0]) & set(files[1]):
        return files[0], files[1], False
    paths = [Path(folder) / name for name in (TRAINING, VALIDATION)]
    for path in paths:
        check_writable(path, overwrite=overwrite)
    for path, side in zip(paths, sides):
        write_extxyz(path, side, overwrite=overwrite)
    return [str(paths[0])], [str(paths[1])], True
