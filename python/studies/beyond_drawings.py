"""Figures of what was found beyond the paper: truncation errors with mean curvatures, and atoms that meet."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from facts import Results
from study import SYSTEMS
from taylorfit.plotting import style
from taylorfit.plotting.style import COLUMN, PAGE, line_style, new_figure, plain_log_ticks, styled


@styled
def curvature_figure(results: Results) -> Figure | None:
    """Root mean square error of Taylor energies against δ."""
    if "δ" not in results.facts:
        return None
    drawing = new_figure(COLUMN, 3.0)
    panel = drawing.subplots()
    delta = results.fact("δ").values
    panel.plot(delta, results.fact("signal").values, color=style.GREY, label="energies of copies, RMS")
    for index, (name, title) in enumerate(
        (("first order", "error, first order"), ("mean curvature", "error with mean curvature"))
    ):
        panel.plot(delta, results.fact(name).values, **style.marker_style(index), label=title)
    panel.set_xscale("log")
    panel.set_yscale("log")
    plain_log_ticks(panel.xaxis)
    plain_log_ticks(panel.yaxis)
    panel.set_xlabel("largest displacement δ (Å)")
    panel.set_ylabel("meV per structure")
    drawing.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=1)
    return drawing


@styled
def repulsion_figure(results: Results) -> Figure | None:
    """Energy against the distance of two atoms that are moved together; a line for each seed."""
    pairs = [name.partition(": ")[2] for name in results.facts if name.startswith("distance: ")]
    if not pairs:
        return None
    drawing = new_figure(PAGE, 2.7)
    panels = drawing.subplots(1, len(pairs), squeeze=False)[0]
    for panel, pair in zip(panels, pairs):
        study, _, atoms = pair.partition(" ")
        distance = results.fact(f"distance: {pair}").values
        panel.axhline(0.0, color="0.85", linewidth=0.5, zorder=0)
        for index, title in enumerate(("GFN1-xTB", "exact", "exact, repel")):
            for name in (one for one in results.facts if one.endswith(f": {pair}")):
                if name.removesuffix(f": {pair}").rstrip("0123456789").strip() == title:
                    look = line_style(index - 1) if index else {"color": style.GREY, "linewidth": 3.0, "alpha": 0.5}
                    panel.plot(distance, results.fact(name).values, **look)
        panel.set_xlim(distance[0], distance[-1])
        panel.set_xlabel(f"distance {atoms} (Å)")
        panel.set_title(SYSTEMS[study], fontsize=8)
    panels[0].set_ylabel("energy (eV)")
    looks = ({"color": style.GREY, "linewidth": 3.0, "alpha": 0.5}, line_style(0), line_style(1))
    drawing.legend(
        [Line2D([], [], **look) for look in looks],
        ["GFN1-xTB", "exact forces", "exact forces and repel"],
        loc="outside upper center",
        ncols=3,
    )
    style.letter_panels(panels)
    return drawing
