"""How one structure lies in a training-set file, as a NumPy dtype.

Structures with equally long names and the same sequence of atoms occupy the same bytes,
byte counts of the records included.  One structured dtype for the whole structure then
reads, checks and writes thousands of them in a few array operations.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from mmap import mmap

import numpy as np

from .records import INTEGER, REAL

ATOM_SIZE = 96
"""Bytes of one atom besides its descriptor values."""
HEAD_SIZE = 52
"""Bytes before the first atom besides the characters of the name."""

_NAME_LENGTH = struct.Struct("<4xi")
_N_ATOM = struct.Struct("<24xi")
_ATOM = struct.Struct("<4xi72xi")


class StructureLayout:
    """Layout of structures with the given name length and atoms.

    Parameters
    ----------
    name_length
        Bytes of the name.
    atom_species
        (n_atom,) index of each atom's species, from 0.
    n_features
        (n_atom,) length of each atom's descriptor.
    """

    def __init__(self, name_length: int, atom_species: np.ndarray, n_features: np.ndarray) -> None:
        self.name_length = name_length
        self.atom_species = np.ascontiguousarray(atom_species, dtype=np.int32)
        self.n_features = np.ascontiguousarray(n_features, dtype=np.int64)
        self.n_atom = len(self.atom_species)
        self.species_present: list[int] = sorted(set(self.atom_species.tolist()))
        self.first_value = np.concatenate([[0], np.cumsum(self.n_features)])
        """(n_atom + 1,) where each atom's descriptor begins"""
        self.n_value = int(self.first_value[-1])
        self.atom_at = HEAD_SIZE + name_length + ATOM_SIZE * np.arange(self.n_atom) + 8 * self.first_value[:-1]
        """(n_atom,) bytes before the record of each atom"""
        # Neighbouring atoms with equally long descriptors form one array.
        cuts = [0, *(np.flatnonzero(np.diff(self.n_features)) + 1).tolist(), self.n_atom]
        self._runs = [(f"atoms{first}", first, last) for first, last in pairwise(cuts)]
        self.dtype = np.dtype(
            [
                ("name_head", INTEGER, (4,)),
                ("name", np.uint8, (name_length,)),
                ("name_tail", INTEGER),
                ("n_atom", INTEGER, (2,)),
                ("n_species_in", INTEGER),
                ("energy_head", INTEGER, (2,)),
                ("energy", REAL),
                ("energy_tail", INTEGER),
                *(
                    (field, _atom_dtype(int(self.n_features[first])), (last - first,))
                    for field, first, last in self._runs
                ),
            ]
        )
        self._template = self._fill_template()
        self._values_of: dict[int, slice | np.ndarray] = {}

    @property
    def size(self) -> int:
        """Bytes of one structure."""
        return self.dtype.itemsize

    def view(self, buffer: bytes | mmap | memoryview, offset: int, count: int) -> np.ndarray:
        """Return `count` structures at byte `offset` of `buffer`, (count,) of `dtype`, not copied."""
        return np.frombuffer(buffer, dtype=self.dtype, count=count, offset=offset)

    def count_matching(self, block: np.ndarray) -> int:
        """Return how many structures at the start of `block` really have this layout.

        Compares every byte count, every atom's species and descriptor length.
        """
        good = np.ones(len(block), dtype=bool)
        for found, wanted in self._constants(block):
            good &= (found == wanted).reshape(len(block), -1).all(axis=1)
        return len(block) if good.all() else int(good.argmin())

    def pack(
        self,
        names: list[bytes],
        n_species_in: int,
        energy: np.ndarray,
        positions: np.ndarray,
        forces: np.ndarray,
        values: np.ndarray,
    ) -> np.ndarray:
        """Return the bytes of n structures, (n · size,) uint8.

        Parameters
        ----------
        names
            n names of `name_length` bytes.
        n_species_in
            Number of species in each of the structures.
        energy
            (n,)
        positions, forces
            (n, n_atom, 3)
        values
            (n, n_value)
        """
        payload = np.tile(self._template.view(np.uint8), len(names))
        block = payload.view(self.dtype)
        block["name"] = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), self.name_length)
        block["n_species_in"] = n_species_in
        block["energy"] = energy
        for field, first, last in self._runs:
            atoms = block[field]
            atoms["position"] = positions[:, first:last]
            atoms["force"] = forces[:, first:last]
            atoms["values"] = self._of_run(values, first, last)
        return payload

    def unpack(self, block: np.ndarray, positions: np.ndarray, forces: np.ndarray, values: np.ndarray) -> None:
        """Copy n structures into arrays shaped as for `pack`."""
        for field, first, last in self._runs:
            atoms = block[field]
            positions[:, first:last] = atoms["position"]
            forces[:, first:last] = atoms["force"]
            self._of_run(values, first, last)[...] = atoms["values"]

    def descriptors_of(self, values: np.ndarray, species: int) -> np.ndarray:
        """Return the descriptors of all atoms of a species, (n, n_atom_of_species, n_feature).

        `values` is (n, n_value).  The species must occur.
        """
        if species not in self._values_of:
            atoms = np.flatnonzero(self.atom_species == species)
            first, last = int(atoms[0]), int(atoms[-1]) + 1
            if last - first == len(atoms):
                self._values_of[species] = slice(self.first_value[first], self.first_value[last])
            else:
                n_feature = self.n_features[first]
                self._values_of[species] = (self.first_value[atoms][:, np.newaxis] + np.arange(n_feature)).ravel()
        chosen = self._values_of[species]
        part = values[:, chosen] if isinstance(chosen, slice) else values.take(chosen, axis=1)
        return part.reshape(len(values), -1, int(self.n_features[self.atom_species == species][0]))

    def _of_run(self, values: np.ndarray, first: int, last: int) -> np.ndarray:
        """Return the view of `values` on a run of atoms, (n, last - first, n_feature)."""
        part = values[:, self.first_value[first] : self.first_value[last]]
        return part.reshape(len(values), last - first, int(self.n_features[first]))

    def _fill_template(self) -> np.ndarray:
        template = np.zeros(1, dtype=self.dtype)
        template["name_head"] = 4, self.name_length, 4, self.name_length
        template["name_tail"] = self.name_length
        template["n_atom"] = 8, self.n_atom
        template["energy_head"] = 8, 8
        template["energy_tail"] = 8
        for field, first, last in self._runs:
            atoms, n_feature = template[field], int(self.n_features[first])
            atoms["species"][...] = 4, 0, 4, 24
            atoms["species"][..., 1] = self.atom_species[first:last] + 1
            atoms["force_head"][...] = 24, 24
            atoms["values_head"][...] = 24, 4, n_feature, 4, 8 * n_feature
            atoms["values_tail"][...] = 8 * n_feature
        return template

    def _constants(self, block: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return all fields of `block` that depend on the layout only, each with its value."""
        fields = ("name_head", "name_tail", "n_atom", "energy_head", "energy_tail")
        pairs = [(block[field], self._template[field]) for field in fields]
        for field, _, _ in self._runs:
            atoms, template = block[field], self._template[field]
            pairs += [(atoms[part], template[part]) for part in _ATOM_CONSTANTS]
        return pairs


_ATOM_CONSTANTS = ("species", "force_head", "values_head", "values_tail")


def _atom_dtype(n_feature: int) -> np.dtype:
    """Return the dtype of the five records of one atom."""
    return np.dtype(
        [
            ("species", INTEGER, (4,)),
            ("position", REAL, (3,)),
            ("force_head", INTEGER, (2,)),
            ("force", REAL, (3,)),
            ("values_head", INTEGER, (5,)),
            ("values", REAL, (n_feature,)),
            ("values_tail", INTEGER),
        ]
    )


_FIELDS = _atom_dtype(1).fields
assert _FIELDS is not None
POSITION_AT, FORCE_AT, VALUES_AT = (_FIELDS[part][1] for part in ("position", "force", "values"))
"""Bytes of an atom before its position, force and descriptor."""


def peek_counts(buffer: bytes | mmap | memoryview, offset: int, size: int) -> tuple[int, int] | None:
    """Return name length and number of atoms of the structure at `offset`, unless they are absurd.

    `size` is the length of the buffer.
    """
    if offset + HEAD_SIZE > size:
        return None
    (name_length,) = _NAME_LENGTH.unpack_from(buffer, offset)
    if not 0 <= name_length <= size - offset - HEAD_SIZE:
        return None
    (n_atom,) = _N_ATOM.unpack_from(buffer, offset + name_length)
    if not 1 <= n_atom <= (size - offset - HEAD_SIZE - name_length) // ATOM_SIZE:
        return None
    return name_length, n_atom


def peek_layout(buffer: bytes | mmap | memoryview, offset: int, size: int) -> StructureLayout | None:
    """Return the layout the structure at `offset` claims to have, or None if that is impossible.

    Only looks at the atoms' species and descriptor lengths; `count_matching` checks the rest.
    """
    counts = peek_counts(buffer, offset, size)
    if counts is None:
        return None
    name_length, n_atom = counts
    atom_species, n_features = [], []
    position = offset + HEAD_SIZE + name_length
    for _ in range(n_atom):
        if position + ATOM_SIZE > size:
            return None
        species, n_feature = _ATOM.unpack_from(buffer, position)
        if species < 1 or not 1 <= n_feature <= (size - position) // 8:
            return None
        atom_species.append(species - 1)
        n_features.append(n_feature)
        position += ATOM_SIZE + 8 * n_feature
    if position > size:
        return None
    return StructureLayout(name_length, np.array(atom_species), np.array(n_features))


def all_finite(array: np.ndarray) -> bool:
    """Return whether all values are finite, without a temporary array in the usual case."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())
