"""EXTRAPOLATION in md.in, and options of the calculator: structures unlike the training data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike

from ..model.data_limits import DataLimits
from ..model.elements import COVALENT_RADII
from .document import Word, real
from .option import FOLDER, REAL, Kind, Settings, one_of, option, require

TOLERANCE = 0.5
"""σ that a descriptor component may be outside the range of the training data, where nothing else is said."""
COLLAPSED = 0.75
"""Atoms closer than this part of the shortest distance in the data have fallen into each other.

At 800 K atoms of (H2O)6 come as close as 0.93 of what they do in 25 frames at 300 K; runs that broke down went from 0.9
to 0.4 with members of a committee in fair agreement."""
COLLAPSED_BOND = 0.6
"""The same for the sum of covalent radii, where the data are not known: bonds are above 0.75."""


def _pairs(word: Word) -> dict[str, float]:
    limits = {}
    for part in word.text.split(","):
        pair, colon, length = part.partition(":")
        symbols = pair.split("-")
        if not colon or len(symbols) != 2 or not all(1 <= len(symbol) <= 2 for symbol in symbols):
            word.fail("not pairs of species with distances", "e.g. shortest=O-H:0.7,H-H:1.0")
        limits[pair] = real(Word(length, word.line))
    return limits


DISTANCES = Kind("pairs", _pairs, lambda limits: ",".join(f"{pair}:{length:g}" for pair, length in limits.items()))


@dataclass(frozen=True)
class ExtrapolationPolicy(Settings):
    """When a structure counts as unlike the training data, and what happens then.

    With `warn` a Python warning comes for each component, and again when it gets twice as bad; `stop` raises an
    `ExtrapolationError`; with `dump` a warning comes, and the structure goes to `folder` for the next round, unless it
    resembles one that is there; one that is not worth a calculation (`most_beyond`, `shortest`) raises the error.

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
            dump="report, and write such structures as XSF, until one is beyond sense",
        ),
        help="what is done",
    )
    tolerance: float | None = option(
        None,
        REAL,
        unit="σ",
        check="0 ≤ x < ∞",
        shown=f"{TOLERANCE:g} σ; committees that know a limit of max_force_std, and those given one: any amount",
        help="a descriptor component may be so far outside the range of the training data",
    )
    max_force_std: float | None = option(
        None,
        REAL,
        unit="eV/Å",
        check="0 < x < ∞",
        shown="what the committee remembers from its test structures",
        help="members of a committee may differ so much in the force on an atom",
    )
    most_beyond: float = option(
        5.0,
        key="beyond",
        check="1 ≤ x < ∞",
        message="largest multiple of the limits out of range",
        help="dump: a structure so many times beyond these limits is not written and ends the run",
    )
    shortest: dict[str, float] = option(
        factory=dict,
        kind=DISTANCES,
        normalise=lambda limits: {"-".join(sorted(pair.split("-"))): length for pair, length in limits.items()},
        shown=f"{COLLAPSED:g} of the shortest in the committee's data; where not known, {COLLAPSED_BOND:g} of "
        "the sum of covalent radii",
        help="distances of pairs of species, Å, e.g. O-H:0.7,H-H:1.0, below which a structure has collapsed",
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
    apart: float = option(
        1.0,
        unit="σ",
        check="0 ≤ x < ∞",
        help="a dumped structure differs so much from those in the folder: root mean square over the descriptor of the "
        "atom that is furthest outside, from all atoms of its species",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for pair, length in self.shortest.items():
            require(0.0 <= length < 100.0, "shortest", f"shortest distance of {pair} out of range", length, "Å ≥ 0")

    def of(self, n_members: int, known: DataLimits) -> ExtrapolationPolicy:
        """The policy with its open limits set, for a potential (1) or a committee and what it remembers of its data."""
        limit = None if n_members < 2 else self.max_force_std
        if limit is None and self.tolerance is None and n_members > 1:
            limit = known.force_std
        tolerance = TOLERANCE if self.tolerance is None and limit is None else self.tolerance
        shortest = {pair: COLLAPSED * length for pair, length in known.shortest.items()} | self.shortest
        return replace(self, max_force_std=limit, tolerance=tolerance, shortest=shortest)

    def shortest_of(self, first: str, second: str) -> float:
        """Å that two atoms of these species may come close."""
        own = self.shortest.get("-".join(sorted((first, second))))
        return COLLAPSED_BOND * sum(COVALENT_RADII.get(s, 0.0) for s in (first, second)) if own is None else own
