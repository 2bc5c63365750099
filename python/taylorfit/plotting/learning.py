"""Rounds of `learn`: errors on the potential's own dynamics, and how long runs hold, against labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..learning.rounds import Round
from .style import COLUMN, in_symbols, letter_panels, line_style, marker_style, new_figure, plain_log_ticks, styled


@styled
def learning(rounds: Sequence[Round]) -> Figure:
    """Draw the rounds of `Learned`: mean and largest |F − F_ref|, and mean time that runs held, against labels.

    Parameters
    ----------
    rounds
        At least one.
    """
    drawing = new_figure(COLUMN, 4.2)
    errors, times = drawing.subplots(2, 1, sharex=True)
    labels = np.array([one.n_labels for one in rounds])
    curves = (("mean", "check_error"), ("largest", "check_worst"), ("chosen, mean", "chosen_error"))
    for index, (title, name) in enumerate(curves):
        values = np.array([getattr(one, name) if getattr(one, name) is not None else np.nan for one in rounds])
        if np.isfinite(values).any():
            errors.plot(labels, values, **line_style(index), marker=marker_style(index)["marker"], label=title)
    errors.set_ylabel(in_symbols("|F − F_ref| (eV/Å)"))
    if errors.lines:
        errors.set_yscale("log")
        plain_log_ticks(errors.yaxis)
        errors.legend(loc="best")
    names = list(dict.fromkeys(walk.exploration for walk in rounds[0].walks))
    for index, name in enumerate(names):
        means = [np.mean([walk.time for walk in one.walks if walk.exploration == name]) for one in rounds]
        times.plot(labels, means, **line_style(index), marker=marker_style(index)["marker"], label=name)
    times.set_ylabel("time that runs held (ps)")
    times.set_ylim(bottom=0.0)
    times.set_xlabel("labels")
    times.xaxis.set_major_locator(MaxNLocator(integer=True))
    times.legend(loc="best")
    letter_panels((errors, times))
    return drawing
