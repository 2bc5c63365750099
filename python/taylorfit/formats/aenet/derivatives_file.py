"""Descriptor derivatives (`.train.forces`), which ænet-PyTorch trains forces from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike, fspath
from typing import IO, Any

import numpy as np

from ...errors import InputError
from ...model.descriptor import AtomDerivatives, StructureDerivatives
from ...tools.atomic_write import Together, atomic_write
from .records import RecordReader, RecordWriter, encode_text, printable

_ATOM_BYTES = 12 + 16 + 8 + 8 + 8
"""Least size of an atom in the file: five records."""


def read_derivatives(path: str | PathLike[str]) -> Iterator[StructureDerivatives]:
    """Yield the structures of a `.train.forces` file one after the other.

    Raises
    ------
    FormatError
        if the file is malformed, truncated, contradicts itself, or has a value that is not
        finite; found when its place in the file is reached.
    InputError
        if the file cannot be opened.
    """
    with RecordReader(path) as reader:
        n_structures = reader.integer("number of structures", 1)
        largest = 0
        for number in range(1, n_structures + 1):
            structure = _read_structure(reader, number)
            largest = max([largest, *(len(atom.neighbours) for atom in structure.atoms or ())])
            yield structure
        at = reader.position
        found = reader.integer("largest number of neighbours", 0)
        if found != largest:
            raise reader.error("largest number of neighbours", at, value=found, expected=str(largest))
        reader.end()


class DerivativesWriter:
    """Streams structures into a `.train.forces` file; a context manager.

    The file appears under its name when the ``with`` block ends without exception.

    Parameters
    ----------
    path
        File to write.
    n_structures
        How many structures will be added.
    overwrite
        Replace an existing file?
    together
        The file gets its name with these.

    Raises
    ------
    InputError
        if the file cannot be written, or the number of structures was another.
    """

    def __init__(
        self, path: str | PathLike[str], n_structures: int, *, overwrite: bool = True, together: Together | None = None
    ) -> None:
        self.path = fspath(path)
        self.n_structures = n_structures
        self.n_values = 0
        """Derivatives written so far."""
        self._n_added = 0
        self._largest = 0
        self._block = self._written(atomic_write(path, "wb", overwrite=overwrite, together=together))
        self._writer: RecordWriter

    def __enter__(self) -> DerivativesWriter:
        self._block.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._block.__exit__(*error)

    @contextmanager
    def _written(self, file: AbstractContextManager[IO[Any]]) -> Iterator[None]:
        with file as stream:
            self._writer = RecordWriter(stream)
            self._writer.integers(self.n_structures)
            yield
            if self._n_added != self.n_structures:
                raise InputError(
                    "derivatives are not written: wrong number of structures",
                    file=self.path,
                    value=self._n_added,
                    expected=str(self.n_structures),
                )
            self._writer.integers(self._largest)

    def add(self, name: str, n_atoms: int, n_species_in: int, atoms: Iterable[AtomDerivatives] | None = None) -> None:
        """Write one structure; without `atoms` it is marked as one that has no derivatives.

        `atoms` may be an iterator: each is written before the next is asked for.

        Raises
        ------
        InputError
            if a derivative is not finite, or there are not `n_atoms` atoms.
        """
        encoded = encode_text(name)
        self._writer.integers(len(encoded))
        self._writer.write(encoded)
        self._writer.integers(n_atoms, n_species_in)
        self._writer.logical(atoms is not None)
        self._n_added += 1
        if atoms is None:
            return
        n = 0
        for atom in atoms:
            self._add_atom(name, atom)
            n += 1
        if n != n_atoms:
            raise InputError(f"{printable(name)}: derivatives of {n} atoms", file=self.path, expected=str(n_atoms))

    def _add_atom(self, name: str, atom: AtomDerivatives) -> None:
        n_neighbours, n_features = atom.images.shape[:2]
        if not (np.isfinite(atom.own).all() and np.isfinite(atom.images).all()):
            raise InputError(f"{printable(name)}: a derivative is not finite", file=self.path)
        self._writer.integers(atom.species + 1)
        self._writer.integers(n_features, n_neighbours)
        self._writer.integers(atom.neighbours + 1)
        # Column-major: the transposed arrays in C order
        self._writer.reals(np.ascontiguousarray(atom.own.T))
        self._writer.reals(np.ascontiguousarray(atom.images.T))
        self._largest = max(self._largest, n_neighbours)
        self.n_values += atom.own.size + atom.images.size


def _read_structure(reader: RecordReader, number: int) -> StructureDerivatives:
    length = reader.integer(f"length of the name of structure {number}", 0)
    # Blanks at the end belong to the name
    name = reader.read(f"name of structure {number}", length).decode("utf-8", "surrogateescape")
    shown = printable(name)
    at = reader.position
    n_atoms, n_species_in = reader.integers(f"number of atoms and species in {shown}", 2).tolist()
    if n_atoms < 1 or n_species_in < 1:
        raise reader.error(
            f"number of atoms and species in {shown}", at, value=f"{n_atoms} {n_species_in}", expected="at least 1"
        )
    if not reader.logical(f"whether {shown} has derivatives"):
        return StructureDerivatives(name, n_atoms, n_species_in, None)
    if n_atoms > reader.remaining // _ATOM_BYTES:
        raise reader.error(
            f"number of atoms in {shown}",
            at,
            value=n_atoms,
            expected=f"at most {reader.remaining // _ATOM_BYTES}, for the file is no longer",
        )
    atoms = tuple(_read_atom(reader, f"atom {atom} of {shown}", n_atoms) for atom in range(1, n_atoms + 1))
    return StructureDerivatives(name, n_atoms, n_species_in, atoms)


def _read_atom(reader: RecordReader, where: str, n_atoms: int) -> AtomDerivatives:
    species = reader.integer(f"species of {where}", 1) - 1
    at = reader.position
    n_features, n_neighbours = reader.integers(f"number of functions and neighbours of {where}", 2).tolist()
    if n_features < 1 or n_neighbours < 0:
        raise reader.error(
            f"number of functions and neighbours of {where}",
            at,
            value=f"{n_features} {n_neighbours}",
            expected="positive numbers",
        )
    at = reader.position
    neighbours = reader.integers(f"neighbours of {where}", n_neighbours) - 1
    if n_neighbours and not (neighbours.min() >= 0 and neighbours.max() < n_atoms):
        raise reader.error(f"neighbours of {where}", at, expected=f"atoms from 1 to {n_atoms}")
    own = reader.reals(f"derivatives of {where}", 3 * n_features)
    images = reader.reals(f"derivatives of {where} by its neighbours", 3 * n_features * n_neighbours)
    return AtomDerivatives(
        species, neighbours, own.reshape(3, n_features).T, images.reshape(3, n_features, n_neighbours).T
    )
