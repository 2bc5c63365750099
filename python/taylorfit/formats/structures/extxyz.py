"""Writing extended XYZ with all digits (ASE writes eight decimals)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from os import PathLike

import numpy as np

from ...errors import InputError
from ...model.structure import Structure
from ...tools.atomic_write import atomic_write
from .frames import COHESIVE_KEY, PREDICTED_KEY, PUSHED_KEY


def write_extxyz(
    path: str | PathLike[str],
    structures: Iterable[Structure],
    *,
    overwrite: bool = True,
    info: Mapping[str, str] | None = None,
) -> int:
    """Write structures as frames of an extended XYZ file, which ASE reads back exactly.

    Lengths in Å, energies in eV, forces in eV/Å, stress in eV/Å³.  A cohesive energy stands
    under a key that other programs do not know.

    Parameters
    ----------
    info
        More keys of every frame, and their text.

    Returns
    -------
    Number of frames.

    Raises
    ------
    InputError
        if a structure has no atoms or a number that is not finite, or the file cannot be written.
    """
    n = 0
    with atomic_write(path, overwrite=overwrite) as stream:
        for structure in structures:
            stream.write(format_frame(structure, info or {}))
            n += 1
    return n


def format_frame(structure: Structure, info: Mapping[str, str]) -> str:
    """Return one frame of an extended XYZ file, with more keys."""
    columns = [structure.positions]
    properties = "species:S:1:pos:R:3"
    if structure.forces is not None:
        columns.append(structure.forces)
        properties += ":forces:R:3"
    if structure.force_weights is not None:
        columns.append(structure.force_weights[:, None])
        properties += ":force_weights:R:1"
    values = np.hstack(columns)
    pairs = []
    if any(structure.pbc) or structure.cell.any():
        pairs.append(f'Lattice="{_row(structure.cell.ravel())}"')
    pairs.append(f"Properties={properties}")
    for key, energy in (("energy", structure.energy), (COHESIVE_KEY, structure.cohesive_energy)):
        if energy is not None:
            pairs.append(f"{key}={float(energy)!r}")
    if structure.stress is not None:
        # ASE transposes the nine numbers; a stress is symmetric
        pairs.append(f'stress="{_row(structure.stress.T.ravel())}"')
    if structure.weight != 1.0:
        pairs.append(f"weight={float(structure.weight)!r}")
    if structure.pushed_from:
        pairs.append(f"{PUSHED_KEY}={structure.pushed_from}")
    if structure.predicted_by and (structure.energy is not None or structure.forces is not None):
        pairs.append('{}="{}"'.format(PREDICTED_KEY, re.sub(r'["\\\s]', "_", structure.predicted_by)))
    if structure.config_type:
        pairs.append('config_type="{}"'.format(re.sub(r'["\\\s]', "_", structure.config_type)))
    if not structure.converged:
        pairs.append("converged=F")
    pairs += ['{}="{}"'.format(key, re.sub(r'["\\]', "'", " ".join(text.split()))) for key, text in info.items()]
    pairs.append('pbc="{} {} {}"'.format(*("T" if p else "F" for p in structure.pbc)))
    parts = [values, structure.cell, structure.energy, structure.cohesive_energy, structure.stress]
    if not structure.symbols or not all(np.isfinite(part).all() for part in parts if part is not None):
        raise InputError(
            "no atoms, or a number that is not finite",
            file=structure.name or None,
            expected="a structure that has an extended XYZ form",
        )
    lines = [str(structure.n_atoms), " ".join(pairs)]
    lines += [f"{symbol:2s} {_row(row)}" for symbol, row in zip(structure.symbols, values)]
    return "\n".join(lines) + "\n"


def _row(values: np.ndarray) -> str:
    return " ".join(repr(value) for value in values.tolist())
