"""Splits: copies follow their parents, and one by hash stays when data are added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cli_support import morse_cluster
from taylorfit import InputError, Structure, repel, split
from taylorfit.model.provenance import copy_name


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    rng = np.random.default_rng(0)
    return [morse_cluster(rng, name=f"s{k}") for k in range(60)]


def names(structures: list[Structure]) -> list[str]:
    return [structure.name for structure in structures]


@pytest.mark.parametrize("by", ["seed", "hash"])
def test_all_are_on_one_side_in_their_order(structures, by):
    train, held_out = split(structures, 0.25, by=by)
    assert sorted(train + held_out, key=lambda s: int(s.name[1:])) == structures
    for side in (train, held_out):
        assert names(side) == sorted(names(side), key=lambda name: int(name[1:]))
    assert names(split(structures, 0.25, by=by)[1]) == names(held_out)
    assert names(split(structures, 0.25, by=by, seed=2)[1]) != names(held_out)
    assert names(split([s.to_ase() for s in structures], 0.25, by=by)[1]) == names(held_out)
    assert 8 <= len(held_out) <= 22 and (by == "hash" or len(held_out) == 15)


def test_copies_follow_their_parents(structures):
    copies = [replace(s, name=copy_name(s.name, "random", k, 0.01)) for k in range(3) for s in structures]
    for by in ("seed", "hash"):
        train, held_out = split([*copies[60:], *structures, *copies[:60]], 0.2, by=by)
        assert len(train) + len(held_out) == 240
        parents = {s.name for s in held_out if "#" not in s.name}
        assert names(split(structures, 0.2, by=by)[1]) == [s.name for s in structures if s.name in parents]
        assert {s.name.split("#")[0] for s in held_out} == parents
        assert not {s.name.split("#")[0] for s in train} & parents


def test_a_split_by_hash_stays_when_data_are_added(structures):
    few = {s.name for s in split(structures[:30], 0.3, by="hash")[1]}
    many = {s.name for s in split(structures[::-1], 0.3, by="hash")[1]}
    assert few and few == many & set(names(structures[:30]))


def test_pushed_copies_follow_their_parents(structures):
    copies = repel(structures, copies=2, push=(0.1, 0.3)).structures
    pushed = [replace(copy, name=f"pushed-{k}.xsf") for k, copy in enumerate(copies)]  # as files are named
    side_of = {s.content_hash(): s.name for s in structures}
    for by in ("seed", "hash"):
        train, held_out = split([*pushed[40:], *structures, *pushed[:40]], 0.2, by=by)
        assert len(train) + len(held_out) == len(structures) + len(pushed) and len(pushed) > 80
        parents = {s.name for s in held_out if not s.pushed_from}
        assert names(split(structures, 0.2, by=by)[1]) == [s.name for s in structures if s.name in parents]
        assert {side_of[s.pushed_from] for s in held_out if s.pushed_from} <= parents
        assert not {side_of[s.pushed_from] for s in train if s.pushed_from} & parents
    # By hash they know their side without the parent, too
    alone = {s.name for s in split(pushed, 0.2, by="hash")[1]}
    assert alone == {s.name for s in split([*structures, *pushed], 0.2, by="hash")[1] if s.pushed_from}


def test_structures_of_one_name_stay_together(structures):
    train, held_out = split([*structures, *structures[:10]], 0.5)
    assert not set(names(train)) & set(names(held_out))


def test_impossible_splits(structures):
    for arguments, message in (
        ({"fraction": 1.0}, "fraction"),
        ({"fraction": float("nan")}, "fraction"),
        ({"by": "name"}, "seed or hash"),
        ({"seed": -1}, "negative"),
    ):
        with pytest.raises(InputError, match=message):
            split(structures, **arguments)
    assert len(split(structures[:1], 0.9)[0]) == 1
    assert split(structures, 0.0)[1] == []
    with pytest.raises(InputError, match="nothing|no structures"):
        split(structures[0], 1.0 - 1e-12, by="hash")
