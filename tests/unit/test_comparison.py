"""Running the example and the table that compares its trainings."""

from __future__ import annotations

import re

import pytest

from taylorfit.commands.example import comparison
from taylorfit.errors import InputError
from taylorfit.tools.tables import text_lines


def report(best: int, energy: float, force: float | None) -> dict:
    """A report of `train`, as far as the table reads it."""
    errors = {
        "energy_mae": energy,
        "energy_rmse": 2 * energy,
        "force_mae": force,
        "force_rmse": force,
        "force_error_norm_mean": force,
        "angle_error_mean": None,
        "n_structures": 7,
    }
    last = {**errors, "energy_mae": 3 * energy}
    return {
        "best_epoch": best,
        "epochs": [{"epoch": 0}, {"epoch": 40}],
        "validation": errors,
        "validation_last": last,
        "n_train": 5,
        "n_copies": 110,
        "seconds_per_epoch": 0.0123,
    }


def test_table() -> None:
    lines = text_lines(comparison({"energy": report(12, 0.004, 0.5), "Taylor": report(31, 0.002, 0.25)}))
    assert len({len(line) for line in lines}) == 1
    table = [(re.split(r"\s{2,}", line.strip())[0], line.split()[-2:]) for line in lines]
    assert lines[0].split()[-2:] == ["energy", "Taylor"] and "7 validation structures" in lines[0]
    assert ("best epoch", ["12", "31"]) in table and ("last epoch", ["40", "40"]) in table
    assert ("energy MAE, meV/atom", ["4.00", "2.00"]) in table
    assert ("force MAE, eV/Å per component", ["0.500", "0.250"]) in table
    assert [cells for label, cells in table if label.startswith("energy RMSE")] == [["8.00", "4.00"], ["8.00", "4.00"]]
    assert not any("angle" in line for line in lines)  # no value anywhere: no row


def test_table_without_forces_or_validation() -> None:
    lines = text_lines(comparison({"a": report(1, 0.1, None)}))
    assert not any("eV/Å" in line for line in lines)
    with pytest.raises(InputError, match="VALIDATION"):
        comparison({"a": {**report(1, 0.1, None), "validation": None}})
