"""Run trainings of the studies on many cores within a given time: a process each, the most wanted ones first.

python python/studies/spread.py FOLDER --data DATA --cores 16 --seconds 400          # what inputs/spread.txt asks for

A run writes OUT (default FOLDER/out): a file for each training, and at its end one archive of all. Merged, they are
what the studies' own steps would have left (`merge_runs.py`), so that ``STUDY.py FOLDER/STUDY --full`` goes on from
there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

from measure import MEASURED, TIMES, timing_step, training_cells
from merge_runs import pack, place_studies
from results import provenance
from study import Options
from taylorfit.__main__ import run_command
from taylorfit.analysis.scan_grid import Point, points_of
from taylorfit.analysis.scan_groups import point_folder
from taylorfit.errors import InputError
from taylorfit.formats.scan_table import KEY, Row, read_scan_table
from taylorfit.formats.structures.files import expand_patterns
from taylorfit.model.structure import Structure
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.train import TrainInput
from taylorfit.tools.atomic_write import atomic_write

TABLES = ("starts.csv", "steps.csv", "rdf.csv")
"""Of dynamics."""
PLAN = Path(__file__).parent / "inputs" / "spread.txt"
MICROSECONDS = {"energy": 0.16, "taylor": 0.165, "centred": 0.165, "directional": 0.35, "exact": 2.2}
"""Time of an epoch for each atom (with copies: theirs, too) of networks 48-10-10-1, one thread; measured at most."""
DIRECTION = 0.035
"""The same for each direction."""
WEIGHTS = 611
"""Of such a network."""
COPYING, STEP, START = 6.0, 3.0, 5.0
"""To make the descriptors of an atom and a step of dynamics for one, µs; to begin, s."""
TIMING, TIMING_SECONDS = "timing", 60.0
"""Word of a plan: times of epochs; how long that takes, s."""
LONGEST = 45.0
"""Seeds are trained on in one process, which makes their copies once, as long as that takes no more seconds."""
LAST_SECONDS = 12.0
"""To stop what still runs, and to write the archive."""


@dataclass(frozen=True)
class Job:
    """Some seeds of a training, and dynamics with each of the potentials."""

    study: str
    scan: str
    """Input file."""
    values: tuple[int, ...]
    """Place of the value of each axis in the input file, but seeds."""
    seeds: tuple[int, ...]
    md: str
    """Input file of dynamics; empty: none."""
    cost: float
    """s"""

    @property
    def name(self) -> str:
        """Of its files."""
        places, seeds = "-".join(map(str, self.values)), "-".join(map(str, self.seeds))
        return f"{self.study}.{Path(self.scan).stem}.{places}.{seeds}"

    def narrowed(self) -> ScanInput:
        """Its own scan, with a table and a folder of its own."""
        whole = ScanInput.read(self.scan)
        places = iter(self.values)
        axes = []
        for axis in whole.axes:
            keep = [axis.values.index(seed) for seed in self.seeds] if axis.name == "seeds" else [next(places)]
            axes.append(
                replace(axis, values=tuple(axis.values[k] for k in keep), words=tuple(axis.words[k] for k in keep))
            )
        folder = Path("spread") / self.name
        return replace(whole, axes=tuple(axes), output=str(folder / "scan.csv"), folder=str(folder / "scan"))


# --- what is to be done ------------------------------------------------------------------------


def read_plan(path: Path) -> list[tuple[str, str, tuple[int, ...], str]]:
    """Study, input file, seeds and input file of dynamics of each line, the most wanted first."""
    lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    plan: list[tuple[str, str, tuple[int, ...], str]] = []
    for study, scan, *more in (line for line in lines if line):
        seeds, *md = more or [""]
        if scan == TIMING:
            plan.append((study, scan, (), ""))
            continue
        first, _, last = seeds.partition("-")
        plan.append((study, scan, tuple(range(int(first), int(last or first) + 1)), md[0] if md else ""))
    return plan


def jobs_of(
    study: str, scan: str, seeds: Sequence[int], md: str, atoms: float, known: set[tuple[str, str, int]]
) -> Iterator[Job]:
    """Those of a line of the plan, in the folder of the study.

    Parameters
    ----------
    atoms
        mean number in a structure
    known
        trainings that earlier lines have; those of this line are added
    """
    if scan == TIMING:
        yield Job(study, scan, (), (), "", TIMING_SECONDS)
        return
    whole = ScanInput.read(scan)
    base, train = GenerateInput.read(whole.generate), TrainInput.read(whole.train)
    n_structures = len(expand_patterns([entry.path for entry in base.files]))
    axes = [range(len(axis.values)) for axis in whole.axes if axis.name != "seeds"]
    for values in product(*axes):
        one = Job(study, scan, values, (seeds[0],), md, 0.0)
        (point,) = points_of(one.narrowed(), base, train, scan)
        identity = whole.generate + repr(replace(point, settings=replace(point.settings, seed=0)))
        wanted = [seed for seed in seeds if (study, identity, seed) not in known]
        known |= {(study, identity, seed) for seed in wanted}
        made, each = _cost(point, atoms * (point.plan.size or n_structures), MdInput.read(md) if md else None, atoms)
        together = max(1, int((LONGEST - made) / each))
        for first in range(0, len(wanted), together):
            own = tuple(wanted[first : first + together])
            yield replace(one, seeds=own, cost=made + each * len(own))


def _cost(point: Point, atoms: float, md: MdInput | None, one: float) -> tuple[float, float]:
    """Seconds for the training set, and for each training on it, with dynamics of structures of `one` atoms."""
    copies = point.plan.derivatives
    all_atoms = atoms * (1.0 + (copies.fraction if copies is not None else 0.0))
    settings = point.settings
    hidden = [n for n, _ in settings.networks[0].hidden or ()]
    sizes = [48, *hidden, 1]
    work = sum((n + 1) * m for n, m in pairwise(sizes)) / WEIGHTS
    rate = MICROSECONDS[point.mode] + (DIRECTION * settings.forces.directions if point.mode == "directional" else 0.0)
    epoch = 1e-6 * rate * all_atoms * work * 0.9
    if settings.precision == "single" and point.mode not in ("exact", "directional"):
        epoch *= 0.6
    each = settings.iterations * epoch + 2.0
    if md is not None:
        cells = md.repeat[0] * md.repeat[1] * md.repeat[2]
        each += 1e-6 * STEP * (md.equilibration + md.steps) * one * cells * md.starts
    return START + 1e-6 * COPYING * all_atoms, each


def is_done(job: Job, out: Path) -> bool:
    """Whether a run before has done it."""
    file = out / f"{job.name}.json"
    return file.exists() and json.loads(file.read_text(encoding="utf-8"))["code"] == 0


# --- a job -------------------------------------------------------------------------------------


def run_job(job: Job, out: Path) -> None:
    """Train, measure, run dynamics; write what there is after each training."""
    if job.scan == TIMING:
        code = timing_step().run(Options("full", 1))
        times = json.loads(Path(TIMES).read_text(encoding="utf-8"))
        with atomic_write(out / f"{job.name}.json") as stream:
            json.dump({"study": job.study, "table": "", "rows": [], "times": times, "code": code}, stream)
        return
    scan = job.narrowed()
    folder = Path(scan.folder).parent
    folder.mkdir(parents=True, exist_ok=True)
    scan.write(folder / "scan.in")
    code = run_command(["scan", str(folder / "scan.in"), "--threads", "1"], folder / "scan.log")
    frames: list[Structure] = []
    found = []
    rows = read_scan_table(scan.output)
    for row in rows:
        place = point_folder(scan.folder, row[KEY])
        training_cells(row, place, frames)
        found.append({"row": row, "cells": json.loads((place / MEASURED).read_text(encoding="utf-8"))})
    content = {"study": job.study, "table": ScanInput.read(job.scan).output, "rows": found}
    with atomic_write(out / f"{job.name}.json") as stream:
        json.dump(content | {"cost": job.cost, "cpu_seconds": time.process_time(), "code": code}, stream)
    shutil.rmtree(Path(scan.folder) / "sets", ignore_errors=True)
    for row in rows if job.md and not code else ():
        _dynamics(job, row, point_folder(scan.folder, row[KEY]), out)


def _dynamics(job: Job, row: Row, potentials: Path, out: Path) -> None:
    """Run dynamics with one potential, whose label says mode and seed; the tables go to `out`."""
    label = f"{row['mode']}-{row['seed']}"
    folder = Path("spread") / job.name
    settings = MdInput.read(job.md)
    if label not in [name for name, _ in settings.potentials]:
        return
    own = replace(settings, potentials=((label, (str(potentials),)),), output=str(folder / label))
    own.write(folder / "md.in")
    run_command(["md", str(folder / "md.in"), "--threads", "1", "--force"], folder / f"{label}.log")
    for ending in TABLES:
        file = Path(f"{own.output}.{ending}")
        if file.exists():
            with atomic_write(out / f"{job.study}.{settings.output}.{label}.{ending}") as stream:
                stream.write(file.read_text(encoding="utf-8"))


# --- all of them -------------------------------------------------------------------------------


def chosen(jobs: Sequence[Job], seconds: float) -> list[Job]:
    """Those that fit into so many seconds of one core, the most wanted first, and of them the longest first."""
    left, found = seconds, []
    for job in jobs:
        if job.cost <= left:
            found.append(job)
            left -= job.cost
    return sorted(found, key=lambda job: -job.cost)


def run_all(jobs: Sequence[Job], folder: Path, out: Path, cores: int, end: float, speed: float) -> None:
    """Keep all cores at work until everything is done or the time is over."""

    def left() -> float:
        return (end - time.monotonic() - LAST_SECONDS) * speed

    fitting = [job for job in jobs if job.cost <= left()]
    queue = chosen(fitting, 0.92 * cores * left())
    later = [job for job in fitting if job not in queue]
    running: dict[subprocess.Popen[bytes], Job] = {}
    while (queue or later or running) and left() > 0.0:
        for process in [one for one in running if one.poll() is not None]:
            print(f"{end - time.monotonic():6.0f} s left; done: {running.pop(process).name}", flush=True)
        while len(running) < cores:
            source = queue or later
            job = next((one for one in source if one.cost <= left()), None)
            if job is None:
                later = [] if source is later else later
                queue = []
                break
            source.remove(job)
            words = [sys.executable, __file__, str(folder), "--out", str(out), "--job", json.dumps(vars(job))]
            log = (out / f"{job.name}.log").open("wb")
            one_thread = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            running[subprocess.Popen(words, stdout=log, stderr=log, env=one_thread)] = job
            log.close()
        if not queue and not later and not running:
            break
        time.sleep(0.2)
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process, job in running.items():
        try:
            process.wait(max(0.1, end - time.monotonic() - 4.0))
        except subprocess.TimeoutExpired:
            process.kill()
        print(f"stopped: {job.name}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what a plan wants."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the folders of the studies")
    parser.add_argument("--data", type=Path, metavar="DATA", help="folders lmnto, bulk-water, water-cluster, tio2")
    parser.add_argument("--plan", type=Path, default=PLAN, help="what is wanted (%(default)s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N", help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="S", help="in all (%(default)g)")
    parser.add_argument("--speed", type=float, default=1.0, help="of a core, over the one that costs were measured on")
    parser.add_argument("--out", type=Path, metavar="OUT", help="results (FOLDER/out)")
    parser.add_argument("--list", action="store_true", help="only say what is to be done")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    folder, out = arguments.folder.resolve(), (arguments.out or arguments.folder / "out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    if arguments.job is not None:
        words = json.loads(arguments.job)
        job = Job(**{**words, "values": tuple(words["values"]), "seeds": tuple(words["seeds"])})
        os.chdir(folder / job.study)
        run_job(job, out)
        return 0
    if arguments.data is None:
        raise InputError("no structures", expected="--data")
    plan = read_plan(arguments.plan)
    atoms = place_studies(folder, arguments.data.resolve(), [study for study, *_ in plan])
    jobs: list[Job] = []
    known: set[tuple[str, str, int]] = set()
    here = Path.cwd()
    for study, scan, seeds, md in plan:
        os.chdir(folder / study)
        jobs += jobs_of(study, scan, seeds, md, atoms[study], known)
        os.chdir(here)
    jobs = [job for job in jobs if not is_done(job, out)]
    total = sum(job.cost for job in jobs)
    print(f"{len(jobs)} jobs of {total / 60.0:.0f} minutes of one core; {arguments.cores} cores", flush=True)
    if arguments.list:
        for job in jobs:
            print(f"{job.cost:7.1f} s  {job.name}")
        return 0
    run_all(jobs, folder, out, arguments.cores, begin + arguments.seconds, arguments.speed)
    pack(folder, out, provenance("full"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
