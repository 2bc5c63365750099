"""Time of the symmetry functions of water: µs per atom, one thread, and the share of each kind of function.

    python tests/bench/bench_behler.py

18-atom clusters and 192-atom bulk water from the reference data (`TAYLORFIT_SHARED`, else `../shared`),
27 functions for H and 30 for O, cutoff 12 Bohr, one 10-10 network per species.
"""

from __future__ import annotations

import os
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taylorfit import engine
from taylorfit.descriptor import DescriptorSetup
from taylorfit.formats.setup_file import read_setup
from taylorfit.formats.xsf import read_xsf
from taylorfit.network import Network
from taylorfit.structure import Structure

SHARED = Path(os.environ.get("TAYLORFIT_SHARED") or Path(__file__).resolve().parents[3] / "shared")
SPECIES = ("O", "H")
SYSTEMS = {
    "18-atom clusters": ("data/water-cluster/xtb/validation_0500.tar.xz", 100),
    "192-atom bulk water": ("data/bulk-water/train.tar.xz", 10),
}
REPEATS = 15


def load(archive: str, count: int) -> list[Structure]:
    """Read the first structures of an archive."""
    with tarfile.open(SHARED / archive) as tar, TemporaryDirectory() as folder:
        structures = []
        for member in islice((m for m in tar if m.name.endswith(".xsf")), count):
            target = Path(folder) / Path(member.name).name
            target.write_bytes(tar.extractfile(member).read())
            structures.append(read_xsf(target))
    return structures


def water_setups() -> list[DescriptorSetup]:
    """Return the setups that ship with the water example."""
    folder = files("taylorfit.examples.water_cluster")
    setups = []
    for symbol in SPECIES:
        with as_file(folder / f"{symbol}.behler.fingerprint.stp") as path:
            setups.append(read_setup(path))
    return setups


def only(setup: DescriptorSetup, kept: np.ndarray) -> DescriptorSetup:
    """Keep some functions, and at least one cheap one."""
    if not kept.any():
        setup, kept = replace(setup, function=np.full_like(setup.function, 1)), np.arange(len(kept)) == 0
    return replace(setup, function=setup.function[kept], parameters=setup.parameters[kept],
                   neighbours=setup.neighbours[kept])


def renamed(setup: DescriptorSetup, old: int, new: int) -> DescriptorSetup:
    """Turn every function of one kind into another with the same parameter slots."""
    return replace(setup, function=np.where(setup.function == old, new, setup.function).astype(np.int32))


def seconds(call: Callable[[], object]) -> float:
    """Return the shortest processor time of several runs."""
    best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def measure(structures: list[Structure], setups: list[DescriptorSetup]) -> tuple[float, float]:
    """Return µs per atom for descriptors, and for energies with forces."""
    rng = np.random.default_rng(1)
    tables = engine.DescriptorTables.from_setups(SPECIES, setups)
    networks = [Network.random((setup.n_feature, 10, 10, 1), (1, 1, 0), rng) for setup in setups]
    widest = max(setup.n_feature for setup in setups)
    potential = engine.PotentialTables(
        descriptors=tables, networks=engine.NetworkTables.from_networks(networks),
        weights=np.concatenate([network.weights for network in networks]),
        feature_shift=np.zeros((widest, 2), order="F"), feature_factor=np.ones((widest, 2), order="F"),
        energy_scale=np.ones(2), energy_shift=np.zeros(2), energy_atomic=np.zeros(2),
    )
    scale = 1.0e6 / sum(structure.n_atoms for structure in structures)
    return (seconds(lambda: engine.describe(structures, tables, threads=1)) * scale,
            seconds(lambda: engine.evaluate(structures, potential, threads=1)) * scale)


def main() -> None:
    """Print the table."""
    setups = water_setups()
    cases = {
        "all functions": setups,
        "one G1 (lists, networks)": [only(s, np.zeros(s.n_feature, bool)) for s in setups],
        "G2 only": [only(s, s.function == 2) for s in setups],
        "G4 only": [only(s, s.function == 4) for s in setups],
        "G4, one of each pair": [
            only(s, (s.function == 4) & np.append(True, np.any(np.diff(s.neighbours, axis=0) != 0, axis=1)))
            for s in setups],
        "G1 in place of G2": [renamed(only(s, s.function == 2), 2, 1) for s in setups],
        "G3 in place of G2": [renamed(only(s, s.function == 2), 2, 3) for s in setups],
        "G5 in place of G4": [renamed(only(s, s.function == 4), 4, 5) for s in setups],
    }
    for name, (archive, count) in SYSTEMS.items():
        structures = load(archive, count)
        print(f"\n{name}, µs per atom, one thread, build {engine.build_name()}\n"
              f"{'':28s}{'descriptors':>14s}{'with forces':>14s}")
        for label, case in cases.items():
            values, forces = measure(structures, case)
            print(f"{label:28s}{values:14.2f}{forces:14.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
