"""Energies of displaced structures by Taylor expansion to first or second order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..model.structure import Structure
from .modes import HessianSource


def taylor_energies(
    energy: float, forces: np.ndarray, displacements: np.ndarray, second_order: np.ndarray | None = None
) -> np.ndarray:
    """Return the energies of displaced copies of one structure.

    E(σ') = E(σ) - Σ_i δ_i·F_i(σ), eq. 10 of Cooper, Kästner, Urban, Artrith (2020): an atom that
    follows its force lowers the energy.  (Eq. 11 there is misprinted: for the displacement -δ along
    x it must read E + δ F_x, which is what eq. 10 gives and what is used here.)

    Parameters
    ----------
    energy
        Energy of the parent structure E(σ), eV.
    forces
        (n_atom, 3) its forces, eV/Å.
    displacements
        (n_copy, n_atom, 3) displacements δ, Å.
    second_order
        (n_copy,) what is known of the second order, eV, to be added; None for nothing.

    Returns
    -------
    np.ndarray
        (n_copy,) energies, eV.  The value of a copy does not depend on the other copies.

    Raises
    ------
    InputError
        if the shapes disagree or energy or forces are not finite.
    """
    forces = np.asarray(forces, dtype=np.float64)
    displacements = np.asarray(displacements, dtype=np.float64)
    if forces.ndim != 2 or forces.shape[1] != 3:
        raise InputError(f"forces have shape {forces.shape}", expected="(n_atom, 3)")
    if displacements.ndim != 3 or displacements.shape[1:] != forces.shape:
        raise InputError(f"displacements have shape {displacements.shape}", expected=f"(n_copy, {forces.shape[0]}, 3)")
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise InputError("the energy or a force is not a finite number")
    # The small terms are added up first, pairwise, and meet the large energy once: total energies
    # of 1e5 eV cost one rounding and not 3N of them.
    work = (displacements * forces).reshape(len(displacements), forces.size).sum(axis=1)
    if second_order is not None:
        work = work - second_order
    return energy - work


def hessian_energies(hessian: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Return ½ δᵀ H δ, (n_copy,) eV, with all cross terms (eq. 9 of Cooper et al. prints the diagonal alone).

    `hessian` is (3N, 3N), eV/Å²; `displacements` (n_copy, N, 3), Å.
    """
    flat = displacements.reshape(len(displacements), -1)
    # einsum: a copy's value must not depend on the other copies, nor on the threads of BLAS
    return 0.5 * (np.einsum("cb,ab->ca", flat, hessian) * flat).sum(axis=1)


def curvature_energies(constants: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Return ½ Σ_i k_i |δ_i|², (n_copy,) eV: the mean of ½ δᵀHδ over the directions of the displacements.

    `constants` (n_atom,) are mean force constants per Cartesian component, eV/Å², k_i = tr(H_ii)/3, times
    the factor of displacements without rigid motions.
    """
    return 0.5 * ((displacements**2).sum(axis=2) * constants).sum(axis=1)


def per_atom(constants: Mapping[str, float], symbols: Sequence[str]) -> np.ndarray:
    """(n_atom,) value of the species of each atom.

    Raises
    ------
    InputError
        for a species without a value.
    """
    missing = sorted(set(symbols) - set(constants))
    if missing:
        raise InputError(
            "no curvature for a species", value=" ".join(missing), expected="curvature= with all species, or auto"
        )
    return np.array([constants[symbol] for symbol in symbols])


@dataclass(frozen=True)
class Expansion:
    """How the energies of displaced copies follow from their parents.

    Raises
    ------
    InputError
        on construction, if both kinds of second order are given.
    """

    curvature: Mapping[str, float] = field(default_factory=dict)
    """Mean force constant of each species, eV/Å², to correct first-order energies with; empty: no correction."""
    hessians: HessianSource | None = None
    """For the second order in full."""

    def __post_init__(self) -> None:
        if self.curvature and self.hessians is not None:
            raise InputError("curvature= corrects what order=2 computes", expected="one of the two")

    @property
    def description(self) -> str:
        """In a few words."""
        if self.hessians is not None:
            return "energies expanded to second order"
        return "energies expanded to first order" + (", corrected by the mean curvature" if self.curvature else "")

    def energy_changes(
        self, index: int, structure: Structure, displacements: np.ndarray, factor: float = 1.0
    ) -> np.ndarray:
        """(n_copy,) E(σ') - E(σ) for the displacements (n_copy, n_atom, 3) of structure `index`, eV.

        `factor` is that of `DisplacementPlan.curvature_factor`.
        """
        second = None
        if self.hessians is not None:
            second = hessian_energies(self.hessians(index), displacements)
        elif self.curvature:
            second = curvature_energies(factor * per_atom(self.curvature, structure.symbols), displacements)
        return taylor_energies(0.0, structure.known_forces, displacements, second)
