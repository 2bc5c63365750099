"""METHOD lm: Levenberg-Marquardt on batches."""

from __future__ import annotations

import numpy as np

from ...engine import Loss
from ...settings.methods import LmMethod
from .pass_optimiser import PassOptimiser
from .sampling import Sampler

DAMPING_MAX = 1.0e12
"""With more damping a step is nothing but rounding (`lm_damping_max` in passes.f90)."""


class LevenbergMarquardt(PassOptimiser):
    """For each batch: J and residuals r, then steps δ = (JᵀJ + λ·1)⁻¹ Jᵀr until the loss of the batch falls.

    A trial that does not lower the loss raises λ by `adjust`, up to five times; a successful one
    lowers it.  λ starts as `learnrate` and is carried from batch to batch.

    Differences from ænet, whose single steps these are:

    - There an evaluation of the errors moves on to the next batch (or the next epoch, if there is
      one batch), so that its epochs are Jacobian steps and mere error checks in turn, and `iter` has
      no visible effect.  Here an epoch passes over all batches and makes `iter` steps on each.
    - After five vain trials ænet keeps the last one although the loss has risen; here the weights
      stay, and the next epoch goes on with the larger λ.
    - ænet reads `conv` and never uses it; here it ends the `iter` steps on a batch early.
    """

    def __init__(self, method: LmMethod, weights: np.ndarray, sampler: Sampler) -> None:
        super().__init__(method, weights, sampler)
        self.state["damping"] = np.array([method.learnrate])

    @classmethod
    def nbytes(cls, method: LmMethod, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of a step on a batch (`damped_trials` in passes.f90)."""
        n = min(method.batchsize, n_structures)
        small = min(n, n_weights)
        # Jacobian, perhaps transposed, too; normal matrix and its factors
        return 8 * ((1 if n < n_weights else 2) * n * n_weights + 2 * small**2 + 4 * n_weights)

    def _pass(self, terms: Loss, epoch: int) -> str:
        order = self.sampler.order(terms, self.weights, epoch)
        m = self.method
        moved = terms.levenberg_marquardt(
            order, m.batchsize, m.iter, m.adjust, m.conv, self.weights, self.state["damping"]
        )
        return self.RUNNING if moved or self.state["damping"][0] < DAMPING_MAX else self.STUCK
