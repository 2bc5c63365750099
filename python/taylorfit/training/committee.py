"""A committee: networks trained alike from different random weights, in parallel processes."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TaylorfitError
from ..settings.train import TrainInput
from ..tools.atomic_write import atomic_write, check_writable
from ..tools.interrupts import INTERRUPTED, STOP_FILE
from ..tools.parallel import Job, Outcome, logged, run_jobs
from ..tools.progress import duration, progress_of_jobs, told_progress
from ..tools.sharing import SharedValue, share
from .checkpoint import checkpoint_path, fingerprint, require_checkpoint
from .networks import starting_networks, weights_generator
from .prepare import Problem, prepare

Fit = Callable[..., dict[str, Any]]
"""(problem, checkpoint, identity, resume, progress) → report: trains, prints, writes checkpoint and potentials;
a function of a module."""

CRITERION = "that with the smallest error by which best epochs are chosen (BEST)"
"""What makes a member the best."""

COLUMNS: tuple[tuple[str, str, str, float, str], ...] = (
    ("epochs", "", "epochs", 1.0, "d"),
    ("best", "epoch", "best_epoch", 1.0, "d"),
    ("train RMSE", "meV/atom", "train_rmse", 1e3, ".3f"),
    ("test RMSE", "meV/atom", "test_rmse", 1e3, ".3f"),
    ("test F RMSE", "eV/Å", "test_force_rmse", 1.0, ".4f"),
    ("val. E RMSE", "meV/atom", "energy_rmse", 1e3, ".3f"),
    ("force MAE", "eV/Å", "force_mae", 1.0, ".4f"),
    ("force RMSE", "eV/Å", "force_rmse", 1.0, ".4f"),
    ("|F − F_ref|", "eV/Å", "force_error_norm_mean", 1.0, ".4f"),
    ("time", "s", "seconds", 1.0, ".1f"),
)
"""Table of members: two lines of title, key of `member_errors`, factor to the unit of the title, format."""


@dataclass(frozen=True)
class MemberTask:
    """What the process of a member needs."""

    settings: TrainInput
    """With the potential files of the member."""
    input_file: str
    member: int
    """From 0."""
    identity: str
    """Of the shared problem."""
    problem: SharedValue | None
    """None if every member prepares its own."""
    fresh: bool
    resume: bool

    @property
    def folder(self) -> Path:
        """Where everything of the member is written."""
        return member_folder(self.settings, self.member)


def member_folder(settings: TrainInput, member: int) -> Path:
    """Folder of a member (from 0): committee/01, committee/02 and so on."""
    return Path(settings.committee.folder) / f"{member + 1:02d}"


def member_settings(settings: TrainInput, member: int) -> TrainInput:
    """The settings with the potential files of a member (from 0)."""
    folder = member_folder(settings, member)
    return replace(
        settings, networks=tuple(replace(spec, file=str(folder / Path(spec.file).name)) for spec in settings.networks)
    )


def train_committee(
    settings: TrainInput, input_file: str, threads: int, fit: Fit, *, fresh: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Train all members, as many at a time as there are threads; return the report.

    The data are read and packed once, and all processes map the same copy (with ``split=own`` every member
    prepares its own).  Each member starts from its own random weights and is otherwise an ordinary training;
    its result does not depend on the number of threads, nor on what runs beside it.  What it prints goes to a
    file in its folder.  The potentials of the best are copied to the files of NETWORKS.

    Parameters
    ----------
    settings
        COMMITTEE with at least two members
    fit
        trains from a problem
    resume
        continue the members that have a checkpoint; the others start

    Returns
    -------
    dict
        The report of the best member, and under ``committee`` all others (see `summary`).

    Raises
    ------
    InputError
        if something cannot be written, there is nothing to resume, or a file STOP was there.
    TaylorfitError
        if no member could be trained.
    KeyboardInterrupt
        if the user interrupts before there is anything to report.
    """
    n = settings.committee.n
    checkpoints = [member_folder(settings, k) / checkpoint_path(input_file) for k in range(n)]
    if resume and not any(path.exists() for path in checkpoints):
        require_checkpoint(checkpoints[0])
    for k in range(n):
        member_folder(settings, k).mkdir(parents=True, exist_ok=True)
        for spec in member_settings(settings, k).networks:
            check_writable(spec.file)
    shared = settings.committee.split == "same"
    with tempfile.TemporaryDirectory(prefix="taylorfit-committee-") as folder:
        problem = prepare(member_settings(settings, 0), input_file, threads, fresh, resume)
        identity, value = problem.identity(), share(_light(problem), Path(folder) / "problem") if shared else None
        # From here on the shared copy is the only one
        del problem
        tasks = [
            MemberTask(
                member_settings(settings, k),
                input_file,
                k,
                identity if shared else "",
                value,
                fresh,
                resume and checkpoints[k].exists(),
            )
            for k in range(n)
        ]
        print(
            f"\ncommittee of {n}, {min(n, threads)} at a time: {tasks[0].folder} … {tasks[-1].folder}, each with "
            f"its own seed{' and test structures' if not shared else ''}; log of each in "
            f"{_log(tasks[0]).name}",
            flush=True,
        )
        _note_strangers(settings)
        if not resume:
            # What an earlier run left of a member that is not begun would be resumed as if it were of this one
            for path in checkpoints:
                path.unlink(missing_ok=True)
        outcomes, interrupted = _run(settings, tasks, fit, threads)
    reports = {int(outcome.name) - 1: outcome.result for outcome in outcomes if outcome.result is not None}
    errors = {outcome.name: outcome.error for outcome in outcomes if outcome.error is not None}
    if not reports:
        if interrupted:
            raise KeyboardInterrupt
        if not errors:
            raise InputError("no member was begun", file=STOP_FILE, expected="no such file")
        name, error = next(iter(errors.items()))
        raise TaylorfitError(f"no member could be trained; member {name}: {error}")
    return _report(settings, reports, errors, interrupted)


def _light(problem: Problem) -> Problem:
    """The problem without the raw descriptors, which are in the packed data."""
    none = np.zeros(0)
    main = replace(problem.main, descriptors=none, positions=none.reshape(0, 3), forces=none.reshape(0, 3))
    return replace(problem, main=main)


def _run(settings: TrainInput, tasks: Sequence[MemberTask], fit: Fit, threads: int) -> tuple[list[Outcome], bool]:
    """Run the members with progress; say how each ended."""
    jobs = [Job(task.folder.name, _train_member, (task, fit)) for task in tasks]
    quiet = settings.verbosity == "low"
    start = time.perf_counter()
    with progress_of_jobs("committee", len(jobs), settings.iterations, "epochs", quiet=quiet) as bars:

        def ended(outcome: Outcome) -> None:
            bars.end(outcome.name)
            if outcome.error is not None:
                print(f"taylorfit: member {outcome.name}: {outcome.error}", file=sys.stderr, flush=True)
            elif outcome.result is not None and not quiet:
                print(f"member {outcome.name} {_in_words(outcome.result)}", flush=True)

        outcomes, interrupted = run_jobs(jobs, threads, told=lambda name, told: bars.update(name, *told), ended=ended)
    if not quiet:
        print(f"{duration(time.perf_counter() - start)} for all members")
    return outcomes, interrupted


def _in_words(report: Mapping[str, Any]) -> str:
    last = report["epochs"][-1]["epoch"]
    errors = member_errors(report)
    test = "" if errors["test_rmse"] is None else f", test {1e3 * errors['test_rmse']:.3f}"
    return (
        f"{report['status']} at epoch {last} in {duration(report['seconds'])}: best epoch {report['best_epoch']}, "
        f"train {1e3 * errors['train_rmse']:.3f}{test} meV/atom"
    )


def _train_member(task: MemberTask, fit: Fit, *, threads: int, tell: Callable[[Any], None]) -> dict[str, Any]:
    """Train one member in a process of its own; return its report."""
    settings = task.settings
    with logged(_log(task), append=task.resume):
        if task.problem is None:
            problem = prepare(settings, task.input_file, threads, task.fresh, task.resume, task.member)
        else:
            problem = task.problem.load()
            networks, notes = starting_networks(
                settings.networks,
                problem.main,
                weights_generator(settings.seed, task.member),
                task.fresh,
                task.resume,
                listed_in=task.input_file,
            )
            problem = replace(problem, settings=settings, networks=networks, threads=threads)
            print("\n".join(notes))
        identity = fingerprint(text=f"{task.identity or problem.identity()} member {task.member}")
        return fit(
            problem,
            task.folder / checkpoint_path(task.input_file),
            identity,
            task.resume,
            lambda *arguments, **options: told_progress(tell),
        )


def _log(task: MemberTask) -> Path:
    return task.folder / f"{Path(task.input_file).stem}.log"


def _note_strangers(settings: TrainInput) -> None:
    """Point out members of an earlier, larger committee: they would be taken for members of this one."""
    names = {member_folder(settings, k).name for k in range(settings.committee.n)}
    strangers = sorted(
        path.name
        for path in Path(settings.committee.folder).iterdir()
        if path.is_dir() and path.name.isdigit() and path.name not in names
    )
    if strangers:
        print(f"note: {settings.committee.folder} also holds {' '.join(strangers)}, not of this committee")


def best_epoch_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of the best epoch in the report of a training."""
    return next(epoch for epoch in report["epochs"] if epoch["epoch"] == report["best_epoch"])


def member_errors(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of a member: numbers of epochs, errors at the best epoch (eV/atom, eV/Å), seconds.

    None where there are no test or validation structures.
    """
    best = best_epoch_of(report)
    validation = report["validation"] or {}
    return {
        "epochs": report["epochs"][-1]["epoch"],
        "best_epoch": report["best_epoch"],
        "best_value": report["best_value"],
        **{key: best[key] for key in ("train_rmse", "test_rmse", "test_force_rmse")},
        **{key: validation.get(key) for key in ("energy_rmse", "force_mae", "force_rmse", "force_error_norm_mean")},
        "seconds": report["seconds"],
    }


def _criterion(errors: Mapping[str, Any]) -> float:
    """See `CRITERION`; a training that broke down is never the best."""
    value = errors["best_value"]
    return value if np.isfinite(value) else np.inf


def summary(errors: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum a committee up.

    Parameters
    ----------
    errors
        member, from 1 → `member_errors`

    Returns
    -------
    dict
        best_member, criterion, and best (the numbers of that member), median and spread (standard deviation of
        the members, with n − 1) of each number; None where no member has it.
    """
    best = min(errors, key=lambda k: (_criterion(errors[k]), k))
    columns = {key: [e[key] for e in errors.values() if e[key] is not None] for key in errors[best]}
    return {
        "best_member": best,
        "criterion": CRITERION,
        "best": dict(errors[best]),
        "median": {key: float(np.median(values)) if values else None for key, values in columns.items()},
        "spread": {key: float(np.std(values, ddof=1)) if len(values) > 1 else None for key, values in columns.items()},
    }


def table_lines(errors: Mapping[int, Mapping[str, Any]], found: Mapping[str, Any]) -> list[str]:
    """The table of a committee, from `member_errors` of each member (from 1) and their `summary`."""
    shown = [c for c in COLUMNS if any(e[c[2]] is not None for e in errors.values())]
    lines = [
        f"{head:14}" + "".join(f"  {column[place]:>11}" for column in shown) for head, place in (("member", 0), ("", 1))
    ]
    lines.append("-" * len(lines[0]))

    def line(head: str, values: Mapping[str, Any], whole: bool = True) -> str:
        cells = []
        for _, _, key, factor, form in shown:
            value, form = values[key], form if whole or form != "d" else ".0f"
            cells.append("-" if value is None else format(value if form == "d" else factor * value, form))
        return f"{head:14}" + "".join(f"  {cell:>11}" for cell in cells)

    lines += [line(f"{k:02d}", e) for k, e in sorted(errors.items())]
    lines.append("-" * len(lines[0]))
    lines.append(line(f"best ({found['best_member']:02d})", found["best"]))
    return [*lines, line("median", found["median"], whole=False), line("spread (s.d.)", found["spread"], whole=False)]


def _report(
    settings: TrainInput, reports: Mapping[int, dict[str, Any]], errors: Mapping[str, str], interrupted: bool
) -> dict[str, Any]:
    """Print the table, copy the potentials of the best member; return the report. Members count from 0 here."""
    numbers = {k + 1: member_errors(report) for k, report in reports.items()}
    found = summary(numbers)
    best = found["best_member"] - 1
    print(f"\nweights of the best epochs; best member: {CRITERION}")
    for line in table_lines(numbers, found):
        print(line)
    if interrupted:
        n_open = settings.committee.n - len(reports) - len(errors)
        print("interrupted" + (f", {n_open} not begun" if n_open else "") + "; train --resume goes on")
    files = _copy_best(settings, best)
    print(
        f"potentials: {settings.committee.folder}/01 …; of member {best + 1:02d} also {' '.join(files)}, "
        "and the same with .last"
    )
    members = [{"member": k + 1, "folder": str(member_folder(settings, k)), **report} for k, report in reports.items()]
    return {
        **reports[best],
        "potentials": files,
        "interrupted": interrupted,
        "committee": {
            "n": settings.committee.n,
            "split": settings.committee.split,
            "members": members,
            **found,
            "failed": [{"member": int(name), "error": error} for name, error in errors.items()],
        },
        "exit_code": INTERRUPTED if interrupted else TaylorfitError.exit_code if errors else 0,
    }


def _copy_best(settings: TrainInput, member: int) -> list[str]:
    """Copy the potentials of a member to the files of NETWORKS; return these."""
    for spec, own in zip(settings.networks, member_settings(settings, member).networks):
        for suffix in ("", ".last"):
            with open(own.file + suffix, "rb") as source, atomic_write(spec.file + suffix, "wb") as target:
                shutil.copyfileobj(source, target)
    return [spec.file for spec in settings.networks]
