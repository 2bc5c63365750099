"""FORCES in train.in: how forces enter the training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from . import blocks as block
from .keyword_file import Document, Option, build, describe, require, require_one_of
from .words import Line, Word, choice, integer, real, text

MODES = ("energy", "taylor", "centred", "directional", "exact")
"""`energy`: copies are left out.  `taylor`: copies are trained on like structures (the paper).
`centred`: copies count by their deviation from the mean of their parent's copies.  `directional`: derivatives of
the energy along some directions of each structure.  `exact`: all forces."""
WITH_COPIES = ("taylor", "centred")
"""Modes that train on Taylor copies."""
WITH_BETA = ("centred", "directional", "exact")
"""Modes whose force weight is β."""
WITH_VIRIAL = WITH_BETA
"""Modes that can train on the virial, `centred` on that of strained copies."""
WITH_GEOMETRY = ("directional", "exact")
"""Modes that need derivatives of descriptors."""


@dataclass(frozen=True)
class ForceMode:
    """How forces are trained on.

    Raises
    ------
    InputError
        on construction, for an unknown mode or a value out of range.
    """

    mode: str | None = None
    """One of `MODES`; None: `centred` if the training set has copies, else `energy`."""
    beta: float = 1.0e-3
    """Weight of the mean square force component error against the squared energy error per atom, Å²."""
    schedule: tuple[tuple[int, float], ...] = ()
    """(epoch, β): from that epoch on another weight; epochs ascending."""
    directions: int = 22
    """Directions of each structure with mode=directional."""
    percent: float = 100.0
    """Share of the training structures whose forces are trained on, exact and directional."""
    energyweight: float = 1.0
    """Weight of the squared energy errors."""
    virial: float = 0.0
    """Weight of the mean square error of the virial per atom against the squared energy error per atom."""
    species_weight: dict[str, float] = field(default_factory=dict)
    """Weight of the forces on single species in the mean, where not 1."""
    derivatives: str | None = None
    """Descriptor derivatives (.train.forces) to take instead of computing them."""

    def __post_init__(self) -> None:
        if self.mode is not None:
            require_one_of("mode", self.mode, MODES)
        epochs = [epoch for epoch, _ in self.schedule]
        require(
            epochs == sorted(set(epochs)) and all(epoch > 0 for epoch in epochs),
            "beta",
            "epochs of beta out of order",
            " ".join(map(str, epochs)),
            "ascending, from 1",
        )
        for beta in (self.beta, *(value for _, value in self.schedule)):
            require(0 < beta < math.inf, "beta", "beta out of range", beta, "a positive number (Å²)")
        require(self.directions > 0, "directions", "no directions", self.directions, "an integer > 0")
        require(0 < self.percent <= 100, "percent", "not a percentage", self.percent, "0 < p ≤ 100")
        for name in ("energyweight", "virial"):
            require(0 <= getattr(self, name) < math.inf, name, f"{name} out of range", getattr(self, name), "≥ 0")
        for symbol, weight in self.species_weight.items():
            require(0 <= weight < math.inf, "species_weight", f"weight_{symbol} out of range", weight, "≥ 0")
        require(
            self.derivatives is None or self.mode == "exact",
            "derivatives",
            "derivatives= without mode=exact",
            self.derivatives,
            "FORCES mode=exact derivatives=FILE.train.forces",
        )
        require(
            self.virial == 0 or self.mode in WITH_VIRIAL,
            "virial",
            f"virial= does not go with mode={self.mode}",
            self.virial,
            "mode=exact, directional or, with strained copies, centred",
        )

    def beta_at(self, epoch: int) -> float:
        """The force weight in an epoch, Å²."""
        return next((beta for start, beta in reversed(self.schedule) if epoch >= start), self.beta)

    @property
    def final_beta(self) -> float:
        """The last force weight, by which epochs are compared, Å²."""
        return self.schedule[-1][1] if self.schedule else self.beta


def _beta(word: Word) -> tuple[float, tuple[tuple[int, float], ...]]:
    """``1e-2`` or ``1e-2,1e-3@500``: the weight, and others from given epochs on."""
    first, *later = word.text.split(",")
    stages = []
    for part in later:
        value, at, epoch = part.partition("@")
        if not at:
            word.fail("a later weight without its epoch", "e.g. beta=1e-2,1e-3@500")
        stages.append((integer(Word(epoch, word.line)), real(Word(value, word.line))))
    return real(Word(first, word.line)), tuple(stages)


OPTIONS = {
    "mode": Option(
        "mode",
        choice(*MODES),
        "energy, taylor, centred, directional or exact (centred if there are copies, else energy)",
    ),
    "beta": Option(
        "beta",
        _beta,
        "weight of the forces, Å² (1e-3; useful 1e-3 to 1e-2), not for taylor; 1e-2,1e-3@500 changes it at epoch 500",
    ),
    "directions": Option("directions", integer, "directions per structure with mode=directional (22)"),
    "percent": Option(
        "percent", real, "share of the structures whose forces are trained on, exact and directional (100)"
    ),
    "energyweight": Option("energyweight", real, "weight of the energies (1)"),
    "virial": Option(
        "virial", real, "weight of the virial error per atom where the data has stresses, not for taylor (0)"
    ),
    "weight_*": Option("species_weight", real, "weight of the forces on one species, e.g. weight_H=0.5 (1)"),
    "derivatives": Option(
        "derivatives", text, "descriptor derivatives of ænet (.train.forces) for mode=exact (computed)"
    ),
}
"""Options of FORCES."""


def read_forces(document: Document, line: Line) -> ForceMode:
    """Read the line ``FORCES mode=exact beta=1e-3``."""
    pairs = list(line.options())[1:]
    if not pairs:
        line.fail("FORCES without a mode", expected="e.g. FORCES mode=exact beta=1e-3")
    found = block.read_options(pairs, OPTIONS)
    if "beta" in found:
        beta, schedule = found["beta"].value
        found["schedule"] = replace(found["beta"], value=schedule)
        found["beta"] = replace(found["beta"], value=beta)
    return build(ForceMode, found, document.file, line.number)


def format_forces(forces: ForceMode) -> str:
    """Return the line that `read_forces` reads."""
    words = ["FORCES"]
    if forces.mode is not None:
        words.append(f"mode={forces.mode}")
    stages = "".join(f",{beta!r}@{epoch}" for epoch, beta in forces.schedule)
    if forces.beta != ForceMode.beta or stages or len(words) == 1:
        words.append(f"beta={forces.beta!r}{stages}")
    for name in ("directions", "percent", "energyweight", "virial"):
        if getattr(forces, name) != getattr(ForceMode, name):
            words.append(f"{name}={getattr(forces, name)!r}")
    words += [f"weight_{symbol}={weight!r}" for symbol, weight in forces.species_weight.items()]
    if forces.derivatives is not None:
        words.append(f"derivatives={block.quote(forces.derivatives)}")
    return " ".join(words)


def describe_forces() -> str:
    """Return help for the options of FORCES."""
    return f"options of FORCES:\n{describe(OPTIONS)}"
