"""Writing binary training-set files (`.train`) as a stream.

Structures with the same sequence of atoms (above all the Taylor copies of one parent) are
written as one array; see `trainset_layout`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from os import PathLike, fspath
from types import TracebackType
from typing import IO, Any

import numpy as np

from ...errors import InputError
from ...model.descriptor import DescriptorSetup
from ...model.trainset import TrainingSet
from ...tools.atomic_write import Together, atomic_write
from .records import RecordWriter
from .setup_block import write_scaling, write_setup_block, write_species
from .trainset_layout import StructureLayout
from .trainset_sink import TrainsetSink

COUNT_OFFSET = 16
"""Byte offset of the number of structures."""


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
            species, atomic_energies, setups, n_features=n_features, with_statistics=not normalised, path=fspath(path)
        )
        self._header = (normalised, scale, shift)
        self._energy_range: tuple[float, float, float] | None = None
        self._context = atomic_write(path, "wb", overwrite=overwrite, together=together)
        self._stream: IO[Any]

    def __enter__(self) -> TrainsetWriter:
        self._stream = self._context.__enter__()
        try:
            self._write_header()
        except BaseException:
            self._context.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is None:
            try:
                self._write_footer()
            except BaseException:
                self._context.__exit__(*sys.exc_info())
                raise
        return self._context.__exit__(kind, error, traceback)

    def set_energy_range(self, mean: float, minimum: float, maximum: float) -> None:
        """Hand over the footer's energies per atom instead of collecting them, eV/atom."""
        self._energy_range = (mean, minimum, maximum)

    def set_statistics(self, setups: Sequence[DescriptorSetup] | None) -> None:
        """Hand over the footer's setups with statistics instead of collecting these."""
        self.setups = None if setups is None else tuple(setups)
        self._statistics = None

    def _store(
        self,
        layout: StructureLayout,
        names: list[bytes],
        n_species_in: int,
        energy: np.ndarray,
        positions: np.ndarray,
        forces: np.ndarray,
        values: np.ndarray,
    ) -> None:
        self._stream.write(layout.pack(names, n_species_in, energy, positions, forces, values))

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
