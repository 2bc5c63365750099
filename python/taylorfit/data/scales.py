"""Absolute scales of reference data: numbers that no material has are in other units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.distances import typical_bond
from ..model.structure import Structure
from ..tools.statistics import median
from .frame_pairs import UnitCheck

_GPA = 160.2176634  # per eV/Å³
_LARGEST_STRESS = 0.3  # eV/Å³, median of the largest component; 48 GPa
_STRESS_ARM = (
    3.0  # Å; the virial of an atom over the force on it, where the atoms are far from their places, is 0.1 to 1
)
_HUGE_FORCE = 10.0  # eV/Å, median |F| of all atoms; thermal and distorted data have 0.5 to 3
_HUGE_SPREAD = 5.0  # eV/atom about what the composition gives; no material binds by twice of that
_SURVEYED = 200  # structures whose bonds are looked at
_BOHR_BONDS = (
    1.6,
    2.15,
)  # nearest neighbour's distance over covalent radii: bonds have 0.8 to 1.15, in Bohr 1.89 times that
_SHORT_BONDS = 0.62  # Cr2 has 0.60, no other molecule below 0.75; 0.53 is Å converted from Bohr once too often


def implausible_scales(
    structures: Sequence[Structure], median_forces: np.ndarray, energy_spread: float | None, units: Sequence[UnitCheck]
) -> list[str]:
    """Return one line for each quantity whose size makes no sense in eV and Å.

    Parameters
    ----------
    median_forces
        (n_structure,) median |F|, eV/Å; NaN without forces
    energy_spread
        of the energies per atom about a linear function of the composition, eV/atom; None if unknown
    units
        energies against forces, which say whether the units are at least consistent
    """
    found = []
    usual = median(median_forces[~np.isnan(median_forces)])
    if usual > _HUGE_FORCE:
        found.append(
            f"forces are implausibly large: median |F| {usual:.3g} eV/Å; multiplied by 27.2 or 51.4 on the way, "
            "or atoms far from their places?"
        )
    stressed = [
        (np.abs(s.stress).max(), s.n_atoms / max(abs(np.linalg.det(s.cell)), 1e-9))
        for s in structures
        if s.stress is not None
    ]
    stress, density = (median(values) for values in zip(*stressed)) if stressed else (0.0, 1.0)
    # Atoms far from their places, with forces to match, are under such stresses
    if stress > _LARGEST_STRESS and not stress / density < _STRESS_ARM * usual:
        found.append(
            f"stresses are implausibly large: median of the largest component {stress:.3g} eV/Å³, "
            f"{_GPA * stress:.3g} GPa; in GPa, kB or as a virial instead of eV/Å³?"
        )
    if energy_spread is not None and energy_spread > _HUGE_SPREAD:
        found.append(
            f"energies per atom spread by {energy_spread:.3g} eV/atom more than their compositions explain; "
            "in kcal/mol or kJ/mol instead of eV, or of several methods?"
        )
    return found + _bond_lines(structures, units)


def _bond_lines(structures: Sequence[Structure], units: Sequence[UnitCheck]) -> list[str]:
    step = max(1, len(structures) // _SURVEYED)
    bonds = sorted(bond for s in structures[::step] if (bond := typical_bond(s)) is not None)
    if not bonds:
        return []
    relative, pair, length = bonds[len(bonds) // 2]
    said = f"distances are {relative:.2f} times those of bonds (typically {pair} {length:.3f} Å)"
    if relative < _SHORT_BONDS:
        return [f"{said}: converted from Bohr to Å twice, or in nm?"]
    if not _BOHR_BONDS[0] < relative < _BOHR_BONDS[1]:
        return []
    consistent = any(check.judged and check.problem is None for check in units)
    return [
        f"{said}: in Bohr instead of Å"
        + (", and as energies and forces fit to them, these in Hartree and Hartree/Bohr?" if consistent else "?")
    ]
