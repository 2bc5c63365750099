"""METHOD adam: Adam on mini-batches."""

from __future__ import annotations

import numpy as np

from ...engine import Loss
from ...settings.methods import AdamMethod
from .pass_optimiser import PassOptimiser
from .sampling import Sampler


class Adam(PassOptimiser):
    """Adam (Kingma, Ba, arXiv:1412.6980) with the gradient of `batchsize` structures in each step.

    An epoch takes `samplesize` structures, at most all of them.  (In ænet it draws with replacement
    and stops with an error unless samplesize is at least the number of structures.)
    """

    def __init__(self, method: AdamMethod, weights: np.ndarray, sampler: Sampler) -> None:
        super().__init__(method, weights, sampler)
        self.state["mean"] = np.zeros(len(weights))
        self.state["mean_square"] = np.zeros(len(weights))
        self.state["steps"] = np.zeros(1, dtype=np.int32)

    @classmethod
    def nbytes(cls, method: AdamMethod, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of weights and two means, twice, and gradients of parts of a batch."""
        return 8 * n_weights * (2 * 3 + 2)

    def _pass(self, terms: Loss, epoch: int) -> str:
        m, v = self.method, self.state
        order = self.sampler.order(terms, self.weights, epoch, m.samplesize)
        terms.adam(order, m.batchsize, (m.mu, m.b1, m.b2, m.eps), self.weights, v["mean"], v["mean_square"], v["steps"])
        return self.RUNNING
