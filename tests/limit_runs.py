"""Run commands on a disk that fills up and under limits of memory: ``python tests/limit_runs.py [N]``.

Each command runs in a folder on a disk of so many kilobytes (a tmpfs: needs root), or with so much address space,
from too little to enough.  It must do its work, or end with one line; after that, with enough of both, the same command
must give the results of a run that was never in want, and no temporary files may be left.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli_support import run_process
from kill_runs import ALL, make, results

DISK = ("generate", "train", "committee", "scan", "md", "train, single", "label", "select")
MEMORY = ("generate", "train", "committee", "md", "train, single", "select")


def _problem(found: subprocess.CompletedProcess[str]) -> str | None:
    """What is wrong with how a command in want has ended; None if nothing is."""
    if found.returncode < 0 or "Traceback" in found.stderr:
        last = found.stderr.strip().splitlines()[-1:] or [""]
        return f"exit code {found.returncode}: {last[0]}"
    if found.returncode and not found.stderr.strip():
        return f"exit code {found.returncode} without a word"
    return None


def _in_want(folder: Path, words: tuple[str, ...], limit: Callable[[], None] | None = None) -> str | None:
    command = [sys.executable, "-m", "taylorfit", *words]
    return _problem(subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=limit))


def _afterwards(name: str, folder: Path, expected: dict[str, bytes]) -> str | None:
    command = ALL[name]
    again = run_process(folder, *command.words, *command.again(folder))
    if again.code:
        return f"again: exit code {again.code}: {again.err.strip()}"
    if results(folder, command) != expected:
        return "other results"
    left = [path.name for path in folder.rglob(".*")]
    return f"left: {' '.join(left)}" if left else None


def fill_disk(name: str, base: Path, place: Path, spare: int, expected: dict[str, bytes]) -> str | None:
    """Run on a disk with `spare` kB more than what is there already."""
    used = sum(path.stat().st_size + 8192 for path in base.rglob("*")) // 1024
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + spare}k", "tmpfs", place], check=True)
    try:
        folder = Path(shutil.copytree(base, place / "toy"))
        problem = _in_want(folder, ALL[name].words)
        subprocess.run(["mount", "-o", "remount,size=200m", place], check=True)
        return problem or _afterwards(name, folder, expected)
    finally:
        subprocess.run(["umount", place], check=True)


def limit_memory(name: str, base: Path, place: Path, megabytes: int, expected: dict[str, bytes]) -> str | None:
    """Run with so much address space."""
    folder = Path(shutil.copytree(base, place / f"{name}-{megabytes}"))
    size = megabytes << 20
    problem = _in_want(folder, ALL[name].words, lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    return problem or _afterwards(name, folder, expected)


def main() -> int:
    """Print the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    lost = []
    with tempfile.TemporaryDirectory() as parent:
        base, place = Path(parent) / "base", Path(parent) / "place"
        place.mkdir()
        make(base)
        for file in ALL["generate"].results:
            (base / file).rename(base / f"{file}.kept")
        print("want    command          tried  survived  lost", flush=True)
        for want, names in (("disk", DISK), ("memory", MEMORY)):
            for name in names:
                start = Path(shutil.copytree(base, Path(parent) / f"{want}-{name}"))
                if name != "generate":
                    for file in ALL["generate"].results:
                        (start / f"{file}.kept").rename(start / file)
                whole = Path(shutil.copytree(start, Path(parent) / f"whole-{want}-{name}"))
                finished = run_process(whole, *ALL[name].words)
                assert finished.code == 0, finished.err
                expected = results(whole, ALL[name])
                found = []
                for k in range(n):
                    if want == "disk":
                        found.append(fill_disk(name, start, Path(parent) / "disk", 4 * 3**k, expected))
                    else:
                        found.append(limit_memory(name, start, place, 120 + 60 * k, expected))
                problems = [f"{want}, {name}, step {k}: {one}" for k, one in enumerate(found) if one]
                print(f"{want:7s} {name:16s} {n:5d} {n - len(problems):9d} {len(problems):5d}", flush=True)
                lost += problems
    print(*lost, sep="\n")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
