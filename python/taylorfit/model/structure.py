"""The atomic structure: what every reader returns and everything else consumes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError

VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""(3, 3) place of each element of a symmetric tensor in the order xx yy zz yz xz xy."""
VOIGT_ELEMENTS = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))
"""Rows and columns of the elements xx yy zz yz xz xy."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms, cell, and (where known) reference energy, forces and stress.

    Lengths in Å, energies in eV, forces in eV/Å, stress in eV/Å³ (ASE's sign: negative
    under compression).  Arrays are C-contiguous float64 and must not be modified.
    """

    symbols: tuple[str, ...]
    """Chemical symbol of each atom, at most two characters."""
    positions: np.ndarray
    """(n_atom, 3) Cartesian positions, as in the file (not wrapped)."""
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    """(3, 3) lattice vectors as rows; zero rows where there is none."""
    pbc: tuple[bool, bool, bool] = (False, False, False)
    """Periodic along each lattice vector?"""
    energy: float | None = None
    """Total energy, eV."""
    forces: np.ndarray | None = None
    """(n_atom, 3) forces, eV/Å, never changed by constraints."""
    stress: np.ndarray | None = None
    """(3, 3) stress, eV/Å³."""
    cohesive_energy: float | None = None
    """Cohesive energy, eV, where the file states it; beats `energy` when non-zero (ænet)."""
    weight: float = 1.0
    """Weight of the structure in a loss."""
    force_weights: np.ndarray | None = None
    """(n_atom,) weight of the force on each atom in a loss; None: 1 for all."""
    name: str = ""
    """File name, with `#<frame>` appended (from 0) for files of several frames."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "symbols", tuple(self.symbols))
        set_(self, "positions", _array(self.positions, (len(self.symbols), 3), "positions", self.name))
        set_(self, "cell", _array(self.cell, (3, 3), "cell", self.name))
        set_(self, "pbc", tuple(bool(p) for p in self.pbc))
        if self.forces is not None:
            set_(self, "forces", _array(self.forces, (len(self.symbols), 3), "forces", self.name))
        if self.stress is not None:
            set_(self, "stress", _array(self.stress, (3, 3), "stress", self.name))
        if self.force_weights is not None:
            set_(self, "force_weights", _array(self.force_weights, (len(self.symbols),), "force weights", self.name))
            if not (np.isfinite(self.force_weights).all() and (self.force_weights >= 0).all()):
                raise InputError("a force weight cannot be used", file=self.name or None, expected="numbers ≥ 0")
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise InputError(
                "the weight of the structure cannot be used",
                file=self.name or None,
                value=self.weight,
                expected="a number ≥ 0",
            )

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.symbols)

    @property
    def volume(self) -> float:
        """Cell volume in Å³; only meaningful when periodic in all directions."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def known_forces(self) -> np.ndarray:
        """`forces`, where they are needed.

        Raises
        ------
        InputError
            if the structure has none.
        """
        if self.forces is None:
            raise InputError("the structure has no forces", file=self.name or None)
        return self.forces

    @property
    def known_stress(self) -> np.ndarray:
        """`stress`, where it is needed.

        Raises
        ------
        InputError
            if the structure has none.
        """
        if self.stress is None:
            raise InputError("the structure has no stress", file=self.name or None)
        return self.stress

    def species_index(self, species: tuple[str, ...]) -> np.ndarray:
        """(n_atom,) int32 index of each atom's species in `species`, from 0.

        Raises
        ------
        InputError
            if an atom's species is not in `species`.
        """
        lookup = {symbol: index for index, symbol in enumerate(species)}
        try:
            return np.array([lookup[symbol] for symbol in self.symbols], dtype=np.int32)
        except KeyError as error:
            raise InputError(
                "unknown species", file=self.name, value=error.args[0], expected=f"one of {' '.join(species)}"
            ) from None

    def energies_raised(self, change: float) -> tuple[float | None, float | None]:
        """`energy` and `cohesive_energy` of a copy of the structure whose energy is so much higher, eV."""
        return (
            None if self.energy is None else self.energy + change,
            self.cohesive_energy + change if self.cohesive_energy else None,
        )

    def reference_energy(self, atomic_energies: dict[str, float]) -> float | None:
        """Energy relative to the isolated atoms, eV, as ænet trains it.

        A non-zero cohesive energy in the file is used as it is; otherwise the total
        energy minus `atomic_energies`, atom by atom as in ænet, so that the last bits agree.
        None if the file has neither.
        """
        if self.cohesive_energy:
            return self.cohesive_energy
        if self.energy is None:
            return None
        energy = self.energy
        for symbol in self.symbols:
            energy -= atomic_energies[symbol]
        return energy


def _array(values: np.ndarray, shape: tuple[int, ...], what: str, name: str) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{what} have shape {array.shape}", file=name or None, expected=f"{shape}")
    return array
