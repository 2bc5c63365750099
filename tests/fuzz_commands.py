"""Damage the archives and tables that commands read: ``python tests/fuzz_commands.py [N] [SEED]``.

Each command must do its work or refuse the file in one line; anything else is listed.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from cli_support import run, succeed
from kill_runs import MD, TRAIN, make

PLOT = ("-o", "p.png")
CASES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("train.checkpoint.npz", (("train", "train.in", "--resume"), ("info", "train.checkpoint.npz"))),
    ("md.checkpoint.npz", (("md", "md.in", "--resume"), ("info", "md.checkpoint.npz"))),
    ("toy.train.geometry", (("train", "exact.in"), ("info", "toy.train.geometry"))),
    ("scan.csv", (("scan", "scan.in"), ("plot", "scan", "scan.csv", *PLOT))),
    ("md.steps.csv", (("plot", "nve", "md.steps.csv", *PLOT),)),
    ("md.rdf.csv", (("plot", "rdf", "md.rdf.csv", *PLOT),)),
)
"""Files, and what reads them."""
CELLS = ("", "nan", "inf", "-1", "1e400", "x", '"', "0", "9" * 20, "\x1b[31m", "1.5", " ", "1e308", "7" * 200_000)


def prepare(folder: Path) -> None:
    """Make the files."""
    make(folder)
    for name in ("train.in", "exact.in"):
        text = (folder / "train.in").read_text().replace(f"ITERATIONS {TRAIN['iterations']}", "ITERATIONS 4")
        (folder / name).write_text(
            text.replace("adam", "bfgs") + ("\nFORCES mode=exact\n" if name == "exact.in" else "")
        )
    (folder / "md.in").write_text(MD.replace("STEPS 200", "STEPS 10") + "RDF pairs=O-O,H-O r_max=5 bins=5\n")
    for command in ("train", "scan", "md"):
        succeed(folder, command, f"{command}.in")


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


ARRAYS = ([0.0] * 3, [[np.nan] * 2] * 2, "x", 1e300, -1, [], ["a", "b"], True, np.zeros((2, 3, 4), "i4"), [1j] * 3)
STRANGE = (b"", b"hi", *(_npy(np.array(array)) for array in ARRAYS))


def _changed_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[at] = rng.randrange(256)
        elif kind == 1:
            changed[at : at + 4] = rng.randbytes(4)
        elif kind == 2:
            del changed[at : at + rng.randint(1, 60)]
        changed = changed[: max(1, at)] if kind == 3 else changed or bytearray(b"x")
    return bytes(changed)


def _changed_archive(content: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    kind = rng.randrange(5)
    if kind < 2:
        members[name] = rng.choice(STRANGE)
    elif kind == 2:
        members[name] = _changed_bytes(members[name], rng)
    elif kind == 3:
        del members[name]
    else:
        array = np.load(io.BytesIO(members[name])).reshape(-1)
        if array.dtype.kind in "fi" and array.size:
            array[rng.randrange(array.size)] = rng.choice([0, -1, 10**9])
        members[name] = _npy(array if rng.random() < 0.5 else array[:-1])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for member, value in members.items():
            archive.writestr(member, value)
    return stream.getvalue()


def damaged(name: str, content: bytes, rng: random.Random) -> bytes:
    """The content of a file, damaged."""
    if rng.random() < 0.4:
        return _changed_bytes(content, rng)
    if not name.endswith(".csv"):
        return _changed_archive(content, rng)
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(CELLS)
    return "\n".join(map(",".join, rows)).encode() + b"\n"


def attempt(folder: Path, command: tuple[str, ...]) -> str:
    """Run a command: done, refused, or what else happened."""
    try:
        result = run(folder, *command)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}: {error}"
    if result.code == 0:
        return "done"
    return "refused" if result.code == 2 and result.err.count("\n") == 1 else f"exit code {result.code}: {result.err}"


def fuzz(folder: Path, n: int, seed: int) -> dict[str, Counter[str]]:
    """Damage each file `n` times; return what became of each."""
    prepare(folder)
    rng = random.Random(seed)
    whole = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    found: dict[str, Counter[str]] = {name: Counter() for name, _ in CASES}
    for name, commands in CASES:
        for _ in range(n):
            content = damaged(name, whole[folder / name], rng)
            for command in commands:
                (folder / name).write_bytes(content)
                found[name][attempt(folder, command)] += 1
                for path in set(folder.iterdir()) - set(whole):
                    if path.is_file():
                        path.unlink()
                for path, old in whole.items():
                    path.write_bytes(old)
    return found


def main() -> int:
    """Print the table."""
    n, seed = (int(word) for word in (sys.argv[1:] + ["100", "1"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(Path(folder), n, seed)
    print("file                   tried  done  refused  else")
    other: list[str] = []
    for name, counts in found.items():
        rest = [what for what in counts if what not in ("done", "refused")]
        n_rest = sum(counts[what] for what in rest)
        print(f"{name:22s} {counts.total():5d} {counts['done']:5d} {counts['refused']:8d} {n_rest:5d}")
        other += [f"{name}: {what}" for what in rest]
    print(*other, sep="\n")
    return bool(other)


if __name__ == "__main__":
    sys.exit(main())
