"""EXTRAPOLATION in md.in, and options of the calculator: structures unlike the training data."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from .option import FOLDER, REAL, Settings, one_of, option


@dataclass(frozen=True)
class ExtrapolationPolicy(Settings):
    """When a structure counts as unlike the training data, and what happens then.

    With `warn` a Python warning comes for each component, and again when it gets twice as bad; `stop` raises an
    `ExtrapolationError`; with `dump` a warning comes, and the structure goes to `folder` for the next round.

    Raises
    ------
    InputError
        on construction, for an unknown action or a limit out of range.
    """

    action: str = option(
        "warn",
        one_of(
            warn="report the first step",
            ignore="do nothing",
            stop="end the run there",
            dump="report, and write such structures as XSF",
        ),
        help="what is done",
    )
    tolerance: float = option(
        0.5,
        unit="σ",
        check="0 ≤ x < ∞",
        help="a descriptor component may be so far outside the range of the training data",
    )
    max_force_std: float | None = option(
        None,
        REAL,
        unit="eV/Å",
        check="0 < x < ∞",
        shown="any amount",
        help="members of a committee may differ so much in the force on an atom",
    )
    folder: str | PathLike[str] = option("extrapolations", FOLDER, help="where dumped structures go")
    most_dumps: int = option(
        100, key="most", check="n ≥ 0", message="number of dumps out of range", help="largest number of files there"
    )
    dump_interval: int = option(
        10,
        key="interval",
        check="n ≥ 1",
        message="interval of dumps out of range",
        help="steps between two dumps: consecutive steps look alike",
    )
