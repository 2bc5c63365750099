"""FORCES in train.in: how forces enter the training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import input_blocks as block
from .input_file import Document, Option, build, describe, require, require_one_of
from .input_words import Line, choice, real

MODES = ("energy", "taylor", "centred")
"""`energy`: copies are left out.  `taylor`: copies are trained on like structures (the paper).
`centred`: copies count by their deviation from the mean of their parent's copies."""


@dataclass(frozen=True)
class ForceMode:
    """How forces are trained on.

    Raises
    ------
    InputError
        on construction, for an unknown mode or a weight out of range.
    """

    mode: str | None = None
    """One of `MODES`; None: `taylor` if the training set has copies, else `energy`."""
    beta: float = 1.0e-3
    """Weight of the mean square force component error against the squared energy error per atom, Å²."""

    def __post_init__(self) -> None:
        if self.mode is not None:
            require_one_of("mode", self.mode, MODES)
        require(0 < self.beta < math.inf, "beta", "beta out of range", self.beta, "a positive number (Å²)")


OPTIONS = {
    "mode": Option("mode", choice(*MODES), "energy, taylor or centred (taylor if there are copies)"),
    "beta": Option("beta", real, "weight of the forces with mode=centred, Å² (1e-3; useful 1e-3 to 1e-2)"),
}
"""Options of FORCES."""


def read_forces(document: Document, line: Line) -> ForceMode:
    """Read the line ``FORCES mode=centred beta=1e-3``."""
    pairs = list(line.options())[1:]
    if not pairs:
        line.fail("FORCES without a mode", expected="e.g. FORCES mode=centred beta=1e-3")
    return build(ForceMode, block.read_options(pairs, OPTIONS), document.file, line.number)


def format_forces(forces: ForceMode) -> str:
    """Return the line that `read_forces` reads."""
    return f"FORCES mode={forces.mode or 'taylor'}" + (f" beta={forces.beta!r}" if forces.beta != ForceMode.beta else "")


def describe_forces() -> str:
    """Return help for the options of FORCES."""
    return f"options of FORCES:\n{describe(OPTIONS)}"
