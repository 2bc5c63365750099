"""Parity plots: predicted against reference energies and force components, with their errors in the panel."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.measures import mae_and_rmse
from ..errors import InputError
from ..model.measures import ENERGY_UNIT, FORCE_UNIT
from ..model.predictions import Predictions
from .style import COLOURS, GREY, MAP_COLOURS, PAGE, new_figure, note, plain_log_ticks, styled

MANY = 3000
"""More points than this are shown as a map of their density."""


@styled
def parity(predictions: Predictions) -> Figure:
    """Draw one panel for energies (eV/atom, relative to the isolated atoms) and one for force components (eV/Å).

    A panel without reference data is left out.

    Raises
    ------
    InputError
        if there is no reference at all.
    """
    energy_ref, energy = predictions.energies_per_atom
    forces_ref, forces = predictions.compared_forces
    quantities = []
    if len(energy):
        quantities.append((energy_ref, energy, "energy", "eV/atom", ENERGY_UNIT))
    if len(forces):
        quantities.append((forces_ref.ravel(), forces.ravel(), "force component", FORCE_UNIT.name, FORCE_UNIT))
    if not quantities:
        raise InputError(
            "no reference to compare with", value=predictions.label, expected="structures with energies or forces"
        )
    drawing = new_figure(PAGE * len(quantities) / 2, 3.1)
    panels = drawing.subplots(1, len(quantities), squeeze=False)[0]
    for panel, (reference, prediction, what, unit, shown) in zip(panels, quantities):
        _points(drawing, panel, reference, prediction)
        panel.set_xlabel(f"reference {what} ({unit})")
        panel.set_ylabel(f"predicted {what} ({unit})")
        mae, rmse = mae_and_rmse(shown.factor * (prediction - reference))
        note(panel, f"MAE {mae:#.3g} {shown.name}\nRMSE {rmse:#.3g} {shown.name}\n{len(reference)} values")
    return drawing


def _points(drawing: Figure, panel: Axes, reference: np.ndarray, prediction: np.ndarray) -> None:
    low, high = min(reference.min(), prediction.min()), max(reference.max(), prediction.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    if len(reference) > MANY:
        mesh = panel.hist2d(
            reference, prediction, bins=120, range=(limits, limits), cmap=MAP_COLOURS, norm=LogNorm(), rasterized=True
        )[3]
        # An inset keeps the height of the panel, which is square
        bar = drawing.colorbar(mesh, cax=panel.inset_axes((1.03, 0.0, 0.04, 1.0)), label="values per cell")
        plain_log_ticks(bar.ax.yaxis)
    else:
        panel.plot(
            reference,
            prediction,
            linestyle="none",
            marker="o",
            markersize=2.5,
            color=COLOURS[0],
            alpha=0.6,
            markeredgewidth=0,
        )
    panel.plot(limits, limits, color=GREY, linewidth=0.6, zorder=1)
    panel.set_xlim(limits)
    panel.set_ylim(limits)
    panel.set_aspect("equal")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
