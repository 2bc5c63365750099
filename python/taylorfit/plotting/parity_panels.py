"""Parity plots: predicted against reference energies and force components, with their errors in the panel."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.measures import mae_and_rmse
from ..errors import InputError
from ..model.measures import ENERGY_UNIT, FORCE_UNIT
from ..model.predictions import Predictions
from .style import COLOURS, GREY, MAP_COLOURS, PAGE, letter_panels, new_figure, note, plain_log_ticks, styled

MANY = 3000
"""More points than this are shown as a map of their density."""
_POINT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.5,
    "color": COLOURS[0],
    "alpha": 0.6,
    "markeredgewidth": 0,
    "rasterized": True,
}


@styled
def parity(predictions: Predictions) -> Figure:
    """Draw energies (eV/atom, relative to the isolated atoms), their errors (meV/atom) and force components (eV/Å).

    Energies vary so much more than their errors that only the panel of these shows them.

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
        quantities.append((forces_ref.ravel(), forces.ravel(), "force", FORCE_UNIT.name, FORCE_UNIT))
    if not quantities:
        raise InputError(
            "no reference to compare with", value=predictions.label, expected="structures with energies or forces"
        )
    n_panels = len(quantities) + bool(len(energy))
    drawing = new_figure(PAGE * n_panels / 3, 2.5)
    panels = drawing.subplots(1, n_panels, squeeze=False)[0]
    if len(energy):
        _residuals(panels[1], energy_ref, ENERGY_UNIT.factor * (energy - energy_ref))
        panels[1].set_xlabel("reference energy (eV/atom)")
        panels[1].set_ylabel(f"energy error ({ENERGY_UNIT.name})")
    for panel, (reference, prediction, what, unit, shown) in zip(
        panels[:: 2 if len(energy) else 1], quantities, strict=True
    ):
        _points(drawing, panel, reference, prediction)
        panel.set_xlabel(f"reference {what} ({unit})")
        panel.set_ylabel(f"predicted {what} ({unit})")
        many = "components" if shown is FORCE_UNIT else "structures"
        mae, rmse = mae_and_rmse(shown.factor * (prediction - reference))
        note(panel, f"MAE {mae:#.3g} {shown.name}\nRMSE {rmse:#.3g} {shown.name}\n{len(reference)} {many}")
    letter_panels(panels)
    return drawing


def _residuals(panel: Axes, reference: np.ndarray, error: np.ndarray) -> None:
    panel.axhline(0.0, color=GREY, linewidth=0.6, zorder=1)
    panel.plot(reference, error, **_POINT)
    largest = 1.15 * float(np.abs(error).max()) or 1.0
    panel.set_ylim(-largest, largest)
    panel.set_box_aspect(1.0)
    panel.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))


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
        panel.plot(reference, prediction, **_POINT)
    panel.plot(limits, limits, color=GREY, linewidth=0.6, zorder=1)
    panel.set_xlim(limits)
    panel.set_ylim(limits)
    panel.set_aspect("equal")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
