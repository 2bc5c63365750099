"""What `train` prints of a committee: how its members end, and a table of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

from ..errors import InputError
from ..model.measures import DASH, ENERGY_UNIT, MEASURES
from ..tools.interrupts import STOP_FILE, Interrupt, deferred_interrupt, stop_requested
from ..tools.progress import JobsProgress, Steps, duration, progress_of_jobs
from ..tools.tables import Table, print_table
from ..training.committee import CommitteeFit, CommitteeObserver, MemberErrors, Summary
from ..training.fit import Fit
from ..training.observer import Observer
from ..training.outputs import MemberFiles
from .training_log import TrainingLog

SHOWN = tuple(MEASURES[field.name] for field in fields(MemberErrors) if field.name in MEASURES)
"""Errors in the table of members."""


class CommitteeLog(CommitteeObserver):
    """Prints how the members end; what each would print goes to a file in its folder.

    Parameters
    ----------
    files
        of the members
    resumed
        numbers (from 1) of the members that go on from their checkpoints
    """

    def __init__(self, files: MemberFiles, resumed: frozenset[int]) -> None:
        super().__init__()
        self._files, self._resumed = files, resumed
        self._quiet = files.settings.verbosity == "low"
        self._logs: list[TrainingLog] = []

    @property
    def nothing_done(self) -> bool:
        """Whether all members were over when the run began."""
        return len(self._logs) == len(self._files.numbers) and all(log.was_over for log in self._logs)

    def preparing(self) -> Observer:
        """Say what all members have in common."""
        return TrainingLog(self._files.outputs(1), self._files.checkpoint(1) if self._resumed else None)

    def begun(self, threads: int) -> None:
        """Say where the members are."""
        files = self._files
        n, split = files.settings.committee.n, files.settings.committee.split
        print(
            f"\ncommittee of {n}, {min(n, threads)} at a time: {files.folder(1)} … {files.folder(n)}, each with "
            f"its own seed{' and test structures' if split == 'own' else ''}; log of each in {files.log(1).name}",
            flush=True,
        )
        if strangers := files.strangers():
            print(f"note: {files.settings.committee.folder} also holds {' '.join(strangers)}, not of this committee")
        if stop_requested():
            raise InputError("no member was begun", file=STOP_FILE, expected="no such file")
        if not self._resumed:
            # What an earlier run left of a member that is not begun would be resumed as if it were of this one
            for number in files.numbers:
                files.checkpoint(number).unlink(missing_ok=True)

    @contextmanager
    def running(self, n: int, last: int) -> Iterator[JobsProgress]:
        """Show how far the members are, and at the end the time of all."""
        start = time.perf_counter()
        shown = progress_of_jobs("committee", n, last, "epochs", quiet=self._quiet)
        with deferred_interrupt() as self.interrupt, shown as bars:
            yield bars
        if not self._quiet:
            print(f"{duration(time.perf_counter() - start)} for all members")

    @contextmanager
    def member(self, number: int, show: Steps, interrupt: Interrupt) -> Iterator[Observer]:
        """Print to the log of a member."""
        resumed = number in self._resumed
        with open(self._files.log(number), "a" if resumed else "w", encoding="utf-8") as log:
            checkpoint = self._files.checkpoint(number) if resumed else None
            own = TrainingLog(self._files.outputs(number), checkpoint, log, show, interrupt)
            self._logs.append(own)
            yield own

    def ended(self, number: int, fit: Fit | None, error: str | None) -> None:
        """Say how a member ended."""
        if error is not None:
            print(f"taylorfit: member {number:02d}: {error}", file=sys.stderr, flush=True)
        elif fit is not None and not self._quiet:
            print(f"member {number:02d} {_in_words(fit)}", flush=True)

    def stopping(self) -> bool:
        """Look for a file STOP."""
        return stop_requested()


def _in_words(fit: Fit) -> str:
    train, test = (MEASURES[key].cell(getattr(fit.best, key), more=1) for key in ("train_rmse", "test_rmse"))
    return (
        f"{fit.status} at epoch {fit.history.epoch[-1]} in {duration(fit.seconds)}: best epoch {fit.best_epoch}, "
        f"train {train}{f', test {test}' if fit.counts.n_test else ''} {ENERGY_UNIT.name}"
    )


def print_committee(fit: CommitteeFit, files: MemberFiles) -> None:
    """Print the table of a committee, and where the potentials are."""
    found = fit.summary
    print(f"\nweights of the best epochs; best member: {found.criterion}")
    print_table(table(fit.errors, found))
    if (limit := fit.limits.force_std) is not None:
        print(f"unlike the data: structures in which members differ by more than {limit:g} eV/Å in a force")
    if fit.interrupted:
        n_open = fit.n - len(fit.members) - len(fit.failed)
        print("interrupted" + (f", {n_open} not begun" if n_open else "") + "; train --resume goes on")
    names = " ".join(spec.file for spec in files.settings.networks)
    print(
        f"potentials: {files.settings.committee.folder}/01 …; of member {found.best_member:02d} also {names}, "
        "and the same with .last"
    )


def table(errors: Mapping[int, MemberErrors], found: Summary) -> Table:
    """The table of a committee, from the numbers of each member (from 1) and their `summary`."""
    shown = [m for m in SHOWN if any(getattr(one, m.key) is not None for one in errors.values())]

    def row(head: str, values: MemberErrors) -> tuple[str, ...]:
        epochs, best, seconds = (
            DASH if value is None else f"{value:.{digits}f}"
            for value, digits in ((values.epochs, 0), (values.best_epoch, 0), (values.seconds, 1))
        )
        return (head, epochs, best, *(m.cell(getattr(values, m.key), more=1) for m in shown), seconds)

    return Table(
        ("member", "epochs", "best\nepoch", *(f"{m.narrow or m.title}\n{m.unit.name}" for m in shown), "time\ns"),
        (
            *(row(f"{number:02d}", one) for number, one in sorted(errors.items())),
            row(f"best ({found.best_member:02d})", found.best),
            row("median", found.median),
            row("spread (s.d.)", found.spread),
        ),
        numeric=True,
        rules=(len(errors),),
    )
