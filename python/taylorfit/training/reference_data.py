"""The reference structures behind a training set, with the cells that ænet's format leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.companion import geometry_path, read_geometry
from ..formats.structures.files import file_of, read_structures
from ..model.geometry import Geometry
from ..model.structure import Structure
from ..model.trainset import TrainingSet

_SAME_FORCE = 1.0e-6
"""Forces of a structure file and of the training set may differ by so much, eV/Å: its round trip through digits."""


@dataclass(frozen=True, eq=False)
class ReferenceData:
    """Reference structures of a training set."""

    structures: dict[int, Structure]
    """By their number in the training set; forces None where there are none, raw energies left out."""
    weight: dict[int, float]
    """Weight of each structure."""
    atom_weight: dict[int, np.ndarray]
    """(n_atom,) weight of the force on each atom."""
    source: str
    """Where cells come from, for messages."""
    content: dict[int, str] = field(default_factory=dict)
    """`Structure.content_hash` of each structure, as far as it is known."""
    pushed_from: dict[int, str] = field(default_factory=dict)
    """That of the structure it is made from, of each copy with pushed atoms (`repel`)."""
    has_no_cells: bool = False
    """Neither cells nor weights are known."""

    @property
    def ignored(self) -> frozenset[int]:
        """Structures of weight 0, whose energies and geometries count nowhere."""
        return frozenset(s for s, weight in self.weight.items() if weight == 0.0)


def reference_data(training_set: TrainingSet, file: str) -> ReferenceData | None:
    """Return the reference structures of a training set read from `file`; None if their cells are nowhere to be found.

    A training set in memory knows them; else they come from the companion that generate writes, or from the structure
    files that the training set names.

    Raises
    ------
    InputError
        if the companion or a structure file does not belong to the training set.
    """
    parents = training_set.parents
    if training_set.geometry is not None:
        return _from_companion(training_set, parents, training_set.geometry, file)
    companion = geometry_path(file)
    if Path(companion).exists():
        geometry = read_geometry(companion, [training_set.names[s] for s in parents], training_set.energy[parents])
        return _from_companion(training_set, parents, geometry, companion)
    return _from_files(training_set, parents)


def reference_without_cells(training_set: TrainingSet) -> ReferenceData:
    """Return the reference structures as far as the training set itself knows them.

    For training with descriptor derivatives from a file: without cells nothing can be computed.
    Structures whose forces are all zero have none.
    """
    structures = {}
    for s in training_set.parents:
        symbols, positions, forces = _atoms(training_set, s)
        known = forces if forces.any() else None
        structures[s] = Structure(symbols=symbols, positions=positions, forces=known, name=training_set.names[s])
    return ReferenceData(
        structures,
        dict.fromkeys(structures, 1.0),
        {s: np.ones(a.n_atoms) for s, a in structures.items()},
        "the training set",
        has_no_cells=True,
    )


def _atoms(training_set: TrainingSet, s: int) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Symbols, positions (Å) and forces (eV/Å) of structure s."""
    atoms = slice(training_set.first_atom[s], training_set.first_atom[s + 1])
    symbols = tuple(training_set.species[t] for t in training_set.atom_species[atoms])
    return symbols, training_set.positions_of(s), training_set.forces_of(s)


def _from_companion(training_set: TrainingSet, parents: Sequence[int], geometry: Geometry, path: str) -> ReferenceData:
    structures, weights = {}, {}
    for row, s in enumerate(parents):
        symbols, positions, forces = _atoms(training_set, s)
        first, last = geometry.first_atom[row : row + 2]
        if last - first != len(symbols):
            raise InputError(
                "belongs to another training set",
                file=path,
                value=training_set.names[s],
                expected=f"{len(symbols)} atoms",
            )
        stress = geometry.stress[row]
        structures[s] = Structure(
            symbols=symbols,
            positions=positions,
            cell=geometry.cell[row],
            pbc=tuple(geometry.pbc[row]),
            forces=forces if geometry.has_forces[row] else None,
            stress=None if np.isnan(stress).any() else stress,
            name=training_set.names[s],
        )
        weights[s] = geometry.atom_weight[first:last]
    content, pushed_from = (
        {s: text.decode("ascii", "replace") for s, text in zip(parents, hashes.tolist()) if text}
        for hashes in (geometry.content, geometry.pushed_from)
    )
    own = {s: float(w) for s, w in zip(parents, geometry.weight)}
    return ReferenceData(structures, own, weights, path, content, pushed_from)


def _from_files(training_set: TrainingSet, parents: Sequence[int]) -> ReferenceData | None:
    wanted: dict[str, dict[str, int]] = {}
    for s in parents:
        name = training_set.names[s].rstrip()
        file = file_of(name)
        if not Path(file).is_file():
            return None
        wanted.setdefault(file, {})[name] = s
    structures = {}
    for file, frames in wanted.items():
        for structure in read_structures(file):
            if structure.name not in frames:
                continue
            s = frames[structure.name]
            symbols, _, forces = _atoms(training_set, s)
            known = structure.forces
            if symbols != structure.symbols or (known is not None and np.abs(known - forces).max() > _SAME_FORCE):
                raise InputError(
                    "is no longer what the training set was made from",
                    file=structure.name,
                    expected="the same atoms and forces; run generate again",
                )
            structures[s] = structure
    if len(structures) < len(parents):
        return None
    return ReferenceData(
        structures,
        {s: structures[s].weight for s in parents},
        {s: _force_weights(structures[s]) for s in parents},
        "the structure files",
        {s: structures[s].content_hash() for s in parents},
        {s: structures[s].pushed_from for s in parents if structures[s].pushed_from},
    )


def _force_weights(structure: Structure) -> np.ndarray:
    """(n_atom,) weight of the force on each atom."""
    return np.ones(structure.n_atoms) if structure.force_weights is None else structure.force_weights
