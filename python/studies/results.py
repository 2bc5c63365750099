"""Sections of the page about a study, made from what there is in its folder."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from drawings import predictions_of
from facts import Fact, Results
from measure import data_facts, timing_facts
from measure import trainings as training_facts
from study import Shown, md_output, scan_file, trainings
from tables import (
    History,
    claims_table,
    copies_words,
    equal_time_table,
    mode_words,
    modes_table,
    share_table,
    sorted_groups,
    thresholds_table,
    time_budgets,
    walks_table,
)
from taylorfit.analysis.errors import error_rows, errors_in
from taylorfit.analysis.scan_groups import POINT_REPORT
from taylorfit.errors import InputError
from taylorfit.formats.csv_table import Table as CsvTable
from taylorfit.formats.csv_table import read_table
from taylorfit.formats.report_file import read_train_report
from taylorfit.formats.scan_table import FORCE_NORM, Row, labels
from taylorfit.model.measures import MEASURES
from taylorfit.plotting import directions, errors, nve, rdf, scan
from taylorfit.plotting.rdf import Rdf
from taylorfit.plotting.style import COLUMN, axis_label, line_style, literal, new_figure, plain_log_ticks, styled
from taylorfit.reporting.document import Block, Section
from taylorfit.reporting.training_page import picture
from taylorfit.settings.md import MdInput
from taylorfit.tools.tables import Table

Trainings = Sequence[tuple[Row, Path]]
"""Rows of scans, each with the folder of the training."""

NOTHING = "Nothing has been trained yet."
RESULTS_FILE = "results-{}.json"
"""What was measured at a scale."""
NORM_NOTE = (
    "Force errors are means of |F − F_ref| over atoms. The paper calls its measure the error in the norm, and "
    "elsewhere MAE of "
    "forces; that it is this one is inferred from its size."
)


def rows_of(found: Trainings) -> list[Row]:
    """The rows alone."""
    return [row for row, _ in found]


def modes_section(found: Trainings) -> Section:
    """Errors of every mode on the validation structures."""
    if not found:
        return Section("Modes", (NOTHING,))
    return Section(
        "Modes",
        (
            f"At most {max(int(row['epochs']) for row, _ in found)} epochs; hidden layers "
            f"{', '.join(dict.fromkeys(row['network'] for row, _ in found))}. Errors on the validation structures: "
            "best and median over the seeds, each column by itself; weights of the epoch with the smallest test error. "
            "Where the last epoch is much different it has a line of its own.",
            modes_table(rows_of(found)),
        ),
    )


def share_section(found: Trainings) -> Section | None:
    """How much of the way from energy to exact training each mode goes; None without both ends."""
    modes = {row["mode"] for row, _ in found}
    if not {"energy", "exact"} < modes:
        return None
    return Section(
        "Share of exact training's improvement",
        (
            "How much of the way from the errors of energy training to those of exact force training a mode goes, "
            "100 %: as good as exact training.",
            share_table(rows_of(found)),
        ),
    )


def histories_of(found: Trainings) -> dict[str, list[History]]:
    """Title of a mode → the history of each seed that has one."""
    rows, folders = rows_of(found), {row["key"]: folder for row, folder in found}
    histories: dict[str, list[History]] = {}
    for group in sorted_groups(rows):
        own = [one for row in group if (one := _history(folders[row["key"]] / POINT_REPORT)) is not None]
        if own:
            copies = copies_words(group[0])
            histories[mode_words(group[0], rows) + (f", {copies}" if group[0]["strategy"] else "")] = own
    return histories


def _history(file: Path) -> History | None:
    """Errors against time from the report of a training; None if there are none."""
    if not file.exists():
        return None
    report = read_train_report(file)
    known = (report.validation_epoch > 0) & np.isfinite(report.validation_force_error)
    if not known.any():
        return None
    seconds = report.validation_epoch[known] * float(report.data["seconds_per_epoch"])
    return History(seconds, report.validation_energy_rmse[known], report.validation_force_error[known])


def time_section(found: Trainings) -> Section | None:
    """Errors at equal time; None where no training kept its history."""
    if not found:
        return None
    largest = max(float(row["n_structures"]) for row, _ in found)
    histories = histories_of([(row, folder) for row, folder in found if float(row["n_structures"]) == largest])
    if not histories:
        return None
    shown = {
        title: sorted(seeds, key=lambda one: one.force_error[-1])[len(seeds) // 2] for title, seeds in histories.items()
    }
    return Section(
        "Equal time",
        (
            "Validation errors that each mode has reached after the same time of training: "
            "medians over the seeds, weights of that epoch. The times are those of training alone, one thread each "
            "(making of copies, reading and validation left out). In brackets: finished before; "
            "a dash: no validation yet.",
            equal_time_table(histories, time_budgets(histories)),
            picture(
                "time",
                time_figure({title: (one.seconds, one.energy_rmse, one.force_error) for title, one in shown.items()}),
                "Validation errors against the time of training, for each mode the seed of median final force error.",
            ),
        ),
    )


@styled
def time_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw energy errors above and force errors below against the time of training: what is reached at equal cost.

    Parameters
    ----------
    curves
        title → (n,) seconds > 0, (n,) energy RMSE in eV/atom, (n,) mean |F − F_ref| in eV/Å
    """
    drawing = new_figure(COLUMN, 4.4)
    above, below = drawing.subplots(2, 1, sharex=True)
    for index, (title, (seconds, energy, force)) in enumerate(curves.items()):
        above.plot(seconds, 1e3 * energy, **line_style(index), label=literal(title))
        below.plot(seconds, force, **line_style(index))
    for panel in (above, below):
        panel.set_xscale("log")
        panel.set_yscale("log")
        plain_log_ticks(panel.yaxis)
    plain_log_ticks(below.xaxis)
    above.set_ylabel(axis_label(MEASURES["energy_rmse"]))
    below.set_ylabel(axis_label(MEASURES["force_error_norm_mean"]))
    below.set_xlabel("time of training (s)")
    drawing.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawing


def scan_figure(
    found: Trainings, x: str, relative: str | None = None, keep: Callable[[Row], bool] = lambda row: True
) -> Figure | None:
    """A figure of the errors against δ, a or the number of structures; None without rows on that axis."""
    rows = [row for row, _ in found if keep(row) and row[FORCE_NORM]]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not rows:
        return None
    table = CsvTable(
        x,
        {key: tuple(row.get(key, "") for row in rows) for key in columns} | {"label": tuple(labels(rows))},
        tuple(range(2, len(rows) + 2)),
    )
    try:
        drawing = scan.figure(table, x, relative if any(row["mode"] == relative for row in rows) else None)
    except InputError:
        # None of these modes has copies, so none depends on δ
        return None
    notes = [text for panel in drawing.axes for text in panel.texts]
    for text in [*notes, *(text for legend in drawing.legends for text in legend.get_texts())]:
        words = text.get_text()
        for ours, papers in PAPERS_WORDS.items():
            words = words.replace(ours, papers)
        text.set_text(words)
    return drawing


PAPERS_WORDS = {
    "taylor random": "Taylor B",
    "taylor cartesian": "Taylor A",
    "taylor": "Taylor B",
    "energy": "energies alone",
    "exact": "exact forces",
}
"""Words in legends → those of the paper."""


def scan_section(title: str, name: str, figure: Figure | None, caption: str) -> Section | None:
    """A figure of a scan; None without one."""
    return None if figure is None else Section(title, (picture(name, figure, caption),))


def predictions_section(title: str, name: str, shown: Sequence[Shown], scale: str) -> Section | None:
    """Distributions of errors and maps of directions of the best seeds; None without predictions.

    Parameters
    ----------
    name
        begins the names of the pictures
    """
    sets = predictions_of(shown, scale)
    if not sets:
        return None
    measured = [errors_in(one) for one in sets]
    return Section(
        title,
        (
            "Of each training the seed with the smallest mean |F − F_ref|; "
            f"{sets[0].n_structures} validation structures.",
            Table(
                ("", *(one.label for one in sets)), tuple(error_rows([one.to_dict() for one in measured])), numeric=True
            ),
            picture(
                f"{name}errors",
                errors(sets, log=True),
                "Distribution of |F − F_ref| over the atoms and of the energy error over the structures, "
                "logarithmic axes.",
            ),
            picture(
                f"{name}directions",
                directions(sets),
                "Angle between F and F_ref against |F_ref|; colour: share of the atoms; line: median.",
            ),
        ),
    )


def md_section(title: str, name: str, scale: str, references: Sequence[Rdf] = ()) -> Section | None:
    """Tables and figures of molecular dynamics; None if there is none yet.

    Parameters
    ----------
    references
        other curves for the figure of the radial distribution functions
    """
    starts, steps, curves = (md_output(name, scale, ending) for ending in ("starts.csv", "steps.csv", "rdf.csv"))
    if starts is None:
        return None
    settings = MdInput.read(scan_file(name, scale))
    blocks: list[Block] = [
        f"{settings.ensemble.upper()}, {settings.steps} steps of {settings.timestep:g} fs "
        f"after {settings.equilibration} with a thermostat, {settings.temperature:g} K.",
        walks_table(read_table(starts)),
    ]
    if settings.ensemble == "nve" and steps is not None:
        blocks.append(
            picture(
                name,
                nve.figure(nve.nve_runs(read_table(steps))),
                "Total energy relative to the start; a line for each start.",
            )
        )
    if curves is not None:
        blocks.append(
            picture(
                f"{name}-rdf",
                rdf.figure([*references, *rdf.rdf_curves(read_table(curves))]),
                "Radial distribution functions, means over the starts.",
            )
        )
    return Section(title, tuple(blocks))


def scan_study_sections(scale: str, scans: Sequence[str], shown: Sequence[Shown]) -> list[Section | None]:
    """What all studies of modes have: modes, shares, equal time, distributions."""
    found = trainings(scale, scans)
    return [
        modes_section(found),
        share_section(found),
        time_section(found),
        predictions_section("Distribution and direction of the errors", "", shown, scale),
    ]


def results_of(
    study: str, scale: str, more: Callable[[Mapping[str, Fact]], Mapping[str, Fact]] | None = None
) -> Results:
    """What was measured, also written to a file in the folder of the study (see `RESULTS_FILE`).

    Parameters
    ----------
    more
        facts of this study alone, from those that all have
    """
    facts = data_facts() | timing_facts()
    if more is not None:
        facts |= more(facts)
    found = Results(study, provenance(scale), training_facts(scale), facts)
    found.save(Path(RESULTS_FILE.format(scale)))
    return found


def provenance(scale: str) -> dict[str, str]:
    """Where, when and with what it was measured."""
    run = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    )
    cpu = [line for line in read_lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "scale": scale,
        "date": time.strftime("%Y-%m-%d"),
        "commit": run.stdout.strip() or "not known",
        "processor": cpu[0].partition(":")[2].strip() if cpu else platform.processor(),
    }


def read_lines(path: str) -> list[str]:
    """Lines of a file; none if it is not there."""
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def claims_section(results: Results) -> tuple[Section, Section]:
    """The paper's claims beside what was found, and how they were judged."""
    return (
        Section(
            "Paper and here", (f"Medians, in brackets spread and number of seeds. {NORM_NOTE}", claims_table(results))
        ),
        Section("How it was judged", ("Written down before running.", thresholds_table(results.study))),
    )


def present(*sections: Section | None) -> tuple[Section, ...]:
    """Those that there is something for."""
    return tuple(section for section in sections if section is not None)
