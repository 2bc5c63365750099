"""Copies with pairs of atoms pushed together (`repel`): how many, and how hard they are pushed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .option import Settings, option, require

REACH = 5.0
"""Å: the repulsion of pairs further apart is left out."""
SMALLEST_RISE = 0.02
"""eV: copies that rise less say nothing."""


@dataclass(frozen=True)
class RepulsionPlan(Settings):
    """How many copies with pushed pairs, and how hard they are pushed.

    Raises
    ------
    InputError
        on construction, for numbers out of range.
    """

    copies: int = option(
        3,
        check="n ≥ 1",
        message="too few copies with pushed pairs",
        expected="1 or more",
        help="copies of each structure",
    )
    shortest_push: float = option(0.2, unit="Å", help="least by which a pair is shortened")
    longest_push: float = option(1.2, unit="Å", help="most by which a pair is shortened")
    highest: float = option(
        12.0,
        unit="eV",
        check=f"{SMALLEST_RISE} < E < ∞",
        message="the largest rise of the energy cannot be used",
        expected=f"eV, above {SMALLEST_RISE:g}",
        help="largest rise of the energy",
    )
    tolerance: float = option(
        0.5e-3,
        unit="eV/atom",
        help="weights make the uncertainty of the copies' energies count like errors of this size",
    )
    seed: int = option(1, check="n ≥ 0", message="the seed is negative", expected="0 or more", help="seed of the draws")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0.0 < self.shortest_push <= self.longest_push < REACH,
            "shortest_push",
            "pairs cannot be shortened like this",
            f"{self.shortest_push:g} to {self.longest_push:g} Å",
            f"0 < shortest ≤ longest < {REACH:g} Å",
        )
        require(
            0.0 < self.tolerance < math.inf,
            "tolerance",
            "the tolerance cannot be used",
            f"{1000 * self.tolerance:g} meV/atom",
            "above 0",
        )
