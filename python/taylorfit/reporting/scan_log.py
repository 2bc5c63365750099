"""What `scan` prints while it runs, and the logs of its steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..analysis.scan_groups import SUMMARY, WITHOUT_VALIDATION
from ..formats.scan_table import Row
from ..generation.files import GenerationObserver
from ..model.measures import Measure
from ..tools.interrupts import Interrupt, deferred_interrupt, stop_requested
from ..tools.progress import JobsProgress, Steps, duration, progress_of_jobs
from ..training.observer import Observer
from ..training.outputs import Outputs
from ..training.scan import ScanObserver
from ..training.scan_plan import PointTask, ScanPlan, SetTask
from .generation_log import GenerationLog
from .training_log import TrainingLog


class ScanLog(ScanObserver):
    """Prints how the trainings end; what each would print goes to a file in its folder."""

    def planned(self, plan: ScanPlan) -> None:
        """Say what is to be done."""
        scan, n_waiting, n_missing = plan.scan, len(plan.waiting), len(plan.missing)
        axes = ", ".join(f"{axis.name} {' '.join(axis.words)}" for axis in scan.axes)
        print(f"scan of {len(plan.tasks)} trainings: {axes}")
        print(
            f"  {len(plan.tasks) - n_waiting} in {scan.output} already, {n_waiting} to do, "
            f"{min(plan.threads, n_waiting)} at a time"
        )
        there = len(plan.sets) - n_missing
        print(f"  training sets: {n_missing} to generate, {there} there already ({scan.folder}/sets)")
        if not plan.has_validation:
            print(f"note: no VALIDATION in {scan.train}, so there are no errors of forces")
        sys.stdout.flush()

    @contextmanager
    def running(self, title: str, n_jobs: int, total: int, unit: str) -> Iterator[JobsProgress]:
        """Show how far it is."""
        with deferred_interrupt() as self.interrupt, progress_of_jobs(title, n_jobs, total, unit) as bars:
            yield bars

    @contextmanager
    def generation(self, task: SetTask, interrupt: Interrupt) -> Iterator[GenerationObserver]:
        """Print to the log of a training set."""
        with open(task.place / "generate.log", "w", encoding="utf-8") as stream:
            yield GenerationLog(task.settings, stream, interrupt)

    @contextmanager
    def training(self, task: PointTask, outputs: Outputs, show: Steps, interrupt: Interrupt) -> Iterator[Observer]:
        """Print to the log of a training."""
        resumed = task.checkpoint if task.checkpoint.exists() else None
        with open(task.place / "train.log", "a" if resumed else "w", encoding="utf-8") as stream:
            yield TrainingLog(outputs, resumed, stream, show, interrupt)

    def set_failed(self, task: SetTask, error: str) -> None:
        """Say what went wrong."""
        print(f"taylorfit: training set {task.key}: {error}", file=sys.stderr, flush=True)

    def point_ended(self, task: PointTask, name: str, row: Row | None, error: str | None) -> None:
        """Say how a training ended."""
        if error is not None:
            print(f"taylorfit: {task.name}: {error}", file=sys.stderr, flush=True)
        elif row is not None:
            print(f"{name}: {task.name}: {_in_words(row)}", flush=True)

    def stopping(self) -> bool:
        """Look for a file STOP."""
        return stop_requested()


def _in_words(row: Row) -> str:
    """The result of a training in one line."""
    parts = [
        f"{m.narrow or m.title} {shown(m, row[m.column])} {m.unit.name}"
        for m in [m for m in SUMMARY if row[m.column]] or WITHOUT_VALIDATION
    ]
    return ", ".join([*parts, duration(float(row["seconds"]))])


def shown(measure: Measure, value: float | str | None) -> str:
    """A value of the column of a measure."""
    return "nan" if value in (None, "") else measure.text(float(value), more=1)
