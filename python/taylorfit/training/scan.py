"""A scan: trainings over a grid of settings, one table of their errors; what is in the table is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..analysis.scan_grid import Entry
from ..analysis.scan_groups import POINT_REPORT, summarise
from ..formats.report_file import write_report
from ..formats.scan_table import ERRORS, KEY, LAST, Row, number, read_scan_table, write_scan_table
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import read_structures
from ..generation.files import GenerationObserver, generate_files
from ..settings.document import FileEntry
from ..settings.generate import GenerateInput
from ..settings.reading import AS_THEY_ARE, ReadingOptions
from ..settings.scan import ScanInput
from ..settings.train import TrainInput
from ..tools.atomic_write import remove_left
from ..tools.interrupts import Interrupt
from ..tools.os_errors import make_folder
from ..tools.parallel import Job, Outcome, run_jobs
from ..tools.progress import JobsProgress, Steps, Tell, tell_progress
from ..tools.ranks import ALONE, Ranks
from ..tools.whole_folder import begin_folder, finish_folder
from .data import read_data
from .fit import Fit
from .observer import Observer, ProgressObserver
from .outputs import Outputs
from .prepare import prepare
from .run import train_problem
from .scan_plan import PointTask, ScanPlan, SetTask, make_plan

DONE = ("finished", "patience", "converged", "stuck")
"""Ends of a training whose result is final."""

ChooseTest = Callable[[int], Collection[int]]
"""The test structures of so many reference structures."""


@dataclass(frozen=True, eq=False)
class ScanResult:
    """The table of a scan, and how it came about."""

    output: str
    """File of the table."""
    table: list[Row]
    """All rows of the file."""
    rows: list[Row]
    """Those of this scan."""
    points: int
    """Trainings of the scan."""
    done_before: int
    trained: int
    failed: dict[str, str]
    """Key of a training → what went wrong."""
    sets_generated: int
    sets_reused: int
    interrupted: bool
    seconds: float
    summary: list[dict[str, Any]] = field(default_factory=list)
    """See `analysis.scan_groups.summarise`."""

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `scan`."""
        return {
            "output": self.output,
            "points": self.points,
            "done_before": self.done_before,
            "trained": self.trained,
            "failed": [{"key": key, "error": error} for key, error in self.failed.items()],
            "sets_generated": self.sets_generated,
            "sets_reused": self.sets_reused,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "rows": self.rows,
            "summary": self.summary,
        }


class ScanObserver:
    """Looks away.  Who wants to know more overrides what is called, `generation` and `training` in other threads.

    Attributes
    ----------
    interrupt
        keeps Ctrl-C from breaking into the writing of the table, where it catches signals
    """

    def __init__(self) -> None:
        self.interrupt = Interrupt()

    def planned(self, plan: ScanPlan) -> None:
        """It is known what is to be done."""

    def running(self, title: str, n_jobs: int, total: int, unit: str) -> AbstractContextManager[JobsProgress]:
        """Around jobs of `total` steps each."""
        return nullcontext(JobsProgress(n_jobs, total, lambda done, note="": None))

    def generation(self, task: SetTask, interrupt: Interrupt) -> AbstractContextManager[GenerationObserver]:
        """Observer of a generate step, with this interrupt."""
        return nullcontext(GenerationObserver(interrupt=interrupt))

    def training(
        self, task: PointTask, outputs: Outputs, show: Steps, interrupt: Interrupt
    ) -> AbstractContextManager[Observer]:
        """Observer of a training, with this interrupt; `show` shows its progress."""
        return nullcontext(ProgressObserver(show, interrupt))

    def set_failed(self, task: SetTask, error: str) -> None:
        """A training set could not be generated."""

    def point_ended(self, task: PointTask, name: str, row: Row | None, error: str | None) -> None:
        """A training has come to its end: with a row of the table, by an error, or (neither) stopped."""

    def stopping(self) -> bool:
        """Return True if no more is to be begun."""
        return False


def run_scan(
    scan: ScanInput,
    input_file: str,
    threads: int,
    *,
    fresh: bool = False,
    choose_test: ChooseTest | None = None,
    observer: ScanObserver | None = None,
    ranks: Ranks = ALONE,
) -> ScanResult:
    """Train with all combinations of what `scan` varies, as many at a time as there are threads.

    Training sets, potentials, logs and reports are kept in the folder of the scan, the table in its output file.

    Parameters
    ----------
    input_file
        name of scan.in, for messages
    fresh
        train everything again, and replace the table
    choose_test
        what the test structures are, if not drawn with the seeds
    ranks
        train some of the combinations each; the first of them writes the table

    Raises
    ------
    InputError, FormatError
        if an input cannot be used, or the table has results of other inputs.
    """
    start, observer = time.perf_counter(), observer or ScanObserver()

    def begun() -> tuple[ScanPlan, list[Row], dict[str, str], bool]:
        table = [] if fresh else read_scan_table(scan.output)
        plan = make_plan(scan, input_file, threads, table)
        observer.planned(plan)
        for point in plan.waiting if fresh else ():
            for folder in (point.place, point.folder):
                (folder / point.checkpoint.name).unlink(missing_ok=True)
        tasks: list[SetTask | PointTask] = [*plan.waiting, *plan.sets]
        for task in tasks:
            for folder in (task.folder, task.place):
                remove_left(folder)
        return plan, table, *_generate(plan, observer)

    plan, table, failed_sets, interrupted = ranks.from_root(begun)
    n_before = len(table)
    failed = {task.key: failed_sets[task.of_set.key] for task in plan.waiting if task.of_set.key in failed_sets}
    if not interrupted:
        ready = [task for task in plan.waiting if task.key not in failed][ranks.rank :: ranks.size]
        errors, interrupted = _train(plan, ready, table, choose_test, observer, ranks.is_root)
        failed |= errors
    for rows, errors, interrupted_there in ranks.gather((table[n_before:], failed, interrupted))[1:]:
        table += rows
        failed, interrupted = failed | errors, interrupted or interrupted_there
    if ranks.size > 1 and ranks.is_root:
        write_scan_table(scan.output, table)
        for task in plan.waiting:
            if any(row[KEY] == task.key for row in table):
                (task.folder / task.checkpoint.name).unlink(missing_ok=True)
    rows = [row for row in table if any(row[KEY] == task.key for task in plan.tasks)]
    return ScanResult(
        output=scan.output,
        table=table,
        rows=rows,
        points=len(plan.tasks),
        done_before=len(plan.tasks) - len(plan.waiting),
        trained=len(table) - n_before,
        failed=failed,
        sets_generated=len(plan.missing) - len(failed_sets),
        sets_reused=len(plan.sets) - len(plan.missing),
        interrupted=interrupted,
        seconds=time.perf_counter() - start,
        summary=summarise(rows),
    )


# --- generate ----------------------------------------------------------------------------------


def _generate(plan: ScanPlan, observer: ScanObserver) -> tuple[dict[str, str], bool]:
    """Generate training sets in parallel; return the errors by key, and whether the user interrupted."""
    failed: dict[str, str] = {}
    sets = {one.key: one for one in plan.missing}
    with observer.running("generate", len(sets), 1, "training sets") as bars:

        def ended(outcome: Outcome) -> None:
            bars.end(outcome.name)
            if outcome.error is not None:
                failed[outcome.name] = outcome.error
                observer.set_failed(sets[outcome.name], outcome.error)

        jobs = [Job(key, make_set, (task, observer)) for key, task in sets.items()]
        _, interrupted = run_jobs(jobs, plan.threads, ended=ended, stop=observer.stopping, interrupt=observer.interrupt)
    return failed, interrupted


def make_set(task: SetTask, observer: ScanObserver, *, threads: int, tell: Tell, interrupt: Interrupt) -> None:
    """Generate a training set, in a thread of its own."""
    begin_folder(task.folder)
    input_file = str(task.place / "generate.in")
    _listed(task).write(input_file)
    with observer.generation(task, interrupt) as own:
        made = generate_files(
            replace(GenerateInput.read(input_file), output=task.begun.output, derivatives=task.begun.derivatives),
            input_file,
            threads=threads,
            overwrite=True,
            observer=own,
        )
    made = replace(made, output=task.settings.output, taylor_output=made.taylor_output and task.copies_file)
    write_report(task.place / task.report_file.name, "generate", made.to_dict())
    finish_folder(task.folder)


def _listed(task: SetTask) -> GenerateInput:
    """generate.in with the structures to take; chosen frames are written to files in the folder of the scan."""
    if task.entries is None:
        return task.settings
    folder, reading = make_folder(task.folder.parent.with_name("frames")), ReadingOptions.of(task.settings)
    if reading == AS_THEY_ARE:
        return replace(task.settings, files=_files_of(task.entries, folder, task.key))
    # What we write has no other units or names of labels
    file = folder / f"{task.key}.extxyz"
    write_extxyz(
        file,
        (
            structure
            for path, frame in task.entries
            for structure in read_structures(path if frame is None else f"{path}@{frame}", reading)
        ),
    )
    return replace(task.settings, files=(FileEntry(str(file)),), **asdict(AS_THEY_ARE))


def _files_of(entries: Sequence[Entry], folder: Path, key: str) -> tuple[FileEntry, ...]:
    files: list[FileEntry] = []
    frames: dict[str, set[int]] = {}
    for path, frame in entries:
        if frame is not None:
            frames.setdefault(path, set()).add(frame)
        if frame is None or len(frames[path]) == 1:
            files.append(FileEntry(path if frame is None else str(folder / f"{key}-{len(frames)}.extxyz")))
    for count, (path, chosen) in enumerate(frames.items(), start=1):
        write_extxyz(
            folder / f"{key}-{count}.extxyz",
            (structure for frame, structure in enumerate(read_structures(path)) if frame in chosen),
        )
    return tuple(files)


# --- train -------------------------------------------------------------------------------------


def _train(
    plan: ScanPlan,
    tasks: Sequence[PointTask],
    table: list[Row],
    choose_test: ChooseTest | None,
    observer: ScanObserver,
    writes: bool,
) -> tuple[dict[str, str], bool]:
    """Train in parallel; add results to the table and, if wanted, its file; return failures, and if interrupted."""
    failed: dict[str, str] = {}
    by_name = {str(count): task for count, task in enumerate(tasks, start=1)}
    epochs = max((task.point.settings.iterations for task in tasks), default=0)
    with observer.running("scan", len(tasks), epochs, "epochs") as bars:

        def told(name: str, message: tuple[int, str]) -> None:
            bars.update(name, *message)

        def ended(outcome: Outcome) -> None:
            task, row = by_name[outcome.name], None
            bars.end(outcome.name)
            if outcome.error is not None:
                failed[task.key] = outcome.error
            elif outcome.result is not None:
                row = {**task.row, **outcome.result, KEY: task.key}
                table.append(row)
                if writes:
                    write_scan_table(plan.scan.output, table)
                    (task.folder / task.checkpoint.name).unlink(missing_ok=True)
            observer.point_ended(task, f"{outcome.name} of {len(tasks)}", row, outcome.error)

        share = min(plan.threads, len(tasks))
        jobs = [Job(name, train_point, (task, choose_test, share, observer)) for name, task in by_name.items()]
        _, interrupted = run_jobs(
            jobs, plan.threads, told=told, ended=ended, stop=observer.stopping, interrupt=observer.interrupt
        )
    return failed, interrupted


def train_point(
    task: PointTask,
    choose_test: ChooseTest | None,
    share: int,
    observer: ScanObserver,
    *,
    threads: int,
    tell: Tell,
    interrupt: Interrupt,
) -> Row | None:
    """Train, in a thread of its own; return the cells of the result, None if it is not final."""
    task.begin()
    resume = task.checkpoint.exists()
    input_file = str(task.place / "train.in")
    task.settings.write(input_file)
    settings = replace(TrainInput.read(input_file), networks=task.begun.networks)
    outputs = Outputs(settings.networks, task.place, task.checkpoint if settings.checkpoint else None)
    with observer.training(task, outputs, tell_progress(tell), interrupt) as own:
        # The data are not kept: what is trained on is in the problem
        data = read_data(settings, input_file, fresh=True, choose_test=choose_test)
        problem = prepare(settings, data, threads, share=share, observer=own)
        del data
        fit = train_problem(problem, checkpoint=task.checkpoint, resume=resume, observer=own)
    report = replace(outputs, networks=task.settings.networks).report(fit)
    write_report(task.place / POINT_REPORT, "train", report)
    if fit.status not in DONE:
        return None
    finish_folder(task.folder)
    return result_cells(fit)


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
