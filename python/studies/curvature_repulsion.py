"""Two findings beyond the paper: mean curvature, and repulsion where atoms meet.

python python/studies/curvature_repulsion.py FOLDER [--seeds N]

FOLDER holds those of the studies `water_cluster.py` and `lmnto.py`, water-cluster and lmnto; results go to
FOLDER/results-full-curvature.json.  Needs tblite: ``pip install "taylorfit[example-data]"``.

Curvature: how wrong Taylor energies of random copies of water clusters are, to first order and with the mean force
constants that the forces and the temperature of the frames give, by GFN1-xTB itself.  Repulsion: the energy of a
cluster and of the oxide in which two atoms are moved towards each other, by potentials trained on exact forces with and
without `repel`; of the cluster also by GFN1-xTB.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from datasets import TRAINING
from facts import Fact, Results
from make_water_cluster import label
from results import provenance
from side_studies import seeds_in_folder, setup_in, some_frames
from taylorfit import Exact, Structure, TaylorOptions, displace, read, repel, train

KELVIN, COOL = 300.0, "300"
"""Of the frames whose names begin so."""
DELTAS = (0.005, 0.01, 0.02, 0.03, 0.05)
N_FRAMES, N_COPIES = 30, 2
"""Frames and copies of each for every δ."""
EPOCHS = 300
NEAREST, N_PLACES = 0.7, 16
"""Shortest distance, Å, and number of distances."""


@dataclass(frozen=True)
class System:
    """Structures in which atoms meet."""

    folder: str
    setup: str
    """Ending of the files of its descriptors."""
    n_structures: int
    """At most, to train on."""
    beta: float
    """Force weight, Å²."""
    pairs: tuple[tuple[str, str], ...]
    molecule: int = 1
    """Atoms in one, in the order of the frames: those of one molecule do not meet."""
    has_reference: bool = False


CLUSTERS = System("water-cluster", ".behler.fingerprint.stp", 471, 3e-3, (("O", "H"),), 3, True)
OXIDE = System("lmnto", ".stp", 200, 1e-3, (("O", "O"), ("Li", "O")))


def truncation(frames: Sequence[Structure]) -> dict[str, Fact]:
    """Root mean square errors of the energies of copies, meV per structure, and what these energies tell."""
    plain = TaylorOptions(fraction=float(N_COPIES))
    found: dict[str, list[float]] = {"first order": [], "mean curvature": [], "signal": []}
    for delta in DELTAS:
        copies = displace(frames, replace(plain, delta=delta), seed=1)
        better = displace(frames, replace(plain, delta=delta, curvature="auto", temperature=KELVIN), seed=1)
        exact = np.array([label(copy).energy for copy in copies])
        parents = np.repeat([frame.energy for frame in frames], N_COPIES)
        first, second = (np.array([one.energy for one in made]) for made in (copies, better))
        for name, values in (
            ("first order", first - exact),
            ("mean curvature", second - exact),
            ("signal", first - parents),
        ):
            found[name].append(float(f"{1e3 * np.sqrt(np.mean(values**2)):.4g}"))
    return {"δ": Fact(DELTAS, "Å")} | {name: Fact(tuple(values), "meV") for name, values in found.items()}


def approach(frame: Structure, pair: tuple[str, str], molecule: int) -> tuple[np.ndarray, list[Structure]]:
    """Distances (Å) of the nearest atoms of two species in different molecules; structures in which they move."""
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ frame.cell if any(frame.pbc) else np.zeros((1, 3))
    found = []
    for i, first in enumerate(frame.symbols):
        for j, second in enumerate(frame.symbols):
            if i // molecule != j // molecule and (first, second) == pair:
                vectors = frame.positions[j] - frame.positions[i] + images
                nearest = vectors[np.argmin(np.linalg.norm(vectors, axis=1))]
                found.append((float(np.linalg.norm(nearest)), i, j, tuple(nearest)))
    start, i, j, vector = min(found)
    distances = np.linspace(NEAREST, start, N_PLACES)
    moved = []
    for distance in distances:
        positions = frame.positions.copy()
        step = 0.5 * (start - distance) / start * np.array(vector)
        positions[i] += step
        positions[j] -= step
        moved.append(replace(frame, positions=positions))
    return distances, moved


def repulsion(system: System, seeds: range) -> dict[str, Fact]:
    """Energies along the approach of each pair, relative to the frame, eV."""
    frames, setup = some_frames(system.n_structures, system.folder), setup_in(system.folder, system.setup)
    pushed = repel(frames, threads=1).structures
    forces = Exact(beta=system.beta)
    potentials = {
        f"{title} {seed}": train(
            data, setup, epochs=EPOCHS, forces=forces, seed=seed, threads=1, validationevery=0
        ).potential
        for seed in seeds
        for title, data in (("exact", frames), ("exact, repel", [*frames, *pushed]))
    }
    facts = {}
    for pair in system.pairs:
        name = f"{system.folder} {'–'.join(pair)}"
        distances, moved = approach(frames[0], pair, system.molecule)
        facts[f"distance: {name}"] = _fact(distances, "Å")
        found = {
            title: np.array([one.energy for one in potential.evaluate(moved, forces=False, threads=1)])
            for title, potential in potentials.items()
        }
        if system.has_reference:
            found["GFN1-xTB"] = np.array([label(one).energy for one in moved])
        facts |= {f"{title}: {name}": _fact(values - values[-1], "eV") for title, values in found.items()}
    return facts


def _fact(values: np.ndarray, unit: str) -> Fact:
    return Fact(tuple(float(f"{value:.4g}") for value in values), unit)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results."""
    seeds = seeds_in_folder(__doc__, argv, 3)
    frames = read([f"{CLUSTERS.folder}/{TRAINING}/*.xsf"])
    cool = [frame for frame in frames if Path(frame.name).name.startswith(COOL)]
    facts = truncation(cool[:: len(cool) // N_FRAMES][:N_FRAMES])
    for system in (CLUSTERS, OXIDE):
        facts |= repulsion(system, seeds)
    Results("curvature", provenance("full"), (), facts).save(Path("results-full-curvature.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
