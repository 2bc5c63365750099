"""What losses with forces are made of: force maps, directions, reference forces and weights of a packed data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import DescriptorTables, ForceMap, ForceTerms, canonical_order, changes_along, force_map, strain_changes
from ..engine.force_maps import group_lanes, in_canonical_order, no_pairs, offsets
from ..errors import InputError
from ..model.descriptor_derivatives import AtomDerivatives, StructureDerivatives
from ..model.structure import VOIGT_ELEMENTS, Structure
from ..settings.forces import ForceMode
from ..tools.chunks import runs
from ..tools.progress import Steps, no_steps
from ..tools.randomness import Stream
from .pack import Scaling
from .reference_data import ReferenceData

DIRECTION_ATOMS = 20000
"""Atoms whose force maps are made at a time where only directions are kept."""


@dataclass(frozen=True, eq=False)
class ForceData:
    """The terms of a force loss for β = 1, and what is known about them."""

    terms: ForceTerms
    known: np.ndarray
    """(n_atom,) bool: is there a reference force?  Atoms of each structure by species."""
    is_strain: np.ndarray
    """(n_direction,) bool: a strain, whose weight is not β"""
    weight: np.ndarray | None = None
    """(n_atom,) weights of the forces and their structures in errors, atoms as in `known`; None: all 1"""

    def trained_atoms(self) -> np.ndarray:
        """(n_atom,) bool: atoms of structures in which some force has a weight."""
        if self.terms.map is None:
            return np.zeros(0, dtype=bool)
        first = self.terms.map.first_atom
        any_weight = (
            np.add.reduceat(self.terms.atom_weight, first[:-1]) > 0 if len(first) > 1 else np.zeros(0, dtype=bool)
        )
        return np.repeat(any_weight, np.diff(first)) & self.known


def force_terms(
    picks: Sequence[tuple[int, int]],
    reference: ReferenceData,
    tables: DescriptorTables,
    scaling: Scaling,
    options: ForceMode,
    *,
    total: bool = False,
    seed: int = 1,
    threads: int = 0,
    derivatives: Iterable[StructureDerivatives] | None = None,
    steps: Steps = no_steps,
) -> ForceData:
    """Build the terms of exact or directional training, or (other modes) for the errors of forces alone.

    Parameters
    ----------
    picks
        the structures of a pack, by their numbers in the training set (see `dataset.pack`).
    reference
        their geometry, forces and weights.
    total
        LOSS total: force terms of a structure times n², so that they keep their relation to its energy error.
    seed
        of the choice of structures (percent) and of the directions.
    derivatives
        of a `.train.forces` file, instead of computing them.
    steps
        around what takes long, as `Observer.steps`

    Returns
    -------
    ForceData
        exact: weights β/(3n) of each |ΔF_j|² with β = 1.  directional: for each structure a orthonormal directions
        without net displacement and weights (3n − 3)/(3n a), so that their sum estimates the same.
        virial: six derivatives W_ab along strains of each structure with a stress, weighted such that their sum is
        the mean over the nine components of (ΔW_ab/n)².

    Raises
    ------
    InputError
        if no structure has forces (exact, directional) or stresses (virial).
    """
    structures = [reference.structures[s] for _, s in picks]
    ordered = [in_canonical_order(s, s.species_index(tables.species)) for s in structures]
    forces = np.concatenate(
        [np.zeros((0, 3)), *(np.zeros((s.n_atoms, 3)) if s.forces is None else s.forces for s in ordered)]
    )
    known = np.concatenate([np.zeros(0, dtype=bool), *(np.full(s.n_atoms, s.forces is not None) for s in ordered)])
    weight = _weights(picks, structures, ordered, reference, tables, options, seed, total)
    factor = feature_factors(scaling)
    n = len(structures)
    trains = options.mode in ("exact", "directional")
    if trains and not any(w.any() for w in weight):
        raise InputError(
            f"FORCES mode={options.mode} without forces to train on",
            file=reference.source,
            expected="structures with forces",
        )
    map_: ForceMap | None = None
    if derivatives is not None:
        map_, known_here = map_from_derivatives(derivatives, structures, tables)
        known &= known_here
        weight = [w * known[a:b] for w, a, b in zip(weight, map_.first_atom, map_.first_atom[1:])]
    elif options.mode != "directional":
        with steps("force map", n) as update:
            map_ = force_map(structures, tables, threads, update)
    directions = _Directions(n)
    if options.mode == "directional":
        _add_random_directions(
            directions, ordered, weight, tables, scaling, factor, options.directions, seed, threads, steps
        )
    if options.virial > 0:
        _add_strains(
            directions,
            structures,
            tables,
            scaling,
            factor,
            options.virial,
            [reference.weight[s] for _, s in picks],
            total,
            threads,
            reference.source,
            steps,
        )
    terms = ForceTerms(
        n,
        map_,
        factor,
        scaling.energy_scale * forces if map_ is not None else np.zeros((0, 3)),
        np.concatenate([np.zeros(0), *weight]) * (1.0 if trains else 0.0) if map_ is not None else np.zeros(0),
        **directions.arrays(),
    )
    own = np.concatenate(
        [
            np.zeros(0),
            *(
                reference.weight[s] * reference.atom_weight[s][canonical_order(structure.species_index(tables.species))]
                for (_, s), structure in zip(picks, structures)
            ),
        ]
    )
    return ForceData(
        terms,
        known if map_ is not None else np.zeros(0, dtype=bool),
        np.array(directions.is_strain, dtype=bool),
        None if map_ is None or (own == 1.0).all() else own,
    )


def feature_factors(scaling: Scaling) -> np.ndarray:
    """(n_feature_most, n_species) Fortran order: factors of the standardisation, as the engine wants them."""
    widest = max(len(part) for part in scaling.feature_factor)
    factor = np.zeros((widest, len(scaling.feature_factor)), order="F")
    for t, part in enumerate(scaling.feature_factor):
        factor[: len(part), t] = part
    return factor


def _weights(
    picks: Sequence[tuple[int, int]],
    structures: Sequence[Structure],
    ordered: Sequence[Structure],
    reference: ReferenceData,
    tables: DescriptorTables,
    options: ForceMode,
    seed: int,
    total: bool,
) -> list[np.ndarray]:
    """For each structure (n_atom,) ω_j/(3n), atoms by species; 0 where there is no force or it was not chosen."""
    with_forces = [p for p, s in enumerate(structures) if s.forces is not None]
    n_chosen = int(np.ceil(len(with_forces) * options.percent / 100.0 - 1e-9))
    chosen = set(Stream.FORCE_STRUCTURES.generator(seed).permutation(with_forces)[:n_chosen].tolist())
    result = []
    for p, ((_, s), structure, sorted_one) in enumerate(zip(picks, structures, ordered)):
        n = structure.n_atoms
        if p not in chosen:
            result.append(np.zeros(n))
            continue
        order = canonical_order(structure.species_index(tables.species))
        species = np.array([options.species_weight.get(symbol, 1.0) for symbol in sorted_one.symbols])
        result.append(
            reference.weight[s] * reference.atom_weight[s][order] * species / (3.0 * n) * (n * n if total else 1.0)
        )
    return result


class _Directions:
    """Directions of the structures, added in any order of kinds, collected in the order of the structures."""

    def __init__(self, n_structures: int) -> None:
        self._parts: list[list[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]] = [[] for _ in range(n_structures)]

    def add(self, structure: int, change: np.ndarray, derivative: np.ndarray, weight: np.ndarray, strain: bool) -> None:
        """(n_direction, n_value) changes, and (n_direction,) reference derivatives and weights of one structure."""
        self._parts[structure].append((np.ascontiguousarray(change, dtype=np.float32), derivative, weight, strain))

    @property
    def is_strain(self) -> list[bool]:
        return [strain for parts in self._parts for _, derivative, _, strain in parts for _ in derivative]

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields of `ForceTerms`."""
        flat = [part for parts in self._parts for part in parts]
        if not flat:
            return {}
        return {
            "first_direction": offsets([sum(len(d) for _, d, _, _ in parts) for parts in self._parts]).astype(np.int32),
            "first_change": offsets([sum(c.size for c, _, _, _ in parts) for parts in self._parts]),
            "change": np.concatenate([c.ravel() for c, _, _, _ in flat]),
            "derivative_ref": np.concatenate([d for _, d, _, _ in flat]),
            "direction_weight": np.concatenate([w for _, _, w, _ in flat]),
        }


def random_directions(n_atoms: int, n_directions: int, rng: np.random.Generator) -> np.ndarray:
    """(n_direction, n_atom, 3) orthonormal directions without net displacement, at most 3n − 3 of them.

    Uniformly distributed: the orthogonal factor of a Gaussian matrix, projected on zero net displacement first.
    """
    n = min(n_directions, 3 * n_atoms - 3)
    vectors = rng.standard_normal((n, n_atoms, 3))
    vectors -= vectors.mean(axis=1, keepdims=True)
    q, r = np.linalg.qr(vectors.reshape(n, 3 * n_atoms).T)
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T).reshape(n, n_atoms, 3)


def _add_random_directions(
    directions: _Directions,
    ordered: Sequence[Structure],
    weight: Sequence[np.ndarray],
    tables: DescriptorTables,
    scaling: Scaling,
    factor: np.ndarray,
    n_directions: int,
    seed: int,
    threads: int,
    steps: Steps,
) -> None:
    """Add orthonormal directions of all structures with weights; atoms count with their ω."""
    wanted = [p for p, (s, w) in enumerate(zip(ordered, weight)) if w.any() and s.n_atoms > 1]
    with steps("directions", len(wanted)) as update:
        done = 0
        for part in runs(wanted, lambda p: ordered[p].n_atoms, DIRECTION_ATOMS):
            map_ = force_map([ordered[p] for p in part], tables, threads)
            for k, p in enumerate(part):
                structure, n = ordered[p], ordered[p].n_atoms
                vectors = random_directions(n, n_directions, Stream.FORCE_DIRECTIONS.generator(seed, p))
                # ½ Σ_v (v·√ω ΔF)² estimates ½ Σ_j ω_j |ΔF_j|²
                vectors = vectors * np.sqrt(weight[p])[:, None]
                derivative = -scaling.energy_scale * np.einsum("vjc,jc->v", vectors, structure.known_forces)
                share = np.full(len(vectors), (3 * n - 3) / len(vectors))
                directions.add(p, changes_along(map_, k, vectors, factor), derivative, share, False)
            done += len(part)
            update(done)


def _add_strains(
    directions: _Directions,
    structures: Sequence[Structure],
    tables: DescriptorTables,
    scaling: Scaling,
    factor: np.ndarray,
    virial: float,
    weight: Sequence[float],
    total: bool,
    threads: int,
    source: str,
    steps: Steps,
) -> None:
    """Add the six strains of the structures with a stress, W_ab = dE/dε_ab = V σ_ab; `weight` is per structure."""
    wanted = [p for p, s in enumerate(structures) if s.stress is not None and all(s.pbc)]
    if not wanted:
        raise InputError("FORCES virial= without stresses", file=source, expected="periodic structures with stresses")
    with steps("strains", len(wanted)) as update:
        done = 0
        for part in runs(wanted, lambda p: structures[p].n_atoms, DIRECTION_ATOMS):
            for p, raw in zip(part, strain_changes([structures[p] for p in part], tables, threads)):
                _add_strains_of(directions, p, structures[p], raw, tables, scaling, factor, virial * weight[p], total)
            done += len(part)
            update(done)


def _add_strains_of(
    directions: _Directions,
    p: int,
    structure: Structure,
    raw: np.ndarray,
    tables: DescriptorTables,
    scaling: Scaling,
    factor: np.ndarray,
    weight: float,
    total: bool,
) -> None:
    """Add the six strains of structure p, whose descriptors change by `raw`."""
    n = structure.n_atoms
    index = structure.species_index(tables.species)
    first = offsets(tables.n_function[index])
    # From atom after atom to the order of packs: per species, feature by feature
    rows = np.concatenate(
        [
            (first[:-1][index == t][None, :] + np.arange(tables.n_function[t])[:, None]).ravel()
            for t in range(len(tables.species))
        ]
    )
    scale = np.concatenate(
        [np.repeat(factor[: tables.n_function[t], t], int((index == t).sum())) for t in range(len(tables.species))]
    )
    derivative = scaling.energy_scale * structure.volume * structure.known_stress[VOIGT_ELEMENTS]
    # Mean over nine components of the error per atom; those off the diagonal come twice
    share = weight / 9.0 * np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]) * (1.0 if total else 1.0 / n**2)
    directions.add(p, (raw[rows] * scale[:, None]).T, derivative, share, True)


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
        parts[p] = _Groups.of(found.atoms, index, n_species)
    species = [np.sort(s.species_index(tables.species), kind="stable") for s in structures]
    groups = [part or _Groups.none(len(index), n_species) for part, index in zip(parts, species)]
    known = [np.full(len(index), part is not None) for part, index in zip(parts, species)]
    all_species = np.concatenate([np.zeros(0, dtype=np.int32), *species])
    counts = np.concatenate([np.zeros((0, n_species), dtype=np.int64), *(part.counts for part in groups)])
    identity = np.zeros((2, int(n_feature.max()), n_species, n_species), dtype=np.int32, order="F")
    for t in range(n_species):
        identity[0, : n_feature[t], :, t] = np.arange(1, n_feature[t] + 1)[:, None]
    n_atoms = [s.n_atoms for s in structures]
    none = np.zeros(n_species, dtype=np.int32)
    result = ForceMap(
        radial_count=none,
        radial_half=none,
        weight=np.zeros((n_species, n_species), order="F"),
        group_count=np.asfortranarray(np.broadcast_to(n_feature, (n_species, n_species)).astype(np.int32)),
        group_feature=identity,
        **no_pairs(sum(n_atoms), n_species),
        group_atom_first=offsets(counts.ravel()),
        group_value_first=offsets((group_lanes(counts) * n_feature[all_species][:, None]).ravel()),
        group_atom=np.concatenate([none[:0], *(a for part in groups for a in part.atoms)]).astype(np.int32),
        group_value=np.concatenate([np.zeros(0, dtype=np.float32), *(v for part in groups for v in part.values)]),
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
    """For each atom the matrices of its groups, one after the other"""

    @classmethod
    def none(cls, n_atoms: int, n_species: int) -> _Groups:
        return cls(np.zeros((n_atoms, n_species), dtype=np.int64), [], [])

    @classmethod
    def of(cls, derivatives: Sequence[AtomDerivatives], index: np.ndarray, n_species: int) -> _Groups:
        """Images summed up, what depends on the atom itself left out; `index` are the species."""
        order = canonical_order(index)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        result = cls.none(len(order), n_species)
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
            # Row by row of a group's matrix: one for each feature, three components for each neighbour, padding
            start = n_features * offsets(lanes)[group] + 3 * (np.arange(len(near)) - offsets(count)[group])
            row = lanes[group][:, None] * np.arange(n_features)
            values = np.zeros(n_features * int(lanes.sum()), dtype=np.float32)
            values[(start[:, None] + row)[:, :, None] + np.arange(3)] = total
            result.counts[at] = count
            result.atoms.append((near + 1).astype(np.int32))
            result.values.append(values)
        return result
