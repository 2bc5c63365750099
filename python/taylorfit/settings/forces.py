"""FORCES in train.in: how forces enter the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .document import Line, Located, Word, integer, real
from .keyword_file import options
from .option import REAL, TEXT, Kind, Settings, one_of, option, require

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


def _format_beta(forces: ForceMode) -> str:
    if forces.mode is not None and not forces.schedule and forces.beta == ForceMode.beta:
        return ""
    return f"beta={forces.beta!r}" + "".join(f",{beta!r}@{epoch}" for epoch, beta in forces.schedule)


@dataclass(frozen=True)
class ForceMode(Settings):
    """How forces are trained on.

    Raises
    ------
    InputError
        on construction, for an unknown mode or a value out of range.
    """

    mode: str | None = option(
        None, one_of(*MODES), shown="centred if there are copies, else energy", help="how forces are trained on"
    )
    beta: float = option(
        1.0e-3,
        Kind("a number", _beta),
        unit="Å²",
        words=_format_beta,
        help="weight of the mean square force component error against the squared energy error per atom, useful 1e-3"
        " to 1e-2, not for taylor; 1e-2,1e-3@500 changes it at epoch 500",
    )
    schedule: tuple[tuple[int, float], ...] = ()
    """(epoch, β): from that epoch on another weight; epochs ascending.  Part of beta= in the file."""
    directions: int = option(
        22, check="n > 0", message="no directions", help="directions of each structure with mode=directional"
    )
    percent: float = option(
        100.0,
        check="0 < p ≤ 100",
        message="not a percentage",
        help="share of the training structures whose forces are trained on, exact and directional",
    )
    energyweight: float = option(1.0, check="0 ≤ w < ∞", help="weight of the squared energy errors")
    virial: float = option(
        0.0,
        check="0 ≤ w < ∞",
        help="weight of the mean square error of the virial per atom, where the data has stresses, not for taylor",
    )
    species_weight: dict[str, float] = option(
        factory=dict,
        kind=REAL,
        key="weight_*",
        check="0 ≤ w < ∞",
        shown="1",
        help="weight of the forces on one species, e.g. weight_H=0.5",
    )
    derivatives: str | None = option(
        None, TEXT, shown="computed", help="descriptor derivatives of ænet (.train.forces) for mode=exact"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
        require(
            self.energyweight > 0 or self.mode not in ("energy", "taylor"),
            "energyweight",
            f"energyweight=0 leaves nothing to train on with mode={self.mode}",
            expected="mode=exact, directional or centred, or a positive weight",
        )
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


def _split_beta(found: dict[str, Located], line: Line) -> None:
    if "beta" in found:
        beta, schedule = found["beta"].value
        found |= {"beta": found["beta"]._replace(value=beta), "schedule": found["beta"]._replace(value=schedule)}


FORCES = options(ForceMode, what="a mode", example="FORCES mode=exact beta=1e-3", adjust=_split_beta)
"""The line ``FORCES mode=exact beta=1e-3``."""


def Energy() -> ForceMode:
    """Train on energies alone; Taylor copies are left out."""
    return ForceMode("energy")


def Taylor() -> ForceMode:
    """Train on the energies of Taylor copies as on those of structures (Cooper et al. 2020)."""
    return ForceMode("taylor")


def Centred(
    beta: float = ForceMode.beta,
    *,
    schedule: tuple[tuple[int, float], ...] = (),
    energyweight: float = ForceMode.energyweight,
    virial: float = ForceMode.virial,
) -> ForceMode:
    """Train on the energies of Taylor copies relative to the mean of their parent's copies; see `ForceMode`."""
    return ForceMode("centred", beta, schedule, energyweight=energyweight, virial=virial)


def Directional(
    beta: float = ForceMode.beta,
    *,
    directions: int = ForceMode.directions,
    schedule: tuple[tuple[int, float], ...] = (),
    percent: float = ForceMode.percent,
    energyweight: float = ForceMode.energyweight,
    virial: float = ForceMode.virial,
    species_weight: Mapping[str, float] | None = None,
) -> ForceMode:
    """Train on the derivatives of the energy along random directions of each structure; see `ForceMode`."""
    weights = dict(species_weight or {})
    return ForceMode("directional", beta, schedule, directions, percent, energyweight, virial, weights)


def Exact(
    beta: float = ForceMode.beta,
    *,
    schedule: tuple[tuple[int, float], ...] = (),
    percent: float = ForceMode.percent,
    energyweight: float = ForceMode.energyweight,
    virial: float = ForceMode.virial,
    species_weight: Mapping[str, float] | None = None,
    derivatives: str | None = ForceMode.derivatives,
) -> ForceMode:
    """Train on all forces exactly; see `ForceMode`."""
    weights = dict(species_weight or {})
    return ForceMode("exact", beta, schedule, ForceMode.directions, percent, energyweight, virial, weights, derivatives)
