"""A training from its first epoch to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..analysis.errors import Errors, validate
from ..engine import Lbfgs, StopToken
from ..errors import InputError, TaylorfitError
from ..potential.potential import Potential
from ..settings.forces import WITH_BETA
from ..tools.interrupts import SharedInterrupt
from ..tools.ranks import Ranks
from .checkpoint import load_checkpoint, save_checkpoint
from .fit import INTERRUPTED, Counts, Fit, History
from .loop import LAST, Training
from .networks import potentials_from
from .observer import Observer
from .optimisers import make_optimiser
from .optimisers.whitening import first_layers
from .prepare import Problem
from .split import RECORD


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
    ranks, token, interrupted = problem.ranks, StopToken(), False
    if ranks.size == 1:
        observer.interrupt.also(token.set)
    training = training_of(problem, token)
    if resume and checkpoint is None:
        raise InputError("nothing to resume from", expected="a checkpoint of a training that was interrupted")
    saver = None
    if checkpoint is not None and (settings.checkpoint or resume):
        own = identity or problem.identity()
        saver = Saver(training, checkpoint, own, settings.checkpoint, observer.checkpoint_failed, ranks)
    if resume and saver is not None:
        saver.restore()
    try:
        with observer.epochs(training, settings.iterations) as told:
            interrupt = observer.interrupt if ranks.size == 1 else SharedInterrupt(observer.interrupt, ranks)
            for epoch in training.run(settings.iterations, settings.patience, interrupt):
                stop = ranks.any(bool(told(epoch)))
                if saver is not None:
                    saver.epoch_ended(observer.checkpoints_asked())
                if stop:
                    break
    except KeyboardInterrupt:
        if not training.state.history:
            raise
        interrupted = True
    if saver is not None:
        saver.training_ended()
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


class Saver:
    """Writes the state of a training to its checkpoint every so many epochs, and at the end; 0: never."""

    def __init__(
        self,
        training: Training,
        path: Path,
        identity: str,
        every: int,
        failed: Callable[[TaylorfitError, bool], None],
        ranks: Ranks,
    ) -> None:
        self._training, self._path, self._identity, self._every = training, path, identity, every
        self._failed, self._ranks = failed, ranks
        self._saved, self._n_asked = -1, 0

    def restore(self) -> None:
        """Continue from the checkpoint."""
        self._training.restore(self._ranks.from_root(lambda: load_checkpoint(self._path, self._identity)))
        self._saved = self._training.state.next_epoch - 1

    def epoch_ended(self, n_asked: int = 0) -> None:
        """Write it if its turn has come, or it was asked for (so often so far)."""
        is_due = self._every and self._training.state.history[-1].epoch - self._saved >= self._every
        if is_due or n_asked > self._n_asked:
            self._save()
        self._n_asked = n_asked

    def training_ended(self) -> None:
        """Write it as long as the training can go on from it."""
        if self._every and self._training.state.history and self._training.resumable:
            self._save(at_end=True)

    def _save(self, at_end: bool = False) -> None:
        if not self._ranks.is_root:
            return
        # Hours of training are worth more than their copy on a disk that is full for a while
        try:
            save_checkpoint(self._path, self._training.arrays(), self._identity)
        except TaylorfitError as error:
            self._failed(error, at_end)
        self._saved = self._training.state.next_epoch - 1


def training_of(problem: Problem, stop: StopToken | None = None) -> Training:
    """The loop of epochs for a problem, at its start."""
    settings = problem.settings
    start = np.concatenate([network.weights for network in problem.networks])
    train, test, checks = problem.losses(stop)
    return Training(
        train,
        test,
        make_optimiser(
            settings.method,
            start,
            settings.sampling,
            settings.seed,
            problem.ranks,
            lambda share: first_layers(problem.train, problem.networks, share, problem.ranks),
        ),
        validate=(lambda weights: _errors(problem, _potential(problem, weights), stop)) if problem.validation else None,
        validation_every=settings.validationevery,
        checks=checks,
        beta_at=settings.forces.beta_at if problem.mode in WITH_BETA else None,
        criterion=problem.criterion,
        criterion_beta=settings.forces.final_beta,
        with_energies=settings.forces.energyweight > 0.0,
        from_scratch=any(network.origin is None for network in problem.starts),
        ranks=problem.ranks,
    )


def _potential(problem: Problem, weights: np.ndarray) -> Potential:
    parts = potentials_from(weights, problem.networks, problem.main.setups or (), problem.info)
    record = problem.record
    return Potential(tuple(parts) if record is None else tuple(part.with_remark(RECORD, record) for part in parts))


def _errors(problem: Problem, potential: Potential, stop: StopToken | None = None) -> Errors:
    return validate(problem.validation, potential.tables, problem.atomic_energies, problem.threads, stop, problem.ranks)


def _result(problem: Problem, training: Training, interrupted: bool) -> Fit:
    """What is known after the last epoch."""
    state = training.state
    kept = state.history[-1 if problem.keeps_last else state.best_epoch]
    totals = problem.totals
    return Fit(
        potential=_potential(problem, state.last_weights if problem.keeps_last else state.best_weights),
        last=_potential(problem, state.last_weights),
        history=History.of(state.history, state.validation, training.test is not None),
        best_epoch=kept.epoch,
        best_value=training.badness(kept),
        criterion=LAST if problem.keeps_last else training.criterion,
        mode=problem.mode,
        status=INTERRUPTED if interrupted else _status(problem, training),
        settings=problem.settings,
        counts=Counts(
            n_train=totals.n_structures - totals.n_copies,
            n_test=len(problem.split.test),
            n_copies=totals.n_copies,
            n_force_atoms=totals.n_force_atoms,
            n_atoms=totals.n_atoms,
            n_weights=len(state.best_weights),
            n_validation=len(problem.validation),
            memory=totals.memory,
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
