"""What is chosen for a training on a data set: sizes of the networks, weight of the forces, method, epochs, and why.

Rules of thumb from trainings on four data sets (see "How long, how large, which network" in the manual).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.network import Network
from ..settings.forces import WITH_BETA, WITH_GEOMETRY, ForceMode
from ..settings.methods import AdamMethod, BfgsMethod, Method
from ..settings.train import TrainInput

NODES = (40, 20, 10)
"""Nodes of each of two hidden layers: the first that the data are enough for, at least the last."""
DATA_PER_WEIGHT = 3.0
"""Networks have at most one weight for so many force components (or energies, where there are no forces)."""
BETA: dict[type[Method], float] = {BfgsMethod: 1.0e-2, AdamMethod: 3.0e-2}
"""Weight of the forces, Å²: better forces than with 1e-3, and energies that are as good."""
MANY = 80_000
"""Mini-batches win from about so many force components on, if all structures have the same composition."""
BATCH_ATOMS, BATCH_STEP = 128, 0.006
"""Atoms of a mini-batch, and step size of Adam."""
SECONDS = 100.0
"""Epochs take about so long in all."""
ATOM_SECONDS: dict[type[Method], dict[str, float]] = {
    BfgsMethod: {"single": 1.9e-6, "double": 2.5e-6},
    AdamMethod: {"single": 3.3e-6, "double": 4.2e-6},
}
"""Seconds per atom of the data and epoch of one core, in exact mode; a fifth of the atoms is not trained on."""
RELATIVE_COST = {"exact": 1.0, "directional": 0.6}
"""Time of an epoch in units of that in exact mode."""
EPOCHS: dict[type[Method], tuple[int, int]] = {BfgsMethod: (200, 1000), AdamMethod: (30, 300)}
"""Fewest and most."""


@dataclass(frozen=True)
class DataSize:
    """How much there is to train on."""

    n_structures: int
    n_atoms: int
    n_forces: int
    """Components that are known"""
    n_compositions: int


@dataclass(frozen=True)
class TrainingChoice:
    """For `Setup`."""

    hidden: tuple[tuple[int, str], ...]
    beta: float
    method: Method
    epochs: int
    precision: str
    reasons: tuple[str, ...]


def choose_training(data: DataSize, n_features: Sequence[int], mode: str) -> TrainingChoice:
    """Choose for a training in a mode of `ForceMode`; `n_features` are the descriptor values of each species."""
    with_forces = mode != "energy"
    n, what = (data.n_forces, "force components") if with_forces else (data.n_structures, "energies")

    def per_weight(nodes: int) -> float:
        return n / sum(Network.count_weights((k, nodes, nodes, 1)) for k in n_features)

    nodes = next((k for k in NODES if per_weight(k) >= DATA_PER_WEIGHT), NODES[-1])
    larger = next((k for k in reversed(NODES) if k > nodes), None)
    reasons = [
        f"hidden layers {nodes}-{nodes}: {per_weight(nodes):.2g} {what} per weight; "
        + (
            "larger ones gain little"
            if larger is None
            else f"{larger}-{larger} would have {per_weight(larger):.2g}, and {DATA_PER_WEIGHT:g} are needed"
        )
    ]
    method, why = _method(data, mode)
    beta = ForceMode.beta
    if mode in WITH_BETA:
        beta = BETA[type(method)]
        reasons.append(f"beta {beta:g} Å²: better forces than with 0.001, and energies that are as good")
    fewest, most = EPOCHS[type(method)]
    precision, costs = "single" if with_forces else TrainInput.precision, ATOM_SECONDS[type(method)]
    each = costs[precision] * RELATIVE_COST.get(mode, 1.0) * max(data.n_atoms, 1)
    # Epochs on energies alone, or on copies, cost something else
    epochs = most if mode not in WITH_GEOMETRY else min(most, max(fewest, int(SECONDS / each)))
    cost = f", about {_rounded(epochs * each)} on one core" if mode in WITH_GEOMETRY else ""
    if isinstance(method, AdamMethod):
        method = AdamMethod(mu=method.mu, batchsize=method.batchsize, samplesize=method.samplesize, anneal=epochs)
    reasons.append(f"method {method.name}, {epochs} epochs{cost}: {why}")
    if with_forces:
        shorter = f"{costs['single'] / costs['double']:.2f} of the time" if mode in WITH_GEOMETRY else "less time"
        reasons.append(
            f"precision single: errors are those of double, epochs take {shorter}, packed data half as large"
        )
    return TrainingChoice(((nodes, "tanh"), (nodes, "tanh")), beta, method, epochs, precision, tuple(reasons))


def _method(data: DataSize, mode: str) -> tuple[Method, str]:
    if mode not in WITH_GEOMETRY:
        return BfgsMethod(), "the usual one"
    if data.n_forces >= MANY and data.n_compositions == 1:
        batch = max(1, round(BATCH_ATOMS * data.n_structures / max(data.n_atoms, 1)))
        method = AdamMethod(mu=BATCH_STEP, batchsize=batch, samplesize=data.n_structures)
        return method, f"{data.n_forces} force components of one composition are enough for mini-batches"
    if data.n_forces >= MANY:
        return BfgsMethod(whiten=0.03), "mini-batches do not settle the energies of several compositions"
    return BfgsMethod(whiten=0.03), "the fastest for fewer force components than about " + f"{MANY}"


def _rounded(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{float(f'{seconds:.1g}'):.0f} s"
