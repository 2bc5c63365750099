"""What should make the reader of a training's numbers stop and think: pure functions of reports and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from ..analysis.measures import force_error_norm, tail_fraction
from ..formats.aenet.records import printable
from ..formats.report_file import TrainReport
from ..model.measures import ENERGY_UNIT, MEASURES, TAIL
from ..model.predictions import Predictions
from ..settings.forces import MODES, WITH_BETA, WITH_COPIES
from ..training.loop import LAST
from .outliers import worst_structures

RISE = 1.05
"""An error has risen if it ends above its minimum by this factor."""
FEW_TESTS = 20
"""Test errors of fewer structures are noise."""
GAP = 2.0
"""Test errors beyond this many training errors: the networks know their structures by heart."""
END = 0.02
"""The last part of the epochs: a minimum there is none."""
ENERGY_RMSE = MEASURES["energy_rmse"]
MUCH_TAIL = 0.01
"""More of the atoms than this in the tail of the force error is worth a word."""
MANY_NAMES = 5
"""Outliers named in a warning; the tables have more."""


def training_warnings(training: TrainReport) -> list[str]:
    """Warnings about the course of a training, the most serious first."""
    return [*_state(training), *_forces(training), *_last_forces(training), *_end(training), *_tests(training)]


def prediction_warnings(predictions: Predictions, training: TrainReport | None = None) -> list[str]:
    """Warnings about large errors of single structures and atoms; `training` is perhaps that of the potentials."""
    found = []
    label = printable(predictions.label)
    outliers = [one for one in worst_structures(predictions, predictions.n_structures) if one.outlier]
    if outliers:
        names = ", ".join(
            f"{printable(one.name)} ({1e3 * one.energy_error:+.1f} meV/atom)" for one in outliers[:MANY_NAMES]
        )
        more = f" and {len(outliers) - MANY_NAMES} more" if len(outliers) > MANY_NAMES else ""
        found.append(
            f"{label}: energy errors far outside of the distribution: {names}{more}. "
            "Check these structures and their reference calculations."
        )
    reference, forces = predictions.compared_forces
    if len(reference):
        tail = tail_fraction(force_error_norm(forces, reference))
        if tail > MUCH_TAIL:
            found.append(
                f"{label}: {100 * tail:.1f} % of the atoms have force errors above {TAIL:g} eV/Å. "
                "Molecular dynamics with such forces is likely to be unstable; "
                f"{_remedy(_mode_of(predictions, training))}."
            )
    return found


def _mode(training: TrainReport) -> str | None:
    """How forces were trained on, as in FORCES; None where an old report does not say."""
    mode = training.data.get("mode")
    return mode if mode in MODES else None


def _mode_of(predictions: Predictions, training: TrainReport | None) -> str | None:
    """The mode of the training that the potentials come from, as far as their names tell."""
    if training is None:
        return None
    trained, used = (
        {PurePath(file).name for file in files}
        for files in (training.data.get("potentials") or (), predictions.potentials)
    )
    return _mode(training) if used and used <= trained else None


def _remedy(mode: str | None) -> str:
    """What makes forces better than a training of this mode did."""
    if mode in WITH_COPIES:
        return "train on forces exactly (FORCES mode=exact), or with more copies" + (
            " or a larger beta" if mode in WITH_BETA else ""
        )
    if mode in WITH_BETA:
        return "raise beta in FORCES, or add structures"
    return "train on forces (FORCES mode=exact)"


def _state(training: TrainReport) -> Sequence[str]:
    texts = {
        "interrupted": "The training was interrupted; continue it with train --resume.",
        "stuck": "The optimiser found no further descent; another SEED or METHOD may reach lower errors.",
    }
    status = training.data.get("status")
    return [texts[status]] if status in texts else []


def _forces(training: TrainReport) -> Sequence[str]:
    at_the_end = (training.data.get("validation") or {}).get("n_forces")
    if not (training.has_forces or training.has_test_forces or at_the_end):
        return [
            "No force error is known: energies alone say little about forces. Name structures with forces in "
            "VALIDATION."
        ]
    force, energy = training.validation_force_error, training.validation_energy_rmse
    known = np.isfinite(force) & np.isfinite(energy)
    if known.sum() < 2:
        return []
    force, energy, epoch = force[known], energy[known], training.validation_epoch[known]
    least = int(force.argmin())
    if force[-1] > RISE * force[least] and energy[-1] < energy[least]:
        return [
            f"The validation force error rises, from {force[least]:.3f} eV/Å at epoch {epoch[least]:.0f} to "
            f"{force[-1]:.3f} at epoch {epoch[-1]:.0f}, while the energy error falls, from "
            f"{ENERGY_RMSE.cell(energy[least])} to {ENERGY_RMSE.cell(energy[-1])} {ENERGY_UNIT.name}: "
            f"the energies are being fitted at the cost of the forces. Stop earlier, or {_remedy(_mode(training))}."
        ]
    return []


def _last_forces(training: TrainReport) -> Sequence[str]:
    best, last = (
        (training.data.get(key) or {}).get("force_error_norm_mean") for key in ("validation", "validation_last")
    )
    if best and last and best > 1.1 * last:
        both = training.data.get("criterion") == "both"
        chosen_by = "energies and forces of the test structures" if both else "energies alone"
        return [
            f"The weights of the last epoch have smaller force errors ({last:.3f} eV/Å) than those of the best "
            f"test epoch ({best:.3f} eV/Å), which were chosen by {chosen_by}: compare the files with .last."
        ]
    return []


def _end(training: TrainReport) -> Sequence[str]:
    first, last = training.epoch[0], training.epoch[-1]
    is_chosen = training.data.get("criterion") != LAST and training.best_epoch >= last - END * (last - first)
    if training.data.get("status") in ("converged", "stuck") or not is_chosen:
        return []
    return [
        f"The best epoch ({training.best_epoch}) is at the very end ({last:.0f}): the errors still fall. Train "
        "longer (more ITERATIONS, then train --resume)."
    ]


def _tests(training: TrainReport) -> Sequence[str]:
    n = training.data.get("n_test")
    if not training.has_test:
        return [
            "There are no test structures: the best epoch was chosen by the training error, and nothing tells "
            "overfitting. Set TESTPERCENT."
        ]
    found = []
    if isinstance(n, int) and n < FEW_TESTS and training.data.get("criterion") != LAST:
        found.append(f"Only {n} test structures: their error, and the best epoch chosen by it, is largely chance.")
    at_best = training.epoch == training.best_epoch
    if at_best.any():
        train, test = (float(rmse[at_best][0]) for rmse in (training.train_rmse, training.test_rmse))
        if test > GAP * train:
            found.append(
                f"At the best epoch the test error ({ENERGY_RMSE.cell(test)} {ENERGY_UNIT.name}) is "
                f"{test / train:.1f} times the training error ({ENERGY_RMSE.cell(train)}): overfitting. "
                + (
                    "More structures will help."
                    if _mode(training) == "exact"
                    else "More structures, or more information from forces, will help."
                )
            )
    return found
