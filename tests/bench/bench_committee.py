"""Time of a committee of ten against that of one member: aim, at most 5.5 times on two cores.

Run with ``make bench`` or ``python tests/bench/bench_committee.py [--quick | EPOCHS]``.  The bundled water clusters
with 22 copies each, group-centred training; one member with one thread before and after the committee, which runs as
many members at a time as there are cores.  Processor time is shown because the wall time of a busy machine says little.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import QUICK, SHORT, record

from taylorfit.engine import available_threads

MEMBERS = 2 if QUICK else 4 if SHORT else 10
EPOCHS = 2 if QUICK else 20 if SHORT else 200


def timed(folder: str, *argv: str) -> tuple[float, float]:
    """Run a command of taylorfit; wall and processor time, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "taylorfit", *argv], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 and not SHORT else EPOCHS
    cores = available_threads()
    with tempfile.TemporaryDirectory() as folder:
        timed(folder, "example", "water-cluster", ".")
        if QUICK:
            for extra in sorted(Path(folder, "xsf").iterdir())[20:]:
                extra.unlink()
        timed(folder, "generate", "generate.in")
        path = Path(folder) / "train-centred.in"
        path.write_text(re.sub(r"ITERATIONS.*", f"ITERATIONS {epochs}", path.read_text()))
        single = ("train", path.name, "--fresh", "--threads", "1")
        committee = ("train", path.name, "--fresh", "--threads", str(cores), "--committee", str(MEMBERS))
        print(f"{epochs} epochs, {cores} cores, load average {os.getloadavg()[0]:.1f} (0 wanted)")
        print(f"{'':24}{'wall, s':>10}{'processor, s':>14}")
        times = {}
        for title, argv in (
            ("one member, one thread", single),
            (f"committee of {MEMBERS}", committee),
            ("one member again", single),
        ):
            times[title] = timed(folder, *argv)
            print(f"{title:24}{times[title][0]:10.1f}{times[title][1]:14.1f}", flush=True)
        first, ten, second = times.values()
        record(f"committee of {MEMBERS}, {epochs} epochs, whole process", times[f"committee of {MEMBERS}"][0], "s")
        wall, processor = (2.0 * ten[k] / (first[k] + second[k]) for k in (0, 1))
        print(
            f"committee / member: {wall:.2f} in wall time, {processor:.2f} in processor time "
            f"({processor / cores:.2f} per core)"
        )


if __name__ == "__main__":
    main()
