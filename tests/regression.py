"""What 40 runs of the command line write, as checksums: recorded before a change of structure, compared after it.

    TAYLORFIT_CPU=1 python tests/regression.py record FILE.json
    TAYLORFIT_CPU=1 python tests/regression.py check FILE.json

Checksums hold for one machine and one compiler, so none are committed.  `check` prints what differs and fails.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TAYLORFIT_CPU", "1")

import numpy as np

from cli_support import generate_in, make_crystals, make_toy, taylor, train_in, write_setups
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure

WALL_TIME = {"seconds", "seconds_per_epoch", "memory_mb"}
"""Keys of reports that differ from run to run."""
ENDINGS = {".nn", ".last", ".train", ".npz", ".geometry", ".forces", ".csv", ".stp", ".scaled", ".in"}

Case = Callable[[Path], list[list[str]]]
"""Fills a folder and returns the command lines to run there."""


def toy(copies: bool = True, extra: str = "") -> Callable[[Path], None]:
    """Morse clusters, with a block for Taylor copies unless told otherwise."""
    block = taylor(delta=0.03, fraction=4, outfile="copies.train") if copies else ""
    return lambda folder: make_toy(folder, 16, extra="\n".join(filter(None, (block, extra)))) and None


def two_species(folder: Path) -> None:
    """Clusters of two species with forces that follow from a pair potential of no physical meaning."""
    rng = np.random.default_rng(5)
    (folder / "xsf").mkdir()
    names = []
    for k in range(14):
        positions = np.array([[0, 0, 0], [2.3, 0, 0], [0, 2.4, 0], [0, 0, 2.2]]) + rng.normal(scale=0.1, size=(4, 3))
        vectors = positions[:, None] - positions[None]
        square = (vectors**2).sum(-1)
        energy = 0.05 * (square - 6.0)[np.triu_indices(4, 1)].__pow__(2).sum() - 40.0
        forces = -0.2 * ((square - 6.0) * (1 - np.eye(4)))[..., None] * vectors
        structure = Structure(
            ("Ar", "Ne", "Ar", "Ne"), positions, energy=float(energy), forces=forces.sum(1), name=f"xsf/{k:02d}.xsf"
        )
        write_xsf(folder / structure.name, structure)
        names.append(structure.name)
    write_setups(folder, ("Ar", "Ne"))
    block = taylor(delta=0.02, delta_Ne=0.01, fraction=3, outfile="copies.train")
    (folder / "generate.in").write_text(generate_in(("Ar", "Ne"), names, extra=block))


GENERATE = ["generate", "generate.in", "--report", "generate.json"]
TRAIN = ["train", "train.in", "--report", "train.json"]


def training(
    make: Callable[[Path], Any] | None = None,
    then: list[list[str]] | None = None,
    method: str | None = None,
    **keywords: Any,
) -> Case:
    """Generate, train with these keywords, then run more commands."""

    def case(folder: Path) -> list[list[str]]:
        (make or toy())(folder)
        text = train_in(**{"iterations": 6, "testpercent": 25, "seed": 3, **keywords})
        if method is not None:
            text = text.replace("METHOD\nbfgs", f"METHOD\n{method}")
        (folder / "train.in").write_text(text)
        return [GENERATE, TRAIN, *(then or [])]

    return case


def forces(options: str, **keywords: Any) -> Case:
    """A training with FORCES."""
    keywords = {
        "forces": options,
        **({"taylorset": "copies.train"} if "taylor" in options or "centred" in options else {}),
        **keywords,
    }
    return training(**keywords)


def generating(**options: Any) -> Case:
    """Copies by one strategy."""

    def case(folder: Path) -> list[list[str]]:
        make_toy(folder, 8, extra=taylor(outfile="copies.train", **options))
        return [
            GENERATE,
            ["info", "copies.train", "--report", "info.json"],
            ["convert", "copies.train", "copies.ascii"],
        ]

    return case


def strained(folder: Path) -> list[list[str]]:
    """Strained copies, and a training on the virial of them."""
    make_crystals(folder, fraction=6, strain=0.01)
    (folder / "train.in").write_text(
        train_in(iterations=5, testpercent=25, taylorset="copies.train", forces="mode=centred virial=0.01")
    )
    return [GENERATE, TRAIN]


def virial(folder: Path) -> list[list[str]]:
    """Exact forces and virial of periodic structures."""
    make_crystals(folder, fraction=6, strain=0.01)
    (folder / "train.in").write_text(train_in(iterations=5, testpercent=25, forces="mode=exact virial=0.01"))
    return [GENERATE, TRAIN]


def resumed(folder: Path) -> list[list[str]]:
    """Six epochs, then six more from the checkpoint."""
    commands = training(taylorset="copies.train", checkpoint=2)(folder)
    longer = (folder / "train.in").read_text().replace("ITERATIONS 6", "ITERATIONS 12")
    (folder / "longer.in").write_text(longer)
    (folder / "rename.txt").write_text("train.checkpoint.npz longer.checkpoint.npz")
    return [*commands, ["train", "longer.in", "--resume", "--report", "longer.json"]]


def scanned(folder: Path) -> list[list[str]]:
    """A small scan."""
    training(validation="xsf/0*.xsf", validationevery=4)(folder)
    (folder / "scan.in").write_text(
        "GENERATE generate.in\nTRAIN train.in\nTHREADS 1\n\n"
        "SCAN\nmode energy taylor centred exact\ndelta 0.02 0.04\nsize 12 16\nseeds 1 2\n"
    )
    return [["scan", "scan.in", "--report", "scan.json"]]


def dynamics(folder: Path) -> list[list[str]]:
    """A training and a short MD with it."""
    commands = training(iterations=20, forces="mode=exact")(folder)
    (folder / "md.in").write_text(
        "STRUCTURE xsf/00.xsf\nNETWORKS\nAr Ar.nn\n\nSTEPS 20\nSTARTS 2\nTHREADS 1\nTEMPERATURE 50\n"
    )
    return [*commands, ["md", "md.in", "--report", "md.json"]]


PREDICT = [
    "predict",
    "--potential",
    "Ar.nn",
    "xsf/00.xsf",
    "xsf/01.xsf",
    "xsf/02.xsf",
    "--save-predictions",
    "pred.npz",
    "--report",
    "predict.json",
    "--threads",
    "1",
]

CASES: dict[str, Case] = {
    "energy": training(toy(copies=False), then=[PREDICT]),
    "energy-total-loss": training(toy(copies=False), loss="total", maxenergy=-0.6),
    "energy-with-copies": forces("mode=energy", taylorset="copies.train"),
    "taylor": forces("mode=taylor", then=[PREDICT]),
    "taylor-copyweight": forces("mode=taylor", copyweight=0.5),
    "centred": forces("mode=centred beta=1e-2", then=[PREDICT]),
    "centred-default": training(taylorset="copies.train"),
    "taylor-total-loss": forces("mode=taylor", loss="total"),
    "directional": forces("mode=directional directions=6", then=[PREDICT]),
    "directional-percent": forces("mode=directional directions=4 percent=50"),
    "exact": forces("mode=exact beta=1e-2", then=[PREDICT]),
    "exact-schedule": forces("mode=exact beta=1e-2,1e-3@3"),
    "exact-percent": forces("mode=exact percent=50 energyweight=0.5"),
    "exact-two-species": training(two_species, species=("Ar", "Ne"), forces="mode=exact weight_Ne=0.5"),
    "centred-two-species": training(two_species, species=("Ar", "Ne"), taylorset="copies.train", forces="mode=centred"),
    "exact-derivatives": training(toy(copies=False, extra="FORCES"), forces="mode=exact derivatives=toy.train.forces"),
    "strained": strained,
    "virial": virial,
    "adam": training(toy(copies=False), method="adam mu=0.01 batchsize=4 samplesize=10"),
    "adam-taylor": training(method="adam mu=0.01 batchsize=8", taylorset="copies.train", forces="mode=taylor"),
    "ekf": training(toy(copies=False), method="ekf"),
    "ekf-random": training(toy(copies=False), method="ekf lambda=0.99", sampling="random"),
    "lm": training(toy(copies=False), method="lm batchsize=8"),
    "online_sd": training(toy(copies=False), method="online_sd gamma=0.03"),
    "sampling-weighted": training(toy(copies=False), method="online_sd gamma=0.03", sampling="weighted"),
    "sampling-energy": training(toy(copies=False), method="online_sd gamma=0.03", sampling="energy"),
    "committee": training(committee="3", taylorset="copies.train", validation="xsf/0*.xsf"),
    "committee-own": training(toy(copies=False), committee="2 split=own", forces="mode=exact"),
    "resume": resumed,
    "scan": scanned,
    "md": dynamics,
    "validation": forces("mode=exact", validation="xsf/0*.xsf", validationevery=2, patience=3, save_energies=True),
    "best-energy": forces("mode=exact", best="energy"),
    "activations": forces("mode=exact", hidden="3 4:twist 5:mtanh 3:sigmoid"),
    "random-copies": generating(delta=0.02, fraction=5, seed=7),
    "cartesian": generating(delta=0.02, strategy="cartesian", fraction=3),
    "orthogonal": generating(delta=0.02, strategy="orthogonal", fraction=4),
    "antithetic": generating(delta=0.02, strategy="antithetic", fraction=4, rotations="remove"),
    "curvature": generating(delta="auto", fraction=4, curvature="Ar:3.0", weights="truncation"),
    "setup": lambda folder: (
        make_toy(folder, 12),
        [
            ["setup", "xsf/*.xsf", "--output", "fit", "--report", "setup.json"],
            ["suggest", "xsf/*.xsf", "--curvature", "Ar:3", "--report", "suggest.json"],
            ["repel", "xsf/*.xsf", "--curvature", "Ar:3", "--output", "rep", "--report", "repel.json"],
        ],
    )[1],
}


def main() -> int:
    """Record or compare; the exit code."""
    action, file, *names = sys.argv[1:]
    found = dict(checksums(names or list(CASES)))
    if action == "record":
        Path(file).write_text(json.dumps(found, indent=1))
        return 0
    known = json.loads(Path(file).read_text())
    if names:
        known = {name: known[name] for name in names}
    different = [
        f"{case} {key}"
        for case in sorted(known.keys() | found.keys())
        for key in sorted(known.get(case, {}).keys() | found.get(case, {}).keys())
        if known.get(case, {}).get(key) != found.get(case, {}).get(key)
    ]
    print("\n".join(different) or f"equal: {len(found)} cases, {sum(map(len, found.values()))} files")
    return int(bool(different))


def checksums(names: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Run cases in folders of their own: name → file → checksum."""
    from taylorfit.commands import cli  # the engine is loaded after TAYLORFIT_CPU is set

    before = Path.cwd()
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                codes = {
                    f"exit code {k}": str(_run(cli.main, argv)) for k, argv in enumerate(CASES[name](Path(folder)))
                }
                yield name, {**codes, **dict(_files(Path(folder)))}
            finally:
                os.chdir(before)


def _run(main_: Callable[[list[str]], int], argv: list[str]) -> int:
    if Path("rename.txt").exists() and "--resume" in argv:
        Path.rename(*map(Path, Path("rename.txt").read_text().split()))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main_(argv)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            text = json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True)
            yield name, hashlib.md5(text.replace(str(folder), "").encode()).hexdigest()
        elif path.name.endswith("checkpoint.npz"):
            continue  # holds the time spent
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                yield (
                    name,
                    hashlib.md5(b"".join(key.encode() + arrays[key].tobytes() for key in sorted(arrays))).hexdigest(),
                )
        elif path.suffix == ".csv" and path.name == "scan.csv":
            yield name, _table(path)
        elif path.is_file() and (path.suffix in ENDINGS or ".ascii" in path.name):
            yield name, hashlib.md5(path.read_bytes()).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key not in WALL_TIME}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value


def _table(path: Path) -> str:
    """A table of a scan without its times, rows in an order that does not depend on which ended first."""
    head, *rows = (line.split(",") for line in path.read_text().splitlines())
    kept = [k for k, name in enumerate(head) if name not in WALL_TIME]
    return hashlib.md5(str(sorted([row[k] for k in kept] for row in rows)).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
