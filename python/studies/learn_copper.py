"""Copper with EMT: from small vibrations at 300 K to NPT at 1000 K, with stress, by `learn`.

    python python/studies/learn_copper.py --output DIR [--full] [--seeds 1 2 3]

32 atoms; 15 frames of random displacements and strains are the start.  The learnt potential runs NPT at 300 and
1000 K and 0 and 5 GPa; the reference judges frames of these runs, and runs the same dynamics itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

import taylorfit as tfit
from learning_page import limits_of_runs, parser, write_page
from taylorfit.engine import PotentialTables
from taylorfit.learning.explore import (
    BEYOND,
    HELD,
    Evaluator,
    Walk,
    committee_evaluator,
    is_wrong,
    new_walks,
    run_walks,
)
from taylorfit.tools.tables import Table, text_lines

EMT_PATH = "ase.calculators.emt:EMT"
KBAR = 10.0 / units.GPa
"""kbar in eV/Å³"""
UNLIMITED = replace(BEYOND, max_force_std=20.0)
"""eV/Å; for runs of the reference, which agrees with itself."""


def npt(label: str, temperature: float, pressure: float, steps: int, starts: int) -> tfit.Exploration:
    """Runs at constant pressure, 4 fs a step."""
    return tfit.Exploration(
        label, "npt", temperature=temperature, pressure=pressure, steps=steps, starts=starts, timestep=4.0, sample=20
    )


def start(n: int) -> list[tfit.Structure]:
    """Crystals at slightly other volumes, with small displacements."""
    rng = np.random.default_rng(7)
    frames = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True).repeat((2, 2, 2))
        atoms.set_cell(atoms.cell * (1.0 + 0.01 * rng.standard_normal()), scale_atoms=True)
        atoms.positions += 0.08 * rng.standard_normal(atoms.positions.shape)
        frames.append(tfit.Structure.from_ase(atoms))
    return frames


def judge(walks: Sequence[Walk], learned: tfit.Learned) -> tuple[str, ...]:
    """What the reference says of frames of runs: force and stress errors, and how many runs held."""
    last = learned.rounds[-1]
    judged = [(walk, frame) for walk in walks for frame in walk.frames[len(walk.frames) // 2 :: 5]]
    labels = tfit.label([frame for _, frame in judged], EMT_PATH).structures
    said = [member.evaluate(labels) for member in learned.committee]
    norms, stresses = [], []
    of_runs: dict[Walk, list[np.ndarray]] = {}
    for k, structure in enumerate(labels):
        forces = np.mean([one[k].known_forces for one in said], axis=0)
        stress = np.mean([np.asarray(one[k].strain_derivative) for one in said], axis=0) / structure.volume
        errors = np.linalg.norm(forces - structure.known_forces, axis=1)
        norms.append(errors.mean())
        of_runs.setdefault(judged[k][0], []).append(errors)
        stresses.append(np.asarray(stress) - np.asarray(structure.stress))
    wrong = [walk for walk, errors in of_runs.items() if is_wrong(errors, last.high, last.calibration)]
    held = sum(walk.verdict == HELD and walk not in wrong for walk in walks)
    return (
        f"{np.mean(norms):.4f}", f"{max(norms):.4f}", f"{KBAR * np.sqrt(np.mean(np.square(stresses))):.2f}",
        f"{held}/{len(walks)}", volume(walks),
    )  # fmt: skip


def of_reference(make: Callable[[], Any], structures: Sequence[tfit.Structure]) -> Evaluator:
    """A calculator in place of a committee: twice the same forces."""
    cells_of_atoms = [structure.to_ase() for structure in structures]
    for atoms in cells_of_atoms:
        atoms.calc = make()
    first = np.cumsum([0, *(len(atoms) for atoms in cells_of_atoms)])

    def evaluate(positions: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        energies, forces, strain = [], [], []
        for k, atoms in enumerate(cells_of_atoms):
            atoms.set_cell(cells[k])
            atoms.set_positions(positions[first[k] : first[k + 1]])
            # All of one structure at once: a calculator may serve several
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
            strain.append(atoms.get_stress(voigt=False) * atoms.get_volume())
        return np.array(energies), np.array([np.concatenate(forces)] * 2), np.array(strain)

    return evaluate


def volume(walks: Sequence[Walk]) -> str:
    """Mean volume of an atom in the second halves of runs, Å³, and its standard error from the runs."""
    means = [np.mean([f.volume / f.n_atoms for f in walk.frames[len(walk.frames) // 2 :]]) for walk in walks]
    return f"{np.mean(means):.3f} ± {np.std(means, ddof=1) / np.sqrt(len(means)):.3f}"


def main() -> None:
    """Run the study and write RESULTS.md."""
    options = parser(__doc__, "an hour")
    options.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = options.parse_args()
    explored, judged = (5000, 10000) if arguments.scale == "full" else (1000, 2000)
    states = [("cold", 300.0, 0.0), ("hot", 1000.0, 0.0), ("pressed", 1000.0, 5.0)]
    volumes = {}
    for name, T, p in states:
        walks = new_walks([npt(name, T, p, judged, 4)], [start(4)], 1, 1000)
        run_walks(walks, partial(of_reference, EMT), UNLIMITED)
        volumes[name] = volume(walks)
    rows = []
    for seed in arguments.seeds:
        folder = arguments.output / f"seed-{seed}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        learned = tfit.learn(
            start(15), EMT_PATH, [npt(name, T, p, explored, 4) for name, T, p in states[1:]], folder=folder, seed=seed,
            labels=tfit.LabelBudget(10, 40, 3), forces=tfit.Exact(1e-2, virial=1e-2), error=0.01, epochs=500,
            progress=lambda one: print(f"round {one.number}: {one.check_error or 0:.4f} eV/Å", flush=True),
        )  # fmt: skip
        tables = PotentialTables.from_members([member.parts for member in learned.committee])
        for name, T, p in states:
            walks = new_walks([npt(name, T, p, judged, 4)], [start(4)], seed, 1000)
            limits = limits_of_runs(learned.committee, learned.rounds[-1])
            run_walks(walks, committee_evaluator(tables, 0), limits, patient=True)
            labels = str(15 + learned.rounds[-1].n_labels)
            rows.append((str(seed), f"{name}: {T:g} K, {p:g} GPa", labels, *judge(walks, learned), volumes[name]))
    header = (
        "seed", "NPT", "frames", "|F - F_ref|, mean\neV/Å", "largest\nof frames", "stress, rms\nkbar", "held",
        "volume\nÅ³/atom", "of EMT",
    )  # fmt: skip
    table = Table(header, tuple(rows), numeric=True, left=(1,))
    print(write_page(arguments.output / "RESULTS.md", __doc__, text_lines(table)))


if __name__ == "__main__":
    main()
