"""Speed of the ASE calculator in molecular dynamics: time per atom and step, with everything around the engine.

Run with ``make bench`` or ``python tests/bench/bench_calculator.py``.  Water-like cells of random orientation and
potentials with random weights: the time does not depend on what a network has learnt.  Every figure is the
minimum and the median over several short runs; the machine may be noisy, so compare within a run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from bench_engine import setups
from figures import QUICK, SHORT, record

from taylorfit import Calculator, Potential, engine
from taylorfit.formats.aenet.potential_file import write_potential
from taylorfit.model.activations import ACTIVATIONS
from taylorfit.model.descriptor import DescriptorSetup, RunningStatistics
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure

TANH, LINEAR = ACTIVATIONS.index("tanh"), ACTIVATIONS.index("linear")
CUTOFFS = {"6.5/3.0, orders 18/4": (6.5, 18, 3.0, 4), "8.0/6.5, orders 16/4": (8.0, 16, 6.5, 4)}
LAYERS = (10, 10)
FORCE = 0.01
"""Root mean square of the random forces, eV/Å, so that they do not tear the water apart."""


def water(n_side: int, seed: int = 0) -> Atoms:
    """n_side³ molecules on a jittered lattice at the density of water, turned at random."""
    rng = np.random.default_rng(seed)
    edge = 3.104
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), -1).reshape(-1, 3) * edge
    oxygen = grid + rng.uniform(-0.1, 0.1, grid.shape)
    arms = rng.normal(size=(2, *grid.shape))
    first = arms[0] / np.linalg.norm(arms[0], axis=1, keepdims=True)
    across = arms[1] - (arms[1] * first).sum(axis=1, keepdims=True) * first
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.radians(104.5)
    second = np.cos(angle) * first + np.sin(angle) * across
    positions = np.stack([oxygen, oxygen + 0.96 * first, oxygen + 0.96 * second], axis=1).reshape(-1, 3)
    return Atoms("OH2" * len(grid), positions, cell=[edge * n_side] * 3, pbc=True)


def write_potentials(folder: Path, setups: list[DescriptorSetup], atoms: Atoms, seed: int = 0) -> None:
    """Write a potential for the species of each setup, with random weights and the statistics of `atoms`."""
    species = tuple(setup.species for setup in setups)
    structure = Structure(tuple(atoms.get_chemical_symbols()), atoms.positions, atoms.cell.array, (True,) * 3)
    ((values, _),) = engine.describe([structure], engine.DescriptorTables.from_setups(species, setups))
    lengths = [dict(zip(species, (setup.n_feature for setup in setups)))[symbol] for symbol in structure.symbols]
    of_atom = np.split(values.ravel(), np.cumsum(lengths)[:-1])
    rng = np.random.default_rng(seed)
    info = TrainingSetInfo("", True, 1.0, 0.0, species, (0.0,) * len(species), 1, 1, -1.0, 1.0, 0.0)
    potentials = []
    for setup in setups:
        collected = RunningStatistics(setup.n_feature)
        collected.add(np.array([v for v, symbol in zip(of_atom, structure.symbols) if symbol == setup.species]))
        network = Network.random((setup.n_feature, *LAYERS, 1), (TANH, TANH, LINEAR), rng)
        described = DescriptorSetup(**{**setup.__dict__, "statistics": collected.result()})
        potentials.append(SpeciesPotential(network, described, info))
    measured = Calculator(Potential(potentials), on_extrapolation="ignore")
    info = replace(info, scale=float(np.sqrt(np.mean(measured.get_forces(atoms) ** 2))) / FORCE)
    folder.mkdir(parents=True, exist_ok=True)
    for potential in potentials:
        write_potential(folder / f"{potential.species}.nn", replace(potential, info=info))


def per_step(atoms: Atoms, calculator: Calculator, steps: int, runs: int = 5) -> tuple[float, float, float]:
    """Minimum and median time per atom and step of velocity Verlet at 0.5 fs, µs; and steps per neighbour list."""
    if QUICK:
        steps, runs = 1, 1
    elif SHORT:
        steps, runs = max(6, steps // 3), 2
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses()[:, None] * units.kB * 300.0))
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    for _ in range(3):
        dynamics.step()
    lists, times = calculator.n_lists, []
    for _ in range(runs):
        start = time.perf_counter()
        for _ in range(steps):
            dynamics.step()
        times.append((time.perf_counter() - start) / steps / len(atoms) * 1e6)
    return min(times), statistics.median(times), runs * steps / max(calculator.n_lists - lists, 1)


def main() -> None:
    """Print all figures."""
    print(f"taylorfit engine {engine.build_name()}, {engine.available_threads()} cores available")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = [water(2)] if QUICK else [water(4), water(12)] if SHORT else [water(4), water(6), water(8), water(12)]
        small = sizes[0]
        for title, parameters in CUTOFFS.items():
            own = folder / title.replace("/", "-")
            write_potentials(own / "one", setups(parameters), small)
            print(
                f"cutoffs {title}, networks {'-'.join(map(str, LAYERS))}, skin 0.5 Å; "
                "µs per atom and step, median in brackets"
            )
            for atoms in sizes:
                parts = []
                for threads in (1, 2):
                    calculator = Calculator(own / "one", threads=threads, on_extrapolation="ignore")
                    best, median, lists = per_step(atoms, calculator, max(6, 20000 // len(atoms)))
                    parts.append(f"{threads} thread(s) {best:.2f} ({median:.2f})")
                    record(f"MD step, {title}, {len(atoms)} atoms, {threads} thread(s)", best, "µs/atom")
                print(f"  {len(atoms):5d} atoms: {', '.join(parts)}; {lists:.0f} steps per neighbour list")
        own = folder / next(iter(CUTOFFS)).replace("/", "-")
        print(f"with cutoffs {next(iter(CUTOFFS))} and {len(small)} atoms, 1 thread:")
        for skin in (0.0, 0.3, 0.5, 1.0):
            best, median, lists = per_step(
                small, Calculator(own / "one", threads=1, skin=skin, on_extrapolation="ignore"), 100
            )
            print(f"  skin {skin:.1f} Å: {best:.2f} ({median:.2f}); {lists:.0f} steps per neighbour list")
        watched = per_step(small, Calculator(own / "one", threads=1, tolerance=1e6), 100)
        print(f"  looking for extrapolations: {watched[0]:.2f} ({watched[1]:.2f})")
        for members in (1, 2) if QUICK else (1, 5) if SHORT else (1, 2, 5, 10):
            for member in range(1, members + 1):
                write_potentials(
                    own / f"{members}" / f"{member:02d}", setups(next(iter(CUTOFFS.values()))), small, member
                )
            calculator = Calculator.committee(own / f"{members}", threads=1, on_extrapolation="ignore")
            best, median, _ = per_step(small, calculator, 50)
            print(f"  committee of {members}: {best:.2f} ({median:.2f})")
            record(f"MD step, committee of {members}, {len(small)} atoms, 1 thread", best, "µs/atom")


if __name__ == "__main__":
    main()
