"""Errors of a potential against reference energies and forces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..engine import Evaluation, PotentialTables, StopToken, evaluate
from ..model.measures import ANGLE_UNIT, ENERGY_UNIT, ERRORS, FORCE_UNIT, MEASURES, SHARE_UNIT, TAIL, Measure
from ..model.predictions import Predictions
from ..model.structure import Structure, formula
from ..tools.chunks import runs
from ..tools.ranks import ALONE, Ranks
from ..tools.statistics import median
from .measures import direction_error, force_error_norm, mae_and_rmse, tail_fraction


def error_rows(
    columns: Sequence[Mapping[str, Any]], prefix: str = "", measures: Sequence[Measure] = ERRORS
) -> list[tuple[str, ...]]:
    """Errors (see `Errors.to_dict`) side by side as text, without those that none has."""
    return [
        (prefix + measure.heading + measure.of, *(measure.cell(column.get(measure.key)) for column in columns))
        for measure in measures
        if measure.in_tables and any(column.get(measure.key) is not None for column in columns)
    ]


@dataclass(frozen=True)
class Errors:
    """Errors over a set of structures; None where there is no reference. See `model.measures`."""

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
    energy_rmse_all: float | None = None
    """Over all structures alike, where some have weights; the other errors are weighted."""
    force_rmse_all: float | None = None
    """Over all atoms alike, likewise."""

    def __str__(self) -> str:
        return "\n".join(error_lines(self))

    def to_dict(self) -> dict[str, float | int | None]:
        """For the JSON report; errors over all alike are in it where there are weights."""
        values = asdict(self)
        return {key: value for key, value in values.items() if value is not None or not key.endswith("_all")}

    def as_row(self) -> list[float]:
        """All measures as numbers, NaN for None: a row of a checkpoint."""
        return [np.nan if value is None else float(value) for value in self.to_dict().values()]

    @classmethod
    def from_row(cls, row: Sequence[float]) -> Errors:
        """The errors of a row; a short one, of an earlier version, lacks the last measures."""
        values: dict[str, Any] = {
            field.name: None if np.isnan(value) else float(value) for field, value in zip(fields(cls), row)
        }
        return cls(**values | {name: int(values[name]) for name in ("n_structures", "n_forces")})


def predictions_of(
    structures: Sequence[Structure],
    evaluations: Sequence[Evaluation],
    atomic_energies: dict[str, float],
    label: str = "",
    potentials: Sequence[str] = (),
    stress: bool = True,
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
    weight = np.array([s.weight for s in structures])
    atom_weight = np.concatenate([np.zeros(0), *(s.atom_weights for s in structures)])
    known = np.array([s.stress if s.stress is not None else np.full((3, 3), np.nan) for s in structures])
    found = np.array([_stress(structure, evaluation) for structure, evaluation in zip(structures, evaluations)])
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
        atomic_energies=np.concatenate([np.zeros(0), *(evaluation.atomic_energies for evaluation in evaluations)]),
        stress_ref=known.reshape(-1, 3, 3) if stress else None,
        stress=found.reshape(-1, 3, 3) if stress else None,
        weight=None if (weight == 1.0).all() else weight,
        atom_weight=None if (atom_weight == 1.0).all() else atom_weight,
    )


def _stress(structure: Structure, evaluation: Evaluation) -> np.ndarray:
    """(3, 3) stress, eV/Å³; NaN where it is not known or has no meaning."""
    if evaluation.strain_derivative is None or not all(structure.pbc):
        return np.full((3, 3), np.nan)
    return evaluation.strain_derivative / structure.volume


def errors_in(predictions: Predictions) -> Errors:
    """Sum predictions up in a few numbers, weighted where structures or forces have weights."""
    per_atom = predictions.energy_error_per_atom
    weight, atom_weight = predictions.compared_weights
    # Each structure counts alike, whatever its size (ænet)
    energy_mae, energy_rmse = mae_and_rmse(per_atom, weight) if len(per_atom) else (None, None)
    f_ref, f = predictions.compared_forces
    everything = {} if weight is None and atom_weight is None else _errors_over_all(predictions)
    if not len(f_ref):
        return Errors(energy_mae, energy_rmse, None, None, None, None, None, len(per_atom), 0, **everything)
    norm_error, angle = force_error_norm(f, f_ref), direction_error(f, f_ref)
    has_angle = ~np.isnan(angle)
    angle_weight = None if atom_weight is None else atom_weight[has_angle]
    angle = angle[has_angle]
    force_mae, force_rmse = mae_and_rmse(f - f_ref, None if atom_weight is None else np.tile(atom_weight, (3, 1)).T)
    norm_difference = np.linalg.norm(f, axis=1) - np.linalg.norm(f_ref, axis=1)
    return Errors(
        energy_mae,
        energy_rmse,
        force_mae=force_mae,
        force_rmse=force_rmse,
        force_error_norm_mean=mae_and_rmse(norm_error, atom_weight)[0],
        force_norm_error_mean=mae_and_rmse(norm_difference, atom_weight)[0],
        angle_error_mean=mae_and_rmse(angle, angle_weight)[0] if len(angle) else None,
        n_structures=len(per_atom),
        n_forces=len(f_ref),
        angle_error_median=median(angle) if len(angle) else None,
        force_error_tail=tail_fraction(norm_error),
        **everything,
    )


def errors_by_element(predictions: Predictions) -> dict[str, Errors]:
    """Errors of the forces on the atoms of each element; without energies."""
    symbols = np.array(predictions.symbols, dtype=object)
    return {
        symbol: errors_in(
            replace(
                predictions,
                energy_ref=np.full_like(predictions.energy_ref, np.nan),
                forces_ref=np.where((symbols == symbol)[:, None], predictions.forces_ref, np.nan),
            )
        )
        for symbol in sorted(set(predictions.symbols))
    }


def errors_by_composition(predictions: Predictions) -> dict[str, Errors]:
    """Errors of the structures of each composition, such as H2O, by falling number of structures."""
    symbols, offsets = predictions.symbols, predictions.offsets.tolist()
    formulas = np.array([formula(symbols[a:b]) for a, b in pairwise(offsets)], dtype=object)
    atom_formulas = np.repeat(formulas, predictions.n_atoms)
    return {
        name: errors_in(
            replace(
                predictions,
                energy_ref=np.where(formulas == name, predictions.energy_ref, np.nan),
                forces_ref=np.where((atom_formulas == name)[:, None], predictions.forces_ref, np.nan),
            )
        )
        for name, _ in Counter(formulas.tolist()).most_common()
    }


def _errors_over_all(predictions: Predictions) -> dict[str, float]:
    """Errors over all structures and atoms alike, whatever their weights."""
    energy = ((predictions.energy - predictions.energy_ref) / predictions.n_atoms)[~np.isnan(predictions.energy_ref)]
    force = (predictions.forces - predictions.forces_ref)[~np.isnan(predictions.forces_ref).any(axis=1)]
    return {
        key: mae_and_rmse(error)[1]
        for key, error in (("energy_rmse_all", energy), ("force_rmse_all", force))
        if len(error)
    }


def validate(
    structures: Sequence[Structure],
    potential: PotentialTables,
    atomic_energies: dict[str, float],
    threads: int = 0,
    stop: StopToken | None = None,
    ranks: Ranks = ALONE,
) -> Errors:
    """Evaluate energies and forces of structures and return the errors; `ranks` share the structures, which all know.

    Raises
    ------
    KeyboardInterrupt
        once `stop` is set.
    """
    evaluations: list[Evaluation] = []
    here = ranks.share(len(structures))
    for part in runs(structures[here.start : here.stop], lambda s: s.n_atoms):
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        evaluations += evaluate(part, potential, threads=threads)
    found = [one for part in ranks.gather(evaluations) for one in part]
    return ranks.from_root(lambda: errors_in(predictions_of(structures, found, atomic_energies)))


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def error_lines(errors: Errors) -> list[str]:
    """The errors as text, one line each, with units."""

    def cell(key: str, width: int = 0) -> str:
        measure = MEASURES[key]
        return f"{measure.cell(getattr(errors, key), measure.unit is not SHARE_UNIT):>{width}}"

    lines = []
    if errors.energy_rmse is not None:
        lines.append(
            f"energy  MAE {cell('energy_mae', 10)}  RMSE {cell('energy_rmse', 10)}  {ENERGY_UNIT.name}"
            f"  ({_counted(errors.n_structures, 'structure')})"
        )
    if errors.force_rmse is not None:
        lines += [
            f"force   MAE {cell('force_mae', 10)}  RMSE {cell('force_rmse', 10)}  {FORCE_UNIT.name} per component"
            f"  ({_counted(errors.n_forces, 'atom')})",
            f"        mean |F − F_ref| {cell('force_error_norm_mean')} {FORCE_UNIT.name},"
            f"  mean ||F| − |F_ref|| {cell('force_norm_error_mean')} {FORCE_UNIT.name}",
        ]
        if errors.angle_error_mean is not None:
            lines.append(
                f"        angle between F and F_ref: mean {cell('angle_error_mean')},"
                f"  median {cell('angle_error_median')} {ANGLE_UNIT.name}"
            )
        if errors.force_error_tail is not None:
            lines.append(f"        |F − F_ref| > {TAIL:g} {FORCE_UNIT.name}: {cell('force_error_tail')} % of the atoms")
    for key, what, unit in (
        ("energy_rmse_all", "energies of all structures", ENERGY_UNIT),
        ("force_rmse_all", "forces on all atoms", FORCE_UNIT),
    ):
        value = getattr(errors, key)
        if value is not None:
            lines.append(f"        {what} alike, without their weights: RMSE {unit.factor * value:.4g} {unit.name}")
    return lines
