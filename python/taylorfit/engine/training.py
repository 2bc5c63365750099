"""The energy loss over a packed data set, and L-BFGS."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..errors import TaylorfitError
from . import library
from .library import call, thread_count
from .potentials import NetworkTables


def energy_loss(
    features: np.ndarray,
    panel_offset: np.ndarray,
    panel_width: np.ndarray,
    block_first: np.ndarray,
    atom_offset: np.ndarray,
    atom_count: np.ndarray,
    networks: NetworkTables,
    weights: np.ndarray,
    energy_ref: np.ndarray,
    factor: np.ndarray,
    structure_weight: np.ndarray,
    gradient: np.ndarray | None,
    threads: int,
    group: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """Return ½ Σ weight·(factor·(E_ref − E))² and the energies (n_structure,); fill `gradient` if given.

    The arrays are those of `dataset.PackedDataset`.  Structures of one `group` (n_structure,) int32, not 0,
    consecutive and in one block, count with their residual minus the mean residual of the group.  The
    same result for any number of threads.

    Raises
    ------
    KeyboardInterrupt
        if the user interrupts.
    """
    energy = np.empty(len(energy_ref))
    loss = call(
        library.training.energy_loss,
        features,
        panel_offset.T,
        panel_width.T,
        block_first,
        atom_offset.T,
        atom_count.T,
        *networks.arguments(),
        weights,
        energy_ref,
        factor,
        structure_weight,
        np.zeros(len(energy_ref), dtype=np.int32) if group is None else group,
        int(gradient is not None),
        thread_count(threads),
        energy,
        np.empty(0) if gradient is None else gradient,
    )
    return float(loss), energy


class Lbfgs:
    """L-BFGS by reverse communication (state in NumPy arrays, steps in the engine).

    ``step(loss, gradient)`` takes both at ``weights`` and moves ``weights`` to the next trial point.
    """

    full_batch = True
    RUNNING, CONVERGED, STUCK = "running", "converged", "stuck"
    _TASKS: ClassVar = {1: RUNNING, 2: CONVERGED, 3: STUCK}

    def __init__(self, weights: np.ndarray, memory: int = 20, tolerance: float = 1.0e-6) -> None:
        self.tolerance = tolerance
        self._memory = memory
        self.restart(weights)

    def restart(self, weights: np.ndarray) -> None:
        """Start anew at `weights` (n_weight,), for another loss."""
        n_integers, n_reals = library.training.lbfgs_sizes()
        n, memory = len(weights), self._memory
        self.state = {
            "weights": np.array(weights, dtype=np.float64),
            "s": np.zeros((memory, n)),
            "y": np.zeros((memory, n)),
            "rho": np.zeros(memory),
            "x_start": np.zeros(n),
            "g_start": np.zeros(n),
            "direction": np.zeros(n),
            "reals": np.zeros(n_reals),
            "integers": np.zeros(n_integers, dtype=np.int32),
        }

    @property
    def weights(self) -> np.ndarray:
        """(n_weight,) the point where loss and gradient are wanted next."""
        return self.state["weights"]

    @property
    def restarts(self) -> int:
        """How often the memory was thrown away because a line search failed."""
        return int(self.state["integers"][5])

    def step(self, loss: float, gradient: np.ndarray) -> str:
        """Take one step; return RUNNING, CONVERGED (largest gradient component below tolerance) or STUCK."""
        v = self.state
        call(
            library.training.lbfgs,
            self.tolerance,
            v["weights"],
            float(loss),
            gradient,
            v["s"].T,
            v["y"].T,
            v["rho"],
            v["x_start"],
            v["g_start"],
            v["direction"],
            v["reals"],
            v["integers"],
        )
        return self._TASKS[int(v["integers"][0])]

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a saved `state`.

        Raises
        ------
        TaylorfitError
            if it belongs to another network or memory.
        """
        if any(key not in state or state[key].shape != own.shape for key, own in self.state.items()):
            raise TaylorfitError("the optimiser state does not fit the networks")
        for key, own in self.state.items():
            own[...] = state[key]
