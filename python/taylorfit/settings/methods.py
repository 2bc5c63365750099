"""METHOD of train.in: the training methods of ænet with their options, defaults and meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from .document import Document, Line, suggestion
from .keyword_file import build, format_options, option_words, read_options
from .option import Kind, Settings, option, options_of

SAMPLINGS = {
    "sequential": "as in the set",
    "random": "each once",
    "blocks": "each once, runs of neighbours together, as a file is best read",
    "weighted": "drawn by error",
    "energy": "low energies oftener",
}
"""Orders of the structures in an epoch."""
WITHOUT_ENERGIES = ("sequential", "random", "blocks")
"""Those for which nothing need be known of a structure."""


@dataclass(frozen=True)
class BfgsMethod(Settings):
    """METHOD bfgs: limited-memory BFGS with all structures in every step.

    Raises
    ------
    InputError
        on construction, for a value out of range; so do the other methods.
    """

    name: ClassVar[str] = "bfgs"
    title: ClassVar[str] = "L-BFGS"
    default_sampling: ClassVar[str] = "sequential"
    m: int = option(20, check="1 ≤ m ≤ 1000", help="number of remembered steps")
    whiten: float = option(
        0.0,
        check="0 ≤ x < ∞",
        help="0.03: the steps are those for uncorrelated descriptors, about half as many; this share of"
        " their mean variance counts as noise; 0: as in ænet",
    )


@dataclass(frozen=True)
class LmMethod(Settings):
    """METHOD lm: Levenberg-Marquardt, one batch of structures after the other."""

    name: ClassVar[str] = "lm"
    title: ClassVar[str] = "Levenberg-Marquardt"
    default_sampling: ClassVar[str] = "sequential"
    batchsize: int = option(1000, check="n > 0", help="structures per batch")
    learnrate: float = option(0.1, check="λ > 0", help="damping λ at the start")
    iter: int = option(1, check="n > 0", help="accepted steps per batch and epoch")
    conv: float = option(
        1.0e-3, check="0 ≤ x < ∞", help="no further steps on a batch whose loss falls by a smaller fraction"
    )
    adjust: float = option(
        10.0,
        check="x > 1",
        message="adjust does not adjust",
        expected="a factor > 1",
        help="factor that raises λ after a failed trial and lowers it after a successful one",
    )


@dataclass(frozen=True)
class EkfMethod(Settings):
    """METHOD ekf: extended Kalman filter, the covariance in blocks of `wgroup` weights."""

    name: ClassVar[str] = "ekf"
    title: ClassVar[str] = "extended Kalman filter"
    default_sampling: ClassVar[str] = "sequential"
    lambda_: float = option(0.999, key="lambda", check="0 < λ ≤ 1", help="forgetting factor λ at the start")
    lambda0: float = option(0.97, check="0 ≤ x ≤ 1", help="after each structure λ becomes lambda0·(λ − 1) + 1")
    state: float = option(10.0, check="x > 0", help="inverse variance of the weights at the start")
    pnoise: float = option(0.0, check="0 ≤ x < ∞", help="process noise: added to each variance after each structure")
    adaptive: float = option(0.6, help="no effect, as in ænet")
    wgroup: int = option(100, check="n > 0", help="weights per block of the covariance")


@dataclass(frozen=True)
class AdamMethod(Settings):
    """METHOD adam: Adam on mini-batches."""

    name: ClassVar[str] = "adam"
    title: ClassVar[str] = "Adam"
    default_sampling: ClassVar[str] = "random"
    mu: float = option(0.001, check="x > 0", help="step size")
    b1: float = option(0.9, check="0 ≤ b1 < 1", help="decay of the running mean of the gradient")
    b2: float = option(0.999, check="0 ≤ b2 < 1", help="decay of the running mean of its square")
    eps: float = option(1.0e-8, check="x > 0", help="added to the root of the mean square")
    samplesize: int = option(500, check="n > 0", help="structures per epoch, at most all of them")
    batchsize: int = option(1, check="n > 0", help="structures per step")
    anneal: int = option(
        0,
        check="n ≥ 0",
        help="the step size falls to nothing within so many epochs, along half a wave of a cosine; 0: it stays",
    )
    decay: float = option(
        0.0,
        check="0 ≤ x < 1",
        help="each step first takes the step size times this share off all weights (AdamW); 0: as in ænet",
    )

    def rates(self, epoch: int) -> tuple[float, float, float, float, float]:
        """Step size in an epoch (from 0), b1, b2, eps, decay."""
        mu = self.mu
        if self.anneal:
            mu *= 0.5 * (1.0 + math.cos(math.pi * min(epoch, self.anneal - 1) / self.anneal))
        return mu, self.b1, self.b2, self.eps, self.decay


@dataclass(frozen=True)
class OnlineSdMethod(Settings):
    """METHOD online_sd, alias online_gd: steepest descent with momentum, structure by structure."""

    name: ClassVar[str] = "online_sd"
    title: ClassVar[str] = "online steepest descent"
    default_sampling: ClassVar[str] = "sequential"
    alpha: float = option(0.01, check="0 ≤ α < 1", help="momentum")
    gamma: float = option(0.9, check="x > 0", help="learning rate; the default is useless, try 0.03")


Method: TypeAlias = BfgsMethod | LmMethod | EkfMethod | AdamMethod | OnlineSdMethod
Bfgs, Lm, Ekf, Adam, OnlineSd = BfgsMethod, LmMethod, EkfMethod, AdamMethod, OnlineSdMethod

_KINDS: tuple[type[Method], ...] = (BfgsMethod, LmMethod, EkfMethod, AdamMethod, OnlineSdMethod)
METHODS: dict[str, type[Method]] = {**{kind.name: kind for kind in _KINDS}, "online_gd": OnlineSdMethod}
"""Names in the file.  ænet's manual says online_gd, its program wants online_sd: both are read."""


def _read_method(document: Document, line: Line) -> Method:
    pairs = option_words(document, line)
    if not pairs or pairs[0][0]:
        line.fail("METHOD without a name", expected="the name on the next line, e.g. bfgs")
    word = pairs[0][1]
    name = word.text.lower()
    if name not in METHODS:
        word.fail("unknown method", suggestion(name, METHODS))
    kind: Callable[..., Method] = METHODS[name]
    return build(kind, read_options(pairs[1:], options_of(METHODS[name])), document.file, word.line.number)


def format_method(method: Method) -> str:
    """Return the line below METHOD: the name and the options that are not the default."""
    return f"{method.name} {format_options(method)}".rstrip()


METHOD = Kind(
    "below",
    write=format_method,
    form="below",
    reader=_read_method,
    is_block=True,
    tables=lambda key: {f"options of {key} {kind.name} ({kind.title})": options_of(kind) for kind in _KINDS},
)
"""The block METHOD: a name and options."""
