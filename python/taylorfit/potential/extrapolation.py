"""Structures unlike the training data: found by their descriptors or by a committee's disagreement, and acted upon."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import TaylorfitError
from ..formats.structures.xsf import write_xsf
from ..model.descriptor import DescriptorSetup, component_name
from ..model.structure import Structure
from ..settings.extrapolation import ExtrapolationPolicy
from ..tools.os_errors import make_folder
from ..tools.warn import level_of_caller

COMMITTEE = "committee"

_DUMP_NAME = "extrapolation-{:04d}.xsf"
_WORSE = 2.0
"""A warning about the same component comes again when the departure has grown by this factor."""


@dataclass(frozen=True)
class Extrapolation:
    """Where a structure is furthest from the training data."""

    atom: int
    """Index from 0."""
    symbol: str
    component: str
    """Name of the descriptor component, or `COMMITTEE` for a disagreement about forces."""
    amount: float
    """How far outside the range of the training data, in σ of that component; for a committee the standard
    deviation of the force, eV/Å."""
    n_atoms: int
    """Atoms beyond the limit."""

    @property
    def kind(self) -> str:
        """`descriptor` or `committee`."""
        return COMMITTEE if self.component == COMMITTEE else "descriptor"

    def __str__(self) -> str:
        others = "" if self.n_atoms == 1 else f" ({self.n_atoms} atoms are beyond the limit)"
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
    """The same, where that is to stop the run; the extrapolation and the structure are attributes."""

    def __init__(self, extrapolation: Extrapolation, structure: Structure) -> None:
        super().__init__(str(extrapolation))
        self.extrapolation = extrapolation
        self.structure = structure

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.extrapolation, self.structure)


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
    )


def find_disagreement(structure: Structure, force_std: np.ndarray, limit: float) -> Extrapolation | None:
    """Return where a committee differs most about the force, (n_atom,) eV/Å, or None below the limit."""
    if not len(force_std) or not force_std.max() > limit:
        return None
    atom = int(force_std.argmax())
    return Extrapolation(
        atom, structure.symbols[atom], COMMITTEE, float(force_std[atom]), int((force_std > limit).sum())
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
    _n_seen: int = 0
    _last_dump: int | None = None
    _warned: dict[tuple[str, str], float] = field(default_factory=dict)

    def act(self, found: Sequence[Extrapolation], structure: Structure) -> None:
        """Do what the policy says about one structure, with the departures found in it (none: nothing).

        Raises
        ------
        ExtrapolationError
            if the action is `stop`.
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
        for extrapolation in found:
            key = (extrapolation.symbol, extrapolation.component)
            if extrapolation.amount > _WORSE * self._warned.get(key, 0.0):
                self._warned[key] = extrapolation.amount
                warnings.warn(str(extrapolation), ExtrapolationWarning, stacklevel=level_of_caller())
        if self.policy.action == "dump":
            self._dump(found, structure)

    def _dump(self, found: Sequence[Extrapolation], structure: Structure) -> None:
        if self._last_dump is not None and self._n_seen - self._last_dump < self.policy.dump_interval:
            return
        folder = make_folder(self.policy.folder)
        there = [
            int(match[1])
            for path in folder.iterdir()
            if (match := re.fullmatch(r"extrapolation-(\d+)\.xsf", path.name))
        ]
        if len(there) >= self.policy.most_dumps:
            return
        path = folder / _DUMP_NAME.format(max(there, default=0) + 1)
        # No energy and forces: those of a potential must not be taken for a reference
        write_xsf(path, structure, [str(extrapolation) for extrapolation in found], overwrite=False)
        self.dumped.append(str(path))
        self._last_dump = self._n_seen
