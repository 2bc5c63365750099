"""Group-centred Taylor loss: against NumPy, central differences, and what it must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from taylorfit.engine import DescriptorTables, Loss, NetworkTables, describe
from taylorfit.errors import EngineError
from taylorfit.model.activations import ACTIVATIONS
from taylorfit.model.descriptor import DescriptorStatistics, chebyshev_setup
from taylorfit.model.network import Network
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import TrainingSet
from taylorfit.taylor.displacements import RandomDisplacements
from taylorfit.taylor.expansion import taylor_energies
from taylorfit.taylor.selection import select_all
from taylorfit.training.losses import CentredTaylorLoss
from taylorfit.training.pack import PackedDataset, Scaling, pack
from taylorfit.training.split import SplitRule, split_parents

BETA = 2.0e-3
SPECIES = ("O", "H")
N_COPIES = 4


@pytest.fixture(scope="module")
def problem() -> tuple[PackedDataset, NetworkTables, np.ndarray]:
    """Six small molecules with four Taylor copies each, and random networks."""
    rng = np.random.default_rng(4)
    setups = [
        chebyshev_setup(s, SPECIES, radial_cutoff=4.0, radial_order=3, angular_cutoff=3.0, angular_order=2)
        for s in SPECIES
    ]
    tables = DescriptorTables.from_setups(SPECIES, setups)
    structures = []
    for k in range(6):
        n = int(rng.integers(3, 7))
        structures.append(
            Structure(
                symbols=tuple(rng.choice(SPECIES, n)),
                positions=rng.uniform(0, 3.0, (n, 3)),
                energy=float(rng.normal()),
                forces=rng.normal(size=(n, 3)),
                name=f"s{k}.xsf",
            )
        )
    plan = RandomDisplacements(delta=0.01, n_copies=N_COPIES, seed=3).plan(select_all(structures))
    names, species, positions, energies, values = [], [], [], [], []
    for s, structure in enumerate(structures):
        shifts = np.concatenate([np.zeros((1, structure.n_atoms, 3)), plan.displacements(s)])
        described, placed = describe([structure], tables, [shifts], threads=1)[0]
        names += [structure.name, *plan.copy_names(s, structure.name)]
        energies += [structure.energy, *taylor_energies(structure.energy, structure.forces, shifts[1:])]
        for v, p in zip(described, placed):
            species.append(structure.species_index(SPECIES))
            positions.append(p)
            values.append(v)
    n_atoms = [len(p) for p in positions]
    flat_species = np.concatenate(species)
    raw = np.concatenate(values)
    length = np.array([setup.n_feature for setup in setups])[flat_species]
    training_set = TrainingSet(
        species=SPECIES,
        atomic_energies=np.zeros(2),
        normalised=False,
        scale=1.0,
        shift=0.0,
        names=names,
        n_species_in=np.full(len(names), 2),
        energy=np.array(energies),
        first_atom=np.concatenate([[0], np.cumsum(n_atoms)]),
        atom_species=flat_species,
        positions=np.concatenate(positions),
        forces=np.zeros((sum(n_atoms), 3)),
        first_value=np.concatenate([[0], np.cumsum(length)]),
        descriptors=raw,
        energy_mean=0.0,
        energy_min=-1.0,
        energy_max=1.0,
        setups=tuple(
            replace(
                setup,
                statistics=DescriptorStatistics(
                    10,
                    np.full(setup.n_feature, -9.0),
                    np.full(setup.n_feature, 9.0),
                    np.zeros(setup.n_feature),
                    np.full(setup.n_feature, 4.0),
                ),
            )
            for setup in setups
        ),
    )
    scaling = Scaling.of(training_set)
    split = split_parents([training_set], scaling, SplitRule("seed", 0.0, 0))
    packed = pack([training_set], split.train, scaling, block_atoms=1, whole_groups=True)
    networks = [Network.random((setup.n_feature, 5, 1), (ACTIVATIONS.index("tanh"), 0), rng) for setup in setups]
    return packed, NetworkTables.from_networks(networks), np.concatenate([n.weights for n in networks])


def errors_of(packed: PackedDataset, tables: NetworkTables, weights: np.ndarray) -> np.ndarray:
    """Scaled energy errors per atom, E_ref − E."""
    ones = np.ones(packed.n_structures)
    energy = Loss(packed, tables, ones, ones, threads=1).evaluate(weights).energy
    return (packed.energy - energy) / packed.n_atoms


def test_loss_is_the_formula(problem):
    packed, tables, weights = problem
    r = errors_of(packed, tables, weights)
    expected = 0.5 * (r[~packed.is_copy] ** 2).sum()
    for g in np.unique(packed.group[packed.is_copy]):
        members = packed.group == g
        n = packed.n_atoms[members][0]
        w = BETA * n / (3 * N_COPIES * packed.displacement_square[members].mean())
        expected += 0.5 * w * ((r[members] - r[members].mean()) ** 2).sum()
    assert CentredTaylorLoss(packed, tables, beta=BETA)(weights)[0] == pytest.approx(expected, rel=1e-12)


def test_gradient_matches_central_differences(problem):
    packed, tables, weights = problem
    loss = CentredTaylorLoss(packed, tables, beta=BETA)
    loss(weights)
    gradient = loss.gradient.copy()
    step = 1e-5
    numeric = np.empty_like(gradient)
    for k in range(len(weights)):
        moved = np.tile(weights, (2, 1))
        moved[:, k] += step, -step
        numeric[k] = (loss(moved[0], False)[0] - loss(moved[1], False)[0]) / (2 * step)
    assert np.abs(numeric - gradient).max() < 1e-7 * np.abs(gradient).max()


def test_common_error_of_the_copies_of_a_parent_drops_out(problem):
    packed, tables, weights = problem
    bias = np.where(packed.is_copy, 0.1 * packed.group * packed.n_atoms, 0.0)
    biased = replace(packed, energy=packed.energy + bias)
    plain, shifted = (CentredTaylorLoss(p, tables, beta=BETA) for p in (packed, biased))
    assert shifted(weights)[0] == pytest.approx(plain(weights)[0], rel=1e-10)
    np.testing.assert_allclose(shifted.gradient, plain.gradient, rtol=1e-9, atol=1e-12)


def test_displacements_are_recovered_from_the_positions(problem):
    packed, _, _ = problem
    assert (packed.displacement_square[~packed.is_copy] == 0).all()
    roots = np.sqrt(packed.displacement_square[packed.is_copy])
    assert ((roots > 0.001) & (roots < 0.01)).all()


@pytest.mark.parametrize("threads", (2, 3))
def test_result_does_not_depend_on_the_number_of_threads(problem, threads):
    packed, tables, weights = problem
    one, many = (CentredTaylorLoss(packed, tables, beta=BETA, threads=t) for t in (1, threads))
    assert one(weights)[0] == many(weights)[0]
    assert (one.gradient == many.gradient).all()


def test_torn_groups_are_refused(problem):
    packed, tables, weights = problem
    torn = replace(packed, group=np.roll(packed.group, 2))
    with pytest.raises(EngineError, match="group"):
        CentredTaylorLoss(
            replace(torn, is_copy=torn.group > 0, displacement_square=np.ones(torn.n_structures)), tables, beta=BETA
        )(weights)
