"""What a committee remembers of its data: how much its members differ there, and how close atoms come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import PotentialTables, evaluate_members
from ..model.data_limits import DataLimits
from ..model.distances import shortest_of_pairs
from ..model.structure import Structure
from ..tools.chunks import runs
from .potential import Potential

SHARE, FACTOR = 99.0, 1.5
"""The limit is so many times the deviation that this share (%) of the atoms of test structures stays below.

Of frames like the data 0 to 7 % have an atom beyond it ((H2O)6 at 300 K, 25 and 100 frames), of frames at 800 K 8 to
53 and 65 to 80 %."""
MOST, MOST_FOR_DISTANCES = 200, 2000
"""Structures that are looked at."""


def force_deviation(forces: np.ndarray) -> np.ndarray:
    """(n_atom,) standard deviation over the members of the force on each atom; forces (n_member, n_atom, 3)."""
    deviation: np.ndarray = np.sqrt(forces.var(axis=0).sum(axis=-1))
    return deviation


def limits_of(
    members: Sequence[Potential], data: Sequence[Structure], tested: Sequence[Structure], threads: int = 0
) -> DataLimits:
    """Return what a committee should remember of its data.

    Parameters
    ----------
    members
        With the same descriptors; of a single one there is no deviation.
    data
        All structures that they were trained and tested on, copies left out.
    tested
        Those that no member was trained on: of training structures the deviations are several times smaller.
    """
    found_there = shortest_of_pairs(_some(data, MOST_FOR_DISTANCES))
    shortest = {pair: float(f"{length:.4g}") for pair, length in found_there.items()}
    deviations: list[np.ndarray] = [np.zeros(0)]
    if len(members) > 1:
        tables = PotentialTables.from_members([member.parts for member in members])
        for chunk in runs(_some(tested, MOST), lambda structure: structure.n_atoms):
            for found in evaluate_members(chunk, tables, threads=threads):
                deviations.append(force_deviation(np.array([evaluation.forces for evaluation in found])))
    per_atom = np.concatenate(deviations)
    limit = float(f"{FACTOR * np.percentile(per_atom, SHARE):.3g}") if len(per_atom) else 0.0
    return DataLimits(limit if 0.0 < limit < np.inf else None, shortest)


def _some(structures: Sequence[Structure], most: int) -> Sequence[Structure]:
    """Evenly spaced ones, at most so many."""
    return structures[:: -(-len(structures) // most) or 1]
