"""Running the command line in tests, and small data sets made on the fly: shared by tests/cli.

`run` calls `cli.main` in this process (fast); `start` and `run_process` take a process of their own, for
signals, pipes, terminals, and a sample of everything else.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from taylorfit.commands import cli
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure

GOLDEN = Path(__file__).parent / "data" / "golden"
"""The part of the golden data that lies in the project."""


# --- running commands --------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a user's error, without its prefix; fails if there is anything else."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        assert self.err.startswith("taylorfit: "), self.err
        return self.err.removeprefix("taylorfit: ").rstrip("\n")


def run(folder: Path, *argv: str, program: Callable[[list[str]], int] = cli.main) -> Result:
    """Run a command in `folder`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = program(list(argv))
            except SystemExit as exit_:
                code = int(exit_.code or 0)
    finally:
        os.chdir(before)
    return Result(code, out.getvalue(), err.getvalue())


def succeed(folder: Path, *argv: str) -> Result:
    """Run a command that must succeed without a word on stderr."""
    result = run(folder, *argv)
    assert (result.code, result.err) == (0, ""), (argv, result.code, result.err, result.out)
    return result


def report(folder: Path, *argv: str) -> dict[str, Any]:
    """Run a command that must succeed and return its JSON report."""
    succeed(folder, argv[0], "--report", "report.json", *argv[1:])
    return json.loads((folder / "report.json").read_text())


def start(folder: Path, *argv: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8", **options}
    return subprocess.Popen([sys.executable, "-m", "taylorfit", *argv], cwd=folder, **options)


def run_process(folder: Path, *argv: str, **options: Any) -> Result:
    """Run a command as a process of its own."""
    process = start(folder, *argv, **options)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out or "", err or "")


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file (and folder: None) below `folder`, to see that nothing came, went or changed."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# --- data made on the fly ----------------------------------------------------------------------


def morse(
    positions: np.ndarray, depth: float = 0.7, stiffness: float = 1.6, length: float = 2.3
) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of a Morse cluster at positions (n, 3), Å."""
    vectors = positions[:, None] - positions[None]
    distance = np.sqrt((vectors**2).sum(axis=-1)) + np.eye(len(positions))
    decay = np.exp(-stiffness * (distance - length))
    off_diagonal = ~np.eye(len(positions), dtype=bool)
    energy = 0.5 * (depth * (decay**2 - 2.0 * decay))[off_diagonal].sum()
    slope = np.where(off_diagonal, 2.0 * depth * stiffness * (decay - decay**2) / distance, 0.0)
    return float(energy), -(slope[..., None] * vectors).sum(axis=1)


def morse_cluster(rng: np.random.Generator, n_atoms: int = 5, symbols: Sequence[str] = (), name: str = "") -> Structure:
    """A cluster near 2.3 Å bonds, with total energy (-10 eV per isolated atom) and forces."""
    positions = np.zeros((n_atoms, 3))
    for i in range(1, n_atoms):
        while True:
            direction = rng.normal(size=3)
            trial = positions[rng.integers(i)] + rng.uniform(2.0, 2.6) * direction / np.linalg.norm(direction)
            if np.linalg.norm(positions[:i] - trial, axis=1).min() > 1.9:
                break
        positions[i] = trial
    energy, forces = morse(positions)
    return Structure(
        tuple(symbols) or ("Ar",) * n_atoms, positions, energy=energy - 10.0 * n_atoms, forces=forces, name=name
    )


SETUP = """DESCR
  toy
END DESCR
ATOM {symbol}
ENV {n}
{environment}
RMIN 0.5
BASIS type=Chebyshev
radial_Rc = {radius}  radial_N = {radial}  angular_Rc = {radius}  angular_N = {angular}
"""


def write_setups(folder: Path, species: Sequence[str], radius: float = 5.0, radial: int = 5, angular: int = 2) -> None:
    """Write a small Chebyshev setup for each species."""
    for symbol in species:
        (folder / f"{symbol}.stp").write_text(
            SETUP.format(
                symbol=symbol,
                n=len(species),
                environment="\n".join(species),
                radius=radius,
                radial=radial,
                angular=angular,
            )
        )


def generate_in(species: Sequence[str], files: Sequence[str], output: str = "toy.train", extra: str = "") -> str:
    """The text of a generate.in; isolated atoms have -10 eV."""
    return "\n".join(
        [
            f"OUTPUT {output}",
            "",
            "TYPES",
            str(len(species)),
            *(f"{s} -10.0" for s in species),
            "",
            "SETUPS",
            *(f"{s} {s}.stp" for s in species),
            "",
            extra,
            "",
            "FILES",
            str(len(files)),
            *files,
            "",
        ]
    )


def taylor(**options: Any) -> str:
    """The block DERIVATIVES."""
    return "DERIVATIVES\nmethod=taylor " + " ".join(f"{key}={value}" for key, value in options.items())


def train_in(
    species: Sequence[str] = ("Ar",), hidden: str = "2 6:tanh 6:tanh", trainingset: str = "toy.train", **keywords: Any
) -> str:
    """The text of a train.in; keywords in any case, True for a flag.

    One thread unless asked for: on a busy machine threads that wait for each other take a hundred times longer.
    """
    lines = [f"TRAININGSET {trainingset}"]
    keywords = {"threads": 1, **keywords}
    lines += [key.upper() if value is True else f"{key.upper()} {value}" for key, value in keywords.items()]
    return "\n".join([*lines, "", "METHOD", "bfgs", "", "NETWORKS", *(f"{s} {s}.nn {hidden}" for s in species), ""])


def train(folder: Path, *options: str, **keywords: Any) -> dict[str, Any]:
    """Write train.in, train, and return the report."""
    (folder / "train.in").write_text(train_in(**keywords))
    return report(folder, "train", "train.in", *options)


def make_toy(
    folder: Path, n_structures: int = 20, n_atoms: int = 5, seed: int = 1, extra: str = "", **setup: Any
) -> list[Structure]:
    """Fill `folder` with Morse clusters xsf/00.xsf …, Ar.stp and generate.in; return the structures."""
    rng = np.random.default_rng(seed)
    (folder / "xsf").mkdir(parents=True, exist_ok=True)
    structures = [morse_cluster(rng, n_atoms, name=f"xsf/{s:02d}.xsf") for s in range(n_structures)]
    for structure in structures:
        write_xsf(folder / structure.name, structure)
    write_setups(folder, ("Ar",), **setup)
    (folder / "generate.in").write_text(generate_in(("Ar",), [s.name for s in structures], extra=extra))
    return structures


def make_crystals(folder: Path, **options: object) -> list[Structure]:
    """Fill `folder` with four cells, one of no stress, one of next to none, and generate.in for strained copies."""
    rng = np.random.default_rng(3)
    structures = []
    for k in range(4):
        cell = 4.0 * np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))
        stress = rng.normal(scale=0.02, size=(3, 3))
        positions = np.array([[0.0, 0, 0], [2.0, 1.8, 2.1]]) + rng.uniform(-0.1, 0.1, (2, 3))
        structures.append(
            Structure(
                ("Ar", "Ar"),
                positions,
                cell,
                (True,) * 3,
                -20.5 - 0.1 * k,
                rng.normal(size=(2, 3)),
                stress + stress.T,
                name=f"c{k}.xsf",
            )
        )
    structures[1] = replace(structures[1], stress=None)
    structures[2] = replace(structures[2], stress=1e-5 * np.eye(3))
    for structure in structures:
        write_xsf(folder / structure.name, structure)
    write_setups(folder, ("Ar",))
    block = taylor(strategy="strain", outfile="copies.train", **options)
    (folder / "generate.in").write_text(generate_in(("Ar",), [s.name for s in structures], extra=block))
    return structures


# --- results of trainings ----------------------------------------------------------------------


VALIDATED = {"testpercent": 25, "taylorset": "copies.train", "validation": "xsf/0*.xsf", "validationevery": 7}
"""Keywords of a training on `make_toy` with copies, where much can differ."""

EPOCHS = ("train_mae", "train_rmse", "test_mae", "test_rmse")


def errors(found: dict[str, Any]) -> np.ndarray:
    """(n_epoch, 4) MAE and RMSE of train and test, eV/atom."""
    return np.array([[np.nan if epoch[key] is None else epoch[key] for key in EPOCHS] for epoch in found["epochs"]])


def energies_file(path: Path) -> list[list[str]]:
    """The rows of energies.train.0 or energies.test.0."""
    return [line.split() for line in path.read_text().splitlines()[1:]]


def outcome(folder: Path, found: dict[str, Any]) -> tuple[Any, ...]:
    """All that must agree between two trainings that are the same."""
    kept = {
        key: found[key]
        for key in ("epochs", "best_epoch", "status", "validation", "validation_last", "validation_history")
    }
    return kept, (folder / "Ar.nn").read_bytes(), (folder / "Ar.nn.last").read_bytes()
