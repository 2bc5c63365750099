"""What studies share: steps that run commands of taylorfit and skip what is done, and the command line."""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import VALIDATION
from taylorfit.__main__ import run_command
from taylorfit.analysis.scan_grid import points_of
from taylorfit.analysis.scan_groups import point_folder
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.formats.scan_table import FORCE_NORM, KEY, Row, read_scan_table
from taylorfit.formats.structures.files import expand_patterns
from taylorfit.plotting import require_matplotlib
from taylorfit.potential.potential import Potential
from taylorfit.reporting.document import Document, write_document
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.train import TrainInput
from taylorfit.tools.atomic_write import atomic_write, check_writable
from taylorfit.tools.interrupts import INTERRUPTED
from taylorfit.tools.progress import duration
from taylorfit.tools.tables import Table, print_table

LOGS, POTENTIALS, PREDICTIONS = "logs", "potentials", "predictions"
"""Folders of what the steps write."""
RESULTS = "RESULTS.md"
"""The page, in the folder of a study."""
SCALES = ("quick", "full")
"""Minutes on two cores, and the paper's size."""


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    scale: str
    """One of `SCALES`."""
    threads: int | None = None
    """None: as the input files say."""
    seeds: int | None = None
    """Largest number of seeds; None: as the input files say."""

    @property
    def thread_words(self) -> list[str]:
        """As options of a command."""
        return [] if self.threads is None else ["--threads", str(self.threads)]


@dataclass(frozen=True)
class Step:
    """A step of a study, run in its folder; it skips what it finds done."""

    name: str
    run: Callable[[Options], int]
    """Returns the exit code."""
    needs: str = ""
    """Without this file or folder the step is left out."""
    shows: bool = False
    """It makes what figures need from potentials that are there, which --results-only wants, too."""


@dataclass(frozen=True)
class Study:
    """One system."""

    name: str
    """Also the folder of its input files beside this module, with underscores."""
    place: Callable[[Path | None], None]
    """Put the structures into the working directory, from what --data names, unless they are there."""
    steps: Callable[[str], Sequence[Step]]
    """Of a scale."""
    results: Callable[[str], Document]
    """The page about a scale, from what there is in the working directory."""

    def copy_inputs(self, folder: Path) -> list[Path]:
        """Copy the input files into a folder, which is made; those that are there stay. Return the new ones.

        Raises
        ------
        InputError
            if they cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be made ({error.strerror})", file=folder, expected="a folder") from None
        inputs = sorted((Path(__file__).parent / "inputs" / self.name.replace("-", "_")).iterdir())
        new = [source for source in inputs if not (folder / source.name).exists()]
        for source in new:
            with atomic_write(folder / source.name, "wb") as stream:
                stream.write(source.read_bytes())
        return [folder / source.name for source in new]


# --- trainings of scans ------------------------------------------------------------------------


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

    def errors(self, scale: str) -> dict[Path, float]:
        """Folder of each seed → its force error."""
        cells = {"mode": self.mode, **self.cells}
        return {
            folder: float(row[FORCE_NORM])
            for row, folder in trainings(scale, self.scans)
            if row[FORCE_NORM] and all(row[name] == cell for name, cell in cells.items())
        }

    def best(self, scale: str) -> Path | None:
        """Folder of the seed with the smallest force error of those whose potentials are there; None without one."""
        found = {folder: error for folder, error in self.errors(scale).items() if any(folder.glob("*.nn"))}
        return min(found, key=found.__getitem__, default=None)

    def potentials(self, scale: str) -> Path:
        """Folder of the potentials of the best seed."""
        return Path(POTENTIALS) / f"{scale}-{self.name}"

    def predictions(self, scale: str) -> Path:
        """What these potentials say about the validation structures."""
        return Path(PREDICTIONS) / f"{scale}-{self.name}.npz"


SYSTEMS = {"water-cluster": "(H2O)6", "lmnto": "Li8Mo2Ni7Ti7O32", "bulk-water": "64 H2O", "tio2": "TiO2"}
"""Study → system."""
TITLES = {
    "energy": "energies alone",
    "taylor": "Taylor",
    "centred": "centred",
    "directional": "directional",
    "exact": "exact forces",
}
MODES_SHOWN = tuple(Shown(mode, title, mode) for mode, title in TITLES.items())
"""One of each mode."""


MD_MODES, MD_SEEDS = ("energy", "taylor", "exact"), (1, 2, 3)
"""Ways of training that dynamics compare, and networks of each, in --full."""


def networks_for_md(network: str) -> tuple[Shown, ...]:
    """Every seed of the larger networks for dynamics."""
    return tuple(
        Shown(f"md-{mode}-{seed}", mode, mode, ("larger",), {"network": network, "seed": str(seed)})
        for mode in MD_MODES
        for seed in MD_SEEDS
    )


def md_names(scale: str) -> dict[str, str]:
    """Label in the input file of dynamics → mode."""
    if scale == "quick":
        return {mode: mode for mode in TITLES}
    return {f"{mode}-{seed}": mode for mode in MD_MODES for seed in MD_SEEDS}


def scan_file(name: str, scale: str) -> str:
    """Input file of a scan or of dynamics."""
    return f"{name}-{scale}.in"


def trainings(scale: str, scans: Sequence[str]) -> list[tuple[Row, Path]]:
    """Rows that belong to some scans (names without the scale), and the folder of each training.

    Scans of a study share a table, so that none trains what another has trained; a row belongs to a scan if it
    has the settings of one of its points.
    """
    found = [pair for name in scans for pair in _rows_of(scan_file(name, scale))]
    return list({row[KEY]: (row, folder) for row, folder in found}.values())


def _rows_of(file: str) -> Iterator[tuple[Row, Path]]:
    """Rows of one scan and their folders; none of a scan that has not begun."""
    if not Path(file).exists():
        return
    scan = ScanInput.read(file)
    table = read_scan_table(scan.output)
    if not table:
        return
    base = GenerateInput.read(scan.generate)
    n = len(expand_patterns([entry.path for entry in base.files]))
    points = [point.row(point.plan.size or n) for point in points_of(scan, base, TrainInput.read(scan.train), file)]
    for row in table:
        if any(all(row.get(name, "") == cell for name, cell in point.items()) for point in points):
            yield row, point_folder(scan.folder, row[KEY])


def md_output(name: str, scale: str, ending: str) -> Path | None:
    """A table of molecular dynamics, if it is there."""
    file = scan_file(name, scale)
    path = Path(f"{MdInput.read(file).output}.{ending}") if Path(file).exists() else None
    return path if path is not None and path.exists() else None


# --- steps -------------------------------------------------------------------------------------


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
        extra = ["--fresh", "--report", f"{Path(file).stem}.json"]
        return once(["train", file, *members], [file, *_matching("*.train")], options, extra, log=True)

    return Step(f"train {file}", run)


def generate_step(file: str) -> Step:
    """Make a training set."""

    def run(options: Options) -> int:
        return once(["generate", file], [file, *_matching("*.stp", "xsf/*")], options, ["--force"], log=True)

    return Step(f"generate {file}", run)


def predict_step(shown: Shown, scale: str) -> Step:
    """Potentials of the best seed to a folder of their own, and their predictions for the validation structures."""

    def run(options: Options) -> int:
        best = shown.best(scale)
        if best is None:
            return 0
        potentials = copy_potentials(best, shown.potentials(scale))
        output = shown.predictions(scale)
        output.parent.mkdir(exist_ok=True)
        structures = expand_patterns([f"{VALIDATION}/*.xsf"])
        words = ["--save-predictions", str(output), "--label", shown.title, "--", *structures]
        inputs = [*potentials, *structures]
        return once(["predict", "--potential", *potentials, *words], inputs, options, log=True, name=output.stem)

    return Step(f"predict, {shown.title}", run, VALIDATION, shows=True)


def potentials_step(shown: Shown, scale: str) -> Step:
    """Potentials to a folder of their own."""

    def run(options: Options) -> int:
        best = shown.best(scale)
        if best is not None:
            copy_potentials(best, shown.potentials(scale))
        return 0

    return Step(f"potentials, {shown.name}", run, shows=True)


def md_step(name: str, scale: str) -> Step:
    """Molecular dynamics; goes on where it was."""
    file = scan_file(name, scale)

    def run(options: Options) -> int:
        settings = MdInput.read(file)
        folders = [folder for _, paths in settings.potentials for folder in paths]
        missing = next((folder for folder in folders if not Path(folder).exists()), None)
        if missing is not None:
            raise InputError("no such potentials yet", file=file, value=missing, expected="the scan before")
        potentials = [path for folder in folders for path in sorted(Potential.load(folder).files)]
        argv, inputs = ["md", file], [file, *potentials, *expand_patterns([settings.structure])]
        begun = Path(f"{settings.output}.checkpoint.npz").exists()
        resume = begun and _unchanged(f"md-{Path(file).stem}", argv, inputs)
        return once(argv, inputs, options, ["--resume" if resume else "--force"])

    return Step(f"md {file}", run)


def copy_potentials(source: Path, target: Path) -> list[str]:
    """Replace the potentials in `target` by those in `source`; return the new files."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.nn"):
        old.unlink()
    for file in Potential.load(source).files:
        shutil.copyfile(file, target / Path(file).name)
    return sorted(Potential.load(target).files)


def _matching(*patterns: str) -> list[str]:
    """Files of patterns in the working directory, sorted for each."""
    return [str(path) for pattern in patterns for path in sorted(Path().glob(pattern))]


def once(
    argv: Sequence[str],
    inputs: Sequence[str],
    options: Options,
    extra: Sequence[str] = (),
    log: bool = False,
    name: str = "",
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
    name
        of the files that say what was done, after the command; default: that of its input file
    """
    name = f"{argv[0]}-{name or Path(argv[1]).stem}"
    done = Path(LOGS) / f"{name}.done"
    if done.exists() and _unchanged(name, argv, inputs):
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


def _unchanged(name: str, argv: Sequence[str], inputs: Sequence[str]) -> bool:
    """Say whether the command was last started with the same arguments and inputs."""
    return _stamp(name).exists() and _stamp(name).read_text(encoding="utf-8") == _identity(argv, inputs)


def _stamp(name: str) -> Path:
    return Path(LOGS) / f"{name}.inputs"


def _identity(argv: Sequence[str], inputs: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(list(argv)).encode())
    for file in inputs:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


# --- command line ------------------------------------------------------------------------------


def main(study: Study, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Run what is not done yet and write the page; return the exit code."""
    try:
        return _run(study, _parser(study, description).parse_args(argv))
    except TaylorfitError as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\n{study.name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser(study: Study, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{description} The input files are copied into a folder, run there, and tables and figures, the "
        f"paper's numbers beside those here, written to FOLDER/{RESULTS}. --quick takes minutes on two cores, --full "
        "has the paper's size and ten seeds: hours to days, less with --seeds 3. Input files in the folder stay as "
        "they are, so they may be edited; the same command goes on after an interruption, and what is there by then is "
        f"in {RESULTS}. Needs matplotlib."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", default=Path(f"study-{study.name}"), help="(%(default)s)"
    )
    scale = parser.add_mutually_exclusive_group(required=True)
    scale.add_argument("--quick", dest="scale", action="store_const", const="quick", help="minutes on two cores")
    scale.add_argument("--full", dest="scale", action="store_const", const="full", help="the paper's size")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="structures: a folder or archive (.tar.xz) of XSF files, or a folder with train.tar.xz",
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="no more than the first N seeds")
    parser.add_argument("--threads", type=int, metavar="N", help="threads; 0: all cores")
    parser.add_argument(
        "--results-only", action="store_true", help=f"only write {RESULTS} and figures from what is there"
    )
    return parser


def _run(study: Study, arguments: argparse.Namespace) -> int:
    if arguments.seeds is not None and arguments.seeds < 1:
        raise InputError("--seeds cannot be used", value=arguments.seeds, expected="at least 1")
    require_matplotlib()
    folder, data = arguments.folder, arguments.data and arguments.data.resolve()
    if written := study.copy_inputs(folder):
        print(f"{folder}: input files {' '.join(path.name for path in written)}")
    check_writable(folder / RESULTS)
    os.chdir(folder)
    if not arguments.results_only:
        study.place(data)
    options = Options(arguments.scale, arguments.threads, arguments.seeds)
    code = _run_steps([s for s in study.steps(options.scale) if s.shows or not arguments.results_only], options)
    try:
        document = study.results(arguments.scale)
        files = write_document(RESULTS, document)
    except TaylorfitError as error:
        if not code:
            raise
        print(f"no {RESULTS}: {error}")
    else:
        for section in document.sections:
            for table in (block for block in section.blocks if isinstance(block, Table)):
                print(f"\n{section.title}")
                print_table(table, "  ")
        print(f"\n{folder / RESULTS} and {len(files) - 1} pictures")
    if code:
        again = shlex.join(["python", sys.argv[0], str(folder), f"--{arguments.scale}"])
        print(f"{'interrupted' if code == INTERRUPTED else 'a step has failed'}; {again} goes on from here")
    return code


def _run_steps(planned: Sequence[Step], options: Options) -> int:
    """Run all steps up to the first that fails; return its exit code, or zero."""
    for number, step in enumerate(planned, start=1):
        print(f"\n=== {number} of {len(planned)}: {step.name}", flush=True)
        if step.needs and not Path(step.needs).exists():
            print(f"left out: there is no {step.needs}")
        elif code := step.run(options):
            return code
    return 0
