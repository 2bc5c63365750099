"""Relaxation of atomic positions with a potential (RELAX of predict.in), by ASE's BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..engine import Evaluation
from ..model.structure import Structure
from ..settings.predict import RelaxOptions
from .potential import Potential

LARGEST_STEP = 0.1
"""Å per step and atom where `dmax` is not given."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Where a relaxation ended."""

    structure: Structure
    """Relaxed positions; no reference energy or forces, for they belong to others."""
    evaluation: Evaluation
    n_steps: int
    converged: bool


def relax(structure: Structure, potential: Potential, options: RelaxOptions, threads: int = 0) -> Relaxation:
    """Minimise the energy of a structure in a fixed cell.

    Converged when no atom feels a force of more than `f_conv` (eV/Å) and the energy changed by no
    more than `e_conv` (eV) in the last step.  Unlike ænet, which mixes Cartesian
    forces with fractional coordinates, the minimiser sees a gradient of the energy; and `dmax`, the
    largest displacement in a step (Å), is respected.
    """
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes
    from ase.optimize import BFGS

    class Engine(Calculator):
        """The potential as ASE wants it."""

        implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as in the base class

        def calculate(
            self,
            atoms: Atoms | None = None,
            properties: Sequence[str] = ("energy",),
            system_changes: Sequence[str] = all_changes,
        ) -> None:
            super().calculate(atoms, properties, system_changes)
            assert atoms is not None
            moved = replace(
                structure, positions=atoms.positions, energy=None, forces=None, stress=None, cohesive_energy=None
            )
            self.last = potential.evaluate([moved], threads=threads)[0]
            self.results = {"energy": self.last.energy, "forces": self.last.known_forces.copy()}

    # Species are numbers to ASE: it need not know the symbols, and masses play no part
    atoms = Atoms(
        numbers=np.zeros(structure.n_atoms, dtype=int),
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        calculator=Engine(),
    )
    minimiser = BFGS(atoms, logfile=None, maxstep=options.dmax or LARGEST_STEP)
    energy, change, n_steps = atoms.get_potential_energy(), 0.0, 0
    while True:
        largest = np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0)
        converged = largest <= options.f_conv and abs(change) <= options.e_conv
        if converged or n_steps >= options.steps:
            break
        minimiser.step()
        n_steps += 1
        change, energy = atoms.get_potential_energy() - energy, atoms.get_potential_energy()
    relaxed = replace(
        structure, positions=atoms.positions.copy(), energy=None, forces=None, stress=None, cohesive_energy=None
    )
    return Relaxation(relaxed, potential.evaluate([relaxed], threads=threads)[0], n_steps, bool(converged))
