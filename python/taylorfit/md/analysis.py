"""What molecular dynamics says about a potential: conservation of energy, radial distribution functions, stability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..engine import neighbours
from ..model.structure import Structure


@dataclass(frozen=True)
class Drift:
    """How well the total energy of an NVE run is conserved; None where there are too few rows."""

    slope: float | None = None
    """Of a straight line through the total energy, meV/atom/ps."""
    slope_error: float | None = None
    """Its standard error, correlation of consecutive rows included."""
    fluctuation: float | None = None
    """Standard deviation of the total energy, meV/atom."""
    relative: float | None = None
    """|slope| over the standard deviation of the kinetic energy, 1/ps."""
    largest: float | None = None
    """Largest distance of the total energy from its first value, meV/atom: a jump hides in slope and fluctuation."""


def energy_drift(time: np.ndarray, total: np.ndarray, kinetic: np.ndarray, n_atoms: int) -> Drift:
    """Fit a straight line to the total energy.

    The standard error is that of least squares, enlarged by sqrt((1 + ρ)/(1 − ρ)) with ρ the correlation of
    residuals of neighbouring rows, for these are not independent.

    Parameters
    ----------
    time
        (n,) ps
    total, kinetic
        (n,) energies of the cell, eV
    """
    n = len(time)
    if n < 2:
        return Drift()
    per_atom = 1e3 / n_atoms
    t, e = time - time.mean(), (total - total.mean()) * per_atom
    slope = float(t @ e / (t @ t))
    error = None
    if n > 3:
        residual = e - slope * t
        square = float(residual @ residual)
        correlation = float(residual[1:] @ residual[:-1]) / square if square > 0.0 else 0.0
        correlation = min(max(correlation, 0.0), 1.0 - 1.0 / n)
        error = float(np.sqrt(square / (n - 2) / (t @ t) * (1.0 + correlation) / (1.0 - correlation)))
    spread = float(kinetic.std()) * per_atom
    return Drift(
        slope,
        error,
        float(e.std()),
        abs(slope) / spread if spread > 0.0 else None,
        float(np.abs(total - total[0]).max()) * per_atom,
    )


def pair_counts(structure: Structure, pairs: Sequence[tuple[str, str]], r_max: float, bins: int) -> np.ndarray:
    """Count the neighbours of the second species around atoms of the first by distance, (n_pair, bins)."""
    first, atom, vector = neighbours(structure, r_max)
    distance = np.sqrt(np.einsum("ij,ij->i", vector, vector))
    symbols = np.array(structure.symbols)
    centre = np.repeat(symbols, np.diff(first))
    other = symbols[atom]
    return np.array(
        [np.histogram(distance[(centre == a) & (other == b)], bins=bins, range=(0.0, r_max))[0] for a, b in pairs],
        dtype=np.int64,
    ).reshape(len(pairs), bins)


def radial_distribution(
    counts: np.ndarray,
    n_samples: int,
    symbols: Sequence[str],
    volume: float,
    pairs: Sequence[tuple[str, str]],
    r_max: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of the bins (Å) and g(r) of each pair, (n_pair, bins).

    Counts are compared with those of an ideal gas of the same density N_b/V (Å⁻³); periodic images count as atoms.
    """
    edges = np.linspace(0.0, r_max, counts.shape[1] + 1)
    shell = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    expected = np.array([symbols.count(a) * symbols.count(b) / volume for a, b in pairs])[:, None] * shell
    return 0.5 * (edges[1:] + edges[:-1]), counts / (n_samples * expected)


def highest_peak(r: np.ndarray, g: np.ndarray) -> tuple[float, float]:
    """Place (Å) and height of the highest bin of a radial distribution function."""
    top = int(g.argmax())
    return float(r[top]), float(g[top])


def first_peak(r: np.ndarray, g: np.ndarray, width: float = 0.3) -> tuple[float, float]:
    """Place (Å) and height of the first peak of a radial distribution function.

    The first bin above 1 that is the highest within `width` (Å) on both sides, so that noise makes no peak; the highest
    bin where there is none.
    """
    for top in np.flatnonzero(g > 1.0):
        if g[top] >= g[np.abs(r - r[top]) <= width].max():
            return float(r[top]), float(g[top])
    return highest_peak(r, g)
