"""METHOD online_sd: steepest descent with momentum, one step per structure."""

from __future__ import annotations

import numpy as np

from ...engine import Loss
from ...settings.methods import OnlineSdMethod
from .pass_optimiser import PassOptimiser
from .sampling import Sampler


class SteepestDescent(PassOptimiser):
    """v ← alpha·v − gamma·∇L_s, w ← w + v for each structure s (ænet: alpha momentum, gamma learning rate).

    Reproduces ænet's trajectory to rounding.
    """

    def __init__(self, method: OnlineSdMethod, weights: np.ndarray, sampler: Sampler) -> None:
        super().__init__(method, weights, sampler)
        self.state["velocity"] = np.zeros(len(weights))

    def _pass(self, terms: Loss, epoch: int) -> str:
        order = self.sampler.order(terms, self.weights, epoch)
        terms.descent(order, self.method.alpha, self.method.gamma, self.weights, self.state["velocity"])
        return self.RUNNING
