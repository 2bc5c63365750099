"""The structures and atoms with the largest errors, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..analysis.measures import direction_error, force_error_norm
from ..model.predictions import Predictions
from ..tools.statistics import robust_deviation

FAR = 6.0
"""An error is an outlier this many robust standard deviations (1.4826 median absolute deviations) from the median."""


@dataclass(frozen=True)
class BadStructure:
    """One structure and its error."""

    name: str
    energy_error: float
    """Prediction minus reference, eV/atom."""
    outlier: bool
    """Far from the errors of the others?"""


@dataclass(frozen=True)
class BadAtom:
    """One atom and its error."""

    name: str
    """Of the structure."""
    atom: int
    """Number in the structure, from 1."""
    symbol: str
    force_ref: float
    """|F_ref|, eV/Å."""
    error: float
    """|F − F_ref|, eV/Å."""
    angle: float
    """Between F and F_ref, degrees; NaN where one is zero."""


def worst_structures(predictions: Predictions, most: int = 10) -> list[BadStructure]:
    """The structures with the largest energy error per atom, the worst first."""
    error = predictions.energy_error_per_atom
    places = np.flatnonzero(predictions.has_energy)
    off = np.abs(error - np.median(error)) if len(error) else error
    far = off > FAR * robust_deviation(off) if len(error) else off
    order = np.argsort(-np.abs(error), kind="stable")[:most]
    return [BadStructure(predictions.names[places[k]], float(error[k]), bool(far[k])) for k in order]


def worst_atoms(predictions: Predictions, most: int = 10) -> list[BadAtom]:
    """The atoms with the largest |F − F_ref|, the worst first."""
    reference, forces = predictions.compared_forces
    places = np.flatnonzero(predictions.has_forces)
    error, angle = force_error_norm(forces, reference), direction_error(forces, reference)
    structure = np.searchsorted(predictions.offsets, places, side="right") - 1
    return [
        BadAtom(
            predictions.names[structure[k]],
            int(places[k] - predictions.offsets[structure[k]]) + 1,
            predictions.symbols[places[k]],
            float(np.linalg.norm(reference[k])),
            float(error[k]),
            float(angle[k]),
        )
        for k in np.argsort(-error, kind="stable")[:most]
    ]
