"""A small problem for methods that take structures one by one or in batches."""

from __future__ import annotations

import numpy as np

from engine_reference import jacobian
from taylorfit.engine import Loss, NetworkTables
from taylorfit.model.network import Network
from taylorfit.model.provenance import copy_name
from taylorfit.model.trainset import TrainingSet
from taylorfit.settings.methods import Method
from taylorfit.training.loop import Training
from taylorfit.training.losses import EnergyLoss
from taylorfit.training.optimisers import make_optimiser
from taylorfit.training.pack import PackedDataset, Scaling, pack

N_FEATURES = (4, 6)
HIDDEN = (5, 3)


def rows_of(terms: Loss, order: np.ndarray, section: np.ndarray | None = None) -> np.ndarray:
    """Rows of mini-batches as the engine takes them."""
    own = np.zeros(terms.n_structures) if section is None else section
    return np.array([order + 1, terms.n_atoms[order], own[order]], dtype=np.int32)


class Problem:
    """Random structures whose energies are those of teacher networks, so that they can be learnt exactly.

    Every fourth structure is called a Taylor copy.
    """

    def __init__(self, n_structures: int = 40, seed: int = 0, block_atoms: int = 20) -> None:
        rng = np.random.default_rng(seed)
        atoms = [rng.integers(0, 2, rng.integers(1, 7)) for _ in range(n_structures)]
        for k in range(3, n_structures, 4):
            atoms[k] = atoms[k - 1]
        species = np.concatenate(atoms).astype(np.int32)
        n_values = np.array(N_FEATURES)[species]
        names = [copy_name(f"s{k - 1}", "random", 1, 0.01) if k % 4 == 3 else f"s{k}" for k in range(n_structures)]
        source = TrainingSet(
            species=("A", "B"),
            atomic_energies=np.zeros(2),
            normalised=True,
            scale=1.0,
            shift=0.0,
            names=names,
            n_species_in=np.ones(n_structures, dtype=np.int32),
            energy=np.zeros(n_structures),
            first_atom=np.cumsum([0, *map(len, atoms)]),
            atom_species=species,
            positions=rng.normal(size=(len(species), 3)),
            forces=np.zeros((len(species), 3)),
            first_value=np.cumsum([0, *n_values]),
            descriptors=rng.normal(size=n_values.sum()),
            energy_mean=0.0,
            energy_min=-1.0,
            energy_max=1.0,
            setups=None,
        )
        self.scaling = Scaling(tuple(map(np.zeros, N_FEATURES)), tuple(map(np.ones, N_FEATURES)), 1.0, 0.0)
        teacher = self._networks(rng)
        self.tables = NetworkTables.from_networks(teacher)
        self.weights = np.concatenate([network.weights for network in self._networks(rng)])
        self.source = source
        teacher_weights = np.concatenate([network.weights for network in teacher])
        first = self.pack(range(n_structures), block_atoms)
        source.energy[:] = self.terms(first).energies(np.arange(n_structures), teacher_weights)
        self.data = self.pack(range(n_structures), block_atoms)
        self.all = np.arange(n_structures)

    @staticmethod
    def _networks(rng: np.random.Generator) -> list[Network]:
        return [Network.random((n, *HIDDEN, 1), (1, 1, 0), rng) for n in N_FEATURES]

    def pack(self, structures: object, block_atoms: int = 20) -> PackedDataset:
        return pack([self.source], [(0, int(s)) for s in structures], self.scaling, block_atoms)

    def terms(self, data: PackedDataset | None = None, threads: int = 1, weight: np.ndarray | None = None) -> Loss:
        data = self.data if data is None else data
        weight = np.ones(data.n_structures) if weight is None else weight
        return Loss(data, self.tables, 1.0 / data.n_atoms, weight, threads=threads)

    def loss(self, threads: int = 1) -> EnergyLoss:
        return EnergyLoss(self.data, self.tables, threads=threads, copy_weight=0.5)

    def training(self, method: Method, sampling: str | None = None, threads: int = 1, seed: int = 1) -> Training:
        test = EnergyLoss(self.pack(range(0, 12, 4)), self.tables, threads=threads)
        return Training(self.loss(threads), test, make_optimiser(method, self.weights, sampling, seed))


def residuals(terms: Loss, chosen: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted residuals and Jacobian of a batch."""
    scale = np.sqrt(terms.weight[chosen]) * terms.factor[chosen]
    energy, derivative = jacobian(terms, chosen, weights)
    return scale * (terms.energy_ref[chosen] - energy), scale[:, None] * derivative
