"""The paper's figures in its panel structure, as vector PDF and PNG: `figures/figure-N` in the folder of a study."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, StepPatch

from study import Shown
from taylorfit.analysis.lennard_jones import DISPLACEMENT, POINTS, DimerCurve, LennardJones
from taylorfit.analysis.measures import force_error_norm
from taylorfit.formats.predictions import read_predictions
from taylorfit.model.measures import ENERGY_UNIT, FORCE_UNIT
from taylorfit.model.predictions import Predictions
from taylorfit.plotting import style
from taylorfit.plotting.direction_maps import draw_maps
from taylorfit.plotting.error_distributions import draw_densities, draw_tails
from taylorfit.plotting.nve import NveRun
from taylorfit.plotting.rdf import Rdf
from taylorfit.plotting.style import (
    COLOURS,
    COLUMN,
    GREY,
    PAGE,
    in_symbols,
    label_lowest,
    new_figure,
    panel_grid,
    plain_log_ticks,
    styled,
)

FIGURES = "figures"
"""Folder of the figures."""
CUT_PEAK = 3.0
"""A peak so many times higher than the next is cut off."""
BETWEEN = 1.7
"""Distances within a molecule of water are shorter, Å; their peaks leave the panels of figure 8."""
PICTURE_COLOURS = 128
"""Of a PNG for the manual, which makes it a third as large."""


def save_figures(figures: Mapping[str, Figure | None]) -> list[Path]:
    """Write those that there is something for, each as PDF and as PNG (300 dpi)."""
    folder = Path(FIGURES)
    written = []
    for name, figure in figures.items():
        if figure is not None:
            folder.mkdir(exist_ok=True)
            for ending in style.SUFFIXES:
                written.append(folder / f"figure-{name}{ending}")
                style.save(figure, written[-1])
    return written


def predictions_of(shown: Sequence[Shown], scale: str) -> list[Predictions]:
    """Those of the trainings that there are; the labels say of how many networks they are the best."""
    found = []
    for one in shown:
        if one.predictions(scale).exists():
            n = len(one.errors(scale))
            label = f"{one.title}, {f'best of {n}' if n > 1 else '1 network'}"
            found.append(replace(read_predictions(one.predictions(scale)), label=label))
    return found


def all_of(shown: Sequence[Shown], scale: str) -> list[Predictions]:
    """Those of the trainings, or none if one is missing: a figure without it would be another."""
    found = predictions_of(shown, scale)
    return found if len(found) == len(shown) else []


@styled
def distributions_and_maps(
    shown: Sequence[Predictions], mapped: Sequence[Predictions], tails: bool = True
) -> Figure | None:
    """Distributions of |F − F_ref| above, as density and as share of larger errors, maps of directions below.

    Figures 3, 5, 7 and 9c, d; the legend stands beside the curves, not on them.

    Parameters
    ----------
    mapped
        With maps; without them there is no figure.
    """
    if not shown or not mapped:
        return None
    drawing = new_figure(PAGE, 5.2)
    above, below = drawing.subfigures(2, 1, squeeze=False, height_ratios=(1.0, 1.05))[:, 0]
    panels = above.subplots(1, 1 + tails)
    left = panels[0] if tails else panels
    norms = [force_error_norm(*reversed(one.compared_forces)) for one in shown]
    draw_densities(left, norms, shown, signed=False)
    left.set_ylim(0.0, _height(left))
    left.set_xlabel(in_symbols(f"|F − F_ref| ({FORCE_UNIT.name})"))
    left.set_ylabel("probability density (Å/eV)")
    if tails:
        draw_tails(panels[1], norms, shown)
        panels[1].set_yscale("log")
        plain_log_ticks(panels[1].yaxis)
        panels[1].set_xlabel(in_symbols(f"|F − F_ref| ({FORCE_UNIT.name})"))
        panels[1].set_ylabel("atoms with larger errors (%)")
    handles, titles = (panels[1] if tails else left).get_legend_handles_labels()
    above.legend(handles, titles, loc="outside right center")
    columns = min(len(mapped), 3)
    grid = below.subplots(-(-len(mapped) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for panel in grid.flat[len(mapped) :]:
        panel.set_axis_off()
    draw_maps(below, grid, mapped)
    style.letter_panels([*(panels if tails else [left]), *grid.flat[: len(mapped)]])
    return drawing


def _height(panel: Axes) -> float:
    """Upper end of an axis of densities; one sharp peak among broad ones is cut off, its height written beside it."""
    curves = [patch for patch in panel.patches if isinstance(patch, StepPatch)]
    peaks = sorted((float(np.max(curve.get_data()[0])) for curve in curves), reverse=True)
    if len(peaks) < 2 or peaks[0] < CUT_PEAK * peaks[1]:
        return 1.06 * peaks[0]
    panel.annotate(f"peak at {peaks[0]:.0f}", (0.08, 0.93), xycoords="axes fraction", fontsize=7)
    return 1.6 * peaks[1]


@styled
def energy_histogram(sets: Sequence[Predictions]) -> Figure | None:
    """Figure S2: distribution of the energy errors."""
    if not sets:
        return None
    drawing = new_figure(COLUMN, 2.7)
    panel = drawing.subplots()
    draw_densities(panel, [ENERGY_UNIT.factor * one.energy_error_per_atom for one in sets], sets, signed=True)
    panel.axvline(0.0, color="0.6", linewidth=0.5, zorder=0)
    panel.set_ylim(bottom=0.0)
    panel.set_xlabel(f"energy error ({ENERGY_UNIT.name})")
    panel.set_ylabel("probability density (atom/meV)")
    drawing.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawing


@styled
def dimer_panels(members: Mapping[str, Sequence[DimerCurve]], exact: LennardJones, r: np.ndarray) -> Figure | None:
    """Figure 2: for each training all networks thin, the best and the median of them thick; best first."""
    if not members:
        return None
    drawing = new_figure(PAGE, 2.9)
    panels = drawing.subplots(1, len(members), sharey=True, squeeze=False)[0]
    at = np.asarray(POINTS)
    for panel, (title, curves) in zip(panels, members.items()):
        panel.axhline(0.0, color="0.85", linewidth=0.5, zorder=0)
        panel.plot(r, exact.energy(r), color=GREY, linewidth=3.0, alpha=0.5, label="exact")
        for k, curve in enumerate(curves):
            panel.plot(r, curve.energy, color=COLOURS[5], linewidth=0.5, label=None if k else f"each of {len(curves)}")
        middle = curves[(len(curves) - 1) // 2]
        panel.plot(r, middle.energy, color=COLOURS[1], linestyle=style.DASHES[1], label="median")
        panel.plot(r, curves[0].energy, color=COLOURS[0], label="best")
        panel.plot(at, exact.energy(at), "o", color=style.BLACK, label="points", zorder=5)
        if "Taylor" in title:
            panel.plot(
                *exact.taylor_points(at, DISPLACEMENT), "x", color=COLOURS[2], markersize=4, zorder=6, label="copies"
            )
        panel.set_xlim(r[0], r[-1] + 0.03)
        panel.set_ylim(-1.35 * exact.epsilon, 0.6 * exact.epsilon)
        panel.set_xlabel("distance (Å)")
        style.note(panel, title, "lower right")
    panels[0].set_ylabel("energy (eV)")
    drawing.legend(*panels[-1].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    style.letter_panels(panels)
    return drawing


STEPS_OF_FLOW = (
    ("reference structures\nσ, E(σ), F(σ)", 0.0, 2.0),
    ("split into training\nand test structures", 0.0, 1.0),
    ("displace training structures\nσ′ = σ + δ", 1.0, 1.0),
    ("Taylor energies\nE(σ′) = E(σ) − Σ δ·F(σ)", 1.0, 2.0),
    ("descriptors\nof σ and σ′", 2.0, 2.0),
    ("energy training\nof the networks", 2.0, 1.0),
    ("errors of energies and\nforces of test structures", 2.0, 0.0),
    ("best epoch:\npotential", 1.0, 0.0),
)
"""What the flowchart says, and the place of each box."""


@styled
def flowchart() -> Figure:
    """Figure 1: from reference structures to a potential by Taylor training."""
    drawing = new_figure(PAGE, 2.7)
    panel = drawing.subplots()
    panel.set_axis_off()
    panel.set_xlim(-0.45, 2.75)
    panel.set_ylim(-0.4, 2.4)
    half_width, half_height = 0.40, 0.29
    for text, x, y in STEPS_OF_FLOW:
        panel.add_patch(
            FancyBboxPatch(
                (x - half_width, y - half_height),
                2 * half_width,
                2 * half_height,
                boxstyle="round,pad=0.0,rounding_size=0.05",
                facecolor="white" if "Taylor" not in text and "displace" not in text else "#DCEBF5",
                edgecolor=COLOURS[0],
            )
        )
        panel.text(x, y, text, ha="center", va="center", fontsize=8)
    for (_, x, y), (_, to_x, to_y) in pairwise(STEPS_OF_FLOW):
        dx, dy = np.sign(to_x - x), np.sign(to_y - y)
        start = (x + dx * half_width, y + dy * half_height)
        end = (to_x - dx * half_width, to_y - dy * half_height)
        panel.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=style.BLACK, shrinkA=0, shrinkB=0)
        )
    panel.add_patch(
        FancyArrowPatch(
            (2.0 + half_width, 0.0),
            (2.0 + half_width, 1.0),
            arrowstyle="-|>",
            connectionstyle="arc3,rad=0.35",
            mutation_scale=9,
            color=GREY,
        )
    )
    panel.text(2.56, 0.5, "next\nepoch", ha="left", va="center", fontsize=7, color=GREY)
    return drawing


@styled
def points_by_mode(groups: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], label: str) -> Figure:
    """Draw a panel for each system: a value of each seed as a point, the median as a bar.

    Parameters
    ----------
    groups
        system → line (a training) → kind of point → values
    label
        of the values' axis
    """
    drawing = new_figure(PAGE, 2.6)
    panels = drawing.subplots(1, len(groups), squeeze=False)[0]
    names = list(dict.fromkeys(name for lines in groups.values() for name in lines))
    kinds = list(dict.fromkeys(kind for lines in groups.values() for points in lines.values() for kind in points))
    for panel, (system, lines) in zip(panels, groups.items()):
        for name, points in lines.items():
            place = names.index(name)
            for number, (kind, values) in enumerate(points.items()):
                at = place + 0.22 * (number - 0.5 * (len(points) - 1))
                look = style.marker_style(kinds.index(kind))
                panel.plot(
                    [float(np.median(values))], [at], "|", markersize=11, markeredgewidth=1.4, color=look["color"]
                )
                panel.plot(values, [at] * len(values), linestyle="none", alpha=0.75, **look)
        panel.set_yticks(range(len(names)), names if panel is panels[0] else [""] * len(names))
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_xlim(
            0.0, 1.06 * max(value for points in lines.values() for found in points.values() for value in found)
        )
        panel.set_xlabel(in_symbols(label))
        panel.set_title(system, fontsize=8)
    if len(kinds) > 1:
        handles = [Line2D([], [], linestyle="none", **style.marker_style(k)) for k in range(len(kinds))]
        drawing.legend(handles, kinds, loc="outside upper center", ncols=len(kinds))
    return drawing


@styled
def rdf_panels(references: Sequence[Rdf], runs: Mapping[str, Sequence[Rdf]], hold: Collection[str]) -> Figure:
    """Figure 8: g(r) of each run, a panel for each pair, on the scale of the references, which come first.

    Parameters
    ----------
    runs
        title → curves of the networks that were trained so, some perhaps without
    hold
        labels of runs that hold; others are dashed, and from the time until they end
    """
    pairs = list(dict.fromkeys(curve.pair for curve in references))
    drawing, panels = panel_grid(len(pairs), 2.4, 0.5)
    looks: list[dict[str, Any]] = [
        {"color": GREY, "linewidth": 3.0, "alpha": 0.6},
        {"color": style.BLACK, "linestyle": ":"},
    ]
    known = dict(zip(dict.fromkeys(curve.label for curve in references), looks))
    for panel, pair in zip(panels.flat, pairs):
        panel.axhline(1.0, color="0.8", linewidth=0.5, zorder=0)
        own = [curve for curve in references if curve.pair == pair]
        for curve in own:
            panel.plot(curve.r, curve.g, **known[curve.label])
        for index, curves in enumerate(runs.values()):
            for curve in (one for one in curves if one.pair == pair):
                dashes = style.DASHES[0 if curve.label in hold else 1]
                panel.plot(curve.r, curve.g, color=COLOURS[index], linewidth=0.8, linestyle=dashes)
        panel.set_xlim(0.0, own[0].r[-1])
        panel.set_ylim(0.0, 1.5 * max(float(curve.g[curve.r > BETWEEN].max()) for curve in own))
        panel.set_ylabel(f"g(r), {pair}")
    label_lowest(panels, len(pairs), "r (Å)")
    handles = [Line2D([], [], **look) for look in known.values()]
    handles += [Line2D([], [], color=COLOURS[index]) for index, _ in enumerate(runs)]
    handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=style.DASHES[1]))
    drawing.legend(handles, [*known, *runs, "of a run that does not hold"], loc="outside upper center", ncols=3)
    style.letter_panels(panels.flat[: len(pairs)])
    return drawing


@styled
def nve_panels(runs: Sequence[NveRun], broken: Collection[tuple[str, str]]) -> Figure | None:
    """Figure 10: total energies from the first step on, a panel for each training, a line for each network.

    Parameters
    ----------
    broken
        Label and number of runs that broke down, whose lines end with a cross.
    """
    labels = list(dict.fromkeys(run.label for run in runs))
    if not labels:
        return None
    drawing = new_figure(COLUMN, 1.1 + 1.15 * len(labels))
    panels = drawing.subplots(len(labels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, label in zip(panels, labels):
        panel.axhline(0.0, color="0.8", linewidth=0.5, zorder=0)
        for index, run in enumerate(one for one in runs if one.label == label):
            femtoseconds = 1e3 * run.time[1:]
            panel.plot(femtoseconds, 1e3 * run.change[1:], color=COLOURS[index], linewidth=0.8)
            if (label, run.number) in broken:
                panel.plot(femtoseconds[-1:], 1e3 * run.change[-1:], "x", color=COLOURS[index], markersize=6)
        panel.set_xscale("log")
        plain_log_ticks(panel.xaxis)
        style.note(panel, label, "lower right")
    panels[-1].set_xlabel("time (fs)")
    drawing.supylabel("E$_{\\mathrm{total}}$(t) − E$_{\\mathrm{total}}$(0) (µeV/atom)", fontsize=8)
    names = dict.fromkeys(run.number for run in runs)
    looks = [Line2D([], [], color=COLOURS[index]) for index, _ in enumerate(names)]
    looks.append(Line2D([], [], color=GREY, linestyle="none", marker="x"))
    drawing.legend(looks, [*(f"network {n}" for n in names), "breaks down"], loc="outside upper center", ncols=2)
    style.letter_panels(panels)
    return drawing
