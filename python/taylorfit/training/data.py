"""What a training is prepared from: training sets, cells and weights behind them, validation structures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from ..errors import InputError
from ..formats.aenet.trainset_mapped import map_trainset
from ..formats.companion import checksum_of_references, parents_path, read_parents
from ..formats.structures.files import read_files
from ..model.descriptor import same_functions
from ..model.structure import Structure
from ..model.trainset import TrainingSet
from ..settings.reading import ReadingOptions
from ..settings.train import TrainInput
from .networks import Initial, existing_potentials
from .reference_data import ReferenceData, reference_data

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
    sources = tuple(map(map_trainset, files))
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
