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
from .provenance import copy_name
from .selection import AtomSelection

_AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
_CARTESIAN_STEPS = np.kron(np.eye(3), [[1.0], [-1.0]])  # (6, 3) unit steps in the order of _AXES
_MAX_ROUNDS = 1000  # of redrawing; a few are enough unless the bounds differ by orders of magnitude
_PLAN_STREAM = 0  # structure s has stream s + 1


@dataclass(frozen=True)
class DisplacementStrategy(ABC):
    """What all strategies share.

    Raises
    ------
    InputError
        on construction, if a value is impossible.
    """

    delta: float
    """Displacement (cartesian) or its upper bound (random), Å."""
    fraction: float
    """The paper's multiple a: copies per structure that can be displaced."""
    max_copies: int | None = None
    """Upper bound on the number of all copies (N_max)."""
    species_delta: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Displacement of single species where it differs from `delta`, Å; 0 keeps a species in place."""
    seed: int = 1
    """Seed of every random choice."""

    name: ClassVar[str]
    """Name in input files and in the names of the copies."""
    _stream: ClassVar[int]
    """Keeps the random streams of the strategies apart; never to be changed or used again."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0.0):
            raise InputError("delta cannot be used", value=self.delta, expected="a length > 0 in Å")
        if not (math.isfinite(self.fraction) and self.fraction > 0.0):
            raise InputError("fraction cannot be used", value=self.fraction, expected="copies per structure, > 0")
        if self.max_copies is not None and self.max_copies < 0:
            raise InputError("N_max cannot be used", value=self.max_copies, expected="an integer >= 0")
        if self.seed < 0:
            raise InputError("seed cannot be used", value=self.seed, expected="an integer >= 0")
        object.__setattr__(self, "species_delta", dict(self.species_delta))
        for symbol, delta in self.species_delta.items():
            if not (math.isfinite(delta) and delta >= 0.0):
                raise InputError(f"delta_{symbol} cannot be used", value=delta, expected="a length >= 0 in Å")

    def deltas(self, selection: AtomSelection) -> np.ndarray:
        """(n_atom,) displacement or its bound for each atom, Å; 0 for atoms that stay where they are."""
        values = [self.species_delta.get(symbol, self.delta) for symbol in selection.symbols]
        return np.where(selection.displaced, values, 0.0)

    @abstractmethod
    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return how many copies each structure of the data set gets, and of which atoms."""

    @abstractmethod
    def _displace(self, structure: int, deltas: np.ndarray, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        """(n_copy, n_atom, 3) displacements of one structure, Å; `atoms` as in the plan."""

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self._stream, *stream])

    def _wanted(self, n_eligible: int) -> int:
        """Number of copies that fraction asks for, rounded half up."""
        return math.floor(self.fraction * n_eligible + 0.5)

    def _capped(self, n_copies: int) -> int:
        return n_copies if self.max_copies is None else min(n_copies, self.max_copies)


@dataclass(frozen=True, eq=False)
class DisplacementPlan:
    """The copies of a data set before any of them is made."""

    strategy: DisplacementStrategy
    selections: tuple[AtomSelection, ...]
    """One per structure."""
    n_copies: np.ndarray
    """(n_structure,) int64 number of copies of each structure."""
    n_wanted: int
    """Copies that `fraction` asks for; more than `total` if N_max or the number of atoms sets a limit."""
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
        return self.strategy._displace(structure, self.strategy.deltas(selection), n_copies, atoms)

    def copy_names(self, structure: int, parent: str) -> list[str]:
        """Return the names of the copies of one structure whose name is `parent` (see `provenance`)."""
        n_copies = int(self.n_copies[structure])
        if n_copies == 0:
            return []
        deltas = self.strategy.deltas(self.selections[structure])
        if self.atoms is None:
            return [copy_name(parent, self.strategy.name, c, deltas.max()) for c in range(n_copies)]
        sites = [(deltas[atom], f"{atom + 1}{axis}") for atom in self.atoms[structure] for axis in _AXES]
        return [copy_name(parent, self.strategy.name, c, *site) for c, site in enumerate(sites)]


@dataclass(frozen=True)
class CartesianDisplacements(DisplacementStrategy):
    """Strategy A: one atom moved by ±δ along x, y and z, six copies per chosen atom.

    Atoms are drawn without replacement from all (structure, atom) pairs of the data set until
    fraction × (number of structures that can be displaced) copies exist.  An atom always gets all
    six copies (half a set would prefer a direction), so the last one may overshoot by up to
    five; N_max is never exceeded.  A larger fraction only adds atoms.  Copies are ordered by atom, then
    +x, -x, +y, -y, +z, -z.
    """

    name: ClassVar[str] = "cartesian"
    _stream: ClassVar[int] = 1

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the chosen atoms; see the class."""
        movable = [np.flatnonzero(self.deltas(selection)) for selection in selections]
        first = np.concatenate([[0], np.cumsum([len(atoms) for atoms in movable], dtype=np.int64)])
        n_wanted = self._wanted(sum(len(atoms) > 0 for atoms in movable))
        n_atoms = min(self._capped(n_wanted + 5) // 6, int(first[-1]))
        drawn = np.sort(self._rng(_PLAN_STREAM).permutation(int(first[-1]))[:n_atoms])
        bounds = np.searchsorted(drawn, first)
        atoms = tuple(
            movable[s][drawn[bounds[s] : bounds[s + 1]] - first[s]] for s in range(len(selections))
        )
        return DisplacementPlan(self, tuple(selections), 6 * np.diff(bounds).astype(np.int64), n_wanted, atoms)

    def _displace(self, structure: int, deltas: np.ndarray, n_copies: int, atoms: np.ndarray) -> np.ndarray:
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

    Atoms that are not selected stay where they are; Σ_i δ_i = 0 then holds for the selected ones.  One
    selected atom among others moves freely: taking out its mean would leave nothing.
    """

    name: ClassVar[str] = "random"
    _stream: ClassVar[int] = 2

    def plan(self, selections: Sequence[AtomSelection]) -> DisplacementPlan:
        """Return the number of copies of each structure; see the class."""
        eligible = np.flatnonzero([self.deltas(selection).any() for selection in selections])
        n_wanted = self._wanted(len(eligible))
        n_copies = np.zeros(len(selections), dtype=np.int64)
        if len(eligible):
            each, rest = divmod(self._capped(n_wanted), len(eligible))
            n_copies[eligible] = each
            n_copies[self._rng(_PLAN_STREAM).permutation(eligible)[:rest]] += 1
        return DisplacementPlan(self, tuple(selections), n_copies, n_wanted)

    def _displace(self, structure: int, deltas: np.ndarray, n_copies: int, atoms: np.ndarray) -> np.ndarray:
        displacements = np.zeros((n_copies, len(deltas), 3))
        moved = np.flatnonzero(deltas)
        displacements[:, moved] = self._draw(structure, deltas[moved], n_copies)
        return displacements

    def _draw(self, structure: int, deltas: np.ndarray, n_copies: int) -> np.ndarray:
        """(n_copy, n_moved, 3) displacements of the moved atoms, whose bounds are `deltas`, Å."""
        first = self._rng(structure + 1, 0)
        if len(deltas) == 1:
            return deltas[0] * _uniform_in_ball(first, (n_copies, 1))
        if len(deltas) == 2:
            step = deltas.min() * _uniform_in_ball(first, (n_copies,))
            return np.stack([step, -step], axis=1)
        result, inside = _centred_in_balls(first, n_copies, deltas)
        pending = np.flatnonzero(~inside)
        # One stream per round: what copy c gets never depends on the number of copies after it.
        for round_ in range(1, _MAX_ROUNDS):
            if len(pending) == 0:
                break
            redrawn, inside = _centred_in_balls(self._rng(structure + 1, round_), len(pending), deltas)
            result[pending] = redrawn
            pending = pending[~inside]
        if len(pending):  # bounds that leave hardly any room: shorten what is there
            excess = np.sqrt(_square(result[pending])) / deltas
            result[pending] *= (1.0 - 1e-12) / excess.max(axis=1)[:, None, None]
        return result


def _uniform_in_ball(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(*shape, 3) vectors, uniform in the unit ball.

    The first three coordinates of a uniform point on the unit sphere in five dimensions are
    uniform in the ball (Archimedes' theorem on the sphere and its cylinder), so no cube root is needed.
    """
    normal = rng.standard_normal((*shape, 5))
    return normal[..., :3] / np.sqrt(_square(normal))[..., None]


def _centred_in_balls(rng: np.random.Generator, n_copies: int, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_copy, n_moved, 3) displacements of zero sum, Å, and (n_copy,) whether all are inside their bounds."""
    unit = _uniform_in_ball(rng, (n_copies, len(deltas)))
    room = 1.0 - _square(unit)
    shift = (deltas[:, None] * unit).sum(axis=1) / (deltas * room).sum(axis=1)[:, None]
    unit -= room[..., None] * shift[:, None, :]
    # The margin covers the rounding of the product and of whoever computes |δ| again.
    inside = (_square(unit) <= 1.0 - 1e-12).all(axis=1)
    unit *= deltas[:, None]
    return unit, inside


def _square(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths along the last axis; a loop over the few components beats a sum over short rows."""
    total = vectors[..., 0] * vectors[..., 0]
    for component in range(1, vectors.shape[-1]):
        total += vectors[..., component] * vectors[..., component]
    return total
