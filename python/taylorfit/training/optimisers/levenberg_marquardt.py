"""METHOD lm: Levenberg-Marquardt on batches."""

from __future__ import annotations

import numpy as np

from ...engine.methods import LossTerms, chosen_energies, damped_step, jacobian, normal_matrix
from ...settings.methods import LmMethod
from .pass_optimiser import PassOptimiser
from .sampling import Sampler

TRIALS = 5
"""Dampings tried for one step (ænet)."""
DAMPING_MAX = 1.0e12
"""With more damping a step is nothing but rounding."""
DAMPING_MIN = 1.0e-15


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
        super().__init__(weights, sampler)
        self.method = method
        self.state["damping"] = np.array([method.learnrate])

    def _pass(self, terms: LossTerms, epoch: int) -> str:
        order = self.sampler.order(terms, self.weights, epoch)
        moved = False
        for start in range(0, len(order), self.method.batchsize):
            batch = order[start : start + self.method.batchsize]
            for _ in range(self.method.iter):
                fallen = self._step(terms, batch)
                moved |= fallen is not None
                if fallen is None or fallen < self.method.conv:
                    break
        return self.RUNNING if moved or self.state["damping"][0] < DAMPING_MAX else self.STUCK

    def _step(self, terms: LossTerms, batch: np.ndarray) -> float | None:
        """Make one step; return by which fraction the loss of the batch has fallen, None if it has not."""
        damping, adjust = self.state["damping"], self.method.adjust
        scale = np.sqrt(terms.weight[batch]) * terms.factor[batch]
        energy, derivative = jacobian(terms, batch, self.weights)
        residual = scale * (terms.energy_ref[batch] - energy)
        derivative *= scale[:, None]
        normal = normal_matrix(derivative, terms.threads)
        before = float(residual @ residual)
        for _ in range(TRIALS):
            step = damped_step(derivative, residual, normal, damping[0])
            if step is not None:
                trial = self.weights + step
                error = scale * (terms.energy_ref[batch] - chosen_energies(terms, batch, trial))
                after = float(error @ error)
                if after < before:
                    self.weights[...] = trial
                    damping[0] = max(damping[0] / adjust, DAMPING_MIN)
                    return 1.0 - after / before
            damping[0] = min(damping[0] * adjust, DAMPING_MAX)
        return None
