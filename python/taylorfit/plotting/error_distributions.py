"""Distributions of the errors of several sets of potentials (Cooper et al. 2020, figures 3a, 5a, b and S2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.measures import density, force_error_norm
from ..errors import InputError
from ..model.measures import ENERGY_UNIT, FORCE_UNIT
from ..model.predictions import Predictions
from .style import COLUMN, PAGE, in_symbols, letter_panels, line_style, literal, new_figure, plain_log_ticks, styled

SHOWN = 0.995
"""Fraction of the values of the widest distribution inside of the panel."""
LONGEST_TAIL = 3.0
"""Tails are shown up to so many times the error that the fraction `SHOWN` stays below."""
BINS = (8, 80)
"""At least and at most so many bins."""
BINNED = 0.999
"""Fraction of the values of each distribution that its bins cover; few outliers must not make them wide."""


@styled
def errors(sets: Predictions | Sequence[Predictions], log: bool = False) -> Figure:
    """Draw the distribution of |F − F_ref| over atoms, and that of the energy errors per atom over structures.

    With `log` these are the fractions of larger errors (1 − cumulative distribution), in which single values of the
    tails do not make a picket fence as in a histogram.

    Parameters
    ----------
    sets
        one or more; their labels make the legend
    log
        fractions of larger errors on a logarithmic axis, which shows the tails

    Raises
    ------
    InputError
        if no set has a reference.
    """
    sets = [sets] if isinstance(sets, Predictions) else sets
    norms = [force_error_norm(*reversed(one.compared_forces)) for one in sets]
    energies = [ENERGY_UNIT.factor * one.energy_error_per_atom for one in sets]
    with_forces, with_energies = any(map(len, norms)), any(map(len, energies))
    if not with_forces and not with_energies:
        raise InputError("no reference to compare with", expected="structures with energies or forces")
    n = with_forces + with_energies
    drawing = new_figure(PAGE if n == 2 else COLUMN, 2.6)
    panels = list(drawing.subplots(1, n, squeeze=False)[0])
    legend_in = panels[0]
    if with_forces:
        panel = panels.pop(0)
        panel.set_xlabel(in_symbols(f"|F − F_ref| ({FORCE_UNIT.name})"))
        if log:
            draw_tails(panel, norms, sets)
            panel.set_ylabel("atoms with larger errors (%)")
        else:
            draw_densities(panel, norms, sets, signed=False)
            panel.set_ylabel("probability density (Å/eV)")
    if with_energies:
        panel = panels.pop(0)
        if log:
            draw_tails(panel, [np.abs(values) for values in energies], sets)
            panel.set_xlabel(f"|energy error| ({ENERGY_UNIT.name})")
            panel.set_ylabel("structures with larger errors (%)")
        else:
            draw_densities(panel, energies, sets, signed=True)
            panel.axvline(0.0, color="0.6", linewidth=0.5, zorder=0)
            panel.set_xlabel(f"energy error ({ENERGY_UNIT.name})")
            panel.set_ylabel("probability density (atom/meV)")
    for panel in drawing.axes:
        if log:
            panel.set_yscale("log")
            plain_log_ticks(panel.yaxis)
        else:
            panel.set_ylim(bottom=0.0)
    if legend_in.get_legend_handles_labels()[0]:
        legend_in.legend(loc="upper right")
    letter_panels(drawing.axes)
    return drawing


def draw_tails(panel: Axes, values: Sequence[np.ndarray], sets: Sequence[Predictions]) -> None:
    """Draw which fraction of the values, all ≥ 0, is larger; the legend counts those beyond the axis."""
    known = [errors for errors in values if len(errors)]
    bulk = max(float(np.quantile(errors, SHOWN, method="lower")) for errors in known)
    largest = max(float(errors.max()) for errors in known)
    widest = min(1.02 * largest, LONGEST_TAIL * bulk) or largest or 1.0
    for index, (one, errors) in enumerate(zip(sets, values)):
        if len(errors):
            larger = 100.0 * np.arange(len(errors), 0, -1) / len(errors)
            n = int((errors > widest).sum())
            panel.step(
                np.concatenate([[0.0], np.sort(errors)]),
                np.concatenate([larger[:1], larger]),
                linewidth=1.1,
                label=literal(one.label) + (f" ({n} farther out)" if n else ""),
                **line_style(index),
            )
    panel.set_xlim(0.0, widest)
    panel.set_ylim(70.0 / max(map(len, values)), 130.0)


def draw_densities(panel: Axes, values: Sequence[np.ndarray], sets: Sequence[Predictions], signed: bool) -> None:
    """Draw the densities, each with bins of its own, as wide as its spread and number of values ask for."""
    widest = max(float(np.quantile(np.abs(errors), SHOWN)) for errors in values if len(errors)) or 1.0
    for index, (one, errors) in enumerate(zip(sets, values)):
        if len(errors):
            edges = _edges(errors, signed)
            panel.stairs(
                density(errors, edges),
                edges,
                baseline=None,
                linewidth=1.1,
                label=literal(one.label),
                **line_style(index),
            )
    panel.set_xlim(-widest if signed else 0.0, widest)


def _edges(values: np.ndarray, signed: bool) -> np.ndarray:
    """Edges of equal bins over nearly all values, their width by Freedman and Diaconis (1981)."""
    outside = 0.5 * (1.0 - BINNED) if signed else 1.0 - BINNED
    low = np.quantile(values, outside, method="lower") if signed else 0.0
    high = np.quantile(values, 1.0 - outside, method="higher")
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = 2.0 * np.subtract(*np.quantile(values, (0.75, 0.25))) / len(values) ** (1.0 / 3.0)
    n = np.clip((high - low) / width, *BINS) if width > 0 else BINS[0]
    return np.linspace(low, high, 1 + round(float(n)))
