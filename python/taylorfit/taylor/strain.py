"""Strained copies of periodic structures, whose energies follow from the stress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..model.provenance import STRAIN, copy_name
from ..model.structure import VOIGT, Structure
from ..settings.displacements import TaylorOptions
from ..tools.randomness import Stream
from .amounts import check_amounts, shared_out
from .balls import uniform_in_ball
from .selection import AtomSelection, SkipReason

NEAR_ZERO_STRESS = 1e-3
"""Structures with no stress component (eV/Å³) above this get no strained copies: 0.16 GPa, where cells
count as relaxed."""

_PLAN_STREAM = 0


@dataclass(frozen=True)
class StrainDisplacements:
    """Random symmetric strains: E(ε) = E + V σ:ε, the first order in ε.

    With them a training set of energies also knows the stress (there is no rotation in a symmetric ε).  The
    strains are uniform in the ball ‖ε‖ ≤ ε_max of the six-dimensional space of symmetric matrices with
    ‖ε‖² = Σ_xy ε_xy²: an isotropic distribution, in which no principal strain exceeds ε_max and each of six
    orthonormal components has the mean square ε_max²/8.  Positions and cell are multiplied by 1 + ε.

    Every structure with a stress and a cell that is periodic in all directions gets ⌊a⌋ copies or one more.

    Raises
    ------
    InputError
        on construction, if a value is impossible.
    """

    strain: float = 0.005
    """Largest strain ε_max."""
    n_copies: float = 16.0
    """Copies of each structure that can be strained."""
    max_copies: int | None = None
    """Upper bound on the number of all copies (N_max)."""
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.strain < 0.5:
            raise InputError("strain cannot be used", value=self.strain, expected="a strain > 0 and well below 1")
        check_amounts(self.n_copies, self.max_copies, self.seed)

    def options(self) -> TaylorOptions:
        """Return the same as the block DERIVATIVES of generate.in; N_max is its default where `max_copies` is None."""
        return TaylorOptions(
            strategy=STRAIN,
            strain=self.strain,
            fraction=self.n_copies,
            n_max=TaylorOptions.n_max if self.max_copies is None else self.max_copies,
            seed=self.seed,
        )

    def plan(self, selections: Sequence[AtomSelection]) -> StrainPlan:
        """Return the number of copies of each structure; those whose selection has a reason get none."""
        eligible = np.array([selection.reason is None for selection in selections], dtype=bool)
        n_copies, n_wanted = shared_out(eligible, self.n_copies, self.max_copies, self.rng(_PLAN_STREAM))
        return StrainPlan(self, tuple(selections), n_copies, n_wanted)

    def rng(self, stream: int) -> np.random.Generator:
        """Random numbers of the plan (0) or of structure s (s + 1)."""
        return Stream.STRAIN.generator(self.seed, stream)


@dataclass(frozen=True, eq=False)
class StrainPlan:
    """The strained copies of a data set before any of them is made."""

    strategy: StrainDisplacements
    selections: tuple[AtomSelection, ...]
    n_copies: np.ndarray
    """(n_structure,) int64 number of copies of each structure."""
    n_wanted: int
    """Copies that are asked for."""

    @property
    def total(self) -> int:
        """Number of all copies."""
        return int(self.n_copies.sum())

    def strains(self, structure: int) -> np.ndarray:
        """(n_copy, 3, 3) symmetric strains of the copies of one structure; the same at each call."""
        unit = uniform_in_ball(self.strategy.rng(structure + 1), (int(self.n_copies[structure]),), 6)
        shear = unit[:, 3:] * np.sqrt(0.5)  # each stands twice in the sum of squares
        return self.strategy.strain * np.concatenate([unit[:, :3], shear], axis=1)[:, VOIGT]

    def copy_names(self, structure: int, parent: str) -> list[str]:
        """Return the names of the copies of one structure whose name is `parent` (see `provenance`)."""
        return [copy_name(parent, STRAIN, c, self.strategy.strain) for c in range(int(self.n_copies[structure]))]


def select_for_strain(
    structure: Structure, force_max: float | None = None, near_zero: float = NEAR_ZERO_STRESS
) -> AtomSelection:
    """Return whether a structure gets strained copies, and why not.

    Parameters
    ----------
    force_max
        Not if any |F| is above this, eV/Å (`forcemax`).
    near_zero
        Not if no stress component is above this, eV/Å³: a copy would only teach the truncation error.
    """
    reason = None
    if not all(structure.pbc):
        reason = SkipReason.NOT_PERIODIC
    elif structure.stress is None:
        reason = SkipReason.NO_STRESS
    elif np.abs(structure.stress).max() < near_zero:
        reason = SkipReason.NEAR_ZERO_STRESS
    elif (
        force_max is not None
        and structure.forces is not None
        and np.sqrt((structure.forces**2).sum(axis=1)).max() > force_max
    ):
        reason = SkipReason.STRONG_FORCE
    return AtomSelection(structure.symbols, np.full(structure.n_atoms, reason is None), reason)


def strained(structure: Structure, strain: np.ndarray) -> Structure:
    """Return the structure with cell and positions multiplied by 1 + ε, without energy and stress."""
    turn = np.eye(3) + strain  # symmetric, so rows and columns are alike
    return replace(
        structure,
        positions=structure.positions @ turn,
        cell=structure.cell @ turn,
        energy=None,
        cohesive_energy=None,
        stress=None,
    )


def strain_energies(structure: Structure, strains: np.ndarray) -> np.ndarray:
    """Return E(ε) - E = V σ:ε for symmetric strains (n_copy, 3, 3), eV; σ has ASE's sign, σ = (1/V) ∂E/∂ε."""
    return structure.volume * np.einsum("cxy,xy->c", strains, structure.known_stress)
