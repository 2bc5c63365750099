"""Orthogonal, antithetic and normal-mode displacements, and displacements without rotations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.errors import InputError
from taylorfit.model.provenance import parse_copy_name
from taylorfit.taylor.displacements import AntitheticDisplacements, CartesianDisplacements, RandomDisplacements
from taylorfit.taylor.modes import ModeDisplacements, normal_modes
from taylorfit.taylor.orthogonal import OrthogonalDisplacements
from taylorfit.taylor.rigid import rigid_motions
from taylorfit.taylor.selection import AtomSelection, SkipReason

SPECIES = ("H", "O", "Ti")
deltas = st.floats(1e-4, 0.2)
seeds = st.integers(0, 2**40)


@st.composite
def placed(draw, min_atoms=2):
    """One structure with positions; some of its atoms may have to stay."""
    n_atoms = draw(st.integers(min_atoms, 10))
    symbols = tuple(draw(st.lists(st.sampled_from(SPECIES), min_size=n_atoms, max_size=n_atoms)))
    positions = np.random.default_rng(draw(st.integers(0, 2**32))).normal(scale=2.0, size=(n_atoms, 3))
    displaced = np.array(draw(st.lists(st.booleans(), min_size=n_atoms, max_size=n_atoms)))
    if draw(st.booleans()) or not displaced.any():
        displaced[:] = True
    return AtomSelection(symbols, displaced, positions=positions, is_periodic=draw(st.booleans()))


def everything(n_atoms, seed=0, periodic=False):
    positions = np.random.default_rng(seed).normal(scale=2.0, size=(n_atoms, 3))
    return AtomSelection(("O",) * n_atoms, np.ones(n_atoms, dtype=bool), positions=positions, is_periodic=periodic)


def hessian_of(n_atoms, seed=1):
    half = np.random.default_rng(seed).normal(size=(3 * n_atoms, 3 * n_atoms))
    return half + half.T


def strategy_of(kind, delta, fraction, n_atoms, **options):
    """A strategy for structures of so many atoms."""
    if kind is ModeDisplacements:
        options["hessians"] = lambda index: hessian_of(n_atoms[index])
    return kind(delta, fraction, **options)


MOVING_ALL = [RandomDisplacements, AntitheticDisplacements, OrthogonalDisplacements, ModeDisplacements]


@pytest.mark.parametrize("kind", MOVING_ALL)
@given(
    chosen=placed(),
    delta=deltas,
    species_delta=st.dictionaries(st.sampled_from(SPECIES), st.floats(1e-4, 0.2)),
    seed=seeds,
    rotations=st.booleans(),
)
@settings(max_examples=60)
def test_bounds_sums_and_rotations(kind, chosen, delta, species_delta, seed, rotations):
    strategy = strategy_of(
        kind, delta, 6, species_delta=species_delta, seed=seed, remove_rotations=rotations, n_atoms=[chosen.n_atoms]
    )
    moved = strategy.plan([chosen]).displacements(0)
    bound = np.array([species_delta.get(symbol, delta) for symbol in chosen.symbols])
    assert np.all(np.linalg.norm(moved, axis=2) <= bound)
    assert np.all(moved[:, ~chosen.displaced] == 0.0)
    assert np.all(np.abs(moved).max(axis=(1, 2)) > 0.0)
    if chosen.displaced.sum() < 2:
        return
    size = np.abs(moved).max()
    assert np.abs(moved.sum(axis=1)).max() <= 1e-11 * size
    if rotations and not chosen.is_periodic:
        arms = chosen.positions - chosen.positions[chosen.displaced].mean(axis=0)
        assert np.abs(np.cross(arms, moved).sum(axis=1)).max() <= 1e-10 * size * np.abs(arms).max()
    elif kind is RandomDisplacements and chosen.displaced.sum() > 2:
        assert np.abs(np.cross(chosen.positions, moved).sum(axis=1)).max() > 1e-9 * size


@given(chosen=placed(), delta=deltas, fraction=st.integers(1, 40), seed=seeds, rotations=st.booleans())
@settings(max_examples=60)
def test_orthogonal_vectors_are_orthogonal_and_as_many_as_there_are(chosen, delta, fraction, seed, rotations):
    strategy = OrthogonalDisplacements(delta, fraction, seed=seed, remove_rotations=rotations)
    plan = strategy.plan([chosen])
    moved = plan.displacements(0).reshape(plan.total, -1)
    n_moved = int(chosen.displaced.sum())
    lost = 0 if n_moved == 1 else 3 + (min(n_moved, 3) if rotations and not chosen.is_periodic else 0)
    assert strategy.n_directions(chosen) == 3 * n_moved - lost
    assert plan.total == min(fraction, 3 * n_moved - lost) and plan.n_wanted == fraction
    length = np.linalg.norm(moved, axis=1)
    cosine = moved @ moved.T / np.outer(length, length)
    np.testing.assert_allclose(cosine, np.eye(plan.total), atol=1e-12)


@pytest.mark.parametrize(
    ("n_atoms", "fraction", "size"), [(18, 22, 0.97), (18, 51, 0.8), (56, 70, 0.97), (192, 24, 0.99)]
)
def test_orthogonal_vectors_are_nearly_as_long_as_the_bounds_allow(n_atoms, fraction, size):
    moved = OrthogonalDisplacements(0.02, fraction).plan([everything(n_atoms)]).displacements(0)
    assert size <= 3.0 * (moved**2).mean() / 0.02**2 <= 1.0


def test_a_complete_set_of_directions_measures_the_forces_without_rest():
    chosen = everything(7)
    forces = np.random.default_rng(4).normal(size=(7, 3))
    forces -= forces.mean(axis=0)
    moved = OrthogonalDisplacements(0.01, 18).plan([chosen]).displacements(0).reshape(18, -1)
    unit = moved / np.linalg.norm(moved, axis=1)[:, None]
    np.testing.assert_allclose(((unit @ forces.ravel()) ** 2).sum(), (forces**2).sum(), rtol=1e-12)


@given(
    chosen=placed(), delta=deltas, fraction=st.floats(0.5, 9.0), seed=seeds, max_copies=st.none() | st.integers(0, 9)
)
def test_antithetic_copies_come_in_pairs(chosen, delta, fraction, seed, max_copies):
    plan = AntitheticDisplacements(delta, fraction, max_copies, seed=seed).plan([chosen] * 3)
    assert np.all(plan.n_copies % 2 == 0)
    assert plan.total <= plan.n_wanted + 1 and (max_copies is None or plan.total <= max_copies)
    assert max_copies is not None or plan.total >= plan.n_wanted
    for s in range(3):
        moved = plan.displacements(s)
        assert np.array_equal(moved[1::2], -moved[::2])


def test_antithetic_pairs_differ_from_each_other():
    moved = AntitheticDisplacements(0.01, 8).plan([everything(5)] * 2)
    assert len({moved.displacements(s)[2 * c].tobytes() for s in range(2) for c in range(4)}) == 8


@given(chosen=placed(), rotations=st.booleans())
def test_modes_are_eigenvectors_in_the_space_without_rigid_motions(chosen, rotations):
    moved = np.flatnonzero(chosen.displaced)
    hessian = hessian_of(chosen.n_atoms)
    strategy = ModeDisplacements(0.01, 1, hessians=lambda index: hessian, remove_rotations=rotations)
    motions = strategy._motions(chosen, moved)
    constants, modes = normal_modes(hessian, moved, motions)
    rows = (3 * moved[:, None] + np.arange(3)).ravel()
    flat, rigid = modes.reshape(len(modes), -1), motions.reshape(len(motions), len(rows))
    assert len(modes) == len(rows) - len(rigid) and np.all(np.diff(constants) >= 0.0)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-12)
    np.testing.assert_allclose(flat @ rigid.T, 0.0, atol=1e-12)
    applied = flat @ hessian[np.ix_(rows, rows)]
    applied -= applied @ rigid.T @ rigid
    np.testing.assert_allclose(applied, constants[:, None] * flat, atol=1e-11)


@pytest.mark.parametrize("amplitude", ["bound", "stiffness"])
def test_copies_follow_single_modes_to_their_amplitude(amplitude):
    chosen, hessian = everything(6), hessian_of(6)
    strategy = ModeDisplacements(0.02, 12, hessians=lambda index: hessian, amplitude=amplitude, remove_rotations=True)
    moved = strategy.plan([chosen]).displacements(0)
    assert len(moved) == 12  # 3N - 6
    constants, modes = normal_modes(hessian, np.arange(6), rigid_motions(6, chosen.positions))
    along = np.einsum("cix,mix->cm", moved, modes)
    amplitudes = np.diag(along)
    np.testing.assert_allclose(along, np.diag(amplitudes), atol=1e-13)  # all modes, ascending
    assert {-1.0, 1.0} == set(np.sign(amplitudes))
    largest = np.linalg.norm(moved, axis=2).max(axis=1)
    errors = 0.5 * np.abs(constants) * amplitudes**2
    if amplitude == "bound":
        np.testing.assert_allclose(largest, 0.02, rtol=1e-9)
    else:
        at_bound = largest > 0.02 * (1 - 1e-9)
        assert 6 <= at_bound.sum() <= 7
        np.testing.assert_allclose(errors[~at_bound], errors.max(), rtol=1e-9)


def test_periodic_structures_have_three_more_modes():
    strategy = ModeDisplacements(0.02, 99, hessians=lambda index: hessian_of(6), remove_rotations=True)
    assert strategy.plan([everything(6), everything(6, periodic=True)]).n_copies.tolist() == [12, 15]


def test_atoms_on_a_line_have_two_rotations_and_one_atom_none():
    line = np.outer(np.arange(4.0), [1.0, 2.0, -1.0])
    motions = rigid_motions(4, line)
    assert len(motions) == 5 and len(rigid_motions(1, line[:1])) == 3
    flat = motions.reshape(5, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-14)


@pytest.mark.parametrize("kind", MOVING_ALL)
@given(sizes=st.lists(st.integers(2, 7), min_size=1, max_size=5), seed=seeds, rotations=st.booleans())
@settings(max_examples=20)
def test_same_seed_same_bits_whatever_the_order_of_the_work(kind, sizes, seed, rotations):
    chosen = [everything(n, seed=n) for n in sizes]
    one, two = (
        strategy_of(kind, 0.01, 4, seed=seed, remove_rotations=rotations, n_atoms=sizes).plan(chosen) for _ in range(2)
    )
    forward = [one.displacements(s).tobytes() for s in range(len(chosen))]
    assert forward == [two.displacements(s).tobytes() for s in reversed(range(len(chosen)))][::-1]


@pytest.mark.parametrize("kind", MOVING_ALL)
def test_names_and_structures_that_stay(kind):
    still = AtomSelection(("O",), np.array([False]), SkipReason.SINGLE_ATOM, np.zeros((1, 3)))
    plan = strategy_of(kind, 0.01, 4, n_atoms=[1, 6]).plan([still, everything(6)])
    assert plan.n_copies.tolist() == [0, 4]
    assert plan.displacements(0).shape == (0, 1, 3) and plan.copy_names(0, "p") == []
    for c, name in enumerate(plan.copy_names(1, "p#3", [0.5, 1.0, 0.25, 0.125])):
        read = parse_copy_name(name)
        assert (read.parent, read.strategy, read.index, read.delta) == ("p#3", kind.name, c, 0.01)
        assert read.weight == [0.5, 1.0, 0.25, 0.125][c]


def test_strategies_have_their_own_random_numbers():
    streams = [kind._stream for kind in (*MOVING_ALL, CartesianDisplacements)]
    assert len(set(streams)) == len(streams) and 3 not in streams  # 3: derivative_generation
    plans = [kind(0.01, 4, seed=5).plan([everything(6)]) for kind in (RandomDisplacements, AntitheticDisplacements)]
    assert plans[0].displacements(0)[0].tobytes() != plans[1].displacements(0)[0].tobytes()


def test_without_rotations_random_displacements_stay_large():
    moved = RandomDisplacements(0.02, 4000, remove_rotations=True).plan([everything(18)]).displacements(0)
    assert 5.0 * (moved**2).mean() / 0.02**2 > 0.9


def test_modes_need_hessians_and_a_known_amplitude():
    with pytest.raises(InputError, match="Hessians"):
        ModeDisplacements(0.01, 1)
    with pytest.raises(InputError, match="amplitude"):
        ModeDisplacements(0.01, 1, hessians=lambda index: np.eye(3), amplitude="large")
