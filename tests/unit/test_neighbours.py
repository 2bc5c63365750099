"""The neighbour list against a search over all images, for cells of every shape."""

from __future__ import annotations

import numpy as np
import pytest

from engine_reference import BOUNDARIES, GARBAGE, brute_force_neighbours, changed, chebyshev_tables, random_structure
from taylorfit import engine
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.model.structure import Structure

CUBIC = np.diag([5.0, 5.0, 5.0])
SKEWED = np.array([[4.0, 0.0, 0.0], [7.5, 3.0, 0.0], [0.0, 0.0, 4.0]])
TRICLINIC = np.array([[4.1, 0.3, -0.2], [1.9, 3.8, 0.4], [-2.2, 1.1, 5.0]])

CELLS = {
    "cubic": (CUBIC, 4.0, 6),
    "cubic with cutoff below half a cell": (np.diag([9.0, 9.0, 9.0]), 3.0, 10),
    "triclinic": (TRICLINIC, 6.0, 4),
    "strongly skewed": (SKEWED, 8.3, 3),
    "sheared by several cells": (np.array([[3.0, 0, 0], [28.0, 3.0, 0], [-17.0, 40.0, 3.0]]), 5.3, 2),
    "left-handed": (TRICLINIC[[1, 0, 2]], 6.0, 4),
    "thin slab of a cell": (np.diag([9.0, 8.0, 1.5]), 6.0, 3),
    "needle of a cell": (np.diag([1.5, 1.6, 20.0]), 5.0, 3),
    "tiny": (np.diag([1.3, 1.4, 1.5]) + 0.1, 5.0, 1),
    "very anisotropic": (np.diag([3.0, 3.0, 3.0e5]), 4.0, 2),
}


def assert_same_neighbours(structure: Structure, reach: float, tolerance: float = 1.0e-11) -> int:
    """Compare the engine's list with brute force, whatever the order; return the number of pairs."""
    first, atom, vector = engine.neighbours(structure, reach)
    assert first[0] == 0 and first[-1] == len(atom) == len(vector)
    for i, (atoms, vectors) in enumerate(brute_force_neighbours(structure, reach)):
        own = slice(first[i], first[i + 1])
        assert first[i + 1] - first[i] == len(atoms), f"atom {i}"
        ours, theirs = _sorted(atom[own], vector[own]), _sorted(atoms, vectors)
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0.0, atol=tolerance)
    return len(atom)


def _sorted(atoms: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rounded = np.round(vectors, 4) + 0.0
    order = np.lexsort((*rounded.T, atoms))
    return atoms[order], vectors[order]


@pytest.mark.parametrize("pbc", BOUNDARIES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
@pytest.mark.parametrize("name", CELLS)
def test_list_equals_brute_force(name: str, pbc: tuple[bool, bool, bool]) -> None:
    cell, reach, n_atoms = CELLS[name]
    rng = np.random.default_rng([len(name), *pbc])
    structure = random_structure(rng, n_atoms, cell, pbc, closest=0.5)
    assert_same_neighbours(structure, reach)


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("pbc", BOUNDARIES[:-1], ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_vectors_along_nonperiodic_directions_do_not_matter(pbc: tuple[bool, bool, bool], row: int) -> None:
    structure = random_structure(np.random.default_rng(3), 5, TRICLINIC, pbc)
    plain = changed(structure, cell=np.where(np.array(pbc)[:, None], TRICLINIC, 0.0))
    other = changed(structure, cell=np.where(np.array(pbc)[:, None], TRICLINIC, GARBAGE[row]))
    for one, two in zip(engine.neighbours(plain, 7.0), engine.neighbours(other, 7.0)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("second, expected", [(None, 44), ((0.5, 0.0, 0.0), 90), ((0.5, 0.5, 0.5), 92)])
def test_skewed_cell_keeps_the_neighbours_that_aenet_loses(second: tuple[float, ...] | None, expected: int) -> None:
    """ænet 2.0.4 confuses rows and columns of the lattice here and finds about 5 out of 6."""
    positions = np.array([(0.0, 0.0, 0.0)] if second is None else [(0.0, 0.0, 0.0), second]) @ SKEWED
    structure = Structure(symbols=("Si",) * len(positions), positions=positions, cell=SKEWED, pbc=(True,) * 3)
    assert assert_same_neighbours(structure, 8.0) == expected * len(positions)


@pytest.mark.parametrize("reach, expected", [(2.999, 0), (3.0, 6), (4.2, 6), (4.25, 18), (5.2, 26), (6.0, 32)])
def test_simple_cubic_lattice_has_its_shells(reach: float, expected: int) -> None:
    structure = Structure(
        symbols=("Si",), positions=np.array([[0.3, 0.2, 0.1]]), cell=np.diag([3.0] * 3), pbc=(True,) * 3
    )
    assert assert_same_neighbours(structure, reach) == expected


@pytest.mark.parametrize("shift", [(-7, 0, 0), (3, -2, 11), (10**4, -(10**4), 10**5)])
def test_atoms_outside_the_cell_have_the_same_neighbours(shift: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(8)
    structure = random_structure(rng, 5, TRICLINIC, closest=0.8)
    moved = structure.positions.copy()
    moved[::2] += np.array(shift) @ TRICLINIC
    counts = np.diff(engine.neighbours(structure, 6.0)[0])
    first, _, vectors = engine.neighbours(changed(structure, positions=moved), 6.0)
    np.testing.assert_array_equal(np.diff(first), counts)
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(vectors, axis=1)),
        np.sort(np.linalg.norm(engine.neighbours(structure, 6.0)[2], axis=1)),
        rtol=0.0,
        atol=1.0e-15 * 1.0e6 * 10.0,
    )


@pytest.mark.parametrize("fraction", [0.0, -1.0e-17, 1.0 - 1.0e-16, 1.0, -1.0, 1.0e-300])
def test_atoms_on_the_faces_of_the_cell_are_found_once(fraction: float) -> None:
    positions = np.array([[fraction] * 3, [0.5, 0.5, 0.5]]) @ TRICLINIC
    structure = Structure(symbols=("Si", "Si"), positions=positions, cell=TRICLINIC, pbc=(True,) * 3)
    assert_same_neighbours(structure, 6.0)


@pytest.mark.parametrize("fraction", [0.0, 1.0e-5, 0.5, 0.99999, 1.0 - 1.0e-15])
@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_images_just_inside_the_cutoff_are_found_from_both_ends_of_the_cell(fraction: float, multiple: int) -> None:
    """The outermost image lies 1e-5 Å inside the cutoff, straight along each lattice vector."""
    structure = Structure(symbols=("Si",), positions=np.full((1, 3), 5.0 * fraction), cell=CUBIC, pbc=(True,) * 3)
    vectors = engine.neighbours(structure, 5.0 * multiple + 1.0e-5)[2]
    for axis in range(3):
        along = np.sort(vectors[np.delete(np.abs(vectors) < 1e-9, axis, axis=1).all(axis=1), axis])
        expected = 5.0 * np.array([k for k in range(-multiple, multiple + 1) if k])
        np.testing.assert_allclose(along, expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("distance", [20.0, 1.0e4, 5.0e8])
def test_clusters_far_apart_do_not_see_each_other(distance: float) -> None:
    cluster = random_structure(np.random.default_rng(5), 6, CUBIC, (False,) * 3)
    far = cluster.positions + np.array([distance, -distance, 0.5 * distance])
    both = Structure(symbols=cluster.symbols * 2, positions=np.vstack([cluster.positions, far]))
    one = assert_same_neighbours(cluster, 4.0)
    assert assert_same_neighbours(both, 4.0, tolerance=1.0e-15 * distance) == 2 * one


@pytest.mark.parametrize("offset", [1.0e3, -1.0e6, 5.0e8])
def test_huge_coordinates_of_a_molecule_are_no_problem(offset: float) -> None:
    molecule = random_structure(np.random.default_rng(6), 6, CUBIC, (False,) * 3)
    assert_same_neighbours(changed(molecule, positions=molecule.positions + offset), 4.0)


@pytest.mark.parametrize("pbc", BOUNDARIES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_one_atom_sees_only_its_images(pbc: tuple[bool, bool, bool]) -> None:
    structure = Structure(symbols=("Si",), positions=np.array([[1.0, 2.0, 3.0]]), cell=CUBIC, pbc=pbc)
    assert assert_same_neighbours(structure, 5.5) == 2 * sum(pbc)


@pytest.mark.parametrize("pbc", BOUNDARIES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_no_atoms_have_no_neighbours(pbc: tuple[bool, bool, bool]) -> None:
    first, atom, vector = engine.neighbours(Structure(symbols=(), positions=np.zeros((0, 3)), cell=CUBIC, pbc=pbc), 4.0)
    np.testing.assert_array_equal(first, [0])
    assert atom.shape == (0,) and vector.shape == (0, 3)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False), (False, False, False)])
def test_list_equals_that_of_ase(pbc: tuple[bool, bool, bool]) -> None:
    atoms_module, neighbour_module = pytest.importorskip("ase"), pytest.importorskip("ase.neighborlist")
    structure = random_structure(np.random.default_rng(12), 12, 1.6 * TRICLINIC, pbc)
    cell = np.where(np.array(pbc)[:, None], 1.6 * TRICLINIC, 0.0)
    atoms = atoms_module.Atoms("Si12", positions=structure.positions, cell=cell, pbc=pbc)
    i, j, vectors = neighbour_module.neighbor_list("ijD", atoms, 7.0)
    first, atom, vector = engine.neighbours(structure, 7.0)
    np.testing.assert_array_equal(np.diff(first), np.bincount(i, minlength=12))
    for k in range(12):
        ours = _sorted(atom[first[k] : first[k + 1]], vector[first[k] : first[k + 1]])
        theirs = _sorted(j[i == k], vectors[i == k])
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0.0, atol=1.0e-10)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, False)])
def test_every_pair_is_listed_from_both_ends(pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(20)
    structure = Structure(
        symbols=("Si",) * 400, positions=rng.uniform(0.0, 20.0, (400, 3)), cell=np.diag([20.0] * 3), pbc=pbc
    )
    first, atom, vector = engine.neighbours(structure, 4.0)
    centre = np.repeat(np.arange(400), np.diff(first))
    there = np.column_stack([centre, atom, np.round(vector, 6)]) + 0.0
    back = np.column_stack([atom, centre, np.round(-vector, 6)]) + 0.0
    assert len(there) > 4000
    np.testing.assert_array_equal(there[np.lexsort(there.T)], back[np.lexsort(back.T)])


def test_result_grows_with_the_atoms_and_not_with_their_square() -> None:
    """The number of pairs, which bounds the work, doubles when a periodic system is doubled."""
    rng = np.random.default_rng(21)
    positions = rng.uniform(0.0, 12.0, (100, 3))
    small = Structure(symbols=("Si",) * 100, positions=positions, cell=np.diag([12.0] * 3), pbc=(True,) * 3)
    doubled = np.vstack([positions, positions + [0.0, 12.0, 0.0]])
    large = Structure(symbols=("Si",) * 200, positions=doubled, cell=np.diag([12.0, 24.0, 12.0]), pbc=(True,) * 3)
    assert len(engine.neighbours(large, 4.0)[1]) == 2 * len(engine.neighbours(small, 4.0)[1])


GOOD = Structure(symbols=("Si", "Si"), positions=np.array([[0.0, 0, 0], [1.5, 1.5, 1.5]]), cell=CUBIC, pbc=(True,) * 3)

BAD = {
    "zero cell": changed(GOOD, cell=np.zeros((3, 3))),
    "two equal vectors": changed(GOOD, cell=CUBIC[[0, 0, 2]]),
    "coplanar vectors": changed(GOOD, cell=np.array([[4.0, 0, 0], [0, 4.0, 0], [4.0, 4.0, 0]])),
    "one zero vector": changed(GOOD, cell=CUBIC * [[1], [0], [1]]),
    "NaN in the cell": changed(GOOD, cell=CUBIC * [[1], [np.nan], [1]]),
    "infinite cell": changed(GOOD, cell=np.where(CUBIC > 0.0, np.inf, 0.0)),
    "zero periodic vector of a wire": changed(GOOD, cell=CUBIC * [[1], [1], [0]], pbc=(False, False, True)),
    "parallel vectors of a slab": changed(GOOD, cell=CUBIC[[0, 0, 2]], pbc=(True, True, False)),
    "NaN position": changed(GOOD, positions=GOOD.positions * [[1], [np.nan]]),
    "infinite position": changed(GOOD, positions=GOOD.positions + [[0, 0, 0], [0, np.inf, 0]]),
    "infinite position of a molecule": changed(
        GOOD, positions=GOOD.positions + [[0, 0, 0], [0, np.inf, 0]], pbc=(False,) * 3
    ),
    "position too large to be wrapped": changed(GOOD, positions=GOOD.positions + [[0, 0, 0], [1.0e30, 0, 0]]),
    "cell of 1e-10": changed(GOOD, cell=np.eye(3) * 1.0e-10),
    "cell of 0.01": changed(GOOD, cell=np.eye(3) * 0.01),
    "cell of 0.03": changed(GOOD, cell=np.eye(3) * 0.03),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_geometry_is_an_error(name: str) -> None:
    with pytest.raises(TaylorfitError):
        engine.neighbours(BAD[name], 8.0)


@pytest.mark.parametrize("name", BAD)
def test_impossible_geometry_names_the_structure(name: str) -> None:
    tables = chebyshev_tables(("Si",), (6.0, 3), (4.0, 2))
    bad = changed(BAD[name], name="bad.xsf")
    with pytest.raises(InputError) as caught:
        engine.describe([changed(GOOD, name="good.xsf"), bad], tables)
    assert caught.value.file == "bad.xsf"


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan, -np.inf, np.inf, 1.0e300])
@pytest.mark.parametrize("pbc", [(True,) * 3, (False,) * 3])
def test_impossible_cutoff_is_an_error(reach: float, pbc: tuple[bool, bool, bool]) -> None:
    with pytest.raises(TaylorfitError):
        engine.neighbours(changed(GOOD, pbc=pbc), reach)


@pytest.mark.parametrize(
    "second, pbc",
    [((1.0, 1.0, 1.0), (False,) * 3), ((1.0, 1.0, 1.0 + 1.0e-8), (False,) * 3), ((6.0, 1.0, -4.0), (True,) * 3)],
)
def test_coinciding_atoms_are_an_error(second: tuple[float, ...], pbc: tuple[bool, bool, bool]) -> None:
    structure = Structure(
        symbols=("Si", "Si"), positions=np.array([(1.0, 1.0, 1.0), second]), cell=CUBIC, pbc=pbc, name="twins"
    )
    with pytest.raises(InputError, match="coincide") as caught:
        engine.describe([GOOD, structure], chebyshev_tables(("Si",)))
    assert caught.value.file == "twins"


def test_a_displacement_onto_another_atom_is_an_error() -> None:
    displacement = np.zeros((2, 2, 3))
    displacement[1, 0] = GOOD.positions[1] - GOOD.positions[0]
    with pytest.raises(TaylorfitError, match="coincide"):
        engine.describe([GOOD], chebyshev_tables(("Si",)), [displacement])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_displacement_that_is_not_finite_is_an_error(value: float) -> None:
    displacement = np.zeros((2, 2, 3))
    displacement[1, 0, 2] = value
    with pytest.raises(TaylorfitError):
        engine.describe([GOOD], chebyshev_tables(("Si",)), [displacement])
