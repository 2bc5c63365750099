"""Time of whole programs, start-up of Python included: what small jobs and many small structures cost.

Run with ``make bench`` or ``python tests/bench/bench_programs.py``.  Water clusters of the example that ships;
10,000 small structures are displaced copies of them.  The limit is a Python that imports NumPy.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import bench_engine
import numpy as np
from bench_calculator import CUTOFFS, water, write_potentials
from figures import QUICK, SHORT, record

from taylorfit import read, write
from taylorfit.formats.aenet.setup_file import write_setup
from taylorfit.model.structure import Structure

RUNS = 1 if QUICK else 3 if SHORT else 10
MANY = 50 if QUICK else 2000 if SHORT else 10000
"""Small structures."""
INPUT = """OUTPUT {name}.train

TYPES
2
O -430.0
H -13.6

SETUPS
O O.stp
H H.stp
{block}
FILES
1
{files}
"""
COPIES = "\nDERIVATIVES\nmethod=taylor delta=0.008 fraction=22 outfile=copies.taylor.train seed=1\n"


def python(folder: Path, *argv: str) -> float:
    """Wall time of a run of Python, s."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *argv], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def make(folder: Path) -> None:
    """Clusters as XSF files and in one extended XYZ file, a potential, and input files."""
    taylorfit = (sys.executable, "-m", "taylorfit")
    subprocess.run([*taylorfit, "example", "water-cluster", "."], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    frames = read([str(folder / "xsf/*.xsf")])
    rng = np.random.default_rng(0)
    many: list[Structure] = []
    for number in range(MANY):
        frame = frames[number % len(frames)]
        moved = np.round(frame.positions + rng.normal(0.0, 0.03, frame.positions.shape), 8)
        many.append(replace(frame, positions=moved, name=""))
    write(str(folder / "many"), many)
    write(str(folder / "many.extxyz"), many)
    write(str(folder / "ten"), many[:10])
    setups = bench_engine.setups(CUTOFFS["6.5/3.0, orders 18/4"])
    for setup in setups:
        write_setup(folder / f"{setup.species}.stp", setup)
    write_potentials(folder, setups, water(2))
    for name, files, block in (
        ("ten", "ten/*.xsf", ""),
        ("many", "many/*.xsf", ""),
        ("extxyz", "many.extxyz", ""),
        ("copies", "many.extxyz" if QUICK else "many.extxyz@:500", COPIES),
    ):
        (folder / f"{name}.in").write_text(INPUT.format(name=name, files=files, block=block))


def main() -> None:
    """Measure all programs in turn, and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        one = sorted((folder / "ten").iterdir())[0]
        module = ("-m", "taylorfit")
        generate = (*module, "generate", "--force")
        programs = {
            "Python and NumPy": ("-c", "import numpy"),
            "predict, one cluster": (*module, "predict", "--potential", "O.nn", "H.nn", str(one)),
            "generate, ten clusters": (*generate, "ten.in"),
            f"generate, {MANY} clusters, XSF": (*generate, "many.in"),
            f"generate, {MANY} clusters, extended XYZ": (*generate, "extxyz.in"),
            "generate, copies, one thread": (*generate, "copies.in", "--threads", "1"),
            "generate, copies, two threads": (*generate, "copies.in", "--threads", "2"),
            f"convert, {MANY} clusters to text": (*module, "convert", "many.train", "many.txt", "--force"),
        }
        times: dict[str, list[float]] = {title: [] for title in programs}
        for _ in range(RUNS):
            for title, argv in programs.items():
                times[title].append(python(folder, *argv))
        start = min(times["Python and NumPy"])
        print(f"{'whole programs, best of ' + str(RUNS):48s}{'s':>8s}")
        for title, own in times.items():
            print(f"{title:48s}{min(own):8.3f}")
            if title != "Python and NumPy":
                record(f"program: {title}", min(own), "s", limit=start, of="NumPy")


if __name__ == "__main__":
    main()
