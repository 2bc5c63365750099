"""Pairs of near frames: the energy difference against the work of the forces tells the units.

Between two near frames of the same atoms E_2 - E_1 = -½ Σ_i (F_i1 + F_i2)·ΔR_i up to third order
in ΔR (trapezoidal rule).  The slope of the left side over the right is 1 whatever the system is,
unless energies, forces or lengths are in different units or the forces have the wrong sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..model.distances import nearest_image
from ..model.structure import Structure, formula
from ..tools.randomness import Stream
from ..tools.statistics import median

MIN_PAIRS = 5
"""Fewer usable pairs than this are not judged."""
MIN_CORRELATION = 0.8
"""Weaker correlations are not judged: the frames are too far apart for the trapezoidal rule."""
SLOPE_BAND = (0.75, 1.0 / 0.75)
"""Slopes inside this band are as expected; no unit factor comes near it."""

_UNIT_TOLERANCE = 0.04  # in ln(slope): a unit is named only if it fits narrowly
_MAX_BEND = (
    0.1  # eV/atom: harmonic energy of the displacement; beyond it the trapezoid is 15 % off and more (EMT copper)
)
_MAX_MOVE = 1.0  # Å: beyond this no trapezoid is meaningful
_MIN_RMS = 1e-4  # Å: below this both sides drown in the digits of the file
_CLOSE_RMS = 0.05  # Å: so near that energies and forces of one method must correlate
_OWN_GROUP = 20  # pairs: compositions with fewer are judged together
_MAX_PAIRS = 1000  # judged per group; more do not make the slope better
_BLOCK = 256  # frames compared all with all; bounds the cost per frame

# slope = (energy unit found / energy unit of force × length), most frequent mistakes first
_UNITS = (
    (27.211386, "forces look like Hartree/Å instead of eV/Å"),
    (51.422067, "forces look like Hartree/Bohr instead of eV/Å"),
    (1 / 27.211386, "energies look like Hartree instead of eV, or forces were multiplied by 27.2 (ASE's XSF reader)"),
    (1 / 51.422067, "forces look as if converted from Hartree/Bohr to eV/Å twice"),
    (1 / 0.529177, "forces look like eV/Bohr, or energies like Hartree and forces like Hartree/Bohr"),
    (0.529177, "positions look like Bohr instead of Å"),
    (23.060548, "energies look like kcal/mol instead of eV"),
    (1 / 23.060548, "forces look like kcal/mol/Å instead of eV/Å"),
    (96.485332, "energies look like kJ/mol instead of eV"),
    (1 / 96.485332, "forces look like kJ/mol/Å instead of eV/Å"),
    (25.711034, "forces look like Rydberg/Bohr instead of eV/Å"),
    (13.605693, "forces look like Rydberg/Å instead of eV/Å"),
    (1 / 13.605693, "energies look like Rydberg instead of eV"),
    (10.0, "positions look like nm instead of Å"),
)


class FramePairs(NamedTuple):
    """Pairs of frames with the same atoms in the same order and the same cell."""

    first: np.ndarray
    """(n_pair,) int64 index of the first frame."""
    second: np.ndarray
    """(n_pair,) int64 index of the second, always greater than `first`."""
    rms: np.ndarray
    """(n_pair,) root mean square of |ΔR_i|, Å; mean displacement removed, nearest periodic image."""
    largest: np.ndarray
    """(n_pair,) largest |ΔR_i|, Å."""
    work: np.ndarray
    """(n_pair,) -½ Σ (F_1 + F_2)·ΔR, eV; NaN where forces are missing."""
    bend: np.ndarray
    """(n_pair,) ½ |Σ (F_1 - F_2)·ΔR| per atom, eV: the harmonic energy of the displacement, a measure of curvature."""
    energy_change: np.ndarray
    """(n_pair,) E_2 - E_1, eV; NaN where an energy is missing."""


@dataclass(frozen=True)
class UnitCheck:
    """Energy differences against the work of the forces for one kind of structure."""

    formula: str
    """Composition of the structures, or "others" for all kinds with few pairs."""
    n_pairs: int
    """Pairs used."""
    n_curved: int
    """Pairs not used, for the energy is too curved between their frames."""
    slope: float | None
    """Ratio of the spreads of energy difference and work, with the sign of their correlation."""
    correlation: float | None
    rms_displacement: float | None
    """Median rms displacement of the pairs used, Å."""
    problem: str | None
    """What is wrong; None if nothing is or nothing can be said."""

    @property
    def judged(self) -> bool:
        """Whether there was enough to judge."""
        return self.problem is not None or (self.correlation or 0.0) >= MIN_CORRELATION


def find_frame_pairs(structures: Sequence[Structure]) -> FramePairs:
    """Return consecutive frames and near neighbours of the same atoms, order and cell.

    Frames are sorted along a random direction of configuration space and compared all with all in
    overlapping blocks, so the cost grows linearly with their number (all pairs of up to 256 frames are seen).
    """
    groups: dict[tuple, list[int]] = {}
    cells = np.round([structure.cell for structure in structures], 3) + 0.0  # + 0.0: no negative zeros
    for index, structure in enumerate(structures):
        groups.setdefault((structure.symbols, structure.pbc, cells[index].tobytes()), []).append(index)
    columns: list[tuple[np.ndarray, ...]] = [
        _pairs_of_group(structures, np.array(members)) for members in groups.values() if len(members) > 1
    ]
    if not columns:
        empty = np.zeros(0)
        return FramePairs(empty.astype(np.int64), empty.astype(np.int64), empty, empty, empty, empty, empty)
    return FramePairs(*(np.concatenate(column) for column in zip(*columns)))


def _pairs_of_group(structures: Sequence[Structure], members: np.ndarray) -> tuple[np.ndarray, ...]:
    frames = [structures[m] for m in members]
    n_atoms = frames[0].n_atoms
    positions = np.stack([frame.positions for frame in frames])
    positions = positions[0] + nearest_image(positions - positions[0], frames[0])
    if not any(frames[0].pbc):
        positions -= positions.mean(axis=1, keepdims=True)
    pairs = _near_pairs(positions.reshape(len(members), -1))
    unknown = np.full((n_atoms, 3), np.nan)
    forces = np.stack([unknown if frame.forces is None else frame.forces for frame in frames])
    doubted = np.zeros(forces.shape[:2], dtype=bool)
    for number, frame in enumerate(frames):
        if frame.has_weights:
            doubted[number] = frame.atom_weights == 0.0
    forces[doubted] = 0.0
    energy = np.array([np.nan if frame.energy is None else frame.energy for frame in frames])
    rms, largest, work, bend = (np.empty(len(pairs)) for _ in range(4))
    step = max(1, 1_000_000 // n_atoms)  # bounds the memory
    for begin in range(0, len(pairs), step):
        part = slice(begin, begin + step)
        i, j = pairs[part].T
        moved = nearest_image(positions[j] - positions[i], frames[0])
        moved -= moved.mean(axis=1, keepdims=True)  # a net force left by DFT does no work then
        square = (moved**2).sum(axis=2)
        rms[part], largest[part] = np.sqrt(square.mean(axis=1)), np.sqrt(square.max(axis=1))
        work[part] = -0.5 * ((forces[i] + forces[j]) * moved).sum(axis=(1, 2))
        # A force of weight 0 is not to be believed: no work is known where its atom moves
        unknown_work = ((doubted[i] | doubted[j]) & (square > _MIN_RMS**2)).any(axis=1)
        work[part] = np.where(unknown_work, np.nan, work[part])
        bend[part] = 0.5 * np.abs(((forces[i] - forces[j]) * moved).sum(axis=(1, 2))) / n_atoms
    i, j = pairs.T
    return members[i], members[j], rms, largest, work, bend, energy[j] - energy[i]


def separation(first: Structure, second: Structure) -> np.ndarray:
    """(n_atom, 3) ΔR from one frame to another of the same atoms and cell, Å: mean removed, nearest periodic image."""
    moved = nearest_image(second.positions - first.positions, first)
    return moved - moved.mean(axis=0)


def _near_pairs(points: np.ndarray, n_nearest: int = 3) -> np.ndarray:
    """(n_pair, 2) consecutive points and the nearest of each, first < second, unique and sorted."""
    n = len(points)
    points = points - points.mean(axis=0)
    square = (points**2).sum(axis=1)
    order = np.arange(n)
    if n > _BLOCK:
        direction = Stream.PROJECTION.generator(0).standard_normal(points.shape[1])
        order = np.argsort(points @ direction, kind="stable")
    found = [np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)]
    for begin in range(0, max(1, n - _BLOCK // 2), _BLOCK // 2):
        block = order[begin : begin + _BLOCK]
        distance = points[block] @ points[block].T
        distance *= -2.0
        distance += square[block, None] + square[block]
        np.fill_diagonal(distance, np.inf)
        k = min(n_nearest, len(block) - 1)
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        found.append(np.sort(np.stack([np.repeat(block, k), block[near].ravel()], axis=1), axis=1))
    keys = np.sort(np.concatenate(found) @ np.array([n, 1]))
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    return np.stack(np.divmod(keys, n), axis=1)


def check_units(structures: Sequence[Structure], pairs: FramePairs) -> list[UnitCheck]:
    """Return one check per composition with enough pairs, and one for all others together."""
    usable = np.isfinite(pairs.work) & np.isfinite(pairs.energy_change)
    usable &= (pairs.rms > _MIN_RMS) & (pairs.largest < _MAX_MOVE)
    groups: dict[tuple[str, ...], list[int]] = {}
    for pair in np.flatnonzero(usable):
        groups.setdefault(structures[pairs.first[pair]].symbols, []).append(int(pair))
    checks, others = [], []
    for symbols, members in groups.items():
        if len(members) < _OWN_GROUP:
            others += members  # a handful of frames gives many pairs that say the same thing
        else:
            checks.append(_judge(formula(symbols), pairs, np.array(members)))
    if others:
        checks.append(_judge("others" if checks else "all", pairs, np.array(others)))
    return checks


def _judge(label: str, pairs: FramePairs, members: np.ndarray) -> UnitCheck:
    n_all = len(members)
    # Forces in another unit must not make the energy look curved: the energies say how large they are
    work, change = np.abs(pairs.work[members]).sum(), np.abs(pairs.energy_change[members]).sum()
    scale = min(1.0, float(change / work)) if work > 0.0 else 1.0
    members = members[scale * pairs.bend[members] <= _MAX_BEND]
    n_curved = n_all - len(members)
    members = members[np.argsort(pairs.rms[members], kind="stable")]
    # The nearer half obeys the trapezoidal rule better; the rest adds noise.
    members = members[: max(2 * MIN_PAIRS, min(_MAX_PAIRS, len(members) // 2))]
    work, change = pairs.work[members], pairs.energy_change[members]
    rms = median(pairs.rms[members]) if len(members) else None
    if rms is None or len(members) < MIN_PAIRS or not (np.any(work) and np.any(change)):
        return UnitCheck(label, len(members), n_curved, None, None, rms, None)
    # Line through the origin that minimises Σ|ΔE - k W|: finds the single frames that do not fit.
    order = np.argsort(change / np.where(work == 0.0, np.finfo(float).tiny, work))
    weight = np.cumsum(np.abs(work[order]))
    middle = order[np.searchsorted(weight, 0.5 * weight[-1])]
    residual = np.abs(change - change[middle] / (work[middle] or 1.0) * work)
    kept = residual <= 6.0 * median(residual) + 1e-9
    work, change = work[kept], change[kept]
    power = float(np.sqrt((work**2).sum() * (change**2).sum()))
    correlation = float((work * change).sum()) / power if power > 0.0 else 0.0
    # Ratio of the spreads, not the least-squares slope, which noise in the work pulls towards zero.
    slope = float(np.copysign(np.sqrt((change**2).sum() / max((work**2).sum(), 1e-300)), correlation))
    problem = _problem(slope, correlation, len(members), rms)
    return UnitCheck(label, len(members), n_curved, slope, correlation, rms, problem)


def _problem(slope: float, correlation: float, n_pairs: int, rms: float) -> str | None:
    if abs(correlation) < MIN_CORRELATION:
        if abs(correlation) < 0.5 and n_pairs >= 2 * MIN_PAIRS and rms < _CLOSE_RMS:
            return "energies and forces do not belong together: no correlation between near frames"
        return None
    sign = "forces have the wrong sign (gradient instead of force)" if slope < 0.0 else ""
    if SLOPE_BAND[0] <= abs(slope) <= SLOPE_BAND[1]:
        return sign or None
    named = [text for factor, text in _UNITS if abs(np.log(abs(slope) / factor)) < _UNIT_TOLERANCE]
    unit = "; or ".join(named) or "energies, forces and positions are not in the same units (no common unit fits)"
    return f"{sign}, and {unit}" if sign else unit
