"""L-BFGS."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..errors import TaylorfitError
from . import library
from .handles import Handle, views
from .library import call

_STATE = (
    "weights f8 1, s f8 2T, y f8 2T, rho f8 1, x_start f8 1, g_start f8 1, direction f8 1, reals f8 1, integers i4 1"
)


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

    @staticmethod
    def nbytes(n_weights: int, memory: int) -> int:
        """Return the bytes of the state."""
        return 8 * n_weights * (2 * memory + 4)

    def restart(self, weights: np.ndarray) -> None:
        """Start anew at `weights` (n_weight,), for another loss."""
        n_integers, n_reals = library.optimisers.lbfgs_sizes()
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
        self._handle = Handle(library.optimisers.lbfgs_handle)
        table = views(self.state, _STATE, written=True)
        call(library.optimisers.lbfgs_fill, self._handle.object, table)
        self._handle.keep(*self.state.values())

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
        call(library.optimisers.lbfgs_next, self._handle.object, self.tolerance, float(loss), gradient)
        return self._TASKS[int(self.state["integers"][0])]

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
