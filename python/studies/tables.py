"""Tables of studies as pure functions of the rows of scans: modes, equal time, shares, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claims import claims_of
from facts import FULL, Cell, Results
from facts import Cells as Known
from study import SYSTEMS, TITLES
from taylorfit.analysis.scan_groups import Cells, best_and_median, seed_groups
from taylorfit.analysis.scan_series import numbers_text
from taylorfit.formats.csv_table import Table as CsvTable
from taylorfit.formats.scan_table import LAST, SECONDS_PER_EPOCH, option_columns
from taylorfit.model.measures import DASH, MEASURES
from taylorfit.settings.forces import MODES
from taylorfit.tools.tables import Table

ENERGY, NORM, FORCE = (MEASURES[key] for key in ("energy_rmse", "force_error_norm_mean", "force_mae"))
SHOWN = (ENERGY, NORM, FORCE)
APART = 0.1
"""Errors of the last epoch that differ by more than this fraction from those of the best have a row of their own."""
LETTERS = {"cartesian": "A", "random": "B"}
"""Strategies in the paper's words."""


@dataclass(frozen=True, eq=False)
class History:
    """Errors of the validation structures along a training."""

    seconds: np.ndarray
    """(n,) since its start, ascending"""
    energy_rmse: np.ndarray
    """(n,) eV/atom"""
    force_error: np.ndarray
    """(n,) mean |F − F_ref|, eV/Å"""

    def at(self, seconds: float) -> tuple[float, float] | None:
        """Energy RMSE (eV/atom) and mean |F − F_ref| (eV/Å) after so many seconds; None before the first."""
        known = np.flatnonzero(self.seconds <= seconds * (1.0 + 1e-9))
        return (float(self.energy_rmse[known[-1]]), float(self.force_error[known[-1]])) if len(known) else None


def sorted_groups(rows: Sequence[Cells]) -> list[list[Cells]]:
    """Rows that differ in the seed alone, small sets and simple modes first."""
    groups = list(seed_groups(rows).values())
    return sorted(groups, key=lambda group: (float(group[0]["n_structures"] or 0), MODES.index(group[0]["mode"])))


def copies_words(row: Cells) -> str:
    """The Taylor copies of a training: ``B, δ 0.008 Å, a 22``."""
    if not row.get("strategy"):
        return DASH
    return f"{LETTERS.get(row['strategy'], row['strategy'])}, δ {row['delta_A']} Å, a {row['multiple_a']}"


def mode_words(row: Cells, rows: Sequence[Cells]) -> str:
    """The mode, with the network and options where these differ among `rows`."""
    extra = [
        name
        for name in ("network", "beta_A2", *option_columns(rows))
        if len({other.get(name, "") for other in rows if other["mode"] == row["mode"]}) > 1
    ]
    words = {"beta_A2": "β={} Å²", "network": "{}"}
    return " ".join([row["mode"], *(words.get(name, name + "={}").format(row.get(name) or DASH) for name in extra)])


def modes_table(rows: Sequence[Cells]) -> Table:
    """One line per training: best and median over the seeds, weights of the best epoch.

    Errors with the weights of the last epoch have a line of their own where the median of a force error
    differs much (see `APART`): plain Taylor training stops improving test energies before forces are done.
    """
    header = (
        "mode",
        "copies",
        "structures",
        "seeds",
        *(word for measure in SHOWN for word in (f"{measure.heading}: best", "median")),
        "s per epoch",
        "weights of epoch",
    )
    lines = []
    for group in sorted_groups(rows):
        first = group[0]
        start = (mode_words(first, rows), copies_words(first), first["n_structures"], str(len(group)))
        lines.append(
            (*start, *_pairs(group, ""), _median(group, SECONDS_PER_EPOCH, ".3f"), _median(group, "best_epoch", ".0f"))
        )
        best, last = best_and_median(group, NORM.column), best_and_median(group, LAST + NORM.column)
        if best and last and abs(last[1] - best[1]) > APART * best[1]:
            lines.append(
                (f"{start[0]}, last epoch", *start[1:], *_pairs(group, LAST), "", _median(group, "epochs", ".0f"))
            )
    return Table(header, tuple(lines), numeric=True)


def _pairs(group: Sequence[Cells], prefix: str) -> list[str]:
    """Best and median of all measures as cells."""
    cells = []
    for measure in SHOWN:
        values = best_and_median(group, prefix + measure.column)
        cells += [DASH, DASH] if values is None else [measure.text(value) for value in values]
    return cells


def _median(group: Sequence[Cells], column: str, form: str) -> str:
    values = best_and_median(group, column)
    return DASH if values is None else format(values[1], form)


def of_mode(rows: Sequence[Cells], mode: str, **cells: str | None) -> list[Cells]:
    """Rows of a mode with given cells (None: any)."""
    return [
        row
        for row in rows
        if row["mode"] == mode and all(value is None or row.get(name, "") == value for name, value in cells.items())
    ]


def best_copies_table(rows: Sequence[Cells]) -> Table:
    """δ and a of plain Taylor training with the smallest median force error, for each set size and strategy."""
    header = ("structures", "strategy", "δ, Å", "a", *(measure.heading for measure in SHOWN), "of so many δ and a")
    lines = []
    for key, same in seed_groups(of_mode(rows, "taylor"), ("n_structures", "strategy")).items():
        groups = [
            (values[1], group)
            for group in seed_groups(same).values()
            if (values := best_and_median(group, NORM.column)) is not None
        ]
        if groups:
            best = min(groups, key=lambda pair: pair[0])[1]
            lines.append(
                (
                    key[0],
                    LETTERS.get(key[1], key[1]),
                    best[0]["delta_A"],
                    best[0]["multiple_a"],
                    *(_median(best, m.column, f".{m.unit.digits}f") for m in SHOWN),
                    str(len(groups)),
                )
            )
    return Table(header, tuple(sorted(lines, key=lambda line: (float(line[0]), line[1]))), numeric=True)


def share_table(rows: Sequence[Cells]) -> Table:
    """What share of the improvement of exact over energy training each mode reaches, for each number of structures."""
    header = (
        "mode",
        "copies",
        "structures",
        *(word for measure in SHOWN for word in (f"{measure.title}: best", "median")),
    )
    lines = []
    for group in sorted_groups(rows):
        first = group[0]
        same = [row for row in rows if row["n_structures"] == first["n_structures"]]
        if first["mode"] in ("energy", "exact"):
            continue
        cells = []
        for measure in SHOWN:
            values = best_and_median(group, measure.column)
            worst, best = (best_and_median(of_mode(same, mode), measure.column) for mode in ("energy", "exact"))
            if values is None or worst is None or best is None:
                cells += [DASH, DASH]
            else:
                cells += [_share(*parts) for parts in zip(values, worst, best)]
        lines.append((mode_words(first, rows), copies_words(first), first["n_structures"], *cells))
    return Table(header, tuple(lines), numeric=True)


def _share(value: float, worst: float, best: float) -> str:
    return DASH if worst <= best else f"{100.0 * (worst - value) / (worst - best):.0f} %"


def time_budgets(histories: Mapping[str, Sequence[History]]) -> list[float]:
    """Three times to compare at, s: of the shortest training, of the longest, and their geometric mean."""
    totals = [float(np.median([one.seconds[-1] for one in of_mode])) for of_mode in histories.values() if of_mode]
    return [] if not totals else [min(totals), float(np.sqrt(min(totals) * max(totals))), max(totals)]


def equal_time_table(histories: Mapping[str, Sequence[History]], budgets: Sequence[float]) -> Table:
    """Errors that each mode has reached after the same seconds, medians over the seeds.

    Parameters
    ----------
    histories
        title of a mode → one for each seed
    budgets
        s; in brackets what a mode has that was finished before
    """
    header = (
        "mode",
        *(
            f"after {seconds:.3g} s: {what}"
            for seconds in budgets
            for what in ("E RMSE, meV/atom", "|F − F_ref|, eV/Å")
        ),
    )
    lines = []
    for title, seeds in histories.items():
        cells = []
        for budget in budgets:
            reached = [pair for pair in (one.at(budget) for one in seeds) if pair is not None]
            if len(reached) < len(seeds):
                cells += [DASH, DASH]
                continue
            ended = np.median([one.seconds[-1] for one in seeds]) < 0.999 * budget
            energy, force = np.median(reached, axis=0)
            cells += [f"({word})" if ended else word for word in (ENERGY.cell(energy), NORM.cell(force))]
        lines.append((title, *cells))
    return Table(header, tuple(lines), numeric=True)


WALK_COLUMNS = {
    "potential": "potential",
    "start": "start",
    "steps": "steps",
    "status": "status",
    "first_extrapolation": "first step unlike the data",
    "worst_sigma": "worst, σ outside the data",
    "drift_meV_per_atom_ps": "drift, meV/atom/ps",
    "drift_error_meV_per_atom_ps": "its error",
    "fluctuation_meV_per_atom": "std of E_total, meV/atom",
    "temperature_K": "T, K",
}
"""Columns of the table of runs that `md` writes, and their titles."""


def walks_table(table: CsvTable) -> Table:
    """The runs of molecular dynamics; without columns that are empty for all."""
    columns = [name for name in WALK_COLUMNS if name in table and any(table.words(name))]

    def cell(word: str) -> str:
        try:
            return word if word.lstrip("-").isdigit() else format(float(word), ".4g")
        except ValueError:
            return word or DASH

    rows = zip(*(table.words(name) for name in columns))
    return Table(
        tuple(WALK_COLUMNS[name] for name in columns), tuple(tuple(map(cell, row)) for row in rows), numeric=True
    )


CLAIM_HEADER = ("claim", "paper", "here", "verdict", "why", "made by")


def claims_table(results: Results) -> Table:
    """A line for each claim that the results of a study judge: median, spread and number of seeds, and the verdict."""
    return Table(
        CLAIM_HEADER,
        tuple(
            (f"{claim.claim} ({claim.place})", claim.paper, found.here, found.verdict, claim.why, claim.inputs)
            for claim in claims_of(results.study)
            for found in (claim.finding(results),)
        ),
    )


def thresholds_table(study: str) -> Table:
    """What is measured for each claim, and from where on it holds."""
    return Table(
        ("claim", "measured", "threshold"),
        tuple((claim.claim, claim.how, claim.judge.threshold) for claim in claims_of(study)),
    )


SETS = {FULL: "", "grid": "short, "}
"""Scan → what it is called: trainings at the paper's size, and those of searches, of fewer epochs."""


def networks_table(results: Mapping[str, Results]) -> Table:
    """How many networks, trained from other random weights, the results have of each training."""
    scans, modes = list(SETS), list(TITLES)
    lines: dict[tuple[str, str], dict[str, dict[tuple[Cell, Cell], int]]] = {}
    for study, system in SYSTEMS.items():
        own = [row for row in results.get(study, Results(study)).trainings if row["scan"] in scans]
        own.sort(key=lambda row: (scans.index(str(row["scan"])), row["structures"], modes.index(str(row["mode"]))))
        for row in own:
            network = str(row["network"]).replace(":tanh", "")
            what = f"{SETS[str(row['scan'])]}{row['structures']:.0f} structures, {network}"
            mode = " ".join([TITLES[str(row["mode"])], LETTERS.get(str(row["strategy"]), "")]).rstrip()
            settings = lines.setdefault((system, what), {}).setdefault(mode, {})
            copies = row["delta"], row["multiple"]
            settings[copies] = settings.get(copies, 0) + 1
    rows = (
        (*start, ", ".join(f"{mode} {numbers_text(settings.values())}" for mode, settings in own.items()))
        for start, own in lines.items()
    )
    return Table(("system", "trained on, hidden layers", "networks"), tuple(rows))


def copies_table(results: Results) -> Table:
    """Errors against the number of copies, by the paper's rule for the epoch and of the last one."""
    rows: list[tuple[str, ...]] = []
    known = {"network": "10:tanh-10:tanh", "scan": FULL}
    for multiple in [None, *results.values_of("multiple", {**known, "mode": "taylor"})]:
        cells: Known = {**known, "mode": "energy" if multiple is None else "taylor", "multiple": multiple}
        if own := results.rows(cells):
            columns = (("energy_rmse", 2), ("force_error", 3), ("last_energy_rmse", 2), ("last_force_error", 3))
            errors = [results.of(column, cells, "").text(digits) for column, digits in columns]
            epochs = ", ".join(f"{row['best_epoch']:.0f}" for row in own)
            rows.append((TITLES["energy"] if multiple is None else f"{multiple:g}", *errors, epochs))
    header = (
        "a",
        "energy RMSE, meV/atom",
        "mean |F − F_ref|, eV/Å",
        "last epoch: energy RMSE",
        "mean |F − F_ref|",
        "best epochs by energies",
    )
    return Table(header, tuple(rows))
