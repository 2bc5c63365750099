"""Small data sets with forces for the tests of force losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taylorfit.engine import (
    DescriptorTables,
    ForceMap,
    ForceTerms,
    Loss,
    NetworkTables,
    PotentialTables,
    canonical_order,
    changes_along,
    describe,
    force_map_layout,
)
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.model.descriptor import DescriptorSetup, DescriptorStatistics, chebyshev_setup
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import TrainingSet
from taylorfit.training.force_terms import feature_factors
from taylorfit.training.pack import PackedDataset, Scaling, pack

SPECIES = ("O", "H")
SINGLE = 3.0e-7
"""Relative error of sums of products with single-precision factors."""
ROUNDED = 1.0e-4
"""The same with factors of 16 bits: the groups of force maps."""
SCALE, SHIFT = 0.7, 0.3


def chebyshev(species: str, environment: tuple[str, ...] = SPECIES, **changes: float) -> DescriptorSetup:
    """A small Chebyshev setup."""
    options = {"radial_cutoff": 4.0, "radial_order": 5, "angular_cutoff": 3.0, "angular_order": 3} | changes
    return chebyshev_setup(species, environment, **options)


FUNCTIONS = (
    "G=1 type2=O Rc=4.0",
    "G=2 type2=H Rc=4.0 Rs=0.5 eta=0.3",
    "G=2 type2=O Rc=3.5 Rs=0.0 eta=0.1",
    "G=3 type2=H Rc=4.0 kappa=0.7",
    "G=4 type2=O type3=H Rc=4.0 lambda=1.0 zeta=2.0 eta=0.05",
    "G=4 type2=H type3=H Rc=4.0 lambda=-1.0 zeta=1.0 eta=0.02",
    "G=5 type2=O type3=O Rc=4.0 lambda=1.0 zeta=4.0 eta=0.01",
)
"""G1 to G5 of two species."""


def behler(tmp_path, species: str, functions: Sequence[str] = FUNCTIONS) -> DescriptorSetup:
    """Symmetry functions of two species."""
    path = tmp_path / f"{species}.stp"
    path.write_text(
        f"DESCR\ntest\nEND DESCR\nATOM {species}\nENV 2\nO\nH\nRMIN 0.5\nFUNCTIONS type=Behler2011\n"
        f"{len(functions)}\n" + "\n".join(functions) + "\n"
    )
    return read_setup(path)


def structures(periodic: bool, n: int = 4, atoms: int = 9, seed: int = 0) -> list[Structure]:
    """Random atoms, none closer than 0.8 Å, species mixed; energies and forces at random."""
    rng = np.random.default_rng([seed, periodic])
    cell = np.array([[4.2, 0.3, 0.0], [0.0, 4.6, 0.4], [0.5, 0.0, 5.0]])
    result = []
    for number in range(n):
        positions: list[np.ndarray] = []
        n_atoms = atoms - number % 3
        while len(positions) < n_atoms:
            trial = rng.uniform(0.0, 1.0, 3) @ cell
            shifts = (
                [np.zeros(3)]
                if not periodic
                else [np.array([a, b, c]) @ cell for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
            )
            if all(np.linalg.norm(trial - p + s) > 0.8 for p in positions for s in shifts):
                positions.append(trial)
        symbols = tuple(rng.permutation(["O"] * (n_atoms // 3) + ["H"] * (n_atoms - n_atoms // 3)))
        result.append(
            Structure(
                symbols=symbols,
                positions=np.array(positions),
                cell=cell if periodic else np.zeros((3, 3)),
                pbc=(periodic,) * 3,
                energy=float(rng.normal()),
                forces=rng.normal(size=(n_atoms, 3)),
                name=f"s{number}",
            )
        )
    return result


@dataclass
class ForceCase:
    """Structures, their pack, and a potential that starts from random weights."""

    structures: list[Structure]
    tables: DescriptorTables
    packed: PackedDataset
    scaling: Scaling
    networks: list[Network]

    @property
    def weights(self) -> np.ndarray:
        return np.concatenate([network.weights for network in self.networks])

    @property
    def network_tables(self) -> NetworkTables:
        return NetworkTables.from_networks(self.networks)

    def potential(self, weights: np.ndarray) -> PotentialTables:
        """The potential of some weights, for `engine.evaluate`."""
        parts = np.split(weights, np.cumsum([network.n_weights for network in self.networks])[:-1])
        potentials = []
        for t, (network, part) in enumerate(zip(self.networks, parts)):
            shift, factor = self.scaling.feature_shift[t], self.scaling.feature_factor[t]
            setup = self.tables.setups[t]
            statistics = DescriptorStatistics(10, shift - 9.0, shift + 9.0, shift, shift**2 + factor**-2.0)
            info = TrainingSetInfo("", True, SCALE, SHIFT, SPECIES, (0.0, 0.0), 1, 1, -1.0, 1.0, 0.0)
            potentials.append(
                SpeciesPotential(
                    Network(network.layer_sizes, network.activations, part),
                    DescriptorSetup(**{**setup.__dict__, "statistics": statistics}),
                    info,
                )
            )
        return PotentialTables.from_potentials(potentials)


def make_case(
    data: list[Structure],
    setups: list[DescriptorSetup],
    block_atoms: int = 20,
    seed: int = 0,
    codes: tuple[int, ...] = (1, 4, 0),
) -> ForceCase:
    """Describe and pack structures."""
    rng = np.random.default_rng(seed)
    tables = DescriptorTables.from_setups(SPECIES, setups)
    described = describe(data, tables)
    species = [s.species_index(SPECIES) for s in data]
    lengths = np.concatenate([tables.n_function[index] for index in species])
    training_set = TrainingSet(
        species=SPECIES,
        atomic_energies=np.zeros(2),
        normalised=False,
        scale=1.0,
        shift=0.0,
        names=[s.name for s in data],
        n_species_in=np.full(len(data), 2, dtype=np.int32),
        energy=np.array([s.energy for s in data]),
        first_atom=np.cumsum([0, *(s.n_atoms for s in data)]),
        atom_species=np.concatenate(species),
        positions=np.concatenate([s.positions for s in data]),
        forces=np.concatenate([s.forces for s in data]),
        first_value=np.cumsum([0, *lengths]),
        descriptors=np.concatenate([values[0] for values, _ in described]),
        energy_mean=0.0,
        energy_min=-1.0,
        energy_max=1.0,
        setups=None,
    )
    widths = tables.n_function.tolist()
    scaling = Scaling(
        tuple(rng.uniform(-0.5, 0.5, n) for n in widths), tuple(rng.uniform(0.3, 1.2, n) for n in widths), SCALE, SHIFT
    )
    packed = pack([training_set], [(0, s) for s in range(len(data))], scaling, block_atoms)
    networks = [Network.random((n, 5, 4, 1), codes, rng) for n in widths]
    return ForceCase(data, tables, packed, scaling, networks)


def reference_forces(case: ForceCase) -> np.ndarray:
    """(n_atom, 3) scaled reference forces, atoms by species."""
    return SCALE * np.concatenate([s.forces[order_of(s)] for s in case.structures])


def order_of(structure) -> np.ndarray:
    return canonical_order(structure.species_index(SPECIES))


def force_map(
    structures: Sequence[Structure], tables: DescriptorTables, threads: int = 0, merged: bool | None = None
) -> ForceMap:
    return force_map_layout(structures, tables, threads, merged).build(threads)


def exact_terms(case: ForceCase, map_: ForceMap, seed: int = 3) -> ForceTerms:
    """Terms with a random weight for each atom, some of them 0."""
    forces = reference_forces(case)
    weight = np.random.default_rng(seed).uniform(-0.3, 1.0, len(forces)).clip(0.0)
    return ForceTerms(map_, feature_factors(case.scaling), forces, weight)


def directional_terms(case: ForceCase, map_: ForceMap, directions: list[np.ndarray], weight: float = 0.7) -> ForceTerms:
    """Terms with directions (n_direction, n_atom, 3) of each structure, atoms by species."""
    factor = feature_factors(case.scaling)
    changes = [changes_along(map_, p, v, factor) for p, v in enumerate(directions)]
    target = [-SCALE * np.einsum("vjc,jc->v", v, s.forces[order_of(s)]) for v, s in zip(directions, case.structures)]
    n = [len(v) for v in directions]
    return ForceTerms(
        feature_factor=factor,
        first_direction=np.cumsum([0, *n]).astype(np.int32),
        change=np.concatenate([c.ravel() for c in changes]),
        first_change=np.cumsum([0, *(c.size for c in changes)]),
        derivative_ref=np.concatenate(target),
        direction_weight=np.full(sum(n), weight),
    )


def evaluate_terms(
    case: ForceCase,
    terms: ForceTerms,
    weights: np.ndarray,
    gradient: np.ndarray | None = None,
    threads: int = 1,
    energy_weight: float = 1.0,
):
    n = len(case.structures)
    loss = Loss(
        case.packed,
        case.network_tables,
        1.0 / case.packed.n_atoms,
        np.full(n, energy_weight),
        terms=terms,
        threads=threads,
    )
    return loss.evaluate(weights, gradient)
