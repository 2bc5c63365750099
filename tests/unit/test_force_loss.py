"""Losses with forces: forces against the potential, gradients against differences, and what must not matter."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from force_cases import (
    ROUNDED,
    SCALE,
    SHIFT,
    ForceCase,
    behler,
    chebyshev,
    directional_terms,
    evaluate_terms,
    exact_terms,
    force_map,
    make_case,
    order_of,
    structures,
)
from taylorfit.engine import ForceMap, Loss, descriptor_derivatives, evaluate, strain_changes
from taylorfit.model.descriptor import StructureDerivatives
from taylorfit.settings.forces import ForceMode
from taylorfit.training.data import ReferenceData
from taylorfit.training.derivatives_map import map_from_derivatives
from taylorfit.training.force_terms import feature_factors, force_terms, random_directions

SETUPS = {
    "chebyshev": lambda folder: [chebyshev("O"), chebyshev("H")],
    "other radial functions": lambda folder: [chebyshev("O"), chebyshev("H", radial_cutoff=3.3)],
    "wider angles": lambda folder: [chebyshev("O", radial_order=3), chebyshev("H", angular_cutoff=4.5)],
    "no angles": lambda folder: [chebyshev("O", angular_cutoff=0.0, angular_order=0), chebyshev("H")],
    "other environment": lambda folder: [chebyshev("O", ("H", "O")), chebyshev("H")],
    "symmetry functions": lambda folder: [behler(folder, "O"), behler(folder, "H")],
    "mixed": lambda folder: [behler(folder, "O"), chebyshev("H")],
}


@pytest.fixture(params=SETUPS)
def setups(request: pytest.FixtureRequest, tmp_path: Path) -> list:
    return SETUPS[request.param](tmp_path)


def numeric_gradient(loss, weights: np.ndarray, step: float = 1.0e-3) -> np.ndarray:
    """Four-point differences of `loss` along every weight."""
    result = np.empty(len(weights))
    for k in range(len(weights)):
        f = [loss(weights + multiple * step * np.eye(1, len(weights), k)[0]) for multiple in (-2, -1, 1, 2)]
        result[k] = ((f[0] - f[3]) + 8.0 * (f[2] - f[1])) / (12.0 * step)
    return result


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
@pytest.mark.parametrize("merged", (False, True), ids=("pairs", "merged"))
def test_forces_and_energies_are_those_of_the_potential(setups, periodic, merged):
    case = make_case(structures(periodic), setups)
    map_ = force_map(case.structures, case.tables, merged=merged)
    found = evaluate_terms(case, exact_terms(case, map_), case.weights)
    expected = evaluate(case.structures, case.potential(case.weights))
    forces = np.concatenate([e.forces[order_of(s)] for e, s in zip(expected, case.structures)])
    np.testing.assert_allclose(found.force / SCALE, forces, atol=ROUNDED * max(1.0, np.abs(forces).max()), rtol=0)
    energies = [e.energy - SHIFT * s.n_atoms for e, s in zip(expected, case.structures)]
    np.testing.assert_allclose(found.energy / SCALE, energies, rtol=1e-12)
    for a, b in zip(map_.first_atom, map_.first_atom[1:]):
        assert np.abs(found.force[a:b].sum(axis=0)).max() < 1e-12


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
def test_gradient_of_the_exact_loss_equals_central_differences(setups, periodic):
    case = make_case(structures(periodic, n=3), setups)
    terms = exact_terms(case, force_map(case.structures, case.tables))
    weights = case.weights
    gradient = np.empty(len(weights))
    loss = evaluate_terms(case, terms, weights, gradient).loss
    assert loss == pytest.approx(evaluate_terms(case, terms, weights).loss, rel=1e-14)
    numeric = numeric_gradient(lambda w: evaluate_terms(case, terms, w).loss, weights)
    assert np.abs(gradient - numeric).max() < 1e-8 * np.abs(gradient).max()


@pytest.mark.parametrize("codes", ((0, 0, 0), (1, 2, 0), (3, 4, 0), (1, 1, 2), (4, 3, 4)), ids=str)
def test_gradient_with_every_activation(codes):
    case = make_case(structures(True, n=2), [chebyshev("O"), chebyshev("H")], codes=codes)
    terms = exact_terms(case, force_map(case.structures, case.tables))
    gradient = np.empty(len(case.weights))
    evaluate_terms(case, terms, case.weights, gradient)
    numeric = numeric_gradient(lambda w: evaluate_terms(case, terms, w).loss, case.weights)
    assert np.abs(gradient - numeric).max() < 1e-8 * np.abs(gradient).max()


def test_loss_is_the_sum_it_is_documented_to_be():
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    terms = exact_terms(case, force_map(case.structures, case.tables))
    found = evaluate_terms(case, terms, case.weights, energy_weight=0.4)
    energy = 0.4 * (((case.packed.energy - found.energy) / case.packed.n_atoms) ** 2).sum()
    force = (terms.atom_weight * ((found.force - terms.force_ref) ** 2).sum(axis=1)).sum()
    assert found.loss == pytest.approx(0.5 * (energy + force), rel=1e-12)


def test_without_force_weights_it_is_the_energy_loss():
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    terms = exact_terms(case, force_map(case.structures, case.tables))
    terms = replace(terms, atom_weight=np.zeros_like(terms.atom_weight))
    gradient, expected = np.empty(len(case.weights)), np.empty(len(case.weights))
    found = evaluate_terms(case, terms, case.weights, gradient)
    n = len(case.structures)
    plain = Loss(case.packed, case.network_tables, 1.0 / case.packed.n_atoms, np.ones(n), threads=1)
    energies = plain.evaluate(case.weights, expected)
    assert found.loss == pytest.approx(energies.loss, rel=1e-13)
    np.testing.assert_allclose(found.energy, energies.energy, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())
    assert not found.force.any(), "forces nobody asks for are left out with a gradient"


@pytest.mark.parametrize("threads", (2, 3, 7))
def test_result_is_bitwise_the_same_for_any_number_of_threads(threads):
    case = make_case(structures(True, n=60, atoms=9), [chebyshev("O"), chebyshev("H")], block_atoms=10)
    maps = [force_map(case.structures, case.tables, threads=t) for t in (1, threads)]
    for field in fields(ForceMap):
        np.testing.assert_array_equal(*(getattr(map_, field.name) for map_ in maps))
    gradients = [np.empty(len(case.weights)) for _ in range(2)]
    found = [
        evaluate_terms(case, exact_terms(case, maps[0]), case.weights, g, t) for g, t in zip(gradients, (1, threads))
    ]
    assert found[0].loss == found[1].loss
    np.testing.assert_array_equal(found[0].force, found[1].force)
    np.testing.assert_array_equal(*gradients)


def test_rotation_and_permutation_change_nothing():
    rng = np.random.default_rng(5)
    data = structures(True)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = []
    for s in data:
        order = rng.permutation(s.n_atoms)
        moved.append(
            replace(
                s,
                symbols=tuple(s.symbols[i] for i in order),
                positions=(s.positions @ turn)[order],
                forces=(s.forces @ turn)[order],
                cell=s.cell @ turn,
            )
        )
    results = []
    for structures_ in (data, moved):
        case = make_case(structures_, [chebyshev("O"), chebyshev("H")])
        terms = exact_terms(case, force_map(case.structures, case.tables))
        terms = replace(terms, atom_weight=np.ones_like(terms.atom_weight))
        gradient = np.empty(len(case.weights))
        results.append((evaluate_terms(case, terms, case.weights, gradient).loss, gradient))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=0, atol=ROUNDED * np.abs(results[0][1]).max())


# --- directions ---------------------------------------------------------------------------------


def orthonormal(case: ForceCase) -> list[np.ndarray]:
    """All directions of each structure."""
    rng = np.random.default_rng(1)
    return [np.linalg.qr(rng.normal(size=(3 * s.n_atoms,) * 2))[0].reshape(-1, s.n_atoms, 3) for s in case.structures]


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
def test_directions_that_span_the_space_are_the_exact_loss(setups, periodic):
    case = make_case(structures(periodic), setups)
    map_ = force_map(case.structures, case.tables)
    exact = replace(exact_terms(case, map_), atom_weight=np.full(map_.first_atom[-1], 0.7))
    along = directional_terms(case, map_, orthonormal(case))
    gradients = [np.empty(len(case.weights)) for _ in range(2)]
    losses = [evaluate_terms(case, terms, case.weights, g).loss for terms, g in zip((exact, along), gradients)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=1e-6 * np.abs(gradients[0]).max())


def test_gradient_of_the_directional_loss_equals_central_differences(setups):
    case = make_case(structures(True, n=3), setups)
    rng = np.random.default_rng(2)
    directions = [rng.normal(size=(n, s.n_atoms, 3)) for n, s in zip((5, 0, 1), case.structures)]
    terms = directional_terms(case, force_map(case.structures, case.tables), directions)
    gradient = np.empty(len(case.weights))
    evaluate_terms(case, terms, case.weights, gradient)
    numeric = numeric_gradient(lambda w: evaluate_terms(case, terms, w).loss, case.weights)
    assert np.abs(gradient - numeric).max() < 1e-8 * np.abs(gradient).max()


def test_forces_and_directions_together_add_up():
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    map_ = force_map(case.structures, case.tables)
    exact, along = exact_terms(case, map_), directional_terms(case, map_, [v[:4] for v in orthonormal(case)])
    both = replace(along, map=map_, force_ref=exact.force_ref, atom_weight=exact.atom_weight)
    gradients = [np.empty(len(case.weights)) for _ in range(3)]
    found = [
        evaluate_terms(case, t, case.weights, g, energy_weight=w)
        for t, g, w in zip((exact, along, both), gradients, (1.0, 0.0, 1.0))
    ]
    assert found[2].loss == pytest.approx(found[0].loss + found[1].loss, rel=1e-12)
    np.testing.assert_allclose(
        gradients[2], gradients[0] + gradients[1], rtol=0, atol=1e-12 * np.abs(gradients[2]).max()
    )


def test_derivative_along_a_direction_is_the_limit_of_displaced_energies():
    """Taylor copies without truncation: [E(R + δv) − E(R − δv)]/2δ → D_vE, the error falling as δ²."""
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    potential = case.potential(case.weights)
    rng = np.random.default_rng(4)
    directions = [rng.normal(size=(1, s.n_atoms, 3)) for s in case.structures]
    terms = directional_terms(case, force_map(case.structures, case.tables), directions)
    found = evaluate_terms(case, terms, case.weights).derivative / SCALE
    errors = []
    for delta in (0.004, 0.002):
        values = []
        for s, v in zip(case.structures, directions):
            step = np.empty_like(s.positions)
            step[order_of(s)] = delta * v[0]
            plus, minus = (
                evaluate([replace(s, positions=s.positions + sign * step)], potential)[0].energy for sign in (1, -1)
            )
            values.append((plus - minus) / (2 * delta))
        errors.append(np.abs(np.array(values) - found).max())
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.05 * np.abs(found).max()


def test_strains_give_the_virial(setups):
    case = make_case(structures(True), setups)
    factor = feature_factors(case.scaling)
    own = [1.0, 0.0, 2.5, 1.0]
    data = ReferenceData(
        {p: replace(s, stress=np.zeros((3, 3))) for p, s in enumerate(case.structures)},
        dict(enumerate(own)),
        {p: np.ones(s.n_atoms) for p, s in enumerate(case.structures)},
        "test",
    )
    found = force_terms([(0, p) for p in range(4)], data, case.tables, case.scaling, ForceMode("exact", virial=0.3))
    assert found.is_strain.all() and len(found.is_strain) == 24
    derivative = evaluate_terms(case, found.terms, case.weights).derivative.reshape(-1, 6) / SCALE
    for row, evaluation in zip(derivative, evaluate(case.structures, case.potential(case.weights))):
        w = evaluation.strain_derivative
        expected = [w[0, 0], w[1, 1], w[2, 2], w[1, 2], w[0, 2], w[0, 1]]
        np.testing.assert_allclose(row, expected, atol=1e-6 * np.abs(w).max())
    weight = found.terms.direction_weight.reshape(-1, 6)
    per_atom = derivative * SCALE / case.packed.n_atoms[:, None]
    full = (per_atom**2 * [1, 1, 1, 2, 2, 2]).sum(axis=1) / 9
    np.testing.assert_allclose((weight * (derivative * SCALE) ** 2).sum(axis=1), 0.3 * np.array(own) * full, rtol=1e-12)
    assert factor.shape[1] == 2


def test_strain_derivatives_of_descriptors_against_strained_cells():
    case = make_case(structures(True, n=1), [chebyshev("O"), chebyshev("H")])
    structure, step = case.structures[0], 1e-5
    values = strain_changes([structure], case.tables)[0]
    from taylorfit.engine import describe

    for column, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        moved = [
            replace(
                structure,
                positions=structure.positions @ (np.eye(3) + sign * step * strain),
                cell=structure.cell @ (np.eye(3) + sign * step * strain),
            )
            for sign in (1, -1)
        ]
        plus, minus = (d[0][0] for d in describe(moved, case.tables))
        np.testing.assert_allclose(values[:, column], (plus - minus) / (2 * step), atol=1e-7 * np.abs(values).max())


def test_random_directions_are_orthonormal_without_net_displacement():
    directions = random_directions(7, 18, np.random.default_rng(0))
    flat = directions.reshape(18, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(18), atol=1e-12)
    assert np.abs(directions.sum(axis=1)).max() < 1e-12
    assert len(random_directions(4, 50, np.random.default_rng(0))) == 9
    few = np.array([random_directions(5, 3, np.random.default_rng(k)).reshape(3, -1) for k in range(2000)])
    spread = np.einsum("kvi,kvj->ij", few, few) / (2000 * 3)
    projector = np.eye(15) - np.kron(np.full((5, 5), 0.2), np.eye(3))
    np.testing.assert_allclose(spread, projector / 12, atol=0.01)


def test_directional_terms_estimate_the_exact_ones():
    """Averaged over many draws the directional loss is the exact one, but for the net force."""
    case = make_case(structures(True, n=2), [chebyshev("O"), chebyshev("H")])
    centred = [replace(s, forces=s.forces - s.forces.mean(axis=0)) for s in case.structures]
    data = ReferenceData(
        dict(enumerate(centred)), {0: 1.0, 1: 1.0}, {p: np.ones(s.n_atoms) for p, s in enumerate(centred)}, "t"
    )
    picks = [(0, 0), (0, 1)]

    def loss(mode: ForceMode, seed: int = 1) -> float:
        found = force_terms(picks, data, case.tables, case.scaling, mode, seed=seed)
        return evaluate_terms(case, found.terms, case.weights, energy_weight=0.0).loss

    exact = loss(ForceMode("exact"))
    drawn = [loss(ForceMode("directional", directions=4), seed) for seed in range(300)]
    assert np.mean(drawn) == pytest.approx(exact, abs=4 * np.std(drawn) / np.sqrt(300))
    assert np.std(drawn) < exact
    assert loss(ForceMode("directional", directions=1000)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
def test_map_from_descriptor_derivatives_is_the_same_map(setups, periodic):
    case = make_case(structures(periodic), setups)
    derivatives = [
        StructureDerivatives(s.name, s.n_atoms, 2, tuple(descriptor_derivatives(s, case.tables)))
        for s in case.structures
    ]
    derivatives[1] = derivatives[1]._replace(atoms=None)
    map_, known = map_from_derivatives(reversed(derivatives), case.structures, case.tables)
    own = force_map(case.structures, case.tables)
    results = [evaluate_terms(case, replace(exact_terms(case, m)), case.weights).force for m in (own, map_)]
    a, b = map_.first_atom[1:3]
    np.testing.assert_array_equal(np.flatnonzero(~known), np.arange(a, b))
    np.testing.assert_allclose(results[1][known], results[0][known], atol=ROUNDED * np.abs(results[0]).max(), rtol=0)
    assert not results[1][~known].any()
