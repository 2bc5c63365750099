"""Which atoms may be displaced."""

import numpy as np
import pytest

from taylorfit.errors import InputError
from taylorfit.model.structure import Structure
from taylorfit.taylor.selection import SelectionRules, SkipReason, count_skipped, select_all, select_atoms


def water(norms=(1.0, 0.5, 0.2), name="w.xsf") -> Structure:
    """Three atoms with forces of the given length along z."""
    forces = None if norms is None else np.array([[0.0, 0.0, norm] for norm in norms])
    return Structure(("O", "H", "H"), np.eye(3), energy=-1.0, forces=forces, name=name)


@pytest.mark.parametrize(
    ("rules", "displaced"),
    [
        (SelectionRules(), [True, True, True]),
        (SelectionRules(species=("H",)), [False, True, True]),
        (SelectionRules(atoms=(1, 3)), [True, False, True]),
        (SelectionRules(species=("H",), atoms=(1, 3)), [False, False, True]),
        (SelectionRules(force_min=0.5), [True, True, False]),
        (SelectionRules(force_min=0.5, force_max=1.0), [True, True, False]),
    ],
)
def test_selected_atoms(rules, displaced):
    selection = select_atoms(water(), rules)
    assert selection.reason is None
    assert selection.displaced.tolist() == displaced


@pytest.mark.parametrize(
    ("structure", "rules", "reason"),
    [
        (water(None), SelectionRules(), SkipReason.NO_FORCES),
        (water((0.04, 0.03, 0.0)), SelectionRules(), SkipReason.STATIONARY),
        (water((0.0, 0.0, 0.0)), SelectionRules(), SkipReason.STATIONARY),
        (water(), SelectionRules(force_max=0.9), SkipReason.STRONG_FORCE),
        (water(), SelectionRules(force_min=2.0), SkipReason.NO_ATOM),
        (water(), SelectionRules(species=("Ti",)), SkipReason.NO_ATOM),
        (water(), SelectionRules(species=("H",), atoms=(1,)), SkipReason.NO_ATOM),
        (Structure(("O",), np.zeros((1, 3)), forces=np.ones((1, 3))), SelectionRules(), SkipReason.SINGLE_ATOM),
    ],
)
def test_skipped_structures(structure, rules, reason):
    selection = select_atoms(structure, rules)
    assert selection.reason is reason
    assert not selection.displaced.any()


def test_stationary_threshold_can_be_changed_and_turned_off():
    almost = water((0.04, 0.03, 0.0))
    assert select_atoms(almost, SelectionRules(stationary_force=0.01)).displaced.all()
    assert select_atoms(water((0.0, 0.0, 0.0)), SelectionRules(stationary_force=0.0)).displaced.all()


def test_skipped_structures_are_counted():
    selections = select_all([water(), water(None), water(None), water((0.01, 0.0, 0.0))])
    assert count_skipped(selections) == {SkipReason.NO_FORCES: 2, SkipReason.STATIONARY: 1}


def test_atom_number_beyond_the_structure_names_the_file():
    with pytest.raises(InputError, match=r"w\.xsf: .*found 4, expected 1 to 3"):
        select_atoms(water(), SelectionRules(atoms=(1, 4)))


def test_species_that_no_structure_has_is_an_error():
    with pytest.raises(InputError, match="found 'Ti', expected one of H O"):
        select_all([water()], SelectionRules(species=("Ti", "O")))


def test_forces_that_are_no_numbers_are_an_error():
    with pytest.raises(InputError, match="w.xsf"):
        select_atoms(water((1.0, np.nan, 0.0)))


@pytest.mark.parametrize(
    "values",
    [
        {"force_min": -1.0},
        {"force_max": np.nan},
        {"stationary_force": np.inf},
        {"force_min": 2.0, "force_max": 1.0},
        {"species": ()},
        {"atoms": ()},
        {"atoms": (0,)},
        {"atoms": (-1, 2)},
        {"atoms": (1.5,)},
        {"atoms": (True,)},
    ],
)
def test_impossible_rules_are_refused(values):
    with pytest.raises(InputError):
        SelectionRules(**values)
