"""The Chebyshev descriptor, computed through moments, against sums over pairs and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from engine_reference import (
    ELEMENTS,
    changed,
    chebyshev_tables,
    cosine,
    described,
    descriptor_derivative,
    random_structure,
    reference_descriptors,
    species_weights,
)
from taylorfit import engine
from taylorfit.engine import DescriptorTables
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.model.descriptor import DescriptorSetup, chebyshev_setup
from taylorfit.model.structure import Structure

TRICLINIC = np.array([[5.1, 0.3, -0.2], [1.9, 4.8, 0.4], [-2.2, 1.1, 6.0]])

FUNCTIONS = {
    "usual": ((5.0, 8), (3.5, 4)),
    "angular cutoff beyond radial": ((3.0, 8), (5.0, 4)),
    "equal cutoffs": ((4.0, 5), (4.0, 5)),
    "no angular cutoff": ((4.0, 5), (0.0, 3)),
    "no radial cutoff": ((0.0, 4), (4.0, 5)),
    "lowest orders": ((4.0, 0), (4.0, 0)),
    "radial order 1, angular order 0": ((4.0, 1), (3.0, 0)),
    "radial orders that fill no block of four": ((4.0, 2), (3.0, 1)),
    "high orders": ((5.0, 40), (4.0, 20)),
    "no neighbours within either cutoff": ((0.3, 4), (0.2, 3)),
}


def assert_equal_to_pair_sum(structure: Structure, tables: DescriptorTables, tolerance: float = 1.0e-12) -> None:
    for ours, expected in zip(
        described(structure, tables), reference_descriptors(structure, tables.setups), strict=True
    ):
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False), (False, False, False)])
@pytest.mark.parametrize("n_species", range(1, 7))
def test_values_equal_the_pair_sum_for_any_number_of_species(n_species: int, pbc: tuple[bool, bool, bool]) -> None:
    species = ELEMENTS[:n_species]
    structure = random_structure(np.random.default_rng(n_species), 7, TRICLINIC, pbc, species)
    assert_equal_to_pair_sum(structure, chebyshev_tables(species, (5.0, 8), (3.8, 4)))


@pytest.mark.parametrize("n_species", [1, 2, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_equal_the_pair_sum_for_any_cutoffs_and_orders(name: str, n_species: int) -> None:
    species = ELEMENTS[:n_species]
    structure = random_structure(np.random.default_rng(7), 6, TRICLINIC, species=species)
    assert_equal_to_pair_sum(structure, chebyshev_tables(species, *FUNCTIONS[name]))


@pytest.mark.parametrize("n_atoms", range(1, 20))
def test_values_equal_the_pair_sum_for_any_number_of_neighbours(n_atoms: int) -> None:
    """The engine works on padded groups of neighbours; every remainder occurs here."""
    structure = random_structure(
        np.random.default_rng(n_atoms), n_atoms, 3.0 * np.eye(3), (False,) * 3, ELEMENTS[:2], 0.3
    )
    assert_equal_to_pair_sum(structure, chebyshev_tables(ELEMENTS[:2], (20.0, 5), (20.0, 3)))


def test_values_equal_the_pair_sum_for_many_neighbours() -> None:
    structure = random_structure(np.random.default_rng(4), 3, 2.2 * np.eye(3), species=ELEMENTS[:3], closest=0.6)
    tables = chebyshev_tables(ELEMENTS[:3], (8.0, 10), (6.5, 6))
    first = engine.neighbours(structure, 8.0)[0]
    assert first[1] > 500
    assert_equal_to_pair_sum(structure, tables)


def test_highest_orders_stay_accurate() -> None:
    structure = random_structure(np.random.default_rng(5), 8, TRICLINIC, species=ELEMENTS[:2])
    assert_equal_to_pair_sum(structure, chebyshev_tables(ELEMENTS[:2], (5.0, 400), (4.0, 60)), tolerance=1.0e-10)


@pytest.mark.parametrize(
    "positions",
    [
        [(0, 0, 0), (0, 0, 1.5), (0, 0, -1.5), (0, 0, 3.0)],
        [(0, 0, 0), (1.5, 0, 0), (-1.5, 0, 0), (3.0, 0, 0)],
        [(0, 0, 0), (0, 1.5, 0), (0, 3.0, 0), (0, -1.5, 0)],
        [(0, 0, 0), (1.5, 0, 0), (0, 1.5, 0), (0, 0, 1.5)],
        [(0, 0, 0), (1.1, 1.1, 0), (-1.1, -1.1, 0), (1.1, -1.1, 0)],
    ],
)
def test_special_angles_are_no_special_case(positions: list[tuple[float, float, float]]) -> None:
    structure = Structure(symbols=ELEMENTS[:2] * 2, positions=np.array(positions, dtype=float))
    tables = chebyshev_tables(ELEMENTS[:2], (5.0, 6), (5.0, 8))
    assert_equal_to_pair_sum(structure, tables)
    for atom in range(4):
        assert_derivative_equals_difference(structure, tables, atom, np.random.default_rng(1))


def test_each_species_may_have_its_own_functions_and_environment() -> None:
    setups = [
        chebyshev_setup("O", ("O", "Ti"), radial_cutoff=5.0, radial_order=7, angular_cutoff=3.0, angular_order=2),
        chebyshev_setup("H", ("Ti", "H", "O"), radial_cutoff=3.5, radial_order=3, angular_cutoff=4.5, angular_order=5),
        chebyshev_setup("Ti", ("Ti",), radial_cutoff=4.0, radial_order=2, angular_cutoff=4.0, angular_order=9),
    ]
    rng = np.random.default_rng(11)
    with_all = random_structure(rng, 6, TRICLINIC, species=("H", "Ti"))
    assert_equal_to_pair_sum(
        with_all,
        DescriptorTables.from_setups(
            ["H", "Ti"],
            [
                chebyshev_setup(
                    "H", ("Ti", "H"), radial_cutoff=3.5, radial_order=3, angular_cutoff=4.5, angular_order=5
                ),
                setups[2],
            ],
        ),
    )
    structure = random_structure(rng, 6, TRICLINIC, species=("O", "Ti"))
    assert_equal_to_pair_sum(structure, DescriptorTables.from_setups(["O", "H", "Ti"], setups))


@pytest.mark.parametrize("n_species", range(2, 7))
def test_weighted_half_follows_the_place_in_env(n_species: int) -> None:
    """A lone neighbour: the weighted radial half is its weight times the plain half."""
    environment = ELEMENTS[:n_species]
    tables = chebyshev_tables(environment, (4.0, 3), (3.0, 2))
    for symbol, weight in zip(environment, species_weights(n_species)):
        pair = Structure(symbols=(environment[0], symbol), positions=np.array([[0.0, 0, 0], [1.7, 0, 0]]))
        values = described(pair, tables)[0]
        np.testing.assert_allclose(values[7:11], weight * values[:4], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(values[[4, 5, 6, 11, 12, 13]], 0.0, rtol=0.0, atol=1e-15)


def test_order_of_env_matters_and_order_of_types_does_not() -> None:
    structure = random_structure(np.random.default_rng(2), 6, TRICLINIC, species=("O", "Ti"))
    forward = chebyshev_tables(("O", "Ti"), environments=[("O", "Ti"), ("O", "Ti")])
    backward = chebyshev_tables(("O", "Ti"), environments=[("Ti", "O"), ("Ti", "O")])
    turned = chebyshev_tables(("Ti", "O"), environments=[("O", "Ti"), ("O", "Ti")])
    for one, two, three in zip(*(described(structure, tables) for tables in (forward, backward, turned))):
        np.testing.assert_array_equal(one, three)
        np.testing.assert_allclose(one[:11], two[:11], rtol=1e-13)
        np.testing.assert_allclose(one[11:18], -two[11:18], rtol=1e-13)  # weights ±1 change sign, products do not
        np.testing.assert_allclose(one[18:], two[18:], rtol=1e-13)


# --- derivatives -------------------------------------------------------------------------------


def assert_derivative_equals_difference(
    structure: Structure, tables: DescriptorTables, atom: int, rng: np.random.Generator
) -> None:
    """Compare with the fourth-order central difference of a random combination of the values, step 1e-3 Å."""
    step = 1.0e-3
    index = structure.species_index(tables.species)[atom]
    factors = rng.normal(size=tables.n_function[index])
    analytic = descriptor_derivative(structure, tables, atom, factors)
    unit = np.eye(3 * structure.n_atoms).reshape(-1, structure.n_atoms, 3)
    copies = np.concatenate([unit * step * k for k in (-2, -1, 1, 2)])
    ((values, _),) = engine.describe([structure], tables, [copies], threads=1)
    start = int(sum(tables.n_function[t] for t in structure.species_index(tables.species)[:atom]))
    f = (values[:, start : start + len(factors)] @ factors).reshape(4, -1)
    numeric = ((f[0] - f[3]) + 8.0 * (f[2] - f[1])).reshape(structure.n_atoms, 3) / (12.0 * step)
    scale = max(1.0, np.abs(analytic).max())
    assert np.abs(analytic - numeric).max() <= 2.0e-8 * scale
    assert np.abs(analytic.sum(axis=0)).max() <= 1.0e-12 * scale


@pytest.mark.parametrize("n_species", [1, 2, 3, 6])
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "high orders"])
def test_derivative_equals_central_difference(name: str, n_species: int) -> None:
    rng = np.random.default_rng(31)
    species = ELEMENTS[:n_species]
    structure = random_structure(rng, 6, TRICLINIC, (True, True, False), species)
    for atom in (0, 1, 5):
        assert_derivative_equals_difference(structure, chebyshev_tables(species, *FUNCTIONS[name]), atom, rng)


def test_derivative_of_every_component_is_the_derivative_of_the_sum() -> None:
    rng = np.random.default_rng(32)
    structure = random_structure(rng, 5, TRICLINIC, species=ELEMENTS[:2])
    tables = chebyshev_tables(ELEMENTS[:2], (5.0, 40), (4.0, 20))
    n = int(tables.n_function[0])
    factors = rng.normal(size=n)
    parts = np.array([descriptor_derivative(structure, tables, 2, row) for row in np.eye(n)])
    whole = descriptor_derivative(structure, tables, 2, factors)
    np.testing.assert_allclose(np.tensordot(factors, parts, 1), whole, rtol=0.0, atol=1e-12 * np.abs(parts).max() * n)


def test_derivative_is_zero_without_neighbours() -> None:
    lone = Structure(symbols=("H",), positions=np.zeros((1, 3)))
    tables = chebyshev_tables(("H",))
    np.testing.assert_array_equal(described(lone, tables)[0], 0.0)
    np.testing.assert_array_equal(descriptor_derivative(lone, tables, 0, np.ones(tables.n_function[0])), 0.0)


@pytest.mark.parametrize("radial_cut, angular_cut", [(4.0, 3.0), (3.0, 4.0), (4.0, 0.0), (0.0, 4.0)])
def test_a_neighbour_vanishes_smoothly_at_the_cutoff(radial_cut: float, angular_cut: float) -> None:
    """Its value goes to zero as the square of the distance to the cutoff, its derivative linearly."""
    tables = chebyshev_tables(("H",), (radial_cut, 6), (angular_cut, 3))
    base = np.array([[0.0, 0, 0], [1.0, 0.3, 0], [-0.4, 1.1, 0.5]])
    direction = np.array([1.0, 2.0, -2.0]) / 3.0
    without = described(Structure(symbols=("H",) * 3, positions=base), tables)[0]
    factors = np.ones(tables.n_function[0])
    for cut in (radial_cut, angular_cut):
        if cut == 0.0:
            continue
        part = slice(0, 7) if cut == radial_cut else slice(7, 11)

        def with_neighbour_at(distance: float, part: slice = part) -> tuple[float, float]:
            structure = Structure(symbols=("H",) * 4, positions=np.vstack([base, direction * distance]))
            ours = described(structure, tables)[0]
            slope = descriptor_derivative(
                structure, tables, 0, np.where(np.isin(np.arange(11), np.r_[part]), factors, 0.0)
            )
            return np.abs(ours - without)[part].max(), np.abs(slope[3]).max()

        for gap in (1.0e-3, 1.0e-5):
            value, slope = with_neighbour_at(cut - gap)
            assert 0.0 < value < 10.0 * gap**2 + 1.0e-14
            assert 0.0 < slope < 20.0 * gap
        for beyond in (0.0, 1.0e-9, 0.5):
            assert with_neighbour_at(cut + beyond) == (pytest.approx(0.0, abs=1e-14), pytest.approx(0.0, abs=1e-14))


# --- threads, batches, copies ------------------------------------------------------------------


@pytest.mark.parametrize("n_structures", [1, 2, 9])
def test_result_is_the_same_for_any_number_of_threads(n_structures: int) -> None:
    rng = np.random.default_rng(40)
    structures = [random_structure(rng, 5 + k, TRICLINIC, species=ELEMENTS[:2]) for k in range(n_structures)]
    displacements = [rng.normal(scale=0.02, size=(k % 5, s.n_atoms, 3)) for k, s in enumerate(structures, start=1)]
    tables = chebyshev_tables(ELEMENTS[:2])
    for copies in (None, displacements):
        reference = engine.describe(structures, tables, copies, threads=1)
        for threads in (2, 3):
            for one, two in zip(reference, engine.describe(structures, tables, copies, threads=threads), strict=True):
                np.testing.assert_array_equal(one[0], two[0])
                np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, True), (False, False, False)])
@pytest.mark.parametrize("size", [0.005, 0.03, 0.4])
def test_displaced_copies_equal_the_displaced_structures(size: float, pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(41)
    structure = random_structure(rng, 6, TRICLINIC, pbc, ELEMENTS[:2])
    outside = changed(structure, positions=structure.positions + [[30.0, -20.0, 10.0]])
    displacement = rng.uniform(-size, size, (5, 6, 3))
    displacement[0] = 0.0
    tables = chebyshev_tables(ELEMENTS[:2], (5.0, 8), (3.5, 4))
    ((values, positions),) = engine.describe([outside], tables, [displacement])
    assert values.shape[0] == len(positions) == 5
    np.testing.assert_allclose(positions - positions[0], displacement, rtol=0.0, atol=1e-13)
    for copy in range(5):
        separate = described(changed(outside, positions=outside.positions + displacement[copy]), tables)
        expected = np.concatenate(separate)
        assert np.abs(values[copy] - expected).max() <= 1.0e-12 * np.abs(expected).max()


def test_positions_are_wrapped_along_periodic_directions_only() -> None:
    structure = Structure(
        symbols=("H",), positions=np.array([[11.0, -1.0, -7.0]]), cell=np.diag([4.0, 5.0, 6.0]), pbc=(True, True, False)
    )
    ((_, positions),) = engine.describe([structure], chebyshev_tables(("H",)))
    np.testing.assert_allclose(positions[0, 0], [3.0, 4.0, -7.0], atol=1e-14)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, False)])
def test_empty_input_gives_empty_output(pbc: tuple[bool, bool, bool]) -> None:
    tables = chebyshev_tables(("H",))
    empty = Structure(symbols=(), positions=np.zeros((0, 3)), cell=TRICLINIC, pbc=pbc)
    one = Structure(symbols=("H",), positions=np.zeros((1, 3)))
    assert engine.describe([], tables) == []
    (none, places), (some, _) = engine.describe([empty, one], tables)
    assert none.shape == (1, 0) and places.shape == (1, 0, 3) and some.shape == (1, tables.n_function[0])
    ((values, places),) = engine.describe([one], tables, [np.zeros((0, 1, 3))])
    assert values.shape == (0, tables.n_function[0]) and places.shape == (0, 1, 3)


# --- errors ------------------------------------------------------------------------------------


def _setup(**changes: object) -> DescriptorSetup:
    """A setup of H with some fields of its first table row changed."""
    setup = chebyshev_setup("H", ("H",), radial_cutoff=4.0, radial_order=4, angular_cutoff=3.0, angular_order=2)
    parameters = setup.parameters.copy()
    for column, value in changes.pop("row", {}).items():
        parameters[0, column] = value
    return DescriptorSetup(**{**setup.__dict__, "parameters": parameters, **changes})


@pytest.mark.parametrize(
    "setup",
    [
        _setup(row={0: np.nan}),
        _setup(row={2: np.inf}),
        _setup(row={0: -1.0}),
        _setup(row={0: 0.0, 2: 0.0}),
        _setup(row={0: 1e300}),
        _setup(row={1: np.nan}),
        _setup(row={1: -1.0}),
        _setup(row={1: 1e9}),
        _setup(row={3: 1e9}),
        _setup(row={3: -2.0}),
        _setup(row={1: 5.0}),
        _setup(row={3: 1.0}),
        _setup(function=np.zeros(7, dtype=np.int32), parameters=np.zeros((7, 4))),
    ],
    ids=range(13),
)
def test_impossible_parameters_are_an_error(setup: DescriptorSetup) -> None:
    lone = Structure(symbols=("H",), positions=np.zeros((1, 3)))
    with pytest.raises(TaylorfitError):
        engine.describe([lone], DescriptorTables.from_setups(["H"], [setup]))


def test_species_that_a_setup_does_not_know_are_an_error() -> None:
    tables = chebyshev_tables(("H", "C", "O"), environments=[("H", "C", "O"), ("H", "C"), ("O", "C")])
    lone_pair = Structure(symbols=("C", "O"), positions=np.array([[0.0, 0, 0], [1.2, 0, 0]]), name="co.xsf")
    with pytest.raises(InputError, match="co.xsf.*ENV"):
        engine.describe([lone_pair], tables)
    with pytest.raises(InputError, match="unknown species"):
        engine.describe([changed(lone_pair, symbols=("C", "Xe"))], tables)


def test_reference_cutoff_function_is_what_it_says() -> None:
    np.testing.assert_allclose(cosine(np.array([0.0, 2.0, 4.0, 5.0]), 4.0), [1.0, 0.5, 0.0, 0.0], atol=1e-16)
