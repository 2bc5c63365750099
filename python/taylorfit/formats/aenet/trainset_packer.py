"""Structures made ready for training sets: checked, packed, and summed up; what takes time, and needs no order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError
from ...model.descriptor import BatchStatistics, statistics_of_columns
from .records import encode_text, printable
from .trainset_layout import StructureLayout, all_finite

_BLOCK = 1 << 20  # bytes; small enough to stay in the cache between packing and statistics
_MAX_LAYOUTS = 512


class SinkPart(NamedTuple):
    """Structures of one layout, made ready for a sink."""

    n: int
    n_atom: int
    """Of each of them."""
    energy: tuple[float, float, float]
    """Mean, smallest and largest energy per atom, eV."""
    in_range: bool
    statistics: list[tuple[int, BatchStatistics]]
    """For each species index; empty where none are collected."""
    packed: Any
    """What the sink keeps."""


class TrainsetPacker:
    """Makes structures ready for a sink; does not know it, so that threads and other processes can have it.

    Parameters
    ----------
    path
        Of the file, for errors.
    n_features
        (n_species,) descriptor length of each species.
    with_statistics
        Collect descriptor statistics?
    pack
        Called with a layout and the arguments of `StructureLayout.pack`, makes what the sink keeps.
    """

    def __init__(
        self, path: str | None, n_features: np.ndarray, with_statistics: bool, pack: Callable[..., Any]
    ) -> None:
        self._path, self._n_features, self._with_statistics, self._pack = path, n_features, with_statistics, pack
        self._layouts: dict[tuple[int, bytes], StructureLayout] = {}

    def without_statistics(self) -> TrainsetPacker:
        """The same, but for statistics."""
        return TrainsetPacker(self._path, self._n_features, False, self._pack)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layouts": {}}

    def parts(
        self,
        names: Sequence[str],
        n_species_in: int,
        energies: np.ndarray,
        atom_species: np.ndarray,
        positions: np.ndarray,
        forces: np.ndarray,
        descriptors: np.ndarray,
        in_range: bool = True,
    ) -> Iterator[SinkPart]:
        """Make n structures with the same sequence of atoms ready; parameters and errors of `TrainsetSink.add_many`."""
        atom_species = np.ascontiguousarray(atom_species, dtype=np.int32)
        arrays = tuple(np.asarray(a, dtype=float) for a in (energies, positions, forces, descriptors))
        self._check(names, atom_species, arrays)
        encoded = [encode_text(name) for name in names]
        start = 0
        for name_length, group in groupby(encoded, key=len):
            run = list(group)
            layout = self._layout(name_length, atom_species)
            step = -(-len(run) // max(1, round(len(run) * layout.size / _BLOCK)))
            for first in range(0, len(run), step):
                part = run[first : first + step]
                chosen = slice(start + first, start + first + len(part))
                energy, positions, forces, values = (a[chosen] for a in arrays)
                per_atom = energy / layout.n_atom
                # Of all atoms at once, then of each species: NumPy is slow with short rows
                columns = statistics_of_columns(values) if self._with_statistics else values
                yield SinkPart(
                    len(part),
                    layout.n_atom,
                    (float(per_atom.mean()), float(per_atom.min()), float(per_atom.max())),
                    in_range,
                    [
                        (species, BatchStatistics.of_columns(len(part), layout.descriptors_of(columns, species)))
                        for species in (layout.species_present if self._with_statistics else ())
                    ],
                    self._pack(layout, part, n_species_in, energy, positions, forces, values),
                )
            start += len(run)

    def _check(self, names: Sequence[str], atom_species: np.ndarray, arrays: tuple[np.ndarray, ...]) -> None:
        n, n_atom = len(names), len(atom_species)
        where = printable(names[0]) if n else "structure"
        if n_atom == 0 or atom_species.min() < 0 or atom_species.max() >= len(self._n_features):
            raise InputError(f"{where}: no atoms, or an unknown species", file=self._path)
        n_value = int(self._n_features[atom_species].sum())
        shapes = ((n,), (n, n_atom, 3), (n, n_atom, 3), (n, n_value))
        for what, array, shape in zip(("energies", "positions", "forces", "descriptors"), arrays, shapes):
            if array.shape != shape:
                raise InputError(f"{where}: {what} have shape {array.shape}", file=self._path, expected=str(shape))
            if not all_finite(array):
                bad = int(np.argwhere(~np.isfinite(array))[0][0])
                raise InputError(f"{printable(names[bad])}: {what} are not finite", file=self._path)

    def _layout(self, name_length: int, atom_species: np.ndarray) -> StructureLayout:
        key = (name_length, atom_species.tobytes())
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = StructureLayout(name_length, atom_species, self._n_features[atom_species])
        return layout
