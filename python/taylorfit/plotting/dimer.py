"""Energy and force of a dimer: exact, the points trained on, and potentials (Cooper et al. 2020, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..analysis.lennard_jones import DISPLACEMENT, POINTS, DimerCurve, LennardJones
from .style import BLACK, COLUMN, GREY, line_style, literal, new_figure, styled


@styled
def figure(
    curves: Sequence[DimerCurve],
    exact: LennardJones,
    r: np.ndarray,
    points: Sequence[float] = POINTS,
    delta: float = DISPLACEMENT,
) -> Figure:
    """Draw energies above, forces below.

    Parameters
    ----------
    curves
        of any number of potentials
    exact
        the reference
    r
        (n,) distances at which it is drawn, Å
    points, delta
        reference points and the displacement of their Taylor points, Å
    """
    drawing = new_figure(COLUMN, 4.4)
    above, below = drawing.subplots(2, 1, sharex=True)
    at = np.asarray(points)
    for panel, values, marks in ((above, exact.energy(r), exact.energy(at)), (below, exact.force(r), exact.force(at))):
        panel.axhline(0.0, color="0.8", linewidth=0.5, zorder=0)
        panel.plot(r, values, color=GREY, linewidth=2.4, alpha=0.5, label="exact")
        panel.plot(at, marks, linestyle="none", marker="o", color=BLACK, zorder=5, label="reference points")
    above.plot(
        *exact.taylor_points(at, delta),
        linestyle="none",
        marker="x",
        markersize=3.5,
        color=BLACK,
        zorder=5,
        label=f"Taylor points, ±{delta:g} Å",
    )
    for index, curve in enumerate(curves):
        above.plot(curve.r, curve.energy, **line_style(index), label=literal(curve.label))
        below.plot(curve.r, curve.force, **line_style(index))
    depth = exact.epsilon
    above.set_ylim(-1.35 * depth, 0.6 * depth)
    slopes = np.asarray(exact.force(at[at >= exact.r0]))
    below.set_ylim(1.9 * slopes.min(), -1.9 * slopes.min())
    above.set_xlim(r[0], r[-1])
    above.set_ylabel("energy (eV)")
    below.set_ylabel("force along the bond (eV/Å)")
    below.set_xlabel("distance (Å)")
    above.legend(loc="lower right")
    return drawing
