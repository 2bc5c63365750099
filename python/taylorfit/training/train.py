"""The verbs `train` and `train_committee`: potentials from a training set, or from structures in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from ..data.propose import propose
from ..data.setup import HIDDEN, Setup
from ..engine import available_threads
from ..errors import DataWarning, InputError
from ..formats.aenet.trainset_mapped import map_trainset
from ..formats.structures.in_memory import Structures, as_structures
from ..generation.generate import generate
from ..model.provenance import parse_copy_name
from ..model.trainset import TrainingSet
from ..potential.potential import Source, as_potential
from ..settings.forces import WITH_COPIES, Energy, ForceMode
from ..settings.methods import Bfgs, Method
from ..settings.train import AUTO, Committee, NetworkSpec, Store, TrainInput
from ..tools.locks import alone_in_python
from .committee import CommitteeCallback, CommitteeFit, CommitteeObserver, CommitteeProgress, Member, run_committee
from .data import TrainingData, needs_reference, reference_data
from .fit import Fit
from .loop import Epoch
from .networks import Initial, Layers
from .observer import observer_of
from .prepare import prepare
from .run import train_problem

Data: TypeAlias = "TrainingSet | str | PathLike[str] | Structures"
"""What can be trained on: a training set, its file, or structures."""
Networks: TypeAlias = "Mapping[str, Sequence[tuple[int, str]]] | Sequence[tuple[int, str]]"
"""Nodes and activation of each hidden layer, of each species or the same for all."""

IN_MEMORY = "in memory"
"""Name of a training set that is no file."""


def train(
    data: Data,
    setup: Setup | None = None,
    *,
    epochs: int,
    forces: ForceMode = Energy(),
    method: Method = Bfgs(),
    networks: Networks | None = None,
    test_fraction: float = 0.01 * TrainInput.testpercent,
    validation: Structures = (),
    initial: Source | None = None,
    split: str | None = TrainInput.split,
    seed: int = TrainInput.seed,
    threads: int = 0,
    patience: int = TrainInput.patience,
    best: str | None = TrainInput.best,
    loss: str = TrainInput.loss,
    copyweight: float = TrainInput.copyweight,
    maxenergy: float = TrainInput.maxenergy,
    sampling: str | None = TrainInput.sampling,
    validationevery: int = TrainInput.validationevery,
    precision: str = TrainInput.precision,
    store: str | Store = AUTO,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Callable[[Epoch], bool | None] = False,
) -> Fit:
    """Train a potential.

    Parameters
    ----------
    data
        Structures of taylorfit or ASE with energies (eV) and perhaps forces (eV/Å), Taylor copies of `displace` among
        them or not; or a training set of `generate`; or the file of one.
    setup
        Descriptors, atomic energies and networks for structures, and displacements for a mode that needs copies where
        there are none; None: proposed (see `propose`).
    epochs
        0 evaluates the starting weights only.
    forces
        How forces enter the loss: `Energy()`, `Taylor()`, `Centred(beta)`, `Directional(beta)` or `Exact(beta)`;
        β in Å².  Taylor and Centred train on copies.
    method
        `Bfgs()`, `Adam()`, `Ekf()`, `Lm()` or `OnlineSd()`; the last three for energies (and Taylor copies) alone, and
        Adam not for `Centred()`.
    networks
        Hidden layers, such as `[(10, "tanh"), (10, "tanh")]`, or a dict of them by species; None: those of `setup` or
        `initial`, else two layers of 15 nodes.
    test_fraction
        Share of the reference structures that is not trained on, and by which the best epoch is chosen.
    validation
        Structures with forces that are neither trained on nor looked at: `Fit.errors`.
    initial
        A potential to start from, or its files; None: random weights.
    split
        How test structures are chosen: `seed`, drawn anew when structures are added; or `hash`, each by a hash of
        itself (see `split`), so that a training that goes on from `initial` with more structures does not test what
        that was trained on.  None: `hash` where `initial` was trained so, else `seed`.
    seed
        Of the split and the random weights.
    threads
        0: all cores.  The result does not depend on it.
    patience
        Stop after so many epochs without a better test error; 0: never.
    best
        What the best epoch has least of: `energy`, or `both` errors; `last`: the last epoch is kept; None: what suits
        mode and data.
    loss
        `aenet`: error per atom, each structure alike; `total`: eq. 3 of Cooper et al. (2020).
    copyweight
        Weight of each copy with `Taylor()`.
    maxenergy
        Structures above are left out, eV per atom relative to the isolated atoms.
    sampling
        Order of the structures in an epoch; None: that of the method.
    validationevery
        Epochs between errors of the validation structures; 0: only at the end.
    precision
        `double`; or `single`: descriptors are kept as 32-bit numbers, in half the memory, and `Bfgs`, and `Adam`
        with exact or directional forces, evaluate the networks with these, in shorter epochs.
    store
        Where packed descriptors and force maps are kept: `memory`, `disk` (a file without a name, mapped), or `auto`:
        a file where they do not fit in memory; `Store("disk", folder="/scratch")` says where.  Results are the same.
    checkpoint
        File to write now and then and at the end, for `resume`; None: none.
    resume
        Continue exactly from the checkpoint.
    progress
        Show a bar; or a function that is called after each epoch and ends the training by True.

    Returns
    -------
    Fit
        With the potential of the best epoch.  After an interrupt (Ctrl-C) its status is `interrupted`.

    Warns
    -----
    DataWarning
        for findings of the data check, an `initial` potential with another descriptor, and options known to be bad.

    Raises
    ------
    InputError, FormatError
        if data and options do not go together, or a file cannot be used.
    KeyboardInterrupt
        if the user interrupts before the first epoch is done, or twice.

    Notes
    -----
    Cooper, Kästner, Urban, Artrith, npj Comput. Mater. 6, 54 (2020), for `Taylor()` and eq. 6 for `Exact()`.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import Exact, Structure, train
    >>> def dimer(r):
    ...     forces = 8.0 * (r - 0.74) * np.array([[0, 0, 1], [0, 0, -1]])
    ...     return Structure(("H", "H"), [[0, 0, 0], [0, 0, r]], energy=4.0 * (r - 0.74) ** 2 - 6.7, forces=forces)
    >>> dimers = [dimer(r) for r in np.linspace(0.65, 0.85, 12)]
    >>> fit = train(dimers, forces=Exact(beta=1e-2), networks=[(5, "tanh")], epochs=60)
    >>> fit.status, bool(fit.history.test_force_rmse[-1] < 0.02)
    ('finished', True)

    From files, with the potential written as `fit/H.nn` and so on:

    >>> fit = train(read("bulk/*.xsf"), forces=Exact(beta=1e-2), epochs=700)     # doctest: +SKIP
    >>> fit.potential.save("fit")                                                # doctest: +SKIP
    """
    observer = observer_of(progress)
    training_set, file, notes = _training_set(data, setup, forces, threads, progress is True)
    found = _training_data(training_set, file, validation, initial)
    settings = TrainInput(
        trainingset=found.files[0],
        networks=_network_specs(found, networks, setup),
        testpercent=100.0 * test_fraction,
        iterations=epochs,
        maxenergy=maxenergy,
        sampling=sampling,
        method=method,
        seed=seed,
        validationevery=validationevery,
        patience=patience,
        loss=loss,
        copyweight=copyweight,
        threads=threads,
        forces=forces,
        best=best,
        split=split,
        precision=precision,
        store=store if isinstance(store, Store) else Store(store),
    )
    problem = prepare(settings, found, threads or available_threads(), resumed=resume, observer=observer)
    # What is trained on is in the problem
    del training_set, found
    path = None if checkpoint is None else Path(checkpoint)
    with alone_in_python(*([] if path is None else [path])):
        fit = train_problem(problem, checkpoint=path, resume=resume, observer=observer)
    for note in fit.notes:
        if note.startswith("warning: "):
            warnings.warn(note.removeprefix("warning: "), DataWarning, stacklevel=2)
    return replace(fit, notes=(*notes, *fit.notes))


def train_committee(
    data: Data,
    setup: Setup | None = None,
    *,
    epochs: int,
    members: int = 4,
    test_sets: str = Committee.split,
    initial: Sequence[Source] | None = None,
    forces: ForceMode = Energy(),
    method: Method = Bfgs(),
    networks: Networks | None = None,
    test_fraction: float = 0.01 * TrainInput.testpercent,
    validation: Structures = (),
    split: str | None = TrainInput.split,
    seed: int = TrainInput.seed,
    threads: int = 0,
    patience: int = TrainInput.patience,
    best: str | None = TrainInput.best,
    loss: str = TrainInput.loss,
    copyweight: float = TrainInput.copyweight,
    maxenergy: float = TrainInput.maxenergy,
    sampling: str | None = TrainInput.sampling,
    validationevery: int = TrainInput.validationevery,
    precision: str = TrainInput.precision,
    store: str | Store = AUTO,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Callable[[int, Epoch], bool | None] = False,
) -> CommitteeFit:
    """Train a committee: the same training from different random weights, as many at a time as there are threads.

    The first member is the training of `train`.

    Parameters
    ----------
    members
        How many.
    test_sets
        `same`: all have the same test structures; `own`: each has its own.
    initial
        For each member the potential to start from, or its files, such as `CommitteeFit.potentials`; None: random
        weights.
    checkpoint
        Folder for the checkpoints of the members; None: none.
    resume
        Continue the members that have a checkpoint.
    progress
        Show bars; or a function of number and epoch that is called after each epoch of a member, in its thread, and
        ends that member by True.

    The others as of `train`.

    Raises
    ------
    InputError, FormatError
        as `train`.
    TaylorfitError
        if no member could be trained; where some fail, see `CommitteeFit.failed`.
    KeyboardInterrupt
        if the user interrupts before the first epoch is done, or twice.

    Examples
    --------
    >>> from taylorfit import train_committee
    >>> committee = train_committee("water.train", members=4, epochs=700)        # doctest: +SKIP
    >>> committee.summary.spread.test_rmse                                       # doctest: +SKIP
    """
    if resume and checkpoint is None:
        raise InputError("nothing to resume from", expected="the folder of checkpoints of an interrupted training")
    training_set, file, notes = _training_set(data, setup, forces, threads, progress is True)
    starts = [] if initial is None else list(initial)
    if initial is not None and len(starts) != members:
        raise InputError("not a potential for each member", value=len(starts), expected=str(members))
    found = _training_data(training_set, file, validation, starts[0] if starts else None)
    settings = TrainInput(
        trainingset=found.files[0],
        networks=_network_specs(found, networks, setup),
        testpercent=100.0 * test_fraction,
        iterations=epochs,
        maxenergy=maxenergy,
        sampling=sampling,
        method=method,
        seed=seed,
        validationevery=validationevery,
        patience=patience,
        loss=loss,
        copyweight=copyweight,
        threads=threads,
        forces=forces,
        best=best,
        split=split,
        precision=precision,
        store=store if isinstance(store, Store) else Store(store),
        committee=Committee(members, split=test_sets),
    )
    paths: list[Path | None] = [None] * members
    if checkpoint is not None:
        Path(checkpoint).mkdir(parents=True, exist_ok=True)
        paths = [Path(checkpoint) / f"{number:02d}.checkpoint.npz" for number in range(1, members + 1)]
    observer = (
        CommitteeCallback(progress) if callable(progress) else CommitteeProgress() if progress else CommitteeObserver()
    )
    with alone_in_python(*([] if checkpoint is None else [checkpoint])):
        committee = run_committee(
            [
                Member(
                    settings,
                    path,
                    resume and path is not None and path.exists(),
                    initial=_initial(starts[k]) if starts else {},
                )
                for k, path in enumerate(paths)
            ],
            found,
            threads or available_threads(),
            observer,
        )
    fits = {number: replace(fit, notes=(*notes, *fit.notes)) for number, fit in committee.members.items()}
    return replace(committee, members=fits)


def _training_set(
    data: Data, setup: Setup | None, forces: ForceMode, threads: int, progress: bool
) -> tuple[TrainingSet, str, tuple[str, ...]]:
    """The training set, its file for messages, and notes on how it was made."""
    if isinstance(data, (TrainingSet, str, PathLike)):
        if setup is not None:
            raise InputError("a setup beside a training set, which has its own", expected="only one of the two")
        if isinstance(data, TrainingSet):
            return data, IN_MEMORY, data.notes
        return map_trainset(data), fspath(data), ()
    structures = as_structures(data)
    if not structures:
        raise InputError("no structures to train on", expected="at least one")
    notes: tuple[str, ...] = ()
    if setup is None:
        setup = propose(structures, progress=progress)
        notes = ("the setup is a proposal", *setup.reasons)
    has_copies = any(parse_copy_name(structure.name) is not None for structure in structures)
    displacements = setup.displacements if forces.mode in WITH_COPIES and not has_copies else None
    made = generate(structures, setup, displacements=displacements, threads=threads, progress=progress)
    return made, IN_MEMORY, (*notes, *setup.notes, *made.notes)


def _training_data(
    training_set: TrainingSet, file: str, validation: Structures, initial: Source | None = None
) -> TrainingData:
    """All data of a training."""
    checked = as_structures(validation)
    for structure in checked:
        if structure.energy is None and not structure.cohesive_energy:
            raise InputError("no energy", file=structure.name, expected="a total or cohesive energy")
    return TrainingData(
        (training_set,),
        (file,),
        reference_data(training_set, file) if needs_reference(training_set) else None,
        tuple(checked),
        {} if initial is None else _initial(initial),
    )


def _initial(source: Source) -> Initial:
    """A potential to start from."""
    return {part.species: (f"the initial potential of {part.species}", part) for part in as_potential(source).parts}


def _network_specs(data: TrainingData, networks: Networks | None, setup: Setup | None) -> tuple[NetworkSpec, ...]:
    """The networks to train, with the files they would be saved in."""
    species = data.sources[0].species
    if networks is None and setup is not None:
        networks = setup.networks
    if networks is None:
        layers: Mapping[str, Layers | None] = {s: None if s in data.initial else HIDDEN for s in species}
    elif isinstance(networks, Mapping):
        layers = {symbol: tuple(networks[symbol]) for symbol in networks}
    else:
        layers = dict.fromkeys(species, tuple(networks))
    return tuple(NetworkSpec(symbol, f"{symbol}.nn", hidden) for symbol, hidden in layers.items())
