"""Conservation of the total energy in NVE molecular dynamics (Cooper et al. 2020, figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..formats.csv_table import Table
from .style import COLUMN, line_style, literal, new_figure, note, styled

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
        runs.append(NveRun(key[0], time[rows], energy[rows] / atoms[rows]))
    return runs


@styled
def figure(runs: Sequence[NveRun]) -> Figure:
    """Draw total energies relative to the start, in one panel, or in one per label where one hides the others."""
    labels = list(dict.fromkeys(run.label for run in runs))
    ranges = [max(float(np.ptp(run.change)) for run in runs if run.label == label) for label in labels]
    separate = max(ranges) > APART * min(ranges)
    n_panels = len(labels) if separate else 1
    drawing = new_figure(COLUMN, 2.4 if n_panels == 1 else 1.3 * n_panels + 0.4)
    panels = drawing.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    for index, label in enumerate(labels):
        panel = panels[index if separate else 0]
        style = line_style(index) | ({"linestyle": "-"} if separate else {})
        for number, run in enumerate(run for run in runs if run.label == label):
            panel.plot(run.time, run.change, **style, linewidth=0.8, label=None if number else literal(label))
        if separate:
            panel.margins(y=0.25)
            note(panel, literal(label))
    for panel in panels:
        panel.axhline(0.0, color="0.8", linewidth=0.5, zorder=0)
        panel.set_xlim(0.0, max(run.time[-1] for run in runs) or 1.0)
    panels[-1].set_xlabel("time (ps)")
    drawing.supylabel("E$_{\\mathrm{total}}$(t) − E$_{\\mathrm{total}}$(0) (meV/atom)", fontsize=8)
    if not separate:
        panels[0].legend(loc="best")
    return drawing
