"""Learning curves: RMSE of training and test energies, and validation force error, against the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..formats.report_file import TrainReport, report_of
from ..model.measures import ENERGY_UNIT, FORCE_UNIT, MEASURES
from .style import (
    COLUMN,
    GREY,
    MARKERS,
    axis_label,
    letter_panels,
    line_style,
    literal,
    new_figure,
    plain_log_ticks,
    styled,
)

if TYPE_CHECKING:
    from ..training.fit import Fit

Training: TypeAlias = "TrainReport | Fit"
FEW_EPOCHS = 10
"""Fewer epochs are drawn on a linear axis, with epoch 0."""


@styled
def curves(trainings: Training | Sequence[Training], labels: Sequence[str] = ()) -> Figure:
    """Overlay the learning curves of several trainings.

    Upper panel: RMSE of test (thick) and training energies (thin, pale) in meV/atom; a mark at the best epoch.
    Lower panel, if a training has validation structures with forces: their mean |F − F_ref| in eV/Å; or else, if
    forces of test structures were evaluated, the RMSE of their components.

    Parameters
    ----------
    trainings
        Results of `train`, or its reports.
    labels
        What the legend calls them; default: the names of the reports.  A single training needs no name.
    """
    several = trainings if isinstance(trainings, Sequence) else [trainings]
    reports = [one if isinstance(one, TrainReport) else report_of(one.to_dict(), "training") for one in several]
    labels = labels or [training.name for training in reports]
    validation = any(training.has_forces for training in reports)
    with_forces = validation or any(training.has_test_forces for training in reports)
    drawing = new_figure(COLUMN, 4.2 if with_forces else 2.6)
    panels = drawing.subplots(2 if with_forces else 1, 1, sharex=True, squeeze=False)[:, 0]
    for index, training in enumerate(reports):
        _energies(panels[0], training, index)
        if with_forces:
            _forces(panels[1], training, index, validation)
    panels[0].set_ylabel(axis_label(MEASURES["energy_rmse"]))
    panels[-1].set_xlabel("epoch")
    last = max(training.epoch[-1] for training in reports)
    for panel in panels:
        if last >= FEW_EPOCHS:
            panel.set_xscale("log")
            panel.set_xlim(1, last)
            plain_log_ticks(panel.xaxis)
        else:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if all((np.asarray(line.get_ydata()) > 0).any() for line in panel.lines):
            panel.set_yscale("log")
            plain_log_ticks(panel.yaxis)
    if with_forces:
        panels[1].set_ylabel(
            f"validation: {axis_label(MEASURES['force_error_norm_mean'])}"
            if validation
            else f"test: RMSE of force components ({FORCE_UNIT.name})"
        )
    single = len(reports) == 1
    handles = [] if single else [Line2D([], [], **line_style(index)) for index in range(len(reports))]
    titles = [] if single else list(map(literal, labels))
    colour = line_style(0)["color"] if single else GREY
    if any(training.has_test for training in reports):
        handles += [
            Line2D([], [], color=colour),
            Line2D([], [], color=colour, linewidth=0.6, alpha=0.7),
            Line2D([], [], color=colour, marker=MARKERS[0], linestyle="none"),
        ]
        titles += ["test", "training", "best test epoch"]
    elif single:
        handles, titles = [Line2D([], [], color=colour)], ["training"]
    letter_panels(panels)
    panels[0].legend(handles, titles, loc="best", ncols=2 if len(titles) > 4 else 1)
    return drawing


def _energies(panel: Axes, training: TrainReport, index: int) -> None:
    style = line_style(index)
    if not training.has_test:
        panel.plot(training.epoch, ENERGY_UNIT.factor * training.train_rmse, **style)
        return
    panel.plot(training.epoch, ENERGY_UNIT.factor * training.train_rmse, **style, linewidth=0.6, alpha=0.7)
    panel.plot(training.epoch, ENERGY_UNIT.factor * training.test_rmse, **style)
    _mark(panel, training.epoch, ENERGY_UNIT.factor * training.test_rmse, training.best_epoch, index)


def _forces(panel: Axes, training: TrainReport, index: int, validation: bool) -> None:
    epoch, error = (
        (training.validation_epoch, training.validation_force_error)
        if validation
        else (training.epoch, training.test_force_rmse)
    )
    known = np.isfinite(error)
    if known.any():
        panel.plot(epoch[known], error[known], **line_style(index))
        _mark(panel, epoch[known], error[known], training.best_epoch, index)


def _mark(panel: Axes, epoch: np.ndarray, values: np.ndarray, best: int, index: int) -> None:
    """Mark the value at the best epoch, or between its neighbours."""
    known = np.isfinite(values)
    if known.any() and epoch[known][0] <= best <= epoch[known][-1]:
        panel.plot(
            [best],
            [np.interp(best, epoch[known], values[known])],
            linestyle="none",
            color=line_style(index)["color"],
            marker=MARKERS[0],
            clip_on=False,
            zorder=5,
        )
