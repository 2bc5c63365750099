"""Companion of a training set (`NAME.geometry`): what force training needs and ænet's format has no place for.

A NumPy archive with the cells, periodicity, stresses, weights and hashes of the reference structures, in the order of
the training set.  A checksum of names and energies ties it to its training set.

Taylor copies in a training set of their own have another companion, `NAME.parents`: one line with a checksum of the
structures that they were made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, InputError
from ..model.trainset import HASH, Geometry, TrainingSet
from ..tools.atomic_write import Together, atomic_write, check_writable
from ..tools.locks import alone_in_python
from ..tools.os_errors import explained
from .archive import read_archive

VERSION = 1
MARK = "geometry_checksum"
"""Name of the array that such files alone have."""
PARENTS_MARK = "taylorfit-parents-sha256"
_ARRAYS = ("cell", "pbc", "has_forces", "stress", "weight", "first_atom", "atom_weight")
_HASHES = ("content", "pushed_from")
"""Of structures; files of earlier versions have none."""


def geometry_path(trainset: str | PathLike[str]) -> str:
    """The companion of a training-set file."""
    return f"{fspath(trainset)}.geometry"


def _checksum(names: Sequence[str], energies: np.ndarray) -> str:
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(energies, dtype="<f8").tobytes())
    return digest.hexdigest()


def write_geometry(
    path: str | PathLike[str],
    geometry: Geometry,
    names: Sequence[str],
    energies: np.ndarray,
    overwrite: bool = True,
    together: Together | None = None,
) -> None:
    """Write the companion of a training set with reference structures of these names and energies (n_structure,)."""
    arrays: dict[str, Any] = {"version": np.array(VERSION), MARK: np.array(_checksum(names, energies))}
    arrays |= {name: getattr(geometry, name) for name in (*_ARRAYS, *_HASHES)}
    with atomic_write(path, "wb", overwrite=overwrite, together=together) as stream:
        np.savez_compressed(stream, **arrays)


def read_geometry(path: str | PathLike[str], names: Sequence[str], energies: np.ndarray) -> Geometry:
    """Read the companion of a training set with reference structures of these names and energies.

    Raises
    ------
    FormatError
        if the file is damaged or of another version.
    InputError
        if it belongs to another training set.
    """
    geometry, checksum = load_geometry(path)
    if len(geometry.cell) != len(names) or checksum != _checksum(names, energies):
        raise InputError(
            "belongs to another training set",
            file=path,
            expected=f"the companion written with {Path(path).with_suffix('').name}; run generate again",
        )
    return geometry


def load_geometry(path: str | PathLike[str]) -> tuple[Geometry, str]:
    """Return what a companion holds, and the checksum of its training set.

    Raises
    ------
    FormatError
        if the file is damaged or of another version.
    InputError
        if it cannot be read.
    """

    def take(found: dict[str, np.ndarray]) -> tuple[Geometry, str]:
        arrays = {name: found[name] for name in _ARRAYS}
        unknown = np.zeros(len(arrays["cell"]), dtype=HASH)
        arrays |= {name: found.get(name, unknown) for name in _HASHES}
        geometry = Geometry(**arrays)
        n, n_atoms = len(geometry.cell), len(geometry.atom_weight)
        shapes = {
            "cell": (n, 3, 3),
            "pbc": (n, 3),
            "has_forces": (n,),
            "stress": (n, 3, 3),
            "weight": (n,),
            "first_atom": (n + 1,),
            "atom_weight": (n_atoms,),
            **dict.fromkeys(_HASHES, (n,)),
        }
        if any(arrays[name].shape != shape for name, shape in shapes.items()):
            raise ValueError
        if any(arrays[name].dtype.kind != "S" for name in _HASHES):
            raise ValueError
        if not all(np.isfinite(arrays[name]).all() for name in ("cell", "weight", "atom_weight")):
            raise ValueError
        first = geometry.first_atom
        if first.dtype.kind != "i" or first[0] != 0 or first[-1] != n_atoms or (np.diff(first) < 1).any():
            raise ValueError
        if min(geometry.weight.min(initial=0.0), geometry.atom_weight.min(initial=0.0)) < 0.0:
            raise ValueError
        return geometry, str(found[MARK])

    return read_archive(
        path,
        "is not a companion of a training set, or is damaged",
        "a file written by generate",
        take,
        ("version", VERSION, "companion of another version"),
    )


def save_training_set(path: str | PathLike[str], training_set: TrainingSet, overwrite: bool = False) -> None:
    """Write a training set and, where its geometry is known, its companion."""
    companion = geometry_path(path)
    for file in (path, companion):
        check_writable(file, overwrite=overwrite)
    from .aenet.trainset_writer import write_trainset

    with alone_in_python(path):
        write_trainset(path, training_set, overwrite=overwrite)
        if training_set.geometry is None:
            # What an earlier run left there belongs to another training set
            Path(companion).unlink(missing_ok=True)
        else:
            write_geometry(companion, training_set.geometry, *_parents(training_set), overwrite=overwrite)


def load_training_set(path: str | PathLike[str]) -> TrainingSet:
    """Read a training set and, where there is one, its companion."""
    from .aenet.trainset_binary import read_trainset

    training_set = read_trainset(path)
    companion = geometry_path(path)
    if not Path(companion).exists():
        return training_set
    return replace(training_set, geometry=read_geometry(companion, *_parents(training_set)))


def parents_path(copies: str | PathLike[str]) -> str:
    """What tells the parents of a training set of Taylor copies."""
    return f"{fspath(copies)}.parents"


def write_parents(path: str | PathLike[str], checksum: str, together: Together | None = None) -> None:
    """Write the companion of a training set of copies of structures with this `checksum_of_parents`."""
    with atomic_write(path, together=together) as stream:
        stream.write(f"{PARENTS_MARK} {checksum}\n")


def read_parents(path: str | PathLike[str]) -> str | None:
    """Return the checksum of the structures that copies were made from; None if the file does not exist.

    Raises
    ------
    FormatError
        if the file is damaged.
    """
    if not Path(path).exists():
        return None
    with explained("cannot be read", path):
        words = Path(path).read_bytes()[:200].decode("ascii", "replace").split()
    if len(words) != 2 or words[0] != PARENTS_MARK:
        raise FormatError("is damaged", file=path, expected=f"{PARENTS_MARK} and a checksum, as generate writes it")
    return words[1]


def checksum_of_parents(
    names: Sequence[str], energies: np.ndarray, forces: Sequence[np.ndarray], atomic_energies: np.ndarray
) -> str:
    """Tie copies to their parents: to names, energies (n_structure,), forces (n_atom, 3) of each, and TYPES energies.

    Descriptors are not part of it, since each training set has its setups, which can be compared.
    """
    digest = hashlib.sha256(_checksum(names, energies).encode())
    for array in (atomic_energies, *forces):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def checksum_of_references(training_set: TrainingSet) -> str:
    """The `checksum_of_parents` of the reference structures of a training set."""
    t = training_set
    return checksum_of_parents(*_parents(t), [t.forces_of(s) for s in t.parents], t.atomic_energies)


def _parents(training_set: TrainingSet) -> tuple[list[str], np.ndarray]:
    """Names and energies of the reference structures."""
    parents = training_set.parents
    return [training_set.names[s] for s in parents], training_set.energy[parents]
