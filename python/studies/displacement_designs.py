"""Displacements of equal length in four designs on Li8Mo2Ni7Ti7O32: as here, and as in aenet-python.

python python/studies/displacement_designs.py FOLDER [--seeds N]

FOLDER is that of the study `lmnto.py`; results go to FOLDER/results-full-designs.json.

aenet-python (atomisticnet/aenet-python, `aenet.geometry`) draws normally distributed displacements, or optimises a
set of them until the determinant of their covariance is largest (D-optimal), and scales each to one root mean square.
It is in no package index, so the designs are made here from their definition:

- ``normal``: independent normal vectors without mean displacement, scaled to one RMS (its
  `RandomDisplacementTransformation` with ``orthonormalize=False``);
- ``d-optimal``: n vectors of one length whose sum is zero.  With equal lengths the determinant is largest where all
  eigenvalues of the covariance but that of the zero mean are equal: the corners of a regular simplex;
- ``random`` and ``orthogonal``: strategies of taylorfit, δ chosen for the same RMS.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets import VALIDATION
from facts import Cell, Fact, Results, Training
from results import provenance
from side_studies import error_cells, seeds_in_folder, setup_in, some_frames
from taylorfit import Centred, OrthogonalDisplacements, RandomDisplacements, Structure, displace, read, train
from taylorfit.settings.forces import ForceMode

DELTA, N_COPIES, N_STRUCTURES, EPOCHS = 0.03, 20, 300, 250
"""δ of strategy B (Å), copies of each structure, structures, epochs."""
MODES: dict[str, ForceMode] = {"centred": Centred(beta=1e-3)}
DESIGNS = ("random", "normal", "orthogonal", "d-optimal")


def rms(structures: Sequence[Structure], copies: Sequence[Structure]) -> float:
    """Root mean square of all components of the displacements, Å."""
    moved = [copy.positions - parent.positions for parent, copy in zip(_repeated(structures, len(copies)), copies)]
    return float(np.sqrt(np.mean(np.square(moved))))


def _repeated(structures: Sequence[Structure], n: int) -> list[Structure]:
    return [structure for structure in structures for _ in range(n // len(structures))]


def normal(rng: np.random.Generator, n: int, n_atoms: int) -> np.ndarray:
    """(n, n_atoms, 3) independent vectors without mean displacement, each of RMS 1."""
    vectors = rng.standard_normal((n, n_atoms, 3))
    vectors -= vectors.mean(axis=1, keepdims=True)
    return np.asarray(vectors / np.sqrt(np.mean(vectors**2, axis=(1, 2), keepdims=True)))


def d_optimal(rng: np.random.Generator, n: int, n_atoms: int) -> np.ndarray:
    """(n, n_atoms, 3) corners of a regular simplex without mean displacement, each of RMS 1."""
    frame, _ = np.linalg.qr(normal(rng, n, n_atoms).reshape(n, -1).T)
    corners = (np.eye(n) - 1.0 / n) @ frame.T
    corners *= np.sqrt(3 * n_atoms) / np.linalg.norm(corners, axis=1, keepdims=True)
    return corners.reshape(n, n_atoms, 3)


def log_determinant(vectors: np.ndarray) -> float:
    """Logarithm of the product of the eigenvalues, but that of the zero mean, of the covariance of n vectors."""
    flat = vectors.reshape(len(vectors), -1)
    centred = flat - flat.mean(axis=0)
    return float(np.log(np.linalg.eigvalsh(centred @ centred.T / (len(flat) - 1))[1:]).sum())


def copies_of(design: str, structures: Sequence[Structure], seed: int) -> list[Structure]:
    """Taylor copies in a design, all designs with the RMS of strategy B."""
    start = displace(structures, RandomDisplacements(delta=DELTA, n_copies=N_COPIES), seed=seed)
    length = rms(structures, start)
    if design == "random":
        return start
    if design == "orthogonal":
        wanted = OrthogonalDisplacements(delta=DELTA, n_copies=N_COPIES)
        found = displace(structures, wanted, seed=seed)
        return displace(structures, replace(wanted, delta=DELTA * length / rms(structures, found)), seed=seed)
    maker: Callable[[np.random.Generator, int, int], np.ndarray] = normal if design == "normal" else d_optimal
    rng = np.random.default_rng(seed)
    moved = np.concatenate([length * maker(rng, N_COPIES, one.n_atoms) for one in structures])
    return [_displaced(copy, parent, own) for copy, parent, own in zip(start, _repeated(structures, len(start)), moved)]


def _displaced(copy: Structure, parent: Structure, moved: np.ndarray) -> Structure:
    """A copy with another displacement; E − Σ δ·F."""
    assert parent.energy is not None and parent.forces is not None
    return replace(
        copy, positions=parent.positions + moved, energy=parent.energy - float((moved * parent.forces).sum())
    )


def measure(seeds: range) -> tuple[list[Training], dict[str, Fact]]:
    """Train with every design and mode; runs that are there already stay (designs.json)."""
    done = Path("designs.json")
    rows: list[dict[str, Cell]] = json.loads(done.read_text()) if done.exists() else []
    structures, validation = some_frames(N_STRUCTURES), read([f"{VALIDATION}/*.xsf"])
    setup = setup_in()
    for seed in seeds:
        for mode, forces in MODES.items():
            for design in DESIGNS:
                if any((row["strategy"], row["mode"], row["seed"]) == (design, mode, seed) for row in rows):
                    continue
                copies = copies_of(design, structures, seed)
                fit = train(
                    [*structures, *copies],
                    setup,
                    epochs=EPOCHS,
                    forces=forces,
                    validation=validation,
                    seed=seed,
                    threads=1,
                    best="both",
                    validationevery=0,
                )
                assert fit.errors is not None
                rows.append(
                    {
                        "strategy": design,
                        "mode": mode,
                        "seed": seed,
                        **error_cells(fit.errors),
                        "seconds_per_epoch": float(f"{fit.seconds / EPOCHS:.4g}"),
                    }
                )
                print(rows[-1], flush=True)
                done.write_text(json.dumps(rows))
    rng = np.random.default_rng(1)
    n_atoms = structures[0].n_atoms
    shapes = {
        "normal": normal(rng, N_COPIES, n_atoms),
        "orthogonal": _shape(structures[0], OrthogonalDisplacements(delta=DELTA, n_copies=N_COPIES)),
        "d-optimal": d_optimal(rng, N_COPIES, n_atoms),
    }
    facts = {f"log det: {name}": Fact((round(log_determinant(shape), 3),)) for name, shape in shapes.items()}
    return [*rows], facts


def _shape(structure: Structure, displacements: OrthogonalDisplacements) -> np.ndarray:
    """Displacements of a structure, each with RMS 1."""
    vectors = np.array([copy.positions - structure.positions for copy in displace(structure, displacements)])
    return np.asarray(vectors / np.sqrt(np.mean(vectors**2, axis=(1, 2), keepdims=True)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results."""
    seeds = seeds_in_folder(__doc__, argv, 2)
    rows, facts = measure(seeds)
    Results("designs", provenance("full"), tuple(rows), facts).save(Path("results-full-designs.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
