"""Hessians of structures: from files, or by finite differences of a potential's forces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..data.curvature import Curvature, curvature_from_traces
from ..errors import InputError
from ..formats.hessian_file import find_hessian, read_hessian
from ..formats.structures.files import require_species
from ..model.structure import Structure
from ..potential.potential import Potential, Source, as_potential
from ..tools.randomness import Stream

STEP = 1.0e-3
"""Å: displacement in central differences; their error is O(h²), and the forces have no noise."""
PROBES = 200
"""Structures used for the mean curvature, one random vector each: a standard error of a few per cent at most."""


@dataclass(frozen=True, eq=False)
class StoredHessians:
    """Hessians in files: a folder with one for each structure, or a single file that holds for all.

    The single file is for frames of a solid that all vibrate about the same sites.

    Raises
    ------
    InputError
        on construction, if a structure that needs one has no file, or two have the same.
    """

    path: Path
    structures: Sequence[Structure]
    needed: Sequence[int]
    """Indices of the structures that will be asked for."""
    _last: list = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            return
        users: dict[Path, str] = {}
        for structure in (self.structures[index] for index in self.needed):
            file = find_hessian(self.path, structure.name)
            if users.setdefault(file, structure.name) != structure.name:
                raise InputError(
                    "one Hessian for two structures",
                    file=file,
                    value=structure.name,
                    expected=f"a name of its own; {users[file]} has it",
                )

    def __call__(self, index: int) -> np.ndarray:
        """Return the (3N, 3N) Hessian of structure `index`, eV/Å²."""
        structure = self.structures[index]
        file = find_hessian(self.path, structure.name) if self.path.is_dir() else self.path
        return _remembered(self._last, index, lambda: read_hessian(file, structure.n_atoms))


@dataclass(frozen=True, eq=False)
class FiniteDifferenceHessians:
    """Hessians from central differences of the forces of a potential: 6N evaluations of each structure."""

    potential: Potential
    structures: Sequence[Structure]
    threads: int = 0
    _last: list = field(default_factory=list, init=False, repr=False)

    def __call__(self, index: int) -> np.ndarray:
        """Return the (3N, 3N) Hessian of structure `index`, eV/Å²."""
        return _remembered(self._last, index, lambda: self._compute(self.structures[index]))

    def _compute(self, structure: Structure) -> np.ndarray:
        n = 3 * structure.n_atoms
        steps = np.concatenate([np.eye(n), -np.eye(n)]).reshape(2 * n, -1, 3) * STEP
        forces = _forces([_moved(structure, step) for step in steps], self.potential, self.threads)
        rows = np.stack(forces).reshape(2, n, n)
        hessian = (rows[1] - rows[0]) / (2.0 * STEP)
        return 0.5 * (hessian + hessian.T)


def _remembered(last: list, index: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """A structure's displacements and its energies need the same Hessian one after the other."""
    if not last or last[0] != index:
        last[:] = [index, compute()]
    return last[1]


def _moved(structure: Structure, step: np.ndarray) -> Structure:
    return replace(structure, positions=structure.positions + step, forces=None)


def _forces(structures: Sequence[Structure], potential: Potential, threads: int) -> list[np.ndarray]:
    return [e.known_forces for e in potential.evaluate(structures, threads=threads)]


def load_potential(source: Source, structures: Sequence[Structure]) -> Potential:
    """Return a first potential for structures, read if it is given by its files.

    Raises
    ------
    InputError
        if the files do not belong together, or a structure has another species.
    """
    potential = as_potential(source)
    for structure in structures:
        require_species(structure, potential.species, "no potential= for a species")
    return potential


def curvature_from_potential(
    structures: Sequence[Structure], potential: Potential, seed: int = 1, threads: int = 0
) -> Curvature:
    """Estimate mean force constants from the Hessian of a potential by Hutchinson's estimator.

    For a vector v of random signs, v_a (H v)_a has the mean H_aa; H v comes from a central difference of
    forces along v.  One vector for each of at most `PROBES` evenly spaced structures.  (M. F. Hutchinson,
    Commun. Stat. Simul. Comput. 19, 433 (1990).)
    """
    step = max(1, -(-len(structures) // PROBES))
    chosen = structures[::step]
    probes = [
        Stream.CURVATURE.generator(seed, s).integers(0, 2, (structure.n_atoms, 3)) * 2.0 - 1.0
        for s, structure in enumerate(chosen)
    ]
    moved = [_moved(structure, sign * STEP * v) for structure, v in zip(chosen, probes) for sign in (1.0, -1.0)]
    forces = _forces(moved, potential, threads)
    diagonals = [v * (minus - plus) / (2.0 * STEP) for v, plus, minus in zip(probes, forces[::2], forces[1::2])]
    return curvature_from_traces([structure.symbols for structure in chosen], diagonals)
