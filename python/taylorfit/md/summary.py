"""Tables of molecular dynamics runs, on the screen and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from ..formats.csv_table import write_table
from ..settings.md import MdInput
from ..tools.tables import Table
from .analysis import Drift, energy_drift, highest_peak, radial_distribution
from .dynamics import COLUMNS, DEVIATIONS, Walk
from .walk_keys import WALK_KEYS


def walk_row(walk: Walk, settings: MdInput) -> dict[str, Any]:
    """What is reported about a walk; see `WALK_KEYS`."""
    rows = np.array(walk.rows).reshape(-1, len(COLUMNS))
    drift = Drift()
    if settings.ensemble == "nve":
        drift = energy_drift(rows[:, 1], rows[:, 4], rows[:, 3], walk.n_atoms)
    some = len(rows) > 0
    return {
        "potential": walk.label,
        "start": walk.start,
        "seed": walk.seed,
        "steps": max(walk.step, 0),
        "verdict": verdict(walk, settings),
        "status": walk.ended or ("finished" if walk.step >= settings.steps else "running"),
        "first_extrapolation": walk.first_extrapolation,
        "extrapolation": walk.extrapolation,
        "worst": walk.worst,
        "worst_force_std": walk.worst_force_std,
        "n_dumped": walk.n_dumped,
        "drift": drift.slope,
        "drift_error": drift.slope_error,
        "fluctuation": drift.fluctuation,
        "largest_change": drift.largest,
        "relative_drift": drift.relative,
        "temperature": float(rows[:, 5].mean()) if some else None,
        "temperature_std": float(rows[:, 5].std()) if some else None,
        "potential_energy": float(rows[:, 2].mean()) / walk.n_atoms if some else None,
    }


def verdict(walk: Walk, settings: MdInput) -> str:
    """What became of a walk, in a few words: whether it held, or since when its numbers mean nothing."""

    def at(step: int) -> str:
        when = f"{1e-3 * step * settings.timestep:g} ps" if step >= 0 else "in the equilibration"
        return f"at step {step} ({when})"

    if walk.ended.startswith(("exploded", "collapsed")):
        return f"collapsed {at(walk.step)}"
    if walk.first_extrapolation is not None:
        return f"left its data {at(walk.first_extrapolation)}"
    if walk.step < settings.steps:
        return "running"
    return "finished" if settings.extrapolation.action == "ignore" else "held"


STEP_COLUMNS = (
    ("step", 9, ".0f"),
    ("time, ps", 9, ".4f"),
    ("E_pot, eV", 16, ".6f"),
    ("E_kin, eV", 11, ".6f"),
    ("E_tot, eV", 16, ".6f"),
    ("T, K", 8, ".1f"),
    ("ΔE_tot, meV/atom", 16, ".4f"),
)
"""Title, width and format of the columns of the table of steps, which grows while a run goes on."""
DEVIATION_COLUMNS = (("std E, meV/atom", 16, ".4f"), ("max std F, eV/Å", 16, ".4f"))
"""The same of a committee: standard deviations of the energy and of the force on the atom that has the largest."""


def step_header(committee: bool = False) -> str:
    """Header of the table of steps."""
    columns = STEP_COLUMNS + (DEVIATION_COLUMNS if committee else ())
    return "  ".join(f"{title:>{width}}" for title, width, _ in columns)


def step_line(walk: Walk) -> str:
    """The last line of the table of steps; of a committee with its standard deviations."""
    row, deviations = walk.rows[-1], walk.deviations[-1]
    values = (*row, 1e3 * (row[4] - walk.rows[0][4]) / walk.n_atoms)
    if np.isfinite(deviations[0]):
        values += (1e3 * deviations[0] / walk.n_atoms, *deviations[1:])
    columns = STEP_COLUMNS + DEVIATION_COLUMNS
    return "  ".join(f"{value:{width}{form}}" for value, (_, width, form) in zip(values, columns))


def stability_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The table of all walks."""

    def cell(row: dict[str, Any], key: str, form: str, error: str = "") -> str:
        value, spread = row[key], row[error] if error else None
        text = "-" if value is None else format(value, form)
        return text if spread is None else f"{text} ± {spread:{form}}"

    return Table(
        (
            "potential",
            "start",
            "steps",
            "furthest outside",
            "drift, meV/atom/ps",
            "std(E_tot), meV/atom",
            "max|ΔE_tot|, meV/atom",
            "|drift|/std(E_kin), 1/ps",
            "T, K",
            "verdict",
        ),
        tuple(
            (
                row["potential"],
                str(row["start"]),
                str(row["steps"]),
                _furthest(row),
                cell(row, "drift", ".4f", "drift_error"),
                cell(row, "fluctuation", ".4f"),
                cell(row, "largest_change", ".4f"),
                cell(row, "relative_drift", ".2e"),
                cell(row, "temperature", ".1f", "temperature_std"),
                row["verdict"],
            )
            for row in rows
        ),
        numeric=True,
        left=(0, -1),
    )


def _furthest(row: dict[str, Any]) -> str:
    """How far outside the training data it went, with the unit of the measure."""
    found = ((row["worst_force_std"], "eV/Å"), (row["worst"], "σ"))
    return ", ".join(f"{value:.2f} {unit}" for value, unit in found if value is not None) or "-"


def end_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why runs ended before their last step, and what was unlike the training data first."""
    lines = []
    for row in rows:
        title = f"{row['potential']}, start {row['start']}"
        if row["extrapolation"]:
            lines.append(
                f"{title}: first unlike the training data at step {row['first_extrapolation']}: {row['extrapolation']}"
            )
        if row["status"] not in ("finished", "running"):
            lines.append(f"{title}: {row['status']}")
    return lines


def outcome_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What became of each potential, where there are several starts."""
    labels = list(dict.fromkeys(row["potential"] for row in rows))
    if len(rows) == len(labels):
        return []
    width = max(map(len, labels))
    return ["", *(_outcome(label, [row for row in rows if row["potential"] == label], width) for label in labels)]


def _outcome(label: str, rows: Sequence[dict[str, Any]], width: int) -> str:
    finished = [row for row in rows if row["status"] == "finished"]
    outside = [row["first_extrapolation"] for row in rows if row["first_extrapolation"] is not None]
    held = sum(row["verdict"] in ("held", "finished") for row in rows)
    text = f"{label:{width}}  {held} of {len(rows)} held; "
    text += f"{len(outside)} left their data" + (
        f", the first at step {min(outside)}, median {np.median(outside):g}" if outside else ""
    )
    broken = [row["steps"] for row in rows if row["verdict"].startswith("collapsed")]
    if broken:
        text += f"; {len(broken)} collapsed, the first after {min(broken)} steps"
    drifts = [abs(row["drift"]) for row in finished if row["drift"] is not None]
    if drifts:
        largest = max(row["largest_change"] for row in finished if row["drift"] is not None)
        text += f"; median |drift| {np.median(drifts):.4f} meV/atom/ps, largest |ΔE_tot| {largest:.4f} meV/atom"
    return text


def distributions(walks: Sequence[Walk], settings: MdInput) -> dict[str, Any] | None:
    """Radial distribution functions of each potential, mean over its starts; None if none were sampled.

    Returns
    -------
    dict
        `r` (Å); `potentials`: label → list with pair, g (mean over the starts), std (over the starts, or null),
        highest peak: r (Å) and g.
    """
    if settings.rdf is None or not any(walk.n_samples for walk in walks):
        return None
    r = np.zeros(0)
    result: dict[str, list[dict[str, Any]]] = {}
    for label in dict.fromkeys(walk.label for walk in walks):
        own = []
        for walk in walks:
            if walk.label == label and walk.histogram is not None:
                r, g = radial_distribution(
                    walk.histogram,
                    walk.n_samples,
                    walk.atoms.get_chemical_symbols(),
                    walk.atoms.get_volume(),
                    settings.rdf.pairs,
                    settings.rdf.r_max,
                )
                own.append(g)
        if not own:
            continue
        mean, std = np.mean(own, axis=0), np.std(own, axis=0) if len(own) > 1 else None
        result[label] = []
        for k, pair in enumerate(settings.rdf.pairs):
            place, height = highest_peak(r, mean[k])
            result[label].append(
                {
                    "pair": "-".join(pair),
                    "g": mean[k],
                    "std": None if std is None else std[k],
                    "peak_r": place,
                    "peak_g": height,
                }
            )
    return {"r": r, "potentials": result}


def distribution_lines(found: dict[str, Any]) -> list[str]:
    """Highest peak of each radial distribution function."""
    return [
        f"{label}: g({entry['pair']}) is highest at {entry['peak_r']:.3f} Å: {entry['peak_g']:.2f}"
        for label, entries in found["potentials"].items()
        for entry in entries
    ]


def write_steps(path: str | PathLike[str], walks: Sequence[Walk]) -> None:
    """Write the rows of all walks: energies of the cell in eV, time in ps, temperature in K.

    Where a potential is a committee, also the standard deviations of the energy (eV) and of the force on the atom that
    has the largest (eV/Å); blank for the others.
    """
    more = DEVIATIONS if any(np.isfinite(walk.deviations).any() for walk in walks) else ()
    write_table(
        path,
        ("potential", "start", "n_atoms", *COLUMNS, *more),
        (
            (walk.label, walk.start, walk.n_atoms, *row, *("" if np.isnan(s) else s for s in std[: len(more)]))
            for walk in walks
            for row, std in zip(walk.rows, walk.deviations, strict=True)
        ),
    )


def write_walks(path: str | PathLike[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write one line per walk; columns as in `WALK_KEYS`, units there."""
    units = {
        "worst": "sigma",
        "worst_force_std": "eV_per_A",
        "drift": "meV_per_atom_ps",
        "drift_error": "meV_per_atom_ps",
        "fluctuation": "meV_per_atom",
        "largest_change": "meV_per_atom",
        "relative_drift": "per_ps",
        "temperature": "K",
        "temperature_std": "K",
        "potential_energy": "eV_per_atom",
    }
    header = [f"{key}_{units[key]}" if key in units else key for key in WALK_KEYS]
    write_table(path, header, ([row[key] for key in WALK_KEYS] for row in rows))


def write_distributions(path: str | PathLike[str], found: dict[str, Any]) -> None:
    """Write g(r): potential, pair, r in Å, g, and its standard deviation over the starts."""
    write_table(
        path,
        ("potential", "pair", "r_A", "g", "g_std"),
        (
            (label, entry["pair"], f"{r:.6g}", g, "" if entry["std"] is None else entry["std"][k])
            for label, entries in found["potentials"].items()
            for entry in entries
            for k, (r, g) in enumerate(zip(found["r"].tolist(), entry["g"].tolist()))
        ),
    )
