"""The atomic structure: what every reader returns and everything else consumes."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""(3, 3) place of each element of a symmetric tensor in the order xx yy zz yz xz xy."""
VOIGT_ELEMENTS = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))
"""Rows and columns of the elements xx yy zz yz xz xy."""

_ISOLATED = 10.0  # Å; atoms further apart do not feel each other


def formula(symbols: Iterable[str]) -> str:
    """Return the number of atoms of each species, in order of the alphabet: "H4O2"."""
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in sorted(Counter(symbols).items()))


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """Atoms, cell, and (where known) reference energy, forces and stress.

    Lengths in Å, energies in eV, forces in eV/Å, stress in eV/Å³ (ASE's sign: negative
    under compression).  Arrays are C-contiguous float64 and must not be modified.

    Raises
    ------
    InputError
        on construction, for an array of another shape, or a weight that is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> dimer = Structure(("H", "F"), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.92]]), energy=-5.9)
    >>> dimer.n_atoms, dimer.forces is None
    (2, True)
    >>> Structure.from_ase(dimer.to_ase()).energy
    -5.9
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
    config_type: str = ""
    """Kind of the structure as the file states it (`config_type`); "IsolatedAtom" for single atoms."""
    predicted_by: str = ""
    """Label of the potential that energy and forces come from, in trajectories of `md`; "" for reference data."""
    masses: np.ndarray | None = None
    """(n_atom,) masses for dynamics, u; None: those of the elements."""
    fixed: np.ndarray | None = None
    """(n_atom, 3) bool: Cartesian components that dynamics leave where they are; None: none."""
    momenta: np.ndarray | None = None
    """(n_atom, 3) momenta, √(u eV), where the file has them."""
    converged: bool = True
    """Did the self-consistency cycle behind energy and forces converge, as far as the file tells?"""
    pushed_from: str = ""
    """`content_hash` of the structure of which it is a copy with pushed atoms (`repel`); "": no such copy."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "symbols", tuple(self.symbols))
        n = len(self.symbols)
        set_(self, "positions", _array(self.positions, (n, 3), "positions", self.name))
        set_(self, "cell", _array(self.cell, (3, 3), "cell", self.name))
        set_(self, "pbc", tuple(map(bool, self.pbc)))
        shapes = {"forces": (n, 3), "stress": (3, 3), "force_weights": (n,), "masses": (n,), "momenta": (n, 3)}
        for field_, shape in shapes.items():
            if (values := getattr(self, field_)) is not None:
                set_(self, field_, _array(values, shape, field_.replace("_", " "), self.name))
        weights, masses = self.force_weights, self.masses
        if weights is not None and not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise InputError("a force weight cannot be used", file=self.name or None, expected="numbers ≥ 0")
        if masses is not None and not (np.isfinite(masses).all() and (masses > 0).all()):
            raise InputError("a mass cannot be used", file=self.name or None, expected="numbers > 0")
        if self.fixed is not None:
            set_(self, "fixed", np.broadcast_to(self.fixed, (n, 3)).astype(bool))
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise InputError(
                "the weight of the structure cannot be used",
                file=self.name or None,
                value=self.weight,
                expected="a number ≥ 0",
            )

    def __repr__(self) -> str:
        known = [] if self.energy is None else [f"energy={self.energy:.6g} eV"]
        known += [name for name in ("forces", "stress") if getattr(self, name) is not None]
        periodic = "".join("xyz"[k] for k in range(3) if self.pbc[k])
        known += [f"periodic in {periodic}"] if periodic else []
        return f"<{', '.join([f'Structure {self.formula}', *([self.name] if self.name else []), *known])}>"

    @property
    def formula(self) -> str:
        """Number of atoms of each species, in order of the alphabet: "H4O2"."""
        return formula(self.symbols)

    @classmethod
    def from_ase(cls, atoms: Atoms, name: str = "") -> Structure:
        """Return an `Atoms` object of ASE as a structure; nothing is ever calculated.

        Energy (the free energy where there is one, for the forces are its derivatives), forces and stress are the
        results that its calculator holds, which constraints do not touch; otherwise what stands in its `info` and
        `arrays` under usual names.

        Parameters
        ----------
        atoms
            In Å, eV, eV/Å and eV/Å³, the units of ASE.
        name
            Of the structure, for messages; "": `atoms.info["name"]`, where there is one.

        Raises
        ------
        FormatError
            if there are no atoms, a number is not finite, or the cell is periodic along dependent vectors.
        """
        from ..formats.structures.in_memory import structure_from_ase

        return structure_from_ase(atoms, name)

    def to_ase(self) -> Atoms:
        """Return the structure as `Atoms`, in ASE's units (the same), with energy, forces and stress in a calculator.

        `info` holds the name and the weight where it is not 1; `arrays` the weights of the forces.
        """
        from ..formats.structures.in_memory import structure_to_ase

        return structure_to_ase(self)

    def content_hash(self) -> str:
        """Return a hash (hexadecimal) of species, positions, cell and periodicity, exactly as they are."""
        import hashlib  # which loads OpenSSL

        digest = hashlib.sha256(" ".join(self.symbols).encode())
        for array in (self.positions, self.cell):
            digest.update((array + 0.0).astype("<f8", copy=False).tobytes())  # 0.0 and -0.0 are the same
        digest.update(struct.pack("<3d", *self.pbc))
        return digest.hexdigest()

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.symbols)

    @property
    def has_weights(self) -> bool:
        """Whether `atom_weights` are others than 1."""
        return self.weight != 1.0 or self.force_weights is not None

    @property
    def atom_weights(self) -> np.ndarray:
        """(n_atom,) weight of the force on each atom, with that of the structure: in losses, errors, estimates, copies.

        What has a weight of 0 is heeded nowhere.
        """
        return self.weight * (np.ones(self.n_atoms) if self.force_weights is None else self.force_weights)

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

    @property
    def is_isolated_atom(self) -> bool:
        """Whether this is a single atom without neighbours, whose energy is an atomic energy.

        By its `config_type`, or because it is not periodic, or its images are further than 10 Å away.
        """
        if self.n_atoms != 1:
            return False
        if "isolated" in self.config_type.lower() or not any(self.pbc):
            return True
        vectors = self.cell[list(self.pbc)]
        # The rows of the pseudo-inverse are as long as one over the spacing of the lattice planes
        return bool((np.linalg.norm(np.linalg.pinv(vectors), axis=0) < 1.0 / _ISOLATED).all())

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


def species_in(structures: Iterable[Structure]) -> tuple[str, ...]:
    """Return the species that occur, in the order of the alphabet."""
    return tuple(sorted({symbol for structure in structures for symbol in structure.symbols}))


def is_content_hash(text: str) -> bool:
    """Whether a text may be what `Structure.content_hash` returns."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _array(values: np.ndarray, shape: tuple[int, ...], what: str, name: str) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{what} have shape {array.shape}", file=name or None, expected=f"{shape}")
    return array
