"""What potentials say about a dimer, and how well: the numbers behind figure 2 of Cooper et al. (2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import PotentialTables, evaluate
from ..potential.files import atomic_energies, potentials_by_species, read_potentials
from .lennard_jones import LennardJones


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


@dataclass(frozen=True)
class DimerNumbers:
    """The curve in numbers."""

    r_min: float
    """Distance of the deepest minimum, Å."""
    depth: float
    """Energy there relative to the isolated atoms, negative, eV."""
    curvature: float
    """Second derivative there, eV/Å²."""
    rms: float
    """Root mean square deviation from the exact energy, eV."""
    largest: float
    """Largest deviation, eV."""


def potential_curve(files: Sequence[str], label: str, r: np.ndarray) -> DimerCurve:
    """Evaluate the potential of one species for dimers of the lengths `r` (n,), Å.

    Raises
    ------
    InputError
        if a file cannot be read, or the files are not the potential of one species.
    """
    potentials = read_potentials(potentials_by_species(files))
    ((symbol, atomic_energy),) = atomic_energies(potentials).items()
    dimers = [LennardJones().dimer(float(length), symbol) for length in r]
    evaluations = evaluate(dimers, PotentialTables.from_potentials(potentials), forces=True)
    return DimerCurve(
        label,
        r,
        np.array([e.energy for e in evaluations]) - 2.0 * atomic_energy,
        np.array([e.forces[1, 0] for e in evaluations]),
    )


def dimer_numbers(curve: DimerCurve, exact: LennardJones, low: float, high: float) -> DimerNumbers:
    """Minimum, curvature and deviations of a curve between two distances, Å.

    The minimum is refined by the force: it lies where the force, linear between the grid points, is zero.  The
    curvature is the slope of the force there, by central differences of neighbouring grid points.
    """
    inside = (curve.r >= low - 1e-9) & (curve.r <= high + 1e-9)
    r, energy, force = curve.r[inside], curve.energy[inside], curve.force[inside]
    lowest = int(energy.argmin())
    slope = -np.gradient(force, r)
    # At an end of the range there is no minimum to refine
    step = force[lowest] / slope[lowest] if 0 < lowest < len(r) - 1 and slope[lowest] > 0.0 else 0.0
    deviation = np.abs(energy - exact.energy(r))
    return DimerNumbers(
        r_min=float(r[lowest] + step),
        depth=float(energy[lowest] - 0.5 * force[lowest] * step),
        curvature=float(np.interp(r[lowest] + step, r, slope)),
        rms=float(np.sqrt((deviation**2).mean())),
        largest=float(deviation.max()),
    )
