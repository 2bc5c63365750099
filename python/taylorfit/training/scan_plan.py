"""What a scan has to do: its trainings, the training sets that they need, and where all of them go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..analysis.scan_grid import Entry, Point, Structures, point_key, points_of, set_key
from ..analysis.scan_groups import point_folder
from ..errors import InputError, TaylorfitError
from ..formats.aenet.trainset_binary import read_trainset_in_parts
from ..formats.companion import load_training_set
from ..formats.scan_table import KEY, Row, coordinates, option_columns
from ..settings.generate import GenerateInput
from ..settings.reading import ReadingOptions
from ..settings.scan import ScanInput
from ..settings.train import TrainInput
from ..tools.whole_folder import begin_folder, partial_folder
from .checkpoint import checkpoint_path


@dataclass(frozen=True)
class SetTask:
    """A generate step."""

    key: str
    folder: Path
    settings: GenerateInput
    """With the paths of the outputs; FILES as in the original."""
    entries: tuple[Entry, ...] | None
    """The structures to take; None: all of FILES."""

    @property
    def place(self) -> Path:
        """Where it is made, until it is complete."""
        return partial_folder(self.folder)

    @property
    def begun(self) -> GenerateInput:
        """The settings with the outputs where they are made."""
        copies = self.settings.derivatives
        if copies is not None and copies.outfile:
            copies = replace(copies, outfile=str(self.place / Path(copies.outfile).name))
        output = str(self.place / Path(self.settings.output).name)
        return replace(self.settings, output=output, derivatives=copies)

    @property
    def is_there(self) -> bool:
        """Whether it has been done before, and its files are still there and whole."""
        if not (self.report_file.exists() and Path(self.settings.output).exists()):
            return False
        try:
            n_copies = json.loads(self.report_file.read_text(encoding="utf-8"))["copies"]
            if load_training_set(self.settings.output).geometry is None:
                return False  # its companion has gone
            for file in self.copies:
                for _ in read_trainset_in_parts(file):
                    pass
        except (TaylorfitError, ValueError, KeyError, TypeError):
            return False  # damaged since, and so made again
        return bool(self.copies) or not n_copies

    @property
    def report_file(self) -> Path:
        """Written when all else is."""
        return self.folder / "generate.json"

    @property
    def copies(self) -> tuple[str, ...]:
        """Training set of the copies, once generated, if there are any."""
        outfile = self.copies_file
        return (outfile,) if outfile and Path(outfile).exists() else ()

    @property
    def copies_file(self) -> str | None:
        """Where copies go, if there are to be any."""
        return self.settings.derivatives.outfile if self.settings.derivatives else None


@dataclass(frozen=True)
class PointTask:
    """A training, and where it goes."""

    key: str
    point: Point
    of_set: SetTask
    folder: Path
    row: Row

    @property
    def name(self) -> str:
        """What is trained, in words."""
        words = {"delta_A": "delta", "multiple_a": "a", "beta_A2": "beta", "n_structures": "structures"}
        return " ".join(
            value if name in ("mode", "strategy", "network") else f"{words.get(name, name)}={value}"
            for name, value in self.row.items()
            if value
        )

    @property
    def place(self) -> Path:
        """Where it is trained, until it is at its end."""
        return partial_folder(self.folder)

    @property
    def checkpoint(self) -> Path:
        """What an interrupted training goes on from."""
        return self.place / checkpoint_path("train.in")

    def begin(self) -> None:
        """Make the folder to train in, with what an interrupted training has left."""
        begin_folder(self.folder, go_on=True)

    @property
    def begun(self) -> TrainInput:
        """The settings with the potential files where they are made."""
        networks = tuple(replace(spec, file=str(self.place / Path(spec.file).name)) for spec in self.settings.networks)
        return replace(self.settings, networks=networks)

    @property
    def settings(self) -> TrainInput:
        """The settings of the point with its own training sets and potential files."""
        settings = self.point.settings
        networks = tuple(replace(spec, file=str(self.folder / f"{spec.symbol}.nn")) for spec in settings.networks)
        sets = self.of_set
        return replace(settings, trainingset=sets.settings.output, taylorset=sets.copies, networks=networks)


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """What a scan has to do."""

    scan: ScanInput
    tasks: tuple[PointTask, ...]
    """All trainings."""
    waiting: tuple[PointTask, ...]
    """Those that are not in the table."""
    sets: tuple[SetTask, ...]
    """The training sets that these need."""
    missing: tuple[SetTask, ...]
    """Those that are still to be generated."""
    has_validation: bool
    threads: int


def make_plan(scan: ScanInput, input_file: str, threads: int, table: Sequence[Row]) -> ScanPlan:
    """Work out what is to be done, given the table so far.

    Raises
    ------
    InputError, FormatError
        as `run_scan`.
    """
    tasks, has_validation = _tasks(scan, input_file)
    _refuse_other_inputs(scan, table, tasks)
    done = {row[KEY] for row in table}
    waiting = tuple(task for task in tasks if task.key not in done)
    sets = tuple({task.of_set.key: task.of_set for task in waiting}.values())
    missing = tuple(one for one in sets if not one.is_there)
    return ScanPlan(scan, tuple(tasks), waiting, sets, missing, has_validation, threads)


def _tasks(scan: ScanInput, input_file: str) -> tuple[list[PointTask], bool]:
    """All trainings of the scan, and whether there are validation structures."""
    base, settings = GenerateInput.read(scan.generate), TrainInput.read(scan.train)
    points = points_of(scan, base, settings, input_file)
    structures = Structures.of(base.files, scan.generate, ReadingOptions.of(base))
    n = len(structures.entries) - len(structures.parents)
    for axis in scan.axes:
        for size in axis.values if axis.name == "size" else ():
            if size > n:
                raise InputError(
                    "more structures than there are",
                    file=input_file,
                    line=axis.line,
                    value=size,
                    expected=f"at most {n}, those of {scan.generate}",
                )
    validation = (
        Structures.of(settings.validation, scan.train, ReadingOptions.of(settings)) if settings.validation else None
    )
    sets: dict[str, SetTask] = {}
    tasks = []
    for point in points:
        of_set = set_key(point.plan, base, structures)
        if of_set not in sets:
            folder = Path(scan.folder) / "sets" / of_set
            copies = point.plan.derivatives
            if copies is not None:
                copies = replace(copies, outfile=str(folder / "copies.train"))
            sets[of_set] = SetTask(
                of_set,
                folder,
                replace(base, output=str(folder / "set.train"), derivatives=copies, timing=False),
                None if point.plan.size is None else structures.subset(point.plan.size),
            )
        key = point_key(point, of_set, validation)
        row = point.row(point.plan.size or n)
        tasks.append(PointTask(key, point, sets[of_set], point_folder(scan.folder, key), row))
    return tasks, validation is not None


def _refuse_other_inputs(scan: ScanInput, table: Sequence[Row], tasks: Sequence[PointTask]) -> None:
    """Refuse a table that has a result for the same settings, but from other inputs."""
    options = option_columns([*table, *(task.row for task in tasks)])
    keys = {coordinates(task.row, options): task.key for task in tasks}
    for number_, row in enumerate(table, start=2):
        if keys.get(coordinates(row, options), row[KEY]) != row[KEY]:
            raise InputError(
                f"has results of other inputs ({scan.generate}, {scan.train} or structures have changed)",
                file=scan.output,
                line=number_,
                expected="another OUTPUT, or --fresh to replace it",
            )
