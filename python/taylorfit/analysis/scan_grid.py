"""The points of a scan: all combinations of what is varied, without those that would only repeat another."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.scan_table import Row, number
from ..formats.structures.files import expand_patterns, read_structures, split_selection
from ..settings.displacements import TaylorOptions
from ..settings.document import Document, FileEntry, Line, Located
from ..settings.forces import FORCES, WITH_BETA, WITH_COPIES, WITH_GEOMETRY, WITH_VIRIAL, ForceMode
from ..settings.generate import GenerateInput
from ..settings.keyword_file import build, format_options
from ..settings.option import quote
from ..settings.reading import AS_THEY_ARE, ReadingOptions
from ..settings.scan import DERIVATIVES_AXES, FORCES_AXES, OWN_AXES, Axis, ScanInput
from ..settings.train import Committee, NetworkSpec, TrainInput
from ..tools.randomness import Stream

MODES_OF = {
    "beta": WITH_BETA,
    "energyweight": WITH_BETA,
    "directions": ("directional",),
    "percent": WITH_GEOMETRY,
    "virial": WITH_VIRIAL,
    "derivatives": ("exact",),
    **dict.fromkeys(DERIVATIVES_AXES, WITH_COPIES),
}
"""Option of DERIVATIVES or FORCES → modes it matters to; the others: to all but energy training."""


@dataclass(frozen=True)
class SetPlan:
    """A generate step: all that its result depends on, apart from the files themselves."""

    derivatives: TaylorOptions | None
    """None: no copies."""
    size: int | None
    """Number of structures; None: all."""


@dataclass(frozen=True)
class Point:
    """A training of the scan."""

    plan: SetPlan
    settings: TrainInput
    """train.in with the mode, network and seed of this point."""
    extras: tuple[tuple[str, str], ...]
    """(axis, value as written) of varied options that have no column of their own."""

    @property
    def mode(self) -> str:
        """Mode of FORCES."""
        return self.settings.forces.mode or "energy"

    @property
    def beta(self) -> float | None:
        """Force weight, Å²; None where the mode has none."""
        return self.settings.forces.beta if self.mode in WITH_BETA else None

    @property
    def network(self) -> str:
        """Hidden layers: ``10:tanh-10:tanh``, with the species where they differ."""
        return network_words(self.settings.networks)

    def row(self, n_structures: int) -> Row:
        """The cells of the table that say which training this is."""
        copies = self.plan.derivatives
        return {
            "mode": self.mode,
            "strategy": "" if copies is None else copies.strategy,
            "delta_A": number(None if copies is None else copies.delta),
            "multiple_a": number(None if copies is None else copies.fraction),
            "beta_A2": number(self.beta),
            "n_structures": number(n_structures),
            "network": self.network,
            "seed": number(self.settings.seed),
            **dict(self.extras),
        }


def network_words(networks: Sequence[NetworkSpec]) -> str:
    """Hidden layers as one word without commas: ``10:tanh-10:tanh``, or ``O=…/H=…`` where species differ."""
    words = {spec.symbol: "-".join(f"{n}:{activation}" for n, activation in spec.hidden or ()) for spec in networks}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return "/".join(f"{symbol}={layers}" for symbol, layers in words.items())


def points_of(scan: ScanInput, generate: GenerateInput, train: TrainInput, file: str) -> list[Point]:
    """All combinations, each training once: energy training, for one, does not depend on δ.

    Points that share a generate step are neighbours.

    Parameters
    ----------
    generate, train
        what is started from
    file
        name of scan.in, for errors

    Raises
    ------
    InputError
        if a value cannot be used, or a mode needs copies and `generate` makes none.
    """
    for spec in train.networks:
        if spec.hidden is None:
            raise InputError(
                "no hidden layers for a network",
                file=scan.train,
                value=spec.symbol,
                expected="layers for each species: a scan starts from random weights",
            )
    points: dict[str, Point] = {}
    for values in itertools.product(*(zip(axis.values, axis.words) for axis in scan.axes)):
        chosen = {axis.name: Located(value, axis.line) for axis, (value, _) in zip(scan.axes, values)}
        words = {axis.name: word for axis, (_, word) in zip(scan.axes, values)}
        point = _point(chosen, words, scan, generate, train, file)
        points[repr(point)] = point
    plans = list(dict.fromkeys(repr(point.plan) for point in points.values()))
    return sorted(points.values(), key=lambda point: plans.index(repr(point.plan)))


def matters(name: str, mode: str) -> bool:
    """Whether an option of DERIVATIVES or FORCES matters to a mode."""
    return name == "mode" or (mode in MODES_OF[name] if name in MODES_OF else mode != "energy")


def _point(
    chosen: Mapping[str, Located],
    words: Mapping[str, str],
    scan: ScanInput,
    generate: GenerateInput,
    train: TrainInput,
    file: str,
) -> Point:
    """The training of one combination."""
    base = generate.derivatives
    with_copies = base is not None and base.method == "taylor"
    mode = chosen["mode"].value if "mode" in chosen else train.forces.mode or ("centred" if with_copies else "energy")
    if mode in WITH_COPIES and not with_copies:
        raise InputError(f"mode={mode} needs Taylor copies", file=scan.generate, expected="a block DERIVATIVES")
    used = {name: located for name, located in chosen.items() if name in OWN_AXES or matters(name, mode)}

    derivatives: TaylorOptions | None = None
    if base is not None and mode in WITH_COPIES:
        changed = {DERIVATIVES_AXES[name].field: located for name, located in used.items() if name in DERIVATIVES_AXES}
        derivatives = build(partial(replace, base, outfile=None), changed, file)
    options = train.forces
    if mode == "centred" and derivatives is not None and derivatives.strategy != "strain":
        # The virial is in strained copies; of other copies it says nothing
        options = replace(options, virial=0.0)
        used.pop("virial", None)
    forces = _forces(
        options, mode, [axis for axis in scan.axes if axis.name in used and axis.name in FORCES_AXES], words, file
    )
    networks = train.networks
    if "network" in used:
        networks = tuple(replace(spec, hidden=used["network"].value) for spec in networks)
    seed = used["seeds"].value if "seeds" in used else train.seed
    return Point(
        SetPlan(derivatives, used["size"].value if "size" in used else None),
        replace(train, forces=forces, networks=networks, seed=seed, committee=Committee()),
        tuple((name, words[name]) for name in words if name in used and name not in COLUMN_AXES)
        + ((("beta_schedule", words["beta"]),) if forces.schedule and "beta" in used else ()),
    )


def _forces(base: ForceMode, mode: str, axes: Sequence[Axis], words: Mapping[str, str], file: str) -> ForceMode:
    """FORCES of train.in with other options, put together as the line that it would be."""
    line = Line(file, axes[-1].line if axes else 0, f"FORCES {format_options(base)}", False)
    pairs = {key: word.text for key, word in line.options() if key and matters(key, mode)}
    pairs |= {"mode": mode} | {axis.name: words[axis.name] for axis in axes}
    text = " ".join(["FORCES", *(f"{key}={quote(word)}" for key, word in pairs.items())])
    return FORCES.read(Document(file, text, ()), line._replace(text=text))


COLUMN_AXES = {"delta", "fraction", "strategy", "mode", "beta", *OWN_AXES}
"""Axes with a column of their own in the table."""


# --- structures and keys -----------------------------------------------------------------------


Entry = tuple[str, int | None]
"""A structure: path, and frame (from 0) where the file has several."""


@dataclass(frozen=True)
class Structures:
    """The structures that FILES stands for, one by one."""

    entries: tuple[Entry, ...]
    digests: Mapping[str, str]
    """Hash of the content of each file, by path."""
    parents: Mapping[int, int] = field(default_factory=dict)
    """Of each copy with pushed atoms (`repel`) among the entries: the place of the structure it is made from, or -1."""

    @classmethod
    def of(cls, files: Sequence[FileEntry], listed_in: str, reading: ReadingOptions = AS_THEY_ARE) -> Structures:
        """Find the structures of all files, and read what they hold; `reading`: what the files leave open.

        Raises
        ------
        InputError
            if a file is missing or damaged.
        """
        entries: list[Entry] = []
        places: dict[str, int] = {}
        pushed: dict[int, str] = {}
        digests = {}
        for path in expand_patterns([(entry.path, entry.line) for entry in files], listed_in=listed_in):
            file = split_selection(path)[0]
            digests[file] = _digest(Path(file).read_bytes())
            for structure in read_structures(path, reading):
                frame = structure.name.removeprefix(file).removeprefix("#")
                if structure.pushed_from:
                    pushed[len(entries)] = structure.pushed_from
                else:
                    places[structure.content_hash()] = len(entries)
                entries.append((file, int(frame) if frame else None))
        return cls(tuple(entries), digests, {place: places.get(parent, -1) for place, parent in pushed.items()})

    def subset(self, size: int | None) -> tuple[Entry, ...]:
        """`size` structures in their order, drawn so that the larger sets hold the smaller ones; None: all.

        Copies with pushed atoms do not count; they come with the structure they are made from.
        """
        if size is None:
            return self.entries
        own = [place for place in range(len(self.entries)) if place not in self.parents]
        drawn = {own[index] for index in Stream.SUBSET.generator(1).permutation(len(own))[:size].tolist()}
        return tuple(
            entry for place, entry in enumerate(self.entries) if place in drawn or self.parents.get(place) in drawn
        )

    def digest(self, entries: Iterable[Entry]) -> str:
        """Hash of structures, names and contents."""
        return _digest("\n".join(f"{path}#{frame} {self.digests[path]}" for path, frame in entries).encode())


def set_key(plan: SetPlan, generate: GenerateInput, structures: Structures) -> str:
    """What a generated set can be recognised by: the same inputs, the same key."""
    named = [Path(file) for _, file in sorted(generate.setups.items())]
    if plan.derivatives is not None:
        named += map(Path, plan.derivatives.potential or ())
        hessian = Path(plan.derivatives.hessian or "")
        named += sorted(hessian.iterdir()) if plan.derivatives.hessian and hessian.is_dir() else [hessian]
    contents = [_digest(file.read_bytes()) for file in named if file.is_file()]
    settings: tuple[Any, ...] = (generate.types, contents, plan.derivatives, generate.forces, generate.forces_percent)
    if (reading := ReadingOptions.of(generate)) != AS_THEY_ARE:
        settings += (reading,)
    return _digest(repr(settings).encode(), structures.digest(structures.subset(plan.size)).encode())[:12]


def point_key(point: Point, of_set: str, validation: Structures | None) -> str:
    """What the result of a point can be recognised by: set, settings that matter, validation structures."""
    settings = replace(
        point.settings,
        trainingset="",
        taylorset=(),
        validation=(),
        threads=0,
        checkpoint=0,
        verbosity="normal",
        timing=False,
        debug=False,
        save_energies=False,
        networks=tuple(replace(spec, file=spec.symbol) for spec in point.settings.networks),
    )
    checked = "" if validation is None else validation.digest(validation.entries)
    text = repr((of_set, settings, checked))
    # Without these keywords as before there were any
    reading = ", units=None, energy_key=None, forces_key=None, stress_key=None"
    for unsaid in (", split=None", ", precision='double'", reading):
        text = text.replace(unsaid, "")
    return _digest(text.encode())[:12]


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
