"""Cost of the ways to train on forces: seconds per epoch and memory of energy, Taylor, directional and exact training.

Run with ``make bench`` or ``python tests/bench/bench_forces.py``.  One thread, all ways in turn in one run,
minimum and median of the ratios.  (H2O)6 with 27 and 30 symmetry functions and a = 22; 192-atom water with a
Chebyshev descriptor (6.5/3.0 Å, orders 18/4) and a = 24, from ../shared/data where that is, else a jittered
lattice of its density.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
from bench_engine import epoch_flops, liquid, setups
from figures import QUICK, SHORT, limit_of, record

from taylorfit.engine import DescriptorTables, Loss, NetworkTables, build_name, describe, force_map_layout
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.files import read_structures
from taylorfit.model.descriptor import DescriptorSetup
from taylorfit.model.network import Network
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import TrainingSet
from taylorfit.settings.forces import ForceMode
from taylorfit.training.data import ReferenceData
from taylorfit.training.force_terms import force_terms
from taylorfit.training.pack import FORCE_BLOCK_ATOMS, Scaling, pack

ROUNDS = 1 if QUICK else 3 if SHORT else 9
MODES = ("energy", "taylor", "directional", "exact")
SINGLE = ", single"
"""Behind a mode: in single precision."""
AIMS = {"directional": 0.2, "exact": 0.4}
"""Aims of the project: seconds per epoch as a part of Taylor training's."""


def shared(name: str) -> Path:
    """An archive of the reference data."""
    return Path(os.environ.get("TAYLORFIT_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data" / name


def unpack(archive: Path | object, most: int) -> list[Structure]:
    """The first structures of an archive of XSF files."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        if QUICK:
            most = 3
        members = sorted((m for m in tar.getmembers() if m.name.endswith(".xsf")), key=lambda m: m.name)[:most]
        structures = []
        for member in members:
            path = Path(folder) / Path(member.name).name
            path.write_bytes(tar.extractfile(member).read())
            structures.extend(read_structures(str(path)))
    return structures


def cluster() -> tuple[str, list[Structure], list[DescriptorSetup], int]:
    """(H2O)6 and the symmetry functions of the paper, from the bundled example."""
    folder, own = resources.files("taylorfit.examples.water_cluster"), []
    for symbol in ("O", "H"):
        with resources.as_file(folder / f"{symbol}.behler.fingerprint.stp") as path:
            own.append(read_setup(path))
    with resources.as_file(folder / "train.tar.xz") as path:
        return "(H2O)6, a = 22", unpack(path, 471), own, 22


def bulk() -> tuple[str, list[Structure], list[DescriptorSetup], int]:
    """Bulk water and the paper's descriptor."""
    archive = shared("bulk-water/train.tar.xz")
    if archive.exists():
        structures, title = unpack(archive, 60), "bulk water, 192 atoms, a = 24"
    else:
        rng = np.random.default_rng(0)
        structures, title = [], "jittered lattices of water's density, 216 atoms, a = 24 (no ../shared)"
        for seed in range(3 if QUICK else 50):
            s = liquid(6, seed)
            structures.append(
                Structure(
                    s.symbols,
                    s.positions,
                    s.cell,
                    s.pbc,
                    energy=float(rng.normal()),
                    forces=rng.normal(size=s.positions.shape),
                    name=str(seed),
                )
            )
    return title, structures, setups((6.5, 18, 3.0, 4)), 24


def training_set(structures: list[Structure], tables: DescriptorTables, copies: int) -> TrainingSet:
    """Structures with `copies` displaced ones each."""
    rng = np.random.default_rng(0)
    shifts = [
        np.concatenate([np.zeros((1, s.n_atoms, 3)), rng.uniform(-0.005, 0.005, (copies, s.n_atoms, 3))])
        for s in structures
    ]
    described = describe(structures, tables, shifts)
    species = np.concatenate([np.tile(s.species_index(tables.species), copies + 1) for s in structures])
    names = [
        f"s{p}" + (f"#taylor:random:{c - 1:04d}:0.005" if c else "")
        for p in range(len(structures))
        for c in range(copies + 1)
    ]
    energy = np.repeat([s.energy for s in structures], copies + 1)
    n_atoms = np.repeat([s.n_atoms for s in structures], copies + 1)
    return TrainingSet(
        species=tables.species,
        atomic_energies=np.zeros(len(tables.species)),
        normalised=True,
        scale=1.0,
        shift=0.0,
        names=names,
        n_species_in=np.full(len(names), len(tables.species), dtype=np.int32),
        energy=energy - energy.mean(),
        first_atom=np.cumsum([0, *n_atoms]),
        atom_species=species,
        positions=np.zeros((len(species), 3)),
        forces=np.zeros((len(species), 3)),
        first_value=np.cumsum([0, *tables.n_function[species]]),
        descriptors=np.concatenate([values.ravel() for values, _ in described]),
        energy_mean=0.0,
        energy_min=-1.0,
        energy_max=1.0,
        setups=None,
    )


class Epochs:
    """One evaluation of loss and gradient for each mode."""

    def __init__(
        self,
        structures: list[Structure],
        own: list[DescriptorSetup],
        a: int,
        modes: tuple[str, ...],
        *,
        single: bool = True,
        threads: int = 1,
    ) -> None:
        species = tuple(setup.species for setup in own)
        tables = DescriptorTables.from_setups(species, own)
        widths = tables.n_function.tolist()
        scaling = Scaling(tuple(map(np.zeros, widths)), tuple(np.full(n, 0.1) for n in widths), 1.0, 0.0)
        rng = np.random.default_rng(0)
        networks = [Network.random((n, 10, 10, 1), (1, 1, 0), rng) for n in widths]
        self.tables, self.weights = NetworkTables.from_networks(networks), np.concatenate([n.weights for n in networks])
        self.gradient = np.zeros(len(self.weights))
        self.packs, self.terms = {}, {}
        picks = [(0, p) for p in range(len(structures))]
        for mode in modes:
            copies = a if mode == "taylor" else 0
            source = training_set(structures, tables, copies)
            with_forces = mode in AIMS
            self.packs[mode] = pack(
                [source],
                [(0, s) for s in range(source.n_structures)],
                scaling,
                **({"block_atoms": FORCE_BLOCK_ATOMS} if with_forces else {}),
            )
            if with_forces:
                data = ReferenceData(
                    dict(enumerate(structures)),
                    {p: 1.0 for _, p in picks},
                    {p: np.ones(s.n_atoms) for p, s in enumerate(structures)},
                    mode,
                )
                self.terms[mode] = self.terms[mode + SINGLE] = force_terms(
                    picks, data, tables, scaling, ForceMode(mode, directions=a), threads=threads
                ).terms
            packed = self.packs[mode]
            if single:
                self.packs[mode + SINGLE] = replace(packed, features=packed.features.astype(np.float32))
        self.n_atoms = sum(s.n_atoms for s in structures)
        self.flops = sum(epoch_flops(networks[k].layer_sizes) for s in structures for k in s.species_index(species))
        self.copies = a

    def run(self, mode: str, threads: int = 1) -> float:
        """Seconds of one epoch."""
        data, ones = self.packs[mode], np.ones(self.packs[mode].n_structures)
        loss = Loss(data, self.tables, ones, ones, terms=self.terms.get(mode), threads=threads)
        start = time.perf_counter()
        loss.evaluate(self.weights, self.gradient)
        return time.perf_counter() - start

    def limit(self, mode: str) -> tuple[float, str]:
        """The least an epoch takes, s, and what says so: what stays is read once, the networks of atoms and copies."""
        times = self.packs[mode].features.itemsize / 8 * (1 + self.copies if "taylor" in mode else 1)
        products = self.flops * times / limit_of("dgemm")
        reading = self.memory(mode) / limit_of("read")
        return (reading, "read") if reading > products else (products, "dgemm")

    def memory(self, mode: str) -> int:
        """Bytes that stay during a training."""
        return self.packs[mode].features.nbytes + (self.terms[mode].nbytes if mode in self.terms else 0)


def bench(system: tuple[str, list[Structure], list[DescriptorSetup], int]) -> None:
    """Time all modes in turn."""
    title, structures, own, a = system
    epochs = Epochs(structures, own, a, MODES)
    print(f"{title}, {len(structures)} structures, one thread, per atom of the reference structures and epoch")
    rows = [mode + precision for precision in ("", SINGLE) for mode in MODES]
    for mode in rows:
        epochs.run(mode)
    times = {mode: [] for mode in rows}
    for _ in range(ROUNDS):
        for mode in rows:
            times[mode].append(epochs.run(mode))
    n = epochs.n_atoms
    for mode in rows:
        own_times = times[mode]
        to_taylor = [t / u for t, u in zip(own_times, times["taylor"])]
        to_energy = min(own_times) / min(times["energy"])
        least, of = epochs.limit(mode)
        record(f"{title}: {mode} epoch", 1e6 * min(own_times) / n, "µs/atom", limit=1e6 * least / n, of=of)
        record(f"{title}: {mode} keeps", epochs.memory(mode) / n / 1e3, "kB/atom")
        aim = f", aim {AIMS[mode]}" if mode in AIMS else ""
        print(
            f"  {mode:20s} {1e6 * min(own_times) / n:7.3f} µs (median {1e6 * statistics.median(own_times) / n:7.3f}), "
            f"{min(own_times) / min(times['taylor']):.3f} of Taylor "
            f"(median of ratios {statistics.median(to_taylor):.3f}{aim}), "
            f"{to_energy:5.1f} energy epochs, {epochs.memory(mode) / n / 1e3:6.2f} kB kept"
        )


def bench_map() -> None:
    """Time to make the map, against one epoch."""
    for title, structures, own, _ in (cluster(), bulk()):
        tables = DescriptorTables.from_setups(("O", "H"), own)
        structures = structures[:30]
        n = sum(s.n_atoms for s in structures)
        start = time.perf_counter()
        map_ = force_map_layout(structures, tables, 1).build(1)
        taken = time.perf_counter() - start
        record(f"{title}: force map", 1e6 * taken / n, "µs/atom")
        print(f"force map, {title}: {1e6 * taken / n:.0f} µs per atom once, {map_.nbytes / n / 1e3:.2f} kB")


def bench_peak() -> None:
    """Peak memory of a process with Taylor and with exact training."""
    for system in ("cluster", "bulk"):
        found = {}
        for mode in ("taylor", "exact"):
            script = (
                f"import re, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_forces as b\n"
                f"title, structures, own, a = b.{system}(); e = b.Epochs(structures, own, a, ({mode!r},))\n"
                f"e.run({mode!r})\n"
                "print(int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1e3)"
            )
            found[mode] = float(
                subprocess.run(
                    [sys.executable, "-c", script, *sys.argv[1:]], check=True, stdout=subprocess.PIPE, text=True
                ).stdout
            )
        print(f"peak memory of the process, {system}: Taylor {found['taylor']:.0f} MB, exact {found['exact']:.0f} MB")


if __name__ == "__main__":
    print(f"taylorfit engine {build_name()}")
    bench(cluster())
    bench(bulk())
    bench_map()
    if QUICK or not SHORT:
        bench_peak()
