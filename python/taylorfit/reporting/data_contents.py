"""What training sets, derivatives and structures hold, in words and as plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..formats.aenet.energies_file import SavedEnergies
from ..formats.aenet.records import printable
from ..model.descriptor import StructureDerivatives
from ..model.provenance import STRAIN, parse_copy_name
from ..model.structure import Structure
from ..model.trainset import Geometry, TrainingSet
from .model_contents import Description, describe_setup

SHOWN_COMPOSITIONS = 5


def describe_geometry(geometry: Geometry) -> Description:
    """Describe the companion of a training set: how many structures have cells, forces, stresses and weights."""
    data = {
        "n_structures": len(geometry.cell),
        "n_atoms": len(geometry.atom_weight),
        "n_periodic": int(geometry.pbc.any(axis=1).sum()),
        "n_with_forces": int(geometry.has_forces.sum()),
        "n_with_stress": int((~np.isnan(geometry.stress).any(axis=(1, 2))).sum()),
        "n_weighted": int((geometry.weight != 1.0).sum()),
        "n_weighted_atoms": int((geometry.atom_weight != 1.0).sum()),
    }
    lines = [
        f"{data['n_structures']} structures, {data['n_atoms']} atoms: {data['n_periodic']} periodic, "
        f"{data['n_with_forces']} with forces, {data['n_with_stress']} with a stress",
        _weights_in_words(data["n_weighted"], data["n_weighted_atoms"]),
    ]
    return lines, data


@dataclass
class _Numbers:
    """Count, range, mean and standard deviation of numbers that come in parts."""

    n: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared deviations from the mean."""

    def add(self, values: np.ndarray) -> None:
        if not len(values):
            return
        n, mean = len(values), float(values.mean())
        step = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + step**2 * self.n * n / (self.n + n)
        self.mean += step * n / (self.n + n)
        self.n += n
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / self.n)


class _TrainsetContents:
    """What is counted of a training set, part by part."""

    def __init__(self) -> None:
        self.strategies: Counter[tuple[str, float]] = Counter()
        self.compositions: Counter[str] = Counter()
        self.parents: set[str] = set()
        self.energies = {"structures": _Numbers(), "copies": _Numbers()}
        self.sizes = _Numbers()
        self.atoms: np.ndarray | int = 0
        self.n_values = self.n_without_forces = 0
        self.force_max = self.force_squares = 0.0

    def add(self, t: TrainingSet) -> None:
        copies = [parse_copy_name(name) for name in t.names]
        is_copy = np.array([copy is not None for copy in copies], dtype=bool)
        self.strategies.update((copy.strategy, copy.delta) for copy in copies if copy is not None)
        self.parents.update(copy.parent for copy in copies if copy is not None)
        self.compositions.update(
            _formula(t.species, t.atom_species[a:b])
            for a, b in zip(t.first_atom[:-1].tolist(), t.first_atom[1:].tolist())
        )
        per_atom = t.energy / t.n_atoms
        self.energies["structures"].add(per_atom[~is_copy])
        self.energies["copies"].add(per_atom[is_copy])
        self.sizes.add(t.n_atoms)
        self.atoms = self.atoms + np.bincount(t.atom_species, minlength=len(t.species))
        self.n_values += len(t.descriptors)
        size = np.linalg.norm(t.forces, axis=1)
        self.n_without_forces += int((np.maximum.reduceat(size, t.first_atom[:-1]) == 0.0).sum())
        self.force_max = max(self.force_max, float(size.max()))
        self.force_squares += float((size**2).sum())


def describe_trainset(parts: Iterable[TrainingSet]) -> Description:
    """Describe a training set that comes in parts: structures and copies, energies, forces, setups.

    Energy range and setups are those of the last part.
    """
    found = _TrainsetContents()
    for t in parts:
        found.add(t)
    unit = "(scaled)" if t.normalised else "eV/atom"
    strategies = [{"strategy": s, "delta": d, "copies": n} for (s, d), n in sorted(found.strategies.items())]
    n_structures, n_copies = (found.energies[key].n for key in ("structures", "copies"))
    atoms = {symbol: int(n) for symbol, n in zip(t.species, np.atleast_1d(found.atoms))}
    n_atoms = sum(atoms.values())
    energies = {symbol: float(e) for symbol, e in zip(t.species, t.atomic_energies)}
    force_rms = math.sqrt(found.force_squares / n_atoms)

    lines = [f"species {', '.join(f'{s} (atomic energy {e:.8g} eV)' for s, e in energies.items())}"]
    lines.append(
        f"{n_structures} structures"
        + (f", {n_copies} Taylor copies of {len(found.parents)} structures" if n_copies else ", no Taylor copies")
    )
    units = {STRAIN: ""}
    lines += [
        f"  {s['copies']} copies {s['strategy']}, up to {s['delta']:g}{units.get(str(s['strategy']), ' Å')}"
        for s in strategies
    ]
    lines.append(
        f"{n_atoms} atoms ({', '.join(f'{k} {s}' for s, k in atoms.items())}), "
        f"{found.sizes.low:.0f} to {found.sizes.high:.0f} in a structure"
    )
    lines.append("compositions " + _most_common(found.compositions))
    lines += [
        f"energies of {what}: {e.low:.6f} … {e.high:.6f}, mean {e.mean:.6f} {unit}, "
        f"standard deviation {e.deviation:.6f}"
        for what, e in found.energies.items()
        if e.n
    ]
    lines.append(f"footer: {t.energy_min:.6f} … {t.energy_max:.6f}, mean {t.energy_mean:.6f} {unit}")
    lines.append(
        f"forces: largest {found.force_max:.4f}, RMS {force_rms:.4f} {'(scaled)' if t.normalised else 'eV/Å'}"
        + (f"; none in {found.n_without_forces} structures" if found.n_without_forces else "")
    )
    if t.normalised:
        lines.append(f"scaled by ænet: E' = {t.scale:.10g}·(E − n·{t.shift:.10g} eV); descriptors standardised")
    data: dict[str, Any] = {
        "species": list(t.species),
        "atomic_energies": energies,
        "n_structures": n_structures,
        "n_copies": n_copies,
        "copies": strategies,
        "n_parents_of_copies": len(found.parents),
        "n_atoms": n_atoms,
        "atoms": atoms,
        "compositions": dict(found.compositions.most_common()),
        "normalised": t.normalised,
        "scale": t.scale,
        "shift": t.shift,
        "energy_min": t.energy_min,
        "energy_max": t.energy_max,
        "energy_mean": t.energy_mean,
        "force_max": found.force_max,
        "force_rms": force_rms,
        "n_without_forces": found.n_without_forces,
        "n_values": found.n_values,
        "setups": None,
    }
    if t.setups is None:
        lines.append("no descriptor setups: one cannot train on this file")
    else:
        described = [describe_setup(setup, functions=False) for setup in t.setups]
        lines += [line for part, _ in described for line in part]
        data["setups"] = [part for _, part in described]
    return lines, data


def describe_derivatives(structures: Iterable[StructureDerivatives]) -> Description:
    """Describe a file of descriptor derivatives, read structure by structure."""
    n = n_chosen = n_atoms = n_numbers = 0
    neighbours = Counter[int]()
    features: dict[int, int] = {}
    largest = 0.0
    for structure in structures:
        n += 1
        n_chosen += structure.atoms is not None
        for atom in structure.atoms or ():
            n_atoms += 1
            neighbours[len(atom.neighbours)] += 1
            features[atom.species + 1] = len(atom.own)
            n_numbers += atom.own.size + atom.images.size
            largest = max(largest, float(np.abs(atom.images).max(initial=0.0)))
    mean = sum(k * m for k, m in neighbours.items()) / max(n_atoms, 1)
    lines = [
        f"{n} structures, {n_chosen} with derivatives of {n_atoms} atoms",
        "values per species " + ", ".join(f"{t}: {k}" for t, k in sorted(features.items())),
        f"neighbours per atom {min(neighbours, default=0)} to {max(neighbours, default=0)}, mean {mean:.1f}",
        f"largest derivative {largest:.6g} per Å; {n_numbers} numbers, {8e-6 * n_numbers:.1f} MB",
    ]
    return lines, {
        "n_structures": n,
        "n_with_derivatives": n_chosen,
        "n_atoms": n_atoms,
        "n_features": features,
        "neighbours_max": max(neighbours, default=0),
        "neighbours_mean": mean,
        "largest": largest,
        "n_numbers": n_numbers,
    }


def describe_energies(saved: SavedEnergies) -> Description:
    """Describe the energies that train saved: how many structures, and the errors."""
    n, error = saved.n_structures, saved.error_per_atom
    atoms = {symbol: int(count) for symbol, count in zip(saved.species, saved.counts.sum(axis=0))}
    data: dict[str, Any] = {
        "species": list(saved.species),
        "n_structures": n,
        "n_atoms": int(saved.n_atoms.sum()),
        "atoms": atoms,
        "scale": saved.scale,
        "mae": None,
        "rmse": None,
        "largest": None,
        "largest_name": None,
    }
    lines = [f"{n} structures, {data['n_atoms']} atoms ({', '.join(f'{k} {printable(s)}' for s, k in atoms.items())})"]
    if n:
        worst = int(np.abs(error).argmax())
        data |= {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "largest": float(abs(error[worst])),
            "largest_name": printable(saved.names[worst]),
        }
        e = saved.reference_per_atom
        lines.append(
            f"MAE {1e3 * data['mae']:.4f}, RMSE {1e3 * data['rmse']:.4f} meV/atom; "
            f"largest error {1e3 * data['largest']:.4f} meV/atom in {data['largest_name']}"
        )
        lines.append(
            f"energies {e.min():.6f} … {e.max():.6f}, mean {e.mean():.6f} eV/atom, without the atomic energies"
        )
    return lines, data


def describe_structures(structures: Sequence[Structure]) -> Description:
    """Describe the frames of a structure file: one in detail, several by their ranges."""
    formulas = Counter(printable(s.formula) for s in structures)
    energies = np.array([s.energy / s.n_atoms for s in structures if s.energy is not None])
    cohesive = np.array([s.cohesive_energy / s.n_atoms for s in structures if s.cohesive_energy])
    forces = [np.linalg.norm(s.forces, axis=1) for s in structures if s.forces is not None]
    periodic = Counter(sum(s.pbc) for s in structures)
    n_atoms = [s.n_atoms for s in structures]
    one = structures[0] if len(structures) == 1 else None
    lines = [
        f"{len(structures)} structures, {min(n_atoms)} to {max(n_atoms)} atoms: {_most_common(formulas)}"
        if one is None
        else f"{one.n_atoms} atoms: {next(iter(formulas))}"
    ]
    words = {0: "isolated", 1: "periodic in one direction", 2: "periodic in two directions", 3: "periodic"}
    lines.append(", ".join(f"{words[k]}" + (f" {n}" if one is None else "") for k, n in sorted(periodic.items())))
    if one is not None and any(one.pbc):
        lengths = np.linalg.norm(one.cell, axis=1)
        lines.append(
            "cell "
            + " ".join(f"{x:.4f}" for x in lengths)
            + " Å, angles "
            + " ".join(f"{a:.2f}" for a in _angles(one.cell))
            + "°"
            + (f", volume {one.volume:.3f} Å³, {one.volume / one.n_atoms:.3f} Å³ per atom" if all(one.pbc) else "")
        )
    for what, values in (("total energy", energies), ("cohesive energy", cohesive)):
        if len(values) and one is not None:
            lines.append(f"{what} {values[0] * one.n_atoms:.8f} eV, {values[0]:.8f} eV/atom")
        elif len(values):
            lines.append(
                f"{what} {values.min():.6f} … {values.max():.6f}, mean {values.mean():.6f} eV/atom "
                f"in {len(values)} structures"
            )
    if not len(energies) and not len(cohesive):
        lines.append("no energy")
    largest = max((float(f.max()) for f in forces), default=None)
    rms = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else None
    lines.append(
        "no forces"
        if largest is None
        else f"forces: largest {largest:.4f}, RMS {rms:.4f} eV/Å"
        + ("" if one is not None else f", in {len(forces)} structures")
    )
    if any(s.stress is not None for s in structures):
        n = sum(s.stress is not None for s in structures)
        lines.append("stress in " + (f"{n} structures" if one is None else "the file"))
    n_weighted = sum(s.weight != 1.0 for s in structures)
    n_weighted_atoms = sum(int((s.force_weights != 1.0).sum()) for s in structures if s.force_weights is not None)
    if n_weighted or n_weighted_atoms:
        lines.append(_weights_in_words(n_weighted, n_weighted_atoms))
    return lines, {
        "n_structures": len(structures),
        "compositions": dict(formulas),
        "n_atoms_min": min(n_atoms),
        "n_atoms_max": max(n_atoms),
        "periodic_directions": dict(periodic),
        "energy_per_atom": energies,
        "cohesive_energy_per_atom": cohesive,
        "n_with_forces": len(forces),
        "force_max": largest,
        "force_rms": rms,
        "n_weighted": n_weighted,
        "n_weighted_atoms": n_weighted_atoms,
    }


def _weights_in_words(n_structures: int, n_atoms: int) -> str:
    return f"weights other than 1: {n_structures} structures, {n_atoms} forces on atoms"


def _formula(species: Sequence[str], atoms: np.ndarray) -> str:
    """Formula in the order of `species`, of which `atoms` are indices."""
    counts = np.bincount(atoms, minlength=len(species)).tolist()
    return "".join(f"{printable(s)}{n if n > 1 else ''}" for s, n in zip(species, counts) if n)


def _most_common(formulas: Counter[str]) -> str:
    shown = ", ".join(f"{f} ({n})" for f, n in formulas.most_common(SHOWN_COMPOSITIONS))
    rest = len(formulas) - SHOWN_COMPOSITIONS
    return shown + (f" and {rest} more" if rest > 0 else "")


def _angles(cell: np.ndarray) -> list[float]:
    a, b, c = cell
    with np.errstate(all="ignore"):
        return [
            float(np.degrees(np.arccos(np.clip(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)), -1, 1))))
            for u, v in ((b, c), (a, c), (a, b))
        ]
