"""Energies, forces and stresses of random potentials: symmetries and finite differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from engine_reference import (
    BOUNDARIES,
    ELEMENTS,
    changed,
    chebyshev_tables,
    network_output,
    potential_tables,
    random_potential,
    random_rotation,
    random_structure,
    reference_descriptors,
)
from taylorfit.engine import Evaluation, PotentialTables, evaluate
from taylorfit.errors import EngineError, InputError, TaylorfitError
from taylorfit.model.activations import ACTIVATIONS
from taylorfit.model.structure import Structure

TRICLINIC = np.array([[5.1, 0.3, -0.2], [1.9, 4.8, 0.4], [-2.2, 1.1, 6.0]])
PERIODIC, ISOLATED = (True, True, True), (False, False, False)


@dataclass(frozen=True)
class Case:
    """A random structure and a random potential for it."""

    n_species: int
    hidden: tuple[int, ...]
    codes: tuple[int, ...]
    pbc: tuple[bool, bool, bool]
    n_atoms: int = 6
    seed: int = 0

    def make(self) -> tuple[Structure, PotentialTables]:
        rng = np.random.default_rng([self.seed, self.n_species, *self.hidden, *self.codes, *self.pbc])
        species = ELEMENTS[: self.n_species]
        structure = random_structure(rng, self.n_atoms, TRICLINIC, self.pbc, species)
        tables = chebyshev_tables(species, (4.6, 5), (3.7, 3))
        # Each species has its own architecture: widths are rotated, activations too
        hidden = [
            self.hidden[t % len(self.hidden) :] + self.hidden[: t % len(self.hidden)] if self.hidden else ()
            for t in range(self.n_species)
        ]
        codes = [tuple((code + t) % 5 for code in self.codes) for t in range(self.n_species)]
        return structure, potential_tables(rng, [structure], tables, hidden, codes)


def _name(case: Case) -> str:
    layers = "-".join(map(str, case.hidden)) or "none"
    return f"{case.n_species} species, {layers}, {ACTIVATIONS[case.codes[0]]}, {''.join('FT'[p] for p in case.pbc)}"


NETWORKS = (
    *(Case(1, (7,), (code, 0), pbc) for code in range(5) for pbc in (PERIODIC, ISOLATED)),
    *(Case(2, (13, 7), (code, code, code), PERIODIC) for code in range(1, 5)),
    Case(1, (), (0,), PERIODIC),
    Case(2, (), (1,), ISOLATED),
    Case(1, (1,), (1, 0), PERIODIC),
    Case(3, (3, 1, 5), (1, 4, 2, 0), PERIODIC),
    Case(2, (11, 3, 17, 5), (3, 1, 2, 4, 1), PERIODIC),
    Case(4, (10, 10), (1, 1, 0), (True, False, True)),
    Case(2, (23,), (4, 3), (False, False, True)),
)
SYSTEMS = tuple(Case(1 + k % 3, (7, 5), (1, 4, 0), pbc, seed=k) for k, pbc in enumerate(BOUNDARIES))


def one(structure: Structure, potential: PotentialTables) -> Evaluation:
    """Evaluate a single structure."""
    (result,) = evaluate([structure], potential, threads=1)
    return result


def scale_of(result: Evaluation) -> float:
    """Size of the forces, for relative comparisons."""
    return max(1.0, np.abs(result.forces).max())


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NETWORKS, ids=_name)
def test_atomic_energies_equal_the_reference(case: Case) -> None:
    structure, _ = case.make()
    rng = np.random.default_rng(5)
    species = ELEMENTS[: case.n_species]
    tables = chebyshev_tables(species, (4.6, 5), (3.7, 3))
    potentials = random_potential(rng, [structure], tables, [case.hidden] * len(species), [case.codes] * len(species))
    (result,) = evaluate([structure], PotentialTables.from_potentials(potentials), descriptors=True)
    for i, raw in enumerate(reference_descriptors(structure, tables.setups)):
        p = potentials[species.index(structure.symbols[i])]
        statistics, info = p.setup.statistics, p.info
        deviation = np.sqrt(np.maximum(statistics.mean_square - statistics.mean**2, 0.0))
        varies = deviation > 1.0e-10
        x = np.where(varies, (raw - statistics.mean) / np.where(varies, deviation, 1.0), 0.0)
        np.testing.assert_allclose(result.descriptors[i, : len(x)], x, rtol=0.0, atol=1e-9 * max(1.0, np.abs(x).max()))
        own = dict(zip(info.species, info.atomic_energies))[p.species]
        expected = network_output(p.network, x[None])[0] / info.scale + info.shift + own
        assert result.atomic_energies[i] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert result.energy == result.atomic_energies.sum()


@pytest.mark.parametrize("pbc", [PERIODIC, ISOLATED])
def test_component_that_does_not_vary_is_ignored(pbc: tuple[bool, bool, bool]) -> None:
    structure, potential = Case(2, (5,), (1, 0), pbc).make()
    silenced = PotentialTables(**{**potential.__dict__, "feature_factor": np.zeros_like(potential.feature_factor)})
    result = one(structure, silenced)
    np.testing.assert_array_equal(result.forces, 0.0)
    np.testing.assert_array_equal(result.strain_derivative, 0.0)
    assert len(np.unique(result.atomic_energies)) == 2


@pytest.mark.parametrize("pbc", [(False,) * 3, (True,) * 3])
def test_lone_atom_has_its_own_energy_and_no_force(pbc: tuple[bool, bool, bool]) -> None:
    _, potential = SYSTEMS[1].make()
    lone = Structure(symbols=("C",), positions=np.array([[1.0, 2.0, 3.0]]), cell=np.eye(3) * 50.0, pbc=pbc)
    apart = Structure(symbols=("C", "H", "C"), positions=np.diag([0.0, 1.0e3, 2.0e3]))
    alone, together = one(lone, potential), one(apart, potential)
    np.testing.assert_array_equal(alone.forces, 0.0)
    np.testing.assert_array_equal(together.forces, 0.0)
    np.testing.assert_array_equal(together.atomic_energies[[0, 2]], alone.atomic_energies[0])
    assert together.atomic_energies[1] != alone.atomic_energies[0]


# --- symmetries --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SYSTEMS, ids=_name)
def test_net_force_is_zero_and_forces_are_not(case: Case) -> None:
    result = one(*case.make())
    assert np.abs(result.forces.sum(axis=0)).max() < 1e-12 * scale_of(result) * len(result.forces)
    assert np.abs(result.forces).max() > 1e-3


@pytest.mark.parametrize("case", SYSTEMS, ids=_name)
@pytest.mark.parametrize("shift", [(0.1, 0.2, -0.3), (17.0, -23.0, 11.0)])
def test_translation_changes_nothing(case: Case, shift: tuple[float, float, float]) -> None:
    structure, potential = case.make()
    before = one(structure, potential)
    after = one(changed(structure, positions=structure.positions + np.array(shift)), potential)
    assert_same(before, after)


@pytest.mark.parametrize("case", SYSTEMS, ids=_name)
@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_rotation_and_reflection_turn_the_forces_along(case: Case, mirror: float) -> None:
    structure, potential = case.make()
    turn = mirror * random_rotation(np.random.default_rng(9))
    periodic = np.array(structure.pbc)[:, None]
    cell = np.where(periodic, np.where(periodic, structure.cell, 0.0) @ turn.T, structure.cell)
    before = one(structure, potential)
    after = one(changed(structure, positions=structure.positions @ turn.T, cell=cell), potential)
    assert_same(before, after, turn)


@pytest.mark.parametrize("case", SYSTEMS, ids=_name)
def test_permutation_permutes_the_results(case: Case) -> None:
    structure, potential = case.make()
    order = np.random.default_rng(10).permutation(structure.n_atoms)
    symbols = tuple(structure.symbols[k] for k in order)
    before = one(structure, potential)
    after = one(changed(structure, positions=structure.positions[order], symbols=symbols), potential)
    np.testing.assert_allclose(after.forces, before.forces[order], rtol=0.0, atol=1e-11 * scale_of(before))
    np.testing.assert_allclose(after.atomic_energies, before.atomic_energies[order], rtol=0.0, atol=1e-11)


@pytest.mark.parametrize("species_order", [(1, 0, 2), (2, 0, 1)])
def test_order_of_the_potentials_does_not_matter(species_order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    structure = random_structure(rng, 6, TRICLINIC, species=ELEMENTS[:3])
    potentials = random_potential(
        rng, [structure], chebyshev_tables(ELEMENTS[:3]), [(3,), (5, 2), ()], [(1, 0), (2, 1, 0), (0,)]
    )
    before = one(structure, PotentialTables.from_potentials(potentials))
    after = one(structure, PotentialTables.from_potentials([potentials[k] for k in species_order]))
    assert_same(before, after)


@pytest.mark.parametrize("repeats", [(2, 1, 2), (1, 3, 1), (2, 2, 2)])
def test_supercell_has_multiples_of_the_energy_and_the_same_forces(repeats: tuple[int, int, int]) -> None:
    structure, potential = Case(2, (7, 5), (1, 4, 0), PERIODIC).make()
    images = np.array(list(np.ndindex(*repeats))) @ structure.cell
    many = changed(
        structure,
        symbols=structure.symbols * len(images),
        cell=structure.cell * np.array(repeats)[:, None],
        positions=(images[:, None, :] + structure.positions).reshape(-1, 3),
    )
    small, large = one(structure, potential), one(many, potential)
    n = len(images)
    assert large.energy == pytest.approx(n * small.energy, rel=1e-12)
    np.testing.assert_allclose(large.forces, np.tile(small.forces, (n, 1)), rtol=0.0, atol=1e-11 * scale_of(small))
    np.testing.assert_allclose(
        large.strain_derivative,
        n * small.strain_derivative,
        rtol=0.0,
        atol=1e-10 * np.abs(small.strain_derivative).max(),
    )


def test_other_vectors_of_the_same_lattice_give_the_same_result() -> None:
    structure, potential = Case(2, (7, 5), (1, 4, 0), PERIODIC).make()
    turned = np.array([[1, 0, 0], [3, 1, 0], [-2, 2, -1]]) @ structure.cell
    assert_same(one(structure, potential), one(changed(structure, cell=turned), potential))


def test_separate_molecules_have_the_sum_of_their_energies() -> None:
    structure, potential = Case(2, (7,), (1, 0), ISOLATED).make()
    two = changed(
        structure,
        symbols=structure.symbols * 2,
        positions=np.vstack([structure.positions, structure.positions + 200.0]),
    )
    single, both = one(structure, potential), one(two, potential)
    assert both.energy == pytest.approx(2.0 * single.energy, rel=1e-12)
    np.testing.assert_allclose(both.forces, np.tile(single.forces, (2, 1)), rtol=0.0, atol=1e-11 * scale_of(single))


def assert_same(before: Evaluation, after: Evaluation, turn: np.ndarray | None = None) -> None:
    """Compare two results, the second of the turned system."""
    turn = np.eye(3) if turn is None else turn
    np.testing.assert_allclose(after.atomic_energies, before.atomic_energies, rtol=0.0, atol=2e-11)
    np.testing.assert_allclose(after.forces, before.forces @ turn.T, rtol=0.0, atol=1e-10 * scale_of(before))
    np.testing.assert_allclose(
        after.strain_derivative,
        turn @ before.strain_derivative @ turn.T,
        rtol=0.0,
        atol=1e-10 * max(1.0, np.abs(before.strain_derivative).max()),
    )


# --- finite differences ------------------------------------------------------------------------


def central_difference(energies: np.ndarray, step: float) -> np.ndarray:
    """Return the derivative from values at −2, −1, +1, +2 steps (first axis)."""
    return ((energies[0] - energies[3]) + 8.0 * (energies[2] - energies[1])) / (12.0 * step)


@pytest.mark.parametrize("case", NETWORKS + SYSTEMS, ids=_name)
def test_forces_are_the_negative_gradient_of_the_energy(case: Case) -> None:
    """Four-point difference with a step of 5e-4 Å."""
    structure, potential = case.make()
    step, n = 5.0e-4, structure.n_atoms
    unit = np.eye(3 * n).reshape(-1, n, 3)
    moved = [changed(structure, positions=structure.positions + k * step * u) for k in (-2, -1, 1, 2) for u in unit]
    energies = np.array([result.energy for result in evaluate(moved, potential, forces=False)]).reshape(4, n, 3)
    result = one(structure, potential)
    assert np.abs(result.forces + central_difference(energies, step)).max() < 1.0e-8 * scale_of(result)


@pytest.mark.parametrize("case", NETWORKS[:6] + SYSTEMS, ids=_name)
def test_strain_derivative_is_the_change_of_energy_under_finite_strain(case: Case) -> None:
    """Four-point difference with a strain of 1e-4 of every component, not symmetrised."""
    structure, potential = case.make()
    step, periodic = 1.0e-4, np.array(structure.pbc)[:, None]
    strained = []
    for k in (-2, -1, 1, 2):
        for unit in np.eye(9).reshape(9, 3, 3):
            deformation = np.eye(3) + k * step * unit
            cell = np.where(periodic, np.where(periodic, structure.cell, 0.0) @ deformation.T, structure.cell)
            strained.append(changed(structure, positions=structure.positions @ deformation.T, cell=cell))
    energies = np.array([result.energy for result in evaluate(strained, potential, forces=False)]).reshape(4, 3, 3)
    strain = one(structure, potential).strain_derivative
    assert np.abs(strain).max() > 1.0e-3
    assert np.abs(strain - central_difference(energies, step)).max() < 1.0e-8 * max(1.0, np.abs(strain).max())
    np.testing.assert_array_equal(strain, strain.T)


def test_energy_and_forces_are_continuous_when_an_atom_crosses_the_cutoff() -> None:
    _, potential = Case(1, (7,), (1, 0), ISOLATED).make()
    cut = potential.descriptors.cutoff
    before, after = (
        one(
            Structure(symbols=("H",) * 3, positions=np.array([[0.0, 0, 0], [1.3, 0.2, 0], [0, 0, cut + gap]])),
            potential,
        )
        for gap in (-1.0e-7, 1.0e-7)
    )
    np.testing.assert_allclose(before.atomic_energies, after.atomic_energies, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(before.forces, after.forces, rtol=0.0, atol=1e-4)
    assert np.abs(after.forces[2]).max() <= np.abs(before.forces[2]).max() + 1e-15


# --- threads and batches -----------------------------------------------------------------------


def assert_identical(one_result: Evaluation, other: Evaluation) -> None:
    np.testing.assert_array_equal(one_result.atomic_energies, other.atomic_energies)
    np.testing.assert_array_equal(one_result.forces, other.forces)
    np.testing.assert_array_equal(one_result.strain_derivative, other.strain_derivative)


def _large(n_repeats: int) -> tuple[Structure, PotentialTables]:
    structure, potential = Case(3, (7, 5), (1, 4, 0), PERIODIC).make()
    images = np.array(list(np.ndindex(n_repeats, n_repeats, n_repeats))) @ structure.cell
    rng = np.random.default_rng(2)
    positions = (images[:, None, :] + structure.positions).reshape(-1, 3)
    return changed(
        structure,
        symbols=structure.symbols * len(images),
        cell=structure.cell * n_repeats,
        positions=positions + rng.uniform(-0.1, 0.1, positions.shape),
    ), potential


@pytest.mark.parametrize("n_repeats", [1, 3, 7])
def test_one_structure_gives_bitwise_the_same_for_any_number_of_threads(n_repeats: int) -> None:
    """2058 atoms in the largest make more blocks than an evaluation has leaves."""
    structure, potential = _large(n_repeats)
    reference = one(structure, potential)
    for threads in (2, 3, 5):
        (result,) = evaluate([structure], potential, threads=threads)
        assert_identical(reference, result)


@pytest.mark.parametrize("n_structures", [2, 3, 5, 12])
def test_many_structures_give_bitwise_the_same_for_any_number_of_threads(n_structures: int) -> None:
    structure, potential = Case(2, (7,), (1, 0), PERIODIC, n_atoms=9).make()
    rng = np.random.default_rng(4)
    structures = [
        changed(structure, positions=structure.positions + rng.uniform(-0.1, 0.1, (9, 3))) for _ in range(n_structures)
    ]
    references = [one(s, potential) for s in structures]
    for threads in (1, 2, 3):
        for reference, result in zip(references, evaluate(structures, potential, threads=threads), strict=True):
            assert_identical(reference, result)


def test_batch_may_mix_boundaries_sizes_and_empty_structures() -> None:
    _, potential = Case(3, (7, 5), (1, 4, 0), PERIODIC).make()
    rng = np.random.default_rng(7)
    structures = [
        random_structure(rng, n, TRICLINIC, pbc, ELEMENTS[:3]) for n, pbc in zip((1, 4, 7, 2), BOUNDARIES[1::2])
    ]
    structures.insert(2, Structure(symbols=(), positions=np.zeros((0, 3))))
    results = evaluate(structures, potential)
    for structure, result in zip(structures, results, strict=True):
        assert_identical(one(structure, potential), result)
    assert results[2].energy == 0.0 and results[2].forces.shape == (0, 3)
    assert evaluate([], potential) == []


# --- errors ------------------------------------------------------------------------------------


def test_error_names_the_first_bad_structure_for_any_number_of_threads() -> None:
    structure, potential = Case(1, (3,), (1, 0), PERIODIC).make()
    good = [changed(structure, name=f"good{k}") for k in range(12)]
    good[5] = changed(structure, name="bad5", positions=structure.positions * [[1]] * 5 + [[np.nan, 0, 0]])
    good[9] = changed(structure, name="bad9", cell=np.zeros((3, 3)))
    for threads in (1, 2, 3):
        with pytest.raises(InputError) as caught:
            evaluate(good, potential, threads=threads)
        assert caught.value.file == "bad5"


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros(3)},
        {"weights": np.zeros((2, 2))},
        {"energy_scale": np.ones(2)},
        {"energy_shift": np.zeros(0)},
        {"energy_atomic": np.zeros(3)},
        {"feature_shift": np.zeros((2, 1), order="F")},
        {"feature_factor": np.zeros((40, 1), order="F")},
        {"feature_shift": np.zeros((10, 2), order="F")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_arrays_of_wrong_size_are_errors(change: dict[str, np.ndarray]) -> None:
    structure, potential = Case(1, (3,), (1, 0), PERIODIC).make()
    with pytest.raises(EngineError):
        one(structure, PotentialTables(**{**potential.__dict__, **change}))


@pytest.mark.parametrize("threads", [-1, -(2**31)])
def test_negative_number_of_threads_is_an_error(threads: int) -> None:
    structure, potential = Case(1, (3,), (1, 0), PERIODIC).make()
    with pytest.raises(TaylorfitError):
        evaluate([structure], potential, threads=threads)
