"""The block DERIVATIVES of generate.in: Taylor copies of each structure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from ..errors import FormatError, InputError
from ..tools.plain_text import fortran_number
from . import blocks as block
from .keyword_file import Document, Located, Option, build, require, require_one_of
from .words import Line, Word, choice, integer, real, species_name, text

MAX_ATOMS = 1_000_000
"""Longest list of `atoms=`; more can only be a slip, and would exhaust the memory."""
DISP_ALL = {"1": "random", "0": "cartesian"}
"""Strategies in aenet-python's words."""
STRATEGIES = ("random", "cartesian", "orthogonal", "antithetic", "modes", "strain")
ROTATIONS = ("remove", "keep")
AMPLITUDES = ("bound", "stiffness")
WEIGHTS = ("none", "truncation")
DEFAULT_STRAIN = 0.005
DEFAULT_RATIO = 0.35
"""Where the best published δ for energies without correction is (0.3 to 0.4)."""


@dataclass(frozen=True)
class TaylorOptions:
    """Taylor copies of each structure: the block DERIVATIVES.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    method: str = "taylor"
    """`taylor`, or `analytical`: the derivatives that FORCES writes."""
    delta: float | None = 0.01
    """Largest displacement of an atom, Å; None: chosen from the data (`ratio`)."""
    fraction: float = 16.0
    """Copies per structure: the multiple a of the paper."""
    strategy: str = "random"
    """`random` (B: all atoms at once), `cartesian` (A: one atom, ±x ±y ±z), `orthogonal` (B, the copies of a
    structure mutually orthogonal), `antithetic` (B in pairs ±δ), `modes` (one normal mode each), `strain`."""
    n_max: int = 100000
    """Largest number of copies in all."""
    outfile: str | None = None
    """Training-set file for the copies; None: into OUTPUT."""
    seed: int = 1
    delta_species: dict[str, float] = field(default_factory=dict)
    """Largest displacement for single species, Å, instead of `delta`."""
    forcemin: float = 0.0
    """Smallest force that is worth a displacement, eV/Å."""
    forcemax: float | None = None
    """Largest force that is, eV/Å; None: no limit."""
    skip: float | None = None
    """Structures whose largest force is below this get no copies, eV/Å; None: the default of
    `taylorfit.taylor.selection`; 0: none is skipped."""
    species: tuple[str, ...] | None = None
    """Species to displace; None: all."""
    atoms: tuple[int, ...] | None = None
    """Numbers of the atoms to displace, from 1; None: all."""
    rotations: str | None = None
    """`remove` or `keep` rotations of isolated structures; None: `remove` for `modes`, else `keep`."""
    strain: float | None = None
    """Largest strain with strategy `strain`; None: `DEFAULT_STRAIN`."""
    amplitude: str | None = None
    """With `modes`: up to the `bound` δ_max, or by `stiffness` to an equal truncation error; None: `bound`."""
    hessian: str | None = None
    """Folder with the Hessian of each structure, or file with one for all (see `formats.hessian_file`)."""
    potential: tuple[str, ...] | None = None
    """Files of a first potential, for Hessians and mean curvatures by finite differences."""
    order: int = 1
    """1, or 2 with Hessians: E - δ·F + ½ δᵀHδ."""
    curvature: str | dict[str, float] | None = None
    """Correction ½ Σ k_s |δ_i|² of first-order energies: `auto`, or k_s of each species in eV/Å²; None: none."""
    temperature: float | None = None
    """At which all structures were sampled, K: for `curvature=auto` and `delta=auto`."""
    ratio: float | None = None
    """Truncation error over signal that `delta=auto` aims at; None: `DEFAULT_RATIO`."""
    weights: str = "none"
    """`truncation`: copies are weighted in training by their expected truncation error."""

    def __post_init__(self) -> None:
        require_one_of("method", self.method, ("taylor", "analytical"))
        require_one_of("strategy", self.strategy, STRATEGIES)
        for length in (self.delta, *self.delta_species.values()):
            name = "delta" if length == self.delta else "delta_species"
            require(length is None or 0 < length < math.inf, name, "delta not positive", length, "Å > 0")
        require(
            0 < self.fraction < math.inf, "fraction", "fraction not positive", self.fraction, "copies per structure > 0"
        )
        require(self.n_max >= 0, "n_max", "N_max negative", self.n_max, "≥ 0")
        require(self.seed >= 0, "seed", "seed negative", self.seed, "≥ 0")
        require(self.forcemin >= 0, "forcemin", "forcemin negative", self.forcemin, "eV/Å ≥ 0")
        require(
            self.forcemax is None or self.forcemin < self.forcemax < math.inf,
            "forcemax",
            "forcemax not above forcemin",
            self.forcemax,
            f"eV/Å > {self.forcemin!r}",
        )
        require(self.skip is None or 0 <= self.skip < math.inf, "skip", "skip negative", self.skip, "eV/Å ≥ 0")
        for name, chosen in (("species", self.species), ("atoms", self.atoms)):
            require(chosen is None or len(chosen) > 0, name, f"{name} empty", expected="at least one")
        for atom in self.atoms or ():
            require(atom >= 1, "atoms", "not an atom number", atom, "an integer from 1")
        for name, allowed in (("rotations", ROTATIONS), ("amplitude", AMPLITUDES)):
            if getattr(self, name) is not None:
                require_one_of(name, getattr(self, name), allowed)
        require_one_of("weights", self.weights, WEIGHTS)
        require(
            self.strain is None or 0 < self.strain < 0.5,
            "strain",
            "strain out of range",
            self.strain,
            "a small number such as 0.005",
        )
        require(self.order in (1, 2), "order", "order not 1 or 2", self.order, "1 or 2")
        for name, value in (("temperature", self.temperature), ("ratio", self.ratio)):
            require(value is None or 0 < value < math.inf, name, f"{name} not positive", value, "a number > 0")
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
        if strategy != "strain":
            return
        for name in (
            "species",
            "atoms",
            "delta_species",
            "forcemin",
            "rotations",
            "hessian",
            "potential",
            "curvature",
            "temperature",
        ):
            require(
                not getattr(self, name),
                name,
                f"{name} has no meaning with strategy=strain",
                getattr(self, name),
                "another strategy, in a run of its own",
            )
        for name, none in (("order", 1), ("weights", "none"), ("delta", self.delta or 0.0)):
            require(
                getattr(self, name) == none,
                name,
                f"{name} has no meaning with strategy=strain",
                getattr(self, name) or "auto",
                "another strategy, in a run of its own",
            )

    @property
    def removes_rotations(self) -> bool:
        """Whether rotations of isolated structures are taken out."""
        return self.rotations == "remove" or (self.rotations is None and self.strategy == "modes")

    def delta_of(self, species: str) -> float | None:
        """Largest displacement of an atom of `species`, Å; None if it is to be chosen."""
        return self.delta_species.get(species, self.delta)


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


def _file_names(word: Word) -> tuple[str, ...]:
    return tuple(text(Word(part.strip(), word.line)) for part in word.text.split(","))


def _species_list(word: Word) -> tuple[str, ...]:
    return tuple(species_name(Word(part.strip(), word.line)) for part in word.text.split(","))


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


def read_derivatives(document: Document, line: Line) -> TaylorOptions:
    """Read the options below DERIVATIVES."""
    pairs = block.option_words(document, line)
    found = block.read_options(pairs, OPTIONS)
    from_disp_all = found.pop("disp_all", None)
    if from_disp_all is not None:
        chosen: Located = found.setdefault("strategy", from_disp_all)
        if chosen.value != from_disp_all.value:
            raise FormatError(
                "strategy contradicts disp_all",
                file=document.file,
                line=chosen.line,
                value=chosen.value,
                expected=f"{from_disp_all.value}, or only one of the two",
            )
    strategy = found.get("strategy")
    if strategy is not None and strategy.value == "strain" and "delta" in found:
        raise FormatError(
            "delta has no meaning with strategy=strain",
            file=document.file,
            line=found["delta"].line,
            value=found["delta"].value,
            expected="strain=, without unit",
        )
    return build(TaylorOptions, found, document.file, line.number)


def format_derivatives(options: TaylorOptions) -> str:
    """Return the line below DERIVATIVES that `read_derivatives` reads."""
    words = [f"method={options.method}"]
    if options.strategy != "strain":
        words.append(f"delta={'auto' if options.delta is None else repr(options.delta)}")
    words.append(f"fraction={options.fraction!r}")
    if options.outfile is not None:
        words.append(f"outfile={block.quote(options.outfile)}")
    disp_all = {name: digit for digit, name in DISP_ALL.items()}
    in_old_words = options.strategy in disp_all
    words.append(f"disp_all={disp_all[options.strategy]}" if in_old_words else f"strategy={options.strategy}")
    words += [f"N_max={options.n_max}", f"seed={options.seed}"]
    words += [f"delta_{symbol}={length!r}" for symbol, length in options.delta_species.items()]
    if options.forcemin > 0:
        words.append(f"forcemin={options.forcemin!r}")
    for name in ("forcemax", "skip", "strain", "temperature", "ratio"):
        value = getattr(options, name)
        if value is not None:
            words.append(f"{name}={value!r}")
    for name in ("rotations", "amplitude", "hessian"):
        value = getattr(options, name)
        if value is not None:
            words.append(f"{name}={block.quote(value)}")
    for name in ("species", "potential"):
        value = getattr(options, name)
        if value is not None:
            words.append(f"{name}=" + block.quote(",".join(value)))
    if options.atoms is not None:
        words.append("atoms=" + block.quote(_format_atoms(options.atoms)))
    if options.order != 1:
        words.append(f"order={options.order}")
    if options.curvature is not None:
        pairs = (
            options.curvature
            if isinstance(options.curvature, str)
            else ",".join(f"{symbol}:{k!r}" for symbol, k in options.curvature.items())
        )
        words.append(f"curvature={block.quote(pairs)}")
    if options.weights != "none":
        words.append(f"weights={options.weights}")
    return " ".join(words)


OPTIONS = {
    "method": Option("method", choice("taylor", "analytical"), "taylor, or analytical (taylor)"),
    "delta": Option("delta", _delta, "largest displacement of an atom, Å, or auto: see ratio (0.01)"),
    "fraction": Option("fraction", real, "copies per structure, the paper's a (16.0)"),
    "disp_all": Option("disp_all", _disp_all, "1: strategy B, random; 0: strategy A, cartesian (1)"),
    "N_max": Option("n_max", integer, "largest number of copies in all (100000)"),
    "outfile": Option("outfile", text, "training-set file for the copies (into OUTPUT)"),
    "seed": Option("seed", integer, "seed of the displacements (1)"),
    "strategy": Option("strategy", choice(*STRATEGIES), " ".join(STRATEGIES) + ", instead of disp_all"),
    "delta_*": Option("delta_species", real, "delta for one species, e.g. delta_H=0.005, Å"),
    "forcemin": Option("forcemin", real, "displace only above this force, eV/Å (0)"),
    "forcemax": Option("forcemax", real, "displace only below this force, eV/Å (none)"),
    "skip": Option("skip", real, "no copies of structures with all forces below, eV/Å; 0 none (0.05)"),
    "species": Option("species", _species_list, "displace only these, e.g. Li,O (all)"),
    "atoms": Option("atoms", _atom_numbers, "displace only these, from 1, e.g. 1-8,12 (all)"),
    "rotations": Option(
        "rotations", choice(*ROTATIONS), "of isolated structures, remove or keep (keep; modes: remove)"
    ),
    "strain": Option("strain", real, f"strategy=strain: largest strain ({DEFAULT_STRAIN})"),
    "amplitude": Option(
        "amplitude",
        choice(*AMPLITUDES),
        "strategy=modes: each up to delta (bound) or to an equal truncation error (stiffness) (bound)",
    ),
    "hessian": Option("hessian", text, "folder of Hessians, eV/Å², <structure>.npy/.npz/.txt, or one file for all"),
    "potential": Option("potential", _file_names, "first potential, e.g. O.nn,H.nn: Hessians and curvature from it"),
    "order": Option("order", integer, "2: second order with hessian= or potential= (1)"),
    "curvature": Option(
        "curvature", _curvature, "add ½ Σ k |δ|² to the energies: auto, or e.g. O:33.9,H:16.9, eV/Å² (none)"
    ),
    "temperature": Option("temperature", real, "of the dynamics all structures come from, K: k = <F_x^2>/kT"),
    "ratio": Option("ratio", real, f"delta=auto: truncation error over signal, rms ({DEFAULT_RATIO})"),
    "weights": Option(
        "weights", choice(*WEIGHTS), "truncation: copies weighted by their expected truncation error (none)"
    ),
}
"""Options of DERIVATIVES."""
