"""A training before its first epoch: data read, split, packed, with what its losses need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..engine import DescriptorTables, NetworkTables, StopToken
from ..errors import InputError
from ..formats.aenet.derivatives_file import read_derivatives
from ..formats.structures.files import require_species
from ..model.network import Network
from ..model.provenance import parse_copy_name
from ..model.structure import Structure
from ..model.trainset import TrainingSet
from ..settings.forces import WITH_COPIES, WITH_GEOMETRY, ForceMode
from ..settings.train import TrainInput
from .checkpoint import fingerprint
from .data import TrainingData, needs_reference
from .force_terms import ForceData, ForceLayout
from .loop import BOTH, ENERGY, LAST, ForceChecks
from .losses import CentredTaylorLoss, EnergyLoss, ForceLoss
from .memory import needs_of, storage_for
from .modes import choose_mode
from .networks import Initial, StartingNetwork, starting_networks, training_set_info, weights_generator
from .observer import Observer
from .optimisers import method_notes
from .pack import BLOCK_ATOMS, FORCE_BLOCK_ATOMS, PackedDataset, PackLayout, Scaling
from .reference_data import ReferenceData, reference_without_cells
from .split import Split, SplitRule, split_parents
from .warm_start import check_start, rule_of

NO_CELLS = (
    "note: cells and weights of the structures are not known, so force errors of training and test structures are not "
    "shown, and all structures count alike"
)


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that is fixed before the first epoch."""

    settings: TrainInput
    mode: str
    """How forces are trained on, FORCES and the data considered."""
    threads: int
    main: TrainingSet
    """The reference structures, without their descriptors, which are in `train` and `test`."""
    files: tuple[str, ...]
    """Names of the training sets."""
    rule: SplitRule
    split: Split
    scaling: Scaling
    train: PackedDataset
    test: PackedDataset | None
    starts: tuple[StartingNetwork, ...]
    validation: tuple[Structure, ...] = ()
    forces: ForceData | None = None
    """Terms of exact or directional training."""
    test_forces: ForceData | None = None
    """Force map of the test structures, for errors."""
    sample: PackedDataset | None = None
    """Some training structures, for errors of forces where the training itself does not know them."""
    sample_forces: ForceData | None = None
    notes: tuple[str, ...] = ()
    """What a user should know, besides the warnings of `starts`."""
    seconds: float = 0.0
    """That the preparation took."""
    doubts: tuple[str, ...] = ()
    """Why the best epoch cannot be told by the test structures; empty where it can."""

    @property
    def networks(self) -> list[Network]:
        """One per species in TYPES order."""
        return [start.network for start in self.starts]

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV."""
        return dict(zip(self.main.species, map(float, self.main.atomic_energies)))

    @property
    def memory(self) -> int:
        """Bytes of the packed data and force terms."""
        packs = [pack_.features.nbytes for pack_ in (self.train, self.test, self.sample) if pack_ is not None]
        return sum(packs) + sum(
            f.terms.nbytes for f in (self.forces, self.test_forces, self.sample_forces) if f is not None
        )

    @property
    def keeps_last(self) -> bool:
        """Whether the last epoch is kept instead of the best one."""
        return self.settings.best == LAST or (self.settings.best is None and bool(self.doubts))

    @property
    def criterion(self) -> str:
        """What the best epoch is chosen by."""
        if self.settings.best not in (None, LAST):
            return self.settings.best
        known = self.test_forces if self.test is not None else self.forces
        return ENERGY if self.mode == "energy" or known is None or not known.known.any() else BOTH

    def identity(self) -> str:
        """What a checkpoint must agree with."""
        s = self.settings
        forces = (
            []
            if self.forces is None
            else [
                self.forces.terms.force_ref,
                self.forces.terms.atom_weight,
                self.forces.terms.derivative_ref,
                self.forces.terms.direction_weight,
            ]
        )
        return fingerprint(
            self.train.features,
            self.train.energy,
            *forces,
            *(() if self.train.structure_weight is None else (self.train.structure_weight,)),
            *(() if self.test is None else (self.test.features, self.test.energy)),
            *(() if self.test is None or self.test.structure_weight is None else (self.test.structure_weight,)),
            text=repr(
                (
                    s.loss,
                    s.copyweight,
                    s.forces,
                    self.mode,
                    s.method,
                    s.sampling,
                    s.seed,
                    self.criterion,
                    [n.layer_sizes + n.activations for n in self.networks],
                    self.train.names,
                    [] if self.test is None else self.test.names,
                )
            ),
        )

    def losses(self, stop: StopToken | None = None) -> tuple[EnergyLoss, EnergyLoss | None, ForceChecks]:
        """The loss of the training structures, that of the test structures, and further force errors."""
        s, tables = self.settings, NetworkTables.from_networks(self.networks)
        common: dict[str, Any] = {"energy_scale": self.scaling.energy_scale, "threads": self.threads, "stop": stop}
        weighted = common | {"beta": s.forces.beta_at(0), "energy_weight": s.forces.energyweight}
        train: EnergyLoss
        if self.forces is not None:
            train = ForceLoss(self.train, tables, self.forces, loss=s.loss, **weighted)
        elif self.mode == "centred":
            train = CentredTaylorLoss(self.train, tables, virial=s.forces.virial, **weighted)
        else:
            train = EnergyLoss(self.train, tables, loss=s.loss, copy_weight=s.copyweight, **common)

        def compared(data: PackedDataset, forces: ForceData) -> ForceLoss:
            return ForceLoss(data, tables, forces, beta=0.0, loss=s.loss, **common)

        test = None if self.test is None else EnergyLoss(self.test, tables, loss=s.loss, **common)
        check_test = None
        if self.test is not None and self.test_forces is not None:
            if self.criterion == BOTH:
                test = compared(self.test, self.test_forces)
            else:
                check_test = compared(self.test, self.test_forces)
        check_train = (
            None if self.sample is None or self.sample_forces is None else compared(self.sample, self.sample_forces)
        )
        return train, test, ForceChecks(check_train, check_test, s.validationevery)


def prepare(
    settings: TrainInput,
    data: TrainingData,
    threads: int,
    *,
    member: int = 0,
    at_once: int = 1,
    share: int = 1,
    observer: Observer | None = None,
) -> Problem:
    """Split, normalise and pack data.

    Parameters
    ----------
    member
        whose random numbers are used, of a committee (from 0); 0: also those of an ordinary training.
    at_once
        trainings that will run beside each other on this problem
    share
        trainings with problems of their own that run beside this one, and need memory, too
    observer
        is shown the progress, told how much memory will be taken, and when the problem is complete.

    Raises
    ------
    InputError
        if data, networks or settings do not fit together, or there is too little memory.
    """
    begun, observer = time.perf_counter(), observer or Observer()
    sources, main = data.sources, data.sources[0]
    if settings.maxenergy <= main.energy_min:
        raise InputError(
            "MAXENERGY drops every structure",
            file=data.listed_in,
            value=settings.maxenergy,
            expected=f"more than {main.energy_min:.6f} eV/atom, the lowest energy of {data.files[0]}",
        )
    scaling = Scaling.of(
        main,
        settings.maxenergy if np.isfinite(settings.maxenergy) else None,
        file=data.files[0],
        energy_weight=settings.forces.energyweight,
    )
    rule = replace(rule_of(settings, data.initial, member), choose=data.choose_test)
    split = split_parents(sources, scaling, rule, data.files, data.reference)
    starts = starting_networks(
        settings.networks, main, weights_generator(settings.seed, member), data.initial, data.listed_in
    )
    names = (sources[k].names[s] for k, s in split.train)
    copies = [copy for name in names if (copy := parse_copy_name(name)) is not None]
    mode = choose_mode(settings, copies, data.listed_in)
    chosen = split.train if mode in WITH_COPIES else [pick for pick in split.train if not _is_copy(sources, pick)]
    for structure in data.validation:
        require_species(structure, main.species)

    reference, notes = _reference(settings, mode, data)
    packs = _pack_layouts(mode, data, scaling, chosen, split.test, reference)
    forces = {} if reference is None else _force_layouts(settings, mode, data, scaling, packs, reference, threads)
    needs = needs_of(
        list(packs.values()),
        list(forces.values()),
        settings.method,
        sum(start.network.n_weights for start in starts),
        threads,
        at_once,
    )
    storage = storage_for(settings.store, needs, share=share, file=data.listed_in)
    observer.planned(storage)
    filled = {key: layout.fill(storage.zeros) for key, layout in packs.items()}
    for key in filled.keys() & {"train", "test"}:
        filled[key] = _weighted(filled[key], mode, data.reference, main)
    made = {
        key: layout.build(
            read_derivatives(layout.file) if layout.file else None, zeros=storage.zeros, steps=observer.steps
        )
        for key, layout in forces.items()
    }
    problem = Problem(
        settings,
        mode,
        threads,
        _without_descriptors(main),
        data.files,
        rule,
        split,
        scaling,
        filled["train"],
        filled.get("test"),
        starts,
        tuple(structure for structure in data.validation if not structure.pushed_from),
        made.get("train"),
        made.get("test"),
        filled.get("sample"),
        made.get("sample"),
        (
            *method_notes(settings.method, settings.sampling),
            *data.notes,
            *_split_notes(split),
            *notes,
            *(() if storage.note is None else (storage.note,)),
        ),
        time.perf_counter() - begun,
    )
    problem = started_from(problem, data.initial, starts)
    observer.prepared(problem)
    return problem


def started_from(problem: Problem, initial: Initial, starts: tuple[StartingNetwork, ...]) -> Problem:
    """The problem with these starting networks, from these potentials, and whether its test structures are honest.

    Raises
    ------
    InputError
        if the potentials were trained on structures that would be test structures now.
    """
    doubts: tuple[str, ...] = ()
    if problem.settings.iterations and problem.test is not None:
        info = training_set_info(problem.main, problem.files[0], problem.scaling)
        doubts = check_start(problem.rule, initial, info)
    return replace(problem, starts=starts, doubts=doubts)


def _split_notes(split: Split) -> tuple[str, ...]:
    if not split.n_orphans:
        return ()
    return (f"note: {split.n_orphans} copies of repel are of structures that are not in the training set",)


def _without_descriptors(training_set: TrainingSet) -> TrainingSet:
    """A training set without what is in the packed data, to free the memory."""
    none = np.zeros(0)
    large: dict[str, Any] = {
        "descriptors": none,
        "first_value": none,
        "positions": none.reshape(0, 3),
        "forces": none.reshape(0, 3),
    }
    small = (field.name for field in fields(TrainingSet) if field.name not in large)
    return TrainingSet(**{name: getattr(training_set, name) for name in small}, **large)


def _is_copy(sources: Sequence[TrainingSet], pick: tuple[int, int]) -> bool:
    return parse_copy_name(sources[pick[0]].names[pick[1]]) is not None


def _reference(settings: TrainInput, mode: str, data: TrainingData) -> tuple[ReferenceData | None, tuple[str, ...]]:
    """What forces are computed or compared with, None where that is impossible; and what a user should know."""
    main, required = data.sources[0], mode in WITH_GEOMETRY
    if not needs_reference(main):
        if required:
            raise InputError(
                f"FORCES mode={mode} needs the training set as generate writes it, with its setups", file=data.files[0]
            )
        return None, ()
    if data.reference is not None:
        return data.reference, ()
    # Without cells, derivatives from a file serve the test structures too
    if settings.forces.derivatives is not None:
        return reference_without_cells(main), ()
    if required:
        raise InputError(
            f"FORCES mode={mode} needs the cells of the structures",
            file=data.listed_in,
            value=data.files[0],
            expected=f"{data.files[0]}.geometry, which generate writes, or the structure files it names"
            if data.listed_in
            else "a training set of generate, which knows them",
        )
    return None, (NO_CELLS,)


def _pack_layouts(
    mode: str,
    data: TrainingData,
    scaling: Scaling,
    chosen: Sequence[tuple[int, int]],
    test: Sequence[tuple[int, int]],
    reference: ReferenceData | None,
) -> dict[str, PackLayout]:
    """The packs of a training; with a sample of the training structures where the training knows no forces itself."""
    sources = data.sources
    block_atoms = FORCE_BLOCK_ATOMS if mode in WITH_GEOMETRY else BLOCK_ATOMS
    packs = {"train": PackLayout.of(sources, chosen, scaling, block_atoms, whole_groups=mode == "centred")}
    if test:
        packs["test"] = PackLayout.of(sources, test, scaling)
    if reference is not None and mode != "exact":
        parents = [pick for pick in chosen if not _is_copy(sources, pick) and pick[1] not in reference.pushed_from]
        n = min(len(parents), max(1, len(test)))
        sample = [parents[i] for i in np.linspace(0, len(parents) - 1, n).round().astype(int)]
        packs["sample"] = PackLayout.of(sources, sample, scaling)
    return packs


def _force_layouts(
    settings: TrainInput,
    mode: str,
    data: TrainingData,
    scaling: Scaling,
    packs: dict[str, PackLayout],
    reference: ReferenceData,
    threads: int,
) -> dict[str, ForceLayout]:
    """The terms with forces of each pack: what is trained on, and what is only compared."""
    main, options = data.sources[0], replace(settings.forces, mode=mode)
    tables = DescriptorTables.from_setups(main.species, main.setups or ())
    bare = data.reference is None

    def layout(key: str, mode: ForceMode, file: str | None = None) -> ForceLayout:
        return ForceLayout.of(
            packs[key].picks,
            reference,
            tables,
            scaling,
            mode,
            total=key == "train" and settings.loss == "total",
            seed=settings.seed,
            threads=threads,
            file=file,
        )

    compare = ForceMode(mode="energy")
    layouts = {}
    if mode in WITH_GEOMETRY:
        layouts["train"] = layout("train", options, options.derivatives)
    if "test" in packs:
        layouts["test"] = layout("test", compare, options.derivatives if bare else None)
    if "sample" in packs:
        layouts["sample"] = layout("sample", compare)
    return layouts


def _weighted(data: PackedDataset, mode: str, reference: ReferenceData | None, main: TrainingSet) -> PackedDataset:
    """The pack with the weights of the data: of structures, and of single copies where these count one by one."""
    own = {} if reference is None else {main.names[s]: weight for s, weight in reference.weight.items()}
    weights = np.ones(data.n_structures)
    for p, name in enumerate(data.names):
        copy = parse_copy_name(name)
        weights[p] = own.get(name if copy is None else copy.parent, 1.0)
        if copy is not None and mode == "taylor":
            weights[p] *= copy.weight
    return data if (weights == 1.0).all() else replace(data, structure_weight=weights)
