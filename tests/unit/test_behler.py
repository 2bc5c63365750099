"""Symmetry functions against plain sums over pairs, and their derivatives against finite differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from engine_reference import (
    brute_force_neighbours,
    changed,
    cosine,
    described,
    descriptor_derivative,
    potential_tables,
    random_rotation,
    random_structure,
    split_values,
)
from taylorfit import engine
from taylorfit.errors import EngineError, InputError
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.model.descriptor import DescriptorSetup, chebyshev_setup
from taylorfit.model.structure import Structure

BOHR = 0.529177210903
EXAMPLE = files("taylorfit.examples.water_cluster")

Function = tuple[int, str, str, tuple[float, ...]]
"""G, type2, type3, parameters in ænet's slots."""


def make_setup(species: str, environment: Sequence[str], functions: Sequence[Function]) -> DescriptorSetup:
    """Return a setup with the given functions in this order."""
    parameters = np.zeros((len(functions), 4))
    neighbours = np.zeros((len(functions), 2), dtype=np.int32)
    for row, (g, type2, type3, values) in enumerate(functions):
        parameters[row, : len(values)] = values
        neighbours[row] = environment.index(type2) + 1, environment.index(type3) + 1 if g > 3 else 0
    return DescriptorSetup(
        species=species,
        environment=tuple(environment),
        basis="Behler2011",
        function=np.array([g for g, *_ in functions], dtype=np.int32),
        parameters=parameters,
        neighbours=neighbours,
        r_min=1.0,
        r_cut=float(parameters[:, 0].max()),
    )


def tables_of(*setups: DescriptorSetup) -> engine.DescriptorTables:
    """Return the tables of setups, in this order of species."""
    return engine.DescriptorTables.from_setups([setup.species for setup in setups], setups)


# --- reference ----------------------------------------------------------------------------------


def in_order_of_values(setup: DescriptorSetup) -> list[int]:
    """Return the rows of the function table in the order of the descriptor values."""

    def key(row: int) -> tuple[int, int, int, int]:
        g, (a, b) = int(setup.function[row]), sorted(int(t) for t in setup.neighbours[row])
        # Radial functions of a species come before its pairs
        return (b, 0, g, row) if g <= 3 else (a, b, g, row)

    return sorted(range(setup.n_feature), key=key)


def function_value(g: int, p: np.ndarray, pair: Sequence[str], vectors: np.ndarray, symbols: np.ndarray) -> float:
    """Return one symmetry function of an atom with neighbours at `vectors`."""
    r = np.linalg.norm(vectors, axis=1)
    if g <= 3:
        r = r[symbols == pair[0]]
        inner = {1: np.ones_like(r), 2: np.exp(-p[2] * (r - p[1]) ** 2), 3: np.cos(p[1] * r)}[g]
        return float((inner * cosine(r, p[0])).sum())
    r_cut, lambda_, zeta, eta = p
    total = 0.0
    for j in range(len(r)):
        for k in range(j):
            if sorted((symbols[j], symbols[k])) != sorted(pair):
                continue
            cos_theta = np.clip(vectors[j] @ vectors[k] / (r[j] * r[k]), -1.0, 1.0)
            r_jk = np.linalg.norm(vectors[j] - vectors[k])
            term = max(0.0, 0.5 * (1.0 + lambda_ * cos_theta)) ** zeta * cosine(r[j], r_cut) * cosine(r[k], r_cut)
            exponent = r[j] ** 2 + r[k] ** 2
            if g == 4:
                exponent += r_jk**2
                term *= cosine(r_jk, r_cut)
            total += 2.0 * term * np.exp(-eta * exponent)
    return total


def reference(structure: Structure, tables: engine.DescriptorTables) -> list[np.ndarray]:
    """Return the descriptor of every atom."""
    setups = {setup.species: setup for setup in tables.setups}
    result = []
    for symbol, (atoms, vectors) in zip(structure.symbols, brute_force_neighbours(structure, tables.cutoff)):
        setup = setups[symbol]
        symbols = np.array([structure.symbols[j] for j in atoms])
        result.append(
            np.array(
                [
                    function_value(
                        int(setup.function[row]),
                        setup.parameters[row],
                        [setup.environment[t - 1] for t in setup.neighbours[row] if t],
                        vectors,
                        symbols,
                    )
                    for row in in_order_of_values(setup)
                ]
            )
        )
    return result


def assert_equal(structure: Structure, tables: engine.DescriptorTables) -> None:
    ours, expected = described(structure, tables), reference(structure, tables)
    assert max(np.abs(e).max() for e in expected) > 1.0e-3
    for one, other in zip(ours, expected, strict=True):
        assert np.abs(one - other).max() <= 1.0e-12 * max(1.0, np.abs(other).max())


# --- values -------------------------------------------------------------------------------------

RADIAL: tuple[Function, ...] = (
    (2, "O", "", (4.0, 1.0, 0.3)),
    (1, "H", "", (3.5,)),
    (3, "O", "", (4.0, 2.1)),
    (2, "H", "", (4.0, 1.0, 1.2)),
    (2, "H", "", (4.0, 1.0, 0.3)),
    (2, "H", "", (4.0, 0.5, 0.6)),
    (1, "O", "", (4.0,)),
    (3, "H", "", (3.0, 9.0)),
)
ANGULAR: tuple[Function, ...] = (
    (4, "O", "H", (4.0, 1.0, 1.0, 0.02)),
    (5, "H", "O", (4.0, -1.0, 4.0, 0.06)),
    (4, "H", "H", (3.5, -1.0, 2.5, 0.1)),
    (5, "O", "O", (4.0, 1.0, 16.0, 0.0)),
    (4, "H", "O", (4.0, -1.0, 1.0, 0.14)),
    (4, "O", "O", (4.0, -1.0, 3.0, 0.02)),
    (5, "H", "H", (3.0, 1.0, 0.75, 0.01)),
    (4, "H", "O", (3.0, 0.5, 7.0, 0.3)),
    (5, "H", "H", (3.0, -1.0, 1.0, 0.03)),
    (4, "O", "H", (4.0, 1.0, 11.0, 0.02)),
    (5, "O", "H", (4.0, 1.0, 0.0, 0.06)),
    (4, "O", "H", (4.0, 1.0, 1.0, 0.02)),
)
CELL = np.array([[5.0, 0.0, 0.0], [1.2, 4.8, 0.0], [-0.7, 0.9, 5.3]])


def water_tables(
    environment_o: Sequence[str] = ("O", "H"),
    environment_h: Sequence[str] = ("O", "H"),
    functions: Sequence[Function] = (*RADIAL, *ANGULAR),
) -> engine.DescriptorTables:
    """Return setups with all types of functions, shuffled differently for the two species."""
    order = np.random.default_rng(3).permutation(len(functions))
    return tables_of(
        make_setup("O", environment_o, functions), make_setup("H", environment_h, [functions[i] for i in order])
    )


@pytest.mark.parametrize("function", [*RADIAL, *ANGULAR], ids=lambda f: f"G{f[0]}-{f[1]}{f[2]}-{f[3]}")
def test_each_function_alone(function: Function) -> None:
    structure = random_structure(np.random.default_rng(1), 14, CELL, species=("O", "H", "H"))
    tables = tables_of(make_setup("O", ("O", "H"), [function]), make_setup("H", ("O", "H"), [function]))
    assert_equal(structure, tables)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_all_functions_together(pbc: tuple[bool, bool, bool]) -> None:
    structure = random_structure(np.random.default_rng(2), 16, CELL, pbc, species=("O", "H", "H"))
    assert_equal(structure, water_tables())


def test_many_neighbours_fill_several_blocks() -> None:
    structure = random_structure(np.random.default_rng(5), 10, np.diag([3.6, 3.7, 3.8]), species=("O", "H", "H"))
    functions = [
        (4, "H", "H", (5.5, 1.0, 2.0, 0.01)),
        (5, "H", "O", (5.5, -1.0, 2.0, 0.01)),
        (2, "H", "", (5.5, 1.0, 1.0)),
    ]
    tables = tables_of(make_setup("O", ("O", "H"), functions), make_setup("H", ("O", "H"), functions))
    assert len(brute_force_neighbours(structure, 5.5)[0][0]) > 120
    assert_equal(structure, tables)


def test_environment_in_another_order_than_the_species() -> None:
    structure = random_structure(np.random.default_rng(4), 12, CELL, species=("O", "H", "H"))
    tables = water_tables(("H", "O"), ("O", "H"))
    assert_equal(structure, tables)
    # The same functions, with those of H first
    usual = described(structure, water_tables())
    assert not np.allclose(described(structure, tables)[0], usual[0])
    np.testing.assert_allclose(np.sort(described(structure, tables)[0]), np.sort(usual[0]), rtol=1e-12)


def test_order_of_values_is_that_of_the_table_within_one_type() -> None:
    functions = [
        (5, "O", "H", (4.0, 1.0, 1.0, 0.1)),
        (4, "H", "O", (4.0, 1.0, 1.0, 0.1)),
        (2, "H", "", (4.0, 0.0, 0.5)),
        (4, "O", "O", (4.0, 1.0, 1.0, 0.1)),
        (2, "O", "", (4.0, 0.0, 0.9)),
        (1, "O", "", (4.0,)),
        (2, "O", "", (4.0, 0.0, 0.5)),
        (4, "H", "H", (4.0, 1.0, 1.0, 0.1)),
    ]
    assert in_order_of_values(make_setup("O", ("O", "H"), functions)) == [5, 4, 6, 3, 1, 0, 2, 7]


def test_single_species() -> None:
    structure = random_structure(np.random.default_rng(6), 12, CELL)
    functions = [
        (5, "Si", "Si", (4.0, -1.0, 2.0, 0.1)),
        (2, "Si", "", (4.0, 0.0, 0.5)),
        (4, "Si", "Si", (3.0, 1.0, 8.0, 0.1)),
    ]
    assert_equal(structure, tables_of(make_setup("Si", ("Si",), functions)))


def test_exponents_that_are_multiples_share_their_exponential() -> None:
    etas = [0.001, 0.03, 0.002, 0.07, 0.01, 0.0, -0.01, 0.01 * np.pi]
    functions = [(g, "Si", "Si", (4.0, 1.0, z, eta)) for g in (4, 5) for eta in etas for z in (1.0, 4.0)]
    functions += [(2, "Si", "", (4.0, rs, eta)) for eta in (0.5, 1.0, 3.0, 12.0) for rs in (0.0, 1.5)]
    structure = random_structure(np.random.default_rng(7), 7, CELL)
    assert_equal(structure, tables_of(make_setup("Si", ("Si",), functions)))


def test_lonely_atom_has_only_zeros() -> None:
    structure = Structure(symbols=("O",), positions=np.zeros((1, 3)))
    tables = water_tables()
    assert not np.any(described(structure, tables)[0])
    assert not descriptor_derivative(structure, tables, 0, np.ones(len(RADIAL) + len(ANGULAR))).any()


# --- derivatives --------------------------------------------------------------------------------


def numerical_derivative(
    structure: Structure, tables: engine.DescriptorTables, atom: int, factors: np.ndarray, step: float = 1.0e-4
) -> np.ndarray:
    """Return d(Σ factors G)/dR by central differences of fourth order."""
    shifts = np.zeros((4 * 3 * structure.n_atoms, structure.n_atoms, 3))
    for n, (i, d) in enumerate(np.ndindex(structure.n_atoms, 3)):
        shifts[4 * n : 4 * n + 4, i, d] = step * np.array([-2.0, -1.0, 1.0, 2.0])
    ((values, _),) = engine.describe([structure], tables, [shifts], threads=1)
    sums = np.array([split_values(copy, structure, tables)[atom] @ factors for copy in values]).reshape(-1, 4)
    return (sums @ np.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * step)).reshape(structure.n_atoms, 3)


@pytest.mark.parametrize("function", [*RADIAL, *ANGULAR], ids=lambda f: f"G{f[0]}-{f[1]}{f[2]}-{f[3]}")
def test_derivative_of_each_function(function: Function) -> None:
    structure = random_structure(np.random.default_rng(8), 9, CELL, species=("O", "H", "H"))
    tables = tables_of(make_setup("O", ("O", "H"), [function]), make_setup("H", ("O", "H"), [function]))
    for atom in (0, 1):
        ours = descriptor_derivative(structure, tables, atom, np.ones(1))
        expected = numerical_derivative(structure, tables, atom, np.ones(1))
        assert np.abs(expected).max() > 1.0e-6
        assert np.abs(ours - expected).max() <= 1.0e-8 * max(1.0, np.abs(expected).max())
        assert np.abs(ours.sum(axis=0)).max() <= 1.0e-12 * max(1.0, np.abs(ours).max())


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, False)])
def test_derivative_of_all_functions_together(pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(9)
    structure = random_structure(rng, 12, CELL, pbc, species=("O", "H", "H"))
    tables = water_tables(("H", "O"))
    for atom in (0, 1, 2):
        factors = rng.normal(size=len(RADIAL) + len(ANGULAR))
        ours = descriptor_derivative(structure, tables, atom, factors)
        expected = numerical_derivative(structure, tables, atom, factors)
        assert np.abs(ours - expected).max() <= 1.0e-8 * np.abs(expected).max()


@pytest.mark.parametrize("reach", [5.5, 7.5], ids=["all triples kept", "more triples than are kept"])
def test_derivative_with_many_neighbours(reach: float) -> None:
    structure = random_structure(np.random.default_rng(5), 10, np.diag([3.6, 3.7, 3.8]), species=("O", "H", "H"))
    functions = [
        (4, "H", "H", (reach, 1.0, 2.0, 0.01)),
        (5, "H", "O", (reach, -1.0, 2.0, 0.01)),
        (4, "O", "H", (reach, -1.0, 1.0, 0.01)),
        (4, "O", "O", (reach, 1.0, 2.5, 0.02)),
    ]
    tables = tables_of(make_setup("O", ("O", "H"), functions), make_setup("H", ("O", "H"), functions))
    factors = np.array([1.0, -0.5, 0.7, 0.3])
    expected = numerical_derivative(structure, tables, 1, factors)
    assert (
        np.abs(descriptor_derivative(structure, tables, 1, factors) - expected).max() <= 1e-8 * np.abs(expected).max()
    )


def test_collinear_neighbours_keep_singular_derivatives_finite() -> None:
    functions = [
        (g, "Si", "Si", (4.0, lam, z, 0.1)) for g in (4, 5) for lam in (-1.0, 1.0) for z in (0.3, 0.5, 1.0, 1.5)
    ]
    tables = tables_of(make_setup("Si", ("Si",), functions))
    direction = np.array([0.3, -0.7, 0.64])
    for places in ((0.0, 1.3, 2.6), (0.0, -1.1, 1.7)):
        structure = Structure(symbols=("Si",) * 3, positions=np.outer(places, direction))
        for factors in np.eye(len(functions)):
            derivative = descriptor_derivative(structure, tables, 0, factors)
            assert np.isfinite(derivative).all()
            # By symmetry nothing pulls across the line
            assert np.abs(np.cross(derivative, direction)).max() < 1.0e-6


def test_values_and_slopes_vanish_at_the_cutoff() -> None:
    functions = [
        (1, "Si", "", (3.0,)),
        (2, "Si", "", (3.0, 0.0, 0.1)),
        (3, "Si", "", (3.0, 1.0)),
        (4, "Si", "Si", (3.0, 1.0, 1.0, 0.1)),
        (5, "Si", "Si", (3.0, 1.0, 1.0, 0.1)),
    ]
    tables = tables_of(make_setup("Si", ("Si",), functions))
    near, far = (
        Structure(symbols=("Si",) * 2, positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, z]]))
        for z in (3.0 - 1.0e-7, 3.0)
    )
    assert np.abs(described(near, tables)[0]).max() < 1.0e-14
    assert not described(far, tables)[0].any()
    assert np.abs(descriptor_derivative(near, tables, 0, np.ones(5))).max() < 1.0e-6
    # A third side at the cutoff: G4 vanishes with zero slope, G5 does not
    half = 1.5 - 1.0e-8
    corner = Structure(symbols=("Si",) * 3, positions=np.array([[0.0, 1.0, 0.0], [-half, 0.0, 0.0], [half, 0.0, 0.0]]))
    values = described(corner, tables)[0]
    assert abs(values[3]) < 1.0e-14 < 1.0e-2 < values[4]
    only_fourth = descriptor_derivative(corner, tables, 0, np.array([0.0, 0.0, 0.0, 1.0, 0.0]))
    assert np.abs(only_fourth).max() < 1.0e-6


def test_rotation_and_relabelling_change_nothing() -> None:
    rng = np.random.default_rng(10)
    structure = random_structure(rng, 12, CELL, (False,) * 3, species=("O", "H", "H"))
    tables = water_tables()
    before = described(structure, tables)
    rotated = changed(structure, positions=structure.positions @ random_rotation(rng).T)
    order = rng.permutation(structure.n_atoms)
    shuffled = changed(rotated, positions=rotated.positions[order], symbols=tuple(structure.symbols[i] for i in order))
    for new, old in enumerate(order):
        np.testing.assert_allclose(described(shuffled, tables)[new], before[old], rtol=1e-10, atol=1e-11)


# --- potentials ---------------------------------------------------------------------------------


def test_forces_and_stress_are_derivatives_of_the_energy() -> None:
    rng = np.random.default_rng(11)
    structure = random_structure(rng, 12, CELL, species=("O", "H", "H"))
    tables = water_tables()
    potential = potential_tables(rng, [structure], tables, ((6, 5), (7,)), ((1, 3, 0), (2, 0)))
    (result,) = engine.evaluate([structure], potential)
    step = 1.0e-4
    weights = np.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * step)
    multiples = (-2, -1, 1, 2)

    def energies(structures: list[Structure]) -> np.ndarray:
        return np.array([one.energy for one in engine.evaluate(structures, potential, forces=False)])

    for i, d in ((0, 0), (1, 2), (5, 1)):
        moved = []
        for m in multiples:
            positions = structure.positions.copy()
            positions[i, d] += m * step
            moved.append(changed(structure, positions=positions))
        assert result.forces[i, d] == pytest.approx(-weights @ energies(moved), abs=1e-7 * np.abs(result.forces).max())
    for a, b in ((0, 0), (1, 2), (2, 0)):
        strained = []
        for m in multiples:
            deformation = np.eye(3)
            deformation[a, b] += 0.5 * m * step
            deformation[b, a] += 0.5 * m * step
            strained.append(
                changed(structure, positions=structure.positions @ deformation, cell=structure.cell @ deformation)
            )
        expected = weights @ energies(strained)
        assert result.strain_derivative[a, b] == pytest.approx(
            expected, abs=1e-6 * np.abs(result.strain_derivative).max()
        )
    np.testing.assert_allclose(result.forces.sum(axis=0), 0.0, atol=1e-10 * np.abs(result.forces).max())


def test_mixed_with_a_chebyshev_descriptor() -> None:
    structure = random_structure(np.random.default_rng(12), 9, CELL, species=("O", "H", "H"))
    chebyshev = chebyshev_setup("H", ("O", "H"), radial_cutoff=4.0, radial_order=3, angular_cutoff=3.0, angular_order=2)
    mixed = described(structure, tables_of(water_tables().setups[0], chebyshev))
    pure = described(structure, water_tables())
    np.testing.assert_array_equal(mixed[0], pure[0])
    assert len(mixed[1]) == 14


# --- what is refused ----------------------------------------------------------------------------


def test_species_outside_the_environment_is_refused() -> None:
    setup = make_setup("Si", ("Si",), [(2, "Si", "", (3.0, 0.0, 0.1))])
    other = make_setup("C", ("Si", "C"), [(2, "Si", "", (3.0, 0.0, 0.1))])
    structure = Structure(symbols=("Si", "C"), positions=np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]]))
    with pytest.raises(InputError, match="ENV of the setup for Si"):
        engine.describe([structure], tables_of(setup, other))


@pytest.mark.parametrize("place", [-1, 2, 99])
def test_function_outside_the_environment_is_refused(place: int) -> None:
    setup = make_setup("Si", ("Si",), [(2, "Si", "", (3.0, 0.0, 0.1))])
    with pytest.raises(InputError, match="outside ENV"):
        tables_of(replace(setup, neighbours=np.array([[place, 0]], dtype=np.int32)))


@pytest.mark.parametrize(
    "function, message",
    [
        ((2, "Si", "", (0.0, 0.0, 0.1)), "cutoff"),
        ((2, "Si", "", (float("nan"), 0.0, 0.1)), "cutoff"),
        ((2, "Si", "", (3.0, 0.0, float("nan"))), "finite"),
        ((4, "Si", "Si", (3.0, 1.5, 1.0, 0.1)), "lambda"),
        ((5, "Si", "Si", (3.0, 1.0, -1.0, 0.1)), "zeta"),
        ((5, "Si", "Si", (3.0, float("nan"), 1.0, 0.1)), "finite"),
    ],
)
def test_impossible_parameters_are_refused(function: Function, message: str) -> None:
    structure = Structure(symbols=("Si",), positions=np.zeros((1, 3)))
    with pytest.raises(EngineError, match=message):
        engine.describe([structure], tables_of(make_setup("Si", ("Si",), [function])))


def test_unknown_type_and_missing_species_are_refused() -> None:
    structure = Structure(symbols=("Si",), positions=np.zeros((1, 3)))
    setup = make_setup("Si", ("Si",), [(4, "Si", "Si", (3.0, 1.0, 1.0, 0.1))])
    with pytest.raises(EngineError, match="1 and 5"):
        engine.describe([structure], tables_of(replace(setup, function=np.array([6], dtype=np.int32))))
    with pytest.raises(EngineError, match="no neighbour species"):
        engine.describe([structure], tables_of(replace(setup, neighbours=np.array([[1, 0]], dtype=np.int32))))


# --- the functions that ship with the water example ---------------------------------------------


@pytest.mark.parametrize("species, count", [("H", 27), ("O", 30)])
def test_water_setups_are_complete(species: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "setup.stp"
    path.write_bytes((EXAMPLE / f"{species}.behler.fingerprint.stp").read_bytes())
    setup = read_setup(path)
    assert setup.species == species and setup.environment == ("O", "H")
    assert setup.n_feature == count
    assert {g: int((setup.function == g).sum()) for g in (1, 2, 3, 4, 5)} == {1: 0, 2: 16, 3: 0, 4: count - 16, 5: 0}
    np.testing.assert_allclose(setup.parameters[:, 0], 12.0 * BOHR, rtol=1e-15)
    # The file is in the order of the values
    assert in_order_of_values(setup) == list(range(count))


def test_water_setups_have_the_published_parameters(shared: Path, tmp_path: Path) -> None:
    text = (shared / "data" / "water-cluster" / "symmetry-functions.md").read_text()
    expected = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3 or cells[0] not in ("H", "O"):
            continue
        for entry in cells[2].removeprefix("(").removesuffix(")").split("), ("):
            numbers = tuple(float(word) for word in entry.split(","))
            neighbours = tuple(sorted(cells[1].split()))
            if len(numbers) == 2:
                eta, r_s = numbers
                expected.append((cells[0], neighbours, 12.0 * BOHR, r_s * BOHR, eta / BOHR**2, 0.0))
            else:
                eta, lambda_, zeta = numbers
                expected.append((cells[0], neighbours, 12.0 * BOHR, lambda_, zeta, eta / BOHR**2))
    ours = []
    for species in ("H", "O"):
        path = tmp_path / f"{species}.stp"
        path.write_bytes((EXAMPLE / f"{species}.behler.fingerprint.stp").read_bytes())
        setup = read_setup(path)
        for types, parameters in zip(setup.neighbours, setup.parameters):
            names = tuple(sorted(setup.environment[t - 1] for t in types if t))
            ours.append((species, names, *parameters.tolist()))
    assert len(ours) == len(expected) == 57
    for one, other in zip(sorted(ours), sorted(expected), strict=True):
        assert one[:2] == other[:2]
        np.testing.assert_allclose(one[2:], other[2:], rtol=4e-16)
