"""Frames read through ASE, and what taylorfit takes from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import FormatError, InputError
from ...model.structure import VOIGT, Structure

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_KEYS = ("energy", "total_energy", "tot_energy", "dft_energy", "ref_energy")
"""Keys of `Atoms.info` taken for energies, in this order, after or before `free_energy`, if
there is no calculator with an energy (files by other or older programs); upper and lower case
are the same."""
COHESIVE_KEY = "aenet_cohesive_energy"
"""Key of `Atoms.info` under which `extxyz` writes the cohesive energy of an XSF file."""
FORCE_KEYS = ("forces", "force", "dft_forces", "dft_force", "ref_forces", "ref_force")
"""Keys of `Atoms.arrays` taken for forces, likewise."""
STRESS_KEYS = ("stress", "dft_stress", "ref_stress")
"""Keys of `Atoms.info` taken for the stress in eV/Å³ and ASE's sign, likewise."""
VIRIAL_KEYS = ("virial", "virials", "dft_virial", "ref_virial")
"""Keys of `Atoms.info` taken for the virial -V σ in eV, if there is no stress."""
WEIGHT_KEYS = ("weight", "config_weight")
"""Keys of `Atoms.info` taken for the weight of the structure in a loss."""
FORCE_WEIGHT_KEYS = ("force_weights", "force_weight")
"""Keys of `Atoms.arrays` taken for the weight of the force on each atom."""

_SINGULAR = 1e-8


def read_frames(path: str) -> Iterator[Atoms]:
    """Yield the frames of a file as ASE reads them.

    Raises
    ------
    FormatError
        if ASE does not know or cannot read the file, or it has no frames.
    InputError
        if ASE is not installed.
    """
    try:
        from ase.io import iread
        from ase.io.formats import filetype
    except ImportError as error:
        raise InputError("ASE is needed to read files other than XSF", file=path, expected="ASE installed") from error
    kind = "unknown"
    n_frames = 0
    try:
        # ASE takes some relative names ("postgres...") for addresses of databases.
        absolute = os.path.abspath(path)
        kind = filetype(absolute)
        if kind == "xsf":
            raise FormatError(
                "unusable XSF file", file=path, expected="an uncompressed file with a PRIMCOORD or ATOMS section"
            )
        if kind in ("xyz", "extxyz"):
            _check_xyz(path)
        frames = iread(absolute, index=":", format=kind, do_not_split_by_at_sign=True)
        while (atoms := next(frames, None)) is not None:
            yield atoms
            n_frames += 1
    except InputError:
        raise
    # ASE's readers fail with whatever their parsing stumbles upon.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        task = "recognise the file" if kind == "unknown" else f"read frame {n_frames} as {kind!r}"
        raise FormatError(
            f"ASE cannot {task} ({reason})", file=path, expected="an undamaged file of a kind that ASE reads, or XSF"
        ) from error
    if n_frames == 0:
        raise FormatError(f"no structures (read by ASE as {kind!r})", file=path, expected="at least one frame")


def structure_from_atoms(
    atoms: Atoms,
    name: str = "",
    *,
    require_energy: bool = False,
    require_forces: bool = False,
    force_consistent: bool = True,
) -> Structure:
    """Return an ASE `Atoms` object as a structure.

    Energy, forces and stress are those that the attached calculator holds as results,
    which constraints do not touch; otherwise those under `ENERGY_KEYS`, `FORCE_KEYS`, `STRESS_KEYS` and
    `VIRIAL_KEYS`.  Nothing is ever calculated.

    Parameters
    ----------
    atoms
        Å, eV, eV/Å, eV/Å³, the units of ASE.
    name
        Name of the structure, named in errors.
    require_energy, require_forces, force_consistent
        As for :func:`taylorfit.formats.structure_files.read_structures`.

    Raises
    ------
    FormatError
        if there are no atoms, a number is not finite, energy or forces are required but
        missing, or the structure is periodic along linearly dependent vectors.
    """
    if len(atoms) == 0:
        raise FormatError("no atoms", file=name, expected="at least one atom")
    results = getattr(atoms.calc, "results", None) or {}
    positions = _finite(atoms.positions, (len(atoms), 3), "positions", name)
    cell = _finite(atoms.cell.array, (3, 3), "cell", name)
    a, b, c = atoms.pbc.tolist()
    pbc = (a, b, c)
    _check_cell(cell, pbc, name)

    keys = ("free_energy", *ENERGY_KEYS) if force_consistent else (*ENERGY_KEYS, "free_energy")
    energy = _lookup(results, keys)
    if energy is None:
        energy = _lookup(atoms.info, keys)
    forces = _lookup(results, ("forces",))
    if forces is None:
        forces = _lookup(atoms.arrays, FORCE_KEYS)
    stress = _stress_of(atoms.info, results, cell, pbc, name)
    cohesive_energy = _lookup(atoms.info, (COHESIVE_KEY,))
    weight = _lookup(atoms.info, WEIGHT_KEYS)
    force_weights = _lookup(atoms.arrays, FORCE_WEIGHT_KEYS)

    if energy is None and not cohesive_energy and require_energy:
        raise FormatError("no energy", file=name, expected="an energy in every frame")
    if forces is None and require_forces:
        raise FormatError("no forces", file=name, expected="forces in every frame")
    return Structure(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=positions,
        cell=cell,
        pbc=pbc,
        energy=None if energy is None else float(_finite(energy, (), "energy", name)),
        forces=None if forces is None else _finite(forces, (len(atoms), 3), "forces", name),
        stress=stress,
        cohesive_energy=(
            None if cohesive_energy is None else float(_finite(cohesive_energy, (), "cohesive energy", name))
        ),
        weight=1.0 if weight is None else float(_finite(weight, (), "weight", name)),
        force_weights=(None if force_weights is None else _finite(force_weights, (len(atoms),), "force weights", name)),
        name=name,
    )


def _lookup(values: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the value under the first of `keys` that is there, in either case."""
    lower = {key.lower(): value for key, value in reversed(list(values.items())) if isinstance(key, str)}
    return next((lower[key] for key in keys if lower.get(key) is not None), None)


def _finite(values: Any, shape: tuple[int, ...], what: str, name: str) -> np.ndarray:
    try:
        # A key without value is True in extxyz, which must not become an energy of 1 eV.
        if np.asarray(values).dtype == bool:
            raise TypeError
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise FormatError(f"{what} not numeric", file=name, value=values, expected="finite numbers") from None
    if shape == () and array.size == 1:
        array = array.reshape(())
    if array.shape != shape:
        raise FormatError(f"{what} of shape {array.shape}", file=name, expected=f"{shape}")
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        owner = f" of atom {place[0] + 1}" if what in ("positions", "forces") else ""
        raise FormatError(
            f"{what}{owner} not finite", file=name, value=float(array[tuple(place)]), expected="finite numbers"
        )
    return array


def _stress_of(
    info: Mapping[str, Any], results: Mapping[str, Any], cell: np.ndarray, pbc: tuple[bool, ...], name: str
) -> np.ndarray | None:
    """(3, 3) stress, eV/Å³, of a frame, from its stress or its virial."""
    stress = _lookup(results, ("stress",))
    if stress is None:
        stress = _lookup(info, STRESS_KEYS)
    if stress is not None:
        return _tensor(stress, "stress", name)
    virial = _lookup({**info, **results}, VIRIAL_KEYS)
    if virial is None or not all(pbc):
        return None
    return -_tensor(virial, "virial", name) / abs(np.linalg.det(cell))


def _tensor(values: Any, what: str, name: str) -> np.ndarray:
    size = np.size(values)
    if size == 6:
        return _finite(np.ravel(values), (6,), what, name)[VOIGT]
    return _finite(np.reshape(values, (3, 3)) if size == 9 else values, (3, 3), what, name)


def _check_cell(cell: np.ndarray, pbc: tuple[bool, ...], name: str) -> None:
    vectors = cell[list(pbc)]
    if not len(vectors):
        return
    with np.errstate(all="ignore"):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        # The Gram determinant is the square of the relative length, area or volume.
        if not np.linalg.det(unit @ unit.T) > _SINGULAR**2:
            raise FormatError(
                "periodic, but the lattice vectors are zero or linearly dependent",
                file=name,
                value=cell.tolist(),
                expected='independent vectors, or pbc="F F F"',
            )


def _check_xyz(path: str) -> None:
    """Find truncated frames and blank lines between frames.

    ASE silently drops everything after a blank line, and would count to any number of
    atoms that a damaged file asks for.
    """
    from ase.io.formats import open_with_compression

    with open_with_compression(path, "rt") as file:
        number = 0
        blank = 0
        for line in file:
            number += 1
            if not line.strip():
                blank = blank or number
                continue
            if line.lstrip().startswith("VEC"):
                continue
            if blank:
                raise FormatError(
                    "blank line between frames (what follows would be lost)",
                    file=path,
                    line=blank,
                    expected="no blank line before further frames",
                )
            word = line.strip()
            if not (word.isascii() and word.isdigit()) or len(word) > 9:
                raise FormatError(
                    "no number of atoms",
                    file=path,
                    line=number,
                    value=word,
                    expected="a line with the number of atoms of the frame",
                )
            start, wanted = number, int(word) + 1
            for _ in range(wanted):
                if not file.readline():
                    raise FormatError(
                        f"truncated frame: {max(number - start - 1, 0)} of {wanted - 1} atoms",
                        file=path,
                        line=start,
                        expected=f"{wanted - 1} atom lines",
                    )
                number += 1
