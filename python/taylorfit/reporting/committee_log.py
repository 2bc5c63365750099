"""What `train` prints of a committee: how its members end, and a table of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..errors import InputError
from ..tools.interrupts import STOP_FILE, stop_requested
from ..tools.progress import JobsProgress, Steps, duration, progress_of_jobs
from ..training.committee import CommitteeFit, CommitteeObserver, MemberErrors, Summary
from ..training.fit import Fit
from ..training.observer import Observer
from ..training.outputs import MemberFiles
from .training_log import TrainingLog

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
"""Table of members: two lines of title, field of `MemberErrors`, factor to the unit of the title, format."""


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
        self._files, self._resumed = files, resumed
        self._quiet = files.settings.verbosity == "low"

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
        with progress_of_jobs("committee", n, last, "epochs", quiet=self._quiet) as bars:
            yield bars
        if not self._quiet:
            print(f"{duration(time.perf_counter() - start)} for all members")

    @contextmanager
    def member(self, number: int, show: Steps) -> Iterator[Observer]:
        """Print to the log of a member."""
        resumed = number in self._resumed
        with open(self._files.log(number), "a" if resumed else "w", encoding="utf-8") as log:
            checkpoint = self._files.checkpoint(number) if resumed else None
            yield TrainingLog(self._files.outputs(number), checkpoint, log, show)

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
    test = f", test {1e3 * fit.best.test_rmse:.3f}" if fit.counts.n_test else ""
    return (
        f"{fit.status} at epoch {fit.history.epoch[-1]} in {duration(fit.seconds)}: best epoch {fit.best_epoch}, "
        f"train {1e3 * fit.best.train_rmse:.3f}{test} meV/atom"
    )


def committee_lines(fit: CommitteeFit, files: MemberFiles) -> Iterator[str]:
    """The table of a committee, and where the potentials are."""
    found = fit.summary
    yield f"\nweights of the best epochs; best member: {found.criterion}"
    yield from table_lines(fit.errors, found)
    if fit.interrupted:
        n_open = fit.n - len(fit.members) - len(fit.failed)
        yield "interrupted" + (f", {n_open} not begun" if n_open else "") + "; train --resume goes on"
    names = " ".join(spec.file for spec in files.settings.networks)
    yield (
        f"potentials: {files.settings.committee.folder}/01 …; of member {found.best_member:02d} also {names}, "
        "and the same with .last"
    )


def table_lines(errors: Mapping[int, MemberErrors], found: Summary) -> list[str]:
    """The table of a committee, from the numbers of each member (from 1) and their `summary`."""
    shown = [c for c in COLUMNS if any(getattr(one, c[2]) is not None for one in errors.values())]
    lines = [
        f"{head:14}" + "".join(f"  {column[place]:>11}" for column in shown) for head, place in (("member", 0), ("", 1))
    ]
    lines.append("-" * len(lines[0]))

    def line(head: str, values: MemberErrors, whole: bool = True) -> str:
        cells = []
        for _, _, name, factor, form in shown:
            value, form = getattr(values, name), form if whole or form != "d" else ".0f"
            cells.append("-" if value is None else format(value if form == "d" else factor * value, form))
        return f"{head:14}" + "".join(f"  {cell:>11}" for cell in cells)

    lines += [line(f"{number:02d}", one) for number, one in sorted(errors.items())]
    lines.append("-" * len(lines[0]))
    lines.append(line(f"best ({found.best_member:02d})", found.best))
    return [*lines, line("median", found.median, whole=False), line("spread (s.d.)", found.spread, whole=False)]
