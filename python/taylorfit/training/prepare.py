"""A training before its first epoch: data read, split, packed, with what its losses need."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..engine import MAX_CHUNKS, DescriptorTables, NetworkTables, build_name
from ..errors import InputError
from ..formats.aenet.derivatives_file import read_derivatives
from ..formats.aenet.rngstate import rngstate_test_set
from ..formats.aenet.trainset_binary import read_trainset
from ..formats.structures.files import read_structure_files, require_species
from ..model.descriptor import same_functions
from ..model.descriptor_derivatives import StructureDerivatives
from ..model.network import Network
from ..model.structure import Structure
from ..model.trainset import TrainingSet
from ..settings.forces import WITH_BETA, WITH_COPIES, WITH_GEOMETRY, ForceMode
from ..settings.methods import format_method
from ..settings.train import TrainInput
from ..taylor.provenance import parse_copy_name
from ..tools.progress import duration
from .checkpoint import fingerprint
from .force_terms import ForceData, force_terms
from .loop import BOTH, ENERGY, ForceChecks, check_same_species
from .losses import CentredTaylorLoss, EnergyLoss, ForceLoss
from .networks import starting_networks, weights_generator
from .optimisers import sampling_of
from .pack import FORCE_BLOCK_ATOMS, PackedDataset, Scaling, Split, pack, split_parents
from .reference_data import ReferenceData, reference_data, reference_without_cells

AENET_RESTART = "train.restart"
"""State of ænet's optimiser, which ænet loads and we do not need."""

AENET_STATE = "train.rngstate"
"""State of ænet's random generator; where it is, ænet (and so we) repeat its test set."""

MEMORY_FACTOR, MEMORY_BASE = 1.5, 90e6
"""Peak memory of a training: the file as read and as packed, and Python itself (bytes)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that is fixed before the first epoch."""

    settings: TrainInput
    mode: str
    """How forces are trained on, FORCES and the data considered."""
    threads: int
    main: TrainingSet
    split: Split
    scaling: Scaling
    train: PackedDataset
    test: PackedDataset | None
    networks: list[Network]
    validation: list[Structure]
    forces: ForceData | None = None
    """Terms of exact or directional training."""
    test_forces: ForceData | None = None
    """Force map of the test structures, for errors."""
    sample: PackedDataset | None = None
    """Some training structures, for errors of forces where the training itself does not know them."""
    sample_forces: ForceData | None = None

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
    def criterion(self) -> str:
        """What the best epoch is chosen by."""
        if self.settings.best is not None:
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

    def losses(self) -> tuple[EnergyLoss, EnergyLoss | None, ForceChecks]:
        """The loss of the training structures, that of the test structures, and further force errors."""
        s, tables = self.settings, NetworkTables.from_networks(self.networks)
        common = {"energy_scale": self.scaling.energy_scale, "threads": self.threads}
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


def prepare(settings: TrainInput, input_file: str, threads: int, fresh: bool, resume: bool, member: int = 0) -> Problem:
    """Read, split, normalise, and say what will be trained.

    The random numbers are those of a `member` (from 0) of a committee; 0: also those of an ordinary training.

    Raises
    ------
    InputError
        if files, networks or settings do not fit together.
    """
    start = time.perf_counter()
    files = [settings.trainingset, *settings.taylorset]
    size = sum(Path(file).stat().st_size for file in files if Path(file).is_file())
    print(
        f"estimated memory: up to {(MEMORY_FACTOR * size + MEMORY_BASE) / 1e6:.0f} MB, "
        f"from {size / 1e6:.0f} MB of training sets"
    )
    sources = [read_trainset(file) for file in files]
    check_same_species(files, [source.species for source in sources])
    main = sources[0]
    for file, source in zip(files, sources):
        _check_same_setups(file, main, source)
    if settings.maxenergy <= main.energy_min:
        raise InputError(
            "MAXENERGY drops every structure",
            file=input_file,
            value=settings.maxenergy,
            expected=f"more than {main.energy_min:.6f} eV/atom, the lowest energy of {files[0]}",
        )
    scaling = Scaling.of(main, settings.maxenergy if np.isfinite(settings.maxenergy) else None, file=files[0])
    if Path(AENET_RESTART).exists():
        print(f"note: {AENET_RESTART} of ænet is not used; training continues from the networks, with a new optimiser")
    repeated = Path(AENET_STATE).exists()
    if repeated:
        print(
            f"note: the test set is ænet's, from {AENET_STATE} in this folder (remove the file to draw one with SEED)"
        )
    split = split_parents(
        sources,
        scaling,
        settings.testpercent,
        np.random.default_rng([settings.seed, 1, member]),
        files,
        (lambda n: rngstate_test_set(AENET_STATE, n, settings.testpercent)) if repeated else None,
    )
    networks, notes = starting_networks(
        settings.networks, main, weights_generator(settings.seed, member), fresh, resume, listed_in=input_file
    )
    copies = [pick for pick in split.train if _is_copy(sources, pick)]
    mode = _mode(settings, sources, copies, input_file)
    chosen = split.train if mode in WITH_COPIES else [pick for pick in split.train if not _is_copy(sources, pick)]
    train = pack(
        sources,
        chosen,
        scaling,
        whole_groups=mode == "centred",
        **({"block_atoms": FORCE_BLOCK_ATOMS} if mode in WITH_GEOMETRY else {}),
    )
    test = pack(sources, split.test, scaling) if split.test else None
    validation = (
        list(
            read_structure_files(
                [(entry.path, entry.line) for entry in settings.validation], listed_in=input_file, require_energy=True
            )
        )
        if settings.validation
        else []
    )
    for structure in validation:
        require_species(structure, main.species)
    problem = Problem(settings, mode, threads, main, split, scaling, train, test, networks, validation)
    problem = _with_forces(problem, sources, chosen, files[0], input_file)
    _describe(problem, files, notes, time.perf_counter() - start)
    return problem


def _is_copy(sources: Sequence[TrainingSet], pick: tuple[int, int]) -> bool:
    return parse_copy_name(sources[pick[0]].names[pick[1]]) is not None


def _mode(
    settings: TrainInput, sources: Sequence[TrainingSet], copies: Sequence[tuple[int, int]], input_file: str
) -> str:
    """How forces are trained on: as FORCES says, else by the data; what cannot be done is refused."""
    forces = settings.forces
    per_parent = Counter(parse_copy_name(sources[k].names[s]).parent for k, s in copies)
    single = 1 in per_parent.values()
    mode = forces.mode
    if mode is None:
        fits = settings.method.name == "bfgs" and settings.copyweight == 1 and settings.loss == "aenet" and not single
        mode = ("centred" if fits else "taylor") if copies else "energy"
    strained = any(parse_copy_name(sources[k].names[s]).is_strained for k, s in copies)
    label = f"FORCES mode={mode}"
    problems = {
        f"{label} needs Taylor copies": (mode in WITH_COPIES and not copies, "a TAYLORSET, or copies in TRAININGSET"),
        f"{label} needs at least two copies of a structure": (
            mode == "centred" and single,
            "DERIVATIVES with fraction=2 or more",
        ),
        f"{label} works with METHOD bfgs only": (mode in WITH_BETA and settings.method.name != "bfgs", "METHOD bfgs"),
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
            raise InputError(message, file=input_file, expected=expected)
    return mode


def _check_same_setups(file: str, main: TrainingSet, other: TrainingSet) -> None:
    """The descriptors of all files must be the same functions."""
    for first, second in zip(main.setups or (), other.setups or ()):
        if not same_functions(first, second):
            raise InputError(
                f"the descriptor of {first.species} is not that of TRAININGSET",
                file=file,
                expected="training sets of one generate run",
            )


def _with_forces(
    problem: Problem, sources: Sequence[TrainingSet], chosen: Sequence[tuple[int, int]], file: str, input_file: str
) -> Problem:
    """Add what is needed to train on forces, or to compare them, as far as the data has it."""
    settings, mode, main = problem.settings, problem.mode, problem.main
    options = replace(settings.forces, mode=mode)
    required = mode in WITH_GEOMETRY
    # A scaled set has lost the standardisation that its descriptors went through
    if main.setups is None or main.normalised:
        if required:
            raise InputError(
                f"FORCES mode={mode} needs the training set as generate writes it, with its setups", file=file
            )
        return replace(problem, train=_weighted(problem.train, mode, None, main))
    reference = reference_data(main, file)
    problem = replace(
        problem,
        train=_weighted(problem.train, mode, reference, main),
        test=None if problem.test is None else _weighted(problem.test, mode, reference, main),
    )
    # Without cells, derivatives from a file serve the test structures too
    bare = reference is None and options.derivatives is not None
    if bare:
        reference = reference_without_cells(main)
    if reference is None:
        if required:
            raise InputError(
                f"FORCES mode={mode} needs the cells of the structures",
                file=input_file,
                value=file,
                expected=f"{file}.geometry, which generate writes, or the structure files it names",
            )
        print(
            "note: cells and weights of the structures are not known, so force errors of training and test structures "
            "are not shown, and all structures count alike"
        )
        return problem
    tables = DescriptorTables.from_setups(main.species, main.setups)
    common = {"seed": settings.seed, "threads": problem.threads}
    compare = ForceMode(mode="energy")
    changes: dict[str, object] = {}

    def derivatives(wanted: bool) -> Iterator[StructureDerivatives] | None:
        return read_derivatives(options.derivatives) if wanted else None

    if required:
        changes["forces"] = force_terms(
            chosen,
            reference,
            tables,
            problem.scaling,
            options,
            total=settings.loss == "total",
            derivatives=derivatives(options.derivatives is not None),
            **common,
        )
    if problem.test is not None:
        changes["test_forces"] = force_terms(
            problem.split.test, reference, tables, problem.scaling, compare, derivatives=derivatives(bare), **common
        )
    if mode != "exact":
        parents = [pick for pick in chosen if not _is_copy(sources, pick)]
        n = min(len(parents), max(1, len(problem.split.test)))
        sample = [parents[i] for i in np.linspace(0, len(parents) - 1, n).round().astype(int)]
        changes["sample"] = pack(sources, sample, problem.scaling)
        changes["sample_forces"] = force_terms(sample, reference, tables, problem.scaling, compare, **common)
    return replace(problem, **changes)


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


def _describe(problem: Problem, files: Sequence[str], notes: Sequence[str], seconds: float) -> None:
    """Say what will be trained."""
    settings, train, split, mode = problem.settings, problem.train, problem.split, problem.mode
    scaling, forces = problem.scaling, problem.settings.forces
    print(f"training set {', '.join(files)}: species {' '.join(problem.main.species)}")
    print(f"  scaling factor {scaling.energy_scale:.6f} per eV, shift {scaling.energy_shift:.6f} eV/atom")
    copies = int(train.is_copy.sum())
    print(
        f"  {train.n_structures - copies} training structures, {copies} Taylor copies, "
        f"{len(split.test)} test structures"
        + (f", {split.n_unused_copies} copies of test structures left out" if split.n_unused_copies else "")
        + (f", {split.n_dropped} structures above MAXENERGY dropped" if split.n_dropped else "")
    )
    if problem.validation:
        known = sum(structure.forces is not None for structure in problem.validation)
        print(f"  {len(problem.validation)} validation structures, {known} with forces")
    print("networks")
    for note in notes:
        print(f"  {note}")
    loss = (
        "error of the energy per atom, each structure alike (ænet)"
        if settings.loss == "aenet"
        else "error of the total energy (Cooper et al. 2020, eq. 3)"
    )
    weight = f"; copies weighted by {settings.copyweight:g}" if copies and settings.copyweight != 1 else ""
    stages = "".join(f", {beta:g} Å² from epoch {epoch} on" for epoch, beta in forces.schedule)
    beta = f"beta {forces.beta:g} Å²{stages}"
    if mode == "centred":
        what = (
            "energies, and the copies' energies relative to the mean of their "
            f"parent's copies (group-centred Taylor), {beta}"
        )
    elif problem.forces is not None:
        terms = problem.forces.terms
        n_atoms = int(problem.forces.trained_atoms().sum())
        n_strain = int(problem.forces.is_strain.sum())
        trained = (
            f"all forces ({n_atoms} atoms)"
            if mode == "exact"
            else f"derivatives along {len(terms.derivative_ref) - n_strain} directions"
        )
        what = f"energies and {trained}, {beta}" + (
            f"; {n_strain} virial components, weight {forces.virial:g}" if n_strain else ""
        )
    else:
        what = "energies" + (" and Taylor energies" if copies else "") + ", no forces"
    print(f"loss: ½ Σ (ΔE)², {loss}{weight}; in it: {what}")
    if problem.criterion == BOTH:
        print(
            f"best epoch: smallest E² + beta F², E (eV/atom) and F (eV/Å per component) RMSE of the test set, "
            f"beta {forces.final_beta:g} Å²"
        )
    print(
        f"method: {settings.method.title} ({format_method(settings.method)}), "
        f"{sampling_of(settings.method, settings.sampling)}; "
        f"{problem.threads} thread{'s' if problem.threads > 1 else ''}, engine {build_name()}"
    )
    parts = min(MAX_CHUNKS, len(train.panel_width)) * sum(network.n_weights for network in problem.networks) * 8
    print(
        f"memory: {(problem.memory + parts) / 1e6:.0f} MB for {int(train.n_atoms.sum())} atoms; "
        f"prepared in {duration(seconds)}"
    )
