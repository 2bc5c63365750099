"""What losses with forces are made of: force maps, directions, reference forces and weights of a packed data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engine import (
    DescriptorTables,
    ForceMap,
    ForceMapLayout,
    ForceTerms,
    StopToken,
    Zeros,
    aligned_zeros,
    canonical_order,
    changes_along,
    force_map_layout,
    strain_changes,
)
from ..engine.force_maps import in_canonical_order, offsets
from ..errors import InputError
from ..model.descriptor import StructureDerivatives
from ..model.structure import VOIGT_ELEMENTS, Structure
from ..settings.forces import ForceMode
from ..tools.chunks import runs
from ..tools.progress import Steps, no_steps
from ..tools.randomness import Stream
from ..tools.ranks import ALONE, Ranks
from .data import ReferenceData
from .derivatives_map import map_from_derivatives
from .pack import Scaling

DIRECTION_ATOMS = 20000
"""Atoms whose force maps are made at a time where only directions are kept."""
N_STRAINS = 6
FORCE_ATOM_BYTES = 3 * 8 + 8 + 1 + 8
"""Of an atom whose force is known: force, weight in the loss, mark, weight in errors."""


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
    """Build the terms of a loss with forces; arguments as of `ForceLayout.of` and `ForceLayout.build`."""
    layout = ForceLayout.of(
        picks,
        reference,
        tables,
        scaling,
        options,
        total=total,
        seed=seed,
        threads=threads,
        file=None if derivatives is None else "",
    )
    return layout.build(derivatives, steps=steps)


@dataclass(frozen=True, eq=False)
class ForceLayout:
    """The terms of exact or directional training, or of the errors of forces alone, before anything large is made."""

    picks: Sequence[tuple[int, int]]
    reference: ReferenceData
    tables: DescriptorTables
    scaling: Scaling
    options: ForceMode
    total: bool
    first: int
    seed: int
    threads: int
    structures: Sequence[Structure]
    ordered: Sequence[Structure]
    """The same with their atoms by species."""
    weight: Sequence[np.ndarray]
    """See `_weights`."""
    map: ForceMapLayout | None
    """Of the map that is kept."""
    parts: Sequence[tuple[Sequence[int], ForceMapLayout]]
    """Structures whose random directions are made from one map that is not kept."""
    strained: Sequence[int]
    """Structures with strains."""
    file: str | None = None
    """Of a map that is not computed."""
    stop: StopToken | None = None

    @classmethod
    def of(
        cls,
        picks: Sequence[tuple[int, int]],
        reference: ReferenceData,
        tables: DescriptorTables,
        scaling: Scaling,
        options: ForceMode,
        *,
        total: bool = False,
        trained: np.ndarray | None = None,
        first: int = 0,
        seed: int = 1,
        threads: int = 0,
        file: str | None = None,
        ranks: Ranks = ALONE,
        stop: StopToken | None = None,
    ) -> ForceLayout:
        """Lay out the terms.

        Parameters
        ----------
        picks
            the structures of a pack, by their numbers in the training set (see `training.pack`).
        reference
            their geometry, forces and weights.
        options
            mode exact or directional: what is trained on; others: terms for the errors of forces alone.
        total
            LOSS total: force terms of a structure times n², so that they keep their relation to its energy error.
        trained
            (n_structure,) bool: whose forces are trained on; None: as many as `options` says, by the seed.
        first
            structures that other ranks have before these.
        seed
            of the directions.
        file
            `.train.forces` file that the map will come from; None: it is computed.
        ranks
            processes that the structures are shared out over.
        stop
            ends it early, and `build`.

        Raises
        ------
        InputError
            if no structure has forces (exact, directional) or stresses (virial).
        """
        structures = [reference.structures[s] for _, s in picks]
        ordered = [in_canonical_order(s, s.species_index(tables.species)) for s in structures]
        if trained is None:
            trained = with_forces(picks, reference, options.percent, seed)
        weight = _weights(picks, structures, ordered, reference, tables, options, trained, total)
        if options.mode in ("exact", "directional") and not ranks.any(any(w.any() for w in weight)):
            raise InputError(
                f"FORCES mode={options.mode} without forces to train on",
                file=reference.source,
                expected="structures with forces",
            )
        map_, parts, strained = None, [], []
        if options.mode == "directional":
            wanted = [p for p, (s, w) in enumerate(zip(ordered, weight)) if w.any() and s.n_atoms > 1]
            for part in runs(wanted, lambda p: ordered[p].n_atoms, DIRECTION_ATOMS):
                parts.append((part, force_map_layout([ordered[p] for p in part], tables, threads, stop=stop)))
        elif file is None:
            map_ = force_map_layout(structures, tables, threads, stop=stop)
        if options.virial > 0:
            strained = [p for p, s in enumerate(structures) if s.stress is not None and all(s.pbc)]
            if not ranks.any(bool(strained)):
                raise InputError(
                    "FORCES virial= without stresses",
                    file=reference.source,
                    expected="periodic structures with stresses",
                )
        return cls(
            picks,
            reference,
            tables,
            scaling,
            options,
            total,
            first,
            seed,
            threads,
            structures,
            ordered,
            weight,
            map_,
            parts,
            strained,
            file,
            stop,
        )

    @property
    def _n_directions(self) -> np.ndarray:
        """(n_structure,) directions of each structure."""
        n = np.zeros(len(self.structures), dtype=np.int64)
        for part, _ in self.parts:
            n[list(part)] = [n_orthonormal(self.ordered[p].n_atoms, self.options.directions) for p in part]
        n[list(self.strained)] += N_STRAINS
        return n

    @property
    def _n_values(self) -> np.ndarray:
        """(n_structure,) descriptor values of each structure."""
        widths = self.tables.n_function
        return np.array([int(widths[s.species_index(self.tables.species)].sum()) for s in self.ordered], dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that `build` takes from `zeros`; a map from a file is not among them."""
        change = 4 * int((self._n_directions * self._n_values).sum())
        return change + (0 if self.map is None else self.map.nbytes)

    @property
    def small_bytes(self) -> int:
        """Bytes of the other arrays that are kept: forces, weights, offsets."""
        n_atoms = 0 if self.map is None else len(self.map.species)
        index = 0 if self.map is None else self.map.index_bytes
        # Numbers in the file have twice the length of those of a map
        from_file = 0 if self.file is None else Path(self.file).stat().st_size // 2
        return index + FORCE_ATOM_BYTES * n_atoms + 20 * int(self._n_directions.sum()) + from_file

    @property
    def temporary_bytes(self) -> int:
        """Bytes of what `build` makes and throws away again: the largest map for directions."""
        return max((part.nbytes + part.index_bytes for _, part in self.parts), default=0)

    def build(
        self,
        derivatives: Iterable[StructureDerivatives] | None = None,
        *,
        zeros: Zeros = aligned_zeros,
        steps: Steps = no_steps,
    ) -> ForceData:
        """Make the terms.

        Parameters
        ----------
        derivatives
            of a `.train.forces` file, instead of computing them.
        zeros
            where large arrays come from.
        steps
            around what takes long, as `Observer.steps`

        Returns
        -------
        ForceData
            exact: weights β/(3n) of each |ΔF_j|² with β = 1.  directional: for each structure a orthonormal directions
            without net displacement and weights (3n − 3)/(3n a), so that their sum estimates the same.
            virial: six derivatives W_ab along strains of each structure with a stress, weighted such that their sum is
            the mean over the nine components of (ΔW_ab/n)².
        """
        n, weight = len(self.structures), self.weight
        factor = feature_factors(self.scaling)
        map_: ForceMap | None = None
        known = [np.full(s.n_atoms, s.forces is not None) for s in self.ordered]
        if derivatives is not None:
            map_, known_here = map_from_derivatives(derivatives, self.structures, self.tables)
            known = [a & b for a, b in zip(known, np.split(known_here, map_.first_atom[1:-1]))]
            weight = [w * k for w, k in zip(weight, known)]
        elif self.map is not None:
            with steps("force map", n) as update:
                map_ = self.map.build(self.threads, update, zeros)
        directions = _Directions(self._n_directions, self._n_values, zeros)
        self._add_random(directions, factor, steps)
        self._add_strains(directions, factor, steps)
        trains = self.options.mode in ("exact", "directional")
        own = self._own_weights()
        terms = ForceTerms(
            map_,
            factor,
            self.scaling.energy_scale * self._forces() if map_ is not None else np.zeros((0, 3)),
            np.concatenate([np.zeros(0), *weight]) * (1.0 if trains else 0.0) if map_ is not None else np.zeros(0),
            **directions.arrays(),
        )
        return ForceData(
            terms,
            np.concatenate([np.zeros(0, dtype=bool), *(known if map_ is not None else ())]),
            directions.is_strain,
            None if map_ is None or (own == 1.0).all() else own,
        )

    def _forces(self) -> np.ndarray:
        """(n_atom, 3) reference forces, 0 where there are none."""
        known = (np.zeros((s.n_atoms, 3)) if s.forces is None else s.forces for s in self.ordered)
        return np.concatenate([np.zeros((0, 3)), *known])

    def _own_weights(self) -> np.ndarray:
        """(n_atom,) weights of the forces and their structures."""
        reference, own = self.reference, [np.zeros(0)]
        for (_, s), structure in zip(self.picks, self.structures):
            order = canonical_order(structure.species_index(self.tables.species))
            own.append(reference.weight[s] * reference.atom_weight[s][order])
        return np.concatenate(own)

    def _add_random(self, directions: _Directions, factor: np.ndarray, steps: Steps) -> None:
        """Add orthonormal directions of all structures with weights; atoms count with their ω."""
        if not self.parts:
            return
        with steps("directions", sum(len(part) for part, _ in self.parts)) as update:
            done = 0
            for part, layout in self.parts:
                map_ = layout.build(self.threads)
                for k, p in enumerate(part):
                    structure, n = self.ordered[p], self.ordered[p].n_atoms
                    vectors = random_directions(
                        n, self.options.directions, Stream.FORCE_DIRECTIONS.generator(self.seed, self.first + p)
                    )
                    # ½ Σ_v (v·√ω ΔF)² estimates ½ Σ_j ω_j |ΔF_j|²
                    vectors = vectors * np.sqrt(self.weight[p])[:, None]
                    derivative = -self.scaling.energy_scale * np.einsum("vjc,jc->v", vectors, structure.known_forces)
                    share = np.full(len(vectors), (3 * n - 3) / len(vectors))
                    directions.add(p, changes_along(map_, k, vectors, factor), derivative, share, False)
                done += len(part)
                update(done)

    def _add_strains(self, directions: _Directions, factor: np.ndarray, steps: Steps) -> None:
        """Add the six strains of the structures with a stress, W_ab = dE/dε_ab = V σ_ab."""
        if not self.strained:
            return
        with steps("strains", len(self.strained)) as update:
            done = 0
            for part in runs(self.strained, lambda p: self.structures[p].n_atoms, DIRECTION_ATOMS):
                changes = strain_changes([self.structures[p] for p in part], self.tables, self.threads, self.stop)
                for p, raw in zip(part, changes):
                    self._add_strains_of(directions, p, raw, factor)
                done += len(part)
                update(done)

    def _add_strains_of(self, directions: _Directions, p: int, raw: np.ndarray, factor: np.ndarray) -> None:
        """Add the six strains of structure p, whose descriptors change by `raw`."""
        structure, tables = self.structures[p], self.tables
        n = structure.n_atoms
        weight = self.options.virial * self.reference.weight[self.picks[p][1]]
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
        derivative = self.scaling.energy_scale * structure.volume * structure.known_stress[VOIGT_ELEMENTS]
        # Mean over nine components of the error per atom; those off the diagonal come twice
        share = weight / 9.0 * np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]) * (1.0 if self.total else 1.0 / n**2)
        directions.add(p, (raw[rows] * scale[:, None]).T, derivative, share, True)


def with_forces(picks: Sequence[tuple[int, int]], reference: ReferenceData, percent: float, seed: int) -> np.ndarray:
    """(n_structure,) bool: as many percent of the structures that have forces, drawn with the seed."""
    known = [p for p, (_, s) in enumerate(picks) if reference.structures[s].forces is not None]
    n_chosen = int(np.ceil(len(known) * percent / 100.0 - 1e-9))
    chosen = np.zeros(len(picks), dtype=bool)
    chosen[Stream.FORCE_STRUCTURES.generator(seed).permutation(known)[:n_chosen].astype(int)] = True
    return chosen


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
    trained: np.ndarray,
    total: bool,
) -> list[np.ndarray]:
    """For each structure (n_atom,) ω_j/(3n), atoms by species; 0 where there is no force or it was not chosen."""
    result = []
    for p, ((_, s), structure, sorted_one) in enumerate(zip(picks, structures, ordered)):
        n = structure.n_atoms
        if not trained[p]:
            result.append(np.zeros(n))
            continue
        order = canonical_order(structure.species_index(tables.species))
        species = np.array([options.species_weight.get(symbol, 1.0) for symbol in sorted_one.symbols])
        result.append(
            reference.weight[s] * reference.atom_weight[s][order] * species / (3.0 * n) * (n * n if total else 1.0)
        )
    return result


class _Directions:
    """Directions of the structures, added in any order of structures, those of one structure one after the other.

    `n_directions` and `n_values` are (n_structure,).
    """

    def __init__(self, n_directions: np.ndarray, n_values: np.ndarray, zeros: Zeros) -> None:
        self._first, self._first_change = offsets(n_directions), offsets(n_directions * n_values)
        self._next, self._n_values = self._first[:-1].copy(), n_values
        n = int(self._first[-1])
        self._change = zeros(int(self._first_change[-1]), np.float32)
        self._derivative, self._weight = np.zeros(n), np.zeros(n)
        self.is_strain = np.zeros(n, dtype=bool)
        """(n_direction,)"""

    def add(self, structure: int, change: np.ndarray, derivative: np.ndarray, weight: np.ndarray, strain: bool) -> None:
        """(n_direction, n_value) changes, and (n_direction,) reference derivatives and weights of one structure."""
        here = slice(self._next[structure], self._next[structure] + len(derivative))
        self._next[structure] = here.stop
        n = self._n_values[structure]
        at = self._first_change[structure] + (here.start - self._first[structure]) * n
        self._change[at : at + change.size].reshape(change.shape)[...] = change
        self._derivative[here], self._weight[here], self.is_strain[here] = derivative, weight, strain

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields of `ForceTerms`."""
        if not len(self._derivative):
            return {}
        return {
            "first_direction": self._first.astype(np.int32),
            "first_change": self._first_change,
            "change": self._change,
            "derivative_ref": self._derivative,
            "direction_weight": self._weight,
        }


def n_orthonormal(n_atoms: int, n_directions: int) -> int:
    """So many directions without net displacement has a structure, at most `n_directions`."""
    return min(n_directions, 3 * n_atoms - 3)


def random_directions(n_atoms: int, n_directions: int, rng: np.random.Generator) -> np.ndarray:
    """(n_direction, n_atom, 3) orthonormal directions without net displacement, at most 3n − 3 of them.

    Uniformly distributed: the orthogonal factor of a Gaussian matrix, projected on zero net displacement first.
    """
    n = n_orthonormal(n_atoms, n_directions)
    vectors = rng.standard_normal((n, n_atoms, 3))
    vectors -= vectors.mean(axis=1, keepdims=True)
    q, r = np.linalg.qr(vectors.reshape(n, 3 * n_atoms).T)
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T).reshape(n, n_atoms, 3)
