"""Training methods: an optimiser for each METHOD of train.in, one file each.

An optimiser holds its whole state in the arrays of `state`, among them `weights`.  L-BFGS
(`engine.Lbfgs`) steps once an epoch, from the loss of all structures.  The others move the weights
within an epoch: `run_epoch` makes one pass over the structures in the order of SAMPLING.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...engine import Lbfgs
from ...settings.methods import AdamMethod, BfgsMethod, EkfMethod, LmMethod, Method, OnlineSdMethod
from ...tools.ranks import ALONE, Ranks
from .adam import Adam
from .kalman import KalmanFilter
from .levenberg_marquardt import LevenbergMarquardt
from .pass_optimiser import PassOptimiser
from .sampling import Sampler
from .steepest_descent import SteepestDescent
from .whitening import FirstLayer, WhitenedLbfgs

Optimiser = Lbfgs | PassOptimiser

_PASSES: dict[type[Method], type[PassOptimiser]] = {
    LmMethod: LevenbergMarquardt,
    EkfMethod: KalmanFilter,
    AdamMethod: Adam,
    OnlineSdMethod: SteepestDescent,
}


def sampling_of(method: Method, sampling: str | None) -> str:
    """Return the order that is used: SAMPLING if given, else that of the method; bfgs needs all structures."""
    if sampling is None or isinstance(method, BfgsMethod):
        return method.default_sampling
    return sampling


def make_optimiser(
    method: Method,
    weights: np.ndarray,
    sampling: str | None = None,
    seed: int = 1,
    ranks: Ranks = ALONE,
    layers: Callable[[float], Sequence[FirstLayer]] = lambda share: (),
) -> Optimiser:
    """Return an optimiser that starts from `weights` (n_weight,); of several `ranks` each has its own, all alike.

    `layers` gives the coordinates that `whiten=` asks for.
    """
    if isinstance(method, BfgsMethod):
        return WhitenedLbfgs(weights, method.m, layers(method.whiten)) if method.whiten else Lbfgs(weights, method.m)
    if isinstance(method, AdamMethod):
        return Adam(method, weights, Sampler(sampling_of(method, sampling), seed, ranks), ranks)
    return _PASSES[type(method)](method, weights, Sampler(sampling_of(method, sampling), seed))


def optimiser_bytes(method: Method, n_weights: int, n_structures: int) -> int:
    """Return the bytes of memory that a method takes for so many weights and structures."""
    if isinstance(method, BfgsMethod):
        # With copies of weights and gradient in other coordinates, and these
        return Lbfgs.nbytes(n_weights, method.m) + (8 * 6 * n_weights if method.whiten else 0)
    # The state is there twice, so that an epoch which is broken off can be undone
    return _PASSES[type(method)].nbytes(method, n_weights, n_structures)


def method_notes(method: Method, sampling: str | None) -> list[str]:
    """Return what a user should know about the choice."""
    notes = []
    if isinstance(method, BfgsMethod) and sampling not in (None, "sequential"):
        notes.append(
            f"note: SAMPLING {sampling} has no effect with METHOD bfgs, which uses all structures (as in ænet)"
        )
    if isinstance(method, OnlineSdMethod) and method.gamma == OnlineSdMethod.gamma:
        notes.append(
            f"warning: the learning rate gamma={method.gamma:g} of METHOD {method.name} (ænet's default) is far "
            "too large to learn anything; try alpha=0.05 gamma=0.03"
        )
    return notes
