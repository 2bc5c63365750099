"""Conservation of the total energy in NVE molecular dynamics (Cooper et al. 2020, figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..formats.csv_table import Table
from .style import COLUMN, letter_panels, line_style, literal, new_figure, note, styled

NUMBER_HEIGHT = 5.0
"""Of the numbers of runs, points."""
APART = 8.0
"""Potentials whose ranges of energy differ by more than this factor get panels of their own."""


@dataclass(frozen=True, eq=False)
class NveRun:
    """The total energy along one run; runs of the same label belong together."""

    label: str
    time: np.ndarray
    """(n,) ps"""
    energy: np.ndarray
    """(n,) total energy, eV/atom"""
    number: str = ""
    """Of the start, as the table has it."""

    @property
    def change(self) -> np.ndarray:
        """(n,) energy relative to the start, meV/atom."""
        return 1e3 * (self.energy - self.energy[0])


def nve_runs(table: Table, label: str | None = None, fallback: str = "", n_atoms: int | None = None) -> list[NveRun]:
    """Take the runs of a table of `md` (steps.csv): columns time_ps, E_tot_eV, n_atoms, perhaps potential and start.

    Parameters
    ----------
    label
        name of the runs, instead of the potentials in the table (before these, if there are several)
    fallback
        name of runs of a table without potentials
    n_atoms
        for a table without that column

    Raises
    ------
    FormatError
        if a column is missing, or a cell is not a number.
    """
    time, energy = table.numbers("time_ps"), table.numbers("E_tot_eV")
    atoms = table.numbers("n_atoms") if n_atoms is None else np.full(table.n_rows, float(n_atoms))
    starts = table.words("start") if "start" in table else ("",) * table.n_rows
    keys = list(zip(table.run_labels(label, fallback), starts))
    runs = []
    for key in dict.fromkeys(keys):
        rows = np.array([other == key for other in keys])
        runs.append(NveRun(key[0], time[rows], energy[rows] / atoms[rows], key[1]))
    return runs


@styled
def figure(runs: Sequence[NveRun]) -> Figure:
    """Draw total energies relative to the start, in one panel, or in one per label where one hides the others.

    Where there are several runs of a label, their lines end with the number of the start.
    """
    labels = list(dict.fromkeys(run.label for run in runs))
    ranges = [max(float(np.ptp(run.change)) for run in runs if run.label == label) for label in labels]
    separate = max(ranges) > APART * min(ranges)
    n_panels = len(labels) if separate else 1
    drawing = new_figure(COLUMN, 2.4 if n_panels == 1 else 1.3 * n_panels + 0.4)
    panels = drawing.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    for index, label in enumerate(labels):
        panel = panels[index if separate else 0]
        style = line_style(index) | ({"linestyle": "-"} if separate else {})
        of_label = [run for run in runs if run.label == label]
        for k, run in enumerate(of_label):
            panel.plot(run.time, run.change, **style, linewidth=0.8, label=None if k else literal(label))
        if separate:
            panel.margins(y=0.25)
            note(panel, literal(label))
    for panel in panels:
        panel.axhline(0.0, color="0.8", linewidth=0.5, zorder=0)
        panel.set_xlim(0.0, max(run.time[-1] for run in runs) or 1.0)
    for index, label in enumerate(labels):
        of_label = [run for run in runs if run.label == label]
        if len(of_label) > 1:
            _number(panels[index if separate else 0], of_label, line_style(index)["color"], 0 if separate else index)
    letter_panels(panels)
    panels[-1].set_xlabel("time (ps)")
    drawing.supylabel("E$_{\\mathrm{total}}$(t) − E$_{\\mathrm{total}}$(0) (meV/atom)", fontsize=8)
    if not separate:
        # Noise fills the panel: no corner is free
        drawing.set_figheight(2.4 + 0.14 * -(-len(labels) // 2))
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawing


def _number(panel: Axes, runs: Sequence[NveRun], colour: str, column: int) -> None:
    """Write the numbers of runs beside the ends of their lines, in the order of these, none over another."""
    low, high = panel.get_ylim()
    gap = NUMBER_HEIGHT * (high - low) / panel.get_window_extent().height * panel.figure.dpi / 72.0
    ends = sorted(runs, key=lambda run: run.change[-1])
    upward = np.array([run.change[-1] for run in ends])
    downward = upward.copy()
    for k in range(1, len(ends)):
        upward[k] = max(upward[k], upward[k - 1] + gap)
        downward[-k - 1] = min(downward[-k - 1], downward[-k] - gap)
    places = 0.5 * (upward + downward)
    for run, place in zip(ends, places):
        panel.annotate(
            run.number,
            (1.0, place),
            (3 + 10 * column, 0),
            xycoords=panel.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=NUMBER_HEIGHT,
            annotation_clip=False,
        )
