"""What `train` prints while it runs, to standard output or to the log of a committee's member."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from ..analysis.errors import error_lines
from ..engine import Lbfgs, build_name, columns_of_sums
from ..errors import TaylorfitError
from ..model.measures import ENERGY_UNIT, FORCE_UNIT, MEASURES
from ..settings.methods import format_method
from ..settings.train import NetworkSpec
from ..tools.interrupts import STOP_FILE, Interrupt, counted_requests, deferred_interrupt, stop_requested
from ..tools.progress import Advance, Steps, duration, progress
from ..training.fit import Fit
from ..training.loop import BOTH, LAST, Epoch, Training
from ..training.memory import Storage
from ..training.networks import StartingNetwork, hidden_layers
from ..training.observer import Observer, Told, epoch_note
from ..training.optimisers import sampling_of
from ..training.outputs import Outputs
from ..training.prepare import NO_CELLS, Problem

TABLE_ROWS = 50
"""About so many epochs are printed; the report has all."""

REASONS = {
    "converged": "the gradient is zero to the tolerance",
    "stuck": "no further descent is possible within rounding",
}


class TrainingLog(Observer):
    """Prints what is trained, the table of epochs and the result, and writes files as soon as they are known.

    Obeys Ctrl-C between epochs, and ends the training after an epoch when there is a file STOP.

    Parameters
    ----------
    outputs
        the files to write
    resumed
        the checkpoint that the training goes on from, if it does
    stream
        where to print; None: standard output
    show
        shows progress, like `progress.progress`
    interrupt
        brings interrupts to this thread; None: this is the main thread, which gets signals
    """

    def __init__(
        self,
        outputs: Outputs,
        resumed: Path | None = None,
        stream: TextIO | None = None,
        show: Steps = progress,
        interrupt: Interrupt | None = None,
    ) -> None:
        super().__init__(interrupt)
        self._gets_signals = interrupt is None
        self._outputs, self._resumed, self._stream, self._show = outputs, resumed, stream, show
        self._rows: EpochTable | None = None
        self.was_over = False
        self._missing: TaylorfitError | None = None
        self._n_asked: Callable[[], int] = lambda: 0

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._stream or sys.stdout, flush=True)

    def steps(self, title: str, total: int, unit: str = "structures") -> AbstractContextManager[Advance]:
        """Show how far it is."""
        return self._show(title, total, unit)

    def planned(self, storage: Storage) -> None:
        """Say how much memory will be taken."""
        self._print(*memory_lines(storage))

    def prepared(self, problem: Problem) -> None:
        """Say what will be trained."""
        self._problem = problem
        self._print(*description(problem, self._outputs.networks, self._resumed is not None))

    @contextmanager
    def epochs(self, training: Training, last: int) -> Iterator[Told]:
        """Print the table of epochs, and show how far it is."""
        self._training = training
        settings, first = self._problem.settings, training.state.next_epoch
        quiet = settings.verbosity == "low"
        if self._resumed is not None:
            self._print(f"\nresumed from {self._resumed} at epoch {first - 1}")
            self.was_over = first > last or training.state.status != Lbfgs.RUNNING
        # Of several ranks, all would have to take part
        if not quiet and last - first > 10 and self._problem.ranks.size == 1:
            self._print(estimated_time(training, last - first + 1))
        self._rows = None if quiet else EpochTable(self._problem, training, self._print)
        caught = deferred_interrupt() if self._gets_signals else nullcontext(self.interrupt)
        asked = counted_requests() if self._gets_signals else nullcontext(lambda: 0)
        with (
            caught as self.interrupt,
            asked as self._n_asked,
            self._show("train", last, "epochs", quiet=quiet) as update,
        ):

            def told(epoch: Epoch) -> bool:
                if self._rows is not None:
                    self._rows.add(epoch)
                update(epoch.epoch, epoch_note(epoch, training.state.validation))
                if stop_requested():
                    self._print(f"file {STOP_FILE} found: stopping after this epoch")
                    return True
                return False

            yield told

    def checkpoints_asked(self) -> int:
        """How often SIGUSR1 has come."""
        return self._n_asked()

    def checkpoint_failed(self, error: TaylorfitError, at_end: bool) -> None:
        """Say so, and that it will be tried again."""
        after = "the training cannot be resumed" if at_end else "it is tried again, at the end at the latest"
        self._print(f"warning: no checkpoint: {error}; {after}")

    def trained(self, fit: Fit) -> None:
        """Write the potentials, and say how the training ended."""
        if fit.interrupted:
            self._print(f"\ninterrupted after epoch {fit.history.epoch[-1]}")
        if self._rows is not None:
            self._rows.close()
        try:
            self._outputs.write(fit, self._problem, self._training)
        except TaylorfitError as error:
            self._missing = error
        self._print(*ending(fit))

    def ended(self, fit: Fit) -> None:
        """Print the errors on the validation structures, and where the potentials are.

        Raises
        ------
        TaylorfitError
            after that, if files could not be written.
        """
        for errors, title in ((fit.errors, "best"), (fit.last_errors, "last")):
            if errors is not None:
                self._print(f"validation, {title} epoch:", *(f"  {line}" for line in error_lines(errors)))
        if self._missing is not None:
            raise self._missing
        self._print(
            f"potentials: {' '.join(self._outputs.files(fit))} (best), the same with .last"
            + (f"; checkpoint {self._outputs.checkpoint}" if self._outputs.checkpoint else "")
        )
        if self.was_over:
            self._print(
                f"nothing was done: {self._resumed} is of a training that was over at epoch {fit.history.epoch[-1]} "
                f"({REASONS.get(fit.status, 'ITERATIONS')})"
            )


class EpochTable:
    """The table of epochs in ænet's layout, with force and validation errors where an epoch has them.

    Rows fall on about `TABLE_ROWS` epochs, on all with VERBOSITY high.
    """

    def __init__(self, problem: Problem, training: Training, show: Callable[..., None]) -> None:
        settings = problem.settings
        self._state, self._show = training.state, show
        self._with_test = problem.test is not None
        self._last, self._shown = settings.iterations, -1
        self._with_forces = problem.test_forces is not None or problem.forces is not None
        self._every = 1 if settings.verbosity == "high" else max(1, settings.iterations // TABLE_ROWS)
        if (problem.validation or self._with_forces) and settings.validationevery and self._every > 1:
            # Rows fall on epochs with validation and force errors
            self._every = -(-self._every // settings.validationevery) * settings.validationevery
        extra = ("  |F RMSE (eV/Å)|" if self._with_forces else "") + (
            "  |--VALIDATION: E RMSE, F MAE, mean |F − F_ref|--|" if problem.validation else ""
        )
        show(
            f"\n        |-----TRAIN (eV/atom)------|  |------TEST (eV/atom)------|{extra}",
            " epoch          MAE         RMSE            MAE         RMSE"
            + ("      train    test" if self._with_forces else "")
            + ("         eV/atom       eV/Å    eV/Å" if problem.validation else ""),
        )

    def add(self, epoch: Epoch) -> None:
        """Show the epoch that has just ended, if its turn has come."""
        if epoch.epoch % self._every == 0 or epoch.epoch == self._last:
            self._show(self.line(epoch))
            self._shown = epoch.epoch

    def close(self) -> None:
        """Show the last epoch, if that has not been done."""
        epoch = self._state.history[-1]
        if epoch.epoch != self._shown:
            self._show(self.line(epoch))

    def line(self, epoch: Epoch) -> str:
        """The row of an epoch."""
        line = f"{epoch.epoch:6d} {epoch.train_mae:12.6E} {epoch.train_rmse:12.6E}   " + (
            f"{epoch.test_mae:12.6E} {epoch.test_rmse:12.6E} <" if self._with_test else " " * 27
        )
        if self._with_forces:
            line += "".join(
                "       -" if value is None else f"  {value:6.4f}"
                for value in (epoch.train_force_rmse, epoch.test_force_rmse)
            )
        validation = self._state.validation
        if not validation or validation[-1][0] != epoch.epoch:
            return line
        errors = validation[-1][1]
        energy = "" if errors.energy_rmse is None else f"   {errors.energy_rmse:12.6E}"
        forces = "" if errors.force_mae is None else f"    {errors.force_mae:.4f}  {errors.force_error_norm_mean:.4f}"
        return line + energy + forces


def memory_lines(storage: Storage) -> Iterator[str]:
    """How much memory a training will take, and where its data go."""
    needs, n = storage.needs, 1e-6
    where = "" if storage.folder is None else f" in a file in {storage.folder}"
    parts = (
        f"program {n * needs.program:.0f}",
        f"packed data {n * needs.packed:.0f}{where}",
        *([f"force maps and directions {n * needs.forces:.0f}{where}"] if needs.forces else []),
        f"lists and work {n * (needs.lists + max(needs.work, needs.temporary)):.0f}",
    )
    left = "" if storage.available is None else f"; {n * storage.available.n_bytes:.0f} MB are left"
    yield f"estimated memory: up to {n * needs.peak:.0f} MB ({', '.join(parts)}){left}"
    if storage.note is not None:
        yield storage.note


def estimated_time(training: Training, n_epochs: int) -> str:
    """How long the epochs will take, from one evaluation of the loss; validation comes on top."""
    weights = training.optimiser.weights
    training.train(weights, with_gradient=False)  # warms the caches
    start = time.perf_counter()
    training.train(weights)
    each = time.perf_counter() - start
    return f"estimated time: {duration(each * n_epochs)} for {n_epochs} epochs, {1e3 * each:.1f} ms each" + (
        "" if training.optimiser.full_batch else " (one loss and gradient; a pass of this method takes longer)"
    )


def ending(fit: Fit) -> Iterator[str]:
    """Why a training ended, and the errors of its best and last epoch."""
    patience = fit.settings.patience
    reasons = {**REASONS, "patience": f"no better epoch for {patience} epochs (PATIENCE)"}
    last = fit.history.row(-1)
    yield ""
    if fit.status in reasons:
        yield f"stopped at epoch {last.epoch}: {reasons[fit.status]}"
    criterion = "test" if fit.counts.n_test else "training"
    what = f"{criterion} error of energies and forces" if fit.criterion == BOTH else f"{criterion} RMSE"
    best = f"best epoch {fit.best_epoch} (smallest {what}): {_rmse_text(fit.best, fit)}; "
    kept = "kept" if fit.criterion == LAST else ""
    yield f"{'' if kept else best}last epoch {last.epoch}{kept and ', which is kept'}: {_rmse_text(last, fit)}"
    yield f"{len(fit.history)} epochs in {duration(fit.seconds)}, {1e3 * fit.seconds_per_epoch:.1f} ms each"


def _rmse_text(epoch: Epoch, fit: Fit) -> str:
    train, test = (MEASURES[key].cell(getattr(epoch, key), more=1) for key in ("train_rmse", "test_rmse"))
    forces = "".join(
        f", {name} forces {value:.4f}"
        for name, value in (("train", epoch.train_force_rmse), ("test", epoch.test_force_rmse))
        if value is not None
    )
    energies = f"train {train}" + (f", test {test}" if fit.counts.n_test else "")
    return f"{energies} {ENERGY_UNIT.name}" + (f"{forces} {FORCE_UNIT.name}" if forces else "")


def description(problem: Problem, networks: Sequence[NetworkSpec], resumed: bool = False) -> Iterator[str]:
    """What will be trained, with the files that `networks` go to; `resumed`: from a checkpoint."""
    settings, totals, split, scaling = problem.settings, problem.totals, problem.split, problem.scaling
    if NO_CELLS in problem.notes:
        yield NO_CELLS
    yield f"training set {', '.join(problem.files)}: species {' '.join(problem.main.species)}"
    yield f"  scaling factor {scaling.energy_scale:.6f} per eV, shift {scaling.energy_shift:.6f} eV/atom"
    yield (
        f"  {totals.n_structures - totals.n_copies} training structures, {totals.n_copies} Taylor copies, "
        f"{len(split.test)} test structures"
        + (f", {split.n_unused_copies} copies of test structures left out" if split.n_unused_copies else "")
        + (f", {split.n_dropped} structures above MAXENERGY dropped" if split.n_dropped else "")
    )
    if not split.test:
        percent = settings.testpercent
        hint = f"; was TESTPERCENT {100.0 * percent:g} meant?" if 0.0 < percent < 1.0 else ""
        yield f"  no test set (TESTPERCENT {percent:g}): the best epoch is chosen by the training errors{hint}"
    if problem.validation:
        known = sum(structure.forces is not None for structure in problem.validation)
        yield f"  {len(problem.validation)} validation structures, {known} with forces"
    yield "networks"
    for line in network_lines(problem.starts, networks, resumed):
        yield f"  {line}"
    yield loss_line(problem)
    if problem.keeps_last:
        yield "the last epoch is kept" + "".join(f"; {doubt}" for doubt in problem.doubts)
    elif problem.criterion == BOTH:
        yield (
            "best epoch: smallest E² + beta F², E (eV/atom) and F (eV/Å per component) RMSE of the test set, "
            f"beta {settings.forces.final_beta:g} Å²"
        )
    yield (
        f"method: {settings.method.title} ({format_method(settings.method)}), "
        f"{sampling_of(settings.method, settings.sampling)}; "
        + (f"{problem.ranks.size} ranks, each " if problem.ranks.size > 1 else "")
        + f"{problem.threads} thread{'s' if problem.threads > 1 else ''}, engine {build_name()}"
    )
    n_weights = sum(network.n_weights for network in problem.networks)
    parts = 8 * n_weights * columns_of_sums(totals.n_blocks, problem.threads)
    yield (
        f"memory: {(totals.memory + parts) / 1e6:.0f} MB for {totals.n_atoms} atoms; "
        f"prepared in {duration(problem.seconds)}"
    )


def network_lines(
    starts: Sequence[StartingNetwork], networks: Sequence[NetworkSpec], resumed: bool = False
) -> Iterator[str]:
    """Where the networks come from, and the files they go to."""
    files = {spec.symbol: spec.file for spec in networks}
    for start in starts:
        yield from start.warnings
        if start.origin is not None:
            origin = f"from the checkpoint → {files[start.symbol]}" if resumed else f"continued from {start.origin}"
            yield f"{start.symbol:2s} {start.layers}, {origin}"
        else:
            hidden = " ".join(f"{n}:{name}" for n, name in hidden_layers(start.network))
            yield (
                f"{start.symbol:2s} {start.layers} ({hidden or 'linear'}), {start.network.n_weights} weights, "
                f"{'from the checkpoint' if resumed else 'random'} → {files[start.symbol]}"
            )


def loss_line(problem: Problem) -> str:
    """What is minimised."""
    settings, forces, mode = problem.settings, problem.settings.forces, problem.mode
    totals, has_copies = problem.totals, problem.totals.n_copies > 0
    loss = (
        "error of the energy per atom, each structure alike (ænet)"
        if settings.loss == "aenet"
        else "error of the total energy (Cooper et al. 2020, eq. 3)"
    )
    weight = f"; copies weighted by {settings.copyweight:g}" if has_copies and settings.copyweight != 1 else ""
    stages = "".join(f", {beta:g} Å² from epoch {epoch} on" for epoch, beta in forces.schedule)
    beta = f"beta {forces.beta:g} Å²{stages}"
    if mode == "centred":
        what = (
            "energies, and the copies' energies relative to the mean of their "
            f"parent's copies (group-centred Taylor), {beta}"
        )
    elif problem.forces is not None:
        n_strain = totals.n_strains
        trained = (
            f"all forces ({totals.n_force_atoms} atoms)"
            if mode == "exact"
            else f"derivatives along {totals.n_directions - n_strain} directions"
        )
        what = f"energies and {trained}, {beta}" + (
            f"; {n_strain} virial components, weight {forces.virial:g}" if n_strain else ""
        )
    else:
        what = "energies" + (" and Taylor energies" if has_copies else "") + ", no forces"
    if forces.energyweight != 1:
        shown = ": their errors are shown, not trained on" if forces.energyweight == 0 else ""
        what += f"; energies weighted by {forces.energyweight:g}{shown}"
    return f"loss: ½ Σ (ΔE)², {loss}{weight}; in it: {what}"
