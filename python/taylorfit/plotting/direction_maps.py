"""Maps of the direction error against the reference force (Cooper et al. 2020, figures 3b to d and 5c to e)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..analysis.measures import binned_median, direction_error
from ..errors import InputError
from ..model.measures import FORCE_UNIT
from ..model.predictions import Predictions
from .style import (
    BLACK,
    MAP_COLOURS,
    in_symbols,
    label_lowest,
    letter_panels,
    literal,
    note,
    panel_grid,
    plain_log_ticks,
    styled,
)

BINS_FORCE, BINS_ANGLE = 50, 60
BINS_MEDIAN = 25
SHOWN = 0.999
"""Fraction of the atoms inside of the panels; the largest forces are few and far."""
LEAST = 10
"""A bin with fewer atoms has no median."""


@styled
def directions(sets: Predictions | Sequence[Predictions]) -> Figure:
    """Draw one map per set: share of the atoms per cell of |F_ref| and the angle between F and F_ref.

    All panels have the same axes, cells and colours, so they can be compared; the line is the median angle at
    each |F_ref|.

    Raises
    ------
    InputError
        if a set has no atom with a non-zero reference force.
    """
    sets = [sets] if isinstance(sets, Predictions) else sets
    drawing, panels = panel_grid(len(sets), 2.3, 0.3, sharey=True)
    draw_maps(drawing, panels, sets)
    letter_panels(panels.flat[: len(sets)])
    return drawing


def draw_maps(drawing: Figure, panels: np.ndarray, sets: Sequence[Predictions]) -> None:
    """Draw one map into each of the first panels of a grid (rows, columns), and the bar of colours beside it."""
    points = []
    for one in sets:
        reference, forces = one.compared_forces
        angle = direction_error(forces, reference)
        defined = ~np.isnan(angle)
        if not defined.any():
            raise InputError("no reference forces to compare with", value=one.label, expected="structures with forces")
        points.append((np.linalg.norm(reference, axis=1)[defined], angle[defined]))
    force_edges = np.linspace(0.0, max(float(np.quantile(force, SHOWN)) for force, _ in points), BINS_FORCE + 1)
    median_edges = np.linspace(0.0, force_edges[-1], BINS_MEDIAN + 1)
    middle = 0.5 * (median_edges[1:] + median_edges[:-1])
    angle_edges = np.linspace(0.0, 180.0, BINS_ANGLE + 1)
    shares = [
        100.0 * np.histogram2d(force, angle, (force_edges, angle_edges))[0] / len(force) for force, angle in points
    ]
    # The smallest share is one atom of the largest set
    scale = LogNorm(min(100.0 / len(force) for force, _ in points), max(float(share.max()) for share in shares))
    for panel, one, share, (force, angle) in zip(panels.flat, sets, shares, points):
        mesh = panel.pcolormesh(
            force_edges, angle_edges, np.ma.masked_equal(share.T, 0.0), norm=scale, cmap=MAP_COLOURS, rasterized=True
        )
        median = binned_median(force, angle, median_edges, LEAST)
        panel.plot(middle, median, color="white", linewidth=2.2)
        panel.plot(middle, median, color=BLACK, linewidth=1.0)
        note(panel, f"{literal(one.label)}\nmean {angle.mean():.1f}°, median {np.median(angle):.1f}°", "upper right")
        panel.set_ylim(0.0, 180.0)
        panel.set_yticks(np.arange(0, 181, 30))
    for panel in panels[:, 0]:
        panel.set_ylabel("angle of F and F$_{\\mathrm{ref}}$ (degrees)")
    label_lowest(panels, len(sets), in_symbols(f"|F_ref| ({FORCE_UNIT.name})"))
    bar = drawing.colorbar(mesh, ax=panels, label="share of the atoms per cell (%)", pad=0.015, aspect=25)
    plain_log_ticks(bar.ax.yaxis)
