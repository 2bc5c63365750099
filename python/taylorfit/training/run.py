"""A training from its first epoch to its result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..analysis.errors import Errors, validate
from ..engine import Lbfgs, PotentialTables
from ..model.network import SpeciesPotential
from ..settings.forces import WITH_BETA
from .checkpoint import load_checkpoint, save_checkpoint
from .fit import INTERRUPTED, Counts, Fit, History
from .loop import Training
from .networks import potentials_from
from .observer import Observer
from .optimisers import make_optimiser
from .prepare import Problem


def train_problem(
    problem: Problem,
    *,
    checkpoint: Path | None = None,
    identity: str | None = None,
    resume: bool = False,
    observer: Observer | None = None,
) -> Fit:
    """Train from the networks of `problem`.

    Parameters
    ----------
    checkpoint
        file to write every `settings.checkpoint` epochs and at the end (0: never)
    identity
        what the checkpoint must agree with; None: `problem.identity()`
    resume
        continue exactly from the checkpoint

    Raises
    ------
    InputError, FormatError
        if there is no checkpoint to resume from, or it belongs to another training.
    TaylorfitError
        if the loss is not finite at the starting weights.
    KeyboardInterrupt
        before the first epoch is done, and at a second interrupt; the first one ends the training as if it were over.
    """
    settings, observer = problem.settings, observer or Observer()
    training = training_of(problem)
    every = settings.checkpoint if checkpoint is not None else 0
    if every or resume:
        identity = identity or problem.identity()
    if resume:
        training.restore(load_checkpoint(checkpoint, identity))
    saved = training.state.next_epoch - 1
    interrupted = False
    try:
        with observer.epochs(training, settings.iterations) as told:
            for epoch in training.run(settings.iterations, settings.patience, observer.interrupt):
                stop = told(epoch)
                if every and epoch.epoch - saved >= every:
                    save_checkpoint(checkpoint, training.arrays(), identity)
                    saved = epoch.epoch
                if stop:
                    break
    except KeyboardInterrupt:
        if not training.state.history:
            raise
        interrupted = True
    if every and training.state.history and training.resumable:
        save_checkpoint(checkpoint, training.arrays(), identity)
    fit = _result(problem, training, interrupted)
    observer.trained(fit)
    try:
        if problem.validation:
            fit = replace(fit, errors=_errors(problem, fit.potential))
            is_best = fit.best_epoch == fit.history.epoch[-1]
            fit = replace(fit, last_errors=fit.errors if is_best else _errors(problem, fit.last))
    except KeyboardInterrupt:
        if interrupted:
            raise
        fit = replace(fit, status=INTERRUPTED)
    observer.ended(fit)
    return fit


def training_of(problem: Problem) -> Training:
    """The loop of epochs for a problem, at its start."""
    settings = problem.settings
    start = np.concatenate([network.weights for network in problem.networks])
    train, test, checks = problem.losses()
    return Training(
        train,
        test,
        make_optimiser(settings.method, start, settings.sampling, settings.seed),
        validate=(lambda weights: _errors(problem, _potential(problem, weights))) if problem.validation else None,
        validation_every=settings.validationevery,
        checks=checks,
        beta_at=settings.forces.beta_at if problem.mode in WITH_BETA else None,
        criterion=problem.criterion,
        criterion_beta=settings.forces.final_beta,
    )


def _potential(problem: Problem, weights: np.ndarray) -> tuple[SpeciesPotential, ...]:
    return tuple(
        potentials_from(weights, problem.networks, problem.main, problem.settings.trainingset, problem.scaling)
    )


def _errors(problem: Problem, potential: tuple[SpeciesPotential, ...]) -> Errors:
    tables = PotentialTables.from_potentials(potential)
    return validate(problem.validation, tables, problem.atomic_energies, problem.threads)


def _result(problem: Problem, training: Training, interrupted: bool) -> Fit:
    """What is known after the last epoch."""
    state = training.state
    n_copies = int(problem.train.is_copy.sum())
    return Fit(
        potential=_potential(problem, state.best_weights),
        last=_potential(problem, state.last_weights),
        history=History.of(state.history, state.validation, training.test is not None),
        best_epoch=state.best_epoch,
        best_value=training.badness(state.history[state.best_epoch]),
        criterion=training.criterion,
        mode=problem.mode,
        status=INTERRUPTED if interrupted else _status(problem, training),
        settings=problem.settings,
        counts=Counts(
            n_train=problem.train.n_structures - n_copies,
            n_test=len(problem.split.test),
            n_copies=n_copies,
            n_force_atoms=0 if problem.forces is None else int(problem.forces.trained_atoms().sum()),
            n_atoms=int(problem.train.n_atoms.sum()),
            n_weights=len(state.best_weights),
            n_validation=len(problem.validation),
            memory=problem.memory,
        ),
        threads=problem.threads,
        seconds=state.seconds,
        notes=(*problem.notes, *(warning for start in problem.starts for warning in start.warnings)),
    )


def _status(problem: Problem, training: Training) -> str:
    """How a training ended that nobody interrupted."""
    state, settings = training.state, problem.settings
    last = state.history[-1].epoch
    if state.status != Lbfgs.RUNNING:
        return state.status
    if last >= settings.iterations:
        return "finished"
    return "patience" if settings.patience and last - state.best_epoch >= settings.patience else "stopped"
