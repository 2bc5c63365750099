"""The block DERIVATIVES of generate.in: Taylor copies of each structure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from ..errors import InputError
from ..tools.plain_text import fortran_number
from .document import Line, Located, Word, real, species_name
from .keyword_file import options
from .option import (
    REAL,
    TEXT,
    Kind,
    Option,
    Settings,
    list_of,
    one_of,
    option,
    own_options,
    quote,
    require,
    require_one_of,
)

MAX_ATOMS = 1_000_000
"""Longest list of `atoms=`; more can only be a slip, and would exhaust the memory."""
DISP_ALL = {"1": "random", "0": "cartesian"}
"""Strategies in aenet-python's words."""
AMPLITUDES = {"bound": "each up to delta", "stiffness": "to an equal truncation error"}
"""Amplitudes of normal modes."""
STATIONARY_FORCE = 0.05
"""Default of `skip`, eV/Å: where geometry optimisations usually stop."""
NOT_FOR_STRAIN = (
    *("species", "atoms", "delta_species", "forcemin", "rotations"),
    *("hessian", "potential", "curvature", "temperature", "order", "weights"),
)
"""Options that say nothing where the cell is strained."""
DEFAULT_STRAIN = 0.005
DEFAULT_RATIO = 0.35
"""Where the best published δ for energies without correction is (0.3 to 0.4)."""


def _disp_all(word: Word) -> str:
    if word.text not in DISP_ALL:
        word.fail("unknown disp_all", "1 (all atoms at once) or 0 (one atom)")
    return DISP_ALL[word.text]


def _delta(word: Word) -> float | None:
    return None if word.text.lower() == "auto" else real(word)


def _curvature(word: Word) -> str | dict[str, float] | None:
    if word.text.lower() in ("auto", "none"):
        return "auto" if word.text.lower() == "auto" else None
    try:
        return read_curvature(word.text)
    except InputError as error:
        word.fail(error.message, f"auto, none, or {error.expected}")


def read_curvature(text: str) -> dict[str, float]:
    """Return the force constants (eV/Å²) in a list such as ``O:33.9,H:16.9``.

    Raises
    ------
    InputError
        if it is none.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        symbol, _, number = part.strip().partition(":")
        value = fortran_number(number.strip())
        if not 1 <= len(symbol) <= 2 or value is None or symbol in found:
            raise InputError(
                "not a list of force constants", value=text, expected="each species once, e.g. O:33.9,H:16.9 (eV/Å²)"
            )
        found[symbol] = value
    return found


def _atom_numbers(word: Word) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in word.text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?\s*", part)
        if match is None:
            word.fail("not a list of atoms", "numbers and ranges such as 1-8,12")
        first, last = int(match[1]), int(match[2] or match[1])
        if not (1 <= first <= last and last - first < MAX_ATOMS - len(numbers)):
            word.fail("not a list of atoms", f"1 ≤ from ≤ to, at most {MAX_ATOMS} atoms")
        numbers.extend(range(first, last + 1))
    return tuple(numbers)


def _format_atoms(numbers: tuple[int, ...]) -> str:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in ranges)


def _format_curvature(curvature: str | dict[str, float]) -> str:
    if isinstance(curvature, str):
        return curvature
    return quote(",".join(f"{symbol}:{k!r}" for symbol, k in curvature.items()))


def _format_delta(options: TaylorOptions) -> str:
    if options.strategy == "strain":
        return ""
    return f"delta={'auto' if options.delta is None else repr(options.delta)}"


def _format_strategy(options: TaylorOptions) -> str:
    digits = {name: digit for digit, name in DISP_ALL.items()}
    name = options.strategy
    return f"disp_all={digits[name]}" if name in digits else f"strategy={name}"


@dataclass(frozen=True)
class TaylorOptions(Settings):
    """Taylor copies of each structure: the block DERIVATIVES.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    further: ClassVar[tuple[Option, ...]] = (
        Option(
            "disp_all",
            "disp_all",
            Kind("1 or 0", _disp_all),
            "strategy in the words of aenet-python; 1: random, 0: cartesian",
            shown="1",
        ),
    )
    key_order: ClassVar[str] = "method delta fraction outfile"

    method: str = option(
        "taylor", one_of(taylor="Taylor copies", analytical="the derivatives that FORCES writes"), always=True, help=""
    )
    delta: float | None = option(
        0.01,
        Kind("a number", _delta, repr),
        unit="Å",
        check="δ > 0",
        message="delta not positive",
        words=_format_delta,
        help="largest displacement of an atom, or auto: see ratio",
    )
    fraction: float = option(
        16.0,
        always=True,
        check="a > 0",
        expected="copies per structure > 0",
        help="copies per structure, the paper's a",
    )
    strategy: str = option(
        "random",
        one_of(
            random="all atoms at once (B)",
            cartesian="one atom, ±x ±y ±z (A)",
            orthogonal="B, the copies of a structure mutually orthogonal",
            antithetic="B in pairs ±δ",
            modes="one normal mode each",
            strain="the cell",
        ),
        words=_format_strategy,
        help="what is displaced",
    )
    n_max: int = option(
        100000,
        key="N_max",
        always=True,
        check="n ≥ 0",
        message="N_max negative",
        help="largest number of copies in all",
    )
    outfile: str | None = option(None, TEXT, shown="into OUTPUT", help="training-set file for the copies")
    seed: int = option(1, always=True, check="n ≥ 0", help="seed of the displacements")
    delta_species: dict[str, float] = option(
        factory=dict,
        kind=REAL,
        key="delta_*",
        unit="Å",
        check="δ > 0",
        message="delta not positive",
        shown="delta",
        help="largest displacement for one species, e.g. delta_H=0.005",
    )
    forcemin: float = option(0.0, unit="eV/Å", check="F ≥ 0", help="displace only above this force")
    forcemax: float | None = option(None, REAL, unit="eV/Å", shown="none", help="displace only below this force")
    skip: float | None = option(
        None,
        REAL,
        unit="eV/Å",
        check="F ≥ 0",
        shown=str(STATIONARY_FORCE),
        help="no copies of structures with all forces below; 0: none is skipped",
    )
    species: tuple[str, ...] | None = option(
        None, list_of(TEXT, species_name), shown="all", help="displace only these, e.g. Li,O"
    )
    atoms: tuple[int, ...] | None = option(
        None,
        Kind("numbers", _atom_numbers, lambda atoms: quote(_format_atoms(atoms))),
        shown="all",
        help="displace only these, from 1, e.g. 1-8,12",
    )
    rotations: str | None = option(
        None, one_of("remove", "keep"), shown="keep; modes: remove", help="rotations of isolated structures"
    )
    strain: float | None = option(
        None, REAL, check="0 < x < 0.5", shown=str(DEFAULT_STRAIN), help="strategy=strain: largest strain"
    )
    amplitude: str | None = option(
        None, one_of(**AMPLITUDES), shown="bound", help="of normal modes, with strategy=modes"
    )
    hessian: str | None = option(
        None, TEXT, unit="eV/Å²", help="folder of Hessians, <structure>.npy/.npz/.txt, or one file for all"
    )
    potential: tuple[str, ...] | None = option(
        None, list_of(TEXT), help="first potential, e.g. O.nn,H.nn: Hessians and mean curvatures from it"
    )
    order: int = option(
        1,
        check="1 ≤ n ≤ 2",
        message="order not 1 or 2",
        expected="1 or 2",
        help="2: second order, E - δ·F + ½ δᵀHδ, with hessian= or potential=",
    )
    curvature: str | dict[str, float] | None = option(
        None,
        Kind("auto, none or numbers", _curvature, _format_curvature),
        unit="eV/Å²",
        shown="none",
        help="add ½ Σ k |δ|² to first-order energies: auto, or k of each species, e.g. O:33.9,H:16.9",
    )
    temperature: float | None = option(
        None,
        REAL,
        unit="K",
        check="T > 0",
        expected="a number > 0",
        help="of the dynamics all structures come from: k = <F_x^2>/kT, for curvature=auto and delta=auto",
    )
    ratio: float | None = option(
        None, REAL, check="x > 0", shown=str(DEFAULT_RATIO), help="delta=auto: truncation error over signal, rms"
    )
    weights: str = option(
        "none", one_of(none="1", truncation="by the expected truncation error"), help="of copies in training"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.forcemax is None or self.forcemin < self.forcemax < math.inf,
            "forcemax",
            "forcemax not above forcemin",
            self.forcemax,
            f"eV/Å > {self.forcemin!r}",
        )
        for name, chosen in (("species", self.species), ("atoms", self.atoms)):
            require(chosen is None or len(chosen) > 0, name, f"{name} empty", expected="at least one")
        for atom in self.atoms or ():
            require(atom >= 1, "atoms", "not an atom number", atom, "an integer from 1")
        if isinstance(self.curvature, str):
            require_one_of("curvature", self.curvature, ("auto",))
        for symbol, k in self.curvature.items() if isinstance(self.curvature, dict) else ():
            require(0 < k < math.inf, "curvature", f"curvature of {symbol} not positive", k, "eV/Å² > 0")
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Refuse options that another one leaves without a meaning: nothing is ignored silently."""
        strategy = self.strategy
        knows_hessians = self.order == 2 or strategy == "modes"
        with_hessians = self.hessian is not None or self.potential is not None
        for name, given, wanted in (
            ("amplitude", self.amplitude is not None and strategy != "modes", "strategy=modes"),
            ("strain", self.strain is not None and strategy != "strain", "strategy=strain"),
            ("ratio", self.ratio is not None and self.delta is not None, "delta=auto"),
            ("order", self.order == 2 and not with_hessians, "hessian= or potential="),
            ("strategy", strategy == "modes" and not with_hessians, "hessian= or potential="),
            (
                "hessian",
                self.hessian is not None and self.order == 1 and strategy != "modes",
                "order=2 or strategy=modes",
            ),
            ("rotations", strategy == "cartesian" and self.rotations == "remove", "a strategy that moves all atoms"),
            ("curvature", self.curvature is not None and knows_hessians, "order=2, which says it better"),
            ("weights", self.weights != "none" and knows_hessians, "order=1 and another strategy than modes"),
            ("temperature", self.temperature is not None and knows_hessians, "order=1 and another strategy than modes"),
            ("delta", self.delta is None and knows_hessians, "a length in Å, with order=2 and strategy=modes"),
        ):
            require(not given, name, f"{name} cannot be used here", getattr(self, name), wanted)
        for entry in own_options(type(self)) if strategy == "strain" else ():
            value = getattr(self, entry.field)
            has_meaning = value == entry.default or entry.field not in NOT_FOR_STRAIN
            if entry.field == "delta":
                has_meaning, value = value is not None, "auto"
            require(
                has_meaning,
                entry.field,
                f"{entry.field} has no meaning with strategy=strain",
                value,
                "another strategy, in a run of its own",
            )

    @property
    def removes_rotations(self) -> bool:
        """Whether rotations of isolated structures are taken out."""
        return self.rotations == "remove" or (self.rotations is None and self.strategy == "modes")

    def delta_of(self, species: str) -> float | None:
        """Largest displacement of an atom of `species`, Å; None if it is to be chosen."""
        return self.delta_species.get(species, self.delta)


def _settle_strategy(found: dict[str, Located], line: Line) -> None:
    """Take disp_all for the strategy; refuse options whose contradiction their values alone do not show."""
    disp_all = found.pop("disp_all", None)
    if disp_all is not None:
        strategy = found.setdefault("strategy", disp_all)
        if strategy.value != disp_all.value:
            line._replace(number=strategy.line).fail(
                "strategy contradicts disp_all", strategy.value, f"{disp_all.value}, or only one of the two"
            )
    if "strategy" in found and found["strategy"].value == "strain" and "delta" in found:
        delta = found["delta"]
        line._replace(number=delta.line).fail(
            "delta has no meaning with strategy=strain", delta.value, "strain=, without unit"
        )


DERIVATIVES = options(TaylorOptions, below=True, adjust=_settle_strategy)
"""The block DERIVATIVES."""
