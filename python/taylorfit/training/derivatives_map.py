"""Force maps from the descriptor derivatives of a file, e.g. ænet's `.train.forces`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import DescriptorTables, ForceMap, canonical_order
from ..engine.force_maps import WINDOW, group_lanes, group_words, offsets
from ..errors import InputError
from ..model.descriptor import AtomDerivatives, StructureDerivatives
from ..model.structure import Structure


def map_from_derivatives(
    derivatives: Iterable[StructureDerivatives], structures: Sequence[Structure], tables: DescriptorTables
) -> tuple[ForceMap, np.ndarray]:
    """Build the force map from descriptor derivatives, e.g. those of ænet's `.train.forces`.

    Returns
    -------
    map, known
        known (n_atom,): atoms of structures that the derivatives cover (FORCESPERCENT may leave some out).

    Raises
    ------
    InputError
        if they are of other atoms or descriptors than the structures.
    """
    by_name = {structure.name.rstrip(): p for p, structure in enumerate(structures)}
    n_species, n_feature = len(tables.species), tables.n_function
    parts: list[_Groups | None] = [None] * len(structures)
    width = int(n_feature.max())
    for found in derivatives:
        p = by_name.get(found.name.rstrip())
        if p is None or found.atoms is None:
            continue
        index = structures[p].species_index(tables.species)
        if len(found.atoms) != len(index) or any(
            atom.species != t or len(atom.own) != n_feature[t] for atom, t in zip(found.atoms, index)
        ):
            raise InputError(
                "descriptor derivatives of other atoms or descriptors than the training set's",
                value=found.name,
                expected="the .train.forces of the same generate run",
            )
        parts[p] = _Groups.of(found.atoms, index, n_species, width)
    species = [np.sort(s.species_index(tables.species), kind="stable") for s in structures]
    groups = [part or _Groups.none(len(index), n_species, width) for part, index in zip(parts, species)]
    known = [np.full(len(index), part is not None) for part, index in zip(parts, species)]
    all_species = np.concatenate([np.zeros(0, dtype=np.int32), *species])
    counts = np.concatenate([np.zeros((0, n_species), dtype=np.int64), *(part.counts for part in groups)])
    identity = np.zeros((2, width, n_species, n_species), dtype=np.int32, order="F")
    for t in range(n_species):
        identity[0, : n_feature[t], :, t] = np.arange(1, n_feature[t] + 1)[:, None]
    n_atoms = [s.n_atoms for s in structures]
    none = np.zeros(n_species, dtype=np.int32)
    result = ForceMap(
        group_count=np.asfortranarray(np.broadcast_to(n_feature, (n_species, n_species)).astype(np.int32)),
        group_feature=identity,
        **_no_pairs(sum(n_atoms), n_species),
        group_atom_first=offsets(counts.ravel()),
        group_value_first=offsets(group_words(counts, n_feature[all_species][:, None]).ravel()),
        group_atom=np.concatenate([none[:0], *(a for part in groups for a in part.atoms)]).astype(np.int32),
        group_value=np.concatenate([none[:0], *(v for part in groups for v in part.values)]),
        group_scale=np.concatenate([np.zeros((0, n_species, width), np.float32), *(part.scales for part in groups)]),
        first_atom=offsets(n_atoms),
        species=(all_species + 1).astype(np.int32),
        n_features=n_feature,
    )
    return result, np.concatenate([np.zeros(0, dtype=bool), *known])


@dataclass(frozen=True, eq=False)
class _Groups:
    """The groups of a structure's atoms, which are by species: one for each species of neighbours."""

    counts: np.ndarray
    """(n_atom, n_species) neighbours"""
    atoms: list[np.ndarray]
    """For each atom its neighbours, from 1, by species"""
    values: list[np.ndarray]
    """For each group its matrix"""
    scales: np.ndarray
    """(n_atom, n_species, n_feature_most) of the functions of each group"""

    @classmethod
    def none(cls, n_atoms: int, n_species: int, width: int) -> _Groups:
        scales = np.zeros((n_atoms, n_species, width), dtype=np.float32)
        return cls(np.zeros((n_atoms, n_species), dtype=np.int64), [], [], scales)

    @classmethod
    def of(cls, derivatives: Sequence[AtomDerivatives], index: np.ndarray, n_species: int, width: int) -> _Groups:
        """Images summed up, what depends on the atom itself left out; `index` are the species."""
        order = canonical_order(index)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        result = cls.none(len(order), n_species, width)
        for at, i in enumerate(order):
            atom = derivatives[i]
            others = atom.neighbours != i
            near, slot = np.unique(place[atom.neighbours[others]], return_inverse=True)
            n_features = atom.images.shape[1]
            total = np.zeros((len(near), n_features, 3))
            np.add.at(total, slot, atom.images[others])
            group = index[order[near]]
            count = np.bincount(group, minlength=n_species)
            lanes = group_lanes(count)
            result.counts[at] = count
            result.atoms.append((near + 1).astype(np.int32))
            for u in range(n_species):
                # A row for each feature: three components for each neighbour, padding
                rows = np.zeros((n_features, lanes[u]))
                rows[:, : 3 * count[u]] = total[group == u].transpose(1, 0, 2).reshape(n_features, -1)
                values, result.scales[at, u, :n_features] = round_rows(rows)
                result.values.append(values)
        return result


def _no_pairs(n_atoms: int, n_species: int) -> dict[str, np.ndarray]:
    """The arrays of a `ForceMap` without pairs."""
    none = np.zeros(0, dtype=np.int32)
    return {
        "radial_count": np.zeros(n_species, dtype=np.int32),
        "radial_half": np.zeros(n_species, dtype=np.int32),
        "pair_feature": np.zeros((0, n_species, n_species), dtype=np.int32, order="F"),
        "weight": np.zeros((n_species, n_species), order="F"),
        "pair_first": np.zeros(n_atoms * n_species + 1, dtype=np.int64),
        "pair_atom": none,
        "pair_place": none,
        "pair_unit": np.zeros((0, 4), dtype=np.float32),
        "pair_value": np.zeros((0, WINDOW), dtype=np.float32),
    }


def round_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of (row, lane) values, int32, and the (row,) float32 scales that they are multiples of."""
    n_rows, n_lanes = values.shape
    scale = (np.abs(values).max(axis=1, initial=0.0) / 32767).astype(np.float32)
    rounded = np.zeros((n_rows + n_rows % 2, n_lanes), dtype=np.int32)
    rounded[:n_rows] = np.rint(values / np.where(scale > 0, scale, 1.0)[:, None]).clip(-32767, 32767)
    return (rounded[::2] + (rounded[1::2] << 16)).ravel(), scale
