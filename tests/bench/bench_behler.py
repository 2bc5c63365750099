"""Time of the symmetry functions of water: µs per atom, one thread, and the share of each kind of function.

    python tests/bench/bench_behler.py

18-atom clusters and 192-atom bulk water from the reference data (`TAYLORFIT_SHARED`, else `../shared`);
without them the clusters are those of the example that ships, and the bulk is skipped.
27 functions for H and 30 for O, cutoff 12 Bohr, one 10-10 network per species.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_engine import random_potentials
from figures import QUICK, SHORT, record

from taylorfit import engine
from taylorfit.examples.copying import example_files
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.xsf import read_xsf
from taylorfit.model.descriptor import DescriptorSetup
from taylorfit.model.structure import Structure

SHARED = Path(os.environ.get("TAYLORFIT_SHARED") or Path(__file__).resolve().parents[3] / "shared")
SPECIES = ("O", "H")
CLUSTERS = "18-atom clusters"
SYSTEMS = {  # archive, structures, repeats
    CLUSTERS: ("data/water-cluster/xtb/validation_0500.tar.xz", 100, 60),
    "192-atom bulk water": ("data/bulk-water/train.tar.xz", 10, 15),
}
ALL, ONE, RADIAL = "all functions", "one G1 (lists, networks)", "G1 in place of G2"
Cost = tuple[float, float]
"""µs per atom for descriptors, and for energies with forces."""


def load(archive: Path, count: int) -> list[Structure]:
    """Read the first structures of an archive."""
    with tarfile.open(archive) as tar:
        members = islice((m for m in tar if m.name.endswith(".xsf")), count)
        return parse({Path(member.name).name: tar.extractfile(member).read() for member in members})


def shipped_clusters(count: int) -> list[Structure]:
    """Read the first structures of the example that ships."""
    content = sorted((name, text) for name, text in example_files("water-cluster").items() if name.endswith(".xsf"))
    return parse({Path(name).name: text for name, text in content[:count]})


def parse(content: dict[str, bytes]) -> list[Structure]:
    """Read structures from name and content of their files."""
    with TemporaryDirectory() as folder:
        for name, text in content.items():
            (Path(folder) / name).write_bytes(text)
        return [read_xsf(Path(folder) / name) for name in content]


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
    return replace(
        setup, function=setup.function[kept], parameters=setup.parameters[kept], neighbours=setup.neighbours[kept]
    )


def renamed(setup: DescriptorSetup, old: int, new: int) -> DescriptorSetup:
    """Turn every function of one kind into another with the same parameter slots."""
    return replace(setup, function=np.where(setup.function == old, new, setup.function).astype(np.int32))


def seconds(call: Callable[[], object]) -> float:
    """Return the processor time of one run."""
    start = time.process_time()
    call()
    return time.process_time() - start


def calls(
    structures: list[Structure], setups: list[DescriptorSetup]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return what computes the descriptors, and what computes energies with forces."""
    tables, potential = engine.DescriptorTables.from_setups(SPECIES, setups), random_potentials(setups)
    return (
        lambda: engine.describe(structures, tables, threads=1),
        lambda: engine.evaluate(structures, potential, threads=1),
    )


def measure(structures: list[Structure], cases: dict[str, list[DescriptorSetup]], repeats: int) -> dict[str, Cost]:
    """Return the cost of each case: the least of repeats that take turns, so that a busy spell hits all alike."""
    pairs = {label: calls(structures, setups) for label, setups in cases.items()}
    best = dict.fromkeys(cases, (np.inf, np.inf))
    for _ in range(repeats):
        for label, (describe, evaluate) in pairs.items():
            values, forces = best[label]
            best[label] = min(values, seconds(describe)), min(forces, seconds(evaluate))
    scale = 1.0e6 / sum(structure.n_atoms for structure in structures)
    return {label: (values * scale, forces * scale) for label, (values, forces) in best.items()}


def shares(costs: dict[str, Cost], column: int, n_radial: float, rest: str) -> str:
    """Return the line that splits the time of all functions.

    The rest is what one G1 costs without that G1, whose price is told by many of them; a kind costs what
    it takes alone, less the rest.  The parts need not sum up exactly, for kinds share work (cutoffs, distances).
    """
    single, many = costs[ONE][column], costs[RADIAL][column]
    fixed = single - max(many - single, 0.0) / (n_radial - 1.0)
    parts = {rest: fixed, "G2": costs["G2 only"][column] - fixed, "G4": costs["G4 only"][column] - fixed}
    total = sum(parts.values())
    return (
        "share of the time: "
        + ", ".join(f"{name} {100.0 * part / total:.0f} %" for name, part in parts.items())
        + f" (the parts sum up to {100.0 * total / costs[ALL][column]:.0f} % of the whole)"
    )


def main() -> None:
    """Print the table."""
    setups = water_setups()
    cases = {
        ALL: setups,
        ONE: [only(s, np.zeros(s.n_feature, bool)) for s in setups],
        "G2 only": [only(s, s.function == 2) for s in setups],
        "G4 only": [only(s, s.function == 4) for s in setups],
        "G4, one of each pair": [
            only(s, (s.function == 4) & np.append(True, np.any(np.diff(s.neighbours, axis=0) != 0, axis=1)))
            for s in setups
        ],
        RADIAL: [renamed(only(s, s.function == 2), 2, 1) for s in setups],
        "G3 in place of G2": [renamed(only(s, s.function == 2), 2, 3) for s in setups],
        "G5 in place of G4": [renamed(only(s, s.function == 4), 4, 5) for s in setups],
    }
    for name, (archive, count, repeats) in SYSTEMS.items():
        if QUICK:
            count, repeats = 2, 1
        elif SHORT:
            count, repeats = max(2, count // 5), 4
        if (SHARED / archive).is_file():
            structures = load(SHARED / archive, count)
        else:
            print(
                f"\nskipped: {SHARED / archive} is not there"
                + ("; clusters of the example instead" if name == CLUSTERS else "")
            )
            if name != CLUSTERS:
                continue
            structures = shipped_clusters(count)
        print(
            f"\n{name}, µs per atom, one thread, build {engine.build_name()}\n"
            f"{'':28s}{'descriptors':>14s}{'with forces':>14s}",
            flush=True,
        )
        costs = measure(structures, cases, repeats)
        for what, cost in zip(("descriptors", "energies and forces"), costs[ALL]):
            record(f"{name}, symmetry functions 27/30: {what}", cost, "µs/atom")
        for label, (values, forces) in costs.items():
            print(f"{label:28s}{values:14.2f}{forces:14.2f}")
        present = Counter(symbol for structure in structures for symbol in structure.symbols)
        n_radial = sum(present[s.species] * np.count_nonzero(s.function == 2) for s in setups) / present.total()
        print(f"descriptors: {shares(costs, 0, n_radial, 'neighbour lists')}")
        print(f"with forces: {shares(costs, 1, n_radial, 'neighbour lists and networks')}", flush=True)


if __name__ == "__main__":
    main()
