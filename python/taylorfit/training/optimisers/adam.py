"""METHOD adam: Adam on mini-batches."""

from __future__ import annotations

import numpy as np

from ...engine import Loss, adam_step
from ...settings.methods import AdamMethod
from ...tools.ranks import ALONE, Ranks
from .pass_optimiser import PassOptimiser
from .sampling import Sampler


class Adam(PassOptimiser):
    """Adam (Kingma, Ba, arXiv:1412.6980) with the gradient of `batchsize` structures in each step.

    An epoch takes `samplesize` structures, at most all of them.  (In ænet it draws with replacement
    and stops with an error unless samplesize is at least the number of structures.)  `ranks` share out each batch.
    """

    def __init__(self, method: AdamMethod, weights: np.ndarray, sampler: Sampler, ranks: Ranks = ALONE) -> None:
        super().__init__(method, weights, sampler)
        self._ranks = ranks
        self.state["mean"] = np.zeros(len(weights))
        self.state["mean_square"] = np.zeros(len(weights))
        self.state["steps"] = np.zeros(1, dtype=np.int32)

    @classmethod
    def nbytes(cls, method: AdamMethod, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of weights and two means, twice, and gradients of parts of a batch."""
        return 8 * n_weights * (2 * 3 + 2)

    def _pass(self, terms: Loss, epoch: int) -> str:
        m, v = self.method, self.state
        order, rates = self.sampler.order(terms, self.weights, epoch, m.samplesize), (m.mu, m.b1, m.b2, m.eps)
        if self._ranks.size == 1:
            terms.adam(order, m.batchsize, rates, self.weights, v["mean"], v["mean_square"], v["steps"])
            return self.RUNNING
        for first in range(0, len(order), m.batchsize):
            batch = order[first : first + m.batchsize]
            (gradient,) = self._ranks.totals([terms.batch(batch, self._ranks.rank, self._ranks.size, self.weights)])
            v["steps"] += 1
            adam_step(rates, int(v["steps"][0]), gradient, self.weights, v["mean"], v["mean_square"])
        return self.RUNNING
