"""Going on from potentials: the test structures are ones that they were not trained on, or the last epoch is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import generate_in, make_toy, morse_cluster, report, run, succeed, train_in
from taylorfit import InputError, Structure
from taylorfit.potential.potential import Potential
from taylorfit.training.split import recorded_split

FEW, MANY = 60, 90
Train = Callable[..., tfit.Fit]


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    rng = np.random.default_rng(3)
    return [morse_cluster(rng, name=f"s{k}") for k in range(MANY)]


@pytest.fixture(scope="module")
def train(structures: list[Structure]) -> Train:
    setup = tfit.propose(structures)

    def call(n: int = MANY, epochs: int = 3, **options: Any) -> tfit.Fit:
        options = {"networks": [(4, "tanh")], "test_fraction": 0.3, "threads": 1, **options}
        return tfit.train(structures[:n], setup, epochs=epochs, **options)

    return call


def test_a_split_by_hash_is_that_of_the_verb_and_goes_on(train: Train, structures: list[Structure]) -> None:
    few, more = train(FEW, split="hash"), train(split="hash")
    for fit, data in ((few, structures[:FEW]), (more, structures)):
        assert fit.counts.n_test == len(tfit.split(data, 0.3, by="hash")[1]) > 10
    # By the record in the potential, without being told
    on = train(initial=few.potential)
    assert on.counts.n_test == more.counts.n_test and on.criterion == "energy"
    assert {recorded_split(part) for part in on.potential.parts} == {"split=hash seed=1 member=0 percent=30"}
    assert on.potential.parts[0].setup.description.count("test structures") == 1


def test_the_record_survives_files(train: Train, tmp_path: Path) -> None:
    train(FEW, split="hash").potential.save(tmp_path)
    (part,) = Potential.load(tmp_path).parts
    assert recorded_split(part) == "split=hash seed=1 member=0 percent=30"
    assert train(initial=tmp_path).counts.n_test == train(split="hash").counts.n_test


def test_with_other_data_a_random_test_set_is_refused(train: Train) -> None:
    few = train(FEW)
    with pytest.raises(InputError, match="test set drawn with SEED.*SPLIT hash"):
        train(initial=few.potential)
    with pytest.raises(InputError, match="SPLIT hash"):
        train(FEW, initial=train(FEW, split="hash").potential, split="seed")
    # The same data have the same test set, without one nothing is tested, and a look at other data is no training
    assert train(FEW, initial=few.potential).criterion == "energy"
    assert train(initial=few.potential, test_fraction=0.0).criterion == "energy"
    assert train(initial=few.potential, epochs=0).counts.n_test == 27


@pytest.mark.parametrize("options", [{}, {"seed": 2}, {"test_fraction": 0.4}])
def test_where_the_test_set_may_be_known_the_last_epoch_is_kept(train: Train, options: dict[str, Any]) -> None:
    start = train(FEW) if not options else train(FEW, split="hash")
    fit = train(initial=start.potential, split="hash", **options)
    assert (fit.criterion, fit.best_epoch) == ("last", 3)
    assert fit.potential.parts[0].network.weights.tobytes() == fit.last.parts[0].network.weights.tobytes()
    assert train(initial=start.potential, split="hash", best="energy", **options).criterion == "energy"
    # Nor does this potential promise that its test structures were never trained on
    assert {recorded_split(part) for part in fit.potential.parts} == {None}


def test_members_go_on_each_from_its_own(structures: list[Structure]) -> None:
    setup = tfit.propose(structures)
    options: dict[str, Any] = {"epochs": 2, "networks": [(4, "tanh")], "members": 2, "threads": 1}
    few = tfit.train_committee(structures[:FEW], setup, split="hash", **options)
    on = tfit.train_committee(structures, setup, initial=few.potentials, **options)
    for number, start in few.members.items():
        fit = on.members[number]
        np.testing.assert_allclose(fit.history.train_rmse[0], start.best.train_rmse, rtol=0.5)
        assert fit.criterion == "energy" and fit.counts.n_test > few.members[number].counts.n_test
    with pytest.raises(InputError, match="each member"):
        tfit.train_committee(structures, setup, initial=few.potentials[:1], **options)
    own = tfit.train_committee(structures[:FEW], setup, split="hash", test_sets="own", **options)
    assert len({recorded_split(p.parts[0]) for p in own.potentials}) == 2
    assert tfit.train_committee(structures, setup, initial=own.potentials, test_sets="own", **options).failed == {}


@pytest.mark.parametrize("n", [9, 10])
def test_few_test_structures_do_not_choose_the_epoch(train: Train, n: int) -> None:
    fits = [
        train(30, test_fraction=n / 30, epochs=80, **options)
        for options in ({}, {"best": "energy"}, {"patience": 100}, {"best": "last"})
    ]
    best = int(np.argmin(fits[0].history.test_rmse))
    assert best < 80 and fits[0].counts.n_test == n
    assert [fit.best_epoch for fit in fits] == [80 if n < 10 else best, best, best, 80]
    assert [fit.criterion == "last" for fit in fits] == [n < 10, False, False, True]
    for fit in fits:
        weights = (fit.last if fit.criterion == "last" else fit.potential).parts[0].network.weights
        assert fit.potential.parts[0].network.weights.tobytes() == weights.tobytes()
    assert train(30, test_fraction=0.0).criterion == "energy"


def test_from_the_command_line(tmp_path: Path) -> None:
    make_toy(tmp_path, 60)
    (tmp_path / "generate.in").write_text(generate_in(("Ar",), ("xsf/[0-3]*.xsf",)))
    (tmp_path / "all.in").write_text(generate_in(("Ar",), ("xsf/*.xsf",)))
    for split in ("seed", "hash"):
        for left in tmp_path.glob("Ar.nn*"):
            left.unlink()
        succeed(tmp_path, "generate", "generate.in", "--force")
        (tmp_path / "train.in").write_text(train_in(testpercent=40, iterations=2, split=split))
        report(tmp_path, "train", "train.in")
        succeed(tmp_path, "generate", "all.in", "--force")
        if split == "seed":
            refused = run(tmp_path, "train", "train.in")
            assert refused.code == 2 and "Ar.nn: a test set drawn with SEED" in refused.err
            assert report(tmp_path, "train", "train.in", "--fresh")["n_test"] == 24
        else:
            found = report(tmp_path, "train", "train.in")
            assert found["criterion"] == "energy" and 10 <= found["n_test"] < 40
    (tmp_path / "train.in").write_text(train_in(testpercent=40, iterations=2, split="hash", seed=2))
    result = succeed(tmp_path, "train", "train.in")
    assert (
        "the last epoch is kept; the starting potentials" in result.out and "last epoch 2, which is kept" in result.out
    )
