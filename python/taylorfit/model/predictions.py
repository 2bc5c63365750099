"""What a potential says of reference structures, beside the reference."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from ..analysis.errors import Errors

TEXT_FIELDS = ("potentials", "names", "symbols")
"""Fields of `Predictions` that hold words."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Predicted and reference energies and forces of a set of structures; NaN where there is no reference.

    Made by `predict`.

    Raises
    ------
    InputError
        on construction, if the arrays do not belong together.
    """

    label: str
    """What a legend calls this set of potentials."""
    potentials: tuple[str, ...]
    """Potential files."""
    names: tuple[str, ...]
    """(n_structure,) file names of the structures."""
    symbols: tuple[str, ...]
    """(n_atom,) chemical symbols, one structure after the other."""
    offsets: np.ndarray
    """(n_structure + 1,) int64: structure s has the atoms offsets[s] to offsets[s + 1] − 1."""
    isolated_energy: np.ndarray
    """(n_structure,) sum of the energies of the isolated atoms, eV."""
    energy_ref: np.ndarray
    """(n_structure,) total reference energy, eV."""
    energy: np.ndarray
    """(n_structure,) total energy of the potentials, eV."""
    forces_ref: np.ndarray
    """(n_atom, 3) reference forces, eV/Å; NaN also where the potentials were not asked for forces."""
    forces: np.ndarray
    """(n_atom, 3) forces of the potentials, eV/Å."""
    atomic_energies: np.ndarray | None = None
    """(n_atom,) energies of the atoms, eV, those of the isolated atoms included; not in files."""
    stress_ref: np.ndarray | None = None
    """(n_structure, 3, 3) reference stress, eV/Å³ (ASE's sign); not in files."""
    stress: np.ndarray | None = None
    """(n_structure, 3, 3) stress of the potentials; NaN without three periodic directions; not in files."""
    weight: np.ndarray | None = None
    """(n_structure,) weights of the structures in errors; None: 1"""
    atom_weight: np.ndarray | None = None
    """(n_atom,) weights of the forces, with those of the structures; None: 1"""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in TEXT_FIELDS:
            set_(self, name, tuple(map(str, getattr(self, name))))
        set_(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        n, atoms = len(self.names), len(self.symbols)
        if (
            self.offsets.shape != (n + 1,)
            or self.offsets[0] != 0
            or self.offsets[-1] != atoms
            or (np.diff(self.offsets) < 1).any()
        ):
            raise InputError(
                "the numbers of atoms contradict each other", expected=f"{n} structures, together {atoms} atoms"
            )
        for name in ("isolated_energy", "energy_ref", "energy", "forces_ref", "forces"):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            wanted = (n,) if "energy" in name else (atoms, 3)
            if array.shape != wanted:
                raise InputError(f"{name} has shape {array.shape}", expected=str(wanted))
            set_(self, name, array)

    def __repr__(self) -> str:
        known = f"{int(self.has_energy.sum())} energies and {int(self.has_forces.sum())} forces"
        return f"<Predictions of {self.n_structures} structures, references: {known}>"

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Predictions:
        """Read what `save` or `taylorfit predict --save-predictions` wrote.

        Raises
        ------
        FormatError
            if it is another kind of file, or damaged.
        InputError
            if it cannot be opened.
        """
        from ..formats.predictions import read_predictions

        return read_predictions(path)

    def save(self, path: str | PathLike[str]) -> None:
        """Write energies and forces to a file `.npz`, for `taylorfit plot` and `report`.

        Raises
        ------
        InputError
            if the file cannot be written.
        """
        from ..formats.predictions import write_predictions

        write_predictions(path, self)

    @property
    def errors(self) -> Errors:
        """Mean errors of energies and forces, over all structures and atoms that have a reference."""
        from ..analysis.errors import errors_in

        return errors_in(self)

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `predict`: `structures` (energies in eV, forces, stress), and `errors`."""
        return {"structures": [self._row(s) for s in range(self.n_structures)], "errors": self.errors.to_dict()}

    def _row(self, s: int) -> dict[str, Any]:
        atoms = slice(self.offsets[s], self.offsets[s + 1])
        energy, energy_ref = float(self.energy[s]), float(self.energy_ref[s])
        return {
            "file": self.names[s],
            "energy": energy,
            "energy_ref": None if np.isnan(energy_ref) else energy_ref,
            "cohesive_energy": energy - float(self.isolated_energy[s]),
            "forces": None if np.isnan(self.forces[atoms]).any() else self.forces[atoms],
            "stress": None if self.stress is None or np.isnan(self.stress[s]).any() else self.stress[s],
            "atomic_energies": None if self.atomic_energies is None else self.atomic_energies[atoms],
        }

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.names)

    @property
    def n_atoms(self) -> np.ndarray:
        """(n_structure,) atoms of each structure."""
        return np.diff(self.offsets)

    @property
    def has_energy(self) -> np.ndarray:
        """(n_structure,) whether there is a reference energy of a weight above 0."""
        known: np.ndarray = ~np.isnan(self.energy_ref)
        return known if self.weight is None else known & (self.weight > 0.0)

    @property
    def has_forces(self) -> np.ndarray:
        """(n_atom,) whether there is a reference force of a weight above 0."""
        known: np.ndarray = ~np.isnan(self.forces_ref).any(axis=1)
        return known if self.atom_weight is None else known & (self.atom_weight > 0.0)

    @property
    def energies_per_atom(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and prediction, without the isolated atoms, of structures with a reference, eV/atom."""
        known = self.has_energy
        isolated, n = self.isolated_energy[known], self.n_atoms[known]
        return (self.energy_ref[known] - isolated) / n, (self.energy[known] - isolated) / n

    @property
    def energy_error_per_atom(self) -> np.ndarray:
        """Prediction minus reference of structures with a reference, eV/atom."""
        return (self.energy - self.energy_ref)[self.has_energy] / self.n_atoms[self.has_energy]

    @property
    def compared_forces(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and prediction of atoms that have both, (n, 3) each, eV/Å."""
        known = self.has_forces
        return self.forces_ref[known], self.forces[known]

    @property
    def compared_weights(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Weights of the energies and forces that are compared, (n,) each; None: all 1."""
        return (
            None if self.weight is None else self.weight[self.has_energy],
            None if self.atom_weight is None else self.atom_weight[self.has_forces],
        )
