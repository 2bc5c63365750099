"""What a training trains on, before it is packed: chosen by one rank, shared out over all.

How forces enter it is as FORCES says, else as the data suggest; what cannot be done is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.aenet.trainset_mapped import MappedTrainingSet
from ..model.provenance import Provenance, parse_copy_name
from ..model.trainset import TrainingSet
from ..settings.forces import WITH_BETA, WITH_COPIES, WITH_GEOMETRY, ForceMode
from ..settings.methods import WITHOUT_ENERGIES
from ..settings.train import TrainInput
from ..tools.ranks import Ranks
from .data import ReferenceData
from .force_terms import with_forces
from .optimisers.sections import blocks_of, n_sections
from .pack import BLOCK_ATOMS, FORCE_BLOCK_ATOMS, block_starts
from .split import Split

Pick = tuple[int, int]
"""Number of a training set, and of a structure in it."""


@dataclass(frozen=True, eq=False)
class Part:
    """Structures of one pack, or consecutive blocks of them."""

    picks: list[Pick]
    weight: np.ndarray
    """(n_structure,) in the loss"""
    block_atoms: int = BLOCK_ATOMS
    whole_groups: bool = False
    with_forces: np.ndarray | None = None
    """(n_structure,) bool: structures whose forces are trained on; None: none"""
    first: int = 0
    """Structures of the pack that other ranks have before these."""
    first_leaf: int = 0
    """Blocks likewise."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Training sets and reference data, and what of them goes into which pack."""

    sources: tuple[TrainingSet, ...]
    reference: ReferenceData | None
    train: Part
    test: Part | None
    sample: Part | None
    """Some training structures, for errors of forces where the training itself does not know them."""

    @classmethod
    def of(
        cls,
        sources: tuple[TrainingSet, ...],
        reference: ReferenceData | None,
        split: Split,
        forces: ForceMode,
        seed: int,
    ) -> Plan:
        """Choose the structures of the packs; `forces.mode` is the one that is trained."""
        mode = forces.mode

        def is_copy(pick: Pick) -> bool:
            return parse_copy_name(sources[pick[0]].names[pick[1]]) is not None

        chosen = split.train if mode in WITH_COPIES else [pick for pick in split.train if not is_copy(pick)]
        own = {} if reference is None else {sources[0].names[s]: weight for s, weight in reference.weight.items()}

        def part(picks: list[Pick], block_atoms: int = BLOCK_ATOMS, whole_groups: bool = False) -> Part:
            names = [sources[k].names[s] for k, s in picks]
            return Part(picks, _weights(names, own, mode), block_atoms, whole_groups)

        train = part(chosen, FORCE_BLOCK_ATOMS if mode in WITH_GEOMETRY else BLOCK_ATOMS, mode == "centred")
        sample = None
        if reference is not None:
            if mode in WITH_GEOMETRY:
                train = replace(train, with_forces=with_forces(chosen, reference, forces.percent, seed))
            if mode != "exact":
                parents = [pick for pick in chosen if not is_copy(pick) and pick[1] not in reference.pushed_from]
                n = min(len(parents), max(1, len(split.test)))
                sample = part([parents[i] for i in np.linspace(0, len(parents) - 1, n).round().astype(int)])
        return cls(sources, reference, train, part(split.test) if split.test else None, sample)

    @property
    def parts(self) -> dict[str, Part]:
        """The packs that there are, by name."""
        named = {"train": self.train, "test": self.test, "sample": self.sample}
        return {name: part for name, part in named.items() if part is not None}

    def share(self, ranks: Ranks, rank: int, *, batch_size: int | None = None) -> Plan:
        """Return the blocks of a rank, with as much of the data as they need; all of them if it is alone.

        With mini-batches of `batch_size` structures a rank gets whole sections of the training structures.
        """
        if ranks.size == 1:
            return self
        parts: list[Any] = [self._blocks_of(self.train, ranks, rank, batch_size)]
        parts += [None if part is None else self._blocks_of(part, ranks, rank) for part in (self.test, self.sample)]
        needed: list[set[int]] = [set() for _ in self.sources]
        for part in parts:
            for k, s in [] if part is None else part.picks:
                needed[k].add(s)
        kept = [sorted(structures) for structures in needed]
        place = [{s: new for new, s in enumerate(structures)} for structures in kept]
        reference = self.reference
        if reference is not None:
            here = {s: new for s, new in place[0].items() if s in reference.structures}
            reference = ReferenceData(
                {new: reference.structures[s] for s, new in here.items()},
                {new: reference.weight[s] for s, new in here.items()},
                {new: reference.atom_weight[s] for s, new in here.items()},
                reference.source,
                has_no_cells=reference.has_no_cells,
            )

        def renumbered(part: Part) -> Part:
            return replace(part, picks=[(k, place[k][s]) for k, s in part.picks])

        train, test, sample = (None if part is None else renumbered(part) for part in parts)
        assert train is not None
        sources = tuple(_structures_of(source, structures) for source, structures in zip(self.sources, kept))
        return Plan(sources, reference, train, test, sample)

    def _blocks_of(self, part: Part, ranks: Ranks, rank: int, batch_size: int | None = None) -> Part:
        """The blocks of a rank, which have about as many atoms as those of any other."""
        n_atoms = np.array([self.sources[k].n_atoms_of(s) for k, s in part.picks])
        is_copy = [parse_copy_name(self.sources[k].names[s]) is not None for k, s in part.picks]
        first = block_starts(n_atoms, is_copy, part.block_atoms, part.whole_groups)
        n_blocks = len(first) - 1
        if batch_size is None:
            blocks = ranks.share(n_blocks, rank)
        else:
            n = n_sections(batch_size, len(n_atoms), int(n_atoms.sum()), n_blocks)
            blocks = blocks_of(ranks.share(n, rank), n_blocks, n)
        here = slice(first[blocks.start], first[blocks.stop])
        return replace(
            part,
            picks=part.picks[here],
            weight=part.weight[here],
            with_forces=None if part.with_forces is None else part.with_forces[here],
            first=int(here.start),
            first_leaf=blocks.start,
        )


def _structures_of(source: TrainingSet, structures: Sequence[int]) -> TrainingSet:
    assert isinstance(source, MappedTrainingSet), "only files are shared out"
    return source.structures(structures)


def _weights(names: Sequence[str], own: dict[str, float], mode: str | None) -> np.ndarray:
    """(n_structure,) weights of the data: of structures, and of single copies where these count one by one."""
    weights = np.ones(len(names))
    for p, name in enumerate(names):
        copy = parse_copy_name(name)
        weights[p] = own.get(name if copy is None else copy.parent, 1.0)
        if copy is not None and mode == "taylor":
            weights[p] *= copy.weight
    return weights


def choose_mode(settings: TrainInput, copies: Sequence[Provenance], listed_in: str | None = None) -> str:
    """The mode of FORCES, one of `settings.forces.MODES`, with Taylor copies of these origins to train on.

    Raises
    ------
    InputError
        if settings and copies do not go with the mode; `listed_in` is the file that it names.
    """
    forces = settings.forces
    single = 1 in Counter(copy.parent for copy in copies).values()
    mode = forces.mode
    if mode is None:
        fits = settings.method.name == "bfgs" and settings.copyweight == 1 and settings.loss == "aenet" and not single
        mode = ("centred" if fits else "taylor") if copies else "energy"
    strained = any(copy.is_strained for copy in copies)
    label = f"FORCES mode={mode}"
    problems = {
        f"{label} needs Taylor copies": (mode in WITH_COPIES and not copies, "a TAYLORSET, or copies in TRAININGSET"),
        f"{label} needs at least two copies of a structure": (
            mode == "centred" and single,
            "DERIVATIVES with fraction=2 or more",
        ),
        f"{label} works with METHOD bfgs only": (mode == "centred" and settings.method.name != "bfgs", "METHOD bfgs"),
        f"{label} does not work with METHOD {settings.method.name}": (
            mode in WITH_GEOMETRY and settings.method.name not in ("bfgs", "adam"),
            "METHOD bfgs or adam",
        ),
        f"{label} takes whole blocks of structures": (
            mode in WITH_GEOMETRY and settings.sampling not in (None, *WITHOUT_ENERGIES),
            "SAMPLING " + " or ".join(WITHOUT_ENERGIES),
        ),
        f"{label} weighs the forces by beta": (mode in WITH_BETA and settings.copyweight != 1, "no COPYWEIGHT"),
        f"{label} virial= needs strained copies": (
            mode == "centred" and forces.virial > 0 and not strained,
            "DERIVATIVES with strategy=strain",
        ),
        f"{label} gives strained copies no weight": (
            mode == "centred" and strained and forces.virial == 0,
            "FORCES mode=centred virial=…",
        ),
        f"{label} is defined for energies per atom": (mode == "centred" and settings.loss != "aenet", "LOSS aenet"),
    }
    for message, (wrong, expected) in problems.items():
        if wrong:
            raise InputError(message, file=listed_in, expected=expected)
    return mode
