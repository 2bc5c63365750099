"""Energy losses over random packed data sets, with what NumPy makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine_reference import network_output
from taylorfit.engine import Loss, NetworkTables
from taylorfit.model.network import Network
from taylorfit.model.trainset import TrainingSet
from taylorfit.training.pack import PackedDataset, Scaling, pack


@dataclass(frozen=True)
class Case:
    """Networks of each species (hidden widths, activation codes) and how the structures are packed."""

    name: str
    n_features: tuple[int, ...]
    hidden: tuple[tuple[int, ...], ...]
    codes: tuple[tuple[int, ...], ...]
    n_structures: int = 9
    block_atoms: int = 20
    most_atoms: int = 7


CASES = (
    Case("linear model", (5,), ((),), ((0,),)),
    *(Case(f"activation {code}", (6,), ((7,),), ((code, 0),)) for code in range(5)),
    Case("two species", (6, 9), ((7, 5), (3,)), ((1, 2, 0), (4, 0))),
    Case(
        "five species of all depths",
        (4, 1, 7, 13, 8),
        ((), (1,), (3, 11), (5, 2, 7), (10, 10)),
        ((0,), (1, 0), (3, 4, 1), (2, 1, 4, 0), (1, 1, 0)),
    ),
    Case("bent output", (6,), ((5,),), ((1, 2),)),
    Case("one structure", (6, 3), ((5,), (2,)), ((1, 0), (1, 0)), n_structures=1),
    Case("one block", (6, 3), ((5,), (2,)), ((1, 0), (1, 0)), block_atoms=10**6),
    Case("a block for each structure", (6, 3), ((5,), (2,)), ((1, 0), (1, 0)), block_atoms=1),
    Case("many blocks", (4, 3), ((5,), (2,)), ((1, 0), (1, 0)), n_structures=300, block_atoms=3, most_atoms=4),
    Case(
        "large structures",
        (4, 3),
        ((15, 15), (10,)),
        ((1, 1, 0), (1, 0)),
        n_structures=5,
        block_atoms=64,
        most_atoms=70,
    ),
)


@dataclass
class Problem:
    """A random packed data set with networks and weights."""

    atoms: list[list[tuple[int, np.ndarray]]]
    packed: PackedDataset
    networks: list[Network]
    factor: np.ndarray
    structure_weight: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        return np.concatenate([network.weights for network in self.networks])

    def loss(
        self, weights: np.ndarray, gradient: np.ndarray | None = None, threads: int = 1
    ) -> tuple[float, np.ndarray]:
        """The engine's loss and energies."""
        tables = NetworkTables.from_networks(self.networks)
        found = Loss(self.packed, tables, self.factor, self.structure_weight, threads=threads).evaluate(
            weights, gradient
        )
        return found.loss, found.energy

    def reference(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The same by NumPy, from the descriptors and not from the pack."""
        parts = np.split(weights, np.cumsum([network.n_weights for network in self.networks])[:-1])
        networks = [replace(network, weights=part) for network, part in zip(self.networks, parts)]
        energies = np.array([sum(network_output(networks[t], x[None])[0] for t, x in atoms) for atoms in self.atoms])
        residual = self.factor * (self.packed.energy - energies)
        return float(0.5 * (self.structure_weight * residual**2).sum()), energies


def make(case: Case, seed: int = 0) -> Problem:
    """Build random descriptors, a training set of them, and its pack."""
    rng = np.random.default_rng([seed, len(case.name)])
    n_species = len(case.n_features)
    atoms = []
    for _ in range(case.n_structures):
        species = rng.integers(0, n_species, rng.integers(1, case.most_atoms + 1))
        atoms.append([(int(t), rng.normal(size=case.n_features[t])) for t in species])
    flat = [atom for structure in atoms for atom in structure]
    energy = rng.normal(size=case.n_structures)
    training_set = TrainingSet(
        species=tuple("ABCDEFG"[:n_species]),
        atomic_energies=np.zeros(n_species),
        normalised=True,
        scale=1.0,
        shift=0.0,
        names=[f"s{k}" for k in range(case.n_structures)],
        n_species_in=np.ones(case.n_structures, dtype=np.int32),
        energy=energy,
        first_atom=np.cumsum([0, *map(len, atoms)]),
        atom_species=np.array([t for t, _ in flat], dtype=np.int32),
        positions=np.zeros((len(flat), 3)),
        forces=np.zeros((len(flat), 3)),
        first_value=np.cumsum([0, *(len(x) for _, x in flat)]),
        descriptors=np.concatenate([x for _, x in flat]),
        energy_mean=0.0,
        energy_min=-1.0,
        energy_max=1.0,
        setups=None,
    )
    scaling = Scaling(tuple(map(np.zeros, case.n_features)), tuple(map(np.ones, case.n_features)), 1.0, 0.0)
    packed = pack([training_set], [(0, s) for s in range(case.n_structures)], scaling, case.block_atoms)
    networks = [
        Network.random((n, *hidden, 1), codes, rng)
        for n, hidden, codes in zip(case.n_features, case.hidden, case.codes)
    ]
    return Problem(
        atoms, packed, networks, rng.uniform(0.2, 1.5, case.n_structures), rng.uniform(0.0, 2.0, case.n_structures)
    )
