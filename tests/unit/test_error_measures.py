"""Measures of error: angles, tails, densities, medians, against values known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prediction_cases import noisy_predictions
from taylorfit.analysis.errors import Errors, error_lines, errors_by_composition, errors_by_element, errors_in
from taylorfit.analysis.measures import (
    binned_median,
    density,
    direction_error,
    force_error_norm,
    mae_and_rmse,
    tail_fraction,
)
from taylorfit.model.predictions import Predictions
from taylorfit.tools.statistics import median

FORCES = np.array([[1.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, -3.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
REFERENCE = np.array([[2.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])


def test_directions_do_not_depend_on_lengths_and_zero_forces_have_none():
    found = direction_error(FORCES, REFERENCE)
    np.testing.assert_allclose(found[:3], [0.0, 45.0, 180.0], atol=1e-6)
    assert np.isnan(found[3:]).all()
    np.testing.assert_allclose(direction_error(1e-3 * FORCES[:3], 7.0 * REFERENCE[:3]), found[:3], atol=1e-6)


def test_error_norms():
    np.testing.assert_allclose(force_error_norm(FORCES, REFERENCE), [1.0, 2.0, 4.0, 1.0, np.sqrt(3.0)])


def test_the_tail_is_what_exceeds_the_threshold():
    assert tail_fraction(np.array([0.5, 1.0, 1.5, 2.0])) == 0.5
    assert tail_fraction(np.array([0.5, 1.0, 1.5, 2.0]), threshold=1.7) == 0.25
    assert np.isnan(tail_fraction(np.zeros(0)))


def test_density_counts_also_what_lies_outside():
    values = np.array([0.5, 0.5, 1.5, 7.0])
    np.testing.assert_allclose(density(values, np.array([0.0, 1.0, 2.0])), [0.5, 0.25])
    np.testing.assert_allclose(density(values, np.array([0.0, 2.0, 10.0])), [3 / 8, 1 / 32])
    assert density(np.zeros(0), np.array([0.0, 1.0])).tolist() == [0.0]


def test_medians_of_bins_need_enough_values():
    x, y = np.array([0.1, 0.2, 0.3, 1.1, 5.0]), np.array([1.0, 10.0, 4.0, 7.0, 99.0])
    np.testing.assert_array_equal(binned_median(x, y, np.array([0.0, 1.0, 2.0, 3.0])), [4.0, 7.0, np.nan])
    np.testing.assert_array_equal(binned_median(x, y, np.array([0.0, 1.0, 2.0, 3.0]), least=2), [4.0, np.nan, np.nan])


def test_mae_and_rmse():
    assert mae_and_rmse(np.array([[3.0, -4.0]])) == pytest.approx((3.5, np.sqrt(12.5)))
    mae, rmse = mae_and_rmse(np.zeros(0))
    assert mae == 0.0 and np.isnan(rmse)


def test_energy_errors_are_per_atom_and_each_structure_counts_alike():
    one = noisy_predictions(0.3)
    per_atom = (one.energy - one.energy_ref) / one.n_atoms
    np.testing.assert_allclose(one.energy_error_per_atom, per_atom)
    reference, prediction = one.energies_per_atom
    np.testing.assert_allclose(prediction - reference, per_atom, atol=1e-12)
    assert reference.min() > -5.3 and reference.max() < -4.7  # without the isolated atoms
    assert errors_in(one).energy_mae == pytest.approx(np.abs(per_atom).mean())


def test_errors_survive_a_checkpoint_and_those_of_earlier_versions_lack_the_last():
    errors = errors_in(noisy_predictions(0.5))
    assert errors.force_error_tail > 0 and errors.angle_error_median < errors.angle_error_mean
    row = np.array(errors.as_row())
    assert Errors.from_row(row) == errors
    old = Errors.from_row(row[:9])
    assert old.angle_error_median is None and old.force_error_tail is None and old.n_forces == errors.n_forces
    empty = Errors(None, None, None, None, None, None, None, 0, 0)
    assert Errors.from_row(np.array(empty.as_row())) == empty


def test_lines_tell_median_and_tail():
    text = "\n".join(error_lines(errors_in(noisy_predictions(0.5))))
    assert "median" in text and "> 1 eV/Å" in text and "% of the atoms" in text


@pytest.mark.parametrize("n", [1, 2, 3, 10, 11])
def test_the_median_is_that_of_numpy_to_the_last_bit(n):
    values = np.random.default_rng(n).normal(size=n)
    assert median(values) == np.median(values)


def test_there_is_no_median_of_nothing_or_of_numbers_that_are_not():
    assert np.isnan(median([]))
    assert np.isnan(median([1.0, np.nan, 2.0]))


def test_errors_by_element_and_composition_by_hand() -> None:
    one = Predictions(
        label="",
        potentials=(),
        names=("a", "b", "c"),
        symbols=("O", "H", "H", "H", "H", "O", "H", "H"),
        offsets=np.array([0, 3, 5, 8]),
        isolated_energy=np.zeros(3),
        energy_ref=np.array([-3.0, -2.0, np.nan]),
        energy=np.array([-2.7, -2.2, -1.0]),
        forces_ref=np.zeros((8, 3)),
        forces=np.repeat([0.3, 0.1, 0.1, 0.2, 0.2, 0.5, 0.1, 0.1], 3).reshape(8, 3),
        atomic_energies=np.zeros(8),
    )
    elements = errors_by_element(one)
    assert list(elements) == ["H", "O"] and (elements["H"].n_forces, elements["O"].n_forces) == (6, 2)
    assert elements["O"].force_mae == pytest.approx(0.4) and elements["O"].energy_rmse is None
    assert elements["H"].force_rmse == pytest.approx(np.sqrt((4 * 0.01 + 2 * 0.04) / 6))
    compositions = errors_by_composition(one)
    assert list(compositions) == ["H2O", "H2"] and compositions["H2O"].n_structures == 1
    assert compositions["H2O"].energy_mae == pytest.approx(0.1) and compositions["H2"].energy_mae == pytest.approx(0.1)
    assert compositions["H2"].force_mae == pytest.approx(0.2) and compositions["H2O"].n_forces == 6
    # The weights count as elsewhere
    weighted = replace(one, atom_weight=np.array([1.0, 1, 1, 1, 1, 0, 1, 1]))
    assert errors_by_element(weighted)["O"].force_mae == pytest.approx(0.3)
