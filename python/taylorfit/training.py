"""Training: the energy loss of a packed data set, and the epoch loop around an optimiser.

One epoch is one evaluation of loss and gradient (L-BFGS) or one pass over the structures (the
other methods), as in ænet.  The loop owns progress, checkpoints and stopping; the optimiser owns
the steps; the engine owns the arithmetic.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np

from .analysis import Errors, energy_errors
from .dataset import PackedDataset
from .engine import Lbfgs, NetworkTables, energy_loss
from .engine.methods import LossTerms
from .errors import InputError, TaylorfitError
from .methods import Optimiser

LOSS_AENET, LOSS_TOTAL = "aenet", "total"
"""Energy error per atom (ænet; default) or total energy error (eq. 3 of Cooper et al. 2020)."""


class EnergyLoss:
    """L = ½ Σ_s w_s (f_s ΔE_s)² over a packed data set, in scaled energies.

    f_s = 1/n_atoms for ænet's loss (each structure counts alike), 1 for the paper's eq. 3.
    `copy_weight` is w_s of the Taylor copies; reference structures have 1.
    """

    def __init__(self, data: PackedDataset, networks: NetworkTables, *, loss: str = LOSS_AENET,
                 copy_weight: float = 1.0, energy_scale: float = 1.0, threads: int = 0) -> None:
        self.data, self.networks, self.threads = data, networks, threads
        n_atoms = data.n_atoms.astype(np.float64)
        self._factor = 1.0 / n_atoms if loss == LOSS_AENET else np.ones_like(n_atoms)
        self._weight = np.where(data.is_copy, copy_weight, 1.0)
        self._group: np.ndarray | None = None
        self._per_atom = 1.0 / (energy_scale * n_atoms)
        self.gradient = np.zeros(networks.n_weights)

    def __call__(self, weights: np.ndarray, with_gradient: bool = True) -> tuple[float, np.ndarray]:
        """Return the loss and the energy errors E_ref − E of all structures, eV/atom; fill `gradient`."""
        loss, energy = energy_loss(
            *self.data.arguments(), self.networks, weights, self.data.energy, self._factor, self._weight,
            self.gradient if with_gradient else None, self.threads, self._group,
        )
        return loss, (self.data.energy - energy) * self._per_atom

    @property
    def terms(self) -> LossTerms:
        """What the loss is made of, for methods that take it structure by structure.

        Raises
        ------
        InputError
            if it is not a sum over structures.
        """
        if self._group is not None:
            raise InputError("this METHOD goes from structure to structure, but the loss couples Taylor copies",
                             expected="METHOD bfgs")
        return LossTerms(self.data.arguments(), self.networks, self.data.energy, self._factor, self._weight,
                         self.threads)


class CentredTaylorLoss(EnergyLoss):
    """Group-centred Taylor loss: L = ½ Σ_p r_p² + ½ Σ_p w_p Σ_c (r_c − r̄_p)², r = ΔE/n_atoms.

    p runs over the reference structures, c over the copies of p, r̄_p is the mean over these.
    w_p = β n_atoms/(3 a ⟨δ_x²⟩) makes the second sum an estimate of ½ β Σ_p ⟨ΔF_x²⟩, the mean being
    over the 3 n_atoms force components; the constant
    part of the truncation error of a parent's copies drops out.  β in Å².  The pack must keep the
    groups whole.
    """

    def __init__(self, data: PackedDataset, networks: NetworkTables, *, beta: float, energy_scale: float = 1.0,
                 threads: int = 0) -> None:
        super().__init__(data, networks, energy_scale=energy_scale, threads=threads)
        self._group = data.group
        n_copies = np.bincount(data.group, minlength=1)
        squares = np.bincount(data.group, weights=data.displacement_square)
        mean_square = squares / np.maximum(n_copies, 1)
        a, square = n_copies[data.group], mean_square[data.group]
        weight = np.ones(data.n_structures)
        copies = data.is_copy
        # Copies that are not displaced at all say nothing about forces
        moved = copies & (square > 0)
        weight[copies] = 0.0
        weight[moved] = beta * data.n_atoms[moved] / (3.0 * a[moved] * square[moved])
        self._weight = weight


@dataclass(frozen=True)
class Epoch:
    """Errors after one epoch, eV/atom, on reference structures alone (copies apart)."""

    epoch: int
    train_mae: float
    train_rmse: float
    test_mae: float
    test_rmse: float
    copies_rmse: float | None = None
    """Against the Taylor energies of the copies that are trained on."""


@dataclass
class TrainingState:
    """All that a checkpoint needs, besides the data: a resumed run equals an uninterrupted one."""

    next_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1
    best_weights: np.ndarray | None = None
    last_weights: np.ndarray | None = None
    seconds: float = 0.0
    """Time spent in epochs so far."""
    status: str = Lbfgs.RUNNING
    validation: list[tuple[int, Errors]] = field(default_factory=list)
    """(epoch, errors) on the validation structures"""


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

    Raises
    ------
    InputError
        if the optimiser goes from structure to structure and the loss couples them.
    """

    def __init__(self, train: EnergyLoss, test: EnergyLoss | None, optimiser: Optimiser,
                 validate: Callable[[np.ndarray], Errors] | None = None, validation_every: int = 0) -> None:
        self.train, self.test, self.optimiser = train, test, optimiser
        self._validate, self._validation_every = validate, validation_every
        self._terms = None if optimiser.full_batch else train.terms
        self.state = TrainingState()
        self._reference = ~train.data.is_copy
        self._has_copies = bool(train.data.is_copy.any())

    def run(self, iterations: int, patience: int = 0) -> Iterator[Epoch]:
        """Yield the epochs up to `iterations`, epoch 0 being the starting weights.

        Stops early when the optimiser converges, or after `patience` epochs without a better
        test error (0: never).

        Raises
        ------
        KeyboardInterrupt
            with `state` as after the last complete epoch.
        TaylorfitError
            if the loss is not finite at the starting point.
        """
        state = self.state
        with _deferred_interrupt() as interrupt:
            while state.next_epoch <= iterations and state.status == Lbfgs.RUNNING:
                if patience and state.history and state.next_epoch - 1 - state.best_epoch >= patience:
                    return
                start = time.perf_counter()
                status = Lbfgs.RUNNING
                with interrupt.allowed(), self._undo_unfinished_pass():
                    if self._terms is not None and state.next_epoch:
                        status = self.optimiser.run_epoch(self._terms)
                    weights = self.optimiser.weights.copy()
                    loss, error = self.train(weights, with_gradient=self.optimiser.full_batch)
                    test_error = self.test(weights, with_gradient=False)[1] if self.test else np.zeros(0)
                    checked = self._validation(weights)
                if not np.isfinite(loss) and state.next_epoch == 0:
                    raise TaylorfitError("the loss is not finite at the starting weights")
                epoch = Epoch(
                    state.next_epoch,
                    *energy_errors(error[self._reference]),
                    *energy_errors(test_error),
                    copies_rmse=energy_errors(error[~self._reference])[1] if self._has_copies else None,
                )
                self._keep(epoch, weights, loss)
                if checked is not None:
                    state.validation.append((epoch.epoch, checked))
                state.status = self.optimiser.step(loss, self.train.gradient) if self.optimiser.full_batch else status
                state.next_epoch += 1
                state.seconds += time.perf_counter() - start
                yield epoch
                interrupt.check()

    @contextmanager
    def _undo_unfinished_pass(self) -> Iterator[None]:
        """If the epoch does not come to its end, leave an optimiser that steps within it as it was before."""
        if self.optimiser.full_batch:
            yield
            return
        before = {key: value.copy() for key, value in self.optimiser.state.items()}
        try:
            yield
        except BaseException:
            self.optimiser.restore(before)
            raise

    def _validation(self, weights: np.ndarray) -> Errors | None:
        every, epoch = self._validation_every, self.state.next_epoch
        if self._validate is None or not every or epoch == 0 or epoch % every:
            return None
        return self._validate(weights)

    def _keep(self, epoch: Epoch, weights: np.ndarray, loss: float) -> None:
        """Record an epoch; the best is the one with the smallest test error (train error without a test set)."""
        state = self.state
        state.history.append(epoch)
        state.last_weights = weights

        def criterion(candidate: Epoch) -> float:
            value = candidate.test_rmse if self.test else candidate.train_rmse
            return value if np.isfinite(value) else np.inf

        if state.best_epoch < 0 or criterion(epoch) < criterion(state.history[state.best_epoch]):
            state.best_epoch, state.best_weights = epoch.epoch, weights

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays, for a checkpoint."""
        state = self.state
        arrays = {f"optimiser.{key}": value for key, value in self.optimiser.state.items()}
        arrays["history"] = np.array(
            [[np.nan if v is None else v for v in asdict(epoch).values()] for epoch in state.history])
        arrays["validation_epochs"] = np.array([epoch for epoch, _ in state.validation], dtype=np.int64)
        arrays["validation"] = np.array(
            [[np.nan if v is None else v for v in errors.as_dict().values()] for _, errors in state.validation])
        arrays["counters"] = np.array([state.next_epoch, state.best_epoch], dtype=np.int64)
        arrays["seconds"] = np.array(state.seconds)
        arrays["status"] = np.array(state.status)
        n = self.train.networks.n_weights
        arrays["best_weights"] = np.zeros(n) if state.best_weights is None else state.best_weights
        arrays["last_weights"] = np.zeros(n) if state.last_weights is None else state.last_weights
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
            self.optimiser.restore({k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)})
            history = [Epoch(int(row[0]), *map(float, row[1:5]), None if np.isnan(row[5]) else float(row[5]))
                       for row in arrays["history"]]
            validation = [
                (int(epoch), Errors(*(None if np.isnan(v) else float(v) for v in row[:-2]), *map(int, row[-2:])))
                for epoch, row in zip(arrays["validation_epochs"], arrays["validation"])
            ]
            next_epoch, best_epoch = map(int, arrays["counters"])
            self.state = TrainingState(
                next_epoch=next_epoch, history=history, best_epoch=best_epoch,
                best_weights=arrays["best_weights"].copy(), last_weights=arrays["last_weights"].copy(),
                seconds=float(arrays["seconds"]), status=str(arrays["status"]), validation=validation,
            )
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"the checkpoint is not usable ({error})") from error


class _Interrupt:
    """Ctrl-C during an epoch ends the engine call; between epochs it waits for `check`."""

    def __init__(self) -> None:
        self.requested = False
        self._allowed = False

    def handle(self, signum: int, frame: object) -> None:
        self.requested = True
        if self._allowed:
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        self._allowed = True
        try:
            self.check()
            yield
        finally:
            self._allowed = False

    def check(self) -> None:
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def _deferred_interrupt() -> Iterator[_Interrupt]:
    """Install the handler for the time of the loop (only the main thread can)."""
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)


def check_same_species(names: Sequence[str], species: Sequence[tuple[str, ...]]) -> None:
    """Refuse training sets that do not list the same species in the same order.

    Raises
    ------
    InputError
        naming the first file that differs.
    """
    for name, other in zip(names, species):
        if other != species[0]:
            raise InputError("other species than the first training set", file=name, value=" ".join(other),
                             expected=" ".join(species[0]))
