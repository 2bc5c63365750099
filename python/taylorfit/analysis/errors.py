"""Errors of a potential against reference energies and forces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..engine import Evaluation, PotentialTables, evaluate
from ..formats.predictions import Predictions
from ..model.structure import Structure
from .measures import TAIL, direction_error, force_error_norm, mae_and_rmse, tail_fraction

BATCH_ATOMS = 4096
"""Atoms per engine call: short enough that Ctrl-C and progress stay alive."""

ERROR_KEYS = {
    "energy_mae": "mean absolute error of the energy, eV/atom",
    "energy_rmse": "root mean square error of the energy, eV/atom",
    "force_mae": "mean absolute error of the force components, eV/Å",
    "force_rmse": "root mean square error of the force components, eV/Å",
    "force_error_norm_mean": "mean of |F − F_ref| over atoms, eV/Å (the measure of Cooper et al. 2020)",
    "force_norm_error_mean": "mean of | |F| − |F_ref| | over atoms, eV/Å",
    "angle_error_mean": "mean angle between F and F_ref, degrees (atoms where both are non-zero)",
    "n_structures": "structures with a reference energy",
    "n_forces": "atoms with a reference force",
    "angle_error_median": "median angle between F and F_ref, degrees",
    "force_error_tail": f"fraction of atoms with |F − F_ref| > {TAIL:g} eV/Å",
}
"""What the numbers of an error report mean."""

ERROR_ROWS: tuple[tuple[str, str, float, str], ...] = (
    ("energy MAE, meV/atom", "energy_mae", 1e3, ".2f"),
    ("energy RMSE, meV/atom", "energy_rmse", 1e3, ".2f"),
    ("force MAE, eV/Å per component", "force_mae", 1.0, ".3f"),
    ("force RMSE, eV/Å per component", "force_rmse", 1.0, ".3f"),
    ("mean |F − F_ref|, eV/Å", "force_error_norm_mean", 1.0, ".3f"),
    (f"atoms with |F − F_ref| > {TAIL:g} eV/Å, %", "force_error_tail", 100.0, ".2f"),
    ("mean angle of F and F_ref, degrees", "angle_error_mean", 1.0, ".1f"),
    ("median angle of F and F_ref, degrees", "angle_error_median", 1.0, ".1f"),
)
"""Rows of a table of errors: title, key, factor to the unit of the title, format."""


def error_cell(value: float | None, factor: float, form: str) -> str:
    """A value in other units as text; a dash for None."""
    return "–" if value is None else format(factor * value, form)


def error_rows(
    columns: Sequence[Mapping[str, Any]], prefix: str = "", keys: Collection[str] | None = None
) -> list[tuple[str, ...]]:
    """Errors (see `Errors.as_dict`) side by side as text: of `keys` alone if given, without those that none has."""
    return [
        (prefix + title, *(error_cell(column.get(key), factor, form) for column in columns))
        for title, key, factor, form in ERROR_ROWS
        if (keys is None or key in keys) and any(column.get(key) is not None for column in columns)
    ]


@dataclass(frozen=True)
class Errors:
    """Errors over a set of structures; None where there is no reference. See `ERROR_KEYS`."""

    energy_mae: float | None
    energy_rmse: float | None
    force_mae: float | None
    force_rmse: float | None
    force_error_norm_mean: float | None
    force_norm_error_mean: float | None
    angle_error_mean: float | None
    n_structures: int
    n_forces: int
    angle_error_median: float | None = None
    force_error_tail: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """For the JSON report."""
        return asdict(self)

    def as_row(self) -> list[float]:
        """All measures as numbers, NaN for None: a row of a checkpoint."""
        return [np.nan if value is None else float(value) for value in self.as_dict().values()]

    @classmethod
    def from_row(cls, row: Sequence[float]) -> Errors:
        """The errors of a row; a short one, of an earlier version, lacks the last measures."""
        values = {field.name: None if np.isnan(value) else float(value) for field, value in zip(fields(cls), row)}
        return cls(**values | {name: int(values[name]) for name in ("n_structures", "n_forces")})


def predictions_of(
    structures: Sequence[Structure],
    evaluations: Sequence[Evaluation],
    atomic_energies: dict[str, float],
    label: str = "",
    potentials: Sequence[str] = (),
) -> Predictions:
    """Set evaluations beside the reference data of the structures.

    `atomic_energies` (eV) are those of the potential: they turn total into cohesive energies,
    which is what a file may state instead.
    """
    isolated = np.array([sum(atomic_energies[symbol] for symbol in structure.symbols) for structure in structures])
    reference = [structure.reference_energy(atomic_energies) for structure in structures]
    forces_ref, forces = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for structure, evaluation in zip(structures, evaluations, strict=True):
        unknown = np.full((structure.n_atoms, 3), np.nan)
        forces.append(unknown if evaluation.forces is None else evaluation.forces)
        forces_ref.append(unknown if evaluation.forces is None or structure.forces is None else structure.forces)
    return Predictions(
        label=label,
        potentials=tuple(potentials),
        names=tuple(structure.name for structure in structures),
        symbols=tuple(symbol for structure in structures for symbol in structure.symbols),
        offsets=np.cumsum([0, *(structure.n_atoms for structure in structures)]),
        isolated_energy=isolated,
        energy_ref=np.array([np.nan if r is None else r for r in reference]) + isolated,
        energy=np.array([evaluation.energy for evaluation in evaluations]),
        forces_ref=np.concatenate(forces_ref),
        forces=np.concatenate(forces),
    )


def errors_in(predictions: Predictions) -> Errors:
    """Sum predictions up in a few numbers."""
    per_atom = predictions.energy_error_per_atom
    # Each structure counts alike, whatever its size (ænet)
    energy = mae_and_rmse(per_atom) if len(per_atom) else (None, None)
    f_ref, f = predictions.compared_forces
    if not len(f_ref):
        return Errors(*energy, None, None, None, None, None, len(per_atom), 0)
    norm_error, angle = force_error_norm(f, f_ref), direction_error(f, f_ref)
    angle = angle[~np.isnan(angle)]
    force_mae, force_rmse = mae_and_rmse(f - f_ref)
    return Errors(
        *energy,
        force_mae=force_mae,
        force_rmse=force_rmse,
        force_error_norm_mean=float(norm_error.mean()),
        force_norm_error_mean=float(np.abs(np.linalg.norm(f, axis=1) - np.linalg.norm(f_ref, axis=1)).mean()),
        angle_error_mean=float(angle.mean()) if len(angle) else None,
        n_structures=len(per_atom),
        n_forces=len(f_ref),
        angle_error_median=float(np.median(angle)) if len(angle) else None,
        force_error_tail=tail_fraction(norm_error),
    )


def batches(structures: Sequence[Structure], atoms: int = BATCH_ATOMS) -> list[Sequence[Structure]]:
    """Cut a list of structures into runs of about `atoms` atoms, at least one structure each."""
    parts, start, n = [], 0, 0
    for index, structure in enumerate(structures):
        n += structure.n_atoms
        if n >= atoms:
            parts.append(structures[start : index + 1])
            start, n = index + 1, 0
    if start < len(structures):
        parts.append(structures[start:])
    return parts


def validate(
    structures: Sequence[Structure], potential: PotentialTables, atomic_energies: dict[str, float], threads: int = 0
) -> Errors:
    """Evaluate energies and forces of structures and return the errors."""
    evaluations = [e for part in batches(structures) for e in evaluate(part, potential, threads=threads)]
    return errors_in(predictions_of(structures, evaluations, atomic_energies))


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def error_lines(errors: Errors) -> list[str]:
    """The errors as text, one line each, with units."""
    lines = []
    if errors.energy_rmse is not None:
        lines.append(
            f"energy  MAE {1e3 * errors.energy_mae:10.3f}  RMSE {1e3 * errors.energy_rmse:10.3f}  meV/atom"
            f"  ({_counted(errors.n_structures, 'structure')})"
        )
    if errors.force_rmse is not None:
        lines += [
            f"force   MAE {errors.force_mae:10.4f}  RMSE {errors.force_rmse:10.4f}  eV/Å per component"
            f"  ({_counted(errors.n_forces, 'atom')})",
            f"        mean |F − F_ref| {errors.force_error_norm_mean:.4f} eV/Å,"
            f"  mean ||F| − |F_ref|| {errors.force_norm_error_mean:.4f} eV/Å",
        ]
        if errors.angle_error_mean is not None:
            lines.append(
                f"        angle between F and F_ref: mean {errors.angle_error_mean:.2f},"
                f"  median {errors.angle_error_median:.2f} degrees"
            )
        if errors.force_error_tail is not None:
            lines.append(f"        |F − F_ref| > {TAIL:g} eV/Å: {100 * errors.force_error_tail:.2f} % of the atoms")
    return lines
