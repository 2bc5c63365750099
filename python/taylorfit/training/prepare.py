"""A training before its first epoch: data read, split, packed, with what its losses need."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..engine import DescriptorTables, NetworkTables, StopToken
from ..errors import InputError
from ..formats.aenet.derivatives_file import read_derivatives
from ..formats.structures.files import require_species
from ..model.network import Network, TrainingSetInfo
from ..model.provenance import parse_copy_name
from ..model.structure import Structure
from ..model.trainset import TrainingSet
from ..settings.forces import WITH_GEOMETRY, ForceMode
from ..settings.methods import AdamMethod, BfgsMethod
from ..settings.train import TrainInput
from ..tools.ranks import ALONE, Ranks
from .checkpoint import fingerprint
from .data import ReferenceData, TrainingData, needs_reference, reference_without_cells
from .force_terms import ForceData, ForceLayout
from .loop import BOTH, ENERGY, LAST, ForceChecks
from .losses import CentredTaylorLoss, EnergyLoss, ForceLoss
from .memory import needs_of, storage_for
from .networks import StartingNetwork, starting_networks, training_set_info, weights_generator
from .observer import Observer
from .optimisers import method_notes
from .pack import PRECISIONS, PackedDataset, PackLayout, Scaling
from .plan import Part, Plan, choose_mode
from .split import Split, SplitRule, rule_of, split_parents, started_from

NO_CELLS = (
    "note: cells and weights of the structures are not known, so force errors of training and test structures are not "
    "shown, and all structures count alike"
)


@dataclass(frozen=True)
class Totals:
    """The size of a training, over all ranks."""

    n_structures: int = 0
    """That are trained on, copies included."""
    n_copies: int = 0
    n_atoms: int = 0
    n_blocks: int = 0
    n_force_atoms: int = 0
    """Atoms whose forces are trained on."""
    n_directions: int = 0
    """Directional derivatives that are trained on, those along strains included."""
    n_strains: int = 0
    memory: int = 0
    """Bytes of the packed data and force terms."""
    knows_forces: bool = False
    """Can forces take part in choosing the best epoch?"""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that is fixed before the first epoch."""

    settings: TrainInput
    mode: str
    """How forces are trained on, FORCES and the data considered."""
    threads: int
    main: TrainingSet
    """The reference structures, without their descriptors, which are in `train` and `test`; only the first rank has a
    list of them, as in `split`."""
    info: TrainingSetInfo
    """What potentials remember of them."""
    files: tuple[str, ...]
    """Names of the training sets."""
    rule: SplitRule
    split: Split
    scaling: Scaling
    train: PackedDataset
    starts: tuple[StartingNetwork, ...]
    test: PackedDataset | None = None
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
    record: str | None = None
    """What the potentials will say of their test structures, see `split_record`; None where some may be known."""
    ranks: Ranks = ALONE
    """The processes that the packs are shared out over: each has its blocks of them."""
    totals: Totals = Totals()

    @property
    def networks(self) -> list[Network]:
        """One per species in TYPES order."""
        return [start.network for start in self.starts]

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV."""
        return dict(zip(self.main.species, map(float, self.main.atomic_energies)))

    @property
    def keeps_last(self) -> bool:
        """Whether the last epoch is kept instead of the best one."""
        return self.settings.best == LAST or (self.settings.best is None and bool(self.doubts))

    @property
    def criterion(self) -> str:
        """What the best epoch is chosen by."""
        if self.settings.best not in (None, LAST):
            return self.settings.best
        return BOTH if self.mode != "energy" and self.totals.knows_forces else ENERGY

    def identity(self) -> str:
        """What a checkpoint must agree with; the same for any number of ranks."""
        s, train = self.settings, _digests(self.train, self.forces)
        test = [] if self.test is None else _digests(self.test, None)
        train = [digest for part in self.ranks.gather(train) for digest in part]
        test = [digest for part in self.ranks.gather(test) for digest in part]
        return fingerprint(
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
                    train,
                    test,
                )
            )
        )

    def losses(self, stop: StopToken | None = None) -> tuple[EnergyLoss, EnergyLoss | None, ForceChecks]:
        """The loss of the training structures, that of the test structures, and further force errors."""
        s, tables = self.settings, NetworkTables.from_networks(self.networks)
        common: dict[str, Any] = {
            "energy_scale": self.scaling.energy_scale,
            "threads": self.threads,
            "stop": stop,
            "ranks": self.ranks,
        }
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
    data: TrainingData | None,
    threads: int,
    *,
    member: int = 0,
    at_once: int = 1,
    share: int = 1,
    resumed: bool = False,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
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
    resumed
        The training goes on from a checkpoint, and not from potentials.
    observer
        is shown the progress, told how much memory will be taken, and when the problem is complete.
    ranks
        share out the data, which only the first of several has.

    Raises
    ------
    InputError
        if data, networks or settings do not fit together, or there is too little memory.
    """
    begun, observer = time.perf_counter(), observer or Observer()
    chosen: tuple[dict[str, Any], Plan] | None = None
    if data is not None:
        _require_shareable(settings, data, ranks)
        chosen = _choose(settings, data, member)

    def part_of(rank: int) -> tuple[dict[str, Any], Plan]:
        assert chosen is not None
        common, plan = chosen
        batch_size = settings.method.batchsize if isinstance(settings.method, AdamMethod) else None
        return common if rank == 0 else _for_others(common), plan.share(ranks, rank, batch_size=batch_size)

    common, plan = ranks.deal(part_of)
    initial = None if data is None else data.initial
    # What is not packed here is freed
    data = chosen = None
    stop = StopToken()
    if ranks.size == 1:
        observer.interrupt.also(stop.set)
    packs, forces = _layouts(plan, settings, common, threads, ranks, stop)
    needs = needs_of(
        packs,
        forces,
        settings.method,
        NetworkTables.from_networks([start.network for start in common["starts"]]),
        threads,
        at_once,
    )
    storage = storage_for(settings.store, needs, share=share * ranks.n_here, file=common.pop("listed_in"))
    observer.planned(storage)
    filled = {key: _weighted(layout.fill(storage.zeros), plan.parts[key]) for key, layout in packs.items()}
    made = {
        key: layout.build(
            read_derivatives(layout.file) if layout.file else None, zeros=storage.zeros, steps=observer.steps
        )
        for key, layout in forces.items()
    }
    common["notes"] += () if storage.note is None else (storage.note,)
    problem = Problem(
        **common,
        threads=threads,
        train=filled["train"],
        test=filled.get("test"),
        forces=made.get("train"),
        test_forces=made.get("test"),
        sample=filled.get("sample"),
        sample_forces=made.get("sample"),
        ranks=ranks,
    )
    problem = replace(problem, totals=_totals(problem), seconds=time.perf_counter() - begun)
    if initial is not None:
        problem = started_from(problem, initial, problem.starts, resumed)
    problem = replace(problem, doubts=ranks.from_root(lambda: problem.doubts))
    observer.prepared(problem)
    return problem


def _require_shareable(settings: TrainInput, data: TrainingData, ranks: Ranks) -> None:
    if ranks.size > 1 and not isinstance(settings.method, BfgsMethod | AdamMethod):
        raise InputError(
            f"METHOD {settings.method.name} goes from structure to structure, so there is nothing to share out",
            file=data.listed_in,
            value=f"{ranks.size} ranks",
            expected="METHOD bfgs or adam, or COMMITTEE",
        )


def _choose(settings: TrainInput, data: TrainingData, member: int) -> tuple[dict[str, Any], Plan]:
    """The fields of `Problem` that are known before anything is packed, and what is to be packed."""
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
        ignored=() if data.reference is None else data.reference.ignored,
    )
    rule = replace(rule_of(settings, data.initial, member), choose=data.choose_test)
    split = split_parents(sources, scaling, rule, data.files, data.reference)
    starts = starting_networks(
        settings.networks, main, weights_generator(settings.seed, member), data.initial, data.listed_in
    )
    names = (sources[k].names[s] for k, s in split.train)
    copies = [copy for name in names if (copy := parse_copy_name(name)) is not None]
    mode = choose_mode(settings, copies, data.listed_in)
    for structure in data.validation:
        require_species(structure, main.species)
    reference = _reference_of(settings, mode, data)
    cells = (NO_CELLS,) if reference is None and needs_reference(main) else ()
    common = {
        "settings": settings,
        "mode": mode,
        "main": _without_descriptors(main),
        "info": training_set_info(main, settings.trainingset, scaling),
        "files": data.files,
        "listed_in": data.listed_in,
        "rule": rule,
        "split": split,
        "scaling": scaling,
        "starts": starts,
        "validation": tuple(structure for structure in data.validation if not structure.pushed_from),
        "notes": (*method_notes(settings.method, settings.sampling), *data.notes, *_split_notes(split), *cells),
    }
    return common, Plan.of(sources, reference, split, replace(settings.forces, mode=mode), settings.seed)


def _reference_of(settings: TrainInput, mode: str, data: TrainingData) -> ReferenceData | None:
    """The reference structures as far as forces can be trained on or compared; None: not at all."""
    required, main = mode in WITH_GEOMETRY, data.sources[0]
    if not needs_reference(main):
        if required:
            raise InputError(
                f"FORCES mode={mode} needs the training set as generate writes it, with its setups", file=data.files[0]
            )
        return None
    # Without cells, derivatives from a file serve the test structures too
    if data.reference is None and settings.forces.derivatives is not None:
        return reference_without_cells(main)
    if data.reference is None and required:
        raise InputError(
            f"FORCES mode={mode} needs the cells of the structures",
            file=data.listed_in,
            value=data.files[0],
            expected=f"{data.files[0]}.geometry, which generate writes, or the structure files it names"
            if data.listed_in
            else "a training set of generate, which knows them",
        )
    return data.reference


def _for_others(common: dict[str, Any]) -> dict[str, Any]:
    """What ranks other than the first get: no lists of all structures."""
    main, split = common["main"], common["split"]
    none: dict[str, Any] = {
        "names": [],
        "n_species_in": main.n_species_in[:0],
        "energy": main.energy[:0],
        "first_atom": main.first_atom[:1],
        "atom_species": main.atom_species[:0],
        "geometry": None,
    }
    return common | {"main": replace(main, **none), "split": replace(split, train=[], test=[])}


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


def _layouts(
    plan: Plan, settings: TrainInput, common: dict[str, Any], threads: int, ranks: Ranks, stop: StopToken
) -> tuple[dict[str, PackLayout], dict[str, ForceLayout]]:
    """The packs here, and their terms with forces: what is trained on, and what is only compared."""
    mode, main, scaling, reference = common["mode"], common["main"], common["scaling"], plan.reference
    packs = {
        key: PackLayout.of(
            plan.sources,
            part.picks,
            scaling,
            part.block_atoms,
            part.whole_groups,
            part.first_leaf,
            PRECISIONS[settings.precision],
        )
        for key, part in plan.parts.items()
    }
    if reference is None:
        return packs, {}
    tables = DescriptorTables.from_setups(main.species, main.setups or ())

    def layout(key: str, options: ForceMode, file: str | None = None) -> ForceLayout:
        part = plan.parts[key]
        return ForceLayout.of(
            part.picks,
            reference,
            tables,
            scaling,
            options,
            total=key == "train" and settings.loss == "total",
            trained=part.with_forces,
            first=part.first,
            seed=settings.seed,
            threads=threads,
            file=file,
            ranks=ranks,
            stop=stop,
        )

    options, compare = replace(settings.forces, mode=mode), ForceMode(mode="energy")
    layouts = {}
    if mode in WITH_GEOMETRY:
        layouts["train"] = layout("train", options, options.derivatives)
    if "test" in packs:
        layouts["test"] = layout("test", compare, options.derivatives if reference.has_no_cells else None)
    if "sample" in packs:
        layouts["sample"] = layout("sample", compare)
    return packs, layouts


def _weighted(data: PackedDataset, part: Part) -> PackedDataset:
    return data if (part.weight == 1.0).all() else replace(data, structure_weight=part.weight)


def _totals(problem: Problem) -> Totals:
    """Sizes over all ranks."""
    train, forces = problem.train, problem.forces
    sizes = {
        "n_structures": train.n_structures,
        "n_copies": int(train.is_copy.sum()),
        "n_atoms": int(train.n_atoms.sum()),
        "n_blocks": len(train.panel_width),
        "n_force_atoms": 0 if forces is None else int(forces.trained_atoms().sum()),
        "n_directions": 0 if forces is None else len(forces.is_strain),
        "n_strains": 0 if forces is None else int(forces.is_strain.sum()),
    }
    packs = [data.features.nbytes for data in (train, problem.test, problem.sample) if data is not None]
    maps = [f.terms.nbytes for f in (forces, problem.test_forces, problem.sample_forces) if f is not None]
    sizes["memory"] = sum(packs) + sum(maps)
    known = problem.test_forces if problem.test is not None else forces
    knows_forces = problem.ranks.any(known is not None and bool(known.known.any()))
    return Totals(**dict(zip(sizes, problem.ranks.add(*sizes.values()))), knows_forces=knows_forces)


def _digests(data: PackedDataset, forces: ForceData | None) -> list[str]:
    """For each block, a hash of what the loss depends on."""
    first, n_atoms = data.block_first, np.concatenate([[0], np.cumsum(data.n_atoms)])
    weight = np.ones(data.n_structures) if data.structure_weight is None else data.structure_weight
    digests = []
    for b in range(len(first) - 1):
        here = slice(first[b], first[b + 1])
        arrays = [data.blocks(range(b, b + 1)).features, data.energy[here], weight[here]]
        if forces is not None:
            t = forces.terms
            if t.map is not None:
                atoms = slice(n_atoms[first[b]], n_atoms[first[b + 1]])
                arrays += [t.force_ref[atoms], t.atom_weight[atoms]]
            if t.first_direction is not None:
                directions = slice(t.first_direction[first[b]], t.first_direction[first[b + 1]])
                arrays += [t.derivative_ref[directions], t.direction_weight[directions]]
        digests.append(fingerprint(*arrays, text=repr(data.names[here])))
    return digests
