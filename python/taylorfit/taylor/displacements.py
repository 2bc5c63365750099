"""Displacement strategies: how many copies each structure gets and where their atoms go.

A strategy is a frozen description; `plan` turns it into numbers of copies (cheap, whole data set), and
`DisplacementPlan.displacements` into vectors (one structure at a time, on demand).  Every random
number comes from a stream that belongs to (seed, strategy, index of the structure), so a
copy does not depend on threads, batches, the order of the work, or on how many copies there are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import InputError
from ..model.provenance import copy_name
from ..settings.displacements import TaylorOptions
from ..tools.randomness import Stream
from .amounts import capped, check_amounts, shared_out, wanted
from .balls import square, uniform_in_ball
from .rigid import rigid_motions, without_motions
from .selection import AtomSelection

_AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
_CARTESIAN_STEPS = np.kron(np.eye(3), [[1.0], [-1.0]])  # (6, 3) unit steps in the order of _AXES
_MAX_ROUNDS = 1000  # of redrawing; a few are enough unless the bounds differ by orders of magnitude
_PLAN_STREAM = 0  # structure s has stream s + 1
INSIDE = 1.0 - 1e-12
"""Displacements are at most so much of their bound: covers the rounding of whoever computes |δ| again."""


@dataclass(frozen=True)
class DisplacementStrategy(ABC):
    """What all strategies share.

    Raises
    ------
    InputError
        on construction, if a value is impossible.
    """

    delta: float = 0.01
    """Largest displacement of an atom, Å."""
    n_copies: float = 16.0
    """Copies of each structure that can be displaced (the paper's multiple a; a broken number is a mean)."""
    max_copies: int | None = None
    """Upper bound on the number of all copies (N_max)."""
    species_delta: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Displacement of single species where it differs from `delta`, Å; 0 keeps a species in place."""
    seed: int = 1
    """Seed of every random choice."""
    remove_rotations: bool = False
    """Take rotations out of the displacements of isolated structures: to first order they change nothing
    that an invariant descriptor could see, but they have a truncation error."""

    name: ClassVar[str]
    """Name in input files and in the names of the copies."""
    _stream: ClassVar[Stream]
    """Keeps the random streams of the strategies apart; never to be changed or used again.  (3 belongs
    to the choice of structures with derivatives.)"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0.0):
            raise InputError("delta cannot be used", value=self.delta, expected="a length > 0 in Å")
        check_amounts(self.n_copies, self.max_copies, self.seed)
        object.__setattr__(self, "species_delta", dict(self.species_delta))
        for symbol, delta in self.species_delta.items():
            if not (math.isfinite(delta) and delta >= 0.0):
                raise InputError(f"delta_{symbol} cannot be used", value=delta, expected="a length >= 0 in Å")

    def deltas(self, selection: AtomSelection) -> np.ndarray:
        """(n_atom,) displacement or its bound for each atom, Å; 0 for atoms that stay where they are."""
        if not self.species_delta:
            return np.where(selection.displaced, self.delta, 0.0)
        values = [self.species_delta.get(symbol, self.delta) for symbol in selection.symbols]
        return np.where(selection.displaced, values, 0.0)

    def options(self) -> TaylorOptions:
        """Return the same as the block DERIVATIVES of generate.in; N_max is its default where `max_copies` is None."""
        return TaylorOptions(
            strategy=self.name,
            delta=self.delta,
            fraction=self.n_copies,
            n_max=TaylorOptions.n_max if self.max_copies is None else self.max_copies,
            seed=self.seed,
            delta_species=dict(self.species_delta),
            rotations="remove" if self.remove_rotations else None,
        )

    @abstractmethod
    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return how many copies each structure of the data set gets, and of which atoms."""

    @abstractmethod
    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        """(n_copy, n_atom, 3) displacements of one structure, Å; `atoms` as in the plan."""

    def _motions(self, selection: AtomSelection, moved: np.ndarray) -> np.ndarray:
        """(n_motion, n_moved, 3) orthonormal rigid motions that the moved atoms must not make.

        None for a single atom: taking out its mean would leave nothing.
        """
        if len(moved) == 1:
            return np.zeros((0, 1, 3))
        rotations = self.remove_rotations and not selection.is_periodic
        positions = selection.positions[moved] if rotations and selection.positions is not None else None
        return rigid_motions(len(moved), positions)

    def curvature_factor(self, selection: AtomSelection) -> float:
        """How much larger the mean curvature along the displacements is than the mean force constants of the atoms.

        3N/(3N - m) for displacements of all atoms without m rigid motions: those cost no energy, so
        tr(H) is shared by fewer directions.  1 if some atoms stay where they are.
        """
        moved = np.flatnonzero(self.deltas(selection))
        return 3 * len(moved) / self.n_directions(selection) if len(moved) == selection.n_atoms > 1 else 1.0

    def _shared_plan(
        self, selections: Sequence[AtomSelection], per_set: int = 1, limited: bool = False
    ) -> DisplacementPlan:
        """Share copies out among the structures that can be displaced; see `amounts.shared_out`.

        `limited`: a structure gets no more copies than it has independent displacements.
        """
        eligible = np.array([self.deltas(selection).any() for selection in selections], dtype=bool)
        n_copies, n_wanted = shared_out(eligible, self.n_copies, self.max_copies, self._rng(_PLAN_STREAM), per_set)
        if limited:
            n_copies = np.minimum(n_copies, [self.n_directions(selection) for selection in selections])
        return DisplacementPlan(self, tuple(selections), n_copies, n_wanted)

    def n_directions(self, selection: AtomSelection) -> int:
        """Number of independent displacements of a structure: 3N without the rigid motions; 0 if nothing moves."""
        moved = np.flatnonzero(self.deltas(selection))
        return 3 * len(moved) - len(self._motions(selection, moved)) if len(moved) else 0

    def _rng(self, *stream: int) -> np.random.Generator:
        return self._stream.generator(self.seed, *stream)


@dataclass(frozen=True, eq=False)
class DisplacementPlan:
    """The copies of a data set before any of them is made."""

    strategy: DisplacementStrategy
    selections: tuple[AtomSelection, ...]
    """One per structure."""
    n_copies: np.ndarray
    """(n_structure,) int64 number of copies of each structure."""
    n_wanted: int
    """Copies that are asked for; more than `total` if N_max or the number of atoms sets a limit."""
    atoms: tuple[np.ndarray, ...] | None = None
    """Strategy A: chosen atoms of each structure, int64 from 0, ascending."""

    @property
    def total(self) -> int:
        """Number of all copies."""
        return int(self.n_copies.sum())

    def displacements(self, structure: int) -> np.ndarray:
        """(n_copy, n_atom, 3) displacements δ of the copies of one structure, Å; the same at each call."""
        selection = self.selections[structure]
        n_copies = int(self.n_copies[structure])
        if n_copies == 0:
            return np.zeros((0, selection.n_atoms, 3))
        atoms = np.zeros(0, dtype=np.int64) if self.atoms is None else self.atoms[structure]
        return self.strategy._displace(structure, selection, n_copies, atoms)

    def curvature_factor(self, structure: int) -> float:
        """How much larger the mean curvature along the displacements is than the mean force constants."""
        return self.strategy.curvature_factor(self.selections[structure])

    def copy_names(self, structure: int, parent: str, weights: Sequence[float] | None = None) -> list[str]:
        """Return the names of the copies of one structure whose name is `parent` (see `provenance`)."""
        n_copies = int(self.n_copies[structure])
        if n_copies == 0:
            return []
        deltas = self.strategy.deltas(self.selections[structure])
        weights = [1.0] * n_copies if weights is None else weights
        if self.atoms is None:
            sites = [(deltas.max(), "")] * n_copies
        else:
            sites = [(deltas[atom], f"{atom + 1}{axis}") for atom in self.atoms[structure] for axis in _AXES]
        return [
            copy_name(parent, self.strategy.name, c, *site, weight)
            for c, (site, weight) in enumerate(zip(sites, weights, strict=True))
        ]


@dataclass(frozen=True)
class CartesianDisplacements(DisplacementStrategy):
    """Strategy A: one atom moved by ±δ along x, y and z, six copies per chosen atom.

    Atoms are drawn without replacement from all (structure, atom) pairs of the data set until
    `n_copies` × (number of structures that can be displaced) copies exist.  An atom always gets all
    six copies (half a set would prefer a direction), so the last one may overshoot by up to
    five; N_max is never exceeded.  A larger `n_copies` only adds atoms.  Copies are ordered by atom, then
    +x, -x, +y, -y, +z, -z.
    """

    name: ClassVar[str] = "cartesian"
    _stream: ClassVar[Stream] = Stream.CARTESIAN

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the chosen atoms; see the class."""
        movable = [np.flatnonzero(self.deltas(selection)) for selection in selections]
        first = np.concatenate([[0], np.cumsum([len(atoms) for atoms in movable], dtype=np.int64)])
        n_wanted = wanted(self.n_copies, sum(len(atoms) > 0 for atoms in movable))
        n_atoms = min(capped(n_wanted + 5, self.max_copies) // 6, int(first[-1]))
        drawn = np.sort(self._rng(_PLAN_STREAM).permutation(int(first[-1]))[:n_atoms])
        bounds = np.searchsorted(drawn, first)
        atoms = tuple(movable[s][drawn[bounds[s] : bounds[s + 1]] - first[s]] for s in range(len(selections)))
        return DisplacementPlan(self, tuple(selections), 6 * np.diff(bounds).astype(np.int64), n_wanted, atoms)

    def curvature_factor(self, selection: AtomSelection) -> float:
        """Return 1: an atom that moves alone feels its own force constants."""
        return 1.0

    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        deltas = self.deltas(selection)
        displacements = np.zeros((len(atoms), 6, len(deltas), 3))
        displacements[np.arange(len(atoms)), :, atoms, :] = deltas[atoms, None, None] * _CARTESIAN_STEPS
        return displacements.reshape(n_copies, len(deltas), 3)


@dataclass(frozen=True)
class RandomDisplacements(DisplacementStrategy):
    """Strategy B: all selected atoms moved at random, |δ_i| ≤ δ_max(i), without net displacement.

    Every structure that can be displaced gets floor(a) copies and a random subset of them one
    more, round(a × number of these structures) in all.  N_max lowers a for all of them alike.

    The displacements of a copy fulfil Σ_i δ_i = 0 and |δ_i| ≤ δ_max(i) for every atom *exactly* and are
    otherwise uniform in the ball as nearly as that allows.  The mean is the plain, unweighted one: then
    δ·F does not change when a constant is added to all forces, so the net force that DFT leaves does not
    reach the energies of the copies (a mass-weighted mean would let it in).  With u_i uniform in the
    unit ball and the room w_i = 1 - |u_i|² an atom has left,

        δ_i = δ_max(i) (u_i - w_i λ),   λ = Σ_j δ_max(j) u_j / Σ_j δ_max(j) w_j

    The net displacement is taken out where there is room for it instead of equally: |λ| ≤ 1/2 is
    enough to keep every atom in its ball; a copy that leaves it is drawn again.  Compared with
    subtracting the mean and scaling the copy down to δ_max, this keeps the size of the displacements,
    ⟨δ_x²⟩ = δ_max²/5 up to terms of order 1/N² (equal δ_max, N displaced atoms; measured, scaling in brackets):
    N = 3 0.80 (0.66), 6 0.91 (0.79), 18 0.98 (0.86), 56 1.00 (0.90), 192 1.00 (0.93) of δ_max²/5.
    Two atoms move by ±δ, uniform in the smaller ball.

    Rotations are taken out in the same way (`remove_rotations`): λ then has one component for each rigid
    motion m(i), δ_i = δ_max(i) (u_i - w_i Σ_m λ_m m(i)), with λ from Σ_i m(i)·δ_i = 0 for all of them.

    Atoms that are not selected stay where they are; Σ_i δ_i = 0 then holds for the selected ones.  One
    selected atom among others moves freely: taking out its mean would leave nothing.
    """

    name: ClassVar[str] = "random"
    _stream: ClassVar[Stream] = Stream.RANDOM

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the number of copies of each structure; see the class."""
        return self._shared_plan(selections)

    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        deltas = self.deltas(selection)
        displacements = np.zeros((n_copies, len(deltas), 3))
        moved = np.flatnonzero(deltas)
        motions = self._motions(selection, moved)
        displacements[:, moved] = self._draw(structure, deltas[moved], n_copies, motions)
        return displacements

    def _draw(self, structure: int, deltas: np.ndarray, n_copies: int, motions: np.ndarray) -> np.ndarray:
        """(n_copy, n_moved, 3) displacements of the moved atoms, whose bounds are `deltas`, Å."""
        first = self._rng(structure + 1, 0)
        if len(deltas) == 1:
            return deltas[0] * uniform_in_ball(first, (n_copies, 1))
        if len(deltas) == 2:
            step = deltas.min() * uniform_in_ball(first, (n_copies,))
            step = np.stack([step, -step], axis=1)
            return without_motions(step, motions[3:]) if len(motions) > 3 else step
        result, inside = _centred_in_balls(first, n_copies, deltas, motions)
        pending = np.flatnonzero(~inside)
        # One stream per round: what copy c gets never depends on the number of copies after it.
        for round_ in range(1, _MAX_ROUNDS):
            if len(pending) == 0:
                break
            redrawn, inside = _centred_in_balls(self._rng(structure + 1, round_), len(pending), deltas, motions)
            result[pending] = redrawn
            pending = pending[~inside]
        if len(pending):  # bounds that leave hardly any room: shorten what is there
            excess = np.sqrt(square(result[pending])) / deltas
            result[pending] *= INSIDE / excess.max(axis=1)[:, None, None]
        return result


@dataclass(frozen=True)
class AntitheticDisplacements(RandomDisplacements):
    """Pairs +δ, -δ of strategy B, one after the other: the odd orders of the error cancel in their mean.

    Half the difference of a pair's energies is δ·F up to third order, half their sum the energy and
    ½ δᵀHδ.  A structure always gets whole pairs, so the last one may overshoot by one copy; N_max is
    never exceeded.
    """

    name: ClassVar[str] = "antithetic"
    _stream: ClassVar[Stream] = Stream.ANTITHETIC

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the number of copies of each structure, an even one; see the class."""
        return self._shared_plan(selections, per_set=2)

    def _displace(self, structure: int, selection: AtomSelection, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        half = super()._displace(structure, selection, n_copies // 2, atoms)
        return np.stack([half, -half], axis=1).reshape(n_copies, *half.shape[1:])


def _centred_in_balls(
    rng: np.random.Generator, n_copies: int, deltas: np.ndarray, motions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n_copy, n_moved, 3) displacements without `motions`, Å, and (n_copy,) whether all are inside their bounds."""
    unit = uniform_in_ball(rng, (n_copies, len(deltas)))
    room = 1.0 - square(unit)
    if len(motions) == 3:  # translations alone: each direction by itself
        shift = (deltas[:, None] * unit).sum(axis=1) / (deltas * room).sum(axis=1)[:, None]
        unit -= room[..., None] * shift[:, None, :]
    else:
        scaled = deltas[:, None] * motions
        total = np.einsum("mix,cix->cm", scaled, unit)
        matrix = np.einsum("mix,ci,nix->cmn", scaled, room, motions)
        unit -= room[..., None] * np.einsum("cm,mix->cix", np.linalg.solve(matrix, total[..., None])[..., 0], motions)
    inside = np.all(square(unit) <= INSIDE, axis=1)
    unit *= deltas[:, None]
    return unit, inside
