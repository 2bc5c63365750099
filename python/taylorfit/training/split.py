"""Which structures are trained on, and which are only tested: at random, or by a hash; copies follow their parent.

Test structures tell the best epoch where they are enough, and none that the training started with knows.  One that the
starting potentials were trained on makes their error too small, and the best epoch comes too early: after few epochs,
with the weights of before.  A potential file knows how many structures it was trained on, but not which.  So a test set
drawn at random serves only where the data are the same; with other data the split must be by a hash, and have been so
before, which the description in the potential records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..data.split import HASH, SEED, place_of
from ..errors import InputError
from ..model.network import SpeciesPotential, TrainingSetInfo
from ..model.provenance import parse_copy_name
from ..model.trainset import TrainingSet
from ..settings.train import TrainInput
from ..tools.randomness import Stream
from .data import ReferenceData
from .networks import Initial, StartingNetwork
from .pack import KEPT_ENERGY, Scaling

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


@dataclass(frozen=True)
class SplitRule:
    """How test structures are chosen.

    Each draws its own where a `choose` is given: from a number of reference structures to the test structures' numbers.
    """

    by: str
    """`seed` or `hash`, as of `data.split.split`."""
    percent: float
    """Of the reference structures, to be tested."""
    seed: int
    member: int = 0
    """Of a committee, from 0; 0: also that of an ordinary training."""
    choose: Callable[[int], Collection[int]] | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Which structures are trained on and which are only tested; pairs (training set, structure)."""

    train: list[tuple[int, int]]
    """Parents, each followed by its Taylor copies."""
    test: list[tuple[int, int]]
    """Reference structures alone."""
    n_dropped: int
    """Reference structures above MAXENERGY."""
    n_unused_copies: int
    """Copies of test or dropped structures, which are never trained on."""
    n_orphans: int = 0
    """Copies with pushed atoms of structures that are not there."""


def split_parents(
    sources: Sequence[TrainingSet],
    scaling: Scaling,
    rule: SplitRule,
    files: Sequence[str] | None = None,
    reference: ReferenceData | None = None,
) -> Split:
    """Split the reference structures of ``sources[0]`` into train and test; copies follow their parent.

    Taylor copies may stand in any of the files; copies with pushed atoms are among the reference structures, which
    `reference` tells.  By seed, the number of training structures is ceil((1 − p/100)·N), as in ænet.  `files` are the
    names of the sources, for errors.

    Raises
    ------
    InputError
        if a Taylor copy names a parent that is not in the first file, or nothing is left to train on.
    """
    main = sources[0]
    where = [None] * len(sources) if files is None else files
    parents, copies = _parents_and_copies(sources, where)
    per_atom = scaling.energies(main) / main.n_atoms
    ignored = frozenset() if reference is None else reference.ignored
    # Energies that do not count are no reason to leave a structure out
    kept = [s for s in parents if per_atom[s] <= KEPT_ENERGY or s in ignored]
    pushed = {} if reference is None else reference.pushed_from
    content = {s: main.names[s] for s in kept} | ({} if reference is None else reference.content)
    test = _test_structures(kept, content, pushed, rule)
    if len(test) == sum(s not in pushed for s in kept):
        raise InputError("no structures to train on", file=where[0], value=len(test), expected="at least one")
    # By name: a structure that is listed twice may be on both sides, but its copies must not be trained on
    names, contents = {main.names[s] for s in test}, {content[s] for s in test}
    there = {content[s] for s in kept if s not in pushed}
    train: list[tuple[int, int]] = []
    n_unused = n_orphans = 0
    for s in kept:
        if s in pushed:
            n_orphans += pushed[s] not in there
            if pushed[s] in contents or (pushed[s] not in there and _is_tested(pushed[s], rule)):
                n_unused += 1
                continue
        if s not in test:
            train.append((0, s))
            if main.names[s] not in names:
                train.extend(copies.pop(main.names[s], ()))
    return Split(
        train=train,
        test=[(0, s) for s in sorted(test)],
        n_dropped=len(parents) - len(kept),
        n_unused_copies=n_unused + sum(map(len, copies.values())),
        n_orphans=n_orphans,
    )


def _is_tested(content: str, rule: SplitRule) -> bool:
    """Whether the hash alone decides that a structure is tested."""
    member = (rule.member,) if rule.member else ()
    return rule.by == HASH and rule.choose is None and place_of(content, rule.seed, *member) < 0.01 * rule.percent


def _test_structures(kept: Sequence[int], content: dict[int, str], pushed: dict[int, str], rule: SplitRule) -> set[int]:
    """The test structures among those that are `kept`, none of them pushed."""
    if rule.choose is not None:
        return {kept[index] for index in rule.choose(len(kept))} - pushed.keys()
    own = [s for s in kept if s not in pushed]
    if rule.by == HASH:
        return {s for s in own if _is_tested(content[s], rule)}
    # The tiny subtraction keeps rounding from turning e.g. 0.9·60 = 54.000…01 into 55
    n_train = int(np.ceil((1.0 - rule.percent / 100.0) * len(own) - 1.0e-9))
    rng = Stream.TEST_SET.generator(rule.seed, rule.member)
    return {own[index] for index in rng.choice(len(own), len(own) - n_train, replace=False).tolist()}


def _parents_and_copies(
    sources: Sequence[TrainingSet], where: Sequence[str | None]
) -> tuple[list[int], dict[str, list[tuple[int, int]]]]:
    """The reference structures, and the Taylor copies of each by its name: displaced ones before strained ones."""
    copies: dict[str, list[tuple[int, int]]] = {}
    strained: dict[str, list[tuple[int, int]]] = {}
    parents: list[int] = []
    for k, source in enumerate(sources):
        for s, name in enumerate(source.names):
            provenance = parse_copy_name(name)
            if provenance is not None:
                (strained if provenance.is_strained else copies).setdefault(provenance.parent, []).append((k, s))
            elif k == 0:
                parents.append(s)
            else:
                raise InputError(
                    "TAYLORSET holds a structure that is no Taylor copy",
                    file=where[k],
                    value=name,
                    expected="copies written by generate",
                )
    for parent, found in strained.items():
        copies.setdefault(parent, []).extend(found)
    orphans = sorted(set(copies) - {sources[0].names[s] for s in parents})
    if orphans:
        raise InputError(
            "a Taylor copy names a parent that is not in TRAININGSET",
            file=where[copies[orphans[0]][0][0]],
            value=orphans[0],
            expected="TRAININGSET and TAYLORSET of one generate run",
        )
    return parents, copies


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
