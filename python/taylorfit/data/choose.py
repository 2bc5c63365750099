"""What is chosen for a data set: descriptor setups, displacement length, and why.

The rules are rules of thumb, meant as a start that works; every number is written into files
that can be edited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ..model.descriptor import DescriptorSetup, chebyshev_setup
from .survey import REACH, Survey

RADIAL_NEIGHBOURS, ANGULAR_NEIGHBOURS = 80, 20
"""Cutoffs are the shortest within which the atoms have so many neighbours on the average."""
SHORTEST_CUTOFF = 4.0
ORDER_PER_LENGTH = 2.0
"""Radial order per Å of cutoff: 16 for 8 Å, as in the published TiO2 potential."""
ANGULAR_ORDER = 8
"""Errors of forces are 4 to 15 % less than with 4, and an evaluation takes 1.3 times as long."""
DELTA_FRACTION = 0.01
"""Displacements are this fraction of the shortest distance (0.008 to 0.01 Å for water)."""
R_MIN_FRACTION = 0.75
"""RMIN is this fraction of the shortest distance: copies and dynamics come closer than the data."""
N_G2, ZETAS = 6, (1.0, 2.0, 4.0)
DEFAULT_SHORTEST = 2.0


@dataclass(frozen=True)
class Choice:
    """Lengths in Å, and the words that explain them."""

    radial_cutoff: float
    angular_cutoff: float
    radial_order: int
    angular_order: int
    r_min: float
    delta: float
    reasons: tuple[str, ...]


def choose(survey: Survey) -> Choice:
    """Choose cutoffs, orders and displacements from the distances in the data."""
    shortest = survey.shortest_of_all
    radial, radial_reason = _cutoff(survey, RADIAL_NEIGHBOURS)
    angular, angular_reason = _cutoff(survey, ANGULAR_NEIGHBOURS)
    r = DEFAULT_SHORTEST if shortest is None else shortest
    delta = float(f"{DELTA_FRACTION * r:.2g}")
    return Choice(
        radial_cutoff=radial,
        angular_cutoff=min(angular, radial),
        radial_order=round(ORDER_PER_LENGTH * radial),
        angular_order=ANGULAR_ORDER,
        r_min=math.floor(100 * R_MIN_FRACTION * r) / 100,
        delta=delta,
        reasons=(
            f"radial cutoff {radial:g} Å: {radial_reason}",
            f"angular cutoff {min(angular, radial):g} Å: {angular_reason}",
            f"radial order {round(ORDER_PER_LENGTH * radial)}: {ORDER_PER_LENGTH:g} per Å of cutoff; "
            f"angular order {ANGULAR_ORDER}: better forces than with the usual 4",
            f"delta {delta:g} Å: about {100 * DELTA_FRACTION:g} % of the shortest distance "
            + ("(none found; a bond of 2 Å is assumed)" if shortest is None else f"({shortest:.3f} Å)"),
        ),
    )


def _cutoff(survey: Survey, wanted: int) -> tuple[float, str]:
    """Return the shortest radius at which every species has `wanted` neighbours on the average."""
    least = survey.mean_neighbours.min(axis=0)
    usable = survey.radii >= SHORTEST_CUTOFF
    enough = np.flatnonzero(usable & (least >= wanted))
    if len(enough):
        return float(survey.radii[enough[0]]), f"at least {least[enough[0]]:.0f} neighbours on the average"
    if 0.0 < survey.longest < REACH - 0.5:
        length = max(SHORTEST_CUTOFF, math.ceil(2 * survey.longest + 1e-9) / 2)
        if wanted == RADIAL_NEIGHBOURS:
            return min(length, REACH), f"covers the longest distance in the structures ({survey.longest:.2f} Å)"
        most = float(least[-1])
        half = np.flatnonzero(usable & (least >= 0.5 * most))
        return float(survey.radii[half[0]]), f"at least half of all neighbours ({least[half[0]]:.1f} of {most:.1f})"
    fallback = 6.5 if wanted == RADIAL_NEIGHBOURS else 4.5
    i = int(np.argmin(np.abs(survey.radii - fallback)))
    return fallback, f"{least[i]:.1f} neighbours on the average; even {REACH:g} Å gives only {least[-1]:.1f}"


def propose_setups(survey: Survey, choice: Choice, behler: bool = False) -> list[DescriptorSetup]:
    """Return a setup for each species: Chebyshev, or generic G2 and G4 functions."""
    if behler:
        return [_behler(symbol, survey.species, choice) for symbol in survey.species]
    return [
        chebyshev_setup(
            symbol,
            survey.species,
            radial_cutoff=choice.radial_cutoff,
            radial_order=choice.radial_order,
            angular_cutoff=choice.angular_cutoff,
            angular_order=choice.angular_order,
            r_min=choice.r_min,
            description=f"  Chebyshev descriptor of {symbol}, proposed by taylorfit setup$$",
        )
        for symbol in survey.species
    ]


def _behler(symbol: str, species: tuple[str, ...], choice: Choice) -> DescriptorSetup:
    """G2 centred at the atom with widths in a geometric series (Imbalzano et al. 2018), G4 with λ = ±1.

    G4 has the weakest decay, η = 1/Rc², so that its range is that of the cutoff.
    """
    function, parameters, neighbours = [], [], []
    r_cut, n = choice.radial_cutoff, N_G2 - 1
    for t in range(1, len(species) + 1):
        for m in range(N_G2):
            eta = (n ** (m / n) / r_cut) ** 2
            function.append(2)
            parameters.append((r_cut, 0.0, round(eta, 6), 0.0))
            neighbours.append((t, 0))
    r_cut = choice.angular_cutoff
    for t, u in combinations_with_replacement(range(1, len(species) + 1), 2):
        for zeta in ZETAS:
            for sign in (-1.0, 1.0):
                function.append(4)
                parameters.append((r_cut, sign, zeta, round(1.0 / r_cut**2, 6)))
                neighbours.append((t, u))
    table = np.array(parameters)
    return DescriptorSetup(
        species=symbol,
        environment=species,
        basis="Behler2011",
        function=np.array(function, dtype=np.int32),
        parameters=table,
        neighbours=np.array(neighbours, dtype=np.int32),
        r_min=choice.r_min,
        r_cut=float(table[:, 0].max()),
        description=f"  generic symmetry functions of {symbol}, proposed by taylorfit setup$$",
    )
