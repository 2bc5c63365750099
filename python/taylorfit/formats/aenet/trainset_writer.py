"""Training-set files (`.train`) written as a stream, and training sets that grow in memory.

Structures with the same sequence of atoms (above all the Taylor copies of one parent) are
taken as one array; see `trainset_layout`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import groupby
from os import PathLike, fspath
from typing import IO, Any

import numpy as np

from ...errors import InputError
from ...model.descriptor import DescriptorSetup, RunningStatistics
from ...model.trainset import TrainingSet
from ...tools.atomic_write import Together, atomic_write
from .records import RecordWriter
from .setup_block import write_scaling, write_setup_block, write_species
from .trainset_layout import StructureLayout
from .trainset_packer import SinkPart, TrainsetPacker

MAX_COUNT = 2**31 - 1
"""Counts are int32 in the file."""

COUNT_OFFSET = 16
"""Byte offset of the number of structures in a file."""


def write_trainset(path: str | PathLike[str], training_set: TrainingSet, *, overwrite: bool = True) -> None:
    """Write a training set with its footer as it stands; `read_trainset` gives back the same.

    Raises
    ------
    InputError
        as `TrainsetWriter`.
    """
    t = training_set
    present, first = np.unique(t.atom_species, return_index=True)
    n_features = np.zeros(len(t.species), dtype=np.int64)
    n_features[present] = t.first_value[first + 1] - t.first_value[first]
    writer = TrainsetWriter(
        path,
        t.species,
        t.atomic_energies,
        t.setups,
        n_features=n_features,
        normalised=t.normalised,
        scale=t.scale,
        shift=t.shift,
        overwrite=overwrite,
    )
    with writer:
        writer.set_statistics(t.setups)
        writer.set_energy_range(t.energy_mean, t.energy_min, t.energy_max)

        def atoms_of(s: int) -> tuple[int, bytes]:
            return int(t.n_species_in[s]), t.atom_species[t.first_atom[s] : t.first_atom[s + 1]].tobytes()

        for (n_species_in, raw), group in groupby(range(t.n_structures), key=atoms_of):
            run = list(group)
            atoms = slice(t.first_atom[run[0]], t.first_atom[run[-1] + 1])
            values = slice(t.first_value[atoms.start], t.first_value[atoms.stop])
            writer.add_many(
                [t.names[s] for s in run],
                n_species_in,
                t.energy[run[0] : run[-1] + 1],
                np.frombuffer(raw, dtype=t.atom_species.dtype),
                t.positions[atoms].reshape(len(run), -1, 3),
                t.forces[atoms].reshape(len(run), -1, 3),
                t.descriptors[values].reshape(len(run), -1),
            )


class TrainsetSink(ABC):
    """Takes structures with their descriptors, and collects energy range and descriptor statistics of the footer.

    Parameters
    ----------
    species, atomic_energies
        Species in TYPES order and their energies, eV.
    setups
        One descriptor setup for each species in the same order, or None for a file without.
    pack
        Makes what is kept of structures; see `TrainsetPacker`.
    n_features
        Descriptor length of each species; only needed without `setups`.
    with_statistics
        Collect descriptor statistics?
    path
        Of the file, for errors.

    Raises
    ------
    InputError
        if setups and species disagree.
    """

    def __init__(
        self,
        species: Sequence[str],
        atomic_energies: Sequence[float] | np.ndarray,
        setups: Sequence[DescriptorSetup] | None,
        pack: Callable[..., Any],
        *,
        n_features: Sequence[int] | np.ndarray | None = None,
        with_statistics: bool = True,
        path: str | None = None,
    ) -> None:
        self.path = path
        self.species = tuple(species)
        self.atomic_energies = np.array(atomic_energies, dtype=float)
        self.setups = None if setups is None else tuple(setups)
        if self.setups is not None:
            if tuple(setup.species for setup in self.setups) != self.species:
                raise InputError(
                    "setups do not belong to the species",
                    file=path,
                    value=" ".join(setup.species for setup in self.setups),
                    expected=" ".join(self.species),
                )
            n_features = [setup.n_feature for setup in self.setups]
        if n_features is None or not len(n_features) == len(self.species) == len(atomic_energies):
            raise InputError("species, atomic energies and descriptors differ in number", file=path)
        self.n_structures = 0
        """Structures taken so far."""
        self.n_atoms = 0
        with_statistics = with_statistics and self.setups is not None
        self.packer = TrainsetPacker(path, np.array(n_features, dtype=np.int64), with_statistics, pack)
        self._statistics = [RunningStatistics(int(n)) for n in n_features] if with_statistics else None
        self._energy_mean, self._energy_min, self._energy_max = 0.0, math.inf, -math.inf

    def add(
        self,
        name: str,
        n_species_in: int,
        energy: float,
        atom_species: np.ndarray,
        positions: np.ndarray,
        forces: np.ndarray,
        descriptors: np.ndarray,
        in_range: bool = True,
    ) -> None:
        """Take one structure; shapes as in `add_many` without the first axis."""
        self.add_many(
            [name],
            n_species_in,
            np.array([energy]),
            atom_species,
            np.asarray(positions)[np.newaxis],
            np.asarray(forces)[np.newaxis],
            np.asarray(descriptors).reshape(1, -1),
            in_range,
        )

    def add_many(
        self,
        names: Sequence[str],
        n_species_in: int,
        energies: np.ndarray,
        atom_species: np.ndarray,
        positions: np.ndarray,
        forces: np.ndarray,
        descriptors: np.ndarray,
        in_range: bool = True,
    ) -> None:
        """Take n structures with the same sequence of atoms.

        Parameters
        ----------
        names
            n names.
        n_species_in
            Number of different species in each of them.
        energies
            (n,) total energy relative to the isolated atoms, eV.
        atom_species
            (n_atom,) index into `species`, from 0.
        positions, forces
            (n, n_atom, 3) Å and eV/Å.
        descriptors
            (n, n_value) the descriptors of all atoms one after the other.
        in_range
            Do they count in the range of the descriptors, outside which potentials extrapolate?

        Raises
        ------
        InputError
            if shapes disagree, a species is unknown, or a number is not finite.
        """
        for part in self.packer.parts(
            names, n_species_in, energies, atom_species, positions, forces, descriptors, in_range
        ):
            self.take(part)

    def take(self, part: SinkPart) -> None:
        """Take what `packer` has made ready, in the order in which structures are to stand."""
        self._store(part.packed)
        self.n_structures += part.n
        self.n_atoms += part.n * part.n_atom
        mean, least, largest = part.energy
        self._energy_mean += (mean - self._energy_mean) * (part.n / self.n_structures)
        self._energy_min, self._energy_max = min(self._energy_min, least), max(self._energy_max, largest)
        if self._statistics is not None:
            for species, batch in part.statistics:
                self._statistics[species].merge(batch, part.in_range)

    @abstractmethod
    def _store(self, packed: Any) -> None:
        """Keep what was packed."""

    def _with_statistics(self) -> tuple[DescriptorSetup, ...] | None:
        """The setups, with the statistics so far if they are collected here."""
        if self.setups is None or self._statistics is None:
            return self.setups
        return tuple(
            replace(setup, statistics=statistics.result()) for setup, statistics in zip(self.setups, self._statistics)
        )

    def _check_counts(self) -> None:
        if not 0 < self.n_structures <= MAX_COUNT or self.n_atoms > MAX_COUNT:
            raise InputError(
                f"training set is not written: it has {self.n_structures} structures with {self.n_atoms} atoms",
                file=self.path,
                expected=f"1 to {MAX_COUNT}",
            )


class TrainsetBuilder(TrainsetSink):
    """Keeps structures in memory, and makes them a training set; parameters as for `TrainsetSink`."""

    def __init__(
        self,
        species: Sequence[str],
        atomic_energies: Sequence[float] | np.ndarray,
        setups: Sequence[DescriptorSetup] | None,
    ) -> None:
        super().__init__(species, atomic_energies, setups, _copied)
        self._names: list[str] = []
        self._parts: list[tuple[np.ndarray, ...]] = []

    def _store(self, packed: Any) -> None:
        names, arrays = packed
        self._names += [name.decode("utf-8", "surrogateescape") for name in names]
        self._parts.append(arrays)

    def result(self) -> TrainingSet:
        """Return what has been added.

        Raises
        ------
        InputError
            if that is nothing, or too much for ænet's format.
        """
        self._check_counts()
        n_species_in, energy, n_atoms, species, n_features, positions, forces, values = map(
            np.concatenate, zip(*self._parts)
        )
        return TrainingSet(
            species=self.species,
            atomic_energies=self.atomic_energies,
            normalised=False,
            scale=1.0,
            shift=0.0,
            names=list(self._names),
            n_species_in=n_species_in,
            energy=energy,
            first_atom=np.concatenate([[0], np.cumsum(n_atoms)]),
            atom_species=species,
            positions=positions,
            forces=forces,
            first_value=np.concatenate([[0], np.cumsum(n_features)]),
            descriptors=values,
            energy_mean=self._energy_mean,
            energy_min=self._energy_min,
            energy_max=self._energy_max,
            setups=self._with_statistics(),
        )


def _copied(
    layout: StructureLayout,
    names: list[bytes],
    n_species_in: int,
    energy: np.ndarray,
    positions: np.ndarray,
    forces: np.ndarray,
    values: np.ndarray,
) -> tuple[list[bytes], tuple[np.ndarray, ...]]:
    """What a `TrainsetBuilder` keeps of structures; parameters as for `StructureLayout.pack`."""
    n = len(names)
    return names, (
        np.full(n, n_species_in, dtype=np.int32),
        energy.copy(),
        np.full(n, layout.n_atom, dtype=np.int64),
        np.tile(layout.atom_species, n),
        np.tile(layout.n_features, n),
        positions.reshape(-1, 3).copy(),
        forces.reshape(-1, 3).copy(),
        values.ravel().copy(),
    )


class TrainsetWriter(TrainsetSink):
    """Streams structures into a training-set file; a context manager.

    The file appears under its name when the ``with`` block ends without exception;
    otherwise nothing is left behind.  Energy range and descriptor statistics of the footer
    are collected on the way, unless they are handed over with `set_energy_range` and
    `set_statistics`.

    Parameters
    ----------
    path
        File to write.
    species, atomic_energies
        Species in TYPES order and their energies, eV.
    setups
        One descriptor setup for each species in the same order, or None for a file without.
    n_features
        Descriptor length of each species; only needed without `setups`.
    normalised, scale, shift
        Header values of a scaled file (`TrainingSet`).  The setups of a normalised file are
        written with the statistics they have, for its values are already standardised.
    overwrite
        Replace an existing file?
    together
        The file gets its name with these.

    Raises
    ------
    InputError
        if the file cannot be written, or setups and species disagree.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        species: Sequence[str],
        atomic_energies: Sequence[float] | np.ndarray,
        setups: Sequence[DescriptorSetup] | None,
        *,
        n_features: Sequence[int] | np.ndarray | None = None,
        normalised: bool = False,
        scale: float = 1.0,
        shift: float = 0.0,
        overwrite: bool = True,
        together: Together | None = None,
    ) -> None:
        super().__init__(
            species,
            atomic_energies,
            setups,
            StructureLayout.pack,
            n_features=n_features,
            with_statistics=not normalised,
            path=fspath(path),
        )
        self._header = (normalised, scale, shift)
        self._energy_range: tuple[float, float, float] | None = None
        self._block = self._written(atomic_write(path, "wb", overwrite=overwrite, together=together))
        self._stream: IO[Any]

    def __enter__(self) -> TrainsetWriter:
        self._block.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._block.__exit__(*error)

    @contextmanager
    def _written(self, file: AbstractContextManager[IO[Any]]) -> Iterator[None]:
        with file as self._stream:
            self._write_header()
            yield
            self._write_footer()

    def set_energy_range(self, mean: float, minimum: float, maximum: float) -> None:
        """Hand over the footer's energies per atom instead of collecting them, eV/atom."""
        self._energy_range = (mean, minimum, maximum)

    def set_statistics(self, setups: Sequence[DescriptorSetup] | None) -> None:
        """Hand over the footer's setups with statistics instead of collecting these."""
        self.setups = None if setups is None else tuple(setups)
        self._statistics, self.packer = None, self.packer.without_statistics()

    def _store(self, packed: Any) -> None:
        self._stream.write(packed)

    def _write_header(self) -> None:
        if not self._stream.seekable():
            raise InputError("a training set cannot be written to a pipe", file=self.path)
        writer = RecordWriter(self._stream)
        writer.integers(len(self.species))
        writer.integers(0)  # patched at the end
        write_species(writer, self.species)
        writer.reals(self.atomic_energies)
        write_scaling(writer, *self._header)

    def _write_footer(self) -> None:
        self._check_counts()
        writer = RecordWriter(self._stream)
        writer.integers(self.n_atoms)
        writer.reals(self._energy_range or (self._energy_mean, self._energy_min, self._energy_max))
        writer.integers(int(self.setups is not None))
        for index, setup in enumerate(self._with_statistics() or ()):
            writer.integers(index + 1)
            write_setup_block(writer, setup)
        self._stream.seek(COUNT_OFFSET)
        self._stream.write(self.n_structures.to_bytes(4, "little"))
