"""What the first order leaves out: expected bias and scatter of Taylor energies, and displacements chosen by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.structure import Structure
from .displacements import DisplacementPlan
from .expansion import curvature_energies, per_atom

SCATTER = 0.2
"""Variance of ½ δᵀHδ for one atom in units of (k |δ|²)²: ¼ · 9 · 4/45 for a single stiff direction (three times
the mean force constant k along it, none across it) and a random direction of δ."""
COUPLING = 0.2
"""The same from the coupling to other atoms that move at once: measured on water clusters; 0.5 in a molecule of two
atoms."""
SAMPLE = 100
"""Structures whose copies are looked at for a forecast."""
LEAST_WEIGHT = 1e-3
LEFT = {"first order": ("bias", "spread", "scatter"), "corrected": ("scatter",), "centred": ("spread", "scatter")}
"""What is left of the truncation error: all of it in first-order energies; not the mean curvature after the correction;
not what is common to the copies of a structure in the group-centred loss."""


@dataclass(frozen=True)
class Forecast:
    """Expected errors of the energies of copies, eV/atom, and what they are to tell.

    The scatter is an estimate, from `SCATTER` and `COUPLING` and the mean force constants alone.
    """

    signal: float
    """Root mean square of δ·F."""
    bias: float
    """Mean error of first-order energies, -½ Σ k |δ|²: they lie too low."""
    spread: float
    """Standard deviation, about the bias, of ½ Σ k |δ|² among copies and structures."""
    scatter: float
    """Root mean square of what ½ Σ k |δ|² does not describe: directions."""

    def error(self, left: str) -> float:
        """Root mean square truncation error that is left, by a key of `LEFT`."""
        return float(np.sqrt(sum(getattr(self, part) ** 2 for part in LEFT[left])))

    def ratio(self, left: str) -> float:
        """Truncation error over signal."""
        return self.error(left) / self.signal if self.signal > 0.0 else np.inf


def forecast(
    structures: Sequence[Structure], plan: DisplacementPlan, constants: Mapping[str, float]
) -> Forecast | None:
    """Look at the displacements of up to `SAMPLE` structures; `constants` are mean force constants, eV/Å².

    None if there are no copies.
    """
    with_copies = np.flatnonzero(plan.n_copies)
    if len(with_copies) == 0:
        return None
    signals, means, scatters = [], [], []
    for s in with_copies[:: max(1, -(-len(with_copies) // SAMPLE))].tolist():
        structure, moved = structures[s], plan.displacements(s)
        k = plan.curvature_factor(s) * per_atom(constants, structure.symbols)
        signals.append((moved * structure.forces).sum(axis=(1, 2)) / structure.n_atoms)
        means.append(curvature_energies(k, moved) / structure.n_atoms)
        scatters.append(_scatter(k, moved) / structure.n_atoms)
    signal, mean, scatter = map(np.concatenate, (signals, means, scatters))
    return Forecast(
        signal=float(np.sqrt((signal**2).mean())),
        bias=-float(mean.mean()),
        spread=float(mean.std()),
        scatter=float(np.sqrt((scatter**2).mean())),
    )


def balanced_deltas(
    structures: Sequence[Structure],
    plan_with: Callable[[Mapping[str, float]], DisplacementPlan],
    constants: Mapping[str, float],
    ratio: float,
    left: str,
    trial: float = 0.01,
) -> dict[str, float] | None:
    """Return δ_max of each species, Å, with the wanted ratio of truncation error to signal.

    δ_s ∝ 1/√k_s: every species then has the same truncation error per atom.  All displacements of a
    strategy are proportional to a common factor of the δ_s; so is the signal, and the error to its square.

    Parameters
    ----------
    plan_with
        From δ_max of each species to the displacements; called once, with a mean of about `trial`.
    ratio
        Truncation error over signal.
    left
        Which truncation error: a key of `LEFT`.

    Returns
    -------
    dict or None
        None if there are no copies or no forces to learn from.
    """
    typical = np.sqrt(np.mean(list(constants.values())))
    start = {symbol: float(trial * typical / np.sqrt(k)) for symbol, k in constants.items()}
    found = forecast(structures, plan_with(start), constants)
    if found is None or found.signal == 0.0:
        return None
    factor = ratio / found.ratio(left)
    return {symbol: factor * delta for symbol, delta in start.items()}


def truncation_weights(
    constants: np.ndarray, forces: np.ndarray, displacements: np.ndarray, corrected: bool
) -> np.ndarray:
    """Return weights of the copies of one structure by their expected truncation error, (n_copy,), 0 to 1.

    w = S²/(S² + T²): the weight of a measurement of size S with an error T, both expected for random
    directions: S² = ⅓ Σ |F_i|² |δ_i|², and T = ½ Σ k_i |δ_i|² or, if that is corrected, the scatter about it.
    Copies of structures with small forces, which have little to say, count less.

    Parameters
    ----------
    constants
        (n_atom,) mean force constants, eV/Å².
    forces
        (n_atom, 3), eV/Å.
    displacements
        (n_copy, n_atom, 3), Å.
    corrected
        Are the energies corrected by the mean curvature?
    """
    squares = (displacements**2).sum(axis=2)
    signal = (squares * (forces**2).sum(axis=1)).sum(axis=1) / 3.0
    error = _scatter(constants, displacements) ** 2
    if not corrected:
        error = error + curvature_energies(constants, displacements) ** 2
    return np.maximum(signal / np.maximum(signal + error, np.finfo(float).tiny), LEAST_WEIGHT)


def _scatter(constants: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    """(n_copy,) standard deviation of ½ δᵀHδ for fixed lengths and random directions, eV; see `Forecast`."""
    squares = (displacements**2).sum(axis=2)
    coupled = np.count_nonzero(squares, axis=1) > 1
    return np.sqrt((SCATTER + COUPLING * coupled) * ((constants * squares) ** 2).sum(axis=1))
