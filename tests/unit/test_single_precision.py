"""PRECISION single: gradients as good as float32, the same bits however the work is shared, half the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from energy_cases import CASES, Problem, make
from force_cases import ForceCase, chebyshev, directional_terms, exact_terms, force_map, make_case, structures
from taylorfit import (
    Adam,
    Centred,
    Directional,
    Energy,
    Exact,
    RandomDisplacements,
    Structure,
    Taylor,
    generate,
    propose,
    train,
)
from taylorfit.engine import ForceTerms, Loss, NetworkTables, PartialSums
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.training.pack import PackedDataset, Scaling, pack

EPSILON = float(np.finfo(np.float32).eps)


def dimers(n: int = 12) -> list[Structure]:
    found = []
    for r in np.linspace(0.65, 0.85, n):
        forces = 8.0 * (r - 0.74) * np.array([[0, 0, 1], [0, 0, -1]])
        energy = 4.0 * (r - 0.74) ** 2 - 6.7
        found.append(Structure(("H", "H"), [[0, 0, 0], [0, 0, r]], energy=energy, forces=forces))
    return found


def rounded(data: PackedDataset, in_double: bool = False) -> PackedDataset:
    """The pack in single precision, or the same numbers in double precision."""
    features = data.features.astype(np.float32)
    return replace(data, features=features.astype(np.float64) if in_double else features)


def energy_loss(problem: Problem, threads: int = 1, in_double: bool = False) -> Loss:
    tables = NetworkTables.from_networks(problem.networks)
    return Loss(rounded(problem.packed, in_double), tables, problem.factor, problem.structure_weight, threads=threads)


def exact(case: ForceCase) -> ForceTerms:
    return exact_terms(case, force_map(case.structures, case.tables))


def directional(case: ForceCase) -> ForceTerms:
    rng = np.random.default_rng(2)
    directions = [rng.normal(size=(n, s.n_atoms, 3)) for n, s in zip((5, 0, 1, 4, 9) * 20, case.structures)]
    return directional_terms(case, force_map(case.structures, case.tables), directions)


def force_loss(case: ForceCase, terms: ForceTerms, threads: int = 1, in_double: bool = False) -> Loss:
    n_atoms = case.packed.n_atoms
    return Loss(
        rounded(case.packed, in_double),
        case.network_tables,
        1.0 / n_atoms,
        np.ones(len(n_atoms)),
        terms=terms,
        threads=threads,
    )


def assert_gradient(single: Loss, double: Loss, weights: np.ndarray, tolerance: float) -> None:
    """The gradient in single precision equals four-point differences of the loss in double precision."""
    gradient, step = np.empty(len(weights)), 1.0e-3
    loss = single.evaluate(weights, gradient).loss
    assert loss == single.evaluate(weights).loss
    assert loss == pytest.approx(double.evaluate(weights).loss, rel=tolerance)
    chosen = np.random.default_rng(0).permutation(len(weights))[:100]
    numeric = np.empty(len(chosen))
    for k, w in enumerate(chosen):
        shift = step * np.eye(1, len(weights), w)[0]
        f = [double.evaluate(weights + multiple * shift).loss for multiple in (-2, -1, 1, 2)]
        numeric[k] = ((f[0] - f[3]) + 8.0 * (f[2] - f[1])) / (12.0 * step)
    error = np.abs(gradient[chosen] - numeric).max() / np.abs(gradient).max()
    assert 0.0 < error < tolerance


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient_of_energies_equals_central_differences(case) -> None:
    problem = make(case)
    assert_gradient(energy_loss(problem), energy_loss(problem, in_double=True), problem.weights, 30 * EPSILON)


@pytest.mark.parametrize("codes", ((1, 2, 0), (3, 4, 0)), ids=str)
@pytest.mark.parametrize("terms_of", (exact, directional))
def test_gradient_of_forces_equals_central_differences(terms_of: Callable[[ForceCase], ForceTerms], codes) -> None:
    case = make_case(structures(True, n=3), [chebyshev("O"), chebyshev("H")], codes=codes)
    terms = terms_of(case)
    assert_gradient(force_loss(case, terms), force_loss(case, terms, in_double=True), case.weights, 100 * EPSILON)


@pytest.mark.parametrize("threads", (2, 3, 7))
@pytest.mark.parametrize("kind", ("energy", "exact", "directional"))
def test_result_is_bitwise_the_same_for_any_number_of_threads(kind: str, threads: int) -> None:
    losses: list[Loss]
    if kind == "energy":
        problem = make(replace(CASES[6], n_structures=900))
        weights, losses = problem.weights, [energy_loss(problem, n) for n in (1, threads)]
    else:
        case = make_case(structures(True, n=60, atoms=9), [chebyshev("O"), chebyshev("H")], block_atoms=10)
        terms = {"exact": exact, "directional": directional}[kind](case)
        weights, losses = case.weights, [force_loss(case, terms, n) for n in (1, threads)]
    gradients = np.empty((2, len(weights)))
    found = [loss.evaluate(weights, gradient) for loss, gradient in zip(losses, gradients)]
    assert found[0].loss == found[1].loss
    np.testing.assert_array_equal(found[0].energy, found[1].energy)
    np.testing.assert_array_equal(found[0].force, found[1].force)
    np.testing.assert_array_equal(found[0].derivative, found[1].derivative)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("n_parts", (2, 5))
def test_blocks_shared_out_over_processes_give_the_same_bits(n_parts: int) -> None:
    problem = make(CASES[6])
    packed, n = rounded(problem.packed), len(problem.packed.panel_width)
    whole = energy_loss(problem).contribution(problem.weights)
    parts = []
    for part in range(n_parts):
        blocks = range(n * part // n_parts, n * (part + 1) // n_parts)
        here = slice(*packed.block_first[[blocks.start, blocks.stop]])
        own = Loss(
            packed.blocks(blocks),
            NetworkTables.from_networks(problem.networks),
            problem.factor[here].copy(),
            problem.structure_weight[here].copy(),
        )
        parts.append(own.contribution(problem.weights))
    np.testing.assert_array_equal(reduce(PartialSums.joined, (part.sums for part in parts)).total(), whole.sums.total())


def test_panels_in_single_precision_begin_lines_of_the_cache_and_take_half() -> None:
    described = dimers(600)
    made = generate(described, propose(described))
    picks = [(0, s) for s in range(made.n_structures)]
    scaling = Scaling.of(made)
    double, single = (pack([made], picks, scaling, dtype=dtype) for dtype in (np.float64, np.float32))
    assert single.features.dtype == np.float32
    assert single.features.nbytes <= 0.52 * double.features.nbytes
    assert not (single.panel_width % 16).any()
    atoms = int(double.atom_count[: double.block_first[1]].sum())
    width = double.panel_width[0, 0], single.panel_width[0, 0]
    np.testing.assert_array_equal(double.features[:atoms].astype(np.float32), single.features[:atoms])
    np.testing.assert_array_equal(
        double.features[width[0] : width[0] + atoms].astype(np.float32), single.features[width[1] : width[1] + atoms]
    )


MODES = (Energy(), Taylor(), Centred(1e-2), Directional(1e-2, directions=2), Exact(1e-2))


@pytest.mark.parametrize("forces", MODES, ids=lambda forces: forces.mode)
def test_training_is_that_in_double_precision_but_for_rounding(tmp_path: Path, forces) -> None:
    setup = propose(dimers()).replace(displacements=RandomDisplacements(delta=0.01, n_copies=3))
    common = {"setup": setup, "forces": forces, "networks": [(5, "tanh")], "epochs": 8, "seed": 3}
    double, single = (train(dimers(), **common, precision=precision) for precision in ("double", "single"))
    assert not np.array_equal(single.history.train_rmse, double.history.train_rmse)
    np.testing.assert_allclose(single.history.train_rmse, double.history.train_rmse, rtol=1e-3)
    assert single.counts.memory < double.counts.memory
    again = train(dimers(), **common, precision="single", threads=2, store="disk")
    np.testing.assert_array_equal(again.history.train_rmse, single.history.train_rmse)


def test_other_methods_evaluate_rounded_descriptors_in_double_precision() -> None:
    common = {"networks": [(5, "tanh")], "epochs": 3, "method": Adam(batchsize=4)}
    double, single = (train(dimers(), **common, precision=precision) for precision in ("double", "single"))
    np.testing.assert_allclose(single.history.train_rmse, double.history.train_rmse, rtol=1e-4)


def test_resumed_training_equals_one_that_was_not_interrupted(tmp_path: Path) -> None:
    common = {"networks": [(5, "tanh")], "precision": "single", "forces": Exact(1e-2)}
    whole = train(dimers(), epochs=9, **common)
    file = tmp_path / "fit.npz"
    train(dimers(), epochs=4, checkpoint=file, **common)
    with pytest.raises(TaylorfitError, match="belongs to other data or settings"):
        train(dimers(), epochs=9, checkpoint=file, resume=True, **{**common, "precision": "double"})
    resumed = train(dimers(), epochs=9, checkpoint=file, resume=True, **common)
    np.testing.assert_array_equal(resumed.history.train_rmse, whole.history.train_rmse)


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(InputError, match="unknown precision: found 'half', expected one of double single"):
        train(dimers(), epochs=1, precision="half")
