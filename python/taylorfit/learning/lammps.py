"""Explorations by LAMMPS: each run a process with `pair_style taylorfit`, its frames read from a dump.

Runs as in `explore`: Langevin's thermostat, and for npt the barostat of LAMMPS (Nosé and Hoover).  LAMMPS ends a run
where members of the committee differ by more than the limit or it is far too hot; its frames are judged as those of
`explore` are.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
from ase import units
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data

from ..errors import InputError, TaylorfitError
from ..lammps.build import FOLDER as PLUGIN_FOLDER
from ..lammps.build import PLUGIN
from ..lammps.installation import find_lammps
from ..model.structure import Structure
from ..potential.extrapolation import find_collapse
from ..potential.potential import Potential
from ..settings.extrapolation import ExtrapolationPolicy
from ..settings.md import EXPLODED, MOST_RELEASED
from ..tools.os_errors import make_folder
from .explore import COLLAPSED, WALL_STIFFNESS, Walk, is_hot, masses_of
from .select import committee_says

_MARGIN = 20.0
"""Å around structures that are not periodic."""
_BAR = 1e4
"""bar in GPa"""
_LARGEST_SEED = 900_000_000
"""Of the random numbers of LAMMPS."""
_PICOSECOND = 1e-3
"""ps in fs"""

_SCRIPT = """units metal
atom_style atomic
newton on
boundary {boundary}
box tilt large
read_data atoms.data
pair_style taylorfit extrapolation off
pair_coeff * * {potentials} {species}
neighbor 0.5 bin
timestep {timestep}
velocity all create {temperature} {seed} mom yes rot no dist gaussian
compute dev all pair taylorfit
variable over equal c_dev[1]
fix end all halt 1 v_over > {high} error continue message no
variable heat equal ke
fix hot all halt 1 v_heat > {hottest} error continue message no
{fixes}
thermo {sample}
thermo_style custom step temp c_dev[1]
dump frames all custom {sample} frames.dump id xu yu zu vx vy vz
dump_modify frames sort id format float %.17g
run {steps}
write_dump all custom last.dump id xu yu zu vx vy vz modify sort id format float %.17g
"""


@dataclass(frozen=True)
class _Frame:
    """Of a dump."""

    step: int
    structure: Structure
    kinetic: float
    """Energy, eV."""


def run_in_lammps(
    walks: Sequence[Walk],
    potentials: Path,
    members: Sequence[Potential],
    policy: ExtrapolationPolicy,
    folder: Path,
    threads: int,
) -> None:
    """Run walks one after the other; frames, deviations and verdicts are noted in them, as `run_walks` does.

    Parameters
    ----------
    potentials
        Folder of the committee.
    policy
        Ends runs, see `Walk.take`.
    folder
        For the files of LAMMPS.

    Raises
    ------
    InputError
        if there is no LAMMPS, no plugin, or an exploration that it cannot run.
    TaylorfitError
        if LAMMPS fails.
    """
    lammps = find_lammps()
    if not (_plugin_folder() / PLUGIN).exists():
        raise InputError("no plugin for LAMMPS", file=_plugin_folder() / PLUGIN, expected="taylorfit lammps --build")
    for number, walk in enumerate(walks, start=1):
        own = make_folder(folder / f"{number:03d}")
        assert policy.max_force_std is not None
        frames, last = _run(walk, potentials.resolve(), policy.max_force_std, own, lammps.executable, threads)
        if last.step not in [frame.step for frame in frames]:
            frames.append(last)
        # The engine refuses to evaluate atoms that coincide, as they may behind the first collapse
        whole = list(takewhile(lambda frame: find_collapse(frame.structure, policy) is None, frames))
        said = list(committee_says(members, [frame.structure for frame in whole], threads))
        energies, kinetic = np.array([energy for energy, _ in said]), np.array([frame.kinetic for frame in whole])
        kT = walk.exploration.temperature * units.kB
        hot = is_hot(kinetic, energies, np.fmax.accumulate(energies), walk.structure.n_atoms, kT)
        goes_on = True
        for frame, (_, spread), is_over in zip(whole, said, hot):
            goes_on = walk.take(frame.step, frame.structure, spread, bool(is_over), policy)
            if not goes_on:
                break
        if goes_on:  # the next frame is none, or LAMMPS has lost atoms
            walk.verdict = COLLAPSED


def _plugin_folder() -> Path:
    return Path(os.environ.get("LAMMPS_PLUGIN_PATH", "") or PLUGIN_FOLDER)


def _run(
    walk: Walk, potentials: Path, high: float, folder: Path, executable: Sequence[str], threads: int
) -> tuple[list[_Frame], _Frame]:
    """Run LAMMPS; return every frame, and that of the last step."""
    own, structure = walk.exploration, walk.structure
    atoms = replace(structure, momenta=None).to_ase()
    atoms.calc = None
    if not all(structure.pbc):
        if any(structure.pbc):
            raise InputError(
                "slabs and wires are not run in LAMMPS", file=structure.name, expected="EXPLORER taylorfit"
            )
        low = atoms.positions.min(axis=0) - _MARGIN
        atoms.positions -= low
        atoms.set_cell(np.diag(atoms.positions.max(axis=0) + _MARGIN))
    else:
        low = np.zeros(3)
    species = sorted(set(structure.symbols))
    prism = Prism(atoms.cell.array, pbc=atoms.pbc)
    write_lammps_data(folder / "atoms.data", atoms, specorder=species, masses=True, atom_style="atomic", prismobj=prism)
    script = _SCRIPT.format(
        boundary="p p p" if all(structure.pbc) else "f f f",
        potentials=potentials,
        species=" ".join(species),
        timestep=own.timestep * _PICOSECOND,
        temperature=own.temperature,
        seed=int(walk.rng.integers(1, _LARGEST_SEED)),
        high=high,
        hottest=structure.n_atoms * (EXPLODED * 1.5 * units.kB * own.temperature + MOST_RELEASED),
        fixes=_fixes(walk, atoms.positions.mean(axis=0)),
        sample=own.sample,
        steps=own.steps,
    )
    (folder / "in.run").write_text(script, encoding="utf-8")
    for old in folder.glob("*.dump"):
        old.unlink()
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(_plugin_folder()), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [*executable, "-in", "in.run", "-log", "log.lammps", "-screen", "none"],
        cwd=folder, capture_output=True, text=True, errors="replace", env=environment,
    )  # fmt: skip
    frames = _frames(folder / "frames.dump", structure, prism, low)
    if done.returncode and not frames:
        log = (folder / "log.lammps").read_text(errors="replace") if (folder / "log.lammps").exists() else ""
        first = next((line for line in (log + done.stdout + done.stderr).splitlines() if "ERROR" in line), "no message")
        raise TaylorfitError(f"LAMMPS failed in {folder}: {first}")
    if own.ensemble == "npt":  # its cell is known from the dump of all frames only
        return frames, frames[-1]
    end = _frames(folder / "last.dump", structure, prism, low)
    return frames, (end or frames)[-1]


def _fixes(walk: Walk, centre: np.ndarray) -> str:
    own = walk.exploration
    seed = int(walk.rng.integers(1, _LARGEST_SEED))
    lines = []
    if own.ensemble == "npt":
        pressure = own.pressure * _BAR
        lines.append(f"fix move all nph iso {pressure:g} {pressure:g} {own.barostat * _PICOSECOND:g}")
    else:
        lines.append("fix move all nve")
    if own.ensemble != "nve":
        damp = _PICOSECOND / own.friction
        lines.append(f"fix bath all langevin {own.temperature} {own.temperature} {damp:g} {seed} zero yes")
    if own.wall > 0.0:
        away = [f"({name}-{place:.10g})" for name, place in zip("xyz", centre)]
        lines.append("variable far atom sqrt(" + "+".join(f"{one}^2" for one in away) + ")")
        lines.append(f"variable pull atom {-WALL_STIFFNESS:g}*(v_far>{own.wall:g})*(v_far-{own.wall:g})/(v_far+1e-12)")
        lines += [f"variable w{name} atom v_pull*{one}" for name, one in zip("xyz", away)]
        lines.append("fix wall all addforce v_wx v_wy v_wz")
    return "\n".join(lines)


def _frames(file: Path, structure: Structure, prism: Prism, low: np.ndarray) -> list[_Frame]:
    """The frames of a dump; half a frame at its end is left out."""
    if not file.exists():
        return []
    found: list[_Frame] = []
    masses = masses_of(structure)[:, None]
    first = 0.0
    for part in file.read_text().split("ITEM: TIMESTEP\n")[1:]:
        head, _, rows = part.partition("ITEM: ATOMS")
        lines = rows.splitlines()[1:]
        if len(lines) < structure.n_atoms or not rows.endswith("\n"):
            break
        table = np.array([line.split() for line in lines], dtype=np.float64)
        positions = prism.vector_to_ase(table[:, 1:4]) + low
        cell = structure.cell
        if all(structure.pbc):
            low_z, high_z = head.partition("ITEM: BOX BOUNDS")[2].splitlines()[3].split()[:2]
            height = float(high_z) - float(low_z)
            first = first or height
            # The volume changes by the same factor along all vectors
            cell = structure.cell * (height / first)
        velocities = table[:, 4:7] * (_PICOSECOND / units.fs)
        kinetic = float((0.5 * masses * velocities**2).sum())
        moved = Structure(structure.symbols, positions, cell, structure.pbc)
        found.append(_Frame(int(head.split()[0]), moved, kinetic))
    return found
