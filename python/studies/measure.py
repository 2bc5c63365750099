"""What there is in the folder of a study as facts: a row for each training, times, dynamics, the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets import TRAINING, VALIDATION
from facts import FULL, Cell, Fact, Training
from study import Options, Step, md_output, scan_file
from taylorfit.__main__ import run_command
from taylorfit.analysis.errors import errors_in
from taylorfit.analysis.measures import direction_error, force_error_norm, tail_fraction
from taylorfit.analysis.scan_groups import POINT_REPORT, point_folder
from taylorfit.data.read import read
from taylorfit.formats.csv_table import Table as CsvTable
from taylorfit.formats.csv_table import read_table
from taylorfit.formats.report_file import TrainReport, read_train_report
from taylorfit.formats.scan_table import FORCE_NORM, LAST, Row, read_scan_table
from taylorfit.md.analysis import first_peak
from taylorfit.model.distances import shortest_distances
from taylorfit.model.measures import MEASURES
from taylorfit.model.structure import Structure
from taylorfit.plotting.rdf import Rdf
from taylorfit.potential.potential import Potential
from taylorfit.potential.predict import predict
from taylorfit.settings.forces import WITH_COPIES, ForceMode
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.train import TrainInput
from taylorfit.tools.atomic_write import atomic_write

SCANS = {
    "full": {FULL: "full.csv", "grid": "grid.csv", "double": "double.csv", "single": "single.csv"},
    "quick": {FULL: "quick.csv", "grid": "quick.csv"},
}
"""Scale → scan → its table; a quick study has one for both."""
MEASURED = "measured.json"
"""In the folder of a training: what is not in the table of its scan."""
ANGLE_STEP = 3.0
"""Bins of the distribution of angles, degrees."""
BETA = 1e-3
"""Force weight of the rule that chooses epochs by energies and forces, Å² (the default of `train`)."""
TIMES, TIMED, ROUNDS = "times.json", ("energy", "taylor", "directional", "exact"), 3
"""Times per epoch, of which modes, and how many alternating runs of each."""
TIMED_COPIES = 24.0
"""No more copies of each structure than this, as times grow with their number."""
HOLDS_K, HOLDS_SIGMA, HOLDS_BOND = 100.0, 5.0, 0.8
"""Dynamics hold: within so many K, no descriptor so far outside, no distance below this share of the shortest."""

OF_DYNAMICS = (
    *("holds", "time", "worst σ", "shortest distance", "temperature", "drift", "fluctuation"),
    *("O-O peak", "O-O place"),
)
"""Facts of dynamics, before a colon and a mode."""

_COLUMNS = {
    "energy_rmse": MEASURES["energy_rmse"].column,
    "energy_mae": MEASURES["energy_mae"].column,
    "force_error": FORCE_NORM,
    "force_mae": MEASURES["force_mae"].column,
    "train_rmse": MEASURES["train_rmse"].column,
    "last_energy_rmse": LAST + MEASURES["energy_rmse"].column,
    "last_force_error": LAST + FORCE_NORM,
}
"""Column of the results → that of the table of a scan; meV/atom and eV/Å."""
_COORDINATES = {
    "delta": "delta_A",
    "multiple": "multiple_a",
    "beta": "beta_A2",
    "structures": "n_structures",
    "seed": "seed",
    "epochs": "epochs",
    "best_epoch": "best_epoch",
}


def trainings(scale: str) -> tuple[Training, ...]:
    """A row for each training that is there."""
    frames: list[Structure] = []
    return tuple(
        {"scan": scan} | training_cells(row, point_folder("scan", row["key"]), frames)
        for scan, table in SCANS[scale].items()
        for row in read_scan_table(table)
    )


def training_cells(row: Row, folder: Path, frames: list[Structure]) -> dict[str, Cell]:
    """What is known about a training: from the table of its scan, its report and its predictions.

    Parameters
    ----------
    row
        of the table
    folder
        of the training; what follows from the files there is kept in one more, `MEASURED`
    frames
        structures of `VALIDATION`, read when first needed
    """
    file = folder / MEASURED
    if not file.exists():
        cells = _of_report(folder) | _of_predictions(folder, frames)
        if not cells:
            return _of_table(row)
        with atomic_write(file) as stream:
            json.dump(cells, stream)
    return _of_table(row) | dict(json.loads(file.read_text(encoding="utf-8")))


def _of_table(row: Row) -> dict[str, Cell]:
    cells: dict[str, Cell] = {name: row.get(name) or None for name in ("mode", "strategy", "network")}
    for name, column in {**_COORDINATES, **_COLUMNS}.items():
        cells[name] = _short(float(row[column])) if row.get(column) else None
    return cells


def table_row(training: Training) -> Row:
    """The row of a scan's table that a training is from, as far as the results keep it."""
    columns = {**{name: name for name in ("mode", "strategy", "network")}, **_COORDINATES, **_COLUMNS}
    cells = {column: training.get(name) for name, column in columns.items()}
    return {
        column: "" if cell is None else cell if isinstance(cell, str) else f"{cell:g}" for column, cell in cells.items()
    }


def _short(value: float) -> float:
    """With six digits, as files need no more."""
    return float(f"{value:.6g}")


def _of_report(folder: Path) -> dict[str, Cell]:
    """Copies, memory, and what another rule for the best epoch had chosen."""
    if not (folder / POINT_REPORT).exists():
        return {}
    report = read_train_report(folder / POINT_REPORT)
    errors = report.data.get("validation") or {}
    cells: dict[str, Cell] = {
        "copies": report.data.get("n_copies"),
        "memory_mb": _short(report.data["memory_mb"]),
        "end": report.data.get("status"),
    }
    for name, key, factor in (
        ("norm_error", "force_norm_error_mean", 1.0),
        ("tail", "force_error_tail", 100.0),
        ("angle_mean", "angle_error_mean", 1.0),
    ):
        cells[name] = _short(factor * errors[key]) if errors.get(key) is not None else None
    return cells | _chosen_by_both(report)


def _chosen_by_both(report: TrainReport) -> dict[str, Cell]:
    """Validation errors at the epoch, of those validated, with the smallest E² + β F² of the test structures."""
    place = np.searchsorted(report.epoch, report.validation_epoch)
    if not len(place) or not report.has_test_forces:
        return {}
    value = report.test_rmse[place] ** 2 + BETA * report.test_force_rmse[place] ** 2
    if not np.isfinite(value).any():
        return {}
    best = int(np.nanargmin(value))
    return {
        "both_energy_rmse": _short(1e3 * float(report.validation_energy_rmse[best])),
        "both_force_error": _short(float(report.validation_force_error[best])),
        "both_epoch": int(report.validation_epoch[best]),
    }


def _of_predictions(folder: Path, frames: list[Structure]) -> dict[str, Cell]:
    """Shares of atoms from the distributions of force and direction errors."""
    if not any(folder.glob("*.nn")) or not Path(VALIDATION).is_dir():
        return {}
    if not frames:
        frames += read([f"{VALIDATION}/*.xsf"])
    found = predict(Potential.load(folder), frames, stress=False, threads=1)
    reference, forces = found.compared_forces
    if not len(reference):
        return {}
    norm, angle = force_error_norm(forces, reference), direction_error(forces, reference)
    angle = angle[~np.isnan(angle)]
    counts, edges = np.histogram(angle, np.arange(0.0, 180.0 + ANGLE_STEP, ANGLE_STEP))
    cells = {
        "within_15": 100.0 * float((angle < 15.0).mean()),
        "angle_peak": float(edges[counts.argmax()]) + 0.5 * ANGLE_STEP,
        "above_half": 100.0 * tail_fraction(norm, 0.5),
        "above_three": 100.0 * tail_fraction(norm, 3.0),
        "largest_error": float(norm.max()),
        "energy_shift": 1e3 * float(np.mean(found.energy_error_per_atom)),
        "angle_median": errors_in(found).angle_error_median or 0.0,
    }
    return {name: _short(value) for name, value in cells.items()}


# --- the data ----------------------------------------------------------------------------------


def data_facts() -> dict[str, Fact]:
    """Largest force and shortest distance of the structures trained on."""
    if not Path(TRAINING).is_dir():
        return {}
    frames = read([f"{TRAINING}/*.xsf"])
    forces = [float(np.linalg.norm(s.forces, axis=1).max()) for s in frames if s.forces is not None]
    return {
        "largest force": Fact((_short(max(forces)),), "eV/Å"),
        "shortest distance of the data": Fact(
            (_short(min(min(found.values()) for found in shortest_distances(frames) if found)),), "Å"
        ),
    }


# --- times per epoch ---------------------------------------------------------------------------


def timing_step(epochs: int = 12) -> Step:
    """Seconds per epoch and memory of the modes: short runs of each in turn, of which the fastest counts."""

    def run(options: Options) -> int:
        if Path(TIMES).exists():
            print(f"done before ({TIMES})")
            return 0
        folder = Path("timing")
        folder.mkdir(exist_ok=True)
        generate = GenerateInput.read("generate.in")
        assert generate.derivatives is not None and generate.derivatives.outfile is not None
        copies = replace(generate.derivatives, fraction=min(generate.derivatives.fraction, TIMED_COPIES))
        replace(generate, derivatives=copies).write(folder / "generate.in")
        words = ["generate", str(folder / "generate.in"), "--force", *options.thread_words]
        code = run_command(words, folder / "generate.log")
        seconds: dict[str, list[float]] = {mode: [] for mode in TIMED}
        memory: dict[str, float] = {}
        for _ in range(ROUNDS):
            for mode in TIMED:
                code = code or _time_once(mode, epochs, folder, generate.derivatives.outfile, options)
                if code:
                    return code
                report = read_train_report(folder / f"{mode}.json").data
                seconds[mode].append(float(report["seconds_per_epoch"]))
                memory[mode] = float(report["memory_mb"])
                weights = int(report["n_weights"]) // len(report["settings"]["species"])
        with atomic_write(TIMES) as stream:
            values = {"seconds": seconds, "memory_mb": memory, "a": copies.fraction, "weights": weights}
            json.dump(values, stream)
        return 0

    return Step("timing", run)


def _time_once(mode: str, epochs: int, folder: Path, copies: str, options: Options) -> int:
    settings = TrainInput.read("train.in")
    forces = ForceMode(mode=mode) if mode in ("energy", "taylor") else replace(settings.forces, mode=mode)
    short = replace(
        settings,
        taylorset=(copies,) if mode in WITH_COPIES else (),
        forces=forces,
        iterations=epochs,
        validation=(),
        networks=tuple(replace(one, file=str(folder / Path(one.file).name)) for one in settings.networks),
    )
    short.write(folder / "train.in")
    words = ["train", str(folder / "train.in"), "--fresh", "--report", str(folder / f"{mode}.json")]
    return run_command([*words, *options.thread_words], folder / f"{mode}.log")


def timing_facts() -> dict[str, Fact]:
    """Fastest times, memory, and weights per species."""
    if not Path(TIMES).exists():
        return {}
    found = json.loads(Path(TIMES).read_text(encoding="utf-8"))
    facts = {f"seconds: {mode}": Fact((_short(min(times)),), "s") for mode, times in found["seconds"].items()}
    facts |= {f"memory: {mode}": Fact((_short(value),), "MB") for mode, value in found["memory_mb"].items()}
    return facts | {"memory: a": Fact((found["a"],)), "weights per species": Fact((found["weights"],))}


# --- dynamics ----------------------------------------------------------------------------------


def md_facts(name: str, scale: str, names: Mapping[str, str], shortest: float) -> dict[str, Fact]:
    """Which runs of dynamics hold, for how long they ran, and what came out.

    Parameters
    ----------
    names
        label in md.in → name of the facts; several networks may share one
    shortest
        distance of two atoms in the data, Å
    """
    starts = md_output(name, scale, "starts.csv")
    if starts is None:
        return {}
    settings, table = MdInput.read(scan_file(name, scale)), read_table(starts)
    nearest = _nearest(name, scale)
    facts = {}
    labels = table.words("potential")
    hold = _holding(settings, table, nearest, shortest)
    for short in dict.fromkeys(names.values()):
        rows = [row for row, label in enumerate(labels) if names.get(label) == short]
        if not rows:
            continue
        kelvin = [_number(table.words("temperature_K")[row]) for row in rows]
        sigma = [_number(table.words("worst_sigma")[row]) or 0.0 for row in rows]
        near = [nearest.get(labels[row], np.inf) for row in rows]
        facts[f"holds: {short}"] = Fact(tuple(float(hold[row]) for row in rows))
        steps = [float(table.words("steps")[row]) for row in rows]
        facts[f"time: {short}"] = Fact(tuple(_short(1e-3 * settings.timestep * n) for n in steps), "ps")
        facts[f"worst σ: {short}"] = Fact(tuple(map(_short, sigma)), "σ")
        known_near = tuple(_short(one) for one in near if np.isfinite(one))
        if known_near:
            facts[f"shortest distance: {short}"] = Fact(known_near, "Å")
        known_kelvin = tuple(_short(one) for one in kelvin if one is not None)
        if known_kelvin:
            facts[f"temperature: {short}"] = Fact(known_kelvin, "K")
        # What energies do in runs that break down says nothing
        for fact, column, unit in (
            ("drift", "drift_meV_per_atom_ps", "meV/atom/ps"),
            ("fluctuation", "fluctuation_meV_per_atom", "meV/atom"),
        ):
            values = [_number(table.words(column)[row]) for row in rows if hold[row]] if column in table else []
            known = tuple(_short(abs(value)) for value in values if value is not None)
            if known:
                facts[f"{fact}: {short}"] = Fact(known, unit)
    return facts


def _holding(settings: MdInput, table: CsvTable, nearest: Mapping[str, float], shortest: float) -> list[bool]:
    """Whether each run holds."""
    found = []
    for row, label in enumerate(table.words("potential")):
        kelvin, sigma = (_number(table.words(name)[row]) for name in ("temperature_K", "worst_sigma"))
        found.append(
            table.words("status")[row] == "finished"
            and kelvin is not None
            and abs(kelvin - settings.temperature) <= HOLDS_K
            and (sigma or 0.0) <= HOLDS_SIGMA
            and nearest.get(label, np.inf) >= HOLDS_BOND * shortest
        )
    return found


def holding_labels(name: str, scale: str, shortest: float) -> set[str]:
    """Labels of potentials all of whose runs hold; the others as in `md_facts`."""
    starts = md_output(name, scale, "starts.csv")
    if starts is None:
        return set()
    table = read_table(starts)
    hold = _holding(MdInput.read(scan_file(name, scale)), table, _nearest(name, scale), shortest)
    labels = table.words("potential")
    return set(labels) - {label for label, own in zip(labels, hold) if not own}


def _number(word: str) -> float | None:
    return float(word) if word else None


def _nearest(name: str, scale: str) -> dict[str, float]:
    """Label → shortest distance of two atoms in its runs, from where its radial distribution functions begin, Å."""
    curves = md_output(name, scale, "rdf.csv")
    if curves is None:
        return {}
    table = read_table(curves)
    nearest: dict[str, float] = {}
    for label, r, g in zip(table.words("potential"), table.numbers("r_A"), table.numbers("g")):
        if g > 0.0:
            nearest[label] = min(nearest.get(label, np.inf), float(r))
    return nearest


def peak_facts(curves: list[Rdf], names: Mapping[str, str], pair: str = "O-O") -> dict[str, Fact]:
    """Place and height of the first maximum of g(r), of each network."""
    found: dict[str, list[tuple[float, float]]] = {}
    for curve in curves:
        if curve.pair == pair and curve.label in names:
            found.setdefault(names[curve.label], []).append(first_peak(curve.r, curve.g))
    facts = {}
    for short, peaks in found.items():
        facts[f"{pair} peak: {short}"] = Fact(tuple(_short(height) for _, height in peaks))
        facts[f"{pair} place: {short}"] = Fact(tuple(_short(place) for place, _ in peaks), "Å")
    return facts
