"""Which test structures tell the best epoch: enough of them, and none that the training started with knows.

A test structure that the starting potentials were trained on makes their error too small, and the best epoch comes too
early: after few epochs, with the weights of before.  A potential file knows how many structures it was trained on, but
not which.  So a test set drawn at random serves only where the data are the same; with other data the split must be by
a hash, and have been so before, which the description in the potential records.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.split import HASH, SEED
from ..errors import InputError
from ..model.network import SpeciesPotential, TrainingSetInfo
from ..settings.train import TrainInput
from .networks import Initial, StartingNetwork
from .split import SplitRule

if TYPE_CHECKING:
    from .prepare import Problem

RECORD = "test structures"
"""Key of the remark in the description of a potential."""
SAME = 1e-6
"""Relative difference of numbers written by ænet, as text or in double precision."""


FEW = 10
"""Of fewer test structures the best epoch is chance.

With frames of (H2O)6 and exact training, 22 to 180 of them for 700 epochs, the best epoch by n test frames has larger
force errors on others than the last epoch by (mean over draws; 10 % of them more than): n = 2: 4 to 8 % (10 to 19 %),
5: 2 to 5 % (5 to 14 %), 10: 1.1 to 1.5 % (3 to 6 %), 20: 0.5 % (1 %)."""


def doubt_of_few(n_test: int) -> tuple[str, ...]:
    """Why so many test structures do not tell the best epoch; empty if they do, or there are none."""
    if not 0 < n_test < FEW:
        return ()
    s = "s" if n_test > 1 else ""
    return (f"{n_test} test structure{s} cannot tell the best epoch ({FEW} can, or BEST energy or both)",)


def rule_of(settings: TrainInput, initial: Initial, member: int = 0) -> SplitRule:
    """How the test structures of a training are chosen: as SPLIT says, else as for the potentials it starts from."""
    recorded = [recorded_split(potential) for _, potential in initial.values()]
    by = settings.split or (HASH if recorded and all(recorded) else SEED)
    return SplitRule(by, settings.testpercent, settings.seed, member)


def started_from(
    problem: Problem, initial: Initial, starts: tuple[StartingNetwork, ...], resumed: bool = False
) -> Problem:
    """The problem with these starting networks, from these potentials, and whether its test structures are honest.

    A training that is `resumed` was checked when it began, and what lies in its folder now may be its own.

    Raises
    ------
    InputError
        if the potentials were trained on structures that would be test structures now.
    """
    doubts: tuple[str, ...] = ()
    record = split_record(problem.rule)
    if problem.settings.iterations and problem.split.test:
        doubts = check_start(problem.rule, initial, problem.info, resumed)
        record = None if doubts else record
        # Who sets PATIENCE has the training end by the test error
        if not problem.settings.patience and problem.rule.choose is None:
            doubts += doubt_of_few(len(problem.split.test))
    return replace(problem, starts=starts, doubts=doubts, record=record)


def check_start(rule: SplitRule, initial: Initial, info: TrainingSetInfo, resumed: bool = False) -> tuple[str, ...]:
    """See that no test structure is known to the starting potentials, as far as can be told.

    Parameters
    ----------
    info
        What a potential trained on these data remembers of them.
    resumed
        Other data are no fault: the weights are those of a checkpoint.

    Returns
    -------
    tuple of str
        Why the best epoch cannot be told, so that the last one is kept; empty where it can.

    Raises
    ------
    InputError
        if the test structures are drawn with SEED, and the potentials were trained on other data or split by a hash.
    """
    if not initial or not rule.percent or rule.choose is not None:
        return ()
    recorded = {recorded_split(potential) for _, potential in initial.values()}
    if rule.by == HASH:
        if recorded == {split_record(rule)}:
            return ()
        return (
            "the starting potentials were not trained with this SPLIT hash, SEED and TESTPERCENT, and may know test "
            "structures: the last epoch is kept",
        )
    others = [name for name, potential in initial.values() if not _same_data(potential.info, info)]
    if resumed or (recorded == {None} and not others):
        return ()
    raise InputError(
        "a test set drawn with SEED would hold structures that this potential was trained on",
        file=(others or [name for name, _ in initial.values()])[0],
        expected="the same structures as then; or SPLIT hash, now and then; or a new start (--fresh)",
    )


def _same_data(first: TrainingSetInfo, second: TrainingSetInfo) -> bool:
    if (first.n_structures, first.n_atoms) != (second.n_structures, second.n_atoms):
        return False

    def energies(info: TrainingSetInfo) -> np.ndarray:
        """Smallest, largest and mean energy per atom, eV."""
        return np.array([info.energy_min, info.energy_max, info.energy_mean]) / info.scale + info.shift

    return bool(np.abs(energies(first) - energies(second)).max() < SAME * max(1.0, np.abs(energies(second)).max()))


def split_record(rule: SplitRule) -> str | None:
    """What a potential remembers of a split that others can repeat; None of any other."""
    if rule.by != HASH or rule.choose is not None:
        return None
    return f"split=hash seed={rule.seed} member={rule.member} percent={rule.percent:g}"


def recorded_split(potential: SpeciesPotential) -> str | None:
    """The `split_record` of the training of a potential."""
    return potential.remark(RECORD)
