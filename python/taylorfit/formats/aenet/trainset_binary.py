"""Binary training-set files (`.train`, `.train.scaled`), read at once or in parts; `trainset_writer` writes them.

Runs of equally laid out structures (above all the Taylor copies of one parent) are read as one
array; see `trainset_layout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ...errors import FormatError
from ...model.descriptor import DescriptorSetup
from ...model.trainset import TrainingSet
from .records import RecordReader, printable
from .setup_block import read_scaling, read_setup_block, read_species
from .trainset_layout import ATOM_SIZE, HEAD_SIZE, StructureLayout, all_finite, peek_counts, peek_layout

Segment = tuple[int, StructureLayout, int]
"""Byte offset, layout, and number of structures that follow each other with this layout."""

NO_FOOTER: dict[str, Any] = {"energy_mean": math.nan, "energy_min": math.nan, "energy_max": math.nan, "setups": None}
_READ_BLOCK = 1 << 23
_MAX_LAYOUTS = 512
_RECENT = 8


def read_trainset(path: str | PathLike[str]) -> TrainingSet:
    """Read a training-set file.

    Raises
    ------
    FormatError
        if the file is malformed, truncated, contradicts itself, or has a value that is not
        finite.
    InputError
        if the file cannot be opened.
    """
    with RecordReader(path) as reader:
        file = TrainsetFile(reader)
        segments = list(file.segments())
        training_set = TrainingSet(**file.head, **file.footer(), **_load(reader, segments))
    check_values(training_set, reader.path)
    return training_set


def read_trainset_in_parts(path: str | PathLike[str], part_bytes: int = _READ_BLOCK) -> Iterator[TrainingSet]:
    """Read a training-set file a part at a time, in little memory; only the last part has setups and energy range.

    Raises
    ------
    FormatError, InputError
        as `read_trainset`; those of the footer after all other parts.
    """
    with RecordReader(path) as reader:
        file = TrainsetFile(reader)
        part: list[Segment] = []
        size = 0
        for offset, layout, count in file.segments():
            part.append((offset, layout, count))
            size += count * layout.size
            if size >= part_bytes and file.n_left:
                yield _part(reader, file.head | NO_FOOTER, part)
                part, size = [], 0
        yield _part(reader, file.head | file.footer(), part)


def _part(reader: RecordReader, fields: dict[str, Any], segments: list[Segment]) -> TrainingSet:
    part = TrainingSet(**fields, **_load(reader, segments))
    reader.forget()
    check_values(part, reader.path)
    return part


class TrainsetFile:
    """A training-set file from its first record to its last: head, `segments`, `footer`.

    Parameters
    ----------
    reader
        at the start of the file.

    Raises
    ------
    FormatError
        here and in all methods, if the file is malformed, truncated, or contradicts itself.
    """

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader
        self._n_species = reader.integer("number of species", 1)
        at = reader.position
        self.n_left = reader.integer("number of structures", 1)
        """Structures that `segments` has not come to yet."""
        species = read_species(reader, "species", self._n_species)
        self.head: dict[str, Any] = {
            "species": species,
            "atomic_energies": reader.reals("atomic energies", self._n_species),
            **read_scaling(reader),
        }
        """The first fields of a `TrainingSet`."""
        if self.n_left > reader.remaining // (HEAD_SIZE + ATOM_SIZE):
            raise reader.error(
                "file is too short for its number of structures",
                at,
                value=self.n_left,
                expected=f"at most {reader.remaining // (HEAD_SIZE + ATOM_SIZE)}",
            )
        self._n_atoms = 0
        self._n_features: dict[int, int] = {}

    @property
    def n_features(self) -> np.ndarray:
        """(n_species,) length of the descriptor of each species, 0 where none has been seen."""
        return np.array([self._n_features.get(species, 0) for species in range(self._n_species)], dtype=np.int64)

    def segments(self) -> Iterator[Segment]:
        """Find and verify the layout of every structure without reading their values."""
        reader = self._reader
        layouts: dict[tuple[int, int], list[StructureLayout]] = {}
        layout: StructureLayout | None = None
        guess, seen = 1, reader.position
        while self.n_left:
            count = 0
            if layout is not None:
                limit = min(self.n_left, guess, reader.remaining // layout.size)
                count = _count(reader, layout, limit)
                guess = 2 * guess if count == limit < _READ_BLOCK // layout.size else max(count, 1)
            if not count:
                key = peek_counts(reader.buffer, reader.position, reader.size)
                known = layouts.setdefault(key, []) if key else []
                layout = next((one for one in known if _count(reader, one, 1)), None)
                if layout is None:
                    layout = peek_layout(reader.buffer, reader.position, reader.size)
                    if layout is None or not _count(reader, layout, 1) or not self._fits(layout):
                        raise _explain(reader, self._n_species, self._n_features)
                    if len(layouts) > _MAX_LAYOUTS:
                        layouts.clear()
                        layouts[layout.name_length, layout.n_atom] = known
                    known.insert(0, layout)
                    del known[_RECENT:]
                count, guess = 1, 1
            assert layout is not None
            at = reader.position
            reader.position += count * layout.size
            self.n_left -= count
            self._n_atoms += count * layout.n_atom
            if reader.position - seen > _READ_BLOCK:
                reader.forget()
                seen = reader.position
            yield at, layout, count

    def _fits(self, layout: StructureLayout) -> bool:
        """Check, and note, that a species has descriptors of the same length everywhere."""
        if int(layout.atom_species.max()) >= self._n_species:
            return False
        for species, n_feature in zip(layout.atom_species.tolist(), layout.n_features.tolist()):
            if self._n_features.setdefault(species, n_feature) != n_feature:
                return False
        return True

    def footer(self) -> dict[str, Any]:
        """Read what follows the structures, to the end of the file: further fields of a `TrainingSet`."""
        reader = self._reader
        at = reader.position
        if reader.integer("number of atoms in the footer") != self._n_atoms:
            raise reader.error(
                "number of atoms in the footer contradicts the structures", at, expected=str(self._n_atoms)
            )
        energies = map(float, reader.reals("energy range", 3, finite=False))
        has_setups = reader.logical("has setups")
        setups = read_setups(reader, self.head["species"], self._n_features) if has_setups else None
        reader.end()
        return {**dict(zip(("energy_mean", "energy_min", "energy_max"), energies)), "setups": setups}


def _count(reader: RecordReader, layout: StructureLayout, limit: int) -> int:
    """Return how many structures from here on have this layout, at most `limit`."""
    limit = min(limit, reader.remaining // layout.size)
    if limit < 1:
        return 0
    return layout.count_matching(layout.view(reader.buffer, reader.position, limit))


def _explain(reader: RecordReader, n_species: int, n_features: dict[int, int]) -> FormatError:
    """Read a bad structure record by record, and return (or raise) the reason why it is bad."""
    start = reader.position
    name_length = reader.integer("length of a structure name", 0)
    name = printable(reader.text("structure name", name_length))
    at = reader.position
    n_atom, _ = reader.integers(f"number of atoms in {name}", 2)
    if n_atom < 1:
        return reader.error(f"number of atoms in {name}", at, value=int(n_atom), expected="at least 1")
    reader.reals(f"energy of {name}", 1, finite=False)
    for atom in range(1, int(n_atom) + 1):
        where = f"atom {atom} of {name}"
        species = reader.integer(f"species of {where}", 1, n_species) - 1
        reader.reals(f"position of {where}", 3, finite=False)
        reader.reals(f"force on {where}", 3, finite=False)
        n_feature = reader.integer(f"descriptor length of {where}", 1)
        known = n_features.setdefault(species, n_feature)
        if n_feature != known:
            return reader.error(f"descriptor length of {where}", value=n_feature, expected=str(known))
        reader.reals(f"descriptor of {where}", n_feature, finite=False)
    return reader.error(f"structure {name} is malformed", start)


def read_setups(
    reader: RecordReader, species: tuple[str, ...], n_features: dict[int, int]
) -> tuple[DescriptorSetup, ...]:
    """Read the setups in the footer, one for each species.

    `n_features` holds the descriptor length of each species that occurs.
    """
    setups = []
    for index, symbol in enumerate(species):
        reader.integer(f"species of setup {index + 1}", index + 1, index + 1)
        at = reader.position
        setup = read_setup_block(reader, f"setup {index + 1}")
        if setup.species != symbol:
            raise reader.error(f"setup {index + 1}", at, value=setup.species, expected=symbol)
        if n_features.get(index, setup.n_feature) != setup.n_feature:
            raise reader.error(
                f"setup of {symbol} has {setup.n_feature} functions",
                at,
                expected=f"{n_features[index]}, the length of its descriptors",
            )
        setups.append(setup)
    return tuple(setups)


def _load(reader: RecordReader, segments: list[Segment]) -> dict[str, Any]:
    """Copy the structures of verified segments into flat arrays."""
    counts = np.array([count for _, _, count in segments])
    n_atoms = np.repeat([layout.n_atom for _, layout, _ in segments], counts)
    n_structure, n_atom = len(n_atoms), int(n_atoms.sum())
    n_value = sum(count * layout.n_value for _, layout, count in segments)
    names: list[str] = []
    n_species_in = np.empty(n_structure, dtype=np.int32)
    energy = np.empty(n_structure)
    atom_species = np.empty(n_atom, dtype=np.int32)
    n_features = np.empty(n_atom, dtype=np.int64)
    positions, forces = np.empty((n_atom, 3)), np.empty((n_atom, 3))
    descriptors = np.empty(n_value)
    structure = atom = value = 0
    for offset, layout, count in segments:
        block = layout.view(reader.buffer, offset, count)
        structures = slice(structure, structure + count)
        atoms = slice(atom, atom + count * layout.n_atom)
        values = slice(value, value + count * layout.n_value)
        names += names_of(block["name"])
        n_species_in[structures] = block["n_species_in"]
        energy[structures] = block["energy"]
        atom_species[atoms].reshape(count, -1)[...] = layout.atom_species
        n_features[atoms].reshape(count, -1)[...] = layout.n_features
        layout.unpack(
            block,
            positions[atoms].reshape(count, -1, 3),
            forces[atoms].reshape(count, -1, 3),
            descriptors[values].reshape(count, -1),
        )
        structure, atom, value = structures.stop, atoms.stop, values.stop
    return {
        "names": names,
        "n_species_in": n_species_in,
        "energy": energy,
        "first_atom": np.concatenate([[0], np.cumsum(n_atoms)]).astype(np.int64),
        "atom_species": atom_species,
        "positions": positions,
        "forces": forces,
        "first_value": np.concatenate([[0], np.cumsum(n_features)]),
        "descriptors": descriptors,
    }


def names_of(characters: np.ndarray) -> list[str]:
    """Return the names held in an (n, name_length) array of bytes, blanks included."""
    n, length = characters.shape
    payload = characters.tobytes()
    return [payload[i * length : (i + 1) * length].decode("utf-8", "surrogateescape") for i in range(n)]


def check_values(training_set: TrainingSet, path: str) -> None:
    """Refuse numbers that are not finite, and name their structure."""
    t = training_set
    check_heads(t, path)
    for what, array, first in (
        ("position", t.positions, t.first_atom),
        ("force", t.forces, t.first_atom),
        ("descriptor", t.descriptors, t.first_value[t.first_atom]),
    ):
        check_finite(what, array, lambda row: int(np.searchsorted(first, row, side="right")) - 1, t.names, path)  # noqa: B023


def check_heads(training_set: TrainingSet, path: str) -> None:
    """Refuse energies that are not finite, and numbers of species that cannot be."""
    t = training_set
    check_finite("energy", t.energy, int, t.names, path)
    wrong = (t.n_species_in < 1) | (t.n_species_in > len(t.species))
    if wrong.any():
        bad = int(wrong.argmax())
        raise FormatError(
            f"number of species in {printable(t.names[bad])}",
            file=path,
            value=int(t.n_species_in[bad]),
            expected=f"1 to {len(t.species)}",
        )


def check_finite(
    what: str, values: np.ndarray, structure_of: Callable[[int], int], names: Sequence[str], path: str
) -> None:
    """Refuse values of which one is not finite; `structure_of` tells the structure from its row."""
    if not all_finite(values):
        bad = int(np.argwhere(~np.isfinite(values))[0][0])
        raise FormatError(f"a {what} of {printable(names[structure_of(bad)])} is not finite", file=path)
