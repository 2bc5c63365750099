"""Errors of a potential against reference energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .engine import Evaluation, PotentialTables, evaluate
from .structure import Structure

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
}
"""What the numbers of an error report mean."""


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

    def as_dict(self) -> dict[str, float | int | None]:
        """For the JSON report."""
        return asdict(self)


def energy_errors(error_per_atom: np.ndarray) -> tuple[float, float]:
    """MAE and RMSE (eV/atom) of energy errors per atom; each structure counts alike (ænet).

    An empty set gives 0 and NaN, as ænet prints.
    """
    if len(error_per_atom) == 0:
        return 0.0, float("nan")
    return float(np.abs(error_per_atom).mean()), float(np.sqrt((error_per_atom**2).mean()))


def errors_of(structures: Sequence[Structure], evaluations: Sequence[Evaluation],
              atomic_energies: dict[str, float]) -> Errors:
    """Compare evaluations with the reference data of the structures.

    `atomic_energies` (eV) are those of the potential: they turn total into cohesive energies,
    which is what a file may state instead.
    """
    per_atom, ref, own = [], [], []
    for structure, evaluation in zip(structures, evaluations, strict=True):
        reference = structure.reference_energy(atomic_energies)
        if reference is not None:
            isolated = sum(atomic_energies[symbol] for symbol in structure.symbols)
            per_atom.append((evaluation.energy - isolated - reference) / structure.n_atoms)
        if structure.forces is not None and evaluation.forces is not None:
            ref.append(structure.forces)
            own.append(evaluation.forces)
    energy = energy_errors(np.array(per_atom)) if per_atom else (None, None)
    if not ref:
        return Errors(*energy, None, None, None, None, None, len(per_atom), 0)
    f_ref, f = np.concatenate(ref), np.concatenate(own)
    difference = f - f_ref
    norm_ref, norm = np.linalg.norm(f_ref, axis=1), np.linalg.norm(f, axis=1)
    defined = (norm_ref > 0) & (norm > 0)
    cosine = (f * f_ref).sum(axis=1)[defined] / (norm * norm_ref)[defined]
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return Errors(
        *energy,
        force_mae=float(np.abs(difference).mean()),
        force_rmse=float(np.sqrt((difference**2).mean())),
        force_error_norm_mean=float(np.linalg.norm(difference, axis=1).mean()),
        force_norm_error_mean=float(np.abs(norm - norm_ref).mean()),
        angle_error_mean=float(angle.mean()) if len(angle) else None,
        n_structures=len(per_atom),
        n_forces=len(f_ref),
    )


def batches(structures: Sequence[Structure], atoms: int = BATCH_ATOMS) -> list[Sequence[Structure]]:
    """Cut a list of structures into runs of about `atoms` atoms, at least one structure each."""
    parts, start, n = [], 0, 0
    for index, structure in enumerate(structures):
        n += structure.n_atoms
        if n >= atoms:
            parts.append(structures[start:index + 1])
            start, n = index + 1, 0
    if start < len(structures):
        parts.append(structures[start:])
    return parts


def validate(structures: Sequence[Structure], potential: PotentialTables, atomic_energies: dict[str, float],
             threads: int = 0) -> Errors:
    """Evaluate energies and forces of structures and return the errors."""
    evaluations = [e for part in batches(structures) for e in evaluate(part, potential, threads=threads)]
    return errors_of(structures, evaluations, atomic_energies)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def error_lines(errors: Errors) -> list[str]:
    """The errors as text, one line each, with units."""
    lines = []
    if errors.energy_rmse is not None:
        lines.append(f"energy  MAE {1e3 * errors.energy_mae:10.3f}  RMSE {1e3 * errors.energy_rmse:10.3f}  meV/atom"
                     f"  ({_counted(errors.n_structures, 'structure')})")
    if errors.force_rmse is not None:
        lines += [
            f"force   MAE {errors.force_mae:10.4f}  RMSE {errors.force_rmse:10.4f}  eV/Å per component"
            f"  ({_counted(errors.n_forces, 'atom')})",
            f"        mean |F − F_ref| {errors.force_error_norm_mean:.4f} eV/Å,"
            f"  mean ||F| − |F_ref|| {errors.force_norm_error_mean:.4f} eV/Å",
        ]
        if errors.angle_error_mean is not None:
            lines.append(f"        mean angle between F and F_ref {errors.angle_error_mean:.2f} degrees")
    return lines
