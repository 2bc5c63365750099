"""The page about one training: warnings, errors, data, settings, networks, plots, worst structures and atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..analysis.errors import Errors, error_rows, errors_by_composition, errors_by_element, errors_in
from ..formats.report_file import TrainReport
from ..model.measures import ENERGY_UNIT, EPOCH_ERRORS, MEASURES
from ..model.predictions import Predictions
from ..plotting import curves, directions, errors, parity
from ..plotting.style import png_bytes
from ..tools.progress import duration
from ..tools.tables import Table
from ..training.loop import BOTH, ENERGY, LAST
from .document import Block, Document, Picture, Section, Warnings
from .outliers import worst_atoms, worst_structures
from .warnings import prediction_warnings, training_warnings

UNKNOWN = "not recorded"
ENERGY_MEASURES = (MEASURES["energy_mae"], MEASURES["energy_rmse"])
FORCE_MEASURES = (MEASURES["force_mae"], MEASURES["force_rmse"], MEASURES["force_error_norm_mean"])
MOST_PARTS = 20
"""Compositions that are shown."""

SETTING_TITLES = {"beta_A2": "beta, Å²", "testpercent": "test structures, %"}
"""Settings whose key is not what a reader calls them."""
CRITERIA = {
    ENERGY: "smallest test error of energies",
    BOTH: "smallest test error of energies and forces",
    LAST: "the last one",
}
"""What chose the kept epoch, by the word in the report."""
SHOWN_ELSEWHERE = {"trainingset", "taylorset", "species", "networks", "descriptors", "n_atoms", "n_validation"}
"""Settings that the sections on data and networks show."""


def training_page(training: TrainReport, sets: Sequence[Predictions] = ()) -> Document:
    """Put everything that is known about a training on a page.

    Parameters
    ----------
    training
        report of `train`; keys it lacks are shown as not recorded
    sets
        predictions of the potentials for reference structures, which give distributions and outliers
    """
    found = [*training_warnings(training), *(line for one in sets for line in prediction_warnings(one, training))]
    sections = [
        Section("Warnings", (Warnings(tuple(found)),) if found else ("None.",)),
        Section("Errors", _training_errors(training)),
        *_committee(training.data),
        Section("Data", (_facts(_data_facts(training.data)),)),
        Section("Settings", (_facts(_setting_facts(training)),)),
        Section("Descriptors and networks", _networks(training.data)),
        *_checksums(training.data),
        Section(
            "Learning curves",
            (
                picture(
                    "curves",
                    curves([training], [training.name]),
                    "Energy RMSE of test and training structures, and "
                    "force error of the validation structures if there are any, against the epoch.",
                ),
            ),
        ),
    ]
    if sets:
        sections.append(Section("Predictions", _predictions(sets)))
        sections += [Section(f"Errors by element and composition: {one.label}", _parts(one)) for one in sets]
        sections += [Section(f"Largest errors: {one.label}", _outliers(one)) for one in sets]
    return Document(f"Training report: {training.name}", tuple(sections))


def _facts(facts: Mapping[str, Any]) -> Table:
    return Table(("", ""), tuple((title, UNKNOWN if value is None else _text(value)) for title, value in facts.items()))


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _data_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    validation, settings = data.get("validation") or {}, _settings(data)
    files = [settings.get("trainingset"), *(settings.get("taylorset") or ())]
    return {
        "training sets": files if files[0] else None,
        "species": settings.get("species"),
        "training structures": data.get("n_train"),
        "Taylor copies": data.get("n_copies"),
        "atoms trained on": settings.get("n_atoms"),
        "test structures": data.get("n_test"),
        "validation structures": validation.get("n_structures", settings.get("n_validation")),
        "validation atoms with forces": validation.get("n_forces"),
    }


def _setting_facts(training: TrainReport) -> dict[str, Any]:
    data = training.data
    seconds, each, memory = data.get("seconds"), data.get("seconds_per_epoch"), data.get("memory_mb")
    others = {
        SETTING_TITLES.get(key, key): value
        for key, value in _settings(data).items()
        if key not in SHOWN_ELSEWHERE and value is not None
    }
    return {
        "mode of the forces": data.get("mode"),
        **(others or {"keywords": None}),
        "best epoch": CRITERIA.get(data.get("criterion", "")),
        "ended": data.get("status"),
        "epochs": len(training.epoch),
        "time": None if seconds is None else duration(seconds),
        "time per epoch": None if each is None else f"{1e3 * each:.1f} ms",
        "memory of the data": None if memory is None else f"{memory:.0f} MB",
        "taylorfit": data.get("version"),
        **_mapping(data, "versions"),
    }


def _checksums(data: Mapping[str, Any]) -> Sequence[Section]:
    """SHA-256 of what was trained on and of what came of it; nothing in reports of earlier versions."""
    sums = _mapping(data, "checksums")
    return [Section("Checksums (SHA-256)", (Table(("file", "checksum"), tuple(sums.items())),))] if sums else []


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _settings(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(data, "settings")


def _networks(data: Mapping[str, Any]) -> tuple[Block, ...]:
    descriptors = {f"descriptor, {s}": value for s, value in _mapping(_settings(data), "descriptors").items()}
    layers = {f"layers, {symbol}": value for symbol, value in _mapping(_settings(data), "networks").items()}
    return (
        _facts(
            {
                **(descriptors or {"descriptors": None}),
                **(layers or {"layers": None}),
                "weights": data.get("n_weights"),
                "potential files": data.get("potentials"),
            }
        ),
    )


def _training_errors(training: TrainReport) -> tuple[Block, ...]:
    """Train, test and validation errors of the best and the last epoch."""
    epochs = {row["epoch"]: row for row in training.data["epochs"]}
    best, last = epochs.get(training.best_epoch, {}), training.data["epochs"][-1]
    epochs_shown = (best, last)
    rows = [
        (m.heading + m.of, *(m.cell(epoch.get(m.key)) for epoch in epochs_shown))
        for m in EPOCH_ERRORS
        if m.unit is ENERGY_UNIT or any(epoch.get(m.key) is not None for epoch in epochs_shown)
    ]
    validation = [training.data.get(key) or {} for key in ("validation", "validation_last")]
    if any(validation):
        rows += error_rows(validation, "validation: ")
    kept = "kept" if training.data.get("criterion") == LAST else "best"
    header = ("", f"{kept} epoch ({training.best_epoch})", f"last epoch ({last['epoch']})")
    note = (
        "Errors of reference structures alone, never of Taylor copies. Test structures choose the best epoch; "
        "validation structures choose nothing."
    )
    return Table(header, tuple(rows), numeric=True), note


def _committee(data: Mapping[str, Any]) -> Sequence[Section]:
    """Best member, median and spread of a committee; nothing for a single training."""
    committee = data.get("committee")
    if not isinstance(committee, Mapping):
        return ()
    columns = [committee.get(key) or {} for key in ("best", "median", "spread")]
    rows = [
        (m.heading, *(m.cell(column.get(m.key)) for column in columns))
        for m in (MEASURES["train_rmse"], MEASURES["test_rmse"])
    ]
    table = Table(
        ("", f"best (member {committee.get('best_member', UNKNOWN)})", "median", "standard deviation"),
        (*rows, *error_rows(columns, "validation: ")),
        numeric=True,
    )
    return (
        Section(
            f"Committee of {committee.get('n', UNKNOWN)}",
            (table, "Weights of the best test epochs. All other numbers of this page are those of the best member."),
        ),
    )


def _predictions(sets: Sequence[Predictions]) -> tuple[Block, ...]:
    """Errors of all sets side by side, and their figures."""
    measured: list[Errors] = [errors_in(one) for one in sets]
    counts = [
        (title, *map(str, values))
        for title, values in (
            ("structures with a reference energy", [e.n_structures for e in measured]),
            ("atoms with reference forces", [e.n_forces for e in measured]),
        )
    ]
    rows = error_rows([e.to_dict() for e in measured]) + counts
    blocks: list[Block] = [Table(("", *(one.label for one in sets)), tuple(rows), numeric=True)]
    with_forces = [one for one, e in zip(sets, measured) if e.n_forces]
    with_any = [one for one, e in zip(sets, measured) if e.n_forces or e.n_structures]
    if with_any:
        blocks.append(
            picture(
                "errors",
                errors(with_any, log=True),
                "Distribution of the force error over "
                "atoms and of the energy error over structures, on logarithmic axes, which show tails.",
            )
        )
    for number, one in enumerate(with_any, start=1):
        blocks.append(
            picture(
                f"parity-{number}",
                parity(one),
                f"{one.label}: prediction against reference; energies are relative to the isolated atoms.",
            )
        )
    if with_forces:
        blocks.append(
            picture(
                "directions",
                directions(with_forces),
                "Direction error of the forces against the size of the reference force; the line is the median.",
            )
        )
    return tuple(blocks)


def picture(name: str, figure: Any, caption: str) -> Picture:
    """A figure of matplotlib for a page, as wide as it is."""
    return Picture(name, png_bytes(figure), caption, float(figure.get_figwidth()))


def _parts(one: Predictions) -> tuple[Block, ...]:
    """Errors of the forces on each element, and of the structures of each composition."""
    compositions = errors_by_composition(one)
    blocks: list[Block] = []
    for title, count, found, measures in (
        ("element", "atoms", errors_by_element(one), FORCE_MEASURES),
        ("composition", "structures", compositions, (*ENERGY_MEASURES, *FORCE_MEASURES)),
    ):
        rows = [
            (
                name,
                str(e.n_forces if count == "atoms" else e.n_structures),
                *(measure.cell(getattr(e, measure.key)) for measure in measures),
            )
            for name, e in list(found.items())[:MOST_PARTS]
            if e.n_structures or e.n_forces
        ]
        if rows:
            blocks.append(Table((title, count, *(m.heading for m in measures)), tuple(rows), numeric=True))
    if len(compositions) > MOST_PARTS:
        blocks.append(f"The {MOST_PARTS} most frequent of {len(compositions)} compositions.")
    return tuple(blocks) or ("No reference values.",)


def _outliers(one: Predictions) -> tuple[Block, ...]:
    blocks: list[Block] = [f"Predicted by {', '.join(Path(file).name for file in one.potentials) or UNKNOWN}."]
    structures, atoms = worst_structures(one), worst_atoms(one)
    if structures:
        blocks.append(
            Table(
                ("structure", f"energy error, {ENERGY_UNIT.name}"),
                tuple((bad.name, f"{ENERGY_UNIT.factor * bad.energy_error:+.2f}") for bad in structures),
                numeric=True,
            )
        )
    if atoms:
        blocks.append(
            Table(
                ("structure", "atom", "|F_ref|, eV/Å", "|F − F_ref|, eV/Å", "angle, degrees"),
                tuple(
                    (
                        bad.name,
                        f"{bad.symbol} {bad.atom}",
                        f"{bad.force_ref:.3f}",
                        f"{bad.error:.3f}",
                        "–" if bad.angle != bad.angle else f"{bad.angle:.1f}",
                    )
                    for bad in atoms
                ),
                numeric=True,
            )
        )
    return tuple(blocks)
