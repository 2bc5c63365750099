"""Which structures are trained on, and which are only tested: at random, or by a hash; copies follow their parent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.split import HASH, place_of
from ..errors import InputError
from ..model.provenance import parse_copy_name
from ..model.trainset import TrainingSet
from ..tools.randomness import Stream
from .pack import KEPT_ENERGY, Scaling
from .reference_data import ReferenceData


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
