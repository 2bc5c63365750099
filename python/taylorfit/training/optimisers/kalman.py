"""METHOD ekf: extended Kalman filter."""

from __future__ import annotations

import numpy as np

from ...engine import Loss
from ...settings.methods import EkfMethod
from .pass_optimiser import PassOptimiser
from .sampling import Sampler


class KalmanFilter(PassOptimiser):
    """The weights are the state of a filter, each structure's energy an observation.

    For each structure, with h = f_s·∂E_s/∂w and the error e = f_s (E_ref,s − E_s), and for each
    block of `wgroup` consecutive weights on its own: A = hᵀPh + λ, K = Ph/A, w ← w + K·e,
    P ← (P − K hᵀP)/λ + pnoise·1; then λ ← lambda0·(λ − 1) + 1.  P starts as 1/state.  A Taylor copy
    of weight c has h and e scaled by √c.  Reproduces ænet's trajectory to rounding.
    """

    def __init__(self, method: EkfMethod, weights: np.ndarray, sampler: Sampler) -> None:
        super().__init__(method, weights, sampler)
        self.state["covariance"] = start_covariance(len(weights), method.wgroup, 1.0 / method.state)
        self.state["forgetting"] = np.array([method.lambda_])

    @classmethod
    def nbytes(cls, method: EkfMethod, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of the covariance, twice, and the rest."""
        full, rest = divmod(n_weights, method.wgroup)
        return 8 * (2 * (full * method.wgroup**2 + rest**2) + 4 * n_weights)

    def _pass(self, terms: Loss, epoch: int) -> str:
        order = self.sampler.order(terms, self.weights, epoch)
        terms.filter(
            order,
            self.method.wgroup,
            self.method.lambda0,
            self.method.pnoise,
            self.weights,
            self.state["covariance"],
            self.state["forgetting"],
        )
        return self.RUNNING


def start_covariance(n_weights: int, width: int, variance: float) -> np.ndarray:
    """Return the covariance at the start: blocks of `width` weights one after the other, the last perhaps smaller."""
    widths = (min(width, n_weights - first) for first in range(0, n_weights, width))
    return np.concatenate([np.diag(np.full(n, variance)).ravel() for n in widths])
