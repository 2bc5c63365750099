"""Displacement strategies: bounds, sums, counts, seeds, and distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.errors import InputError
from taylorfit.model.provenance import parse_copy_name
from taylorfit.taylor import displacements as module
from taylorfit.taylor.displacements import CartesianDisplacements, RandomDisplacements
from taylorfit.taylor.selection import AtomSelection, SkipReason

SPECIES = ("H", "O", "Ti")


@st.composite
def selections(draw, min_structures=1, max_structures=8):
    """Structures of up to 12 atoms; some skipped, some with atoms that must stay."""
    result = []
    for _ in range(draw(st.integers(min_structures, max_structures))):
        n_atoms = draw(st.integers(1, 12))
        symbols = tuple(draw(st.lists(st.sampled_from(SPECIES), min_size=n_atoms, max_size=n_atoms)))
        kind = draw(st.sampled_from(["all", "all", "some", "none"])) if n_atoms > 1 else "none"
        if kind == "some":
            displaced = np.array(draw(st.lists(st.booleans(), min_size=n_atoms, max_size=n_atoms)))
        else:
            displaced = np.full(n_atoms, kind == "all")
        result.append(AtomSelection(symbols, displaced, None if displaced.any() else SkipReason.NO_ATOM))
    return result


def everything(n_atoms, symbol="O"):
    return AtomSelection((symbol,) * n_atoms, np.ones(n_atoms, dtype=bool))


deltas = st.floats(1e-4, 0.2)
fractions = st.floats(0.05, 20.0)
seeds = st.integers(0, 2**40)


def rounded(x):
    return int(np.floor(x + 0.5))


@given(selections(), deltas, st.dictionaries(st.sampled_from(SPECIES), st.floats(1e-4, 0.2) | st.just(0.0)), seeds)
def test_random_is_bounded_and_centred(chosen, delta, species_delta, seed):
    strategy = RandomDisplacements(delta, 5, species_delta=species_delta, seed=seed)
    plan = strategy.plan(chosen)
    for s, selection in enumerate(chosen):
        bound = np.array([species_delta.get(symbol, delta) for symbol in selection.symbols])
        movable = selection.displaced & (bound > 0.0)
        moved = plan.displacements(s)
        assert moved.shape == (5 if movable.any() else 0, selection.n_atoms, 3)
        assert np.all(np.linalg.norm(moved, axis=2) <= bound)
        assert np.all(moved[:, ~movable] == 0.0)
        if movable.sum() > 1:
            assert np.abs(moved.sum(axis=1)).max() <= 1e-15 * selection.n_atoms * bound.max() * 10
        assert np.all(np.abs(moved[:, movable]).max(axis=2) > 0.0)


@pytest.mark.parametrize("rounds", [1, 2])
def test_random_is_bounded_and_centred_even_where_there_is_no_room(monkeypatch, rounds):
    monkeypatch.setattr(module, "_MAX_ROUNDS", rounds)
    chosen = AtomSelection(("Ti",) + ("H",) * 30, np.ones(31, dtype=bool))
    moved = RandomDisplacements(0.1, 200, species_delta={"H": 1e-3}).plan([chosen]).displacements(0)
    assert np.all(np.linalg.norm(moved, axis=2) <= [0.1] + [1e-3] * 30)
    assert np.abs(moved.sum(axis=1)).max() < 1e-16


@given(selections(), deltas, fractions, seeds, st.none() | st.integers(0, 60))
def test_random_counts(chosen, delta, fraction, seed, max_copies):
    plan = RandomDisplacements(delta, fraction, max_copies=max_copies, seed=seed).plan(chosen)
    eligible = np.array([selection.displaced.any() for selection in chosen])
    assert plan.n_wanted == rounded(fraction * eligible.sum())
    assert plan.total == (plan.n_wanted if max_copies is None else min(plan.n_wanted, max_copies))
    assert np.all(plan.n_copies[~eligible] == 0)
    if eligible.any():
        assert np.ptp(plan.n_copies[eligible]) <= 1
    for s in range(len(chosen)):
        names = plan.copy_names(s, "p#1")
        assert len(names) == len(plan.displacements(s)) == plan.n_copies[s]
        for c, name in enumerate(names):
            read = parse_copy_name(name)
            assert (read.parent, read.strategy, read.index, read.delta) == ("p#1", "random", c, delta)


@given(selections(), deltas, fractions, seeds, st.none() | st.integers(0, 60))
def test_cartesian_counts_and_displacements(chosen, delta, fraction, seed, max_copies):
    species_delta = {"H": 0.5 * delta}
    plan = CartesianDisplacements(delta, fraction, max_copies, species_delta, seed).plan(chosen)
    pairs = sum(int(selection.displaced.sum()) for selection in chosen)
    wanted = rounded(fraction * sum(selection.displaced.any() for selection in chosen))
    expected = min(-(-wanted // 6), pairs)
    if max_copies is not None:
        expected = min(expected, max_copies // 6)
    assert plan.n_wanted == wanted
    assert plan.total == 6 * expected
    for s, selection in enumerate(chosen):
        atoms = plan.atoms[s]
        assert np.all(np.diff(atoms) > 0)  # without replacement
        assert np.all(selection.displaced[atoms])
        moved = plan.displacements(s).reshape(len(atoms), 6, selection.n_atoms, 3)
        names = plan.copy_names(s, "p")
        assert len(names) == 6 * len(atoms)
        for a, atom in enumerate(atoms):
            step = species_delta.get(selection.symbols[atom], delta)
            assert moved[a, :, atom].tolist() == [
                [step, 0, 0],
                [-step, 0, 0],
                [0, step, 0],
                [0, -step, 0],
                [0, 0, step],
                [0, 0, -step],
            ]
            assert np.count_nonzero(moved[a]) == 6
            for c in range(6):
                read = parse_copy_name(names[6 * a + c])
                axis = "xyz".index(read.site[-1])
                assert read.index == 6 * a + c and int(read.site[:-2]) == atom + 1
                assert moved[a, c, atom, axis] == (read.delta if read.site[-2] == "+" else -read.delta)


@pytest.mark.parametrize("kind", [CartesianDisplacements, RandomDisplacements])
@given(chosen=selections(), fraction=fractions, seed=seeds)
@settings(max_examples=30)
def test_same_seed_same_bits_whatever_the_order_of_the_work(kind, chosen, fraction, seed):
    one, two = (kind(0.01, fraction, seed=seed).plan(chosen) for _ in range(2))
    forward = [one.displacements(s) for s in range(len(chosen))]
    backward = [two.displacements(s) for s in reversed(range(len(chosen)))][::-1]
    for a, b in zip(forward, backward):
        assert a.tobytes() == b.tobytes()


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9), seeds)
def test_a_random_copy_does_not_depend_on_the_number_of_copies(n_atoms, few, more, seed):
    plans = [RandomDisplacements(0.01, a, seed=seed).plan([everything(n_atoms)] * 2) for a in (few, few + more)]
    for s in range(2):
        assert plans[0].displacements(s).tobytes() == plans[1].displacements(s)[:few].tobytes()


@given(selections(min_structures=3), st.floats(0.5, 10.0), st.floats(0.5, 10.0), seeds)
def test_a_larger_fraction_of_cartesian_only_adds_atoms(chosen, fraction, more, seed):
    small, large = (CartesianDisplacements(0.01, a, seed=seed).plan(chosen) for a in (fraction, fraction + more))
    assert all(set(a) <= set(b) for a, b in zip(small.atoms, large.atoms))


def test_structures_seeds_and_strategies_have_their_own_random_numbers():
    chosen = [everything(6)] * 40
    plans = [RandomDisplacements(0.01, 3, seed=seed).plan(chosen) for seed in (1, 2)]
    blocks = {plan.displacements(s).tobytes() for plan in plans for s in range(40)}
    assert len(blocks) == 80
    atoms = [CartesianDisplacements(0.01, 6, seed=seed).plan(chosen).atoms for seed in (1, 2)]
    assert any(a.tolist() != b.tolist() for a, b in zip(*atoms))


@pytest.mark.parametrize(("n_atoms", "size"), [(2, 1.0), (3, 0.80), (6, 0.91), (18, 0.985), (56, 1.0), (192, 1.0)])
def test_random_is_nearly_uniform_in_the_ball(n_atoms, size):
    delta, n_copies = 0.02, 200_000 // n_atoms
    moved = RandomDisplacements(delta, n_copies).plan([everything(n_atoms)]).displacements(0).reshape(-1, 3) / delta
    second = moved.T @ moved / len(moved)
    assert 5.0 * np.trace(second) / 3.0 == pytest.approx(size, abs=0.015)  # ⟨δ_x²⟩ = δ²/5
    assert np.abs(5.0 * second - np.eye(3) * 5.0 * np.trace(second) / 3.0).max() < 0.02  # isotropic
    assert np.abs(moved.mean(axis=0)).max() < 1e-12
    if size == 1.0:
        volume = np.linalg.norm(moved, axis=1) ** 3  # uniform in the ball ⇔ uniform in r³
        assert np.quantile(volume, [0.1, 0.25, 0.5, 0.75, 0.9]) == pytest.approx([0.1, 0.25, 0.5, 0.75, 0.9], abs=0.01)


def test_random_displacements_of_two_atoms_are_uncorrelated_but_for_the_sum():
    n_atoms = 20
    moved = RandomDisplacements(1.0, 20_000).plan([everything(n_atoms)]).displacements(0)[..., 0]
    correlation = np.corrcoef(moved.T)
    other = correlation[~np.eye(n_atoms, dtype=bool)]
    assert other.mean() == pytest.approx(-1.0 / (n_atoms - 1), abs=1e-3)  # what a zero sum implies
    assert np.abs(other - other.mean()).max() < 0.03


def test_one_selected_atom_moves_freely():
    chosen = AtomSelection(("O", "H", "H"), np.array([False, True, False]))
    moved = RandomDisplacements(0.01, 5_000).plan([chosen]).displacements(0)
    assert np.all(moved[:, [0, 2]] == 0.0)
    assert (moved[:, 1] ** 2).mean() == pytest.approx(0.01**2 / 5.0, rel=0.03)


def test_the_papers_numbers_of_copies():
    chosen = [everything(18)] * 471
    assert RandomDisplacements(0.008, 22).plan(chosen).total == 10_362
    plan = CartesianDisplacements(0.03, 11).plan(chosen)
    assert (plan.n_wanted, plan.total) == (5_181, 5_184)
    assert CartesianDisplacements(0.03, 11, max_copies=5_100).plan(chosen).total == 5_100
    assert CartesianDisplacements(0.03, 1_000).plan(chosen).total == 471 * 18 * 6


@pytest.mark.parametrize("kind", [CartesianDisplacements, RandomDisplacements])
def test_nothing_to_displace(kind):
    still = AtomSelection(("O",), np.array([False]), SkipReason.SINGLE_ATOM)
    plan = kind(0.01, 5).plan([still])
    assert plan.total == plan.n_wanted == 0
    assert plan.displacements(0).shape == (0, 1, 3)
    assert plan.copy_names(0, "p") == []
    assert kind(0.01, 5).plan([]).total == 0


@pytest.mark.parametrize("kind", [CartesianDisplacements, RandomDisplacements])
@pytest.mark.parametrize(
    "values",
    [
        {"delta": 0.0},
        {"delta": -0.1},
        {"delta": np.nan},
        {"n_copies": 0.0},
        {"n_copies": np.inf},
        {"max_copies": -1},
        {"seed": -1},
        {"species_delta": {"H": -0.01}},
        {"species_delta": {"H": np.inf}},
    ],
)
def test_impossible_values_are_refused(kind, values):
    with pytest.raises(InputError):
        kind(**{"delta": 0.01, "n_copies": 5.0, **values})
