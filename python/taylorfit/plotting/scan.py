"""Errors against δ, a, set size or β, best solid and median dashed (Cooper et al. 2020, figures 4, 6 and 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..analysis.scan_axes import AXES
from ..analysis.scan_series import PANELS, Series, numbers_text, scan_series
from ..errors import InputError
from ..formats.csv_table import Table
from .style import (
    COLOURS,
    COLUMN,
    DASHES,
    GREY,
    axis_label,
    in_symbols,
    letter_panels,
    literal,
    marker_style,
    new_figure,
    note,
    plain_log_ticks,
    styled,
)


@styled
def figure(table: Table, x: str, relative: str | None = None) -> Figure:
    """Draw energy error above, force error below; modes that `x` does not touch are horizontal lines.

    The legend says how many trainings (seeds) the points of each line rest on.

    Parameters
    ----------
    table, x, relative
        see :func:`taylorfit.scan_series.scan_series`

    Raises
    ------
    InputError, FormatError
        if the table lacks what is asked for.
    """
    axis = AXES[x]
    drawing = new_figure(COLUMN, 4.0)
    panels: Sequence[Axes] = drawing.subplots(len(PANELS), 1, sharex=True)
    reduced = {measure: scan_series(table, x, measure.column, relative) for measure in PANELS}
    # A line has one style in all panels, also if one of them lacks it
    known = {one.label: one for series in reduced.values() for one in series}
    if not any(len(one.x) for one in known.values()):
        raise InputError(
            "no row has a value on the axis asked for",
            file=table.file,
            value=axis.column,
            expected="numbers in that column",
        )
    for panel, measure in zip(panels, PANELS):
        for index, one in ((list(known).index(one.label), one) for one in reduced[measure]):
            _draw(panel, one, index)
        panel.set_ylabel(axis_label(measure) if relative is None else f"relative {in_symbols(measure.title)}")
        if panel.lines:
            panel.set_ylim(0.0, 1.06 * max(float(np.max(one)) for series in reduced[measure] for one in series.single))
    panels[-1].set_xlabel(axis.title)
    if axis.log:
        panels[-1].set_xscale("log")
        plain_log_ticks(panels[-1].xaxis)
    else:
        panels[-1].xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    handles = [
        Line2D([], [], **marker_style(i) if len(one.x) else {"color": COLOURS[i % len(COLOURS)]})
        for i, one in enumerate(known.values())
    ]
    titles = list(map(literal, known))
    if any(one.seeds[1] > 1 for one in known.values()):
        titles = [f"{title} (n = {numbers_text(one.seeds)})" for title, one in zip(titles, known.values())]
        handles += [Line2D([], [], color=GREY), Line2D([], [], color=GREY, linestyle=DASHES[1])]
        handles.append(Line2D([], [], color=GREY, linestyle="none", marker="o", markersize=2, markeredgewidth=0))
        titles += ["best", "median", "each"]
    if relative is not None:
        note(panels[0], f"relative to: {literal(relative)}", "lower left")
    letter_panels(panels)
    # Long legends stand above the panels, which keep their size
    drawing.set_figheight(4.0 + 0.14 * -(-len(titles) // 2))
    drawing.legend(handles, titles, loc="outside upper center", ncols=2)
    return drawing


def _draw(panel: Axes, series: Series, index: int) -> None:
    lines = [(series.best, DASHES[0])]
    if series.seeds[1] > 1:
        lines.append((series.median, DASHES[1]))
        _each(panel, series, index)
    for values, dashes in lines:
        if len(series.x):
            panel.plot(series.x, values, linestyle=dashes, markersize=2.5, **marker_style(index))
        else:
            panel.axhline(values[0], linestyle=dashes, color=COLOURS[index % len(COLOURS)], linewidth=1.0)


def _each(panel: Axes, series: Series, index: int) -> None:
    """Draw the values of all trainings: as points over the lines, or, off the axis, as the band that they span."""
    colour = COLOURS[index % len(COLOURS)]
    if not len(series.x):
        panel.axhspan(series.single[0].min(), series.single[0].max(), color=colour, alpha=0.12, linewidth=0, zorder=0)
        return
    place = np.repeat(series.x, [len(one) for one in series.single])
    panel.scatter(place, np.concatenate(series.single), s=8, color=colour, edgecolors="white", linewidths=0.4, zorder=3)
