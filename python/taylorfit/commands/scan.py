"""`taylorfit scan`: trainings over a grid of settings, and one table of their errors."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..analysis.scan_grid import Entry, Point, Structures, point_key, points_of, set_key
from ..analysis.scan_groups import POINT_REPORT, best_and_median, point_folder, seed_groups, varied_columns
from ..engine import available_threads
from ..errors import InputError, TaylorfitError
from ..formats.report_file import write_report
from ..formats.scan_table import (
    ERRORS,
    KEY,
    LAST,
    Row,
    coordinates,
    number,
    option_columns,
    read_scan_table,
    write_scan_table,
)
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import read_structures
from ..model.measures import MEASURES, Measure
from ..reporting.training_log import TrainingLog
from ..settings.document import FileEntry
from ..settings.generate import GenerateInput, read_generate_input, write_generate_input
from ..settings.scan import ScanInput, read_scan_input
from ..settings.train import TrainInput, read_train_input, write_train_input
from ..tools.atomic_write import check_writable
from ..tools.interrupts import INTERRUPTED, stop_requested
from ..tools.parallel import Job, Outcome, logged, run_jobs
from ..tools.progress import Tell, duration, progress_of_jobs, tell_progress
from ..tools.tables import Table, print_table
from ..training.checkpoint import checkpoint_path
from ..training.fit import Fit
from ..training.outputs import Outputs
from ..training.prepare import prepare
from ..training.run import train_problem
from . import generate
from .train import read_with_leftovers, report_of
from .usage.generate import add_arguments

SUMMARY = (MEASURES["energy_rmse"], MEASURES["force_mae"], MEASURES["force_error_norm_mean"])
"""What the summary shows; without VALIDATION the next instead."""
WITHOUT_VALIDATION = (MEASURES["test_rmse"],)

DONE = ("finished", "patience", "converged", "stuck")
"""Ends of a training whose result is final."""


@dataclass(frozen=True)
class SetTask:
    """A generate step."""

    key: str
    folder: Path
    settings: GenerateInput
    """With the paths of the outputs; FILES as in the original."""
    entries: tuple[Entry, ...] | None
    """The structures to take; None: all of FILES."""

    @property
    def is_there(self) -> bool:
        """Whether it has been done before, and its files are still there."""
        if not (self.report_file.exists() and Path(self.settings.output).exists()):
            return False
        return bool(self.copies) or not json.loads(self.report_file.read_text(encoding="utf-8"))["copies"]

    @property
    def report_file(self) -> Path:
        """Written when all else is."""
        return self.folder / "generate.json"

    @property
    def copies(self) -> tuple[str, ...]:
        """Training set of the copies, once generated, if there are any."""
        outfile = self.settings.derivatives.outfile if self.settings.derivatives else None
        return (outfile,) if outfile and Path(outfile).exists() else ()


@dataclass(frozen=True)
class PointTask:
    """A training, and where it goes."""

    key: str
    point: Point
    of_set: SetTask
    folder: Path
    row: Row

    @property
    def name(self) -> str:
        """What is trained, in words."""
        words = {"delta_A": "delta", "multiple_a": "a", "beta_A2": "beta", "n_structures": "structures"}
        return " ".join(
            value if name in ("mode", "strategy", "network") else f"{words.get(name, name)}={value}"
            for name, value in self.row.items()
            if value
        )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train what is not in the table yet; print and return the summary."""
    start = time.perf_counter()
    scan = read_scan_input(arguments.input)
    if arguments.seeds is not None:
        scan = first_seeds(scan, arguments.seeds)
    threads = (scan.threads if arguments.threads is None else arguments.threads) or available_threads()
    check_writable(scan.output)
    tasks, validated = _tasks(scan, arguments.input)
    table = [] if arguments.fresh else read_scan_table(scan.output)
    _refuse_other_inputs(scan, table, tasks)
    done = {row[KEY] for row in table}
    waiting = [task for task in tasks if task.key not in done]
    sets = list({task.of_set.key: task.of_set for task in waiting}.values())
    missing = [one for one in sets if not one.is_there]
    print(f"scan of {len(tasks)} trainings: " + ", ".join(f"{axis.name} {' '.join(axis.words)}" for axis in scan.axes))
    print(
        f"  {len(tasks) - len(waiting)} in {scan.output} already, {len(waiting)} to do, "
        f"{min(threads, len(waiting))} at a time"
    )
    print(f"  training sets: {len(missing)} to generate, {len(sets) - len(missing)} there already ({scan.folder}/sets)")
    if not validated:
        print(f"note: no VALIDATION in {scan.train}, so there are no errors of forces")
    sys.stdout.flush()
    for task in waiting if arguments.fresh else ():
        _checkpoint(task.folder).unlink(missing_ok=True)

    failed_sets, interrupted = _generate(missing, threads)
    failed = [
        {"key": task.key, "error": failed_sets[task.of_set.key]} for task in waiting if task.of_set.key in failed_sets
    ]
    n_before = len(table)
    if not interrupted:
        ready = [task for task in waiting if task.of_set.key not in failed_sets]
        errors, interrupted = _train(ready, threads, scan, table)
        failed += errors
    keys = {task.key for task in tasks}
    rows = [row for row in table if row[KEY] in keys]
    summary = summarise(rows)
    print()
    if summary:
        print_table(summary_table(summary))
    else:
        print("no results yet")
    n_trained = len(table) - n_before
    if len(rows) + len(failed) < len(tasks):
        print(
            f"{'interrupted' if interrupted else 'stopped'}: {len(rows)} of {len(tasks)} trainings done; "
            "the same command goes on"
        )
    print(f"{scan.output}: {len(table)} rows; {n_trained} trainings in {duration(time.perf_counter() - start)}")
    return {
        "output": scan.output,
        "points": len(tasks),
        "done_before": len(tasks) - len(waiting),
        "trained": n_trained,
        "failed": failed,
        "sets_generated": len(missing) - len(failed_sets),
        "sets_reused": len(sets) - len(missing),
        "interrupted": interrupted,
        "seconds": time.perf_counter() - start,
        "rows": rows,
        "summary": summary,
        "exit_code": INTERRUPTED if interrupted else TaylorfitError.exit_code if failed else 0,
    }


def first_seeds(scan: ScanInput, n: int) -> ScanInput:
    """The scan with no more than the first `n` values of its axis seeds.

    Raises
    ------
    InputError
        if that is none, or the scan does not vary seeds.
    """
    if n < 1 or not scan.values_of("seeds"):
        raise InputError("--seeds cannot be used", value=n, expected="at least 1, and an axis seeds")
    return replace(
        scan,
        axes=tuple(
            replace(axis, values=axis.values[:n], words=axis.words[:n]) if axis.name == "seeds" else axis
            for axis in scan.axes
        ),
    )


def _tasks(scan: ScanInput, input_file: str) -> tuple[list[PointTask], bool]:
    """All trainings of the scan, and whether there are validation structures."""
    base, settings = read_generate_input(scan.generate), read_train_input(scan.train)
    points = points_of(scan, base, settings, input_file)
    structures = Structures.of(base.files, scan.generate)
    n = len(structures.entries)
    for axis in scan.axes:
        for size in axis.values if axis.name == "size" else ():
            if size > n:
                raise InputError(
                    "more structures than there are",
                    file=input_file,
                    line=axis.line,
                    value=size,
                    expected=f"at most {n}, those of {scan.generate}",
                )
    validation = Structures.of(settings.validation, scan.train) if settings.validation else None
    sets: dict[str, SetTask] = {}
    tasks = []
    for point in points:
        of_set = set_key(point.plan, base, structures)
        if of_set not in sets:
            folder = Path(scan.folder) / "sets" / of_set
            copies = point.plan.derivatives
            if copies is not None:
                copies = replace(copies, outfile=str(folder / "copies.train"))
            sets[of_set] = SetTask(
                of_set,
                folder,
                replace(base, output=str(folder / "set.train"), derivatives=copies, timing=False),
                None if point.plan.size is None else structures.subset(point.plan.size),
            )
        key = point_key(point, of_set, validation)
        row = point.row(point.plan.size or n)
        tasks.append(PointTask(key, point, sets[of_set], point_folder(scan.folder, key), row))
    return tasks, validation is not None


def _refuse_other_inputs(scan: ScanInput, table: Sequence[Row], tasks: Sequence[PointTask]) -> None:
    """Refuse a table that has a result for the same settings, but from other inputs."""
    options = option_columns([*table, *(task.row for task in tasks)])
    keys = {coordinates(task.row, options): task.key for task in tasks}
    for number_, row in enumerate(table, start=2):
        if keys.get(coordinates(row, options), row[KEY]) != row[KEY]:
            raise InputError(
                f"has results of other inputs ({scan.generate}, {scan.train} or structures have changed)",
                file=scan.output,
                line=number_,
                expected="another OUTPUT, or --fresh to replace it",
            )


# --- generate ----------------------------------------------------------------------------------


def _generate(sets: Sequence[SetTask], threads: int) -> tuple[dict[str, str], bool]:
    """Generate training sets in parallel; return the errors by key, and whether the user interrupted."""
    failed: dict[str, str] = {}
    with progress_of_jobs("generate", len(sets), 1, "training sets") as bars:

        def ended(outcome: Outcome) -> None:
            bars.end(outcome.name)
            if outcome.error is not None:
                failed[outcome.name] = outcome.error
                print(f"taylorfit: training set {outcome.name}: {outcome.error}", file=sys.stderr, flush=True)

        _, interrupted = run_jobs(
            [Job(one.key, make_set, (one,)) for one in sets], threads, ended=ended, stop=stop_requested
        )
    return failed, interrupted


def make_set(task: SetTask, *, threads: int, tell: Callable[[Any], None]) -> None:
    """Run `generate` for a training set, in a process of its own."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with logged(task.folder / "generate.log"):
        files = task.settings.files if task.entries is None else _files_of(task.entries, task.folder)
        input_file = str(task.folder / "generate.in")
        write_generate_input(input_file, replace(task.settings, files=files))
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        report = generate.run(parser.parse_args([input_file, "--force", "--threads", str(threads)]))
    write_report(task.report_file, "generate", report)


def _files_of(entries: Sequence[Entry], folder: Path) -> tuple[FileEntry, ...]:
    """FILES of some structures; chosen frames of a file are written to one of their own."""
    files: list[FileEntry] = []
    frames: dict[str, set[int]] = {}
    for path, frame in entries:
        if frame is not None:
            frames.setdefault(path, set()).add(frame)
        if frame is None or len(frames[path]) == 1:
            files.append(FileEntry(path if frame is None else str(folder / f"frames-{len(frames)}.extxyz")))
    for count, (path, chosen) in enumerate(frames.items(), start=1):
        write_extxyz(
            folder / f"frames-{count}.extxyz",
            (structure for frame, structure in enumerate(read_structures(path)) if frame in chosen),
        )
    return tuple(files)


# --- train -------------------------------------------------------------------------------------


def _checkpoint(folder: Path) -> Path:
    return folder / checkpoint_path("train.in")


def _train(
    tasks: Sequence[PointTask], threads: int, scan: ScanInput, table: list[Row]
) -> tuple[list[dict[str, str]], bool]:
    """Train in parallel; add each result to the table and its file; return the failures, and whether interrupted."""
    failed: list[dict[str, str]] = []
    by_name = {str(count): task for count, task in enumerate(tasks, start=1)}
    epochs = max((task.point.settings.iterations for task in tasks), default=0)
    with progress_of_jobs("scan", len(tasks), epochs, "epochs") as bars:

        def ended(outcome: Outcome) -> None:
            task = by_name[outcome.name]
            bars.end(outcome.name)
            if outcome.error is not None:
                failed.append({"key": task.key, "error": outcome.error})
                print(f"taylorfit: {task.name}: {outcome.error}", file=sys.stderr, flush=True)
            elif outcome.result is not None:
                table.append({**task.row, **outcome.result, KEY: task.key})
                write_scan_table(scan.output, table)
                _checkpoint(task.folder).unlink(missing_ok=True)
                print(f"{outcome.name} of {len(tasks)}: {task.name}: {_in_words(table[-1])}", flush=True)

        jobs = [Job(name, train_point, (task,)) for name, task in by_name.items()]

        def told(name: str, message: tuple[int, str]) -> None:
            bars.update(name, *message)

        _, interrupted = run_jobs(jobs, threads, told=told, ended=ended, stop=stop_requested)
    return failed, interrupted


def train_point(task: PointTask, *, threads: int, tell: Tell) -> Row | None:
    """Train, in a process of its own; return the cells of the result, None if it is not final."""
    folder, checkpoint = task.folder, _checkpoint(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    resume = checkpoint.exists()
    input_file = str(folder / "train.in")
    write_train_input(input_file, _settings(task))
    settings = read_train_input(input_file)
    outputs = Outputs(settings.networks, folder, checkpoint if settings.checkpoint else None)
    with open(folder / "train.log", "a" if resume else "w", encoding="utf-8") as stream:
        log = TrainingLog(outputs, checkpoint if resume else None, stream, tell_progress(tell))
        data = read_with_leftovers(settings, input_file, fresh=True, show=partial(print, file=stream))
        problem = prepare(settings, data, threads, observer=log)
        del data
        fit = train_problem(problem, checkpoint=checkpoint, resume=resume, observer=log)
    write_report(folder / POINT_REPORT, "train", report_of(fit, outputs))
    return result_cells(fit) if fit.status in DONE else None


def _settings(task: PointTask) -> TrainInput:
    """train.in of a point: its own training sets and potential files."""
    settings = task.point.settings
    networks = tuple(replace(spec, file=str(task.folder / f"{spec.symbol}.nn")) for spec in settings.networks)
    return replace(settings, trainingset=task.of_set.settings.output, taylorset=task.of_set.copies, networks=networks)


def result_cells(fit: Fit) -> Row:
    """The cells of the table that come from a training."""
    last = fit.history.row(-1)
    cells = {"epochs": number(last.epoch), "best_epoch": number(fit.best_epoch)}
    for prefix, epoch, errors in (("", fit.best, fit.errors), (LAST, last, fit.last_errors)):
        values = {**asdict(epoch), **({} if errors is None else errors.to_dict())}
        if not fit.counts.n_test:
            values["test_rmse"] = None
        for measure in ERRORS:
            value = values.get(measure.key)
            cells[prefix + measure.column] = number(None if value is None else float(measure.unit.factor * value))
    return cells | {"seconds": number(fit.seconds), "seconds_per_epoch": number(fit.seconds_per_epoch)}


# --- summary -----------------------------------------------------------------------------------


def _in_words(row: Row) -> str:
    """The result of a training in one line."""
    parts = [
        f"{m.narrow or m.title} {_shown(m, row[m.column])} {m.unit.name}"
        for m in [m for m in SUMMARY if row[m.column]] or WITHOUT_VALIDATION
    ]
    return ", ".join([*parts, duration(float(row["seconds"]))])


def _shown(measure: Measure, value: float | str | None) -> str:
    """A value of the column of a measure."""
    return "nan" if value in (None, "") else measure.text(float(value), more=1)


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Reduce the rows over the seeds.

    Returns
    -------
    list of dict
        The cells that differ between trainings, seeds (number of them), and (best, median) of each measure that
        is there.
    """
    varied = varied_columns(rows)
    summary = []
    for cells, group in seed_groups(rows, varied).items():
        entry: dict[str, Any] = {**dict(zip(varied, cells)), "seeds": len(group)}
        for measure in (*SUMMARY, *WITHOUT_VALIDATION):
            values = best_and_median(group, measure.column)
            if values is not None:
                entry[measure.column] = values
        summary.append(entry)
    return summary


def summary_table(summary: Sequence[Mapping[str, Any]]) -> Table:
    """The summary of at least one training as a table with units."""
    measures = [m for m in SUMMARY if any(m.column in entry for entry in summary)] or WITHOUT_VALIDATION
    names = [name for name in summary[0] if name not in {m.column for m in (*SUMMARY, *WITHOUT_VALIDATION)}]
    titles = (f"{m.narrow or m.title}, {m.unit.name}" for m in measures)
    return Table(
        (*(f"\n{name}" for name in names), *(word for title in titles for word in (f"{title}\nbest", "\nmedian"))),
        tuple(
            (
                *(str(entry[name] or "-") for name in names),
                *(_shown(m, value) for m in measures for value in entry.get(m.column, (None, None))),
            )
            for entry in summary
        ),
        numeric=True,
    )
