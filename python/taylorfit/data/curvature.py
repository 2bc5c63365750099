"""Mean force constants of the species: the size of the second order when there is no Hessian.

k_s is the mean of ∂²E/∂x² over the atoms of species s, the directions and the structures of a data set,
eV/Å².  The mean of ½ δᵀHδ over random directions of the displacements is then ½ Σ_i k_s(i) |δ_i|²: the bias
of first-order Taylor energies, which lie too low by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..model.structure import Structure
from .frame_pairs import FramePairs, separation

BOLTZMANN = 8.617333262e-5
"""eV/K"""
MIN_PAIRS = 20
"""Fewer pairs of near frames are no basis for an estimate."""
NEAR_RMS = 0.05
"""Å: frames further apart in root mean square have changed their bonds' directions and tell the soft motions only."""


@dataclass(frozen=True)
class Curvature:
    """Mean force constants and where they come from.

    Raises
    ------
    InputError
        on construction, for a force constant that is not positive.
    """

    constants: Mapping[str, float]
    """eV/Å² for each species."""
    source: str
    """In words."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of estimates, eV/Å²."""

    def __post_init__(self) -> None:
        for symbol, k in self.constants.items():
            if not (np.isfinite(k) and k > 0.0):
                raise InputError(
                    f"mean force constant of {symbol} not positive ({self.source})",
                    value=float(k),
                    expected=f"a stiffness above 0; give it: curvature={symbol}:<eV/Å²>,…",
                )

    @property
    def text(self) -> str:
        """Force constants in one line, eV/Å²."""
        shown = (
            f"{symbol} {k:.3g}" + (f" ± {self.errors[symbol]:.1g}" if symbol in self.errors else "")
            for symbol, k in self.constants.items()
        )
        return ", ".join(shown) + f" eV/Å² ({self.source})"


def curvature_from_forces(structures: Sequence[Structure], temperature: float) -> Curvature:
    """Estimate k_s = ⟨F_x²⟩_s / kT, for structures sampled in equilibrium at one temperature (K).

    The canonical identity ⟨∂²U/∂x²⟩ = ⟨(∂U/∂x)²⟩/kT follows from integration by parts, for any
    anharmonic U whose distribution vanishes at the border.

    Raises
    ------
    InputError
        if a species has no forces.
    """
    known = [structure for structure in structures if structure.forces is not None]
    squares = [structure.forces**2 for structure in known if structure.forces is not None]
    constants, errors = _means([s.symbols for s in known], squares, [s.atom_weights for s in known])
    kt = BOLTZMANN * temperature
    return Curvature(
        {s: k / kt for s, k in constants.items()},
        f"mean square forces at {temperature:g} K",
        {s: e / kt for s, e in errors.items()},
    )


def curvature_from_pairs(structures: Sequence[Structure], pairs: FramePairs) -> Curvature | None:
    """Estimate k_s = -Σ ΔF·Δr / Σ |Δr|² over the atoms of species s in pairs of near frames.

    Frames that follow each other within a few femtoseconds move mainly along stiff bonds and give a
    good estimate; further apart soft motions take over and it gets too small.

    Returns
    -------
    Curvature or None
        None if there are too few pairs that are near enough and have forces, or they say nothing about a species.
    """
    usable = np.flatnonzero(np.isfinite(pairs.work) & (pairs.rms < NEAR_RMS) & (pairs.rms > 0.0))
    if len(usable) < MIN_PAIRS:
        return None
    products: dict[str, float] = {}
    squares: dict[str, float] = {}
    for pair in usable:
        one, other = structures[pairs.first[pair]], structures[pairs.second[pair]]
        moved = separation(one, other)
        change = other.forces - one.forces
        symbols = np.where((one.atom_weights > 0.0) & (other.atom_weights > 0.0), one.symbols, "")
        for symbol in set(one.symbols):
            atoms = symbols == symbol
            products[symbol] = products.get(symbol, 0.0) - float((change * moved)[atoms].sum())
            squares[symbol] = squares.get(symbol, 0.0) + float((moved[atoms] ** 2).sum())
    constants = {symbol: products[symbol] / squares[symbol] for symbol in sorted(products) if squares[symbol] > 0.0}
    present = {symbol for structure in structures for symbol in structure.symbols}
    if set(constants) != present or min(constants.values()) <= 0.0:
        return None
    median = float(np.median(pairs.rms[usable]))
    return Curvature(constants, f"{len(usable)} pairs of near frames, rms distance {median:.3f} Å")


def curvature_from_traces(symbols: Sequence[Sequence[str]], diagonals: Sequence[np.ndarray]) -> Curvature:
    """Return the means of (samples of) the diagonal of the Hessian, (n_atom, 3) for each structure, eV/Å²."""
    constants, errors = _means(symbols, diagonals)
    return Curvature(constants, f"Hessian of a first potential, {len(diagonals)} structures", errors)


def _means(
    symbols: Sequence[Sequence[str]], values: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of (n_atom, 3) values over the atoms of each species, and its standard error (spread of the structures).

    `weights` (n_atom,) of each structure; None: 1.
    """
    sums: dict[str, list[tuple[float, float]]] = {}
    for place, (names, rows) in enumerate(zip(symbols, values, strict=True)):
        atoms = np.array(names)
        weight = np.ones(len(atoms)) if weights is None else weights[place]
        for symbol in set(names):
            chosen, own = rows[atoms == symbol], weight[atoms == symbol]
            if own.any():
                sums.setdefault(symbol, []).append((float((own[:, None] * chosen).sum()), 3.0 * float(own.sum())))
    constants, errors = {}, {}
    for symbol in sorted(sums):
        total, count = np.array(sums[symbol]).T
        constants[symbol] = total.sum() / count.sum()
        residuals = total - constants[symbol] * count
        if len(total) > 1:
            errors[symbol] = float(np.sqrt((residuals**2).sum() * len(total) / (len(total) - 1)) / count.sum())
    return constants, errors
