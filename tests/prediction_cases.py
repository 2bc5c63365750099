"""Predictions and train reports made up on the fly, for tests of plots and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from taylorfit.formats.report_file import TrainReport, read_train_report
from taylorfit.model.predictions import Predictions


def noisy_predictions(noise: float, label: str = "noisy", n_structures: int = 40, seed: int = 1) -> Predictions:
    """Structures of three to five atoms with random forces, predicted with Gaussian noise.

    `noise` is that of force components (eV/Å) and, hundredfold smaller, of the energy per atom (eV).
    """
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(3, 6, n_structures)
    n = int(n_atoms.sum())
    isolated = -100.0 * n_atoms
    energy_ref = isolated + n_atoms * rng.normal(-5.0, 0.05, n_structures)
    forces_ref = rng.normal(0.0, 1.0, (n, 3))
    return Predictions(
        label=label,
        potentials=("O.nn", "H.nn"),
        names=tuple(f"xsf/{k:03d}.xsf" for k in range(n_structures)),
        symbols=tuple(rng.choice(["O", "H"], n)),
        offsets=np.cumsum([0, *n_atoms]),
        isolated_energy=isolated,
        energy_ref=energy_ref,
        energy=energy_ref + n_atoms * rng.normal(0.0, 0.01 * noise, n_structures),
        forces_ref=forces_ref,
        forces=forces_ref + rng.normal(0.0, noise, (n, 3)),
    )


def train_report(n_epochs: int = 100, best_epoch: int = 60, **changes: Any) -> dict[str, Any]:
    """The JSON report of a training whose errors fall to 2 (train) and 3 meV/atom (test); `changes` replace keys."""
    falling = [0.05 * np.exp(-epoch / 10.0) for epoch in range(n_epochs + 1)]
    errors = {
        "energy_mae": 0.002,
        "energy_rmse": 0.003,
        "force_mae": 0.1,
        "force_rmse": 0.15,
        "force_error_norm_mean": 0.2,
        "force_norm_error_mean": 0.1,
        "angle_error_mean": 12.0,
        "n_structures": 200,
        "n_forces": 3600,
    }
    return {
        "command": "train",
        "version": "0",
        "best_epoch": best_epoch,
        "n_train": 400,
        "n_test": 45,
        "n_copies": 800,
        "n_weights": 1222,
        "memory_mb": 70.0,
        "seconds": 12.0,
        "seconds_per_epoch": 0.12,
        "status": "finished",
        "epochs": [
            {
                "epoch": epoch,
                "train_mae": 0.001 + extra,
                "train_rmse": 0.002 + extra,
                "test_mae": 0.002 + extra,
                "test_rmse": 0.003 + extra,
                "copies_rmse": None,
            }
            for epoch, extra in enumerate(falling)
        ],
        "potentials": ["O.nn", "H.nn"],
        "validation": errors,
        "validation_last": errors,
        "validation_history": [
            {
                "epoch": epoch,
                **errors,
                "force_error_norm_mean": 0.2 + falling[epoch],
                "energy_rmse": 0.003 + falling[epoch],
            }
            for epoch in range(0, n_epochs + 1, 10)
        ],
        **changes,
    }


def training(folder: Path, **changes: Any) -> TrainReport:
    """The report of `train_report`, written into a folder and read back."""
    (folder / "train.json").write_text(json.dumps(train_report(**changes)))
    return read_train_report(folder / "train.json")
