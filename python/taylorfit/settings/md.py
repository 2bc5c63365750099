"""md.in: molecular dynamics as a check of potentials."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from os import PathLike

from ..potential.extrapolation import ACTIONS, ExtrapolationPolicy
from . import blocks as block
from .keyword_file import Document, Keyword, Option, build, describe, read_keyword_file, require, require_one_of
from .words import Line, Word, choice, integer, is_integer, real, text

ENSEMBLES = ("nve", "nvt")
THERMOSTATS = ("langevin", "bussi")
TRAJECTORY_ENDINGS = (".extxyz", ".xyz", ".traj")
"""Formats of ASE to which frames can be appended."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Thermostat:
    """THERMOSTAT: how the temperature is held.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    kind: str = "langevin"
    friction: float = 0.01
    """Langevin, 1/fs."""
    time: float = 100.0
    """Bussi: time constant, fs."""

    def __post_init__(self) -> None:
        require_one_of("kind", self.kind, THERMOSTATS)
        require(0 < self.friction < math.inf, "friction", "friction not positive", self.friction, "1/fs > 0")
        require(0 < self.time < math.inf, "time", "time not positive", self.time, "fs > 0")


@dataclass(frozen=True)
class RdfOptions:
    """RDF: radial distribution functions.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    r_max: float = 6.0
    """Å"""
    bins: int = 200

    def __post_init__(self) -> None:
        require(bool(self.pairs), "pairs", "RDF without pairs", expected="e.g. pairs=O-O,O-H")
        require(0 < self.r_max < 1e3, "r_max", "r_max out of range", self.r_max, "Å > 0")
        require(1 <= self.bins <= 100_000, "bins", "bins out of range", self.bins, "1 to 100000")
        require(len(set(self.pairs)) == len(self.pairs), "pairs", "a pair twice", expected="each pair once")


@dataclass(frozen=True)
class MdInput:
    """What md.in says; paths are relative to the current working directory.

    Raises
    ------
    InputError
        on construction, for values out of range or keywords that exclude each other.
    """

    structure: str
    """File with the starting structures; a selection of frames as in ASE is allowed."""
    potentials: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Label, and folder or files, of each potential."""
    networks: dict[str, str] | None = None
    """Instead of `potentials`: the file of each species of a single one, which becomes the potential `potential`."""
    repeat: tuple[int, int, int] = (1, 1, 1)
    ensemble: str = "nve"
    timestep: float = 1.0
    """fs"""
    steps: int = 1000
    equilibration: int = 0
    """Steps with the thermostat before those that count."""
    temperature: float = 300.0
    """K, of the starting velocities and the thermostat."""
    thermostat: Thermostat = Thermostat()
    seed: int = 1
    starts: int = 1
    """Runs of each potential, with seeds from `seed` on; they take the starting structures in turn."""
    sample: int = 10
    """Steps between two rows, frames and radial distribution functions."""
    trajectory: str | None = None
    output: str = "md"
    """Start of the names of the files written."""
    rdf: RdfOptions | None = None
    extrapolation: ExtrapolationPolicy = field(default_factory=ExtrapolationPolicy)
    skin: float = 0.5
    """Å"""
    threads: int = 0

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        require(
            (self.networks is None) != (not self.potentials),
            "potentials" if self.potentials else "networks",
            "exactly one of NETWORKS and POTENTIALS is needed",
            expected="one of the two",
        )
        if self.networks is not None:
            set_(self, "potentials", (("potential", tuple(self.networks.values())),))
            set_(self, "networks", None)
        labels = [label for label, _ in self.potentials]
        for label in labels:
            require(
                _LABEL.fullmatch(label) is not None,
                "potentials",
                "not a label",
                label,
                "letters, digits, and - _ + . (it becomes part of file names)",
            )
        require(len(set(labels)) == len(labels), "potentials", "a label twice", " ".join(labels), "different labels")
        require(
            min(self.repeat) >= 1, "repeat", "REPEAT not positive", " ".join(map(str, self.repeat)), "three numbers ≥ 1"
        )
        require_one_of("ensemble", self.ensemble, ENSEMBLES)
        require(0 < self.timestep < 1e3, "timestep", "TIMESTEP out of range", self.timestep, "fs > 0")
        require(0 < self.temperature < 1e6, "temperature", "TEMPERATURE out of range", self.temperature, "K > 0")
        for name, least in (
            ("steps", 1),
            ("equilibration", 0),
            ("seed", 0),
            ("starts", 1),
            ("sample", 1),
            ("threads", 0),
        ):
            require(getattr(self, name) >= least, name, f"{name.upper()} too small", getattr(self, name), f"≥ {least}")
        require(self.sample <= self.steps, "sample", "SAMPLE larger than STEPS", self.sample, f"≤ {self.steps}")
        require(0 <= self.skin < math.inf, "skin", "SKIN out of range", self.skin, "Å ≥ 0")
        if self.trajectory is not None:
            require(
                self.trajectory.lower().endswith(TRAJECTORY_ENDINGS),
                "trajectory",
                "unknown kind of trajectory",
                self.trajectory,
                "a name ending in " + " ".join(TRAJECTORY_ENDINGS),
            )


def read_md_input(path: str | PathLike[str]) -> MdInput:
    """Read md.in.

    Raises
    ------
    InputError, FormatError
        with file, line, value and what was expected.
    """
    return read_keyword_file(path, _TABLE, MdInput)


def _read_potentials(document: Document, line: Line) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows = []
    for row in document.take_block(until_blank=True):
        label, *files = row.words()
        if not files:
            row.fail("no files for this potential", row.text, "label, then a folder or files")
        rows.append((label.text, tuple(text(word) for word in files)))
    if not rows:
        line.fail("POTENTIALS without potentials", expected="below: rows of label and folder or files")
    return tuple(rows)


def _read_repeat(document: Document, line: Line) -> tuple[int, int, int]:
    words = list(line.words())[1:]
    numbers = [integer(word) for word in words[:3]]
    if len(numbers) < 3 or any(is_integer(word.text) for word in words[3:]):
        line.fail("REPEAT without three numbers", line.text, "e.g. REPEAT 2 2 1")
    return numbers[0], numbers[1], numbers[2]


def _read_thermostat(document: Document, line: Line) -> Thermostat:
    (_, _), *pairs = line.options()
    if not pairs or pairs[0][0]:
        line.fail("THERMOSTAT without a kind", line.text, "e.g. THERMOSTAT langevin friction=0.01")
    kind = choice(*THERMOSTATS)(pairs[0][1])
    found = block.read_options(pairs[1:], THERMOSTAT_OPTIONS)
    for option in found:
        if (option == "friction") != (kind == "langevin"):
            line.fail(f"not an option of {kind}", option, "friction= for langevin, time= for bussi")
    return build(lambda **options: Thermostat(kind, **options), found, document.file, line.number)  # type: ignore[arg-type]


def _read_on_line(cls: type, options: dict[str, Option], example: str) -> block.Reader:
    """Return a reader for options on the line of the keyword."""

    def read(document: Document, line: Line) -> object:
        pairs = list(line.options())[1:]
        if not pairs:
            line.fail(f"{line.text.split()[0]} without options", expected=f"e.g. {example}")
        return build(cls, block.read_options(pairs, options), document.file, line.number)

    return read


def _pairs(word: Word) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in word.text.split(","):
        symbols = part.split("-")
        if len(symbols) != 2 or not all(1 <= len(symbol) <= 2 for symbol in symbols):
            word.fail("not pairs of species", "e.g. pairs=O-O,O-H")
        pairs.append((symbols[0], symbols[1]))
    return tuple(pairs)


THERMOSTAT_OPTIONS = {
    "friction": Option("friction", real, "langevin: friction, 1/fs (0.01)"),
    "time": Option("time", real, "bussi: time constant, fs (100)"),
}
RDF_OPTIONS = {
    "pairs": Option("pairs", _pairs, "pairs of species, e.g. O-O,O-H"),
    "r_max": Option("r_max", real, "largest distance, Å (6)"),
    "bins": Option("bins", integer, "number of bins (200)"),
}
EXTRAPOLATION_OPTIONS = {
    "action": Option(
        "action",
        choice(*ACTIONS),
        "warn: report the first step; ignore; stop: end the run there; dump: write such structures as XSF (warn)",
    ),
    "tolerance": Option("tolerance", real, "σ that a descriptor may be outside the training data (0.5)"),
    "max_force_std": Option("max_force_std", real, "eV/Å that the members of a committee may differ by (none)"),
    "folder": Option("folder", text, "of dumped structures (extrapolations)"),
    "most": Option("most_dumps", integer, "largest number of files there (100)"),
    "interval": Option("dump_interval", integer, "steps between two dumps (10)"),
}

_TABLE = {
    "STRUCTURE": Keyword("structure", block.path("a file"), "XSF or any file of ASE; frames as in ASE: traj.xyz@::10"),
    "NETWORKS": Keyword(
        "networks", block.species_paths, "below, per species: symbol, potential file (as in predict.in)"
    ),
    "POTENTIALS": Keyword(
        "potentials",
        _read_potentials,
        "or, below, several: label, folder or files; a folder of folders 01, 02, … is a committee",
    ),
    "REPEAT": Keyword("repeat", _read_repeat, "copies of the cell along its vectors (1 1 1)"),
    "ENSEMBLE": Keyword("ensemble", block.value(choice(*ENSEMBLES), "nve or nvt"), "nve or nvt (nve)"),
    "TIMESTEP": Keyword("timestep", block.value(real, "fs"), "fs (1.0)"),
    "STEPS": Keyword("steps", block.value(integer, "a number"), "steps that count (1000)"),
    "EQUILIBRATION": Keyword("equilibration", block.value(integer, "a number"), "steps with the thermostat before (0)"),
    "TEMPERATURE": Keyword("temperature", block.value(real, "K"), "K, of starting velocities and thermostat (300)"),
    "THERMOSTAT": Keyword("thermostat", _read_thermostat, "langevin or bussi, then options (langevin)"),
    "SEED": Keyword("seed", block.value(integer, "a number"), "of the first start; start k has SEED + k − 1 (1)"),
    "STARTS": Keyword("starts", block.value(integer, "a number"), "runs of each potential (1)"),
    "SAMPLE": Keyword(
        "sample", block.value(integer, "a number"), "steps between rows, frames, distribution functions (10)"
    ),
    "TRAJECTORY": Keyword("trajectory", block.path("a file"), "frames to .extxyz, .xyz or .traj (none)"),
    "OUTPUT": Keyword("output", block.path("a name"), "start of the names of the tables (md)"),
    "RDF": Keyword(
        "rdf",
        _read_on_line(RdfOptions, RDF_OPTIONS, "RDF pairs=O-O,O-H r_max=6"),
        "options of radial distribution functions (none)",
    ),
    "EXTRAPOLATION": Keyword(
        "extrapolation",
        _read_on_line(ExtrapolationPolicy, EXTRAPOLATION_OPTIONS, "EXTRAPOLATION action=stop"),
        "options: what happens with structures unlike the training data",
    ),
    "SKIN": Keyword("skin", block.value(real, "Å"), "of the neighbour list, Å (0.5)"),
    "THREADS": Keyword("threads", block.value(integer, "a number"), "0: all cores (0)"),
}

KEYWORDS = {name: keyword.help for name, keyword in _TABLE.items()}
"""Each keyword of md.in with one line of help."""


def describe_keywords() -> str:
    """Return help for the keywords and their options."""
    return (
        f"{describe(_TABLE)}\n\noptions of THERMOSTAT:\n{describe(THERMOSTAT_OPTIONS)}"
        f"\n\noptions of RDF:\n{describe(RDF_OPTIONS)}\n\noptions of EXTRAPOLATION:\n{describe(EXTRAPOLATION_OPTIONS)}"
    )
