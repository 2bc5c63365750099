"""The stages of a round, each a file on the disk once it is done: a run that was killed goes on behind the last one.

    round-01/committee/01/…      potentials of the members           trained.json     errors, when all are there
             explored.extxyz     frames of the runs                  explored.json    runs, and deviations of the frames
             chosen.extxyz       frames worth a label                chosen.json      which check, which teach
             chosen.labels       labels as they come
             labelled.extxyz     chosen frames with labels           round.json       what the round has shown

What a stage reads it reads from files, so that it is the same after a break.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.setup import Setup
from ..engine import PotentialTables, farthest_points, share_descriptors
from ..errors import FormatError, InputError, TaylorfitError
from ..formats.data_limits import write_data_limits
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import read_files
from ..generation.repel import closest_of_kinds, repel
from ..model.data_limits import DataLimits
from ..model.structure import Structure
from ..potential.potential import Potential, load_members
from ..settings.learn import LearnInput
from ..settings.repulsion import RepulsionPlan
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import explained, make_folder
from ..tools.randomness import Stream
from ..training.train import train_committee
from .explore import BEYOND, HELD, WRONG, Walk, committee_evaluator, is_wrong, new_walks, run_walks
from .label import Known, label_with
from .references import Evaluator
from .select import structure_points, worth

MOST_CANDIDATES = 1000
"""Frames that are looked at for a selection, at most: evenly spaced ones."""
LOW, HIGH = 0.05, 1.5
"""Automatic thresholds: these shares of the root mean square force on an atom, divided by the calibration."""
FIRST_CALIBRATION = 2.0
"""Errors over deviations before any are known: 1.7 to 2.2 were measured with few frames."""
CHECK, TEACH = "check", "teach"
"""Why a frame is labelled: drawn at random to measure the error; chosen to be learnt from."""


@dataclass(frozen=True)
class WalkReport:
    """A run of an exploration."""

    exploration: str
    start: int
    verdict: str
    """`held`, `left its data`, `collapsed`, or `wrong`: it held, but frames that check it are far off."""
    time: float
    """How long it held, ps."""


@dataclass(frozen=True)
class Round:
    """What a round has shown."""

    number: int
    """From 1."""
    n_trained: int
    """Frames trained on, without copies with pushed atoms."""
    n_labels: int
    """Labels made so far, without those of the start: those trained on."""
    train_rmse: float
    """Energies of the training frames, eV/atom, median of the members."""
    calibration: float
    """Root mean square force error over that of the deviations, of the labels so far; `FIRST_CALIBRATION` before."""
    low: float
    high: float
    """Thresholds of the deviation, eV/Å."""
    walks: tuple[WalkReport, ...]
    n_new: int
    """Labels made in this round."""
    n_set_aside: int
    check_error: float | None
    """Mean |F − F_ref| over the atoms of frames drawn at random from the runs, before they are trained on, eV/Å."""
    check_worst: float | None
    """The largest."""
    chosen_error: float | None
    """Mean |F − F_ref| of the frames that were chosen to be learnt from, eV/Å."""
    errors: tuple[float, float]
    """Sums over the atoms of all new labels of the squared force errors and the squared deviations, (eV/Å)²."""
    seconds: Mapping[str, float]
    """Of training, exploring, selecting and labelling, and of the rest."""

    @property
    def held(self) -> float:
        """Share of the runs that held."""
        return sum(walk.verdict == HELD for walk in self.walks) / len(self.walks)

    @property
    def stable_time(self) -> float:
        """Mean time that runs held, ps."""
        return float(np.mean([walk.time for walk in self.walks]))

    def to_dict(self) -> dict[str, Any]:
        """The round as plain values."""
        return asdict(self) | {"held": self.held, "stable_time": self.stable_time}

    @classmethod
    def load(cls, file: Path) -> Round:
        """Read what `write_json` wrote."""
        found = read_json(file)
        try:
            walks = tuple(WalkReport(**walk) for walk in found["walks"])
            own = {key: found[key] for key in cls.__dataclass_fields__}
            return cls(**own | {"walks": walks, "errors": tuple(found["errors"])})
        except (KeyError, TypeError) as error:
            raise FormatError(f"damaged report of a round ({error})", file=file, expected="a file of learn") from None


def read_json(file: Path) -> Any:
    """Read a JSON file of ours.

    Raises
    ------
    InputError
        if it cannot be read.
    """
    with explained("cannot be read", file):
        return json.loads(file.read_text(encoding="utf-8"))


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_write(file) as stream:
        json.dump(content, stream, indent=1)
        stream.write("\n")


class RoundFolder:
    """A round, its stages and where they are.

    Parameters
    ----------
    data
        Frames with labels, of all rounds before.
    before
        The rounds before.
    """

    def __init__(
        self,
        settings: LearnInput,
        setup: Setup,
        number: int,
        data: Sequence[Structure],
        before: Sequence[Round],
        threads: int,
    ) -> None:
        self.settings, self.setup, self.number, self.data, self.before = settings, setup, number, data, before
        self.threads = threads
        self.folder = make_folder(Path(settings.folder) / f"round-{number:02d}")
        self.seconds: dict[str, float] = {}
        self._begun = time.monotonic()

    @property
    def n_labels(self) -> int:
        """Labels made in earlier rounds."""
        return sum(one.n_new for one in self.before)

    @property
    def calibration(self) -> float:
        """By how much errors are larger than deviations, from all labels so far."""
        errors, deviations = np.sum([one.errors for one in self.before], axis=0) if self.before else (0.0, 0.0)
        return float(np.sqrt(errors / deviations)) if errors > 0.0 and deviations > 0.0 else FIRST_CALIBRATION

    @property
    def thresholds(self) -> tuple[float, float]:
        """Between which deviations frames are worth a label, eV/Å."""
        given = self.settings.thresholds
        squares = [float((s.known_forces**2).sum(axis=1).mean()) for s in self.data if s.forces is not None]
        unit = float(np.sqrt(np.mean(squares))) / self.calibration
        low = LOW * unit if given.low is None else given.low
        return low, max(HIGH * unit, 2.0 * low) if given.high is None else given.high

    def train(self) -> list[Potential]:
        """Train the committee, unless it is there; return its members."""
        target, done = self.folder / "committee", self.folder / "trained.json"
        if not done.exists():
            with self._timed("train"):
                self._train(target, done)
        return load_members(target)

    def _train(self, target: Path, done: Path) -> None:
        settings = self.settings
        structures = list(self.data)
        if settings.repel is not None:
            structures += pushed_beyond(self.data, settings.repel, self.threads)
        initial = None
        if settings.warmstart and self.number > 1:
            initial = load_members(self.folder.parent / f"round-{self.number - 1:02d}" / "committee")
        checkpoints = self.folder / "checkpoints"
        fit = train_committee(
            structures,
            self.setup,
            epochs=settings.epochs,
            members=settings.committee,
            forces=settings.forces,
            initial=initial,
            # Check frames, which are labelled after the training, measure the error: no label is kept back
            test_fraction=0.0,
            seed=settings.seed,
            threads=self.threads,
            checkpoint=checkpoints,
            resume=checkpoints.exists(),
        )
        if fit.interrupted:
            raise KeyboardInterrupt
        if fit.failed:
            number, error = next(iter(fit.failed.items()))
            raise TaylorfitError(f"round {self.number}: member {number} could not be trained: {error}")
        fit.save(target, overwrite=True)
        # As no label is kept back, the committee has no test structures to tell its limit by
        write_data_limits(target, replace(fit.limits, force_std=self.thresholds[1]))
        median = fit.summary.median
        write_json(done, {"train_rmse": median.train_rmse, "best": fit.summary.best_member})
        for file in checkpoints.iterdir():
            file.unlink()
        checkpoints.rmdir()

    def explore(self, members: Sequence[Potential], progress: Callable[[int], None]) -> tuple[list[Structure], Any]:
        """Run the explorations, unless that is done; return frames and what is known of them."""
        done, frames = self.folder / "explored.json", self.folder / "explored.extxyz"
        if not done.exists():
            with self._timed("explore"):
                walks = self._walks()
                self._run(walks, members, progress)
                write_extxyz(frames, [frame for walk in walks for frame in walk.frames])
                write_json(
                    done,
                    {
                        "thresholds": self.thresholds,
                        "walks": [asdict(WalkReport(w.exploration.label, w.start, w.verdict, w.time)) for w in walks],
                        "walk": [k for k, walk in enumerate(walks) for _ in walk.frames],
                        "deviations": [value for walk in walks for value in walk.deviations],
                    },
                )
        return read_frames(frames, self.folder.parent), read_json(done)

    def _walks(self) -> list[Walk]:
        settings = self.settings
        start = self.data[: len(self.data) - self.n_labels]
        pools = [start if one.structures is None else read_files([one.structures]) for one in settings.explorations]
        return new_walks(settings.explorations, pools, settings.seed, self.number)

    def _run(self, walks: list[Walk], members: Sequence[Potential], progress: Callable[[int], None]) -> None:
        known = DataLimits.common([member.limits for member in members])
        policy = replace(BEYOND, max_force_std=self.thresholds[1]).of(len(members), known)
        if self.settings.explorer == "lammps":
            from .lammps import run_in_lammps

            run_in_lammps(walks, self.folder / "committee", members, policy, self.folder / "lammps", self.threads)
            return
        parts = [member.parts for member in members]
        if not share_descriptors(parts):
            raise InputError("members of a committee with different descriptors", expected="the same functions in all")
        lay_out = committee_evaluator(PotentialTables.from_members(parts), self.threads)
        run_walks(walks, lay_out, policy, progress)

    def choose(self, frames: Sequence[Structure], known: Any, n: int) -> tuple[list[Structure], Any]:
        """Choose `n` frames to label, unless that is done; with 0 those that check alone."""
        done, chosen = self.folder / "chosen.json", self.folder / "chosen.extxyz"
        if not done.exists():
            with self._timed("select"):
                checks, teach = self._choose(frames, np.array(known["deviations"]), known["thresholds"], n)
                places = [*checks, *teach]
                if places:
                    write_extxyz(chosen, [frames[k] for k in places])
                write_json(
                    done,
                    {
                        "places": places,
                        "roles": [CHECK] * len(checks) + [TEACH] * len(teach),
                        "deviations": [known["deviations"][k] for k in places],
                    },
                )
        roles = read_json(done)
        return (read_frames(chosen, self.folder.parent) if roles["places"] else []), roles

    def _choose(
        self, frames: Sequence[Structure], deviations: np.ndarray, thresholds: tuple[float, float], n: int
    ) -> tuple[list[int], list[int]]:
        rng = Stream.CHECK.generator(self.settings.seed, self.number)
        hashes = {structure.content_hash() for structure in self.data}
        new = [k for k, frame in enumerate(frames) if frame.content_hash() not in hashes]
        n_check = min(self.settings.labels.check if n == 0 else min(self.settings.labels.check, n // 2), len(new))
        checks = sorted(int(k) for k in rng.choice(new, n_check, replace=False)) if n_check else []
        candidates = np.array([k for k in new if deviations[k] >= thresholds[0] and k not in checks], dtype=int)
        wanted = min(n - len(checks), len(candidates)) if n > 0 else 0
        if wanted <= 0:
            return checks, []
        candidates = candidates[:: -(-len(candidates) // MOST_CANDIDATES)]
        there = [*self.data, *(frames[k] for k in checks)]
        setups = (self.setup.species, self.setup.descriptors)
        points = structure_points([*(frames[k] for k in candidates), *there], setups, self.threads)
        order, _ = farthest_points(
            points[: len(candidates)],
            points[len(candidates) :],
            min(wanted, len(candidates)),
            worth(deviations[candidates]),
            self.threads,
        )
        return checks, [int(k) for k in candidates[order]]

    def label(
        self,
        chosen: Sequence[Structure],
        roles: Any,
        reference: Evaluator,
        members: Sequence[Potential],
        known: Any,
        progress: Callable[[int], None],
    ) -> Round | None:
        """Label the chosen frames, unless that is done; None while some wait for somebody else."""
        done, target = self.folder / "round.json", self.folder / "labelled.extxyz"
        if done.exists():
            return Round.load(done)
        with self._timed("label"):
            kept = Known(self.folder / "chosen.labels", reference.provenance["reference"])
            labels = label_with(reference, chosen, self.settings.labelling, kept, advance=progress)
        if labels.waiting:
            return None
        aside = {one.place for one in labels.set_aside}
        if labels.structures:
            write_extxyz(target, labels.structures, info=labels.provenance)
        found = self._report(labels.structures, roles, aside, members, known)
        write_json(done, found.to_dict())
        return found

    def _report(
        self, labelled: Sequence[Structure], roles: Any, aside: set[int], members: Sequence[Potential], known: Any
    ) -> Round:
        norms: dict[str, list[np.ndarray]] = {CHECK: [], TEACH: []}
        sums = np.zeros(2)
        low, high = known["thresholds"]
        of_runs: dict[int, list[np.ndarray]] = {}
        said = [member.evaluate(labelled, threads=self.threads) for member in members] if labelled else []
        evaluations = iter(zip(labelled, *said))
        for place, (frame, kind) in enumerate(zip(roles["places"], roles["roles"])):
            errors = np.array([np.inf])
            if place not in aside:
                structure, *own = next(evaluations)
                forces = np.array([one.known_forces for one in own])
                errors = np.linalg.norm(forces.mean(axis=0) - structure.known_forces, axis=1)
                norms[kind].append(errors)
                sums += (errors**2).sum(), forces.var(axis=0).sum()
            if kind == CHECK:
                of_runs.setdefault(known["walk"][frame], []).append(errors)
        walks = [WalkReport(**walk) for walk in known["walks"]]
        for number, found in of_runs.items():
            if walks[number].verdict == HELD and is_wrong(found, high, self.calibration):
                walks[number] = replace(walks[number], verdict=WRONG)
        checked, taught = (np.concatenate(norms[kind]) if norms[kind] else None for kind in (CHECK, TEACH))
        spent = time.monotonic() - self._begun
        trained = read_json(self.folder / "trained.json")
        return Round(
            number=self.number,
            n_trained=len(self.data),
            n_labels=self.n_labels,
            train_rmse=trained["train_rmse"],
            calibration=self.calibration,
            low=low,
            high=high,
            walks=tuple(walks),
            n_new=len(labelled),
            n_set_aside=len(aside),
            check_error=None if checked is None else float(checked.mean()),
            check_worst=None if checked is None else float(checked.max()),
            chosen_error=None if taught is None else float(taught.mean()),
            errors=(float(sums[0]), float(sums[1])),
            seconds=self.seconds | {"rest": spent - sum(self.seconds.values())},
        )

    def labelled(self) -> list[Structure]:
        """The frames that were labelled in this round."""
        file = self.folder / "labelled.extxyz"
        return read_frames(file, self.folder.parent) if file.exists() else []

    def _timed(self, name: str) -> _Timed:
        return _Timed(self.seconds, name)


class _Timed:
    """Notes how long a block takes, by its name."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = time.monotonic() - self._begun


def pushed_beyond(data: Sequence[Structure], plan: RepulsionPlan, threads: int = 0) -> list[Structure]:
    """Copies with pairs pushed closer than any of the data.

    Between the distances of the data these know better: with the rough energies of copies of strained frames there,
    too, potentials have steep places, where runs end.
    """
    found = repel(
        data,
        copies=plan.copies,
        push=(plan.shortest_push, plan.longest_push),
        highest=plan.highest,
        tolerance=plan.tolerance,
        seed=plan.seed,
        threads=threads,
    )
    closest = closest_of_kinds(data)
    return [copy.structure for copy in found.copies if copy.distance < closest[copy.pair, copy.apart]]


def read_frames(file: Path, root: Path) -> list[Structure]:
    """The frames of a file of ours, with names that do not depend on where the folder `root` is."""
    frames = read_files([str(file)]) if file.stat().st_size else []
    place = file.relative_to(root).as_posix()
    return [replace(frame, name=f"{place}#{k}") for k, frame in enumerate(frames)]
