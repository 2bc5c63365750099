"""md.in: molecular dynamics as a check of potentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ..tools.plain_text import fortran_integer
from .document import Document, Line, Located, Word, integer, text
from .extrapolation import ExtrapolationPolicy
from .keyword_file import SPECIES_PATHS, InputFile, options
from .option import FILE, NAME, REAL, Kind, Settings, one_of, option, quote, require
from .reading import reading_option

ENSEMBLES = ("nve", "nvt")
THERMOSTATS = ("langevin", "bussi")
TRAJECTORY_ENDINGS = (".extxyz", ".xyz", ".traj")
"""Formats of ASE to which frames can be appended."""

EXPLODED = 10.0
"""A run has exploded when its temperature is this many times the wanted one."""
MOST_RELEASED = 1.0
"""eV/atom of potential energy that a start far from equilibrium may turn into heat before it counts as explosion."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Thermostat(Settings):
    """THERMOSTAT: how the temperature is held.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    kind: str = option("langevin", one_of(*THERMOSTATS), bare=True, help="kind of thermostat, without a key")
    friction: float = option(0.01, unit="1/fs", check="x > 0", help="langevin: friction")
    time: float = option(100.0, unit="fs", check="t > 0", help="bussi: time constant")


def _pairs(word: Word) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in word.text.split(","):
        symbols = part.split("-")
        if len(symbols) != 2 or not all(1 <= len(symbol) <= 2 for symbol in symbols):
            word.fail("not pairs of species", "e.g. pairs=O-O,O-H")
        pairs.append((symbols[0], symbols[1]))
    return tuple(pairs)


@dataclass(frozen=True)
class RdfOptions(Settings):
    """RDF: radial distribution functions.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    pairs: tuple[tuple[str, str], ...] = option(
        (),
        Kind("pairs", _pairs, lambda pairs: ",".join(map("-".join, pairs))),
        shown="",
        help="pairs of species, e.g. O-O,O-H",
    )
    r_max: float = option(6.0, unit="Å", check="0 < r < 1000", help="largest distance")
    bins: int = option(200, check="1 ≤ n ≤ 100000", help="number of bins")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.pairs), "pairs", "RDF without pairs", expected="e.g. pairs=O-O,O-H")
        require(len(set(self.pairs)) == len(self.pairs), "pairs", "a pair twice", expected="each pair once")


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
    if len(numbers) < 3 or any(fortran_integer(word.text) is not None for word in words[3:]):
        line.fail("REPEAT without three numbers", line.text, "e.g. REPEAT 2 2 1")
    return numbers[0], numbers[1], numbers[2]


def _check_thermostat(found: dict[str, Located], line: Line) -> None:
    kind = found["kind"].value
    for name in found.keys() - {"kind"}:
        if (name == "friction") != (kind == "langevin"):
            line.fail(f"not an option of {kind}", name, "friction= for langevin, time= for bussi")


def _format_potentials(potentials: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return "\n".join(" ".join(map(quote, (label, *files))) for label, files in potentials)


THERMOSTAT = options(Thermostat, what="a kind", example="THERMOSTAT langevin friction=0.01", adjust=_check_thermostat)
RDF = options(RdfOptions, example="RDF pairs=O-O,O-H r_max=6")
EXTRAPOLATION = options(ExtrapolationPolicy, example="EXTRAPOLATION action=stop")
POTENTIALS = Kind("potentials", write=_format_potentials, form="below", reader=_read_potentials, is_block=True)
REPEAT = Kind("three numbers", write=lambda numbers: " ".join(map(str, numbers)), form="n n n", reader=_read_repeat)


@dataclass(frozen=True)
class MdInput(InputFile):
    """What md.in says; paths are relative to the current working directory.

    Raises
    ------
    InputError
        on construction, for values out of range or keywords that exclude each other.
    """

    file_name: ClassVar[str] = "md.in"

    structure: str = option(
        kind=FILE, help="starting structures: XSF or any file of ASE; frames as in ASE: traj.xyz@::10"
    )
    units: str | None = reading_option("units")
    energy_key: str | None = reading_option("energy_key")
    forces_key: str | None = reading_option("forces_key")
    stress_key: str | None = reading_option("stress_key")
    potentials: tuple[tuple[str, tuple[str, ...]], ...] = option(
        (),
        POTENTIALS,
        shown="",
        help="label, and folder or files, of each potential; folders 01, 02, … in it are a committee",
    )
    networks: dict[str, str] | None = option(
        None,
        SPECIES_PATHS,
        help="instead of POTENTIALS, of a single one: symbol and potential file of each species, as in predict.in",
    )
    repeat: tuple[int, int, int] = option((1, 1, 1), REPEAT, help="copies of the cell along its vectors")
    ensemble: str = option("nve", one_of(*ENSEMBLES), help="constant energy or temperature")
    timestep: float = option(1.0, REAL._replace(what="fs"), unit="fs", check="0 < t < 1000", help="time step")
    steps: int = option(1000, check="n ≥ 1", help="steps that count")
    equilibration: int = option(0, check="n ≥ 0", help="steps with the thermostat before")
    temperature: float = option(
        300.0, REAL._replace(what="K"), unit="K", check="0 < T < 1000000", help="of starting velocities and thermostat"
    )
    velocities: str = option(
        "random", one_of(random="drawn for TEMPERATURE", file="those of the structures"), help="starting velocities"
    )
    thermostat: Thermostat = option(factory=Thermostat, kind=THERMOSTAT, help="holds the temperature")
    seed: int = option(1, check="n ≥ 0", help="of the first start; start k has SEED + k − 1")
    starts: int = option(1, check="n ≥ 1", help="runs of each potential")
    sample: int = option(10, check="n ≥ 1", help="steps between two rows, frames and radial distribution functions")
    trajectory: str | None = option(
        None, FILE, shown="none", help="frames go there; its name ends in " + ", ".join(TRAJECTORY_ENDINGS)
    )
    output: str = option("md", NAME, help="start of the names of the tables")
    rdf: RdfOptions | None = option(None, RDF, shown="none", help="radial distribution functions")
    extrapolation: ExtrapolationPolicy = option(
        factory=ExtrapolationPolicy, kind=EXTRAPOLATION, help="what happens with structures unlike the training data"
    )
    skin: float = option(0.5, REAL._replace(what="Å"), unit="Å", check="0 ≤ r < ∞", help="of the neighbour list")
    threads: int = option(0, check="n ≥ 0", help="threads, 0: all cores")

    def __post_init__(self) -> None:
        super().__post_init__()
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
        require(self.sample <= self.steps, "sample", "SAMPLE larger than STEPS", self.sample, f"≤ {self.steps}")
        if self.trajectory is not None:
            require(
                self.trajectory.lower().endswith(TRAJECTORY_ENDINGS),
                "trajectory",
                "unknown kind of trajectory",
                self.trajectory,
                "a name ending in " + " ".join(TRAJECTORY_ENDINGS),
            )
