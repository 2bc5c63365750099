"""`python -m taylorfit train`: fit potentials to a training set."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import ERROR_KEYS, Errors, error_lines, validate
from ..checkpoint import checkpoint_path, fingerprint, load_checkpoint, save_checkpoint
from ..dataset import PackedDataset, Scaling, Split, pack, split_parents
from ..descriptor import same_functions
from ..engine import Lbfgs, NetworkTables, PotentialTables, available_threads, build_name
from ..errors import InputError
from ..formats.atomic_write import atomic_write, check_writable
from ..formats.energies_file import write_energies
from ..formats.rngstate import test_set_from_rngstate
from ..formats.structure_files import read_structure_files, require_species
from ..formats.train_input import TrainInput, describe_keywords, read_train_input
from ..formats.train_methods import format_method
from ..formats.trainset_binary import read_trainset
from ..methods import make_optimiser, method_notes, sampling_of
from ..network import Network
from ..networks import potentials_from, starting_networks, write_potentials
from ..progress import duration, progress
from ..structure import Structure
from ..taylor.provenance import parse_copy_name
from ..training import CentredTaylorLoss, EnergyLoss, Epoch, Training, check_same_species
from ..trainset import TrainingSet

DESCRIPTION = f"""\
Train ANN potentials on a training set of generate. Taylor copies in the training set, or
in the file that TAYLORSET names, are trained on like structures; train/test split and all
errors printed are of reference structures alone. Errors in eV/atom and eV/Å.

Example: python -m taylorfit train train.in --report train.json

Keywords of train.in:
{describe_keywords()}

Written: the potential files of NETWORKS (weights of the epoch with the smallest test
error), FILE.last (weights of the last epoch), and a checkpoint NAME.checkpoint.npz for
--resume. A file named STOP in the working directory ends the run after the epoch.

Keys of the report: epochs (list of epoch, train_mae, train_rmse, test_mae, test_rmse in
eV/atom, copies_rmse), best_epoch, n_train, n_test, n_copies, n_weights, memory_mb,
seconds, seconds_per_epoch, interrupted, status (finished, interrupted, patience, converged,
stuck, stopped), potentials, validation (best epoch),
validation_last, validation_history (list with epoch):
""" + "\n".join(f"  {key:22s} {text}" for key, text in ERROR_KEYS.items())

AENET_RESTART = "train.restart"
"""State of ænet's optimiser, which ænet loads and we do not need."""

AENET_STATE = "train.rngstate"
"""State of ænet's random generator; where it is, ænet (and so we) repeat its test set."""

MEMORY_FACTOR, MEMORY_BASE = 1.5, 90e6
"""Peak memory of a training: the file as read and as packed, and Python itself (bytes)."""

TABLE_ROWS = 50
"""About so many epochs are printed; the report has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="train.in", help="ænet-style input file")
    parser.add_argument("--resume", action="store_true", help="continue exactly from the checkpoint of this input file")
    parser.add_argument("--fresh", action="store_true", help="start from random weights even if potential files exist")
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="threads; overrides THREADS; 0: all cores")


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that is fixed before the first epoch."""

    settings: TrainInput
    threads: int
    main: TrainingSet
    split: Split
    scaling: Scaling
    train: PackedDataset
    test: PackedDataset | None
    networks: list[Network]
    validation: list[Structure]

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV."""
        return dict(zip(self.main.species, map(float, self.main.atomic_energies)))

    @property
    def memory(self) -> int:
        """Bytes of the packed data."""
        return self.train.features.nbytes + (self.test.features.nbytes if self.test else 0)

    def identity(self) -> str:
        """What a checkpoint must agree with."""
        s = self.settings
        return fingerprint(
            self.train.features, self.train.energy,
            *(() if self.test is None else (self.test.features, self.test.energy)),
            text=repr((s.loss, s.copyweight, s.forces, s.method, s.sampling, s.seed,
                       [n.layer_sizes + n.activations for n in self.networks],
                       self.train.names, [] if self.test is None else self.test.names)))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, print the table of epochs, write the potentials; return the report."""
    settings = read_train_input(arguments.input)
    threads = (settings.threads if arguments.threads is None else arguments.threads) or available_threads()
    for note in method_notes(settings.method, settings.sampling):
        print(note)
    for spec in settings.networks:
        check_writable(spec.file)
    checkpoint = checkpoint_path(arguments.input)
    if settings.checkpoint:
        check_writable(checkpoint)
    problem = _prepare(settings, arguments.input, threads, fresh=arguments.fresh, resume=arguments.resume)
    identity = problem.identity()

    tables = NetworkTables.from_networks(problem.networks)
    options = {"loss": settings.loss, "copy_weight": settings.copyweight,
               "energy_scale": problem.scaling.energy_scale, "threads": threads}
    start = np.concatenate([network.weights for network in problem.networks])
    optimiser = make_optimiser(settings.method, start, settings.sampling, settings.seed)
    if settings.forces.mode == "centred":
        loss: EnergyLoss = CentredTaylorLoss(problem.train, tables, beta=settings.forces.beta,
                                             energy_scale=problem.scaling.energy_scale, threads=threads)
    else:
        loss = EnergyLoss(problem.train, tables, **options)
    training = Training(
        loss,
        None if problem.test is None else EnergyLoss(problem.test, tables, **options),
        optimiser,
        validate=(lambda weights: _validate(problem, weights)) if problem.validation else None,
        validation_every=settings.validationevery)
    if arguments.resume:
        training.restore(load_checkpoint(checkpoint, identity))
        print(f"\nresumed from {checkpoint} at epoch {training.state.next_epoch - 1}")

    interrupted = _run_epochs(training, problem, checkpoint, identity)
    return _finish(training, problem, interrupted, checkpoint)


def _prepare(settings: TrainInput, input_file: str, threads: int, fresh: bool, resume: bool) -> Problem:
    """Read, split, normalise, and say what will be trained."""
    start = time.perf_counter()
    files = [settings.trainingset, *settings.taylorset]
    size = sum(Path(file).stat().st_size for file in files if Path(file).is_file())
    print(f"estimated memory: up to {(MEMORY_FACTOR * size + MEMORY_BASE) / 1e6:.0f} MB, from {size / 1e6:.0f} MB of training sets")
    sources = [read_trainset(file) for file in files]
    check_same_species(files, [source.species for source in sources])
    main = sources[0]
    for file, source in zip(files, sources):
        _check_same_setups(file, main, source)
    if settings.maxenergy <= main.energy_min:
        raise InputError("MAXENERGY drops every structure", file=input_file, value=settings.maxenergy,
                         expected=f"more than {main.energy_min:.6f} eV/atom, the lowest energy of {files[0]}")
    scaling = Scaling.of(main, settings.maxenergy if np.isfinite(settings.maxenergy) else None, file=files[0])
    if Path(AENET_RESTART).exists():
        print(f"note: {AENET_RESTART} of ænet is not used; training continues from the networks, with a new optimiser")
    repeated = Path(AENET_STATE).exists()
    if repeated:
        print(f"note: the test set is ænet's, from {AENET_STATE} in this folder (remove the file to draw one with SEED)")
    split = split_parents(
        sources, scaling, settings.testpercent, np.random.default_rng([settings.seed, 1]), files,
        (lambda n: test_set_from_rngstate(AENET_STATE, n, settings.testpercent)) if repeated else None)
    networks, notes = starting_networks(settings.networks, main, np.random.default_rng([settings.seed, 2]), fresh,
                                        resume, listed_in=input_file)
    centred = settings.forces.mode == "centred"
    chosen = split.train
    if settings.forces.mode == "energy":
        chosen = [(k, s) for k, s in chosen if parse_copy_name(sources[k].names[s]) is None]
    train = pack(sources, chosen, scaling, whole_groups=centred)
    if centred:
        _check_centred(settings, train, input_file)
    test = pack(sources, split.test, scaling) if split.test else None
    validation = list(read_structure_files([(entry.path, entry.line) for entry in settings.validation],
                                           listed_in=input_file, require_energy=True)) if settings.validation else []
    for structure in validation:
        require_species(structure, main.species)
    problem = Problem(settings, threads, main, split, scaling, train, test, networks, validation)

    print(f"training set {', '.join(files)}: species {' '.join(main.species)}")
    print(f"  scaling factor {scaling.energy_scale:.6f} per eV, shift {scaling.energy_shift:.6f} eV/atom")
    copies = int(train.is_copy.sum())
    print(f"  {train.n_structures - copies} training structures, {copies} Taylor copies, {len(split.test)} test structures"
          + (f", {split.n_unused_copies} copies of test structures left out" if split.n_unused_copies else "")
          + (f", {split.n_dropped} structures above MAXENERGY dropped" if split.n_dropped else ""))
    if validation:
        forces = sum(structure.forces is not None for structure in validation)
        print(f"  {len(validation)} validation structures, {forces} with forces")
    print("networks")
    for note in notes:
        print(f"  {note}")
    loss = ("error of the energy per atom, each structure alike (ænet)" if settings.loss == "aenet"
            else "error of the total energy (Cooper et al. 2020, eq. 3)")
    weight = f"; copies weighted by {settings.copyweight:g}" if copies and settings.copyweight != 1 else ""
    if centred:
        print(f"loss: ½ Σ (ΔE)², {loss}; in it: energies, and the copies' energies relative to the mean of their "
              f"parent's copies (group-centred Taylor), beta {settings.forces.beta:g} Å²")
    else:
        print(f"loss: ½ Σ (ΔE)², {loss}{weight}; in it: energies"
              + (" and Taylor energies, no forces" if copies else ", no forces"))
    print(f"method: {settings.method.title} ({format_method(settings.method)}), "
          f"{sampling_of(settings.method, settings.sampling)}; {threads} thread{'s' if threads > 1 else ''}, engine {build_name()}")
    parts = min(128, len(train.panel_width)) * sum(network.n_weights for network in networks) * 8
    print(f"memory: {(problem.memory + parts) / 1e6:.0f} MB for {int(train.n_atoms.sum())} atoms; "
          f"prepared in {duration(time.perf_counter() - start)}")
    return problem


def _check_centred(settings: TrainInput, train: PackedDataset, input_file: str) -> None:
    """Refuse what the group-centred loss cannot do."""
    problems = {
        "FORCES mode=centred needs Taylor copies": (not train.is_copy.any(), "a TAYLORSET, or copies in TRAININGSET"),
        "FORCES mode=centred needs at least two copies of a structure": (
            bool((np.bincount(train.group)[1:] == 1).any()), "DERIVATIVES with fraction=2 or more"),
        "FORCES mode=centred works with METHOD bfgs only": (settings.method.name != "bfgs", "METHOD bfgs"),
        "FORCES mode=centred weighs the copies by beta": (settings.copyweight != 1, "no COPYWEIGHT"),
        "FORCES mode=centred is defined for energies per atom": (settings.loss != "aenet", "LOSS aenet"),
    }
    for message, (wrong, expected) in problems.items():
        if wrong:
            raise InputError(message, file=input_file, expected=expected)


def _check_same_setups(file: str, main: TrainingSet, other: TrainingSet) -> None:
    """The descriptors of all files must be the same functions."""
    for first, second in zip(main.setups or (), other.setups or ()):
        if not same_functions(first, second):
            raise InputError(f"the descriptor of {first.species} is not that of TRAININGSET", file=file,
                             expected="training sets of one generate run")


def _run_epochs(training: Training, problem: Problem, checkpoint: Path, identity: str) -> bool:
    """Run to the end, printing epochs and writing checkpoints; return whether the user interrupted."""
    settings, state = problem.settings, training.state
    n = settings.iterations
    first = state.next_epoch
    every = 1 if settings.verbosity == "high" else max(1, n // TABLE_ROWS)
    if problem.validation and settings.validationevery and every > 1:
        # Rows fall on epochs with validation errors
        every = -(-every // settings.validationevery) * settings.validationevery
    quiet = settings.verbosity == "low"
    if not quiet:
        if n - first > 10:
            _estimate_time(training, n - first + 1)
        extra = ("  |--VALIDATION: E RMSE, F MAE, mean |F − F_ref|--|" if problem.validation else "")
        print(f"\n        |-----TRAIN (eV/atom)------|  |------TEST (eV/atom)------|{extra}")
        print(" epoch          MAE         RMSE            MAE         RMSE"
              + ("         eV/atom       eV/Å    eV/Å" if problem.validation else ""))
    interrupted = False
    saved = first - 1
    shown = -1
    try:
        with progress("train", n, "epochs", quiet=quiet) as update:
            for epoch in training.run(n, settings.patience):
                if not quiet and (epoch.epoch % every == 0 or epoch.epoch == n):
                    print(_epoch_line(epoch, state.validation), flush=True)
                    shown = epoch.epoch
                update(epoch.epoch, f"train {1e3 * epoch.train_rmse:.2f}, test {1e3 * epoch.test_rmse:.2f} meV/atom"
                       + _force_note(state.validation))
                if settings.checkpoint and epoch.epoch - saved >= settings.checkpoint:
                    save_checkpoint(checkpoint, training.arrays(), identity)
                    saved = epoch.epoch
                if Path("STOP").exists():
                    print("file STOP found: stopping after this epoch")
                    break
    except KeyboardInterrupt:
        interrupted = True
        if not state.history:
            raise
        print(f"\ninterrupted after epoch {state.history[-1].epoch}")
    if state.history and state.history[-1].epoch != shown and not quiet:
        print(_epoch_line(state.history[-1], state.validation))
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
    print(f"estimated time: {duration(each * n_epochs)} for {n_epochs} epochs, {1e3 * each:.1f} ms each"
          + ("" if training.optimiser.full_batch else " (one loss and gradient; a pass of this method takes longer)"), flush=True)


def _epoch_line(epoch: Epoch, validation: list[tuple[int, Errors]]) -> str:
    """A line of the table in ænet's layout; validation errors where this epoch has them."""
    line = (f"{epoch.epoch:6d} {epoch.train_mae:12.6E} {epoch.train_rmse:12.6E}   "
            f"{epoch.test_mae:12.6E} {epoch.test_rmse:12.6E} <")
    if not validation or validation[-1][0] != epoch.epoch:
        return line
    errors = validation[-1][1]
    energy = "" if errors.energy_rmse is None else f"   {errors.energy_rmse:12.6E}"
    forces = "" if errors.force_mae is None else f"    {errors.force_mae:.4f}  {errors.force_error_norm_mean:.4f}"
    return line + energy + forces


def _force_note(validation: list[tuple[int, Errors]]) -> str:
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
    reasons = {"converged": "the gradient is zero to the tolerance",
               "stuck": "no further descent is possible within rounding",
               "patience": f"no better test error for {settings.patience} epochs (PATIENCE)"}
    if status in reasons:
        print(f"stopped at epoch {last.epoch}: {reasons[status]}")
    criterion = "test" if training.test else "training"
    print(f"best epoch {best.epoch} (smallest {criterion} RMSE): {_rmse_text(best, training)}; "
          f"last epoch {last.epoch}: {_rmse_text(last, training)}")
    per_epoch = state.seconds / len(state.history)
    print(f"{len(state.history)} epochs in {duration(state.seconds)}, {1e3 * per_epoch:.1f} ms each")

    validation: dict[str, Any] = {"validation": None, "validation_last": None}
    if problem.validation:
        for key, weights, title in (("validation", state.best_weights, "best"), ("validation_last", state.last_weights, "last")):
            errors = _validate(problem, weights)
            validation[key] = errors.as_dict()
            print(f"validation, {title} epoch:")
            for line in error_lines(errors):
                print(f"  {line}")
    print(f"potentials: {' '.join(files)} (best), the same with .last"
          + (f"; checkpoint {checkpoint}" if settings.checkpoint else ""))
    if settings.save_energies:
        _save_energies(training, problem)
    if settings.timing:
        with atomic_write("train.time") as stream:
            stream.write(f"# total time (s)  epochs  seconds per epoch\n{state.seconds:.3f} {len(state.history)} {per_epoch:.6f}\n")
    copies = int(problem.train.is_copy.sum())
    return {
        # Without test structures there is no test error (ænet prints 0 and NaN)
        "epochs": [asdict(epoch) | ({} if training.test else {"test_mae": None, "test_rmse": None})
                   for epoch in state.history],
        "best_epoch": best.epoch, "n_train": problem.train.n_structures - copies, "n_test": len(problem.split.test),
        "n_copies": copies, "n_weights": len(state.best_weights), "memory_mb": problem.memory / 1e6,
        "seconds": state.seconds, "seconds_per_epoch": per_epoch, "status": status, "interrupted": interrupted,
        "potentials": files, **validation,
        "validation_history": [{"epoch": epoch, **errors.as_dict()} for epoch, errors in state.validation],
        "exit_code": 130 if interrupted else 0,
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
    return f"train {1e3 * epoch.train_rmse:.3f}{test} meV/atom"


def _save_energies(training: Training, problem: Problem) -> None:
    """Write energies.train and energies.test of the best weights, reference structures alone."""
    weights = training.state.best_weights
    for name, loss in (("energies.train.0", training.train), ("energies.test.0", training.test)):
        if loss is None:
            continue
        data = loss.data
        error = loss(weights, with_gradient=False)[1]
        keep = ~data.is_copy
        reference = data.energy / problem.scaling.energy_scale + data.n_atoms * problem.scaling.energy_shift
        write_energies(name, problem.main.species, [n for n, k in zip(data.names, keep) if k], data.atom_count[keep],
                       reference[keep], error[keep], problem.scaling.energy_scale)
