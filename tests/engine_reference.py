"""Slow and plain NumPy versions of what the engine does, and makers of random input: shared by the engine's tests.

Nothing here calls the engine except `described`, `random_potential`, which takes its descriptor statistics from it, and
`jacobian`, which puts gradients together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, product

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from taylorfit.engine import DescriptorTables, Loss, PotentialTables, describe, descriptor_derivatives
from taylorfit.model.descriptor import DescriptorSetup, RunningStatistics, chebyshev_setup
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure

ELEMENTS = ("H", "C", "N", "O", "Si", "Ti")

GARBAGE = np.array([[np.nan, np.inf, -1.0e300], [0.0, 0.0, 0.0], [3.0e7, 2.0, 1.0]])
"""Rows to put where a structure is not periodic: the engine must not look at them."""

BOUNDARIES = tuple(product((False, True), repeat=3))

# --- geometry ----------------------------------------------------------------------------------


def brute_force_neighbours(structure: Structure, reach: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each atom the indices of its neighbours and the vectors to them, by trying all images."""
    positions, pbc = structure.positions, np.array(structure.pbc)
    lattice = structure.cell[pbc]
    dual = np.linalg.pinv(lattice) if len(lattice) else np.zeros((3, 0))
    difference = positions[None, :, :] - positions[:, None, :]
    # A vector d + Σ n a of length ≤ reach has |d·b + n| ≤ reach |b|
    along = difference.reshape(-1, 3) @ dual
    spread = np.abs(along).max(axis=0, initial=0.0) + reach * np.linalg.norm(dual, axis=0)
    counts = [range(-int(n) - 1, int(n) + 2) for n in np.ceil(spread)]
    multiples = list(product(*counts))
    images = np.array(multiples, dtype=float).reshape(len(multiples), len(lattice)) @ lattice
    result = []
    for i in range(structure.n_atoms):
        vectors = difference[i][:, None, :] + images[None, :, :]
        inside = np.einsum("jmk,jmk->jm", vectors, vectors) <= reach**2
        inside[i, ~images.any(axis=1)] = False
        atoms, image = np.nonzero(inside)
        result.append((atoms, vectors[atoms, image]))
    return result


def random_structure(
    rng: np.random.Generator,
    n_atoms: int,
    cell: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] = (True, True, True),
    species: Sequence[str] = ("Si",),
    closest: float = 1.2,
) -> Structure:
    """Return a random structure with no two atoms (or images) closer than `closest`, each species present."""
    cell = np.diag([6.0, 6.0, 6.0]) if cell is None else np.asarray(cell, dtype=float)
    symbols = tuple(species[k % len(species)] for k in range(n_atoms))
    positions = np.zeros((0, 3))
    for _ in range(20000):
        if len(positions) == n_atoms:
            break
        trial = np.vstack([positions, rng.uniform(0.0, 1.0, 3) @ cell])
        structure = Structure(symbols=symbols[: len(trial)], positions=trial, cell=cell, pbc=pbc)
        others = brute_force_neighbours(structure, closest)[-1][0]
        if not (others < len(positions)).any():
            positions = trial
    assert len(positions) == n_atoms, "the cell is too full"
    kept = np.where(np.array(pbc)[:, None], cell, GARBAGE)
    return Structure(symbols=symbols, positions=positions, cell=kept, pbc=pbc, name="random")


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Return a proper rotation; rotate row vectors by ``x @ rotation.T``."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def changed(structure: Structure, **changes: object) -> Structure:
    """Return a copy with other symbols, positions, cell, or pbc."""
    fields = {key: getattr(structure, key) for key in ("symbols", "positions", "cell", "pbc", "name")}
    return Structure(**{**fields, **changes})


# --- descriptor --------------------------------------------------------------------------------


def species_weights(n: int) -> np.ndarray:
    """Return ænet's weights of n environment species, in ENV order."""
    return {
        1: np.array([1]),
        2: np.array([-1, 1]),
        3: np.array([-1, 0, 1]),
        4: np.array([-2, -1, 1, 2]),
        5: np.array([-2, -1, 0, 1, 2]),
        6: np.array([-3, -2, -1, 1, 2, 3]),
    }[n]


def cosine(r: np.ndarray, r_cut: float) -> np.ndarray:
    """Return the cosine cutoff function."""
    return np.where(r < r_cut, 0.5 * (np.cos(np.pi * r / r_cut) + 1.0), 0.0) if r_cut > 0.0 else np.zeros_like(r)


def pair_sum_descriptor(vectors: np.ndarray, symbols: Sequence[str], setup: DescriptorSetup) -> np.ndarray:
    """Return the Chebyshev descriptor of an atom with neighbours at `vectors`, by sums over pairs."""
    r_radial, n_radial, r_angular, n_angular = setup.parameters[0]
    weights = species_weights(len(setup.environment))
    r = np.linalg.norm(vectors, axis=1).reshape(-1)
    near = r < r_radial
    radial = cosine(r[near], r_radial)[:, None] * chebvander(2.0 * r[near] / (r_radial or 1.0) - 1.0, int(n_radial))
    close = np.flatnonzero(r < r_angular)
    unit = vectors[close] / r[close, None]
    fc = cosine(r[close], r_angular)
    j, k = np.triu_indices(len(close), 1)
    cosines = np.clip(np.einsum("pk,pk->p", unit[j], unit[k]), -1.0, 1.0)
    angular = (fc[j] * fc[k])[:, None] * chebvander(cosines, int(n_angular))
    parts = [radial.sum(axis=0), angular.sum(axis=0)]
    if len(setup.environment) > 1:
        s = np.array([weights[setup.environment.index(symbol)] for symbol in symbols], dtype=float)
        parts += [s[near] @ radial, (s[close][j] * s[close][k]) @ angular]
    return np.concatenate(parts)


def reference_descriptors(structure: Structure, setups: Sequence[DescriptorSetup]) -> list[np.ndarray]:
    """Return the descriptor of every atom by brute-force neighbours and pair sums."""
    by_species = {setup.species: setup for setup in setups}
    reach = max(setup.r_cut for setup in setups)
    return [
        pair_sum_descriptor(vectors, [structure.symbols[j] for j in atoms], by_species[symbol])
        for symbol, (atoms, vectors) in zip(structure.symbols, brute_force_neighbours(structure, reach))
    ]


def described(structure: Structure, tables: DescriptorTables) -> list[np.ndarray]:
    """The engine's descriptor of every atom."""
    ((values, _),) = describe([structure], tables, threads=1)
    return split_values(values[0], structure, tables)


def descriptor_derivative(structure: Structure, tables: DescriptorTables, atom: int, factors: np.ndarray) -> np.ndarray:
    """d(Σ_f factors_f G_f)/dR of one atom with respect to all positions, (..., n_atom, 3), for (..., n_feature)."""
    of = next(islice(descriptor_derivatives(structure, tables, threads=1), atom, None))
    total = np.zeros((len(of.own), structure.n_atoms, 3))
    np.add.at(total, (slice(None), of.neighbours), of.images.transpose(1, 0, 2))
    total[:, atom] += of.own
    return np.tensordot(factors, total, axes=1)


def split_values(values: np.ndarray, structure: Structure, tables: DescriptorTables) -> list[np.ndarray]:
    """Cut the values that `describe` returns for one copy of a structure into one array per atom."""
    lengths = tables.n_function[structure.species_index(tables.species)]
    return np.split(values, np.cumsum(lengths)[:-1])


def chebyshev_tables(
    species: Sequence[str],
    radial: tuple[float, int] = (4.0, 6),
    angular: tuple[float, int] = (3.0, 3),
    environments: Sequence[Sequence[str]] | None = None,
) -> DescriptorTables:
    """Return the descriptors of several species with the same (cutoff, order) pairs."""
    return DescriptorTables.from_setups(
        species,
        [
            chebyshev_setup(
                symbol,
                tuple(environments[t] if environments else species),
                radial_cutoff=radial[0],
                radial_order=radial[1],
                angular_cutoff=angular[0],
                angular_order=angular[1],
            )
            for t, symbol in enumerate(species)
        ],
    )


# --- networks ----------------------------------------------------------------------------------


def _mtanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = np.tanh(0.666666666666667 * x)
    return 1.7159 * t, 1.7159 * 0.666666666666667 * (1.0 - t * t)


ACTIVATION: tuple[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], ...] = (
    lambda x: (x, np.ones_like(x)),
    lambda x: (np.tanh(x), 1.0 - np.tanh(x) ** 2),
    lambda x: (0.5 * (1.0 + np.tanh(0.5 * x)), 0.25 * (1.0 - np.tanh(0.5 * x) ** 2)),
    _mtanh,
    lambda x: (_mtanh(x)[0] + 0.1 * x, _mtanh(x)[1] + 0.1),
)
"""Value and slope by activation code."""


def network_output(network: Network, x: np.ndarray) -> np.ndarray:
    """Return the output (n_atom,) for inputs (n_atom, n_in)."""
    start = 0
    for n_in, n_out, code in zip(network.layer_sizes, network.layer_sizes[1:], network.activations):
        w = network.weights[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out)
        x = ACTIVATION[code](x @ w[:-1] + w[-1])[0]
        start += (n_in + 1) * n_out
    return x[:, 0]


def random_potential(
    rng: np.random.Generator,
    structures: Sequence[Structure],
    tables: DescriptorTables,
    hidden: Sequence[Sequence[int]],
    codes: Sequence[Sequence[int]],
) -> list[SpeciesPotential]:
    """Return a random potential per species, standardised on shaken copies of `structures`.

    `hidden` and `codes` give for each species the widths of the hidden layers and the
    activation of every layer after the input.
    """
    statistics = [RunningStatistics(setup.n_feature) for setup in tables.setups]
    # Few atoms hardly differ, and dividing by their standard deviation would make an absurdly stiff potential
    shaken = [rng.uniform(-0.4, 0.4, (20, structure.n_atoms, 3)) for structure in structures]
    for structure, (values, _) in zip(structures, describe(structures, tables, shaken, threads=1)):
        for copy in values:
            for t, descriptor in zip(structure.species_index(tables.species), split_values(copy, structure, tables)):
                statistics[t].add(descriptor[None])
    potentials = []
    for t, setup in enumerate(tables.setups):
        sizes = (setup.n_feature, *hidden[t], 1)
        info = TrainingSetInfo(
            file="random.train",
            normalised=True,
            scale=rng.uniform(0.3, 3.0),
            shift=rng.normal(),
            species=tables.species,
            atomic_energies=tuple(rng.normal(size=len(tables.species))),
            n_atoms=10,
            n_structures=1,
            energy_min=-1.0,
            energy_max=1.0,
            energy_mean=0.0,
        )
        described = DescriptorSetup(**{**setup.__dict__, "statistics": statistics[t].result()})
        potentials.append(SpeciesPotential(Network.random(sizes, tuple(codes[t]), rng), described, info))
    return potentials


def potential_tables(*arguments: object) -> PotentialTables:
    """Return `random_potential` laid out for the engine."""
    return PotentialTables.from_potentials(random_potential(*arguments))


def jacobian(terms: Loss, chosen: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (n_chosen,) and their derivatives (n_chosen, n_weight), from gradients of losses of one structure."""
    derivative, energy = np.empty((len(chosen), len(weights))), terms.energies(chosen, weights)
    everywhere = terms.weight.copy()
    for k, s in enumerate(chosen):
        # The loss sees its arrays: a weight for this structure alone
        terms.weight[:] = 0.0
        terms.weight[s] = 1.0
        terms.evaluate(weights, derivative[k])
        residual = terms.energy_ref[s] - energy[k]
        derivative[k] /= -(terms.factor[s] ** 2) * residual
    terms.weight[:] = everywhere
    return energy, derivative
