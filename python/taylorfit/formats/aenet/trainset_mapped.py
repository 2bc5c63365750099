"""A training set that stays in its file: positions, forces and descriptors are read where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from os import PathLike
from typing import Any

import numpy as np

from ...errors import InputError
from ...model.trainset import TrainingSet
from .records import REAL, RecordReader
from .trainset_binary import TrainsetFile, check_finite, check_heads, names_of
from .trainset_layout import ATOM_SIZE, FORCE_AT, POSITION_AT, VALUES_AT

_KEPT = 1 << 23
"""Bytes that may be read before the pages of the file are given back."""


_IN_FILE = ("positions", "forces", "first_value", "descriptors")
"""Fields of a training set that stay there."""


class MappedTrainingSet(TrainingSet):
    """A training set of which names, energies and species are in memory, and no more; `map_trainset` makes one.

    Numbers are checked when they are read.  The file stays open: it may be renamed or removed, but not shortened.
    """

    _reader: RecordReader
    _record_at: np.ndarray
    """(n_atom,) byte at which the record of an atom begins"""
    _n_features: np.ndarray
    """(n_species,)"""
    _n_read: int

    def __init__(self, reader: RecordReader, record_at: np.ndarray, n_features: np.ndarray, **small: Any) -> None:
        own = {"_reader": reader, "_record_at": record_at, "_n_features": n_features, "_n_read": 0}
        vars(self).update({"geometry": None, "notes": ()} | small | own)

    def structures(self, chosen: Sequence[int]) -> MappedTrainingSet:
        """Return some structures (ascending numbers), in the same file."""
        atoms = np.concatenate([np.zeros(0, dtype=np.int64), *map(self._atoms_of, chosen)])
        n_atoms = [self.n_atoms_of(s) for s in chosen]
        small = {field.name: getattr(self, field.name) for field in fields(TrainingSet) if field.name not in _IN_FILE}
        small |= {
            "names": [self.names[s] for s in chosen],
            "n_species_in": self.n_species_in[chosen],
            "energy": self.energy[chosen],
            "first_atom": np.concatenate([[0], np.cumsum(n_atoms)]).astype(np.int64),
            "atom_species": self.atom_species[atoms],
        }
        return MappedTrainingSet(self._reader, self._record_at[atoms], self._n_features, **small)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the name of the file, which it must see, too."""
        small = {field.name: getattr(self, field.name) for field in fields(TrainingSet) if field.name not in _IN_FILE}
        return _reopened, (self._reader.path, self._reader.size, self._record_at, self._n_features, small)

    def positions_of(self, structure: int) -> np.ndarray:
        """Return the positions (n_atom, 3) of the atoms of a structure."""
        return self._read("position", self._atoms_of(structure), POSITION_AT, 3)

    def forces_of(self, structure: int) -> np.ndarray:
        """Return the forces (n_atom, 3) on the atoms of a structure."""
        return self._read("force", self._atoms_of(structure), FORCE_AT, 3)

    def descriptors_of(self, atoms: np.ndarray) -> np.ndarray:
        """Return the descriptors (n, n_feature) of atoms (n,), all of one species."""
        width = int(self._n_features[self.atom_species[atoms[0]]]) if len(atoms) else 0
        return self._read("descriptor", atoms, VALUES_AT, width)

    @property
    def positions(self) -> np.ndarray:
        """(n_atom, 3) Å; all of the file, as the properties below."""
        return self._read("position", np.arange(len(self._record_at)), POSITION_AT, 3)

    @property
    def forces(self) -> np.ndarray:
        """(n_atom, 3) eV/Å."""
        return self._read("force", np.arange(len(self._record_at)), FORCE_AT, 3)

    @property
    def first_value(self) -> np.ndarray:
        """(n_atom + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self._n_features[self.atom_species])])

    @property
    def descriptors(self) -> np.ndarray:
        """(n_value,) after each other."""
        first = self.first_value
        values = np.empty(first[-1])
        for species, width in enumerate(self._n_features):
            atoms = np.flatnonzero(self.atom_species == species)
            values[first[atoms][:, None] + np.arange(width)] = self.descriptors_of(atoms)
        return values

    def _atoms_of(self, structure: int) -> np.ndarray:
        return np.arange(self.first_atom[structure], self.first_atom[structure + 1])

    def _read(self, what: str, atoms: np.ndarray, place: int, width: int) -> np.ndarray:
        """Return `width` numbers of each atom, which stand `place` bytes behind the start of its record."""
        if not len(atoms):
            return np.empty((0, width))
        # A window on so many bytes from every byte on: numbers in these files are not aligned
        n_bytes = REAL.itemsize * width
        windows = np.ndarray((self._reader.size - n_bytes + 1,), f"V{n_bytes}", self._reader.buffer, strides=(1,))
        values = windows[self._record_at[atoms] + place].view(REAL).reshape(len(atoms), width)
        check_finite(what, values, lambda row: self._structure_of(int(atoms[row])), self.names, self._reader.path)
        # Whole records: the pages of what stands beside the numbers are in memory, too
        vars(self)["_n_read"] += len(atoms) * (ATOM_SIZE + REAL.itemsize * int(self._n_features.max()))
        if self._n_read > _KEPT:
            vars(self)["_n_read"] = 0
            self._reader.forget()
        return values

    def _structure_of(self, atom: int) -> int:
        return int(np.searchsorted(self.first_atom, atom, side="right")) - 1


def _reopened(
    path: str, size: int, record_at: np.ndarray, n_features: np.ndarray, small: dict[str, Any]
) -> MappedTrainingSet:
    reader = RecordReader(path)
    if reader.size != size:
        raise InputError(
            "is not the file that the first rank has read",
            file=path,
            value=f"{reader.size} bytes",
            expected=f"{size} bytes",
        )
    return MappedTrainingSet(reader, record_at, n_features, **small)


def map_trainset(path: str | PathLike[str]) -> MappedTrainingSet:
    """Open a training-set file; what is large is read from it later, piece by piece.

    Raises
    ------
    FormatError, InputError
        as `read_trainset`, but for numbers that are not finite, which are found when they are read.
    """
    reader = RecordReader(path)
    file = TrainsetFile(reader)
    names: list[str] = []
    parts: dict[str, list[np.ndarray]] = {
        key: [] for key in ("n_species_in", "energy", "n_atoms", "atom_species", "record_at")
    }
    for offset, layout, count in file.segments():
        block = layout.view(reader.buffer, offset, count)
        names += names_of(block["name"])
        parts["n_species_in"].append(block["n_species_in"].astype(np.int32))
        parts["energy"].append(block["energy"].astype(np.float64))
        parts["n_atoms"].append(np.full(count, layout.n_atom))
        parts["atom_species"].append(np.tile(layout.atom_species, count))
        starts = offset + layout.size * np.arange(count, dtype=np.int64)
        parts["record_at"].append((starts[:, None] + layout.atom_at).ravel())
    footer = file.footer()
    reader.forget()
    found = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    training_set = MappedTrainingSet(
        reader,
        found.pop("record_at"),
        file.n_features,
        names=names,
        first_atom=np.concatenate([[0], np.cumsum(found.pop("n_atoms"))]),
        **file.head,
        **footer,
        **found,
    )
    check_heads(training_set, reader.path)
    return training_set
