"""A committee: networks trained alike from different random weights, in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaylorfitError
from ..formats.data_limits import write_data_limits
from ..model.data_limits import DataLimits
from ..model.structure import Structure
from ..potential.deviation import limits_of
from ..potential.potential import Potential
from ..settings.train import TrainInput
from ..tools.interrupts import Interrupt
from ..tools.locks import alone_in_python
from ..tools.parallel import Job, Outcome, run_jobs
from ..tools.progress import JobsProgress, Steps, Tell, progress_of_jobs, tell_progress
from ..tools.ranks import ALONE, Ranks
from ..tools.whole_folder import begin_folder, finish_folder
from .checkpoint import fingerprint
from .data import TrainingData
from .fit import Fit
from .loop import Epoch
from .networks import Initial, existing_potentials, starting_networks, weights_generator
from .observer import CallbackObserver, Observer, ProgressObserver
from .prepare import Problem, prepare
from .run import train_problem
from .split import started_from

CRITERION = "that with the smallest error by which best epochs are chosen (BEST)"
"""What makes a member the best."""


@dataclass(frozen=True)
class MemberErrors:
    """A member in numbers: errors at its best epoch, eV/atom and eV/Å, None where they are not known; seconds."""

    epochs: float | None
    """Number of the last epoch."""
    best_epoch: float | None
    best_value: float | None
    """What the best epoch has least of, eV²/atom²."""
    train_rmse: float | None
    test_rmse: float | None
    test_force_rmse: float | None
    energy_rmse: float | None
    """Of the validation structures, as the next three."""
    force_mae: float | None
    force_rmse: float | None
    force_error_norm_mean: float | None
    seconds: float | None

    @classmethod
    def of(cls, fit: Fit) -> MemberErrors:
        """The numbers of a training."""
        best, errors = fit.best, fit.errors
        return cls(
            epochs=int(fit.history.epoch[-1]),
            best_epoch=fit.best_epoch,
            best_value=fit.best_value,
            train_rmse=best.train_rmse,
            test_rmse=best.test_rmse if fit.counts.n_test else None,
            test_force_rmse=best.test_force_rmse,
            energy_rmse=None if errors is None else errors.energy_rmse,
            force_mae=None if errors is None else errors.force_mae,
            force_rmse=None if errors is None else errors.force_rmse,
            force_error_norm_mean=None if errors is None else errors.force_error_norm_mean,
            seconds=fit.seconds,
        )


@dataclass(frozen=True)
class Summary:
    """A committee in numbers."""

    best_member: int
    """From 1."""
    criterion: str
    best: MemberErrors
    """Of the best member."""
    median: MemberErrors
    """Over the members; None where no member has a number."""
    spread: MemberErrors
    """Standard deviation of the members, with n − 1; None of fewer than two."""


def summary(errors: Mapping[int, MemberErrors]) -> Summary:
    """Sum a committee up, from the numbers of each member (from 1)."""

    def criterion(number: int) -> tuple[float, int]:
        # A training that broke down is never the best
        value = errors[number].best_value
        return value if value is not None and np.isfinite(value) else np.inf, number

    def over(reduce: Any, least: int) -> MemberErrors:
        found = {}
        for entry in fields(MemberErrors):
            values = [value for one in errors.values() if (value := getattr(one, entry.name)) is not None]
            found[entry.name] = float(reduce(values)) if len(values) >= least else None
        return MemberErrors(**found)

    best = min(errors, key=criterion)
    spread = over(lambda values: np.std(values, ddof=1), 2)
    return Summary(best, CRITERION, errors[best], over(np.median, 1), spread)


@dataclass(frozen=True, eq=False)
class CommitteeFit:
    """The trained members of a committee."""

    members: dict[int, Fit]
    """By number, from 1; those that failed or were not begun are missing."""
    failed: dict[int, str]
    """What went wrong, by number."""
    n: int
    """Members that were wanted."""
    interrupted: bool
    """Did the user break the training off?"""

    @property
    def errors(self) -> dict[int, MemberErrors]:
        """The numbers of each member."""
        return {number: MemberErrors.of(fit) for number, fit in self.members.items()}

    @property
    def summary(self) -> Summary:
        """The committee in numbers."""
        return summary(self.errors)

    @property
    def best(self) -> Fit:
        """The best member, by its test error."""
        return self.members[self.summary.best_member]

    @property
    def limits(self) -> DataLimits:
        """What the members remember of their data, by which structures unlike them are told."""
        return DataLimits.common([potential.limits for potential in self.potentials])

    @property
    def potentials(self) -> tuple[Potential, ...]:
        """Those of the members, for `Calculator.committee`."""
        return tuple(fit.potential for fit in self.members.values())

    def save(self, folder: str | PathLike[str], overwrite: bool = False) -> list[Path]:
        """Write the potential of each member to a folder of its own, 01, 02, …; return the paths of their files.

        `limits` go to a file beside them.

        The folder appears as a whole; what else was in it stays.

        Raises
        ------
        InputError
            if a file exists or cannot be written.
        """
        with alone_in_python(folder):
            place = begin_folder(folder)
            written = [fit.potential.save(place / f"{number:02d}", overwrite) for number, fit in self.members.items()]
            write_data_limits(place, self.limits)
            finish_folder(folder)
        return [Path(folder) / path.relative_to(place) for paths in written for path in paths]

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `train`, but for the files that it writes."""
        found = self.summary
        return {
            **self.best.to_dict(),
            "interrupted": self.interrupted,
            "committee": {
                "n": self.n,
                "split": self.best.settings.committee.split,
                "limits": asdict(self.limits),
                "members": [{"member": number, **fit.to_dict()} for number, fit in self.members.items()],
                **asdict(found),
                "failed": [{"member": number, "error": error} for number, error in self.failed.items()],
            },
        }


class CommitteeObserver:
    """Looks away.  Who wants to know more overrides what is called, `member` and its observers in other threads.

    Attributes
    ----------
    interrupt
        keeps Ctrl-C from breaking into `ended`, where it catches signals
    """

    def __init__(self) -> None:
        self.interrupt = Interrupt()

    def preparing(self) -> Observer:
        """Observer of the preparation of the data that all members share."""
        return Observer()

    def begun(self, threads: int) -> None:
        """The members are about to start."""

    def running(self, n: int, last: int) -> AbstractContextManager[JobsProgress]:
        """Around the training of `n` members up to epoch `last`: shows how far they are."""
        return nullcontext(JobsProgress(n, last, lambda done, note="": None))

    def member(self, number: int, show: Steps, interrupt: Interrupt) -> AbstractContextManager[Observer]:
        """Observer of a member (from 1), with this interrupt; `show` shows its progress."""
        return nullcontext(ProgressObserver(show, interrupt))

    def ended(self, number: int, fit: Fit | None, error: str | None) -> None:
        """A member has come to its end, perhaps by an error, or (neither) interrupted."""

    def stopping(self) -> bool:
        """Return True if no more members are to be begun."""
        return False


class CommitteeProgress(CommitteeObserver):
    """Shows bars, or lines where there is no terminal."""

    def preparing(self) -> Observer:
        """Show how far the preparation is."""
        return ProgressObserver()

    def running(self, n: int, last: int) -> AbstractContextManager[JobsProgress]:
        """Show how far the members are."""
        return progress_of_jobs("committee", n, last, "epochs")


class CommitteeCallback(CommitteeObserver):
    """Calls a function with number and epoch of a member after each of its epochs; True ends it."""

    def __init__(self, function: Callable[[int, Epoch], bool | None]) -> None:
        super().__init__()
        self._function = function

    def member(self, number: int, show: Steps, interrupt: Interrupt) -> AbstractContextManager[Observer]:
        """Pass the epochs on."""
        return nullcontext(CallbackObserver(partial(self._function, number), interrupt))


@dataclass(frozen=True)
class Member:
    """One of a committee."""

    settings: TrainInput
    """Those of all, but for the potential files, from which the member goes on if they exist."""
    checkpoint: Path | None = None
    resume: bool = False
    """Continue from the checkpoint?"""
    fresh: bool = True
    """Leave potential files alone?"""
    initial: Initial = field(default_factory=dict)
    """Potentials to start from, where these files are left alone."""

    @property
    def start(self) -> Initial:
        """Potentials to start from."""
        return self.initial if self.fresh else existing_potentials(self.settings.networks)


def run_committee(
    members: Sequence[Member],
    data: TrainingData,
    threads: int,
    observer: CommitteeObserver | None = None,
    ranks: Ranks = ALONE,
) -> CommitteeFit:
    """Train all members, as many at a time as there are threads.

    The data are packed once for all (with ``split=own`` for every member).  Each member starts from its own random
    weights and is otherwise an ordinary training, the first that without a committee; its result does not depend on
    the number of threads, nor on what runs beside it.  Each of several `ranks` trains some of the members, and has all
    data; the first gets all results.

    Raises
    ------
    InputError
        if data, networks or settings do not fit together.
    TaylorfitError
        if no member could be trained.
    KeyboardInterrupt
        if the user interrupts before there is anything to return.
    """
    observer, settings = observer or CommitteeObserver(), members[0].settings
    first = replace(data, initial=members[0].start)
    own, at_once = settings.committee.split == "own", min(threads, len(members))
    problem = prepare(
        settings,
        first,
        threads,
        at_once=1 if own else at_once,
        resumed=members[0].resume,
        observer=observer.preparing(),
    )
    known, tested = _structures(data, problem)
    identity: str | None = problem.identity()
    shared: Problem | TrainingData = problem
    if own:
        identity, shared = None, data
    # What the members do not share is freed
    del problem, first, data
    observer.begun(threads)
    jobs = [
        Job(f"{number:02d}", _train_member, (number, member, shared, identity, at_once, observer))
        for number, member in enumerate(members, start=1)
        if number - 1 in ranks.share(len(members))
    ]
    with observer.running(len(jobs), settings.iterations) as bars:

        def ended(outcome: Outcome) -> None:
            bars.end(outcome.name)
            observer.ended(int(outcome.name), outcome.result, outcome.error)

        def told(name: str, message: tuple[int, str]) -> None:
            bars.update(name, *message)

        outcomes, interrupted = run_jobs(
            jobs, threads, told=told, ended=ended, stop=observer.stopping, interrupt=observer.interrupt
        )
    fits = {int(outcome.name): outcome.result for outcome in outcomes if outcome.result is not None}
    failed = {int(outcome.name): outcome.error for outcome in outcomes if outcome.error is not None}
    parts = ranks.gather((fits, failed, interrupted))
    for more_fits, more_failed, more_interrupted in parts[1:]:
        fits, failed, interrupted = fits | more_fits, failed | more_failed, interrupted or more_interrupted
    if not ranks.is_root:
        return CommitteeFit(fits, failed, len(members), interrupted)
    if not fits:
        if interrupted:
            raise KeyboardInterrupt
        number, error = next(iter(failed.items()), (1, "not begun"))
        raise TaylorfitError(f"no member could be trained; member {number:02d}: {error}")
    limits = limits_of([fit.potential for fit in fits.values()], known, tested, threads)
    fits = {number: replace(fit, potential=replace(fit.potential, limits=limits)) for number, fit in fits.items()}
    return CommitteeFit(fits, failed, len(members), interrupted)


def _structures(data: TrainingData, problem: Problem) -> tuple[list[Structure], list[Structure]]:
    """The reference structures that count, without copies, and those of them that are tested; none without cells."""
    if data.reference is None:
        return [], []
    found, pushed, ignored = data.reference.structures, data.reference.pushed_from, data.reference.ignored
    known = [found[s] for s in found if s not in pushed and s not in ignored]
    return known, [found[s] for _, s in problem.split.test if s not in ignored]


def _train_member(
    number: int,
    member: Member,
    shared: Problem | TrainingData,
    identity: str | None,
    share: int,
    observer: CommitteeObserver,
    *,
    threads: int,
    tell: Tell,
    interrupt: Interrupt,
) -> Fit:
    """Train a member (from 1) in a thread of its own, on the problem that all share or on data to be packed."""
    settings, place = member.settings, number - 1
    with observer.member(number, tell_progress(tell), interrupt) as own:
        if isinstance(shared, TrainingData):
            data = replace(shared, initial=member.start)
            problem = prepare(settings, data, threads, member=place, share=share, resumed=member.resume, observer=own)
        else:
            generator, initial = weights_generator(settings.seed, place), member.start
            starts = starting_networks(settings.networks, shared.main, generator, initial)
            problem = started_from(
                replace(shared, settings=settings, threads=threads), initial, starts, resumed=member.resume
            )
            own.prepared(problem)
        identity = fingerprint(text=f"{identity or problem.identity()} member {place}")
        return train_problem(
            problem, checkpoint=member.checkpoint, identity=identity, resume=member.resume, observer=own
        )
