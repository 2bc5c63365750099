"""Which atoms of which structures may be displaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..errors import InputError
from ..model.structure import Structure
from ..settings.displacements import STATIONARY_FORCE


class SkipReason(Enum):
    """Why a structure gets no copies; the value is the wording for reports."""

    NO_FORCES = "without forces"
    STATIONARY = "near-zero forces"
    STRONG_FORCE = "a force above forcemax"
    SINGLE_ATOM = "a single atom"
    NOT_PERIODIC = "no cell that is periodic in all directions"
    NO_STRESS = "without a stress"
    NEAR_ZERO_STRESS = "near-zero stress"
    NO_ATOM = "no atom selected"
    NO_WEIGHT = "without a force of a weight above 0"


@dataclass(frozen=True)
class SelectionRules:
    """What the user allows to be displaced.

    Raises
    ------
    InputError
        on construction, if a value is impossible.
    """

    species: tuple[str, ...] | None = None
    """Only atoms of these species; None for all."""
    atoms: tuple[int, ...] | None = None
    """Only these atoms, numbered from 1 as in the structure file; None for all."""
    force_min: float = 0.0
    """Atoms with |F| below this stay where they are, eV/Å."""
    force_max: float | None = None
    """Structures with any |F| above this get no copies, eV/Å.  The whole structure, because the
    steep contact that makes one force large spoils the expansion for its neighbours as well."""
    stationary_force: float = STATIONARY_FORCE
    """Structures whose largest |F| is below this get no copies, eV/Å: at a stationary point the
    first-order term vanishes and a copy would only teach the truncation error.  0 turns it off."""

    def __post_init__(self) -> None:
        for name in ("force_min", "force_max", "stationary_force"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"{name} cannot be used", value=value, expected="a force >= 0 in eV/Å")
        if self.force_max is not None and self.force_max < self.force_min:
            raise InputError("forcemax is below forcemin", value=self.force_max, expected=f"at least {self.force_min}")
        for name in ("species", "atoms"):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, tuple(value))
            if not value:
                raise InputError(f"{name}= is empty", expected=f"at least one, or no {name}= at all")
        for atom in self.atoms or ():
            if isinstance(atom, bool) or not isinstance(atom, (int, np.integer)) or atom < 1:
                raise InputError("atoms= holds an impossible atom number", value=atom, expected="integers from 1")


@dataclass(frozen=True, eq=False)
class AtomSelection:
    """The atoms of one structure that may be displaced; all a displacement strategy needs to know."""

    symbols: tuple[str, ...]
    """Chemical symbol of each atom."""
    displaced: np.ndarray
    """(n_atom,) bool: may this atom move?  All False if the structure is skipped."""
    reason: SkipReason | None = None
    """Why the structure is skipped; None if it is not."""
    positions: np.ndarray | None = None
    """(n_atom, 3) Å; what rotations are taken out with."""
    is_periodic: bool = False
    """In any direction: such a structure cannot turn freely."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the structure."""
        return len(self.symbols)


def select_atoms(structure: Structure, rules: SelectionRules = SelectionRules()) -> AtomSelection:
    """Return the atoms of one structure that `rules` allow to be displaced.

    Raises
    ------
    InputError
        if `rules.atoms` names an atom the structure does not have, or a force is not finite.
    """
    n_atoms = structure.n_atoms
    if rules.atoms is not None and max(rules.atoms) > n_atoms:
        raise InputError(
            "atoms= names an atom that is not there",
            file=structure.name or None,
            value=max(rules.atoms),
            expected=f"1 to {n_atoms}",
        )

    def skip(reason: SkipReason) -> AtomSelection:
        return AtomSelection(structure.symbols, np.zeros(n_atoms, dtype=bool), reason)

    if structure.forces is None:
        return skip(SkipReason.NO_FORCES)
    force = np.sqrt((structure.forces**2).sum(axis=1))
    if not np.isfinite(force).all():
        raise InputError("a force is not a finite number", file=structure.name or None)
    # A force of weight 0 is not to be believed: its atom stays, and it says nothing about the structure
    believed = structure.atom_weights > 0.0
    if not believed.any():
        return skip(SkipReason.NO_WEIGHT)
    force = np.where(believed, force, 0.0)
    if n_atoms < 2:
        return skip(SkipReason.SINGLE_ATOM)  # moving it moves everything: the energy cannot change
    if force.max() < rules.stationary_force:
        return skip(SkipReason.STATIONARY)
    if rules.force_max is not None and force.max() > rules.force_max:
        return skip(SkipReason.STRONG_FORCE)
    displaced = believed & (force >= rules.force_min)
    if rules.species is not None:
        displaced &= np.isin(structure.symbols, rules.species)
    if rules.atoms is not None:
        listed = np.zeros(n_atoms, dtype=bool)
        listed[np.array(rules.atoms) - 1] = True
        displaced &= listed
    if not displaced.any():
        return skip(SkipReason.NO_ATOM)
    return AtomSelection(structure.symbols, displaced, positions=structure.positions, is_periodic=any(structure.pbc))


def select_all(structures: Iterable[Structure], rules: SelectionRules = SelectionRules()) -> list[AtomSelection]:
    """Return the selection of every structure, in order.

    Raises
    ------
    InputError
        as `select_atoms`, and if a species of `rules` occurs in no structure (most likely a typing error).
    """
    selections = [select_atoms(structure, rules) for structure in structures]
    if rules.species is not None and selections:
        present = set().union(*(selection.symbols for selection in selections))
        for symbol in rules.species:
            if symbol not in present:
                raise InputError(
                    "species= names a species that no structure has",
                    value=symbol,
                    expected=f"one of {' '.join(sorted(present))}",
                )
    return selections


def count_skipped(selections: Sequence[AtomSelection]) -> dict[SkipReason, int]:
    """Return how many structures are skipped for each reason; reasons that do not occur are left out."""
    counts = Counter(selection.reason for selection in selections if selection.reason is not None)
    return {reason: counts[reason] for reason in SkipReason if counts[reason]}
