"""The verb `learn`: from a few frames to a potential that holds, with the labels that it takes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from ..data.propose import propose
from ..data.setup import Setup
from ..data.survey import survey
from ..engine import available_threads
from ..errors import DataWarning, InputError
from ..formats.aenet.setup_file import read_setup
from ..formats.csv_table import write_table
from ..formats.data_limits import write_data_limits
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.in_memory import Structures, as_structures
from ..model.data_limits import DataLimits
from ..model.structure import Structure, species_in
from ..potential.potential import Potential, load_members
from ..settings.forces import Exact, ForceMode
from ..settings.label import Labelling, Reference
from ..settings.learn import Exploration, LabelBudget, LearnInput, Thresholds, identity
from ..settings.repulsion import RepulsionPlan
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import make_folder
from ..tools.progress import progress as show_progress
from ..tools.whole_folder import begin_folder, finish_folder
from .label import Known, label_with
from .references import Evaluator, open_reference
from .rounds import Round, RoundFolder, read_frames, read_json, write_json

IN_MEMORY = "in memory"
ROUNDS = "rounds.csv"
CONVERGED, SPENT, LAST, WAITING, STOPPED = "converged", "labels spent", "last round", "waiting", "stopped"
"""How learning ended: all runs held with small errors; the budget or the rounds are used up; frames wait for somebody
else; whoever watches ended it."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What `learn` has come to."""

    status: str
    """`converged`, `labels spent`, `last round`, `waiting` (for labels from elsewhere) or `stopped`."""
    rounds: tuple[Round, ...]
    structures: tuple[Structure, ...]
    """The data set: the start and all labels."""
    committee: tuple[Potential, ...]
    """Members of the last round; none while the start waits for labels."""
    best: int
    """Member whose potential stands alone, from 0."""
    statement: tuple[str, ...]
    """What the potential holds for, in sentences."""
    folder: Path
    waiting: tuple[str, ...] = ()
    """Frames that wait for labels."""

    @property
    def potential(self) -> Potential:
        """The best member, a potential for itself."""
        return self.committee[self.best]

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `learn`."""
        return {
            "status": self.status,
            "rounds": [one.to_dict() for one in self.rounds],
            "structures": len(self.structures),
            "statement": list(self.statement),
            "waiting": list(self.waiting),
            "folder": fspath(self.folder),
        }


class LearnObserver:
    """Looks away; who wants to know more overrides what is called."""

    def stage(self, number: int, name: str, total: int, unit: str) -> AbstractContextManager[Callable[..., None]]:
        """Around a stage of a round that takes long; called with how far it is."""
        return show_progress(f"round {number}: {name}", total, unit, quiet=True)

    def ended(self, found: Round) -> bool:
        """A round has ended; return True to end learning."""
        return False


class _Callback(LearnObserver):
    def __init__(self, progress: bool | Callable[[Round], bool | None]) -> None:
        self._progress = progress

    def stage(self, number: int, name: str, total: int, unit: str) -> AbstractContextManager[Callable[..., None]]:
        return show_progress(f"round {number}: {name}", total, unit, quiet=self._progress is not True)

    def ended(self, found: Round) -> bool:
        return callable(self._progress) and bool(self._progress(found))


def learn(
    start: Structures,
    reference: Any,
    explorations: Sequence[Exploration] | Exploration,
    *,
    folder: str | PathLike[str],
    options: Mapping[str, Any] | None = None,
    setup: Setup | None = None,
    labels: LabelBudget = LabelBudget(),
    thresholds: Thresholds = Thresholds(),
    labelling: Labelling = Labelling(),
    error: float = LearnInput.error,
    rounds: int = LearnInput.rounds,
    explorer: str = LearnInput.explorer,
    committee: int = LearnInput.committee,
    warmstart: bool = LearnInput.warmstart,
    forces: ForceMode = Exact(1e-2),
    epochs: int = LearnInput.epochs,
    layers: Sequence[tuple[int, str]] | None = None,
    repel: RepulsionPlan | None = RepulsionPlan(),
    seed: int = LearnInput.seed,
    threads: int = 0,
    progress: bool | Callable[[Round], bool | None] = False,
) -> Learned:
    """Learn a potential from a few frames: train a committee, explore with it, label what it does not know, and again.

    A run that was broken off goes on where it was when it is called again, and ends with the same bits.

    Parameters
    ----------
    start
        Structures of taylorfit or ASE; those without energy and forces are labelled first.
    reference, options
        As for `label`.
    explorations
        Where frames are looked for; see `Exploration`.
    folder
        Everything goes there: a folder for each round, and at the end data.extxyz, committee/, potential/,
        rounds.csv and statement.txt.
    setup
        Descriptors, atomic energies and networks; None: proposed for the start.
    labels
        How many labels, in a round and in all.
    thresholds
        Between which deviations of the committee frames are worth a label.
    labelling
        How frames are labelled.
    error
        The mean error of the force on an atom, on the potential's own dynamics, that is small enough, eV/Å.
    rounds
        At most.
    explorer
        `taylorfit`, or `lammps`.
    committee
        Members.
    warmstart
        Let members go on from those of the round before?
    forces, epochs, layers
        As for `train`.
    repel
        Copies with atoms pushed together, which keep the first potentials from collapsing; None: none.
    seed
        Of all that is drawn.
    threads
        Threads of the engine; 0: all cores.  The result does not depend on it.
    progress
        Show how far it is; or a function that is called with each `Round` and ends learning by True.

    Raises
    ------
    InputError
        for arguments that do not go together, a reference that cannot be used, or a folder of other settings.
    KeyboardInterrupt
        if the user interrupts; what is done stays.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from taylorfit import Exploration, learn
    >>> frames = [bulk("Cu", cubic=True)]                                          # doctest: +SKIP
    >>> hot = Exploration("hot", "npt", temperature=900, steps=5000)
    >>> learned = learn(frames, "ase.calculators.emt:EMT", hot, folder="copper")   # doctest: +SKIP
    >>> learned.potential.save("fit")                                              # doctest: +SKIP
    """
    if isinstance(reference, str):
        reference = Reference(reference, dict(options or {}))
    elif options:
        raise InputError("options of a calculator that is made already", value=type(reference).__name__)
    own = reference if isinstance(reference, Reference) else Reference(f"{type(reference).__module__}:own")
    settings = LearnInput(
        start=(IN_MEMORY,),
        reference=own,
        explorations=(explorations,) if isinstance(explorations, Exploration) else tuple(explorations),
        labelling=labelling,
        labels=labels,
        thresholds=thresholds,
        error=error,
        rounds=rounds,
        explorer=explorer,
        committee=committee,
        warmstart=warmstart,
        forces=forces,
        epochs=epochs,
        layers=None if layers is None else tuple(layers),
        repel=repel,
        seed=seed,
        threads=threads,
        folder=fspath(folder),
    )
    return run_learning(settings, as_structures(start), _Callback(progress), calculator=reference, setup=setup)


def run_learning(
    settings: LearnInput,
    start: Sequence[Structure],
    observer: LearnObserver,
    *,
    calculator: Any = None,
    setup: Setup | None = None,
) -> Learned:
    """Learn as `settings` say from frames in memory; see `learn`.

    Parameters
    ----------
    calculator
        What labels, where it is no `Reference`; None: that of the settings.
    """
    if not start:
        raise InputError("no frames to start from", expected="at least one")
    folder = make_folder(settings.folder)
    _check_identity(folder, settings, start)
    threads = settings.threads or available_threads()
    reference = settings.reference if calculator is None else calculator
    with warnings.catch_warnings(), open_reference(reference, settings.labelling, folder / "frames") as evaluator:
        warnings.simplefilter("ignore", DataWarning)
        waiting = _label_start(folder, start, evaluator, settings, observer)
        if waiting:
            return Learned(WAITING, (), (), (), 0, (), folder, waiting)
        data = read_frames(folder / "start.extxyz", folder)
        own = _setup(settings, data) if setup is None else setup
        return _rounds(settings, own, data, evaluator, observer, threads)


def _rounds(
    settings: LearnInput,
    setup: Setup,
    data: list[Structure],
    evaluator: Evaluator,
    observer: LearnObserver,
    threads: int,
) -> Learned:
    before: list[Round] = []
    longest = max(exploration.steps for exploration in settings.explorations)
    while True:
        number = len(before) + 1
        here = RoundFolder(settings, setup, number, data, before, threads)
        members = here.train()
        with observer.stage(number, "explore", longest, "steps") as update:
            frames, known = here.explore(members, update)
        left = min(settings.labels.round, settings.labels.most - here.n_labels)
        chosen, roles = here.choose(frames, known, 0 if number >= settings.rounds else max(left, 0))
        with observer.stage(number, "label", len(chosen), "structures") as update:
            found = here.label(chosen, roles, evaluator, members, known, update)
        best = read_json(here.folder / "trained.json")["best"] - 1
        if found is None:
            waiting = tuple(structure.name for structure in chosen)
            return Learned(
                WAITING, tuple(before), tuple(data), tuple(members), best, (), Path(settings.folder), waiting
            )
        status = _status(settings, found, left)
        if observer.ended(found):
            status = status or STOPPED
        before.append(found)
        trained, data = data, [*data, *here.labelled()]
        if status:
            statement = tuple(_statement(settings, status, before, trained, data))
            _finish(settings, here.folder, members[best], before, data, statement)
            return Learned(status, tuple(before), tuple(data), tuple(members), best, statement, Path(settings.folder))


def _status(settings: LearnInput, found: Round, left: int) -> str:
    """How learning ends after a round; empty: it goes on."""
    if found.held == 1.0 and found.check_error is not None and found.check_error <= settings.error:
        return CONVERGED
    if left <= 0:
        return SPENT
    return LAST if found.number >= settings.rounds else ""


def _check_identity(folder: Path, settings: LearnInput, start: Sequence[Structure]) -> None:
    digest = hashlib.sha256("".join(structure.content_hash() for structure in start).encode()).hexdigest()
    own = {"settings": identity(settings).splitlines(), "start": digest}
    file = folder / "learn.json"
    if not file.exists():
        if any(folder.iterdir()):
            there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
            if there:
                raise InputError("the folder is not empty", file=folder, value=there[0], expected="a new folder")
        write_json(file, own)
        return
    found = read_json(file)
    if found != own:
        old, new = found.get("settings", []), own["settings"]
        changed = next((b for a, b in zip(old, new) if a != b), "START")
        raise InputError(
            "learnt with other settings", file=folder, value=changed, expected="the same settings, or a new folder"
        )


def _label_start(
    folder: Path, start: Sequence[Structure], evaluator: Evaluator, settings: LearnInput, observer: LearnObserver
) -> tuple[str, ...]:
    """Write start.extxyz; return the names of frames that still wait for labels."""
    target = folder / "start.extxyz"
    if target.exists():
        return ()
    bare = [k for k, s in enumerate(start) if s.energy is None or s.forces is None or s.predicted_by]
    found = {k: structure for k, structure in enumerate(start) if k not in bare}
    info = {}
    if bare:
        known = Known(folder / "start.labels", evaluator.provenance["reference"])
        with observer.stage(0, "label", len(bare), "structures") as update:
            labels = label_with(evaluator, [start[k] for k in bare], settings.labelling, known, advance=update)
        if labels.waiting:
            return labels.waiting
        aside = {one.place: one.reason for one in labels.set_aside}
        left = iter(labels.structures)
        found |= {k: next(left) for place, k in enumerate(bare) if place not in aside}
        info = dict(labels.provenance)
        if not found:
            raise InputError("no frame of the start has a label that can be used", value=next(iter(aside.values())))
    write_extxyz(target, [found[k] for k in sorted(found)], info=info)
    return ()


def _setup(settings: LearnInput, data: Sequence[Structure]) -> Setup:
    setup = propose(data)
    if settings.setups:
        given = {one.species: one for one in map(read_setup, settings.setups)}
        missing = next((species for species in setup.species if species not in given), None)
        if missing is not None:
            raise InputError("no setup for a species of the start", value=missing, expected="a file for each")
        setup = setup.replace(descriptors=tuple(given[species] for species in setup.species))
    if settings.layers is not None:
        setup = setup.replace(networks=dict.fromkeys(setup.species, settings.layers))
    return setup


def _statement(
    settings: LearnInput, status: str, rounds: Sequence[Round], trained: Sequence[Structure], data: Sequence[Structure]
) -> list[str]:
    """Say what the potential of the last round holds for."""
    last = rounds[-1]
    species = species_in(data)
    shortest = survey(trained, species).shortest
    lines = [
        f"Learning ended: {status}. Trained on {len(trained)} frames, {last.n_labels} of them labelled on the way; "
        f"the data set has {len(data)}."
    ]
    for exploration in settings.explorations:
        own = [walk for walk in last.walks if walk.exploration == exploration.label]
        held = sum(walk.verdict == "held" for walk in own)
        where = f"{exploration.ensemble.upper()} at {exploration.temperature:g} K"
        where += f" and {exploration.pressure:g} GPa" * (exploration.ensemble == "npt")
        lines.append(
            f"{exploration.label}, {where}: {held} of {len(own)} runs held for {exploration.length:g} ps"
            + (f"; mean {np.mean([walk.time for walk in own]):.3g} ps." if held < len(own) else ".")
        )
    if last.check_error is not None:
        lines.append(
            f"On frames drawn from these runs, which it was not trained on, |F − F_ref| is {last.check_error:.3f} eV/Å "
            f"(mean over atoms), {last.check_worst:.3f} at most."
        )
    if len(rounds) > 1:
        lines.append(f"Errors are about {last.calibration:.2g} times the committee's standard deviation.")
    pairs = ", ".join(f"{a}-{b} {r:.2f}" for (a, b), r in sorted(shortest.items()))
    lines.append(f"Species {' '.join(species)}; shortest distances in the data, Å: {pairs}.")
    volumes = [structure.volume / structure.n_atoms for structure in trained if all(structure.pbc)]
    if volumes:
        lines.append(f"Volumes {min(volumes):.2f} to {max(volumes):.2f} Å³/atom.")
    lines.append("Other species, temperatures, densities and phases were not looked at.")
    return lines


COLUMNS = (
    "round", "trained", "labels", "new", "set_aside", "train_rmse", "check_error", "check_worst", "chosen_error",
    "calibration", "low", "high", "held", "stable_time", "train_s", "explore_s", "select_s", "label_s", "rest_s",
)  # fmt: skip
"""Of rounds.csv: numbers of frames; eV/atom; eV/Å; share of the runs; ps; seconds."""


def write_rounds(path: Path, rounds: Sequence[Round]) -> None:
    """Write a row for each round; see `COLUMNS`."""
    rows = []
    for one in rounds:
        spent = [one.seconds.get(name, 0.0) for name in ("train", "explore", "select", "label", "rest")]
        row = (
            one.number, one.n_trained, one.n_labels, one.n_new, one.n_set_aside, one.train_rmse, one.check_error,
            one.check_worst, one.chosen_error, one.calibration, one.low, one.high, one.held, one.stable_time, *spent,
        )  # fmt: skip
        rows.append(["" if value is None else repr(value) for value in row])
    write_table(path, COLUMNS, rows)


def _finish(
    settings: LearnInput,
    last: Path,
    potential: Potential,
    rounds: Sequence[Round],
    data: Sequence[Structure],
    statement: Sequence[str],
) -> None:
    """Write what there is at the end."""
    folder = Path(settings.folder)
    write_extxyz(folder / "data.extxyz", data)
    place = begin_folder(folder / "committee")
    members = load_members(last / "committee")
    for number, member in enumerate(members, start=1):
        member.save(place / f"{number:02d}", overwrite=True)
    write_data_limits(place, DataLimits.common([member.limits for member in members]))
    finish_folder(folder / "committee")
    potential.save(folder / "potential", overwrite=True)
    write_rounds(folder / ROUNDS, rounds)
    with atomic_write(folder / "statement.txt") as stream:
        stream.write("\n".join(statement) + "\n")
