"""How frames are chosen from a pool: arguments of `select`."""

from __future__ import annotations

from dataclasses import dataclass

from .option import REAL, Settings, one_of, option, require

BY = {
    "deviation": "those that a committee differs about most",
    "diverse": "those far from each other and from known ones, in descriptor space",
    "both": "those far from each other, weighted by the deviation, so that frames that look alike are taken once",
}


@dataclass(frozen=True)
class SelectPlan(Settings):
    """What makes a frame worth a calculation.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    n: int = option(check="n ≥ 1", default=10, help="frames to choose")
    by: str | None = option(
        None, one_of(**BY), shown="both with a committee, else diverse", help="what frames are chosen by"
    )
    low: float = option(
        0.0,
        REAL,
        unit="eV/Å",
        check="0 ≤ x < ∞",
        help="frames with a smaller deviation on each atom are known well enough",
    )
    high: float | None = option(
        None, REAL, unit="eV/Å", check="0 < x < ∞", shown="none", help="frames with a larger deviation are not worth it"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.high is None or self.low < self.high,
            "high",
            "no deviation is allowed",
            self.high,
            f"above {self.low:g}",
        )
