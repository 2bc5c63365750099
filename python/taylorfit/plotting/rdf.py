"""Radial distribution functions, one panel per pair of species (Cooper et al. 2020, figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..errors import FormatError
from ..formats.csv_table import Table
from .style import label_lowest, letter_panels, line_style, literal, panel_grid, styled


@dataclass(frozen=True, eq=False)
class Rdf:
    """One radial distribution function."""

    label: str
    pair: str
    """As O-H; empty if the table does not say."""
    r: np.ndarray
    """(n,) Å"""
    g: np.ndarray
    """(n,)"""


def rdf_curves(table: Table, label: str | None = None, fallback: str = "") -> list[Rdf]:
    """Take the curves of a table of `md`, or of any with the columns r_A and g, and perhaps potential and pair.

    Parameters
    ----------
    label
        name of the curves, instead of the potentials in the table (before these, if there are several)
    fallback
        name of curves of a table without potentials

    Raises
    ------
    FormatError
        if a column is missing, or a cell is not a number.
    """
    r, g = table.numbers("r_A"), table.numbers("g")
    pairs = np.array(table.words("pair") if "pair" in table else [""] * table.n_rows)
    labels = table.run_labels(label, fallback)
    keys = dict.fromkeys(zip(labels, pairs.tolist()))
    found = []
    for own, pair in keys:
        rows = (np.array(labels) == own) & (pairs == pair)
        if (np.diff(r[rows]) <= 0).any():
            raise FormatError(
                "distances do not ascend",
                file=table.file,
                value=f"{own} {pair}".strip(),
                expected="one curve for each potential and pair",
            )
        found.append(Rdf(own, pair, r[rows], g[rows]))
    return found


@styled
def figure(curves: Sequence[Rdf]) -> Figure:
    """Overlay the curves of one pair; a panel for each pair."""
    pairs = list(dict.fromkeys(curve.pair for curve in curves))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    drawing, panels = panel_grid(len(pairs), 2.4, 0.1)
    for panel, pair in zip(panels.flat, pairs):
        panel.axhline(1.0, color="0.8", linewidth=0.5, zorder=0)
        for curve in curves:
            if curve.pair == pair:
                panel.plot(curve.r, curve.g, **line_style(labels.index(curve.label)), label=literal(curve.label))
        panel.set_xlim(0.0, max(curve.r[-1] for curve in curves))
        panel.set_ylim(bottom=0.0)
        panel.set_ylabel(f"g(r), {literal(pair)}" if pair else "g(r)")
    label_lowest(panels, len(pairs), "r (Å)")
    panels.flat[0].legend(loc="best")
    letter_panels(panels.flat[: len(pairs)])
    return drawing
