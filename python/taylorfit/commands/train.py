"""`taylorfit train`: fit potentials to a training set."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.errors import ERROR_KEYS, Errors, error_lines, validate
from ..engine import Lbfgs, PotentialTables, available_threads
from ..formats.aenet.energies_file import write_energies
from ..settings.forces import WITH_BETA
from ..settings.train import TrainInput, describe_keywords, read_train_input
from ..tools.atomic_write import atomic_write, check_writable
from ..tools.interrupts import INTERRUPTED, STOP_FILE, stop_requested
from ..tools.progress import duration, progress
from ..training.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from ..training.committee import train_committee
from ..training.loop import BOTH, Epoch, Training
from ..training.networks import potentials_from, write_potentials
from ..training.optimisers import make_optimiser, method_notes
from ..training.prepare import Problem, prepare

DESCRIPTION = f"""\
Train ANN potentials on a training set of generate: on energies alone, on Taylor copies in
the training set or in the file that TAYLORSET names, or on forces themselves (FORCES).
Train/test split and all errors printed are of reference structures alone. Errors in eV/atom
and eV/Å.

Example: taylorfit train train.in --report train.json

Keywords of train.in:
{describe_keywords()}

Written: the potential files of NETWORKS (weights of the best epoch, see BEST), FILE.last
(weights of the last epoch), and a checkpoint NAME.checkpoint.npz for --resume. A file named STOP in the
working directory ends the run after the epoch. Potential files that are there already are trained further:
their weights are where the run starts, unless --fresh is given.

Errors of the training forces are those of all training structures with mode=exact, else of a sample.

COMMITTEE n (or --committee n) trains n networks from different random weights, as many at a
time as there are threads. What one training writes is in FOLDER/01, FOLDER/02, … for each, with
its log; the potentials of the best also go to the files of NETWORKS. Member 01 is the training
without COMMITTEE.

Keys of the report: epochs (list of epoch, train_mae, train_rmse, test_mae, test_rmse in
eV/atom, copies_rmse, train_force_mae, train_force_rmse, test_force_mae, test_force_rmse in
eV/Å per component), best_epoch, criterion, best_value (what the best
epoch has least of, eV²/atom²), mode, settings, n_train, n_test, n_copies,
n_force_atoms (atoms whose forces are trained on), n_weights, memory_mb,
seconds, seconds_per_epoch, interrupted, status (finished, interrupted, patience, converged,
stuck, stopped), potentials, validation (best epoch),
validation_last, validation_history (list with epoch). With COMMITTEE these are of the best
member, and committee holds n, split, members (their reports, with member and folder),
best_member, criterion, failed (list of member, error), and best, median, spread of epochs,
best_epoch, train_rmse, test_rmse, seconds and the validation errors:
""" + "\n".join(f"  {key:22s} {text}" for key, text in ERROR_KEYS.items())

TABLE_ROWS = 50
"""About so many epochs are printed; the report has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="train.in", help="ænet-style input file")
    parser.add_argument("--resume", action="store_true", help="continue exactly from the checkpoint of this input file")
    parser.add_argument("--fresh", action="store_true", help="start from random weights even if potential files exist")
    parser.add_argument(
        "--committee",
        type=int,
        default=None,
        metavar="N",
        help="train N networks from different random weights; overrides COMMITTEE",
    )
    parser.add_argument(
        "--threads", type=int, default=None, metavar="N", help="threads; overrides THREADS; 0: all cores"
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, print the table of epochs, write the potentials; return the report."""
    settings = read_train_input(arguments.input)
    if arguments.committee is not None:
        settings = replace(settings, committee=replace(settings.committee, n=arguments.committee))
    threads = (settings.threads if arguments.threads is None else arguments.threads) or available_threads()
    for note in method_notes(settings.method, settings.sampling):
        print(note)
    for spec in settings.networks:
        check_writable(spec.file)
    if settings.committee.n > 1:
        return train_committee(settings, arguments.input, threads, fit, fresh=arguments.fresh, resume=arguments.resume)
    checkpoint = checkpoint_path(arguments.input)
    if settings.checkpoint:
        check_writable(checkpoint)
    problem = prepare(settings, arguments.input, threads, fresh=arguments.fresh, resume=arguments.resume)
    return fit(problem, checkpoint, problem.identity(), arguments.resume)


def fit(
    problem: Problem, checkpoint: Path, identity: str, resume: bool = False, show: Callable[..., Any] = progress
) -> dict[str, Any]:
    """Train from the networks of `problem`, or `resume` from the checkpoint; return the report.

    Parameters
    ----------
    checkpoint
        file; what has no name of its own in the settings is written beside it
    identity
        what the checkpoint must agree with
    show
        shows progress, like `progress.progress`
    """
    settings = problem.settings
    start = np.concatenate([network.weights for network in problem.networks])
    optimiser = make_optimiser(settings.method, start, settings.sampling, settings.seed)
    train, test, checks = problem.losses()
    training = Training(
        train,
        test,
        optimiser,
        validate=(lambda weights: _validate(problem, weights)) if problem.validation else None,
        validation_every=settings.validationevery,
        checks=checks,
        beta_at=settings.forces.beta_at if problem.mode in WITH_BETA else None,
        criterion=problem.criterion,
        criterion_beta=settings.forces.final_beta,
    )
    if resume:
        training.restore(load_checkpoint(checkpoint, identity))
        print(f"\nresumed from {checkpoint} at epoch {training.state.next_epoch - 1}")

    interrupted = _run_epochs(training, problem, checkpoint, identity, show)
    return _finish(training, problem, interrupted, checkpoint)


def _run_epochs(
    training: Training, problem: Problem, checkpoint: Path, identity: str, show: Callable[..., Any]
) -> bool:
    """Run to the end, printing epochs and writing checkpoints; return whether the user interrupted."""
    settings, state = problem.settings, training.state
    n = settings.iterations
    first = state.next_epoch
    every = 1 if settings.verbosity == "high" else max(1, n // TABLE_ROWS)
    with_forces = problem.test_forces is not None or problem.forces is not None
    if (problem.validation or with_forces) and settings.validationevery and every > 1:
        # Rows fall on epochs with validation and force errors
        every = -(-every // settings.validationevery) * settings.validationevery
    quiet = settings.verbosity == "low"
    if not quiet:
        if n - first > 10:
            _estimate_time(training, n - first + 1)
        extra = ("  |F RMSE (eV/Å)|" if with_forces else "") + (
            "  |--VALIDATION: E RMSE, F MAE, mean |F − F_ref|--|" if problem.validation else ""
        )
        print(f"\n        |-----TRAIN (eV/atom)------|  |------TEST (eV/atom)------|{extra}")
        print(
            " epoch          MAE         RMSE            MAE         RMSE"
            + ("      train    test" if with_forces else "")
            + ("         eV/atom       eV/Å    eV/Å" if problem.validation else "")
        )
    interrupted = False
    saved = first - 1
    shown = -1
    try:
        with show("train", n, "epochs", quiet=quiet) as update:
            for epoch in training.run(n, settings.patience):
                if not quiet and (epoch.epoch % every == 0 or epoch.epoch == n):
                    print(_epoch_line(epoch, state.validation, with_forces), flush=True)
                    shown = epoch.epoch
                update(
                    epoch.epoch,
                    f"train {1e3 * epoch.train_rmse:.2f}, test {1e3 * epoch.test_rmse:.2f} meV/atom"
                    + _force_note(epoch, state.validation),
                )
                if settings.checkpoint and epoch.epoch - saved >= settings.checkpoint:
                    save_checkpoint(checkpoint, training.arrays(), identity)
                    saved = epoch.epoch
                if stop_requested():
                    print(f"file {STOP_FILE} found: stopping after this epoch")
                    break
    except KeyboardInterrupt:
        interrupted = True
        if not state.history:
            raise
        print(f"\ninterrupted after epoch {state.history[-1].epoch}")
    if state.history and state.history[-1].epoch != shown and not quiet:
        print(_epoch_line(state.history[-1], state.validation, with_forces))
    if settings.checkpoint and state.history:
        save_checkpoint(checkpoint, training.arrays(), identity)
    return interrupted


def _estimate_time(training: Training, n_epochs: int) -> None:
    """Say how long the epochs will take, from one evaluation of the loss; validation comes on top."""
    weights = training.optimiser.weights
    training.train(weights, with_gradient=False)  # warms the caches
    start = time.perf_counter()
    training.train(weights)
    each = time.perf_counter() - start
    print(
        f"estimated time: {duration(each * n_epochs)} for {n_epochs} epochs, {1e3 * each:.1f} ms each"
        + ("" if training.optimiser.full_batch else " (one loss and gradient; a pass of this method takes longer)"),
        flush=True,
    )


def _epoch_line(epoch: Epoch, validation: list[tuple[int, Errors]], with_forces: bool) -> str:
    """A line of the table in ænet's layout; force and validation errors where this epoch has them."""
    line = (
        f"{epoch.epoch:6d} {epoch.train_mae:12.6E} {epoch.train_rmse:12.6E}   "
        f"{epoch.test_mae:12.6E} {epoch.test_rmse:12.6E} <"
    )
    if with_forces:
        line += "".join(
            "       -" if value is None else f"  {value:6.4f}"
            for value in (epoch.train_force_rmse, epoch.test_force_rmse)
        )
    if not validation or validation[-1][0] != epoch.epoch:
        return line
    errors = validation[-1][1]
    energy = "" if errors.energy_rmse is None else f"   {errors.energy_rmse:12.6E}"
    forces = "" if errors.force_mae is None else f"    {errors.force_mae:.4f}  {errors.force_error_norm_mean:.4f}"
    return line + energy + forces


def _force_note(epoch: Epoch, validation: list[tuple[int, Errors]]) -> str:
    if epoch.test_force_rmse is not None:
        return f", test forces {epoch.test_force_rmse:.3f} eV/Å"
    if not validation or validation[-1][1].force_mae is None:
        return ""
    return f", validation forces {validation[-1][1].force_mae:.3f} eV/Å"


def _potential(problem: Problem, weights: np.ndarray) -> PotentialTables:
    potentials = potentials_from(weights, problem.networks, problem.main, problem.settings.trainingset, problem.scaling)
    return PotentialTables.from_potentials(potentials)


def _validate(problem: Problem, weights: np.ndarray) -> Errors:
    return validate(problem.validation, _potential(problem, weights), problem.atomic_energies, problem.threads)


def _finish(training: Training, problem: Problem, interrupted: bool, checkpoint: Path) -> dict[str, Any]:
    """Write potentials and energies, evaluate the validation structures, print the summary."""
    settings, state = problem.settings, training.state
    best = state.history[state.best_epoch]
    last = state.history[-1]
    files: list[str] = []
    for weights, suffix in ((state.last_weights, ".last"), (state.best_weights, "")):
        potentials = potentials_from(weights, problem.networks, problem.main, settings.trainingset, problem.scaling)
        files = write_potentials(potentials, settings.networks, suffix)

    print()
    status = _status(training, settings, interrupted)
    reasons = {
        "converged": "the gradient is zero to the tolerance",
        "stuck": "no further descent is possible within rounding",
        "patience": f"no better epoch for {settings.patience} epochs (PATIENCE)",
    }
    if status in reasons:
        print(f"stopped at epoch {last.epoch}: {reasons[status]}")
    criterion = "test" if training.test else "training"
    what = f"{criterion} error of energies and forces" if training.criterion == BOTH else f"{criterion} RMSE"
    print(
        f"best epoch {best.epoch} (smallest {what}): {_rmse_text(best, training)}; "
        f"last epoch {last.epoch}: {_rmse_text(last, training)}"
    )
    per_epoch = state.seconds / len(state.history)
    print(f"{len(state.history)} epochs in {duration(state.seconds)}, {1e3 * per_epoch:.1f} ms each")

    validation: dict[str, Any] = {"validation": None, "validation_last": None}
    if problem.validation:
        for key, weights, title in (
            ("validation", state.best_weights, "best"),
            ("validation_last", state.last_weights, "last"),
        ):
            if key == "validation" or last is not best:
                errors = _validate(problem, weights)
            validation[key] = errors.as_dict()
            print(f"validation, {title} epoch:")
            for line in error_lines(errors):
                print(f"  {line}")
    print(
        f"potentials: {' '.join(files)} (best), the same with .last"
        + (f"; checkpoint {checkpoint}" if settings.checkpoint else "")
    )
    if settings.save_energies:
        _save_energies(training, problem, checkpoint.parent)
    if settings.timing:
        with atomic_write(checkpoint.parent / "train.time") as stream:
            stream.write(
                "# total time (s)  epochs  seconds per epoch\n"
                f"{state.seconds:.3f} {len(state.history)} {per_epoch:.6f}\n"
            )
    copies = int(problem.train.is_copy.sum())
    return {
        # Without test structures there is no test error (ænet prints 0 and NaN)
        "epochs": [
            asdict(epoch) | ({} if training.test else {"test_mae": None, "test_rmse": None}) for epoch in state.history
        ],
        "best_epoch": best.epoch,
        "criterion": training.criterion,
        "best_value": training.badness(best),
        "mode": problem.mode,
        "settings": _settings(problem),
        "n_train": problem.train.n_structures - copies,
        "n_test": len(problem.split.test),
        "n_copies": copies,
        "n_force_atoms": 0 if problem.forces is None else int(problem.forces.trained_atoms().sum()),
        "n_weights": len(state.best_weights),
        "memory_mb": problem.memory / 1e6,
        "seconds": state.seconds,
        "seconds_per_epoch": per_epoch,
        "status": status,
        "interrupted": interrupted,
        "potentials": files,
        **validation,
        "validation_history": [{"epoch": epoch, **errors.as_dict()} for epoch, errors in state.validation],
        "exit_code": INTERRUPTED if interrupted else 0,
    }


def _settings(problem: Problem) -> dict[str, Any]:
    """What a reader of the report wants to know of train.in and the data."""
    s, f = problem.settings, problem.settings.forces
    return {
        "trainingset": s.trainingset,
        "taylorset": list(s.taylorset),
        "species": list(problem.main.species),
        "networks": {
            spec.symbol: "-".join(map(str, network.layer_sizes))
            for spec, network in zip(
                sorted(s.networks, key=lambda spec: problem.main.species.index(spec.symbol)), problem.networks
            )
        },
        "method": s.method.name,
        "loss": s.loss,
        "iterations": s.iterations,
        "seed": s.seed,
        "testpercent": s.testpercent,
        "threads": problem.threads,
        "n_atoms": int(problem.train.n_atoms.sum()),
        "n_validation": len(problem.validation),
        "beta_A2": f.beta if problem.mode in WITH_BETA else None,
        "directions": f.directions if problem.mode == "directional" else None,
    }


def _status(training: Training, settings: TrainInput, interrupted: bool) -> str:
    """How the training ended: finished, interrupted, patience, converged, stuck, or stopped (by the file STOP)."""
    state = training.state
    last = state.history[-1].epoch
    if interrupted:
        return "interrupted"
    if state.status != Lbfgs.RUNNING:
        return state.status
    if last >= settings.iterations:
        return "finished"
    return "patience" if settings.patience and last - state.best_epoch >= settings.patience else "stopped"


def _rmse_text(epoch: Epoch, training: Training) -> str:
    test = f", test {1e3 * epoch.test_rmse:.3f}" if training.test else ""
    forces = "".join(
        f", {name} forces {value:.4f}"
        for name, value in (("train", epoch.train_force_rmse), ("test", epoch.test_force_rmse))
        if value is not None
    )
    return f"train {1e3 * epoch.train_rmse:.3f}{test} meV/atom" + (f"{forces} eV/Å" if forces else "")


def _save_energies(training: Training, problem: Problem, folder: Path) -> None:
    """Write energies.train and energies.test of the best weights, reference structures alone, into `folder`."""
    weights = training.state.best_weights
    for name, loss in (("energies.train.0", training.train), ("energies.test.0", training.test)):
        if loss is None:
            continue
        data = loss.data
        error = loss(weights, with_gradient=False)[1]
        keep = ~data.is_copy
        reference = data.energy / problem.scaling.energy_scale + data.n_atoms * problem.scaling.energy_shift
        write_energies(
            folder / name,
            problem.main.species,
            [n for n, k in zip(data.names, keep) if k],
            data.atom_count[keep],
            reference[keep],
            error[keep],
            problem.scaling.energy_scale,
        )
