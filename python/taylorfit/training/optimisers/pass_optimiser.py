"""What the methods that move the weights within an epoch have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ...engine import Lbfgs, Loss
from ...errors import TaylorfitError
from .sampling import Sampler


class PassOptimiser(ABC):
    """An optimiser whose epoch is a pass over the structures.

    Attributes
    ----------
    state
        named arrays: all that a checkpoint needs.  "weights" (n_weight,) are the current ones,
        "epochs" (1,) counts the passes so far.
    """

    full_batch = False
    RUNNING, CONVERGED, STUCK = Lbfgs.RUNNING, Lbfgs.CONVERGED, Lbfgs.STUCK

    def __init__(self, method: Any, weights: np.ndarray, sampler: Sampler) -> None:
        self.method = method
        self.sampler = sampler
        self.state: dict[str, np.ndarray] = {
            "weights": np.array(weights, dtype=np.float64),
            "epochs": np.zeros(1, dtype=np.int64),
        }

    @classmethod
    def nbytes(cls, method: Any, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of the state, which is kept twice in an epoch, and of a pass."""
        return 8 * 2 * 2 * n_weights

    @property
    def weights(self) -> np.ndarray:
        """(n_weight,) after the last pass."""
        return self.state["weights"]

    def run_epoch(self, terms: Loss) -> str:
        """Make one pass; return RUNNING, or STUCK if no further descent is possible.

        After an exception the state is that in the middle of the pass.
        """
        status = self._pass(terms, int(self.state["epochs"][0]))
        self.state["epochs"] += 1
        return status

    @abstractmethod
    def _pass(self, terms: Loss, epoch: int) -> str:
        """Make pass number `epoch`, from 0."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a saved `state`.

        Raises
        ------
        TaylorfitError
            if it belongs to other networks or another method.
        """
        if set(state) != set(self.state) or any(state[key].shape != own.shape for key, own in self.state.items()):
            raise TaylorfitError("the optimiser state does not fit the networks and the method")
        for key, own in self.state.items():
            own[...] = state[key]
