"""Structures as Python holds them: our own and ASE's, alone or in lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import numpy as np

from ...errors import InputError
from ...model.structure import VOIGT_ELEMENTS, Structure

if TYPE_CHECKING:
    from ase import Atoms

Structures: TypeAlias = "Structure | Atoms | Iterable[Structure | Atoms]"
"""What every verb takes: structures of taylorfit or ASE, alone or in lists."""
NAME_KEY = "name"
"""Key of `Atoms.info` for the name of a structure."""


def as_structures(structures: Structures, *, named: bool = True) -> list[Structure]:
    """Return structures of taylorfit or ASE, alone or in a list, as a list of our own.

    With `named`, one without a name is called by its formula and a hash of its atoms, so that it has the same name
    whenever it comes.

    Raises
    ------
    FormatError
        for `Atoms` without atoms, with values that are not finite, or periodic along dependent vectors.
    InputError
        for anything else than structures.
    """
    if isinstance(structures, Structure) or _is_atoms(structures):
        found = [_one(structures)]
    elif isinstance(structures, Iterable) and not isinstance(structures, (str, bytes)):
        found = [_one(given) for given in structures]
    else:
        raise _no_structure(structures)
    return [_named(structure) for structure in found] if named else found


def structure_from_ase(atoms: Atoms, name: str = "") -> Structure:
    """Return `Atoms` as a structure: see `Structure.from_ase`."""
    from .ase_frames import frame_of
    from .frames import structure_of
    from .labels import FileLabels

    name = name or str(atoms.info.get(NAME_KEY, ""))
    frame, labels = frame_of(atoms, name), FileLabels(name)
    labels.add(frame.info, frame.columns)
    return structure_of(frame, name, labels)


def structure_to_ase(structure: Structure) -> Atoms:
    """Return a structure as `Atoms`: see `Structure.to_ase`."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    from .frames import COHESIVE_KEY, PREDICTED_KEY, PUSHED_KEY

    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
    results = {
        "energy": structure.energy,
        "forces": structure.forces,
        "stress": None if structure.stress is None else structure.stress[VOIGT_ELEMENTS],
    }
    known = {key: np.copy(value) if key != "energy" else value for key, value in results.items() if value is not None}
    if known:
        atoms.calc = SinglePointCalculator(atoms, **known)
    if structure.name:
        atoms.info[NAME_KEY] = structure.name
    if structure.cohesive_energy is not None:
        atoms.info[COHESIVE_KEY] = structure.cohesive_energy
    if structure.weight != 1.0:
        atoms.info["weight"] = structure.weight
    if structure.pushed_from:
        atoms.info[PUSHED_KEY] = structure.pushed_from
    if structure.predicted_by and known:
        atoms.info[PREDICTED_KEY] = structure.predicted_by
    if structure.masses is not None:
        atoms.set_masses(structure.masses)
    if structure.fixed is not None:
        set_fixed(atoms, structure.fixed)
    if structure.momenta is not None:
        atoms.set_momenta(structure.momenta, apply_constraint=False)
    if structure.config_type:
        atoms.info["config_type"] = structure.config_type
    if not structure.converged:
        atoms.info["converged"] = False
    if structure.force_weights is not None:
        atoms.set_array("force_weights", structure.force_weights.copy())
    return atoms


def set_fixed(atoms: Atoms, fixed: np.ndarray) -> None:
    """Give atoms the constraints that leave components where they are; `fixed` (n_atom, 3) bool."""
    from ase.constraints import FixAtoms, FixCartesian

    whole = fixed.all(axis=1)
    constraints: list[FixAtoms | FixCartesian] = [FixAtoms(np.flatnonzero(whole))] if whole.any() else []
    for mask in np.unique(fixed[~whole], axis=0):
        if mask.any():
            atoms_of_mask = np.flatnonzero(~whole & (fixed == mask).all(axis=1))
            constraints += [FixCartesian(int(index), mask) for index in atoms_of_mask]
    atoms.set_constraint(constraints)


def _one(given: object) -> Structure:
    if isinstance(given, Structure):
        return given
    if _is_atoms(given):
        return structure_from_ase(given)
    raise _no_structure(given)


def _named(structure: Structure) -> Structure:
    if structure.name:
        return structure
    return replace(structure, name=f"{structure.formula}-{structure.content_hash()[:12]}")


def _is_atoms(given: object) -> TypeGuard[Atoms]:
    # Without importing ASE: an object of its class cannot exist before that
    return hasattr(given, "get_chemical_symbols") and hasattr(given, "info")


def _no_structure(given: object) -> InputError:
    return InputError("not a structure", value=type(given).__name__, expected="taylorfit.Structure or ase.Atoms")
