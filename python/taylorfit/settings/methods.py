"""METHOD of train.in: the training methods of ænet with their options, defaults and meaning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from . import blocks as block
from .keyword_file import Document, Option, build, describe, require
from .words import Line, Word, integer, real, suggestion

SAMPLINGS = ("sequential", "random", "weighted", "energy")


@dataclass(frozen=True)
class BfgsMethod:
    """METHOD bfgs: limited-memory BFGS with all structures in every step.

    Raises
    ------
    InputError
        on construction, for a value out of range; so do the other methods.
    """

    name: ClassVar[str] = "bfgs"
    title: ClassVar[str] = "L-BFGS"
    default_sampling: ClassVar[str] = "sequential"
    m: int = 20
    """Number of remembered steps."""

    def __post_init__(self) -> None:
        require(1 <= self.m <= 1000, "m", "m out of range", self.m, "1 to 1000")


@dataclass(frozen=True)
class LmMethod:
    """METHOD lm: Levenberg-Marquardt, one batch of structures after the other."""

    name: ClassVar[str] = "lm"
    title: ClassVar[str] = "Levenberg-Marquardt"
    default_sampling: ClassVar[str] = "sequential"
    batchsize: int = 1000
    """Structures per batch."""
    learnrate: float = 0.1
    """Damping λ at the start."""
    iter: int = 1
    """Accepted steps per batch and epoch."""
    conv: float = 1.0e-3
    """No further steps on a batch whose loss falls by less than this fraction."""
    adjust: float = 10.0
    """Factor that raises λ after a failed trial and lowers it after a successful one."""

    def __post_init__(self) -> None:
        _positive(self, "batchsize", "learnrate", "iter")
        _in_range(self, "conv", 0.0, math.inf)
        require(1.0 < self.adjust < math.inf, "adjust", "adjust does not adjust", self.adjust, "a factor > 1")


@dataclass(frozen=True)
class EkfMethod:
    """METHOD ekf: extended Kalman filter, the covariance in blocks of `wgroup` weights."""

    name: ClassVar[str] = "ekf"
    title: ClassVar[str] = "extended Kalman filter"
    default_sampling: ClassVar[str] = "sequential"
    lambda_: float = 0.999
    """Forgetting factor λ at the start (`lambda` in the file)."""
    lambda0: float = 0.97
    """After each structure λ becomes lambda0·(λ − 1) + 1."""
    state: float = 10.0
    """Inverse variance of the weights at the start."""
    pnoise: float = 0.0
    """Process noise: added to each variance after each structure."""
    adaptive: float = 0.6
    """Accepted but unused, as in ænet."""
    wgroup: int = 100
    """Weights per block."""

    def __post_init__(self) -> None:
        require(0.0 < self.lambda_ <= 1.0, "lambda_", "lambda out of range", self.lambda_, "0 < lambda ≤ 1")
        _in_range(self, "lambda0", 0.0, 1.0)
        _positive(self, "state", "wgroup")
        _in_range(self, "pnoise", 0.0, math.inf)


@dataclass(frozen=True)
class AdamMethod:
    """METHOD adam: Adam on mini-batches."""

    name: ClassVar[str] = "adam"
    title: ClassVar[str] = "Adam"
    default_sampling: ClassVar[str] = "random"
    mu: float = 0.001
    """Step size."""
    b1: float = 0.9
    """Decay of the running mean of the gradient."""
    b2: float = 0.999
    """Decay of the running mean of its square."""
    eps: float = 1.0e-8
    """Added to the root of the mean square."""
    samplesize: int = 500
    """Structures per epoch, at most all of them."""
    batchsize: int = 1
    """Structures per step."""

    def __post_init__(self) -> None:
        _positive(self, "mu", "eps", "samplesize", "batchsize")
        for name in ("b1", "b2"):
            value = getattr(self, name)
            require(0.0 <= value < 1.0, name, f"{name} out of range", value, f"0 ≤ {name} < 1")


@dataclass(frozen=True)
class OnlineSdMethod:
    """METHOD online_sd, alias online_gd: steepest descent with momentum, structure by structure."""

    name: ClassVar[str] = "online_sd"
    title: ClassVar[str] = "online steepest descent"
    default_sampling: ClassVar[str] = "sequential"
    alpha: float = 0.01
    """Momentum."""
    gamma: float = 0.9
    """Learning rate."""

    def __post_init__(self) -> None:
        require(0.0 <= self.alpha < 1.0, "alpha", "alpha out of range", self.alpha, "0 ≤ alpha < 1")
        _positive(self, "gamma")


Method: TypeAlias = BfgsMethod | LmMethod | EkfMethod | AdamMethod | OnlineSdMethod


def _positive(method: object, *names: str) -> None:
    for name in names:
        value = getattr(method, name)
        require(0 < value < math.inf, name, f"{name} not positive", value, "a positive number")


def _in_range(method: object, name: str, low: float, high: float) -> None:
    value = getattr(method, name)
    require(
        low <= value <= high and value < math.inf,
        name,
        f"{name} out of range",
        value,
        f"{low:g} ≤ {name}" + (f" ≤ {high:g}" if high < math.inf else ""),
    )


BFGS_OPTIONS = {"m": Option("m", integer, "number of remembered steps (20)")}
"""Options of METHOD bfgs."""

OPTIONS: dict[type[Method], dict[str, Option]] = {
    BfgsMethod: BFGS_OPTIONS,
    LmMethod: {
        "batchsize": Option("batchsize", integer, "structures per batch (1000)"),
        "learnrate": Option("learnrate", real, "damping at the start (0.1)"),
        "iter": Option("iter", integer, "steps per batch and epoch (1)"),
        "conv": Option("conv", real, "next batch when the loss falls by a smaller fraction (1e-3)"),
        "adjust": Option("adjust", real, "factor that changes the damping (10)"),
    },
    EkfMethod: {
        "lambda": Option("lambda_", real, "forgetting factor at the start (0.999)"),
        "lambda0": Option("lambda0", real, "rate with which it goes to 1 (0.97)"),
        "state": Option("state", real, "inverse variance of the weights at the start (10)"),
        "pnoise": Option("pnoise", real, "process noise (0)"),
        "adaptive": Option("adaptive", real, "no effect, as in ænet (0.6)"),
        "wgroup": Option("wgroup", integer, "weights per block of the covariance (100)"),
    },
    AdamMethod: {
        "mu": Option("mu", real, "step size (0.001)"),
        "b1": Option("b1", real, "decay of the mean gradient (0.9)"),
        "b2": Option("b2", real, "decay of its mean square (0.999)"),
        "eps": Option("eps", real, "guard against division by zero (1e-8)"),
        "samplesize": Option("samplesize", integer, "structures per epoch, at most all (500)"),
        "batchsize": Option("batchsize", integer, "structures per step (1)"),
    },
    OnlineSdMethod: {
        "alpha": Option("alpha", real, "momentum (0.01)"),
        "gamma": Option("gamma", real, "learning rate (0.9, which is useless: try 0.03)"),
    },
}
"""Options of each method: key in the file, field, conversion, help."""

METHODS: dict[str, type[Method]] = {**{kind.name: kind for kind in OPTIONS}, "online_gd": OnlineSdMethod}
"""Names in the file.  ænet's manual says online_gd, its program wants online_sd: both are read."""


def read_method(document: Document, line: Line) -> Method:
    """Read the block of METHOD: a name and options.

    Raises
    ------
    InputError, FormatError
        naming line and option.
    """
    pairs: list[tuple[str, Word]] = block.option_words(document, line)
    if not pairs or pairs[0][0]:
        line.fail("METHOD without a name", expected="the name on the next line, e.g. bfgs")
    word = pairs[0][1]
    name = word.text.lower()
    if name not in METHODS:
        word.fail("unknown method", suggestion(name, METHODS))
    kind = METHODS[name]
    return build(kind, block.read_options(pairs[1:], OPTIONS[kind]), document.file, word.line.number)


def format_method(method: Method) -> str:
    """Return the line below METHOD: the name and the options that are not the default."""
    options: Mapping[str, Option] = OPTIONS[type(method)]
    changed = [
        f"{key}={getattr(method, option.field)}"
        for key, option in options.items()
        if getattr(method, option.field) != getattr(type(method), option.field)
    ]
    return " ".join([method.name, *changed])


def describe_methods() -> str:
    """Return help for the options of all methods."""
    return "\n\n".join(
        f"options of METHOD {kind.name} ({kind.title}):\n{describe(options)}" for kind, options in OPTIONS.items()
    )
