"""Energy loss and weight gradient against a NumPy forward pass and central differences."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from energy_cases import CASES, Case, make
from taylorfit.engine import Loss, NetworkTables, PartialSums
from taylorfit.errors import EngineError  # noqa: F401  (the programs below import it from here)
from taylorfit.model.network import Network  # noqa: F401


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_loss_and_energies_equal_numpy(case: Case) -> None:
    problem = make(case)
    loss, energies = problem.loss(problem.weights)
    expected_loss, expected = problem.reference(problem.weights)
    np.testing.assert_allclose(energies, expected, rtol=1e-12, atol=1e-12)
    assert loss == pytest.approx(expected_loss, rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_weight_gradient_equals_central_differences(case: Case) -> None:
    """Four-point difference of the engine's own loss with a step of 1e-3 along every weight."""
    problem = make(case)
    step, weights = 1.0e-3, problem.weights
    gradient = np.full(len(weights), np.nan)
    loss, _ = problem.loss(weights, gradient)
    assert loss == problem.loss(weights)[0], "the loss must not depend on whether its gradient is wanted"
    chosen = np.random.default_rng(0).permutation(len(weights))[:150]
    numeric = np.empty(len(chosen))
    for k, w in enumerate(chosen):
        f = []
        for multiple in (-2, -1, 1, 2):
            moved = weights.copy()
            moved[w] += multiple * step
            f.append(problem.loss(moved)[0])
        numeric[k] = ((f[0] - f[3]) + 8.0 * (f[2] - f[1])) / (12.0 * step)
    scale = np.abs(gradient).max()
    assert scale > 0.0
    assert np.abs(gradient[chosen] - numeric).max() <= 1.0e-8 * max(scale, loss)


@pytest.mark.parametrize("n_parts", [2, 3, 7])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_blocks_shared_out_over_processes_give_the_same_bits(case: Case, n_parts: int) -> None:
    problem = make(case)
    tables, weights, n = NetworkTables.from_networks(problem.networks), problem.weights, len(problem.packed.panel_width)
    gradient = np.empty(len(weights))
    loss, energies = problem.loss(weights, gradient)
    found = []
    for part in range(n_parts):
        blocks = range(n * part // n_parts, n * (part + 1) // n_parts)
        here = slice(*problem.packed.block_first[[blocks.start, blocks.stop]])
        own = Loss(
            problem.packed.blocks(blocks),
            tables,
            problem.factor[here].copy(),
            problem.structure_weight[here].copy(),
            threads=1 + part % 2,
        )
        found.append(own.contribution(weights))
    sums = reduce(PartialSums.joined, (one.sums for one in found)).total()
    np.testing.assert_array_equal(sums, np.append(gradient, loss))
    np.testing.assert_array_equal(np.concatenate([one.energy for one in found]), energies)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_result_is_bitwise_the_same_for_any_number_of_threads(case: Case) -> None:
    problem = make(case)
    gradients = [np.empty(len(problem.weights)) for _ in range(4)]
    results = [problem.loss(problem.weights, gradient, threads) for gradient, threads in zip(gradients, (1, 2, 3, 7))]
    for (loss, energies), gradient in zip(results[1:], gradients[1:]):
        assert loss == results[0][0]
        np.testing.assert_array_equal(energies, results[0][1])
        np.testing.assert_array_equal(gradient, gradients[0])


def test_result_hardly_depends_on_the_size_of_the_blocks() -> None:
    case = CASES[7]
    gradients, losses = [], []
    for block_atoms in (1, 5, 17, 10**6):
        problem = make(replace(case, block_atoms=block_atoms))
        gradients.append(np.empty(len(problem.weights)))
        losses.append(problem.loss(problem.weights, gradients[-1])[0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)
    for gradient in gradients:
        np.testing.assert_allclose(gradient, gradients[0], rtol=0.0, atol=1e-12 * np.abs(gradients[0]).max())


def test_padding_does_not_contribute() -> None:
    """Whatever stands in the padded columns of the panels: they belong to no structure."""
    problem = make(CASES[6])
    clean, dirty = np.empty(len(problem.weights)), np.empty(len(problem.weights))
    loss, energies = problem.loss(problem.weights, clean)
    features = problem.packed.features
    used = np.zeros(len(features), dtype=bool)
    for b, (first, last) in enumerate(zip(problem.packed.block_first, problem.packed.block_first[1:])):
        for t, network in enumerate(problem.networks):
            width = problem.packed.panel_width[b, t]
            start = problem.packed.panel_offset[b, t]
            panel = used[start : start + width * network.layer_sizes[0]].reshape(-1, width)
            panel[:, : problem.packed.atom_count[first:last, t].sum()] = True
    assert 0 < used.sum() < len(features)
    features[~used] = 3.7
    again, energies_again = problem.loss(problem.weights, dirty)
    assert again == loss
    np.testing.assert_array_equal(energies_again, energies)
    np.testing.assert_allclose(dirty, clean, rtol=0.0, atol=1e-13 * np.abs(clean).max())


def test_weights_that_do_not_matter_have_no_gradient() -> None:
    problem = make(CASES[6])
    problem.structure_weight[:] = 0.0
    gradient = np.full(len(problem.weights), np.nan)
    assert problem.loss(problem.weights, gradient)[0] == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


def test_structure_weights_count_copies_of_a_structure() -> None:
    problem = make(CASES[6])
    single = problem.structure_weight.copy()
    losses = []
    for s in range(len(single)):
        problem.structure_weight = np.eye(len(single))[s]
        losses.append(problem.loss(problem.weights)[0])
    problem.structure_weight = single
    assert problem.loss(problem.weights)[0] == pytest.approx(single @ losses, rel=1e-12)


def test_nan_in_the_weights_reaches_the_loss() -> None:
    problem = make(CASES[6])
    weights = problem.weights
    weights[3] = np.nan
    assert np.isnan(problem.loss(weights, np.empty(len(weights)))[0])


# --- errors ------------------------------------------------------------------------------------

WRONG = {
    "features too short": "pack['features'] = pack['features'][:-1]",
    "no features": "pack['features'] = np.zeros(0)",
    "panel beyond the features": "pack['panel_offset'] = pack['panel_offset'] + 1",
    "panel far beyond the features": "pack['panel_offset'] = pack['panel_offset'] + (2**63 - 10**4)",
    "negative panel offset": "pack['panel_offset'] = pack['panel_offset'] - 8",
    "panel too wide": "pack['panel_width'] = pack['panel_width'] + 8",
    "panel far too wide": "pack['panel_width'] = np.full_like(pack['panel_width'], 2**31 - 8)",
    "negative panel width": "pack['panel_width'] = -pack['panel_width']",
    "panels of one species too many": "pack['panel_width'] = np.hstack([pack['panel_width']] * 2)",
    "blocks out of order": "pack['block_first'] = pack['block_first'][::-1].copy()",
    "blocks that do not cover": "pack['block_first'][-1] -= 1",
    "blocks beyond the structures": "pack['block_first'][1] = 1000",
    "no blocks": "pack['block_first'] = np.zeros(0, dtype=np.int32)",
    "atoms beyond their panel": "pack['atom_offset'] = pack['atom_offset'] + 1000",
    "atoms far beyond their panel": "pack['atom_offset'] = np.full_like(pack['atom_offset'], 2**31 - 1)",
    "negative atom offset": "pack['atom_offset'] = pack['atom_offset'] - 1",
    "negative atom count": "pack['atom_count'] = -pack['atom_count']",
    "too many atoms": "pack['atom_count'] = pack['atom_count'] + 1000",
    "atom counts of other structures": "pack['atom_count'] = pack['atom_count'][:-1].copy()",
    "weights too short": "weights = weights[:-1]",
    "weights too long": "weights = np.append(weights, 0.0)",
    "energies too short": "reference = reference[:-1]",
    "factors too long": "factor = np.append(factor, 1.0)",
    "structure weights too short": "structure_weight = structure_weight[:-1]",
    "gradient too short": "gradient = gradient[:-1]",
    "gradient too long": "gradient = np.append(gradient, 0.0)",
    "negative number of threads": "threads = -2",
    "a network too few": "networks = networks[:-1]",
    "a network with other inputs": "networks = [Network.random((60, 3, 1), (1, 0), rng)] * 2; "
    "weights = concatenated(networks)",
    "a network with two outputs": "networks = [Network.random((6, 2), (0,), rng)] * 2; "
    "weights = concatenated(networks)",
    "a network of one layer": "networks = [Network((6,), (), np.zeros(0))] * 2; weights = np.zeros(0)",
    "an unknown activation": "networks = [replace(n, activations=(9,) * len(n.activations)) for n in networks]",
    "a layer without nodes": "networks = [Network((6, 0, 1), (1, 0), np.zeros(1))] * 2; weights = np.zeros(2)",
    "a layer of negative size": "networks = [Network((6, -3, 1), (1, 0), np.zeros(1))] * 2; weights = np.zeros(2)",
}

SCRIPT = """
import sys
sys.path[:0] = {path!r}
import numpy as np
from dataclasses import replace
from types import SimpleNamespace
from taylorfit.errors import EngineError
from test_energy_loss import CASES, make, Loss, NetworkTables, Network

def concatenated(networks):
    return np.concatenate([network.weights for network in networks])

for name, change in {changes!r}.items():
    problem = make(CASES[6])
    rng = np.random.default_rng(0)
    keys = ("features", "panel_offset", "panel_width", "block_first", "atom_offset", "atom_count")
    pack = {{key: getattr(problem.packed, key).copy() for key in keys}}
    weights, networks, threads = problem.weights, problem.networks, 1
    reference, factor, structure_weight = problem.packed.energy, problem.factor, problem.structure_weight
    gradient = np.empty(len(weights))
    exec(change)
    print("trying", name, flush=True)
    try:
        Loss(SimpleNamespace(**pack, energy=reference, first_leaf=0), NetworkTables.from_networks(networks), factor,
             structure_weight, threads=threads).evaluate(weights, gradient)
    except EngineError as error:
        print("refused:", error, flush=True)
    else:
        print("accepted", name, flush=True)
"""


def test_arrays_that_do_not_fit_are_errors_and_never_crash() -> None:
    """In another process, since an engine that does not check its arrays may take Python down with it."""
    directories = [d for d in sys.path if d]
    directories.insert(0, __file__.rpartition("/")[0])
    script = SCRIPT.format(path=directories, changes=WRONG)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, "\n".join([*lines[-3:], done.stderr[-2000:]])
    assert [line for line in lines if line.startswith("accepted")] == []
    assert sum(line.startswith("refused: ") for line in lines) == len(WRONG)
