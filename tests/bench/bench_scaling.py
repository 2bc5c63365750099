"""What threads and ranks gain: epochs of all ways to train, whole cells, molecular dynamics, and training sets.

Run with ``make bench`` or ``python tests/bench/bench_scaling.py [--cores N] [--seconds S] [--output FILE.json]``: 1, 2,
4 … N threads or ranks in turn, beside what products of matrices in cache (dgemm) and sums of vectors in memory (triad)
gain on as many cores of this machine.  After S seconds nothing new is begun.  LMNTO and bulk water are those of
../shared/data, where these are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import bench_engine
import numpy as np
from bench_calculator import CUTOFFS, per_step, water, write_potentials
from bench_forces import Epochs, bulk, cluster, shared, unpack
from figures import QUICK, SHORT, record

import taylorfit
from taylorfit import Calculator, engine, write
from taylorfit.formats.aenet.setup_file import write_setup
from taylorfit.model.descriptor import DescriptorSetup, chebyshev_setup
from taylorfit.model.structure import Structure

ROUNDS = 1 if QUICK else 2 if SHORT else 3
System = tuple[str, list[Structure], list[DescriptorSetup], int]
"""Title, structures, descriptors, copies (or directions) of each structure."""
PROGRAM = """
import json, os, sys, time
from taylorfit.commands.cli import main
from taylorfit.training.loop import Training

run, seconds = Training.run, []

def timed(*arguments, **options):
    start = time.perf_counter()
    for epoch in run(*arguments, **options):
        seconds.append(time.perf_counter() - start)
        yield epoch
        start = time.perf_counter()

Training.run = timed
code = main(sys.argv[1:])
status = open("/proc/self/status").read()
peak = int(status[status.index("VmHWM:") + 6:].split()[0])
json.dump({"peak": peak / 1e3, "seconds": seconds}, open(f"rank.{os.getpid()}", "w"))
sys.exit(code)
"""
"""taylorfit that leaves its peak memory, MB, and the times of its epochs in a file."""
TRAINED_ON = {"taylor": "TAYLORSET copies.train\nFORCES mode=taylor", "exact": "FORCES mode=exact beta=0.01"}
DISPLACEMENTS = "\nDERIVATIVES\nmethod=taylor delta=0.008 fraction={} outfile=copies.train seed=1 N_max=10000000\n"


class Table:
    """Times by number of threads or ranks, shown as gains over one."""

    def __init__(self, counts: Sequence[int], end: float) -> None:
        self.counts, self._end = counts, end
        self.rows: dict[str, tuple[str, dict[int, list[float]]]] = {}

    def is_late(self) -> bool:
        """Whether nothing new may begin."""
        return time.monotonic() > self._end

    def measure(self, name: str, run: Callable[[int], float], unit: str, *, rounds: int = ROUNDS) -> None:
        """Take the least time of some rounds and of earlier ones, each over all numbers of threads or ranks in turn."""
        times = self.rows.setdefault(name, (unit, {}))[1]
        for _ in range(rounds):
            for n in self.counts:
                if not self.is_late():
                    times.setdefault(n, []).append(run(n))
        if not times:
            del self.rows[name]
            return
        one = min(times[self.counts[0]])
        gains = "".join(f"{one / min(own):8.2f}" for own in times.values())
        print(f"{name:44s}{one:10.4g} {unit:6s}{gains}", flush=True)

    def keep(self, what: str) -> None:
        """Keep the least times for the table of run.py."""
        for name, (unit, times) in self.rows.items():
            for n, own in times.items():
                record(f"{name}, {n} {what}(s)", min(own), unit)

    def head(self, what: str) -> None:
        """Say what follows."""
        print(f"\n{'gain with ' + what:44s}{'one':>10s}       " + "".join(f"{n:8d}" for n in self.counts))


def at_once(work: Callable[[], object]) -> Callable[[int], float]:
    """Time of a share of work when n threads each do their own at the same time, over n."""

    def run(n: int) -> float:
        workers = [threading.Thread(target=work) for _ in range(n)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return (time.perf_counter() - start) / n

    return run


def limits(table: Table) -> None:
    """What dgemm and streams gain."""
    a = np.random.default_rng(0).standard_normal((256, 256))
    table.measure("dgemm in cache", at_once(lambda: engine.blas_product(a, a, 4 if QUICK else 200)), "s")
    n = 1 << (14 if QUICK else 22)
    arrays = [[np.ones(n) for _ in range(3)] for _ in range(max(table.counts))]

    def stream() -> None:
        with lock:
            x, y, z = arrays.pop()
        for _ in range(20):
            np.add(x, y, out=z)
        with lock:
            arrays.append([x, y, z])

    lock = threading.Lock()
    table.measure("sums of vectors in memory", at_once(stream), "s")


def times_over(structures: list[Structure], times: int) -> list[Structure]:
    """Structures and slightly displaced repetitions of them."""
    rng = np.random.default_rng(0)
    return structures + [
        replace(s, positions=np.round(s.positions + rng.normal(0.0, 0.003, s.positions.shape), 8), name="")
        for _ in range(times - 1)
        for s in structures
    ]


def lmnto() -> System | None:
    """LMNTO and the paper's descriptor, where the data are there."""
    archive = shared("lmnto/train.tar.xz")
    if not archive.exists():
        return None
    species = ("Li", "Mo", "Ni", "Ti", "O")
    own = [
        chebyshev_setup(s, species, radial_cutoff=6.5, radial_order=20, angular_cutoff=3.5, angular_order=2)
        for s in species
    ]
    return "LMNTO", unpack(archive, 60 if SHORT else 624), own, 22


def systems() -> Iterable[System]:
    """Those that epochs are measured of."""
    found = lmnto()
    if found:
        yield found
    title, structures, own, a = bulk()
    yield title.partition(",")[0], structures, own, a


def epochs(table: Table, cores: int) -> None:
    """One evaluation of loss and gradient."""
    for title, structures, own, a in systems():
        many = times_over(structures, 1 if SHORT else 3 if title == "LMNTO" else 6)
        for mode in ("energy", "taylor", "directional", "exact"):
            if table.is_late():
                return
            # Copies are 24 times as many
            some = many[: len(many) // 3 + 1] if mode == "taylor" else many
            made = Epochs(some, own, a, (mode,), single=False, threads=cores)
            made.run(mode, cores)

            def one(n: int, made: Epochs = made, mode: str = mode) -> float:
                return 1e3 * min(made.run(mode, n) for _ in range(1 if QUICK else 3))

            table.measure(f"{title}: {mode} epoch, {made.n_atoms} atoms", one, "ms")


def evaluation(table: Table, folder: Path) -> None:
    """Energies and forces of a large cell, steps of a small one."""
    parameters = CUTOFFS["6.5/3.0, orders 18/4"]
    potentials = bench_engine.random_potentials(bench_engine.setups(parameters))
    for side in (4,) if QUICK else (12,) if SHORT else (24,):
        atoms = water(side)
        cell = Structure(tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, (True,) * 3)

        def whole(n: int, cell: Structure = cell) -> float:
            start = time.perf_counter()
            engine.evaluate([cell], potentials, threads=n)
            return 1e3 * (time.perf_counter() - start)

        whole(1)
        table.measure(f"energy and forces, list included, {len(atoms)} atoms", whole, "ms")
    for side in (2,) if QUICK else (4,) if SHORT else (4, 12, 24):
        atoms = water(side)
        write_potentials(folder / str(side), bench_engine.setups(parameters), atoms)

        def step(n: int, side: int = side, atoms: object = atoms) -> float:
            calculator = Calculator(folder / str(side), threads=n, on_extrapolation="ignore")
            return per_step(atoms, calculator, max(4, 20000 // len(atoms)), 1 if side > 12 else 3)[0] * len(atoms) / 1e3

        table.measure(f"MD step, {len(atoms)} atoms", step, "ms", rounds=1 if side > 12 else ROUNDS)


def prepare(folder: Path, system: System, times: int, copies: float) -> None:
    """Structures in one file, setups, and generate.in."""
    _, structures, own, _ = system
    write(str(folder / "all.extxyz"), times_over(structures, times))
    for setup in own:
        write_setup(folder / f"{setup.species}.stp", setup)
    lines = ["OUTPUT all.train", "", "TYPES", str(len(own)), *(f"{setup.species} -10.0" for setup in own), ""]
    lines += ["SETUPS", *(f"{setup.species} {setup.species}.stp" for setup in own), DISPLACEMENTS.format(copies)]
    (folder / "generate.in").write_text("\n".join([*lines, "FILES", "1", "all.extxyz", ""]))


def python(folder: Path, *command: str) -> tuple[float, str]:
    """Run a program; return its seconds and output."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return time.perf_counter() - start, done.stdout


def generation(table: Table, folder: Path) -> None:
    """Training sets with copies, as whole programs."""
    copies = 22 if SHORT else 70
    for number, system in enumerate(islice(systems(), 1)):
        own = folder / f"generate{number}"
        own.mkdir()
        prepare(own, system, 1, copies)
        command = (sys.executable, "-m", "taylorfit", "generate", "--force", "generate.in", "--threads")
        python(own, sys.executable, "-m", "compileall", "-q", str(Path(taylorfit.__file__).parent))

        def one(n: int, own: Path = own, command: tuple[str, ...] = command) -> float:
            return python(own, *command, str(n))[0]

        table.measure(f"{system[0]}: generate, {copies} copies", one, "s", rounds=1)


class Trainings:
    """Trainings of a system on MPI ranks with a thread each."""

    def __init__(self, mpirun: str, folder: Path, system: System) -> None:
        self.title, self.species = system[0], [setup.species for setup in system[2]]
        self._mpirun, self._folder = mpirun, folder
        folder.mkdir()
        times = 1 if SHORT else {"LMNTO": 1, "(H2O)6": 4}.get(self.title, 3)
        prepare(folder, system, times, 12)
        python(folder, sys.executable, "-m", "taylorfit", "generate", "--force", "generate.in")
        self.notes: dict[str, dict[int, dict[str, object]]] = {mode: {} for mode in TRAINED_ON}

    def run(self, mode: str, n: int) -> float:
        """Train; note checksum of the potentials and peak memory of all ranks, and return the time of an epoch, ms."""
        networks = "".join(f"{symbol} {symbol}.nn 2 20:tanh 20:tanh\n" for symbol in self.species)
        for left in (*self._folder.glob("*.nn*"), *self._folder.glob("train.*")):
            left.unlink()
        (self._folder / "train.in").write_text(
            f"TRAININGSET all.train\n{TRAINED_ON[mode]}\nTESTPERCENT 5\nITERATIONS {3 if SHORT else 9}\nTHREADS 1\n\n"
            f"METHOD\nbfgs\n\nNETWORKS\n{networks}"
        )
        command = (self._mpirun, "-np", str(n), sys.executable, "-c", PROGRAM, "train", "train.in")
        seconds, text = python(self._folder, *command)
        files = sorted(self._folder.glob("rank.*"))
        found = [json.loads(file.read_text()) for file in files]
        for file in files:
            file.unlink()
        potentials = b"".join((self._folder / f"{symbol}.nn").read_bytes() for symbol in self.species)
        self.notes[mode][n] = {
            "seconds": seconds,
            "prepared": re.findall(r"prepared in (.*)", text)[0],
            "peaks, MB": [one["peak"] for one in found],
            "md5": hashlib.md5(potentials).hexdigest(),
            "epochs, ms": [round(1e3 * value, 2) for value in found[0]["seconds"]],
        }
        # The first epochs also load modules and touch memory for the first time
        return 1e3 * max(float(np.median(one["seconds"][3:] or one["seconds"])) for one in found)

    def show(self) -> None:
        """Print what was noted."""
        for mode, notes in self.notes.items():
            sums = {str(note["md5"]) for note in notes.values()}
            verdict = {0: "none, not run", 1: "equal"}.get(len(sums), "DIFFERENT")
            print(f"{self.title}, {mode}: md5 of potentials {verdict} {' '.join(sums)}")
            for n, note in notes.items():
                memory = " ".join(f"{peak:.0f}" for peak in note["peaks, MB"])
                print(f"  {n} rank(s): prepared in {note['prepared']}, {note['seconds']:.1f} s in all, MB {memory}")


def ranks(table: Table, folder: Path) -> dict[str, object]:
    """Trainings on MPI ranks."""
    mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}") or shutil.which("mpirun")
    if find_spec("mpi4py") is None or mpirun is None:
        print("no MPI here")
        return {}
    trainings: list[Trainings] = []
    for again in range(1 if SHORT else 3):
        for number, system in enumerate([*(() if QUICK else systems()), ("(H2O)6", *cluster()[1:])]):
            if table.is_late():
                break
            if not again:
                trainings.append(Trainings(mpirun, folder / f"ranks{number}", system))
            one = trainings[number]
            for mode in one.notes:
                table.measure(f"{one.title}: {mode} epoch", partial(one.run, mode), "ms", rounds=1)
            one.show()
    return {one.title: one.notes for one in trainings}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=min(2, engine.available_threads()) if SHORT else 0)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--output", type=Path)
    given, _ = parser.parse_known_args()
    cores = given.cores or engine.available_threads()
    counts = sorted({*(2**k for k in range(10) if 2**k <= cores), cores})
    few = [n for n in counts if n in (1, 2, 4, counts[-1])]
    print(f"taylorfit engine {engine.build_name()}, {engine.available_threads()} cores available")
    start = time.monotonic()
    # Ranks come last and take long: what is before leaves them half of the time
    threads, processes = Table(counts, start + given.seconds / 2), Table(few, start + given.seconds)
    made = {"engine": engine.build_name(), "threads": threads.rows, "ranks": processes.rows, "trainings": {}}

    def save() -> None:
        made["seconds"] = time.monotonic() - start
        if given.output:
            given.output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        threads.head("threads")
        limits(threads)
        evaluation(threads, folder)
        generation(threads, folder)
        epochs(threads, cores)
        save()
        processes.head("ranks of one thread")
        made["trainings"] = ranks(processes, folder)
    threads.keep("thread")
    processes.keep("rank")
    save()


if __name__ == "__main__":
    main()
