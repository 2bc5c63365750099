"""Li8Mo2Ni7Ti7O32: figures 9 and 10 of Cooper et al. 2020, on the paper's own data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from datasets import place_with_held_out
from drawings import all_of, distributions_and_maps, nve_panels, predictions_of, save_figures
from facts import Fact
from measure import md_facts, timing_step
from results import claims_section, md_section, present, results_of, scan_figure, scan_section, scan_study_sections
from study import (
    MODES_SHOWN,
    TITLES,
    Shown,
    Step,
    Study,
    generate_step,
    main,
    md_names,
    md_output,
    md_step,
    networks_for_md,
    potentials_step,
    predict_step,
    scan_step,
    train_step,
    trainings,
)
from taylorfit.formats.csv_table import read_table
from taylorfit.plotting import nve
from taylorfit.reporting.document import Document

PUBLIC = "github.com/atomisticnet/aenet-python, notebooks/xsf (data of DOI 10.1038/s41524-020-0323-8)"
FOR_MD = networks_for_md("20:tanh-20:tanh")
"""For --full alone; --quick takes those of `MODES_SHOWN`."""
SCANS = {"quick": ("modes",), "full": ("modes", "taylor", "centred")}
"""Scale → scans of `MODES_SHOWN`."""


def place_data(data: Path | None) -> None:
    """Structures."""
    place_with_held_out(data, PUBLIC)


def shown(scale: str) -> tuple[Shown, ...]:
    """One training of each mode."""
    return tuple(replace(one, scans=SCANS[scale]) for one in MODES_SHOWN)


def steps(scale: str) -> list[Step]:
    """Modes, predictions, dynamics, δ, times."""
    if scale == "quick":
        dynamics = [md_step("md", scale)]
    else:
        dynamics = [
            scan_step("larger", scale),
            *(potentials_step(one, scale) for one in FOR_MD),
            md_step("md", scale),
            md_step("md-begin", scale),
            generate_step("generate-wide.in"),
            train_step("train-wide.in", members_are_seeds=False),
            md_step("md-wide", scale),
            scan_step("precision", scale),
            scan_step("single", scale),
        ]
    return [
        *(scan_step(name, scale) for name in SCANS[scale]),
        *(predict_step(one, scale) for one in shown(scale)),
        scan_step("delta", scale),
        *dynamics,
        timing_step(),
    ]


def facts(scale: str, known: Mapping[str, Fact]) -> dict[str, Fact]:
    """Stability and conservation of energy."""
    names = md_names(scale)
    shortest = known["shortest distance of the data"].median if known else 0.0
    return md_facts("md", scale, names, shortest) | md_facts("md-wide", scale, {"wide": "wide"}, shortest)


def _runs(steps_file: Path, scale: str) -> list[nve.NveRun]:
    """Total energies: the networks of a mode are runs of one label, as far as the mode is known."""
    names = md_names(scale)
    runs = nve.nve_runs(read_table(steps_file))
    return [
        replace(run, label=TITLES[names[run.label]], number=run.label.rpartition("-")[2] or run.number)
        if run.label in names
        else run
        for run in runs
    ]


def _figure_10(scale: str) -> Figure | None:
    """Of the runs without equilibration where there are some."""
    walk, starts = (md_output("md-begin", scale, ending) for ending in ("steps.csv", "starts.csv"))
    if walk is None or starts is None:
        walk = md_output("md", scale, "steps.csv")
        return None if walk is None else nve.figure(_runs(walk, scale))
    table, names = read_table(starts), md_names(scale)
    ends = zip(table.words("potential"), table.words("status"))
    broken = {(TITLES[names[name]], name.rpartition("-")[2]) for name, status in ends if status != "finished"}
    return nve_panels(_runs(walk, scale), broken)


def results(scale: str) -> Document:
    """The page."""
    deltas = trainings(scale, ("delta",) if scale == "full" else ("modes", "delta"))
    figure_9 = scan_figure(deltas, "delta", keep=lambda row: row["mode"] in ("energy", "taylor", "exact"))
    of_paper = all_of(shown(scale)[:2], scale)
    figure_9cd = distributions_and_maps([*of_paper, *predictions_of(shown(scale)[2:], scale)], of_paper)
    save_figures({"9ab": figure_9, "9cd": figure_9cd, "10": _figure_10(scale)})
    return Document(
        f"Study lmnto, {scale}",
        present(
            *scan_study_sections(scale, SCANS[scale], shown(scale)),
            scan_section("Figure 9: δ", "delta", figure_9, "Errors against δ."),
            md_section("Figure 10: molecular dynamics", "md", scale),
            md_section("The same from the frame on, without equilibration", "md-begin", scale),
            md_section("The same with a committee from far copies", "md-wide", scale),
            *claims_section(results_of("lmnto", scale, partial(facts, scale))),
        ),
    )


STUDY = Study("lmnto", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
