"""Run all benchmarks, and show their figures in one table beside what this core can do.

    make bench                                  all, short: under three minutes
    make bench ARGS='--compare FILE.json'       and name what has become slower since a stored run
    python tests/bench/run.py bench_forces      one of them

Writes build/bench/bench.json (or `--output`); what each benchmark prints goes to a file beside it.  `--full` repeats as
often as the benchmarks do by themselves.  Compare runs of one machine, and look at the load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from figures import FILE_VARIABLE, LIMITS, limit_of

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SLOWER = 1.25
"""A figure that has become so many times larger is a regression; busy machines reach 1.2."""
LONGEST = 600
"""Seconds after which a benchmark is given up."""


def main() -> int:
    """Run, print, write and compare."""
    arguments = parser().parse_args()
    before = json.loads(arguments.compare.read_text(encoding="utf-8")) if arguments.compare else None
    scripts = [path for path in sorted(HERE.glob("bench_*.py")) if not arguments.names or path.stem in arguments.names]
    if not scripts:
        print(f"no such benchmark: {' '.join(arguments.names)}", file=sys.stderr)
        return 2
    folder = arguments.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    limits = {what: limit_of(what) for what in LIMITS}
    made = {**about(), "limits": limits}
    print(
        f"{made['processor']}, {made['cores']} cores, load {made['load']:.1f}; one core: "
        f"dgemm {limits['dgemm'] / 1e9:.1f} GFlop/s, reads {limits['read'] / 1e9:.1f} GB/s from memory\n"
    )
    figures, failed = [], []
    for script in scripts:
        own = run(script, folder, limits, arguments)
        figures += own or []
        failed += [script.name] if own is None else []
        show(own or [], before)
    made |= {"figures": figures, "failed": failed, "seconds": time.monotonic() - start}
    arguments.output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"\n{len(figures)} figures in {made['seconds']:.0f} s, in {arguments.output}; what they print is beside it")
    slower = regressions(figures, before)
    for line in slower:
        print(line)
    if failed:
        print(f"failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed or slower else 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="NAME", help="benchmarks such as bench_forces; default: all")
    made.add_argument("--compare", type=Path, metavar="FILE.json", help="a stored run")
    made.add_argument("--output", type=Path, metavar="FILE.json", default=REPOSITORY / "build/bench/bench.json")
    made.add_argument("--quick", action="store_true", help="smallest sizes, to see that everything runs")
    made.add_argument("--full", action="store_true", help="as many repeats as the benchmarks make by themselves")
    return made


def about() -> dict[str, object]:
    """Machine, commit and load."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    names = [line for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "commit": commit.strip() or None,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "python": platform.python_version(),
    }


def cpu_lines() -> list[str]:
    """What Linux knows of the processor."""
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def run(script: Path, folder: Path, limits: dict[str, float], arguments: argparse.Namespace) -> list[dict] | None:
    """Run a benchmark; return its figures, None if it failed."""
    file = folder / f"{script.stem}.jsonl"
    file.unlink(missing_ok=True)
    environment = {**os.environ, FILE_VARIABLE: str(file)}
    environment |= {f"TAYLORFIT_BENCH_{what.upper()}": repr(value) for what, value in limits.items()}
    options = ["--quick"] if arguments.quick else [] if arguments.full else ["--short"]
    text = folder / f"{script.stem}.txt"
    with text.open("w", encoding="utf-8") as stream:
        try:
            code = subprocess.run(
                [sys.executable, script, *options], env=environment, stdout=stream, stderr=stream, timeout=LONGEST
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    if code != 0:
        print(f"{script.name} failed, see {text}", file=sys.stderr)
        return None
    if not lines:
        print(text.read_text(encoding="utf-8").strip())
    return [json.loads(line) for line in lines]


def show(figures: list[dict], before: dict | None) -> None:
    """Print the rows of a benchmark."""
    old = {figure["name"]: figure["value"] for figure in before["figures"]} if before else {}
    for figure in figures:
        value, limit = figure["value"], figure["limit"]
        row = f"{figure['name']:66s}{value:10.4g} {figure['unit']:8s}"
        if limit is not None:
            row += f"{limit:10.4g} {figure['of']:8s}{limit / value:6.2f}"
        elif figure["name"] in old:
            row += " " * 25
        if figure["name"] in old:
            row += f"   was {old[figure['name']]:.4g}, {value / old[figure['name']]:.2f} of it"
        print(row.rstrip(), flush=True)


def regressions(figures: list[dict], before: dict | None) -> list[str]:
    """A line for each figure that is much larger than in a stored run."""
    old = {figure["name"]: figure["value"] for figure in before["figures"]} if before else {}
    return [
        f"slower: {figure['name']}: {figure['value']:.4g} {figure['unit']}, {figure['value'] / was:.2f} times as before"
        for figure in figures
        if (was := old.get(figure["name"])) and figure["value"] > SLOWER * was
    ]


if __name__ == "__main__":
    sys.exit(main())
