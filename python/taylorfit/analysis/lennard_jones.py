"""The Lennard-Jones dimer of Cooper et al. 2020 (sec. III A, eq. 12, figure 2): energies, forces, Taylor points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..model.structure import Structure
from ..taylor.expansion import taylor_energies

if TYPE_CHECKING:
    from ..potential.potential import Potential

POINTS = tuple(float(r) for r in np.linspace(1.4, 2.8, 7))
"""The seven equidistant reference distances, Å."""
DISPLACEMENT = 0.02
"""By which the distance is lengthened and shortened for the 14 Taylor points, Å."""


@dataclass(frozen=True)
class LennardJones:
    """V(r) = ε [(r0/r)¹² − 2 (r0/r)⁶]."""

    epsilon: float = 3.607
    """Depth of the minimum, eV."""
    r0: float = 1.54
    """Distance of the minimum, Å."""

    def energy(self, r: np.ndarray | float) -> np.ndarray | float:
        """V(r), eV."""
        x = (self.r0 / np.asarray(r)) ** 6
        return self.epsilon * (x**2 - 2.0 * x)

    def force(self, r: np.ndarray | float) -> np.ndarray | float:
        """−dV/dr, eV/Å: positive where the atoms repel each other."""
        x = (self.r0 / np.asarray(r)) ** 6
        return 12.0 * self.epsilon * (x**2 - x) / np.asarray(r)

    def dimer(self, r: float, symbol: str, atomic_energy: float = 0.0, name: str = "") -> Structure:
        """A dimer along x with its exact energy and forces; `atomic_energy` (eV) per isolated atom is added."""
        force = float(self.force(r))
        return Structure(
            (symbol, symbol),
            np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]]),
            energy=float(self.energy(r)) + 2.0 * atomic_energy,
            forces=np.array([[-force, 0.0, 0.0], [force, 0.0, 0.0]]),
            name=name,
        )

    def taylor_points(self, points: np.ndarray, delta: float = DISPLACEMENT) -> tuple[np.ndarray, np.ndarray]:
        """Distances r − δ and r + δ of all points, and their first-order energies (eq. 10).

        Parameters
        ----------
        points
            (n,) reference distances, Å

        Returns
        -------
        distances, energies
            (2 n,) Å and (2 n,) eV, the two of each point one after the other
        """
        distances, energies = [], []
        for r in map(float, points):
            parent = self.dimer(r, "X")
            shift = np.zeros((2, 2, 3))
            shift[:, 1, 0] = -delta, delta
            distances += [r - delta, r + delta]
            energies += list(taylor_energies(float(self.energy(r)), parent.known_forces, shift))
        return np.array(distances), np.array(energies)


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
