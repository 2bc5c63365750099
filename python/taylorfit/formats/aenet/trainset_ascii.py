"""Text training sets, in the dialects of two converters.

`trnset2ASCII.x` (ænet): species and energies first, no setups.  `trainbin2ASCII.x`
(ænet-PyTorch): the items of the binary file, but the footer with the setups first.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...model.trainset import TrainingSet
from ...tools.atomic_write import atomic_write
from .dialects import AENET, AENET_PYTORCH, DIALECTS
from .records import encode_text, printable
from .setup_block import (
    SPECIES_LENGTH,
    check_species_names,
    read_scaling,
    read_species,
    write_scaling,
    write_setup_block,
)
from .text_records import TextRecordReader, TextRecordWriter, atom_lines, list_directed, scientific
from .trainset_binary import check_values, read_setups

MAX_NAME = 1024
"""ænet's longest structure name."""


def read_trainset_ascii(path: str | PathLike[str]) -> TrainingSet:
    """Read a text training set of either dialect.

    Files of `trnset2ASCII.x` have no setups, so one cannot train on them.

    Raises
    ------
    FormatError
        if the file is malformed, truncated, contradicts itself, or has a value that is not
        finite.
    InputError
        if the file cannot be opened.
    """
    dialect = _dialect(path)
    with TextRecordReader(path) as reader:
        header, n_structures, n_atoms = _read_header(reader, dialect)
        lengths = {index: setup.n_feature for index, setup in enumerate(header["setups"] or ())}
        at = reader.position
        content = _read_structures(reader, n_structures, header["species"], lengths, dialect)
        if len(content["atom_species"]) != n_atoms:
            raise reader.error(
                "number of atoms in the head contradicts the structures",
                at,
                value=n_atoms,
                expected=str(len(content["atom_species"])),
            )
        reader.end()
    training_set = TrainingSet(**header, **content)
    check_values(training_set, fspath(path))
    return training_set


def write_trainset_ascii(
    path: str | PathLike[str],
    training_set: TrainingSet,
    dialect: str = AENET_PYTORCH,
    *,
    source: str | PathLike[str] = "",
    overwrite: bool = True,
) -> None:
    """Write a training set as text, byte for byte as the program of the dialect does.

    Parameters
    ----------
    dialect
        One of `DIALECTS`.  `trnset2ascii` has no place for the setups.
    source
        Name of the binary file, which `trnset2ascii` mentions in its first line.

    Raises
    ------
    InputError
        for an unknown dialect, a name with a line break, or a file that cannot be written.
    """
    if dialect not in DIALECTS:
        raise InputError("unknown dialect of text training sets", value=dialect, expected=" or ".join(DIALECTS))
    t = training_set
    check_species_names(t.species)
    for name in t.names:
        if not name.isprintable() or not 0 < len(encode_text(name)) <= MAX_NAME:
            raise InputError(
                "a structure name has no text form",
                file=path,
                value=printable(name),
                expected=f"1 to {MAX_NAME} printable characters",
            )
    with atomic_write(path, "wb", overwrite=overwrite) as stream:
        writer = _SetWriter(stream)
        if dialect == AENET:
            writer.line(fspath(source) or Path(path).name)
            write_scaling(writer, t.normalised, t.scale, t.shift)
            writer.integers(len(t.species))
            writer.texts(t.species, SPECIES_LENGTH)
            for line in scientific(t.atomic_energies.tolist(), per_line=4):
                writer.line(line)
            writer.integers(int(t.first_atom[-1]))
            writer.integers(t.n_structures)
            writer.reals(t.energy_min, t.energy_max, t.energy_mean)
        else:
            writer.integers(len(t.species))
            writer.integers(t.n_structures)
            writer.line("".join(f"  {name:{SPECIES_LENGTH}}" for name in t.species))
            writer.reals(t.atomic_energies)
            write_scaling(writer, t.normalised, t.scale, t.shift)
            writer.integers(int(t.first_atom[-1]))
            writer.reals(t.energy_mean, t.energy_min, t.energy_max)
            writer.logical(t.setups is not None)
            for index, setup in enumerate(t.setups or (), start=1):
                writer.integers(index)
                write_setup_block(writer, setup)
        _write_structures(writer, t, dialect)


class _SetWriter(TextRecordWriter):
    """Several names stand one below the other in these files."""

    def texts(self, values: Iterable[str], length: int) -> None:
        for value in values:
            self.line(f"{value:{length}}")


def _write_structures(writer: TextRecordWriter, t: TrainingSet, dialect: str) -> None:
    species = np.ascontiguousarray(t.atom_species, dtype=np.int32)
    positions, forces, descriptors = map(np.ascontiguousarray, (t.positions, t.forces, t.descriptors))
    first_atom, first_value = t.first_atom.tolist(), np.ascontiguousarray(t.first_value, dtype=np.int64)
    for s, name in enumerate(t.names):
        a, b = first_atom[s : s + 2]
        head = name if dialect == AENET else f"{len(encode_text(name)):12d}\n {name}"
        energy = list_directed([float(t.energy[s])])
        writer.stream.write(encode_text(f"{head}\n{b - a:12d}{int(t.n_species_in[s]):12d}\n{energy}\n"))
        writer.stream.write(
            atom_lines(
                species[a:b],
                positions[a:b],
                forces[a:b],
                first_value[a : b + 1],
                descriptors[first_value[a] : first_value[b]],
                is_scientific=dialect == AENET,
            )
        )


def _dialect(path: str | PathLike[str]) -> str:
    """Tell the dialects apart: the second line is a logical, or a number of structures."""
    with TextRecordReader(path) as reader:
        reader.line("the first line")
        word = reader.line("the second line").strip()
    return AENET_PYTORCH if word.lstrip("+-").isdigit() else AENET


def _read_header(reader: TextRecordReader, dialect: str) -> tuple[dict[str, Any], int, int]:
    """Read what stands before the structures; return it with their number and that of all atoms."""
    aenet, scaling, n_structures, setups = dialect == AENET, {}, 0, None
    if aenet:
        reader.line("the name of the binary file")
        scaling = read_scaling(reader)
    n_species = reader.integer("number of species", 1)
    if not aenet:
        n_structures = reader.integer("number of structures", 1)
    species = read_species(reader, "species", n_species)
    atomic_energies = reader.reals("atomic energies", n_species)
    if not aenet:
        scaling = read_scaling(reader)
    n_atoms = reader.integer("number of atoms", 1)
    if aenet:
        n_structures = reader.integer("number of structures", 1)
    order = ("energy_min", "energy_max", "energy_mean") if aenet else ("energy_mean", "energy_min", "energy_max")
    energies = dict(zip(order, map(float, reader.reals("energy range", 3, finite=False))))
    if not aenet and reader.logical("has setups"):
        setups = read_setups(reader, species, {})
    content = {"species": species, "atomic_energies": atomic_energies, "setups": setups, **scaling, **energies}
    return content, n_structures, n_atoms


def _read_structures(
    reader: TextRecordReader, n_structures: int, species: tuple[str, ...], lengths: dict[int, int], dialect: str
) -> dict[str, Any]:
    """Read all structures; `lengths` holds the descriptor length of species where it is known."""
    names: list[str] = []
    n_atoms, n_species_in, energy = [], [], []
    atom_species, positions, forces, values = [], [], [], []
    for number in range(1, n_structures + 1):
        if dialect == AENET:
            name = reader.line(f"the name of structure {number}").rstrip(" ")
        else:
            length = reader.integer(f"length of the name of structure {number}", 0)
            name = reader.text(f"name of structure {number}", length).ljust(length)
        shown = printable(name)
        at = reader.position
        n, n_in = reader.integers(f"number of atoms and species in {shown}", 2).tolist()
        if n < 1:
            raise reader.error(f"number of atoms in {shown}", at, value=n, expected="at least 1")
        names.append(name)
        n_atoms.append(n)
        n_species_in.append(n_in)
        energy.append(reader.real(f"energy of {shown}"))
        for atom in range(1, n + 1):
            where = f"atom {atom} of {shown}"
            t = reader.integer(f"species of {where}", 1, len(species)) - 1
            atom_species.append(t)
            positions.append(reader.reals(f"position of {where}", 3))
            forces.append(reader.reals(f"force on {where}", 3))
            at = reader.position
            n_feature = reader.integer(f"descriptor length of {where}", 1)
            if n_feature != lengths.setdefault(t, n_feature):
                raise reader.error(f"descriptor length of {where}", at, value=n_feature, expected=str(lengths[t]))
            values.append(reader.reals(f"descriptor of {where}", n_feature))
    counts = np.array([len(v) for v in values], dtype=np.int64)
    return {
        "names": names,
        "n_species_in": np.array(n_species_in, dtype=np.int32),
        "energy": np.array(energy),
        "first_atom": np.concatenate([[0], np.cumsum(n_atoms)]).astype(np.int64),
        "atom_species": np.array(atom_species, dtype=np.int32),
        "positions": np.array(positions),
        "forces": np.array(forces),
        "first_value": np.concatenate([[0], np.cumsum(counts)]),
        "descriptors": np.concatenate(values),
    }
