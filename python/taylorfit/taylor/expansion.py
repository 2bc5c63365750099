"""Energies of displaced structures by first-order Taylor expansion."""

from __future__ import annotations

import numpy as np

from ..errors import InputError


def taylor_energies(energy: float, forces: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """Return the first-order energies of displaced copies of one structure.

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
        raise InputError(
            f"displacements have shape {displacements.shape}", expected=f"(n_copy, {forces.shape[0]}, 3)"
        )
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise InputError("the energy or a force is not a finite number")
    # The small terms are added up first, pairwise, and meet the large energy once: total energies
    # of 1e5 eV cost one rounding and not 3N of them.
    work = (displacements * forces).reshape(len(displacements), forces.size).sum(axis=1)
    return energy - work
