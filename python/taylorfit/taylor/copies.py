"""The copies of a structure before they are described: names, geometries and energies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from ..model.structure import Structure
from .displacements import DisplacementPlan
from .expansion import Expansion, per_atom
from .strain import StrainPlan, strain_energies, strained
from .truncation import truncation_weights


@dataclass(frozen=True, eq=False)
class Copies:
    """The copies of one structure."""

    names: list[str]
    bases: tuple[Structure, ...]
    """Structures whose displaced versions the copies are: the parent, or one strained structure for each copy."""
    displacements: tuple[np.ndarray, ...]
    """For each base (n, n_atom, 3), Å."""
    energy_changes: np.ndarray
    """(n_copy,) eV, relative to the parent."""

    def structures(self, parent: Structure) -> Iterator[Structure]:
        """Yield the copies as structures of their own, with energies, and the forces of the parent."""
        moved = ((base, step) for base, steps in zip(self.bases, self.displacements) for step in steps)
        for name, (base, step), change in zip(self.names, moved, self.energy_changes):
            energy, cohesive = parent.energies_raised(change)
            yield replace(
                base, positions=base.positions + step, energy=energy, cohesive_energy=cohesive, stress=None, name=name
            )


class CopySource(Protocol):
    """Where copies come from, structure by structure."""

    @property
    def description(self) -> str:
        """How the energies are expanded, in a few words."""

    @property
    def n_copies(self) -> np.ndarray:
        """(n_structure,) number of copies of each structure."""

    def names(self, index: int, structure: Structure) -> list[str]:
        """Return the names of the copies of structure `index`."""

    def of(self, index: int, structure: Structure) -> Copies:
        """Return the copies of structure `index`; the same at each call."""


@dataclass(frozen=True, eq=False)
class DisplacedCopies:
    """Copies with displaced atoms."""

    plan: DisplacementPlan
    expansion: Expansion = field(default_factory=Expansion)
    weighing: Mapping[str, float] | None = None
    """Mean force constants, eV/Å², to weigh the copies by their truncation error; None: all have weight 1."""

    @property
    def n_copies(self) -> np.ndarray:
        """(n_structure,) number of copies of each structure."""
        return self.plan.n_copies

    @property
    def description(self) -> str:
        """What the energies of the copies are expanded to."""
        return self.expansion.description

    def names(self, index: int, structure: Structure) -> list[str]:
        """Return the names of the copies of structure `index`."""
        return self._names(index, structure, None if self.weighing is None else self.plan.displacements(index))

    def of(self, index: int, structure: Structure) -> Copies:
        """Return the copies of structure `index`; the same at each call."""
        moved = self.plan.displacements(index)
        changes = self.expansion.energy_changes(index, structure, moved, self.plan.curvature_factor(index))
        return Copies(self._names(index, structure, moved), (structure,), (moved,), changes)

    def _names(self, index: int, structure: Structure, moved: np.ndarray | None) -> list[str]:
        weights = None
        if self.weighing is not None and moved is not None and len(moved):
            constants = self.plan.curvature_factor(index) * per_atom(self.weighing, structure.symbols)
            weights = truncation_weights(
                constants, structure.known_forces, moved, bool(self.expansion.curvature)
            ).tolist()
        return self.plan.copy_names(index, structure.name, weights)


@dataclass(frozen=True, eq=False)
class StrainedCopies:
    """Copies with strained cells."""

    plan: StrainPlan
    description: str = "energies expanded to first order in the strain"

    @property
    def n_copies(self) -> np.ndarray:
        """(n_structure,) number of copies of each structure."""
        return self.plan.n_copies

    def names(self, index: int, structure: Structure) -> list[str]:
        """Return the names of the copies of structure `index`."""
        return self.plan.copy_names(index, structure.name)

    def of(self, index: int, structure: Structure) -> Copies:
        """Return the copies of structure `index`; the same at each call."""
        strains = self.plan.strains(index)
        still = np.zeros((1, structure.n_atoms, 3))
        return Copies(
            self.names(index, structure),
            tuple(strained(structure, strain) for strain in strains),
            (still,) * len(strains),
            strain_energies(structure, strains),
        )
