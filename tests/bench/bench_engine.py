"""Speed of the engine: energy gradient, descriptors, forces, and memory of training.

Run with ``make bench`` or ``python tests/bench/bench_engine.py``.  Every figure is the minimum
and the median of several repeats in one run; the machine may be noisy, so compare within a run.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise, product

import numpy as np
from figures import QUICK, SHORT, limit_of, record, repeat

from taylorfit import engine
from taylorfit.model.activations import ACTIVATIONS
from taylorfit.model.descriptor import DescriptorSetup, DescriptorStatistics, chebyshev_setup
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure
from taylorfit.training.pack import PackedDataset

TANH, LINEAR = ACTIVATIONS.index("tanh"), ACTIVATIONS.index("linear")
CUTOFFS = {"6.5/3.0, orders 18/4": (6.5, 18, 3.0, 4), "8.0/6.5, orders 16/4": (8.0, 16, 6.5, 4)}
AENET = {"gradient": 70.0, "6.5/3.0, orders 18/4": (70.0, 120.0), "8.0/6.5, orders 16/4": (700.0, 750.0)}
"""The real ænet, µs per atom (issue text, for orientation): descriptors and forces."""


def liquid(n_side: int, seed: int = 0, density: float = 0.1) -> Structure:
    """A jittered lattice of two species with the number density of water (atoms/Å³)."""
    rng = np.random.default_rng(seed)
    edge = (1.0 / density) ** (1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), -1).reshape(-1, 3) * edge
    positions = grid + rng.uniform(-0.4, 0.4, grid.shape)
    symbols = tuple(rng.permutation(["O"] * (len(grid) // 3) + ["H"] * (len(grid) - len(grid) // 3)))
    return Structure(symbols=symbols, positions=positions, cell=np.eye(3) * edge * n_side, pbc=(True,) * 3)


def setups(parameters: tuple[float, int, float, int]) -> list[DescriptorSetup]:
    """Chebyshev setups of O and H."""
    r, n, a, m = parameters
    return [
        chebyshev_setup(s, ("O", "H"), radial_cutoff=r, radial_order=n, angular_cutoff=a, angular_order=m)
        for s in ("O", "H")
    ]


def random_potentials(own: list[DescriptorSetup]) -> engine.PotentialTables:
    """Networks of random weights for the setups of O and H."""
    rng = np.random.default_rng(0)
    info = TrainingSetInfo("", True, 1.0, 0.0, ("O", "H"), (0.0, 0.0), 1, 1, -1.0, 1.0, 0.0)
    potentials = []
    for setup in own:
        n = setup.n_feature
        plain = DescriptorStatistics(1, np.zeros(n), np.ones(n), np.zeros(n), np.full(n, 100.0))
        network = Network.random((n, 10, 10, 1), (TANH, TANH, LINEAR), rng)
        potentials.append(SpeciesPotential(network, replace(setup, statistics=plain), info))
    return engine.PotentialTables.from_potentials(potentials)


def random_pack(n_atoms: int, n_feature: int, atoms: int = 8, block: int = 504) -> PackedDataset:
    """A one-species data set of random features."""
    per_block, n_blocks = block // atoms, n_atoms // block
    n = per_block * n_blocks
    rng = np.random.default_rng(1)
    features = engine.aligned_zeros(n_blocks * block * n_feature)
    rng.standard_normal(out=features)
    return PackedDataset(
        features=features,
        panel_offset=(np.arange(n_blocks, dtype=np.int64) * block * n_feature)[:, None],
        panel_width=np.full((n_blocks, 1), block, dtype=np.int32),
        block_first=(np.arange(n_blocks + 1) * per_block).astype(np.int32),
        atom_offset=(np.arange(n, dtype=np.int32) % per_block * atoms)[:, None].astype(np.int32),
        atom_count=np.full((n, 1), atoms, dtype=np.int32),
        energy=rng.standard_normal(n),
        is_copy=np.zeros(n, dtype=bool),
        names=[""] * n,
        group=np.zeros(n, dtype=np.int32),
        displacement_square=np.zeros(n),
    )


def epoch_flops(layers: tuple[int, ...]) -> int:
    """Floating-point operations of the products of matrices for energy and gradient of an atom."""
    return 2 * sum(2 * a * b for a, b in pairwise(layers)) + 2 * sum(a * b for a, b in pairwise(layers[1:]))


def bench_gradient() -> None:
    """Energy gradient per atom and epoch, beside the matrix products alone."""
    layers = (48, 10, 10, 1)
    network = Network.random(layers, (TANH, TANH, LINEAR), np.random.default_rng(0))
    tables = engine.NetworkTables.from_networks([network])
    pack = random_pack(1008 if QUICK else 204800, layers[0])
    single = engine.aligned_zeros(len(pack.features), np.float32)
    single[:] = pack.features
    packs = {"": pack, ", single precision": replace(pack, features=single)}
    n = int(pack.n_atoms.sum())
    gradient = np.zeros(tables.n_weights)
    ones = np.full(pack.n_structures, 1 / 8)
    flops = epoch_flops(layers)
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((504, 48)))
    w = np.random.default_rng(0).standard_normal((10, 48))
    products = 50
    print(
        f"energy gradient, 48-10-10-1, {n} atoms, {pack.features.nbytes / 1e6:.0f} MB of features, "
        f"{flops / 1e3:.2f} kflop per atom"
    )
    for (precision, data), threads in product(packs.items(), (1, 2)):
        loss = engine.Loss(data, tables, ones, np.ones_like(ones), threads=threads)
        best, median = repeat(partial(loss.evaluate, network.weights, gradient))
        peak, _ = repeat(lambda: engine.panel_products(x, w, products), 0.5)
        rate = products * 2 * 2 * 504 * 48 * 10 / peak / 1e9
        # Registers hold twice as many numbers in single precision
        least = flops / (limit_of("dgemm") * threads) * data.features.itemsize / 8
        record(
            f"energy epoch, 48-10-10-1, {threads} thread(s){precision}",
            1e6 * best / n,
            "µs/atom",
            limit=1e6 * least,
            of="dgemm",
        )
        own = flops * n / best / 1e9
        print(
            f"  {threads} thread(s){precision}: {1e6 * best / n:.4f} µs per atom and epoch "
            f"(median {1e6 * median / n:.4f}), {own:.1f} GFlop/s = {own / (rate * threads):.2f} "
            f"of the blocked products' {rate:.1f} per thread; ænet/this {AENET['gradient'] / (1e6 * best / n):.0f}"
        )


def bench_structures() -> None:
    """Descriptors and forces per atom."""
    structure = liquid(3 if QUICK else 6)
    n = structure.n_atoms
    rng = np.random.default_rng(0)
    for title, parameters in CUTOFFS.items():
        own = setups(parameters)
        tables = engine.DescriptorTables.from_setups(("O", "H"), own)
        first, _, _ = engine.neighbours(structure, parameters[0])
        copies = 24
        shifts = [rng.uniform(-0.005, 0.005, (copies, n, 3))]
        potentials = random_potentials(own)
        print(f"cutoffs {title}: {n} atoms, {first[-1] / n:.0f} neighbours each")
        for threads in (1, 2):
            single = repeat(partial(engine.describe, [structure], tables, threads=threads))
            many = repeat(partial(engine.describe, [structure], tables, shifts, threads=threads))
            force = repeat(partial(engine.evaluate, [structure], potentials, threads=threads))
            d, f = AENET[title]
            for what, time in (("descriptors", single), ("energies and forces", force)):
                record(f"{what}, {title}, {threads} thread(s)", 1e6 * time[0] / n, "µs/atom")
            record(f"of a Taylor copy, {title}, {threads} thread(s)", 1e6 * many[0] / n / copies, "µs/atom")
            print(
                f"  {threads} thread(s), µs per atom: descriptors {1e6 * single[0] / n:.2f} "
                f"(median {1e6 * single[1] / n:.2f}), of 24 Taylor copies {1e6 * many[0] / n / copies:.2f} "
                f"({1e6 * many[1] / n / copies:.2f}), energies and forces {1e6 * force[0] / n:.2f} "
                f"({1e6 * force[1] / n:.2f});  "
                f"ænet/this {d / (1e6 * single[0] / n):.0f} and {f / (1e6 * force[0] / n):.0f}"
            )


def bench_linearity() -> None:
    """Time per atom of energies and forces against the size of the system."""
    own = setups(CUTOFFS["6.5/3.0, orders 18/4"])
    tables = engine.DescriptorTables.from_setups(("O", "H"), own)
    parts = []
    for side in (3,) if QUICK else (6, 12) if SHORT else (6, 12, 24):
        structure = liquid(side)
        best, _ = repeat(partial(engine.describe, [structure], tables, threads=1), 1.0, 2)
        parts.append(f"{structure.n_atoms} atoms {1e6 * best / structure.n_atoms:.2f}")
    print("descriptors, µs per atom, 1 thread: " + ", ".join(parts))


def bench_memory() -> None:
    """Peak memory of gradient evaluations against the size of the packed data (in a fresh process)."""
    script = (
        "import sys, resource, numpy as np; sys.path.insert(0, sys.argv[1]); import bench_engine as b\n"
        "from taylorfit import engine; from taylorfit.model.network import Network\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "pack = b.random_pack(1008 if b.QUICK else 409600, 48); n = pack.n_structures\n"
        "w = Network.random((48, 10, 10, 1), (1, 1, 0), np.random.default_rng(0))\n"
        "t = engine.NetworkTables.from_networks([w]); o = np.ones(n)\n"
        "packed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "engine.Loss(pack, t, o, o, threads=2).evaluate(w.weights, np.zeros(t.n_weights))\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(f'memory: features {pack.features.nbytes/1e6:.0f} MB, process before {before/1e3:.0f} MB, "
        "with the packed data {packed/1e3:.0f} MB, after the gradient {after/1e3:.0f} MB')\n"
    )
    folder = __file__.rpartition("/")[0] or "."
    print(
        subprocess.run(
            [sys.executable, "-c", script, folder, *sys.argv[1:]], check=True, stdout=subprocess.PIPE, text=True
        ).stdout,
        end="",
    )


if __name__ == "__main__":
    print(f"taylorfit engine {engine.build_name()}, {engine.available_threads()} cores available")
    bench_gradient()
    bench_structures()
    bench_linearity()
    bench_memory()
