"""What potentials say about a dimer of Lennard-Jones atoms (figure 2 of Cooper et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .lennard_jones import LennardJones

if TYPE_CHECKING:
    from ..potential.potential import Potential


@dataclass(frozen=True, eq=False)
class DimerCurve:
    """Energy and force of a dimer against its length."""

    label: str
    r: np.ndarray
    """(n,) distances, ascending, Å"""
    energy: np.ndarray
    """(n,) energy relative to the isolated atoms, eV"""
    force: np.ndarray
    """(n,) force along the bond, positive where the atoms repel each other, eV/Å"""


def potential_curve(potential: Potential, label: str, r: np.ndarray) -> DimerCurve:
    """Evaluate the potential of a single species for dimers of the lengths `r` (n,), Å."""
    ((symbol, atomic_energy),) = potential.atomic_energies.items()
    dimers = [LennardJones().dimer(float(length), symbol) for length in r]
    evaluations = potential.evaluate(dimers)
    return DimerCurve(
        label,
        r,
        np.array([e.energy for e in evaluations]) - 2.0 * atomic_energy,
        np.array([e.known_forces[1, 0] for e in evaluations]),
    )
