"""A frame as a file holds it, with the values of its keys and columns, and the structure it becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ...errors import FormatError
from ...model.structure import VOIGT, Structure, is_content_hash
from ...model.units import SYSTEM_FORM, UnitSystem, first_energy_unit, is_per_atom, unit, unit_system
from .labels import ENERGY, FORCES, FREE_ENERGY, STRESS, VIRIAL, FileLabels, LabelKey, asking_for

COHESIVE_KEY = "aenet_cohesive_energy"
"""Key under which `extxyz` writes the cohesive energy of an XSF file."""
PREDICTED_KEY = "predicted_by"
"""Key for the potential that energy and forces are from."""
PUSHED_KEY = "pushed_from"
"""Key for the hash of the structure that a copy of `repel` is made from."""
WEIGHT_KEYS = ("weight", "config_weight")
"""Keys taken for the weight of the structure in a loss."""
MASS_KEYS = ("masses", "mass")
"""Columns taken for the masses of the atoms, u."""
FORCE_WEIGHT_KEYS = ("force_weights", "force_weight")
"""Columns taken for the weight of the force on each atom."""
CONVERGED_KEYS = ("converged", "scf_converged", "is_converged", "electronic_converged")
"""Keys that say whether the self-consistency cycle converged."""

FORCES_ALONE = "; or NOENERGIES in generate.in, to train on the forces alone"
"""What can be done where there are forces and no energy, for messages."""
_SAME_ENERGY = 1e-6  # eV; one energy written twice with other digits
_SAME_STRESS = 1e-3  # eV/Å³
_SINGULAR = 1e-8
# unit_cell=conventional of crystallographers' files states none
_UNIT_KEY = re.compile(r"(?!unit_?cell$)(?:(?P<before>.*?)[_\-. ])?units?(?:[_\-. ](?P<after>.*))?", re.IGNORECASE)
_PERHAPS_ENERGY = re.compile(r"(?i).*ener.*|e|etot|e_tot|epot|pe|toten|e0")
_NO_FORCE = re.compile(r"(?i)pos|vel|mom|mag|dip|spin|tags|mask|cell|scaled|image|charge|weight")
_UNIT_OF = {
    **dict.fromkeys(("energy", "energies", "e"), "energy"),
    **dict.fromkeys(("force", "forces", "f"), "force"),
    **dict.fromkeys(("stress", "stresses"), "stress"),
    **dict.fromkeys(("virial", "virials"), "virial"),
    **dict.fromkeys(
        ("length", "lengths", "position", "positions", "pos", "coord", "coords", "coordinate", "coordinates", "cell")
        + ("lattice", "distance", "distances"),
        "length",
    ),
}


@dataclass
class Frame:
    """The content of one frame; numbers in the units of the file."""

    symbols: tuple[str, ...]
    positions: np.ndarray
    """(n_atom, 3)"""
    cell: np.ndarray
    """(3, 3)"""
    pbc: tuple[bool, bool, bool]
    info: dict[str, Any] = field(default_factory=dict)
    """Values that concern the whole frame; True for a word without a value."""
    columns: dict[str, Any] = field(default_factory=dict)
    """Values per atom."""
    fixed: np.ndarray | None = None
    """(n_atom, 3) bool: components that dynamics leave where they are"""
    dropped: tuple[str, ...] = ()
    """What the frame has besides, and a structure cannot hold."""
    converged: bool = True
    line: int | None = None
    """Where the keys stand in the file, from 1."""


def structure_of(
    frame: Frame,
    name: str,
    labels: FileLabels,
    *,
    units: UnitSystem | None = None,
    force_consistent: bool = True,
    require_energy: bool = False,
    require_forces: bool = False,
) -> Structure:
    """Return a frame as a structure in eV and Å.

    Parameters
    ----------
    name
        of the structure, named in errors
    labels
        the choice of keys for the whole file
    units
        of frames that do not state their own; None: eV and Å
    force_consistent
        prefer the free energy, which the forces derive from?

    Raises
    ------
    FormatError
        if a number is not finite, units contradict each other, energy or forces are required but missing, or the
        structure is periodic along linearly dependent vectors.
    """
    return _Reader(frame, name, units).structure(labels, force_consistent, require_energy, require_forces)


class _Reader:
    """Takes the values of one frame."""

    def __init__(self, frame: Frame, name: str, units: UnitSystem | None) -> None:
        self._frame = frame
        self._name = name
        self._said: list[str] = []
        self._declared = self._declared_units()
        self._units = units or UnitSystem()

    def structure(
        self, labels: FileLabels, force_consistent: bool, require_energy: bool, require_forces: bool
    ) -> Structure:
        frame, name = self._frame, self._name
        n_atoms = len(frame.symbols)
        if n_atoms == 0:
            raise FormatError("no atoms", file=name, expected="at least one atom")
        length = self._factor("length", "length")
        positions = self.finite(frame.positions, (n_atoms, 3), "positions") * length
        cell = self.finite(frame.cell, (3, 3), "cell") * length
        pbc = frame.pbc
        check_cell(cell, pbc, name)
        chosen = labels.choose()
        info = {key.lower(): value for key, value in reversed(frame.info.items()) if value is not None}
        columns = {key.lower(): value for key, value in reversed(frame.columns.items()) if value is not None}

        energy = self._energy(info, labels, chosen.of(FREE_ENERGY), chosen.of(ENERGY), force_consistent)
        force_key = next((key for key in chosen.of(FORCES) if key.key.lower() in columns), None)
        forces = None
        if force_key is not None:
            forces = self.finite(columns[force_key.key.lower()], (n_atoms, 3), "forces")
            forces = forces * self._label_factor(force_key, "force")
        cohesive_energy = info.get(COHESIVE_KEY)
        if energy is None and not cohesive_energy and require_energy:
            expected = labels.missing("energy") + (FORCES_ALONE if forces is not None else "")
            raise FormatError("no energy", file=name, line=frame.line, expected=expected)
        if forces is None and require_forces:
            raise FormatError("no forces", file=name, line=frame.line, expected=labels.missing("forces"))
        self._note(labels, columns, energy is None and not cohesive_energy, forces is None)
        weight = next((info[key] for key in WEIGHT_KEYS if key in info), None)
        force_weights = next((columns[key] for key in FORCE_WEIGHT_KEYS if key in columns), None)
        said = [info[key] for key in CONVERGED_KEYS if key in info]
        return Structure(
            symbols=frame.symbols,
            positions=positions,
            cell=cell,
            pbc=pbc,
            energy=energy,
            forces=forces,
            stress=self._stress(info, chosen.of(STRESS), chosen.of(VIRIAL), cell, pbc),
            cohesive_energy=(
                None if cohesive_energy is None else float(self.finite(cohesive_energy, (), "cohesive energy"))
            ),
            weight=1.0 if weight is None else float(self.finite(weight, (), "weight")),
            force_weights=None if force_weights is None else self.finite(force_weights, (n_atoms,), "force weights"),
            pushed_from=_pushed_from(info),
            predicted_by="" if labels.is_asked else _predicted_by(info),
            masses=self._per_atom(columns, MASS_KEYS, (n_atoms,)),
            fixed=frame.fixed,
            momenta=self._per_atom(columns, ("momenta",), (n_atoms, 3)),
            config_type=str(info.get("config_type", "")),
            converged=frame.converged
            and not any(str(value).lower() in ("false", "f", "no", "0.0", "0") for value in said),
            name=name,
        )

    def _per_atom(
        self, columns: Mapping[str, Any], names: tuple[str, ...], shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """The first of some columns; None if there is none."""
        values = next((columns[name] for name in names if name in columns), None)
        return None if values is None else self.finite(values, shape, names[0])

    def _note(self, labels: FileLabels, columns: Mapping[str, Any], no_energy: bool, no_forces: bool) -> None:
        """Tell of units converted, and of keys and columns that may be labels under unknown names."""
        if any(value != 1.0 for value in self._declared.values()):
            labels.note(f"converted to eV and Å as the file says ({', '.join(self._said)})")
        for what in self._frame.dropped:
            labels.note(f"left out: {what}")
        energies = [key for key in self._frame.info if no_energy and _PERHAPS_ENERGY.fullmatch(key)]
        vectors = [
            name
            for name, values in columns.items()
            if no_forces and np.shape(values)[1:] == (3,) and not _NO_FORCE.search(name)
        ]
        for what, names in (("energy", energies), ("forces", vectors)):
            if names:
                labels.note(
                    f"no {what} under a known name; perhaps {', '.join(names)}? Ask for it by {asking_for(what)}"
                )

    def _energy(
        self,
        info: Mapping[str, Any],
        labels: FileLabels,
        free: list[LabelKey],
        plain: list[LabelKey],
        force_consistent: bool,
    ) -> float | None:
        """The energy of the frame, eV; two different total energies are refused."""
        values = [
            [
                (key.key, float(self.finite(info[key.key.lower()], (), "energy")) * self._label_factor(key, "energy"))
                for key in keys
                if key.key.lower() in info
            ]
            for keys in (free, plain)
        ]
        for same in values:
            if len(same) > 1 and np.ptp([value for _, value in same]) > _SAME_ENERGY:
                self.fail(
                    "two different total energies",
                    ", ".join(f"{key}={value:g}" for key, value in same),
                    f"one, or a choice: {asking_for('energy')}",
                )
        taken = [same[0] for same in (values if force_consistent else values[::-1]) if same]
        if len(taken) > 1 and force_consistent and abs(taken[0][1] - taken[1][1]) > _SAME_ENERGY:
            labels.note(f"energy taken: {taken[0][0]}, from which the forces derive, not {taken[1][0]}")
        return taken[0][1] if taken else None

    def _stress(
        self,
        info: Mapping[str, Any],
        stresses: list[LabelKey],
        virials: list[LabelKey],
        cell: np.ndarray,
        pbc: tuple[bool, ...],
    ) -> np.ndarray | None:
        """(3, 3) stress, eV/Å³, of the frame, from its stress or its virial."""
        found: list[tuple[str, np.ndarray]] = []
        for key in stresses:
            if key.key.lower() in info:
                stress = self.tensor(info[key.key.lower()], "stress") * self._label_factor(key, "stress")
                found.append((key.key, stress))
        for key in virials:
            if key.key.lower() in info and all(pbc):
                virial = self.tensor(info[key.key.lower()], "virial") * self._label_factor(key, "virial")
                found.append((key.key, -virial / abs(np.linalg.det(cell))))
        for other, stress in found[1:]:
            if not np.allclose(stress, found[0][1], rtol=0.01, atol=_SAME_STRESS):
                names = f"{found[0][0]} and {other}"
                self.fail(
                    "stresses that differ (a stress is -virial/volume)",
                    names,
                    f"one of them, or a choice: {asking_for('stress')}",
                )
        return found[0][1] if found else None

    def tensor(self, values: Any, what: str) -> np.ndarray:
        """(3, 3) array of nine numbers, or of six in Voigt's order."""
        size = np.size(values)
        if size == 6:
            return self.finite(np.ravel(values), (6,), what)[VOIGT]
        return self.finite(np.reshape(values, (3, 3)) if size == 9 else values, (3, 3), what)

    def finite(self, values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
        """The values as an array, or an error that names what they are."""
        if type(values) is float and not shape and math.isfinite(values):  # thousands of energies
            return np.array(values)
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            array = values.copy()
        else:
            try:
                # A key without value is True in extxyz, which must not become an energy of 1 eV.
                if np.asarray(values).dtype == bool:
                    raise TypeError
                array = np.array(values, dtype=np.float64)
            except (TypeError, ValueError):
                self.fail(f"{what} not numeric", values, "finite numbers")
        if shape == () and array.size == 1:
            array = array.reshape(())
        if array.shape != shape:
            self.fail(f"{what} of shape {array.shape}", None, f"{shape}")
        # A product is quicker than two passes over each of thousands of small arrays
        if not (math.isfinite(np.vdot(array, array)) or np.isfinite(array).all()):
            place = np.argwhere(~np.isfinite(array))[0]
            owner = f" of atom {place[0] + 1}" if what in ("positions", "forces") else ""
            self.fail(f"{what}{owner} not finite", float(array[tuple(place)]), "finite numbers")
        return array

    def fail(self, message: str, value: object, expected: str) -> NoReturn:
        """Refuse the frame."""
        raise FormatError(message, file=self._name, line=self._frame.line, value=value, expected=expected)

    # --- units ---------------------------------------------------------------------------------

    def _declared_units(self) -> dict[str, float]:
        """Value of each unit that the keys of the frame state: energy, force, stress, virial, length."""
        declared: dict[str, float] = {}
        previous = ""
        for key, value in self._frame.info.items():
            if value is True:
                # a word after the energy: energy=-1.5 Hartree
                if "energy" in previous.lower() and first_energy_unit(key) is not None:
                    self._declare(declared, "energy", key, f"{previous} in {key}")
                continue
            previous = key
            match = _UNIT_KEY.fullmatch(key)
            if match is None or not isinstance(value, str):
                continue
            words = re.split(r"[_\-. ]+", (match["before"] or match["after"] or "").lower())
            if words == [""]:
                system = unit_system(value)
                if system is None:
                    self.fail("unknown units", f"{key}={value}", SYSTEM_FORM)
                for kind in ("energy", "force", "stress", "length"):
                    declared.setdefault(kind, getattr(system, kind))
                declared.setdefault("virial", system.energy)
                self._said.append(f"{key}={value}")
                continue
            for named in [_UNIT_OF[word] for word in words if word in _UNIT_OF][:1]:
                self._declare(declared, named, value, f"{key}={value}")
        return declared

    def _declare(self, declared: dict[str, float], kind: str, text: str, shown: str) -> None:
        factor = unit(text, "energy" if kind == "virial" else kind)
        if factor is None:
            message = "energies per atom, not of the structure" if is_per_atom(text) else f"unknown unit of {kind}"
            self.fail(message, shown, "a unit such as eV, Å, eV/Å or GPa")
        if declared.get(kind, factor) != factor:
            self.fail(f"two units of {kind}", shown, "one")
        declared[kind] = factor
        self._said.append(shown)

    def _label_factor(self, key: LabelKey, kind: str) -> float:
        """Value of the unit of a label: that of its name, or the declared one."""
        declared = self._declared.get(kind)
        if key.factor is not None:
            if declared is not None and abs(declared / key.factor - 1.0) > 1e-6:
                self.fail(f"two units of {kind}", key.key, "the same in the name and in the keys for units")
            return key.factor
        return self._factor(kind, key.key)

    def _factor(self, kind: str, what: str) -> float:
        """Value of the unit of one kind: declared in the frame, else that of the file.

        Where a frame states other units than eV and Å for some kinds, it must for all it has labels of: nobody knows
        whether the forces beside an energy in Hartree are in Hartree/Bohr, Hartree/Å or eV/Å.
        """
        if not self._declared:
            return getattr(self._units, "energy" if kind == "virial" else kind)
        if kind in self._declared:
            return self._declared[kind]
        if kind != "length" and any(value != 1.0 for value in self._declared.values()):
            self.fail(f"no unit of {what}, while others are stated", None, f"{kind}_unit= as well")
        return self._units.energy if kind == "virial" else getattr(self._units, kind)


def check_cell(cell: np.ndarray, pbc: tuple[bool, ...], name: str) -> None:
    """Refuse periodicity along vectors that are zero or linearly dependent.

    Raises
    ------
    FormatError
        naming the cell.
    """
    if not any(pbc):
        return
    vectors = cell[list(pbc)]
    with np.errstate(all="ignore"):
        unit_vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        # The Gram determinant is the square of the relative length, area or volume.
        if not np.linalg.det(unit_vectors @ unit_vectors.T) > _SINGULAR**2:
            raise FormatError(
                "periodic, but the lattice vectors are zero or linearly dependent",
                file=name,
                value=cell.tolist(),
                expected='independent vectors, or pbc="F F F"',
            )


def _predicted_by(info: Mapping[str, Any]) -> str:
    """The potential that energy and forces are from, as we write it or `md` does in its trajectories."""
    if PREDICTED_KEY in info:
        return str(info[PREDICTED_KEY]) or "?"
    return str(info["potential"]) if {"potential", "step"} <= info.keys() else ""


def _pushed_from(info: Mapping[str, Any]) -> str:
    """The hash of the structure that a frame is a copy of; "" for others, and for what only looks like one."""
    value = str(info[PUSHED_KEY]) if PUSHED_KEY in info else ""
    return value if value and is_content_hash(value) else ""
