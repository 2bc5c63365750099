"""Errors of validation structures against the time of the training: what each mode reaches at equal cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .style import COLUMN, line_style, literal, new_figure, plain_log_ticks, styled


@styled
def figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw energy error above and force error below.

    Parameters
    ----------
    curves
        title → (n,) seconds > 0, (n,) energy RMSE in eV/atom, (n,) mean |F − F_ref| in eV/Å
    """
    drawing = new_figure(COLUMN, 4.4)
    above, below = drawing.subplots(2, 1, sharex=True)
    for index, (title, (seconds, energy, force)) in enumerate(curves.items()):
        above.plot(seconds, 1e3 * energy, **line_style(index), label=literal(title))
        below.plot(seconds, force, **line_style(index))
    for panel in (above, below):
        panel.set_xscale("log")
        panel.set_yscale("log")
        plain_log_ticks(panel.yaxis)
    plain_log_ticks(below.xaxis)
    above.set_ylabel("energy RMSE (meV/atom)")
    below.set_ylabel("mean |F − F$_{\\mathrm{ref}}$| (eV/Å)")
    below.set_xlabel("time of training (s)")
    drawing.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawing
