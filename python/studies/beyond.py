"""What was found beyond the paper, as tables from the results of the studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from beyond_drawings import curvature_figure, repulsion_figure
from drawings import points_by_mode
from facts import FULL, Cells, Fact, MissingFact, Results, Training
from study import SYSTEMS, TITLES
from taylorfit.model.measures import DASH
from taylorfit.tools.tables import Table

_SMALL: dict[str, Cells] = {
    "water-cluster": {"structures": 471.0},
    "lmnto": {"network": "10:tanh-10:tanh"},
    "bulk-water": {"network": "10:tanh-10:tanh"},
}
"""Study → trainings to compare: of one set and one network."""


def _trainings(study: str, mode: str) -> Cells:
    copies: Cells = {}
    if mode in ("taylor", "centred"):
        # Of bulk water there are several numbers of copies
        copies = {"strategy": "random"} | ({"multiple": 24.0} if study == "bulk-water" else {})
    return {"scan": FULL, "mode": mode, **_SMALL[study], **copies}


def _cell(results: Results, column: str, cells: Cells, digits: int) -> str:
    try:
        return results.of(column, cells, "").text(digits)
    except MissingFact:
        return DASH


def _cost(results: Results, mode: str) -> str:
    """Time of an epoch over that of energy training."""
    try:
        return f"{results.fact(f'seconds: {mode}').over(results.fact('seconds: energy')).median:.1f}"
    except MissingFact:
        return DASH


def _trained(results: Mapping[str, Results]) -> Iterator[tuple[str, str, str, Results, Cells]]:
    """System, mode and its title, results and trainings, of all that have been run."""
    for study in _SMALL:
        system, own = SYSTEMS[study], results.get(study, Results(study))
        for mode, title in TITLES.items():
            cells = _trainings(study, mode)
            if own.rows(cells):
                yield system, mode, title, own, cells


def beyond_table(results: Mapping[str, Results]) -> Table:
    """Errors and price of every mode of training."""
    rows = [
        (
            system,
            title,
            _cell(own, "energy_rmse", cells, 2),
            _cell(own, "force_error", cells, 3),
            _cell(own, "angle_mean", cells, 1),
            _cost(own, mode),
        )
        for system, mode, title, own, cells in _trained(results)
    ]
    header = (
        "system",
        "training",
        "energy RMSE, meV/atom",
        "mean |F − F_ref|, eV/Å",
        "mean angle, °",
        "time per epoch, energies = 1",
    )
    return Table(header, tuple(rows))


def rules_table(results: Mapping[str, Results]) -> Table:
    """Force errors with the best epoch chosen by test energies, by test energies and forces, and of the last epoch."""
    columns = ("force_error", "both_force_error", "last_force_error")
    rows = [
        (system, title, *(_cell(own, column, cells, 3) for column in columns), _epochs(own, cells))
        for system, _, title, own, cells in _trained(results)
    ]
    header = (
        "system",
        "training",
        "by energies (the paper's rule)",
        "by energies and forces",
        "last epoch",
        "best epochs by energies",
    )
    return Table(header, tuple(rows))


def _epochs(results: Results, cells: Cells) -> str:
    return ", ".join(f"{epoch:.0f}" for row in results.rows(cells) if isinstance(epoch := row.get("best_epoch"), float))


def precision_table(results: Mapping[str, Results]) -> Table:
    """Errors in double and single precision, of the seeds that were trained in both, and how the trainings ended."""
    lines = []
    for study, system in SYSTEMS.items():
        own = results.get(study, Results(study))
        for mode, title in TITLES.items():
            single = own.rows({"scan": "single", "mode": mode})
            pairs = [(twin, row) for row in single if (twin := _twin(own, row)) is not None]
            if pairs:
                double, single = [twin for twin, _ in pairs], [row for _, row in pairs]
                lines.append(
                    (
                        system,
                        title,
                        *(_both(double, single, *column) for column in (("energy_rmse", 2), ("force_error", 3))),
                        *(_ends(rows) for rows in (double, single)),
                    )
                )
    header = (
        "system",
        "training",
        "energy RMSE, meV/atom: double | single",
        "mean |F − F_ref|, eV/Å: double | single",
        "ends: double",
        "single",
    )
    return Table(header, tuple(lines))


_OF_TWINS = ("mode", "strategy", "delta", "multiple", "beta", "structures", "network", "seed")


def _twin(results: Results, row: Training) -> Training | None:
    """The same training in double precision."""
    cells = {name: row.get(name) for name in _OF_TWINS}
    return next((twin for scan in ("double", "grid") for twin in results.rows({"scan": scan, **cells})), None)


def _both(double: Sequence[Training], single: Sequence[Training], column: str, digits: int) -> str:
    """Median, and range over the seeds, in both precisions."""
    facts = [Fact(tuple(float(row[column] or 0.0) for row in rows)) for rows in (double, single)]
    return " | ".join(one.text(digits) for one in facts)


def _ends(rows: Sequence[Training]) -> str:
    """``5 finished``."""
    ends = [str(row.get("end") or DASH) for row in rows]
    return ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))


DESIGNS = {
    "random": "random in a ball (strategy B)",
    "normal": "normal, equal lengths (aenet-python, random)",
    "orthogonal": "orthogonal",
    "d-optimal": "D-optimal (aenet-python)",
}
"""Strategy → what it is called."""


def designs_table(results: Results) -> Table:
    """Errors of Taylor and centred training with displacements of several designs."""
    rows = []
    for mode in ("taylor", "centred"):
        for design, title in DESIGNS.items():
            cells: Cells = {"mode": mode, "strategy": design}
            if results.rows(cells):
                energy, force = _cell(results, "energy_rmse", cells, 2), _cell(results, "force_error", cells, 3)
                rows.append((TITLES[mode], title, energy, force))
    return Table(("training", "displacements", "energy RMSE, meV/atom", "mean |F − F_ref|, eV/Å"), tuple(rows))


def future_table(results: Results) -> Table:
    """Errors of Taylor and centred training with copies as the paper proposes them for the future."""
    names = dict.fromkeys(str(row["variant"]) for row in results.rows({}))
    rows = []
    for name in names:
        cells = {mode: {"variant": name, "mode": mode} for mode in ("taylor", "centred")}
        columns = (("energy_rmse", 2), ("force_error", 3))
        rows.append(
            (name, *(_cell(results, column, cells[mode], digits) for mode in cells for column, digits in columns))
        )
    header = (
        "copies",
        "Taylor: energy RMSE, meV/atom",
        "mean |F − F_ref|, eV/Å",
        "centred: energy RMSE",
        "mean |F − F_ref|",
    )
    return Table(header, tuple(rows))


PROGRAMS = {
    ("torch", "taylor"): "PyTorch as aenet-python has it (Adam, batches of 32)",
    ("taylorfit", "taylor"): "taylorfit, Taylor (L-BFGS)",
    ("taylorfit", "centred"): "taylorfit, centred, of the same copies",
    ("taylorfit", "exact"): "taylorfit, exact, without copies",
}
"""Program and mode → what it is called."""


def torch_table(results: Results) -> Table:
    """Errors and processor time of training on the same structures and copies in PyTorch and here."""
    rows = []
    for (program, mode), title in PROGRAMS.items():
        cells: Cells = {"program": program, "mode": mode}
        if own := results.rows(cells):
            columns = (("seconds_per_epoch", 3), ("all_seconds", 0), ("energy_rmse", 2), ("force_error", 3))
            epochs = "/".join(dict.fromkeys(f"{row['epochs']:g}" for row in own))
            rows.append((title, epochs, *(_cell(results, column, cells, digits) for column, digits in columns)))
    header = ("program", "epochs", "s per epoch", "s in all", "energy RMSE, meV/atom", "mean |F − F_ref|, eV/Å")
    return Table(header, tuple(rows))


RULES = {
    "force_error": "best by energies",
    "both_force_error": "best by energies and forces",
    "last_force_error": "last epoch",
}
"""Column → rule that chooses the epoch."""


def drawings(results: Mapping[str, Results]) -> dict[str, Figure]:
    """Name of a picture → force errors of all modes; those of energies and Taylor copies by several rules."""
    label = "mean |F − F_ref| (eV/Å)"
    modes: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    rules: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {}
    for study in _SMALL:
        system, own = SYSTEMS[study], results.get(study, Results(study))
        for mode, title in TITLES.items():
            cells = _trainings(study, mode)
            if own.rows(cells):
                last = {"": own.of("both_force_error", cells).values}
                modes.setdefault(system, {})[title] = last
                if mode in ("energy", "taylor", "exact"):
                    rules.setdefault(system, {})[title] = {
                        rule: own.of(column, cells).values for column, rule in RULES.items()
                    }
    found = {"beyond-modes": modes, "beyond-rules": rules}
    own = results.get("curvature", Results("curvature"))
    physics = {"beyond-curvature": curvature_figure(own), "beyond-repulsion": repulsion_figure(own)}
    return {name: points_by_mode(groups, label) for name, groups in found.items() if groups} | {
        name: figure for name, figure in physics.items() if figure is not None
    }
