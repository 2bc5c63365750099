"""Steps that studies are made of: commands of taylorfit, run in this process, and skipped where they are done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..analysis.scan_grid import points_of
from ..analysis.scan_groups import point_folder
from ..commands.in_process import run_command
from ..errors import InputError
from ..formats.scan_table import FORCE_NORM, KEY, Row, read_scan_table
from ..formats.structures.files import expand_patterns
from ..potential.files import find_potentials
from ..settings.generate import read_generate_input
from ..settings.md import read_md_input
from ..settings.scan import read_scan_input
from ..settings.train import read_train_input
from ..tools.atomic_write import atomic_write
from ..tools.progress import duration
from ..training.checkpoint import fingerprint
from .study import Options, Step

LOGS, POTENTIALS, PREDICTIONS = "logs", "potentials", "predictions"
"""Folders of a study."""


@dataclass(frozen=True)
class Shown:
    """A training that figures and dynamics show: the best seed of a mode."""

    name: str
    """Of files and folders."""
    title: str
    """For legends."""
    mode: str
    scans: tuple[str, ...] = ("modes",)
    """Scans, without the scale, that it belongs to."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """What its row says, where the scans have several trainings of the mode."""

    def best(self, scale: str) -> tuple[Row, Path] | None:
        """Row of the best seed by its force error, and its folder; None if nothing is trained yet."""
        cells = {"mode": self.mode, **self.cells}
        found = [
            (row, folder)
            for row, folder in trainings(scale, self.scans)
            if row[FORCE_NORM] and all(row[name] == cell for name, cell in cells.items())
        ]
        return min(found, key=lambda pair: float(pair[0][FORCE_NORM]), default=None)

    def potentials(self, scale: str) -> Path:
        """Folder of the potentials of the best seed."""
        return Path(POTENTIALS) / f"{scale}-{self.name}"

    def predictions(self, scale: str) -> Path:
        """What these potentials say about the validation structures."""
        return Path(PREDICTIONS) / f"{scale}-{self.name}.npz"


MODES_SHOWN = (
    Shown("energy", "energies alone", "energy"),
    Shown("taylor", "Taylor", "taylor"),
    Shown("centred", "centred", "centred"),
    Shown("directional", "directional", "directional"),
    Shown("exact", "exact forces", "exact"),
)
"""One of each mode."""


def scan_file(name: str, scale: str) -> str:
    """Input file of a scan."""
    return f"{name}-{scale}.in"


def trainings(scale: str, scans: Sequence[str]) -> list[tuple[Row, Path]]:
    """Rows that belong to some scans (names without the scale), and the folder of each training.

    Scans of a study share a table, so that none trains what another has trained; a row belongs to a scan if it
    has the settings of one of its points.
    """
    found: dict[str, tuple[Row, Path]] = {}
    for name in scans:
        file = scan_file(name, scale)
        if not Path(file).exists():
            continue
        scan = read_scan_input(file)
        table = read_scan_table(scan.output)
        if not table:
            continue
        base = read_generate_input(scan.generate)
        n = len(expand_patterns([entry.path for entry in base.files]))
        points = [
            point.row(point.plan.size or n) for point in points_of(scan, base, read_train_input(scan.train), file)
        ]
        for row in table:
            if any(all(row.get(name, "") == cell for name, cell in point.items()) for point in points):
                found[row[KEY]] = row, point_folder(scan.folder, row[KEY])
    return list(found.values())


def scan_step(name: str, scale: str, needs: str = "") -> Step:
    """A scan, which by itself goes on where it was."""
    file = scan_file(name, scale)

    def run(options: Options) -> int:
        seeds = [] if options.seeds is None else ["--seeds", str(options.seeds)]
        return run_command(["scan", file, *options.thread_words, *seeds])

    return Step(f"scan {file}", run, needs)


def train_step(file: str, members_are_seeds: bool = True) -> Step:
    """A training, also of a committee; the number of seeds is that of its members, unless that is fixed."""

    def run(options: Options) -> int:
        members = [] if options.seeds is None or not members_are_seeds else ["--committee", str(options.seeds)]
        return once(
            f"train-{Path(file).stem}",
            ["train", file, *members],
            [file, *data_files("*.train")],
            options,
            ["--fresh", "--report", f"{Path(file).stem}.json"],
            log=True,
        )

    return Step(f"train {file}", run)


def generate_step(file: str) -> Step:
    """Make a training set."""

    def run(options: Options) -> int:
        return once(
            f"generate-{Path(file).stem}",
            ["generate", file],
            [file, *data_files("*.stp"), *data_files("xsf/*")],
            options,
            ["--force"],
            log=True,
        )

    return Step(f"generate {file}", run)


def predict_step(shown: Shown, scale: str) -> Step:
    """Potentials of the best seed to a folder of their own, and their predictions for the validation structures."""

    def run(options: Options) -> int:
        best = shown.best(scale)
        if best is None:
            return 0
        folder = copy_potentials(best[1], shown.potentials(scale))
        output = shown.predictions(scale)
        output.parent.mkdir(exist_ok=True)
        potentials = sorted(find_potentials(folder).values())
        structures = expand_patterns(["validation/*.xsf"])
        return once(
            f"predict-{output.stem}",
            [
                "predict",
                "--potential",
                *potentials,
                "--save-predictions",
                str(output),
                "--label",
                shown.title,
                "--",
                *structures,
            ],
            [*potentials, *structures],
            options,
            log=True,
        )

    return Step(f"predict, {shown.title}", run)


def md_step(name: str, scale: str) -> Step:
    """Molecular dynamics; goes on where it was."""
    file = scan_file(name, scale)

    def run(options: Options) -> int:
        settings = read_md_input(file)
        folders = [folder for _, paths in settings.potentials for folder in paths]
        missing = next((folder for folder in folders if not Path(folder).exists()), None)
        if missing is not None:
            raise InputError("no such potentials yet", file=file, value=missing, expected="the scan before")
        potentials = [path for folder in folders for path in sorted(find_potentials(folder).values())]
        inputs = [file, *potentials, *expand_patterns([settings.structure])]
        argv = ["md", file]
        resume = unchanged(f"md-{file}", argv, inputs) and Path(f"{settings.output}.checkpoint.npz").exists()
        return once(f"md-{file}", argv, inputs, options, ["--resume" if resume else "--force"])

    return Step(f"md {file}", run)


def copy_potentials(source: Path, target: Path) -> Path:
    """Replace the potentials in `target` by those in `source`; return `target`."""
    files = sorted(find_potentials(source).values())
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.nn"):
        old.unlink()
    for file in files:
        shutil.copyfile(file, target / Path(file).name)
    return target


# --- done before? ------------------------------------------------------------------------------


def data_files(pattern: str) -> list[str]:
    """Files of a pattern in the working directory, sorted."""
    return sorted(map(str, Path().glob(pattern)))


def once(
    name: str,
    argv: Sequence[str],
    inputs: Sequence[str],
    options: Options,
    extra: Sequence[str] = (),
    log: bool = False,
) -> int:
    """Run a command unless it has succeeded with the same arguments and inputs; return its exit code.

    Parameters
    ----------
    argv, inputs
        what the result depends on: words of the command, and files, whose content counts
    extra
        more words
    log
        what it prints goes to a file in `LOGS`
    """
    done = Path(LOGS) / f"{name}.done"
    if done.exists() and unchanged(name, argv, inputs):
        print(f"done before ({done})")
        return 0
    Path(LOGS).mkdir(exist_ok=True)
    done.unlink(missing_ok=True)
    with atomic_write(_stamp(name)) as stream:
        stream.write(_identity(argv, inputs))
    separator = argv.index("--") if "--" in argv else len(argv)
    words = [*argv[:separator], *extra, *options.thread_words, *argv[separator:]]
    output = Path(LOGS) / f"{name}.log" if log else None
    start = time.perf_counter()
    code = run_command(words, output)
    if code == 0:
        done.touch()
    if output is not None:
        print(f"{duration(time.perf_counter() - start)}; what was printed is in {output}")
    return code


def unchanged(name: str, argv: Sequence[str], inputs: Sequence[str]) -> bool:
    """Whether the command was last started with the same arguments and inputs."""
    return _stamp(name).exists() and _stamp(name).read_text(encoding="utf-8") == _identity(argv, inputs)


def _stamp(name: str) -> Path:
    return Path(LOGS) / f"{name}.inputs"


def _identity(argv: Sequence[str], inputs: Sequence[str]) -> str:
    return fingerprint(
        *(np.frombuffer(Path(file).read_bytes(), dtype=np.uint8) for file in inputs), text=repr(list(argv))
    )
