"""`taylorfit train`: fit potentials to a training set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, TaylorfitError
from ..formats.aenet.rngstate import rngstate_test_set
from ..formats.data_limits import write_data_limits
from ..reporting.committee_log import CommitteeLog, print_committee
from ..reporting.training_log import TrainingLog
from ..settings.train import TrainInput
from ..tools.atomic_write import check_writable
from ..tools.interrupts import INTERRUPTED, deferred_interrupt, stop_obeyed
from ..tools.locks import alone
from ..tools.ranks import Ranks
from ..training.checkpoint import checkpoint_path
from ..training.committee import Member, run_committee
from ..training.data import TrainingData, read_data
from ..training.optimisers import method_notes
from ..training.outputs import MemberFiles, Outputs, TakingPart
from ..training.prepare import prepare
from ..training.run import train_problem
from .sources import threads_of

AENET_RESTART = "train.restart"
"""State of ænet's optimiser, which ænet loads and we do not need."""

AENET_STATE = "train.rngstate"
"""State of ænet's random generator; where it is, ænet (and so we) repeat its test set."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, print the table of epochs, write the potentials; return the report."""
    ranks: Ranks = arguments.ranks
    settings = ranks.from_root(lambda: _settings(arguments))
    threads = threads_of(arguments, settings.threads)
    if settings.committee.n > 1:
        places = [settings.committee.folder, *(spec.file for spec in settings.networks)]
        with alone(*places) if ranks.is_root else nullcontext():
            return _train_committee(settings, arguments, threads)
    if not ranks.is_root:
        return _take_part(settings, arguments, threads)
    checkpoint = checkpoint_path(arguments.input)
    if settings.checkpoint:
        check_writable(checkpoint)
    resume = arguments.resume and checkpoint.exists()
    if arguments.resume and not resume:
        print(f"note: there is no {checkpoint} to resume from: the training starts anew")
    outputs = Outputs(settings.networks, checkpoint=checkpoint if settings.checkpoint else None)
    log = TrainingLog(outputs, checkpoint if resume else None)
    with alone(*(spec.file for spec in settings.networks), *([checkpoint] if settings.checkpoint else [])):
        # The data are not kept: what is trained on is in the problem
        problem = prepare(settings, _read(settings, arguments), threads, resumed=resume, observer=log, ranks=ranks)
        resume = ranks.from_root(lambda: resume)
        fit = train_problem(problem, checkpoint=checkpoint, resume=resume, observer=log)
    if fit.status == "stopped":
        stop_obeyed()
    return outputs.report(fit)


def _settings(arguments: argparse.Namespace) -> TrainInput:
    """Read train.in, and see that its results can be written."""
    settings = TrainInput.read(arguments.input)
    if arguments.committee is not None:
        settings = replace(settings, committee=replace(settings.committee, n=arguments.committee))
    for note in method_notes(settings.method, settings.sampling):
        print(note)
    for spec in settings.networks:
        check_writable(spec.file)
    return settings


def _take_part(settings: TrainInput, arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Train as a rank that neither reads nor writes; return a report of nothing but the exit code."""
    ranks: Ranks = arguments.ranks
    with deferred_interrupt() as interrupt:
        observer = TakingPart(interrupt)
        problem = prepare(settings, None, threads, observer=observer, ranks=ranks)
        resume = ranks.from_root(lambda: False)
        checkpoint = checkpoint_path(arguments.input)
        fit = train_problem(problem, checkpoint=checkpoint, resume=resume, observer=observer)
    return {"exit_code": INTERRUPTED if fit.interrupted else 0}


def _read(settings: TrainInput, arguments: argparse.Namespace) -> TrainingData:
    """Read the data, and say what ænet has left in this folder."""
    choose_test = aenet_leftovers(settings.testpercent, rngstate=not arguments.no_rngstate)
    data = read_data(settings, arguments.input, fresh=arguments.fresh, choose_test=choose_test)
    for note in data.notes:
        print(note)
    return data


def aenet_leftovers(test_percent: float, rngstate: bool = True) -> Callable[[int], Collection[int]] | None:
    """Say what ænet has left in this folder; return the test set that it fixes, unless `rngstate` is not wanted."""
    if Path(AENET_RESTART).exists():
        print(f"note: {AENET_RESTART} of ænet is not used; training continues from the networks, with a new optimiser")
    if not rngstate or not Path(AENET_STATE).exists():
        return None
    print(
        f"note: the test set is ænet's, from {AENET_STATE} in this folder "
        "(--no-rngstate, or without the file: drawn with SEED)"
    )
    return partial(rngstate_test_set, AENET_STATE, test_percent=test_percent)


def _train_committee(settings: TrainInput, arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Train a committee, print its table, copy the potentials of the best; return the report."""
    ranks: Ranks = arguments.ranks
    if settings.committee.n < ranks.size:
        raise InputError(
            "more ranks than members of the committee, which they share out",
            file=arguments.input,
            value=f"{ranks.size} ranks",
            expected=f"at most {settings.committee.n}",
        )
    final = MemberFiles.of(settings, arguments.input)

    def begun() -> tuple[MemberFiles, frozenset[int], TrainingData]:
        files = final.begin(go_on=arguments.resume)
        resumed = frozenset(k for k in files.numbers if arguments.resume and files.checkpoint(k).exists())
        if arguments.resume and not resumed:
            print(f"note: there is no {final.checkpoint(1)} to resume from, nor of another member: all start anew")
        return files, resumed, _read(files.settings_of(1), arguments)

    files, resumed, data = ranks.from_root(begun)
    members = [Member(files.settings_of(k), files.checkpoint(k), k in resumed, arguments.fresh) for k in files.numbers]
    log = CommitteeLog(files, resumed)
    try:
        committee = run_committee(members, data, threads, log, ranks)
    except InputError:
        if not resumed:
            files.abandon()
        raise
    if not ranks.is_root:
        return {}
    if any(fit.status == "stopped" for fit in committee.members.values()):
        stop_obeyed()
    files = files.finish()
    print_committee(committee, files)
    write_data_limits(settings.committee.folder, committee.limits)
    files.copy_potentials(committee.summary.best_member)
    if log.nothing_done:
        print("nothing was done: the trainings of all members were over")
    report = committee.to_dict()
    report["committee"]["members"] = [
        {"member": number, "folder": str(files.folder(number)), **files.outputs(number).report(fit)}
        for number, fit in committee.members.items()
    ]
    code = INTERRUPTED if committee.interrupted else TaylorfitError.exit_code if committee.failed else 0
    return {**report, "potentials": [spec.file for spec in settings.networks], "exit_code": code}
