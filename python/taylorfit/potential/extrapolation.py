"""Structures unlike the training data: found by their descriptors or by a committee's disagreement, and acted upon."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..engine import neighbours
from ..errors import TaylorfitError
from ..model.descriptor import DescriptorSetup, component_name
from ..model.structure import Structure
from ..settings.extrapolation import ExtrapolationPolicy
from ..tools.warn import level_of_caller
from .dumps import DumpFolder

COMMITTEE, DISTANCE = "committee", "distance"

_WORSE = 2.0
"""A warning about the same component comes again when the departure has grown by this factor."""


@dataclass(frozen=True)
class Extrapolation:
    """Where a structure is furthest from the training data."""

    atom: int
    """Index from 0."""
    symbol: str
    component: str
    """Name of the descriptor component; `COMMITTEE` for a disagreement about forces, `DISTANCE` for atoms too close."""
    amount: float
    """How far outside the range of the training data, in σ of that component; for a committee the standard
    deviation of the force, eV/Å; the distance of atoms too close, Å."""
    n_atoms: int
    """Atoms beyond the limit."""
    limit: float = 0.0
    """Of the amount."""
    other: str = ""
    """Species of the other atom, of two that are too close."""

    @property
    def kind(self) -> str:
        """`descriptor`, `committee` or `distance`."""
        return self.component if self.component in (COMMITTEE, DISTANCE) else "descriptor"

    @property
    def grade(self) -> float:
        """The amount in units of its limit: above 1 beyond it."""
        return self.amount / self.limit if self.limit > 0.0 else np.inf

    def __str__(self) -> str:
        others = "" if self.n_atoms == 1 else f" ({self.n_atoms} atoms are beyond the limit)"
        if self.kind == DISTANCE:
            return (
                f"atom {self.atom + 1} ({self.symbol}) is {self.amount:.3g} Å from an atom {self.other}, "
                f"closer than {self.limit:.3g} Å"
            )
        if self.kind == COMMITTEE:
            return (
                f"atom {self.atom + 1} ({self.symbol}): members differ by {self.amount:.3g} eV/Å in its force{others}"
            )
        return (
            f"atom {self.atom + 1} ({self.symbol}): {self.component} is {self.amount:.3g} σ outside the training "
            f"data{others}"
        )


class ExtrapolationWarning(UserWarning):
    """A potential was asked about a structure unlike its training data."""


class ExtrapolationError(TaylorfitError):
    """The same, where that is to stop the run; the extrapolation and the structure are attributes.

    `collapsed` says that the structure is beyond sense: atoms too close, or too far outside to be worth a calculation.
    """

    def __init__(self, extrapolation: Extrapolation, structure: Structure, collapsed: bool = False) -> None:
        super().__init__(str(extrapolation))
        self.extrapolation = extrapolation
        self.structure = structure
        self.collapsed = collapsed

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.extrapolation, self.structure, self.collapsed)


def find_extrapolation(
    structure: Structure,
    setups: Sequence[DescriptorSetup],
    species: np.ndarray,
    excess: np.ndarray,
    component: np.ndarray,
    tolerance: float,
) -> Extrapolation | None:
    """Return where descriptors are furthest outside the training data, or None within the tolerance.

    Parameters
    ----------
    setups, species
        Setup of each species, and (n_atom,) the species of each atom as index into them.
    excess, component
        (n_atom,) from `engine.evaluate_listed`.
    """
    if not len(excess) or not excess.max() > tolerance:
        return None
    atom = int(excess.argmax())
    return Extrapolation(
        atom,
        structure.symbols[atom],
        component_name(setups[species[atom]], int(component[atom])),
        float(excess[atom]),
        int((excess > tolerance).sum()),
        tolerance,
    )


def find_disagreement(structure: Structure, force_std: np.ndarray, limit: float) -> Extrapolation | None:
    """Return where a committee differs most about the force, (n_atom,) eV/Å, or None below the limit."""
    if not len(force_std) or not force_std.max() > limit:
        return None
    atom = int(force_std.argmax())
    return Extrapolation(
        atom, structure.symbols[atom], COMMITTEE, float(force_std[atom]), int((force_std > limit).sum()), limit
    )


def find_collapse(structure: Structure, policy: ExtrapolationPolicy) -> Extrapolation | None:
    """Return the two atoms that are closest, relative to what is allowed, or None if all keep their distance."""
    species = sorted(set(structure.symbols))
    shortest = np.array([[policy.shortest_of(a, b) for b in species] for a in species])
    if not shortest.any():
        return None
    first, other, vector = neighbours(structure, float(shortest.max()))
    atom = np.repeat(np.arange(structure.n_atoms), np.diff(first))
    kind = np.array([species.index(symbol) for symbol in structure.symbols])
    limit = shortest[kind[atom], kind[other]]
    distance = np.linalg.norm(vector, axis=1)
    close = distance < limit
    if not close.any():
        return None
    worst = int(np.argmin(np.where(close, distance / np.where(close, limit, 1.0), np.inf)))
    i, j = int(atom[worst]), int(other[worst])
    n = len(np.unique(atom[close]))
    return Extrapolation(
        i, structure.symbols[i], DISTANCE, float(distance[worst]), n, float(limit[worst]), structure.symbols[j]
    )


@dataclass
class ExtrapolationGuard:
    """Acts on extrapolations by a policy, and counts them."""

    policy: ExtrapolationPolicy
    n_found: int = 0
    """Structures outside so far."""
    worst: dict[str, Extrapolation] = field(default_factory=dict)
    """The furthest departure so far of each kind (`descriptor`, `committee`)."""
    dumped: list[str] = field(default_factory=list)
    """Files written."""
    folder: DumpFolder | None = None
    """Takes them, with the action `dump`."""
    _n_seen: int = 0
    _last_dump: int | None = None
    _warned: dict[tuple[str, str], float] = field(default_factory=dict)

    def act(self, found: Sequence[Extrapolation], structure: Structure) -> None:
        """Do what the policy says about one structure, with the departures found in it (none: nothing).

        Raises
        ------
        ExtrapolationError
            if the action is `stop`; or if it is `dump` and the structure has collapsed.
        """
        self._n_seen += 1
        if not found or self.policy.action == "ignore":
            return
        self.n_found += 1
        for extrapolation in found:
            if extrapolation.kind not in self.worst or extrapolation.amount > self.worst[extrapolation.kind].amount:
                self.worst[extrapolation.kind] = extrapolation
        if self.policy.action == "stop":
            raise ExtrapolationError(found[0], structure)
        if self.policy.action == "dump":
            self._refuse_collapsed(found, structure)
        for extrapolation in found:
            key = (extrapolation.symbol, extrapolation.component)
            if extrapolation.amount > _WORSE * self._warned.get(key, 0.0):
                self._warned[key] = extrapolation.amount
                warnings.warn(str(extrapolation), ExtrapolationWarning, stacklevel=level_of_caller())
        if self.folder is not None:
            self._dump(self.folder, found, structure)

    def _refuse_collapsed(self, found: Sequence[Extrapolation], structure: Structure) -> None:
        """What no calculation is worth ends the run: it would fill the folder, and what follows is no better."""
        beyond = [extrapolation for extrapolation in found if extrapolation.grade > self.policy.most_beyond]
        collapse = find_collapse(structure, self.policy)
        if collapse is not None or beyond:
            raise ExtrapolationError(collapse or beyond[0], structure, collapsed=True)

    def _dump(self, folder: DumpFolder, found: Sequence[Extrapolation], structure: Structure) -> None:
        if self._last_dump is not None and self._n_seen - self._last_dump < self.policy.dump_interval:
            return
        path = folder.add(structure, found[0].atom, [str(extrapolation) for extrapolation in found])
        if path is not None:
            self.dumped.append(path)
            self._last_dump = self._n_seen
