"""The packed data set: what the loss is evaluated on.

A pack is a sequence of fixed blocks of whole structures.  Within a block the atoms of each
species form one panel (features × atoms, the atoms contiguous, padded to a multiple of a line of the cache),
and the atoms of a structure are one contiguous run in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..engine import Zeros, aligned_zeros
from ..errors import InputError
from ..model.provenance import parse_copy_name
from ..model.scaling import energy_scaling, force_scaling, standardisation
from ..model.trainset import TrainingSet

BLOCK_ATOMS = 512
"""Atoms per block: its panels stay in a core's cache between the forward and the backward pass."""

FORCE_BLOCK_ATOMS = 128
"""Atoms per block where forces are trained on: tangents need three times the room of values in the cache."""

STRAIN_DIMENSION = 8.0
"""⟨ε²⟩ of a component is ε_max²/8 for strains uniform in the ball of the six independent components."""

KEPT_ENERGY = 1.001
"""Structures with a larger scaled energy per atom are dropped (ænet, with MAXENERGY)."""

PRECISIONS: dict[str, type] = {"double": np.float64, "single": np.float32}
"""PRECISION → type of the packed descriptors."""

_LINE = 64
"""Bytes of a line of the cache."""


@dataclass(frozen=True, eq=False)
class PackedDataset:
    """Structure-energy pairs laid out for the engine."""

    features: np.ndarray
    """(n_value,) float64 or float32: all panels one after the other, standardised"""
    panel_offset: np.ndarray
    """(n_block, n_species) int64: a panel starts at this value"""
    panel_width: np.ndarray
    """(n_block, n_species) int32: padded number of atoms"""
    block_first: np.ndarray
    """(n_block + 1,) int32: structures of block b are block_first[b]:block_first[b+1]"""
    atom_offset: np.ndarray
    """(n_structure, n_species) int32: where a structure's atoms start in its panel"""
    atom_count: np.ndarray
    """(n_structure, n_species) int32"""
    energy: np.ndarray
    """(n_structure,) scaled reference energies: scale·(E − n_atoms·shift)"""
    is_copy: np.ndarray
    """(n_structure,) bool: a Taylor copy, not a reference structure"""
    names: list[str]
    group: np.ndarray
    """(n_structure,) int32, ascending from 1: the same for all displaced, and for all strained, copies of a parent;
    0 for a reference structure"""
    displacement_square: np.ndarray
    """(n_structure,) mean square displacement component of a copy, ⟨δ_x²⟩, Å²; 0 for a reference structure, and where
    groups are torn"""
    strain_square: np.ndarray | None = None
    """(n_structure,) mean square component ⟨ε²⟩ of the strain of a strained copy; 0 for all others;
    None: no strained ones"""
    structure_weight: np.ndarray | None = None
    """(n_structure,) weight in the loss where the data has weights; None: 1 for all"""
    first_leaf: int = 0
    """Number of the first block, where other processes have those before"""

    @property
    def n_structures(self) -> int:
        """Number of structures, copies included."""
        return len(self.energy)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) number of atoms of each structure."""
        return self.atom_count.sum(axis=1)

    def blocks(self, chosen: range) -> PackedDataset:
        """Return some consecutive blocks, as views."""
        first = self.block_first[chosen.start : chosen.stop + 1]
        here = slice(first[0], first[-1])
        values = np.append(self.panel_offset[:, 0], len(self.features))[[chosen.start, chosen.stop]]
        arrays: dict[str, Any] = {
            name: None if (array := getattr(self, name)) is None else array[here]
            for name in (
                "atom_offset",
                "atom_count",
                "energy",
                "is_copy",
                "names",
                "group",
                "displacement_square",
                "strain_square",
                "structure_weight",
            )
        }
        return replace(
            self,
            features=self.features[values[0] : values[1]],
            panel_offset=self.panel_offset[chosen.start : chosen.stop] - values[0],
            panel_width=self.panel_width[chosen.start : chosen.stop],
            block_first=first - first[0],
            first_leaf=self.first_leaf + chosen.start,
            **arrays,
        )

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The arrays `engine.energy_loss` starts with."""
        return (self.features, self.panel_offset, self.panel_width, self.block_first, self.atom_offset, self.atom_count)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Standardisation of the descriptors of each species and scaling of the energies."""

    feature_shift: tuple[np.ndarray, ...]
    feature_factor: tuple[np.ndarray, ...]
    energy_scale: float
    energy_shift: float
    """eV/atom"""

    @classmethod
    def of(
        cls,
        training_set: TrainingSet,
        max_energy: float | None = None,
        file: str | None = None,
        *,
        energy_weight: float = 1.0,
        ignored: Collection[int] = (),
    ) -> Scaling:
        """The scaling ænet uses: statistics and energy range of the training-set file, named `file` in errors.

        With an `energy_weight` of 0 the energies may all be the same; then the forces give the scale.  Energies of
        structures that are `ignored` do not count.

        Raises
        ------
        InputError
            if the file has no setups, or its energies do not differ.
        """
        if training_set.setups is None:
            raise InputError(
                "the training set has no descriptor setups, so it cannot be standardised",
                file=file,
                expected="a file written by generate",
            )
        if training_set.normalised:
            n = [setup.n_feature for setup in training_set.setups]
            return cls(tuple(map(np.zeros, n)), tuple(map(np.ones, n)), training_set.scale, training_set.shift)
        lowest, highest = training_set.energy_min, training_set.energy_max
        if ignored and len(ignored) < training_set.n_structures:
            counted = np.delete(training_set.energy / training_set.n_atoms, sorted(ignored))
            lowest, highest = float(counted.min()), float(counted.max())
        pairs = [standardisation(setup.statistics) for setup in training_set.setups if setup.statistics is not None]
        if energy_weight == 0.0 and lowest == highest:
            scale, shift = force_scaling(training_set.forces, lowest)
        else:
            scale, shift = energy_scaling(lowest, highest, max_energy, file)
        return cls(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), scale, shift)

    def energies(self, training_set: TrainingSet) -> np.ndarray:
        """(n_structure,) scaled energies of the structures of a training set."""
        if training_set.normalised:
            return training_set.energy.copy()
        return self.energy_scale * (training_set.energy - training_set.n_atoms * self.energy_shift)


def pack(
    sources: Sequence[TrainingSet],
    picks: Sequence[tuple[int, int]],
    scaling: Scaling,
    block_atoms: int = BLOCK_ATOMS,
    whole_groups: bool = False,
    dtype: type = np.float64,
) -> PackedDataset:
    """Lay out structures for the engine, and fill in their descriptors; arguments as of `PackLayout.of`."""
    return PackLayout.of(sources, picks, scaling, block_atoms, whole_groups, dtype=dtype).fill()


@dataclass(frozen=True, eq=False)
class PackLayout:
    """A pack before its descriptors are filled in."""

    sources: Sequence[TrainingSet]
    picks: Sequence[tuple[int, int]]
    scaling: Scaling
    empty: PackedDataset
    """Without features."""

    @classmethod
    def of(
        cls,
        sources: Sequence[TrainingSet],
        picks: Sequence[tuple[int, int]],
        scaling: Scaling,
        block_atoms: int = BLOCK_ATOMS,
        whole_groups: bool = False,
        first_leaf: int = 0,
        dtype: type = np.float64,
    ) -> PackLayout:
        """Lay out structures.

        Parameters
        ----------
        sources
            training sets with the same species and descriptors
        picks
            (training set, structure) in the order wanted; copies follow their parent
        scaling
            applied to descriptors and energies here, once
        block_atoms
            a block is closed when it holds at least so many atoms
        whole_groups
            keep a parent and its copies in one block, however large
        first_leaf
            blocks that other processes have before these
        dtype
            of the descriptors, float64 or float32
        """
        n_species = len(sources[0].species)
        count = np.zeros((len(picks), n_species), dtype=np.int32)
        for p, (k, s) in enumerate(picks):
            source = sources[k]
            atoms = source.atom_species[source.first_atom[s] : source.first_atom[s + 1]]
            count[p] = np.bincount(atoms, minlength=n_species)

        names = [sources[k].names[s] for k, s in picks]
        copies = [parse_copy_name(name) for name in names]
        is_copy = np.array([copy is not None for copy in copies], dtype=bool)
        strain = np.array([copy.delta if copy is not None and copy.is_strained else 0.0 for copy in copies])
        first = block_starts(count.sum(axis=1), is_copy, block_atoms, whole_groups)
        n_blocks = len(first) - 1
        offset = np.zeros((len(picks), n_species), dtype=np.int32)
        width = np.zeros((n_blocks, n_species), dtype=np.int32)
        for b in range(n_blocks):
            inside = slice(first[b], first[b + 1])
            ends = np.cumsum(count[inside], axis=0)
            offset[inside] = ends - count[inside]
            width[b] = _panel_widths(ends[-1], dtype)
        sizes = _panel_sizes(width, scaling)
        scaled = [scaling.energies(source) for source in sources]
        empty = PackedDataset(
            features=np.zeros(0, dtype=dtype),
            panel_offset=(np.cumsum(sizes) - sizes.ravel()).reshape(n_blocks, n_species),
            panel_width=width,
            block_first=first,
            atom_offset=offset,
            atom_count=count,
            energy=np.array([scaled[k][s] for k, s in picks], dtype=np.float64),
            is_copy=is_copy,
            names=names,
            group=_groups(is_copy, strain > 0),
            displacement_square=_displacement_squares(sources, picks, is_copy) * (strain == 0)
            if whole_groups
            else np.zeros(len(picks)),
            strain_square=strain**2 / STRAIN_DIMENSION if strain.any() else None,
            first_leaf=first_leaf,
        )
        return cls(sources, picks, scaling, empty)

    @property
    def nbytes(self) -> int:
        """Bytes of the array that `fill` takes from `zeros`."""
        return self.empty.features.itemsize * int(_panel_sizes(self.empty.panel_width, self.scaling).sum())

    def fill(self, zeros: Zeros = aligned_zeros) -> PackedDataset:
        """Return the pack with its descriptors, in an array from `zeros`."""
        first, width, scaling = self.empty.block_first, self.empty.panel_width, self.scaling
        sizes = _panel_sizes(width, scaling)
        features = zeros(int(sizes.sum()), self.empty.features.dtype.type)
        for b, t in np.argwhere(width > 0):
            start, n_feature = self.empty.panel_offset[b, t], len(scaling.feature_shift[t])
            panel = features[start : start + sizes[b, t]].reshape(n_feature, width[b, t])
            column = 0
            # Runs of structures from one file are gathered in one go
            for k, run in _runs(self.picks[first[b] : first[b + 1]]):
                rows = _descriptors_of_species(self.sources[k], run, t, n_feature)
                panel[:, column : column + len(rows)] = (
                    (rows - scaling.feature_shift[t]) * scaling.feature_factor[t]
                ).T
                column += len(rows)
        return replace(self.empty, features=features)


def block_starts(
    n_atoms: np.ndarray, is_copy: Sequence[bool] | np.ndarray, block_atoms: int, whole_groups: bool
) -> np.ndarray:
    """(n_block + 1,) int32 where the blocks of structures of so many atoms (n_structure,) begin; see `pack`."""
    starts, atoms_here, last = [0], 0, len(n_atoms) - 1
    for p, n in enumerate(n_atoms.tolist()):
        atoms_here += n
        torn = whole_groups and p < last and is_copy[p + 1]
        if (atoms_here >= block_atoms and not torn) or p == last:
            starts.append(p + 1)
            atoms_here = 0
    return np.array(starts, dtype=np.int32)


def _panel_sizes(width: np.ndarray, scaling: Scaling) -> np.ndarray:
    """(n_block, n_species) int64 values of each panel."""
    return width.astype(np.int64) * np.array([len(shift) for shift in scaling.feature_shift])


def _groups(is_copy: np.ndarray, is_strained: np.ndarray) -> np.ndarray:
    """(n_structure,) number of the group of each copy: a new one after a parent, and where strained copies begin."""
    begins = is_copy.copy()
    begins[1:] &= ~is_copy[:-1] | (is_strained[1:] != is_strained[:-1])
    return np.where(is_copy, np.cumsum(begins), 0).astype(np.int32)


def _panel_widths(n_atoms: np.ndarray, dtype: type) -> np.ndarray:
    """Pad numbers of atoms to whole lines of the cache, and wide panels to odd numbers of them.

    The columns of a panel whose width is a multiple of a large power of two would all fall into
    the same few cache sets.
    """
    in_line = _LINE // np.dtype(dtype).itemsize
    lines = -(-n_atoms // in_line)
    return (lines + ((lines % 2 == 0) & (lines >= 8))) * in_line


def _displacement_squares(
    sources: Sequence[TrainingSet], picks: Sequence[tuple[int, int]], is_copy: np.ndarray
) -> np.ndarray:
    """(n_structure,) ⟨δ_x²⟩ of each copy, Å², from its positions and those of the parent before it.

    A common shift is no displacement: ænet stores isolated structures relative to their bounding box.
    """
    squares = np.zeros(len(picks))
    parent = np.zeros((0, 3))
    for p, (k, s) in enumerate(picks):
        if not is_copy[p : p + 2].any():
            continue
        positions = sources[k].positions_of(s)
        if not is_copy[p]:
            parent = positions
            continue
        moved = positions - parent
        squares[p] = ((moved - moved.mean(axis=0)) ** 2).mean()
    return squares


def _runs(picks: Sequence[tuple[int, int]]) -> list[tuple[int, np.ndarray]]:
    """Group consecutive picks from one source: (source, structure indices)."""
    runs: list[tuple[int, list[int]]] = []
    for k, s in picks:
        if not runs or runs[-1][0] != k:
            runs.append((k, []))
        runs[-1][1].append(s)
    return [(k, np.array(run)) for k, run in runs]


def _descriptors_of_species(source: TrainingSet, structures: np.ndarray, t: int, n_feature: int) -> np.ndarray:
    """(n, n_feature) raw descriptors of all atoms of species t in the structures, in order."""
    atoms = np.concatenate([np.arange(source.first_atom[s], source.first_atom[s + 1]) for s in structures])
    atoms = atoms[source.atom_species[atoms] == t]
    return source.descriptors_of(atoms) if len(atoms) else np.empty((0, n_feature))
