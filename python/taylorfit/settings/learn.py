"""learn.in: from a few frames to a potential that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .document import Document, Line, Located
from .forces import FORCES, Exact, ForceMode
from .keyword_file import PATHS, InputFile, build, format_options, options, read_options
from .label import REFERENCE, Labelling, Reference
from .option import EPOCHS, FILE, FOLDER, REAL, Kind, Settings, one_of, option, options_of, own_options, quote, require
from .repulsion import RepulsionPlan
from .train import read_layer

ENSEMBLES = {
    "nve": "constant energy",
    "nvt": "Langevin's thermostat",
    "npt": "that, and stochastic rescaling of the cell, the same along all vectors",
}
EXPLORERS = {"taylorfit": "all runs in one evaluation", "lammps": "one after the other, with pair_style taylorfit"}


@dataclass(frozen=True)
class Exploration(Settings):
    """Runs of molecular dynamics in which frames worth a label are looked for.

    Raises
    ------
    InputError
        on construction, for a value out of range, or a pressure without npt.
    """

    label: str
    """What reports call it."""
    ensemble: str = option("nvt", one_of(**ENSEMBLES), bare=True, help="ensemble")
    temperature: float = option(300.0, unit="K", check="0 < T < 1000000", help="of starting velocities and thermostat")
    pressure: float = option(0.0, unit="GPa", check="-10000 < p < 10000", help="npt: pressure")
    starts: int = option(8, check="n ≥ 1", help="runs")
    steps: int = option(2000, check="n ≥ 1", help="steps of a run that holds")
    timestep: float = option(1.0, unit="fs", check="0 < t < 1000", help="time step")
    sample: int = option(20, check="n ≥ 1", help="steps between two frames that are looked at")
    friction: float = option(0.01, unit="1/fs", check="0 < x < ∞", help="of the thermostat")
    barostat: float = option(1000.0, unit="fs", check="0 < t < ∞", help="npt: time constant of the volume")
    compressibility: float = option(
        0.01, unit="1/GPa", check="0 < x < ∞", help="npt: rough, goes with the time constant"
    )
    wall: float = option(
        0.0, unit="Å", check="0 ≤ r < ∞", help="radius of a soft spherical wall around clusters, 0: none"
    )
    strain: float = option(0.0, check="0 ≤ x < 1", help="cells of the starts are strained at random by up to so much")
    structures: str | None = option(
        None, FILE, shown="those of START", help="file of frames to start from, e.g. other cells or compositions"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.ensemble == "npt" or self.pressure == 0.0,
            "pressure",
            f"a pressure does not go with {self.ensemble}",
            self.pressure,
            "npt",
        )

    @property
    def length(self) -> float:
        """Of a run that holds, ps."""
        return 1e-3 * self.steps * self.timestep


def _read_explorations(document: Document, line: Line) -> tuple[Exploration, ...]:
    found: list[Exploration] = []
    for row in document.take_block(until_blank=True):
        words = list(row.options())
        if len(words) < 2 or words[0][0] or words[1][0]:
            row.fail("not an exploration", row.text, "a label, an ensemble, and options")
        (_, label), (_, ensemble), *pairs = words
        table = options_of(Exploration)
        located = {
            "label": Located(label.text, row.number),
            "ensemble": Located(table["ensemble"].kind.convert(ensemble), row.number),
        }
        located |= read_options(pairs, {key: entry for key, entry in table.items() if not entry.bare})
        found.append(build(Exploration, located, document.file, row.number))
    if not found:
        line.fail("EXPLORATIONS without explorations", expected="below: rows of label, ensemble and options")
    return tuple(found)


EXPLORATIONS = Kind(
    "explorations",
    write=lambda rows: "\n".join(f"{quote(row.label)} {format_options(row)}" for row in rows),
    form="below",
    reader=_read_explorations,
    is_block=True,
    tables=lambda key: {f"options of {key}, behind a label and an ensemble": options_of(Exploration)},
)


@dataclass(frozen=True)
class LabelBudget(Settings):
    """How many labels are made.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    round: int = option(10, check="n ≥ 1", help="labels in a round, at most")
    most: int = option(100, check="n ≥ 1", help="labels in all, those of START not counted")
    check: int = option(
        4,
        check="n ≥ 0",
        help="of those of a round, so many are drawn at random from the runs: they measure the error on the potential's"
        " own dynamics before they are trained on; in the last round they come on top",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.check < self.round, "check", "no labels are left to learn from", self.check, f"below {self.round}")


@dataclass(frozen=True)
class Thresholds(Settings):
    """Between which deviations of the committee frames are worth a label.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    low: float | None = option(
        None, REAL, unit="eV/Å", check="0 ≤ x < ∞", shown="automatic", help="below on every atom a frame is known"
    )
    high: float | None = option(
        None, REAL, unit="eV/Å", check="0 < x < ∞", shown="automatic", help="above on an atom a run has left its data"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            None in (self.low, self.high) or (self.low or 0.0) < (self.high or 0.0),
            "high",
            "no deviation is allowed",
            self.high,
            f"above {self.low}",
        )


def _read_layers(document: Document, line: Line) -> tuple[tuple[int, str], ...]:
    layers = tuple(read_layer(word) for word in line.behind_keyword())
    if not layers:
        line.fail("LAYERS without layers", expected="e.g. LAYERS 15:tanh 15:tanh")
    return layers


LAYERS = Kind(
    "hidden layers",
    write=lambda layers: " ".join(f"{n}:{name}" for n, name in layers),
    form="n:activation …",
    reader=_read_layers,
)
_REPEL = options(RepulsionPlan, example="REPEL copies=3, or REPEL off")


def _read_repel(document: Document, line: Line) -> RepulsionPlan | None:
    words = list(line.options())[1:]
    if [(key, word.text) for key, word in words] == [("", "off")]:
        return None
    assert _REPEL.reader is not None
    plan: RepulsionPlan = _REPEL.reader(document, line)
    return plan


REPEL = _REPEL._replace(
    form="off, or options", reader=_read_repel, write=lambda plan: "off" if plan is None else format_options(plan)
)


@dataclass(frozen=True)
class LearnInput(InputFile):
    """What learn.in says; paths are relative to the current working directory.

    Raises
    ------
    InputError
        on construction, for values out of range.
    """

    file_name: ClassVar[str] = "learn.in"

    start: tuple[str, ...] = option(
        kind=PATHS, normalise=tuple, help="files or patterns of the first frames; those without labels are labelled"
    )
    reference: Reference = option(kind=REFERENCE, help="what computes energies and forces; see label")
    explorations: tuple[Exploration, ...] = option(
        kind=EXPLORATIONS, normalise=tuple, help="where frames are looked for: rows of label, ensemble and options"
    )
    labelling: Labelling = option(
        factory=Labelling, kind=options(Labelling, example="LABELLING processes=2"), help="how frames are labelled"
    )
    labels: LabelBudget = option(
        factory=LabelBudget, kind=options(LabelBudget, example="LABELS round=10 most=100"), help="how many"
    )
    thresholds: Thresholds = option(
        factory=Thresholds, kind=options(Thresholds, example="THRESHOLDS low=0.1 high=0.5"), help="which frames"
    )
    error: float = option(
        0.1,
        REAL._replace(what="eV/Å"),
        unit="eV/Å",
        check="0 < x < ∞",
        help="mean |F − F_ref| on the potential's own dynamics that is small enough; with all runs holding, the end",
    )
    rounds: int = option(20, check="n ≥ 1", help="rounds, at most")
    explorer: str = option("taylorfit", one_of(**EXPLORERS), help="what runs the dynamics")
    committee: int = option(4, check="n ≥ 2", help="members")
    warmstart: bool = option(True, help="members go on from those of the round before; .false.: from random weights")
    forces: ForceMode = option(
        factory=lambda: Exact(1e-2), kind=FORCES, shown="mode=exact beta=0.01", help="how forces are trained on"
    )
    epochs: int = option(1000, EPOCHS, check="n ≥ 1", help="epochs of each training")
    layers: tuple[tuple[int, str], ...] | None = option(
        None, LAYERS, shown="proposed for the start, as by setup", help="hidden layers of the networks"
    )
    setups: tuple[str, ...] = option((), PATHS, normalise=tuple, shown="proposed", help="setup file of each species")
    repel: RepulsionPlan | None = option(
        factory=RepulsionPlan, kind=REPEL, shown="on", help="copies with atoms pushed together"
    )
    seed: int = option(1, check="n ≥ 0", help="of all that is drawn")
    threads: int = option(0, check="n ≥ 0", help="threads, 0: all cores")
    folder: str = option("learn", FOLDER, help="everything goes there, a folder for each round")

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = [exploration.label for exploration in self.explorations]
        require(bool(labels), "explorations", "no explorations", expected="at least one")
        require(len(set(labels)) == len(labels), "explorations", "a label twice", " ".join(labels), "different labels")


def identity(settings: LearnInput) -> str:
    """What a run that goes on must have in common with the one that was broken off, as text."""
    free = ("rounds", "labels", "threads", "folder", "labelling", "error")
    lines = [
        f"{entry.key} {getattr(settings, entry.field)!r}"
        for entry in own_options(LearnInput)
        if entry.field not in free
    ]
    return "\n".join([*lines, f"LABELS {settings.labels.round} {settings.labels.check}"])
