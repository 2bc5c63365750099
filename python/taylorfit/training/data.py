"""What a training is prepared from: training sets, validation structures, and the reference structures behind them.

These have the cells and weights that ænet's format leaves out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import FormatError, InputError
from ..formats.aenet.trainset_mapped import map_trainset
from ..formats.companion import checksum_of_references, geometry_path, parents_path, read_geometry, read_parents
from ..formats.recognise import FileKind, recognise
from ..formats.structures.files import file_of, read_files, read_structures
from ..model.descriptor import same_functions
from ..model.structure import Structure
from ..model.trainset import Geometry, TrainingSet
from ..settings.reading import ReadingOptions
from ..settings.train import TrainInput
from .networks import Initial, existing_potentials

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


_SAME_ENERGY = 1e-9
"""eV; both sets have it from the same line of generate.in."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All data of a training.

    Raises
    ------
    InputError
        on construction, for training sets of other species or descriptors than the first.
    """

    sources: tuple[TrainingSet, ...]
    """The first holds the reference structures, each may hold Taylor copies of them."""
    files: tuple[str, ...]
    """Where they come from, for messages."""
    reference: ReferenceData | None = None
    """Cells and weights of the reference structures; None where they are not known."""
    validation: tuple[Structure, ...] = ()
    initial: Initial = field(default_factory=dict)
    """Potentials to start from."""
    choose_test: Callable[[int], Collection[int]] | None = None
    """The test structures (numbers from 0) of so many reference structures; None: drawn with the seed."""
    listed_in: str | None = None
    """Input file, for messages."""
    notes: tuple[str, ...] = ()
    """What a user should know."""

    def __post_init__(self) -> None:
        main = self.sources[0]
        for file, other in zip(self.files, self.sources, strict=True):
            if other.species != main.species:
                raise InputError(
                    "other species than the first training set",
                    file=file,
                    value=" ".join(other.species),
                    expected=" ".join(main.species),
                )
            for symbol, first_energy, energy in zip(main.species, main.atomic_energies, other.atomic_energies):
                if abs(first_energy - energy) > _SAME_ENERGY:
                    raise InputError(
                        f"the atomic energy of {symbol} is not that of TRAININGSET",
                        file=file,
                        value=float(energy),
                        expected=f"{float(first_energy)!r}: training sets of one generate run",
                    )
            for first, second in zip(main.setups or (), other.setups or ()):
                if not same_functions(first, second):
                    raise InputError(
                        f"the descriptor of {first.species} is not that of TRAININGSET",
                        file=file,
                        expected="training sets of one generate run",
                    )


def needs_reference(training_set: TrainingSet) -> bool:
    """Can forces of the structures be computed?  A scaled set has lost the standardisation of its descriptors."""
    return training_set.setups is not None and not training_set.normalised


def read_data(
    settings: TrainInput,
    listed_in: str,
    *,
    fresh: bool = False,
    choose_test: Callable[[int], Collection[int]] | None = None,
) -> TrainingData:
    """Read the files that train.in (`listed_in`) names; potential files that exist unless `fresh`.

    Raises
    ------
    InputError, FormatError
        if a file is missing, damaged, or does not go with the others.
    """
    files = (settings.trainingset, *settings.taylorset)
    names = [os.path.realpath(file) for file in files]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError("a training set twice", file=listed_in, value=files[place], expected="each file once")
    try:
        sources = tuple(map(map_trainset, files))
    except FormatError:
        for file in files:
            if recognise(file) is FileKind.TRAINSET_TEXT:
                raise InputError("a training set as text", file=file, expected="one that convert made binary") from None
        raise
    notes: list[str] = []
    data = TrainingData(
        sources,
        files,
        reference_data(sources[0], files[0]) if needs_reference(sources[0]) else None,
        tuple(_validation(settings, listed_in, notes)),
        {} if fresh else existing_potentials(settings.networks),
        choose_test,
        listed_in,
    )
    return replace(data, notes=(*notes, *_compare_parents(sources, files)))


def _validation(settings: TrainInput, listed_in: str, notes: list[str]) -> list[Structure]:
    """The structures of VALIDATION; what there is to say about their files goes to `notes`."""
    if not settings.validation:
        return []
    return read_files(
        [(entry.path, entry.line) for entry in settings.validation],
        ReadingOptions.of(settings),
        listed_in=listed_in,
        require_energy=True,
        tell=lambda remark: notes.append(f"note: {remark}"),
    )


def _compare_parents(sources: Sequence[TrainingSet], files: Sequence[str]) -> tuple[str, ...]:
    """See that copies were made from the structures of the first training set; say for which that is not known."""
    known = {file: read_parents(parents_path(file)) for file in files[1:]}
    expected = checksum_of_references(sources[0]) if any(known.values()) else None
    notes = []
    for file, checksum in known.items():
        if checksum is None:
            notes.append(
                f"note: {file} has no checksum of its parents ({parents_path(file)}): taken for copies of {files[0]}"
            )
        elif checksum != expected:
            raise InputError(
                "Taylor copies of other structures than TRAININGSET, or of the same with other energies or forces",
                file=file,
                expected=f"one written together with {files[0]}; run generate again",
            )
    return tuple(notes)
