"""Training: the epoch loop around a loss and an optimiser.

One epoch is one evaluation of loss and gradient (L-BFGS) or one pass over the structures (the
other methods), as in ænet.  The loop owns progress, checkpoints and stopping; the optimiser owns
the steps; the engine owns the arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..analysis.errors import Errors
from ..engine import Lbfgs, PartialSums
from ..errors import InputError, TaylorfitError
from ..tools.interrupts import Interrupt
from ..tools.ranks import ALONE, Ranks
from .losses import EnergyLoss, means_of_errors
from .optimisers import Optimiser
from .optimisers.pass_optimiser import PassOptimiser

ENERGY, BOTH, LAST = "energy", "both", "last"
"""What the best epoch is chosen by: the test energies (the paper, ænet), or test energies and forces.

Or the last one is kept, whatever its errors."""


@dataclass(frozen=True)
class Epoch:
    """Errors after one epoch, on reference structures alone (copies apart): energies in eV/atom, forces in eV/Å.

    Energy errors of reference structures are weighted where these have weights; `copies_rmse` is not.
    """

    epoch: int
    train_mae: float
    train_rmse: float
    test_mae: float
    test_rmse: float
    copies_rmse: float | None = None
    """Against the Taylor energies of the copies that are trained on."""
    train_force_mae: float | None = None
    """Of the force components, in the epochs in which they are evaluated."""
    train_force_rmse: float | None = None
    test_force_mae: float | None = None
    test_force_rmse: float | None = None

    @classmethod
    def from_row(cls, row: np.ndarray) -> Epoch:
        """The inverse of `as_row`."""
        return cls(int(row[0]), *map(float, row[1:5]), *(None if np.isnan(v) else float(v) for v in row[5:]))

    def as_row(self) -> list[float]:
        """Numbers for a checkpoint, NaN for None."""
        return [np.nan if v is None else v for v in asdict(self).values()]


@dataclass
class TrainingState:
    """All that a checkpoint needs, besides the data: a resumed run equals an uninterrupted one."""

    next_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1
    best_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_weight,) of the best epoch, as soon as there is one"""
    last_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_weight,) of the last epoch"""
    seconds: float = 0.0
    """Time spent in epochs so far, validation apart."""
    status: str = Lbfgs.RUNNING
    validation: list[tuple[int, Errors]] = field(default_factory=list)
    """(epoch, errors) on the validation structures"""


@dataclass(frozen=True)
class ForceChecks:
    """Losses that are evaluated for their force errors alone."""

    train: EnergyLoss | None = None
    """Some training structures; None where the training loss itself finds force errors, or nothing does."""
    test: EnergyLoss | None = None
    """The test structures, where `Training.test` does not find force errors."""
    every: int = 10
    """Epochs between evaluations; 0: none."""


class Training:
    """The epoch loop.

    Parameters
    ----------
    train
        loss to minimise
    test
        loss over the test structures, or None
    optimiser
        started at the first weights
    validate
        called with weights every `validation_every` epochs (0: never in between)
    checks
        further force errors
    beta_at
        weight of the forces in each epoch, Å²; where it changes, the optimiser starts anew
    criterion
        ENERGY, or BOTH: the best epoch is that with the smallest E² + β F², E the RMSE of the test energies per
        atom, weighted where structures have weights, F that of the test force components, β = `criterion_beta`; of
        the training structures without a test set
    ranks
        the processes that the structures are shared out over; all make the same epochs
    with_energies
        False: energies do not count in the criterion BOTH, as where their weight in the loss is 0
    from_scratch
        the first weights are random: epoch 0 is the best only until another is done, however small its error on a
        few test structures

    Attributes
    ----------
    state
        as after the last complete epoch
    resumable
        False after an interrupt that struck after an evaluation, where `run` was not told to hold it back: nobody
        knows whether the optimiser has stepped

    Raises
    ------
    InputError
        if the optimiser goes from structure to structure and the loss couples them.
    """

    def __init__(
        self,
        train: EnergyLoss,
        test: EnergyLoss | None,
        optimiser: Optimiser,
        validate: Callable[[np.ndarray], Errors] | None = None,
        validation_every: int = 0,
        *,
        checks: ForceChecks = ForceChecks(),
        beta_at: Callable[[int], float] | None = None,
        criterion: str = ENERGY,
        criterion_beta: float = 0.0,
        with_energies: bool = True,
        from_scratch: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.train, self.test, self.optimiser, self._ranks = train, test, optimiser, ranks
        self._validate, self._validation_every = validate, validation_every
        self._checks, self._beta_at = checks, beta_at
        self._beta: float | None = None
        self.criterion, self._criterion_beta = criterion, criterion_beta
        self._energies_count = with_energies or criterion == ENERGY
        self._from_scratch = from_scratch
        self._terms = None if optimiser.full_batch else train.terms
        self.state = TrainingState()
        self.resumable = True
        copies, weight = train.data.is_copy, train.data.structure_weight
        self._train_weight = np.where(copies, 0.0, 1.0 if weight is None else weight)
        self._copies_weight = copies.astype(np.float64)
        self._has_copies = ranks.any(bool(copies.any()))
        self._test_weight = np.zeros(0)
        if test is not None:
            weight = test.data.structure_weight
            self._test_weight = np.ones(test.data.n_structures) if weight is None else weight

    def run(self, iterations: int, patience: int = 0, interrupt: Interrupt | None = None) -> Iterator[Epoch]:
        """Yield the epochs up to `iterations`, epoch 0 being the starting weights.

        Stops early when the optimiser converges, or after `patience` epochs without a better
        test error (0: never).  Where `interrupt` catches signals, it is obeyed only where nothing is left half
        done; else see `resumable`.

        Raises
        ------
        KeyboardInterrupt
            with `state` as after the last complete epoch.
        TaylorfitError
            if the loss is not finite at the starting point.
        """
        state, interrupt = self.state, interrupt or Interrupt()
        while state.next_epoch <= iterations and state.status == Lbfgs.RUNNING:
            if patience and state.history and state.next_epoch - 1 - state.best_epoch >= patience:
                return
            start = time.perf_counter()
            status = Lbfgs.RUNNING
            self._set_beta()
            with self._undo_unfinished_pass(), interrupt.allowed():
                if isinstance(self.optimiser, PassOptimiser) and self._terms is not None and state.next_epoch:
                    status = self.optimiser.run_epoch(self._terms)
                weights = self.optimiser.weights.copy()
                loss, error = self.train(weights, with_gradient=self.optimiser.full_batch)
                test_error = self.test(weights, with_gradient=False)[1] if self.test else np.zeros(0)
                errors = self._means(weights, error, test_error)
                seconds = time.perf_counter() - start
                checked = self._validation(weights)
                self.resumable = False
            if not np.isfinite(loss) and state.next_epoch == 0:
                raise TaylorfitError("the loss is not finite at the starting weights")
            epoch = Epoch(state.next_epoch, *errors)
            start = time.perf_counter()
            try:
                self._keep(epoch, weights, checked)
                if isinstance(self.optimiser, Lbfgs):
                    status = self.optimiser.step(loss, self.train.gradient)
                state.status = status
                state.next_epoch += 1
                self.resumable = True
            except KeyboardInterrupt:
                self._keep(epoch, weights, checked)
                raise
            state.seconds += seconds + time.perf_counter() - start
            yield epoch
            interrupt.check()

    def _set_beta(self) -> None:
        """Give the loss the force weight of the coming epoch; another loss is no business of the old memory."""
        if self._beta_at is None:
            return
        epoch, state = self.state.next_epoch, self.state
        beta = self._beta_at(epoch)
        if beta != self._beta:
            self.train.set_beta(beta)
            self._beta = beta
        if epoch and self._beta_at(epoch - 1) != beta and state.history and isinstance(self.optimiser, Lbfgs):
            self.optimiser.restart(state.last_weights)

    def _means(self, weights: np.ndarray, error: np.ndarray, test_error: np.ndarray) -> list[Any]:
        """The errors of an epoch, in the order of `Epoch`, from those of single structures."""
        sums: list[PartialSums | None] = [self.train.energy_error_sums(error, self._train_weight)]
        sums.append(None if self.test is None else self.test.energy_error_sums(test_error, self._test_weight))
        sums.append(self.train.energy_error_sums(error, self._copies_weight) if self._has_copies else None)
        sums += self._force_error_sums(weights)
        totals = iter(self._ranks.totals([one for one in sums if one is not None]))
        means = [(0.0, float("nan")) if one is None else means_of_errors(next(totals)) for one in sums]
        forces = [value if np.isfinite(rmse) else None for mae, rmse in means[3:] for value in (mae, rmse)]
        return [*means[0], *means[1], means[2][1] if self._has_copies else None, *forces]

    def _force_error_sums(self, weights: np.ndarray) -> list[PartialSums | None]:
        """Sums of the force errors of training and test structures, as far as this epoch has them."""
        due = self._checks.every > 0 and self.state.next_epoch % self._checks.every == 0
        decides = self.train if self.test is None else self.test
        sums: list[PartialSums | None] = []
        for loss, check in ((self.train, self._checks.train), (self.test, self._checks.test)):
            # In every epoch that may become the best
            if check is not None and (due or (self.criterion == BOTH and loss is decides)):
                check(weights, with_gradient=False)
                sums.append(check.force_error_sums())
            else:
                sums.append(None if loss is None else loss.force_error_sums())
        return sums

    @contextmanager
    def _undo_unfinished_pass(self) -> Iterator[None]:
        """If the epoch does not come to its end, leave an optimiser that steps within it as it was before."""
        state = {} if self.optimiser.full_batch else self.optimiser.state
        before = {key: value.copy() for key, value in state.items()}
        try:
            yield
        except BaseException:
            if before:
                self.optimiser.restore(before)
            self.resumable = True
            raise

    def _validation(self, weights: np.ndarray) -> Errors | None:
        every, epoch = self._validation_every, self.state.next_epoch
        if self._validate is None or not every or epoch == 0 or epoch % every:
            return None
        return self._validate(weights)

    def _keep(self, epoch: Epoch, weights: np.ndarray, checked: Errors | None) -> None:
        """Record an epoch, and whether it is the best so far; to do it again changes nothing."""
        state = self.state
        if not state.history or state.history[-1].epoch != epoch.epoch:
            state.history.append(epoch)
        state.last_weights = weights
        badness = self.badness(epoch)
        is_first = state.best_epoch < 0 or (self._from_scratch and state.best_epoch == 0 and np.isfinite(badness))
        if is_first or badness < self.badness(state.history[state.best_epoch]):
            state.best_weights, state.best_epoch = weights, epoch.epoch
        if checked is not None and (not state.validation or state.validation[-1][0] != epoch.epoch):
            state.validation.append((epoch.epoch, checked))

    def badness(self, epoch: Epoch) -> float:
        """What the best epoch has least of, eV²/atom²; see `criterion`."""
        energy = epoch.test_rmse if self.test else epoch.train_rmse
        force: float | None = 0.0
        if self.criterion == BOTH:
            force = epoch.test_force_rmse if self.test else epoch.train_force_rmse
        if force is None:
            return np.inf
        value = (energy**2 if self._energies_count else 0.0) + self._criterion_beta * force**2
        return value if np.isfinite(value) else np.inf

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays, for a checkpoint."""
        state = self.state
        arrays = {f"optimiser.{key}": value for key, value in self.optimiser.state.items()}
        arrays["history"] = np.array([epoch.as_row() for epoch in state.history])
        arrays["validation_epochs"] = np.array([epoch for epoch, _ in state.validation], dtype=np.int64)
        arrays["validation"] = np.array([errors.as_row() for _, errors in state.validation])
        arrays["counters"] = np.array([state.next_epoch, state.best_epoch], dtype=np.int64)
        arrays["seconds"] = np.array(state.seconds)
        arrays["status"] = np.array(state.status)
        arrays["best_weights"], arrays["last_weights"] = state.best_weights, state.last_weights
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from the arrays of a checkpoint.

        Raises
        ------
        TaylorfitError
            if they belong to other networks.
        """
        try:
            prefix = "optimiser."
            self.optimiser.restore({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)})
            history = [Epoch.from_row(row) for row in arrays["history"]]
            validation = [
                (int(epoch), Errors.from_row(row))
                for epoch, row in zip(arrays["validation_epochs"], arrays["validation"])
            ]
            next_epoch, best_epoch = map(int, arrays["counters"])
            weights = [arrays[name].astype(np.float64, casting="safe") for name in ("best_weights", "last_weights")]
            if not 0 <= best_epoch < len(history) or history[-1].epoch != next_epoch - 1:
                raise ValueError(f"epochs {best_epoch} and {next_epoch} of {len(history)}")
            if not np.isfinite(arrays["seconds"]):
                raise ValueError("no time")
            if any(found.shape != self.optimiser.weights.shape for found in weights):
                raise ValueError("weights of other networks")
            self.state = TrainingState(
                next_epoch=next_epoch,
                history=history,
                best_epoch=best_epoch,
                best_weights=weights[0],
                last_weights=weights[1],
                seconds=float(arrays["seconds"]),
                status=str(arrays["status"]),
                validation=validation,
            )
        except TaylorfitError:
            raise
        except Exception as error:  # arrays of other shapes and kinds fail in whatever way they do
            raise InputError(f"the checkpoint is not usable ({error})") from error
