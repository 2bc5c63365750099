"""Copies with pushed pairs: the nuclear repulsion, the energies, and what must not be drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_numbers

from taylorfit.analysis.measures import mae_and_rmse
from taylorfit.errors import InputError
from taylorfit.generation.repel import OF_MOLECULES, UNCERTAINTY, closest_of_kinds, nuclear_repulsion, pushed_copies
from taylorfit.model.structure import Structure
from taylorfit.settings.repulsion import REACH, RepulsionPlan

CURVATURE = {"O": 30.0, "H": 15.0}


def molecule(periodic: bool = False, **changes) -> Structure:
    """Two water molecules with random forces."""
    rng = np.random.default_rng(2)
    positions = np.array(
        [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0], [2.8, 0.3, 0.1], [3.3, 1.0, 0.5], [3.2, -0.5, -0.4]]
    )
    values = {
        "symbols": ("O", "H", "H") * 2,
        "positions": positions,
        "energy": -900.0,
        "forces": rng.normal(size=(6, 3)),
        "cell": np.diag([6.0, 5.5, 5.8]) if periodic else np.zeros((3, 3)),
        "pbc": (periodic,) * 3,
    }
    return Structure(**values | changes)


def total_repulsion(structure: Structure, positions: np.ndarray, within: np.ndarray) -> float:
    """Σ over pairs and images that are within reach at the positions `within`."""
    shifts = [np.zeros(3)]
    if structure.pbc[0]:
        shifts = [np.array([a, b, c]) @ structure.cell for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    total = 0.0
    for i, a in enumerate(structure.symbols):
        for j, b in enumerate(structure.symbols):
            for shift in shifts:
                if i == j or np.linalg.norm(within[j] + shift - within[i]) > REACH:
                    continue
                r = np.linalg.norm(positions[j] + shift - positions[i])
                total += 0.5 * float(
                    nuclear_repulsion(np.array([atomic_numbers[a]]), np.array([atomic_numbers[b]]), np.array([r]))[0][0]
                )
    return total


def test_nuclear_repulsion_is_coulombs_at_short_range_and_screened_beyond():
    r = np.array([1e-6, 0.3, 0.9, 2.5])
    energy, slope = nuclear_repulsion(np.full(4, 8), np.full(4, 3), r)
    assert energy[0] * r[0] == pytest.approx(14.399645 * 24, rel=1e-4)
    # Ziegler, Biersack, Littmark: a = 0.46850/(8^0.23 + 3^0.23) Å
    x = 0.9 / (0.46850 / (8**0.23 + 3**0.23))
    phi = (
        0.18175 * np.exp(-3.1998 * x)
        + 0.50986 * np.exp(-0.94229 * x)
        + 0.28022 * np.exp(-0.4029 * x)
        + 0.02817 * np.exp(-0.20162 * x)
    )
    assert energy[2] == pytest.approx(14.399645 * 24 / 0.9 * phi, rel=1e-12)
    step = 1e-6 * r
    numeric = (nuclear_repulsion(8, 3, r + step)[0] - nuclear_repulsion(8, 3, r - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-7)
    assert (slope < 0).all() and (np.diff(energy) < 0).all()


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
@pytest.mark.parametrize("curvature", (None, CURVATURE), ids=("first order", "curvature"))
def test_energies_are_the_expansion_and_what_repulsion_adds(periodic, curvature):
    parent = molecule(periodic)
    copies = pushed_copies(parent, 0, RepulsionPlan(copies=8), curvature)
    assert len(copies) == 8 and {pushed.apart for pushed in copies} == {False, True}
    for pushed in copies:
        copy = pushed.structure
        moved = copy.positions - parent.positions
        expected = -float((moved * parent.forces).sum())
        if curvature and not pushed.apart:
            expected += 0.5 * sum(curvature[s] * float(d @ d) for s, d in zip(parent.symbols, moved))
        step = 1e-4
        old, new, plus, minus = (
            total_repulsion(parent, parent.positions + t * moved, parent.positions) for t in (0.0, 1.0, step, -step)
        )
        expected += new - old - (plus - minus) / (2 * step)
        rise = copy.energy - parent.energy
        assert rise == pytest.approx(expected, abs=1e-6) and pushed.rise == pytest.approx(rise)
        off = rise * (OF_MOLECULES if pushed.apart else UNCERTAINTY)
        assert copy.weight == pytest.approx(min(1.0, (RepulsionPlan().tolerance * 6 / off) ** 2))
        assert copy.forces is None and copy.stress is None


def test_atoms_of_a_molecule_or_two_molecules_come_closer_by_what_was_asked():
    plan = RepulsionPlan(copies=20, shortest_push=0.3, longest_push=0.5, highest=50.0)
    parent = molecule()
    for pushed in pushed_copies(parent, 3, plan):
        copy = pushed.structure
        moved = copy.positions - parent.positions
        if pushed.apart:
            np.testing.assert_allclose(moved, np.repeat(moved[[0, 3]], 3, axis=0))
            pairs = [(i, j) for i in range(3) for j in range(3, 6)]
        else:
            pairs = [tuple(np.flatnonzero(moved.any(axis=1)))]
            assert len({i // 3 for i in pairs[0]}) == 1
        i, j = min(
            pairs, key=lambda p: np.linalg.norm(np.cross(moved[p[0]], parent.positions[p[1]] - parent.positions[p[0]]))
        )
        np.testing.assert_allclose(moved[i], -moved[j])
        before, after = (np.linalg.norm(p[j] - p[i]) for p in (parent.positions, copy.positions))
        assert pushed.distance == pytest.approx(after) and pushed.pair == "-".join(
            sorted(np.array(parent.symbols)[[i, j]])
        )
        assert before - after + 1e-12 >= 0.3 and before - after <= 0.5 + 1e-12
        assert np.linalg.norm(np.cross(moved[i], parent.positions[j] - parent.positions[i])) < 1e-12


@pytest.mark.parametrize(
    ("symbols", "spacing", "apart"),
    [(("Cu",) * 4, 2.5, False), (("Ar",) * 4, 2.0, False), (("Na", "Cl") * 2, 2.8, False), (("N", "N") * 2, 1.1, True)],
    ids=("a metal", "single atoms", "a salt", "molecules"),
)
def test_only_molecules_move_as_a_whole(symbols, spacing, apart):
    places = np.cumsum([0.0, 1.0, 2.5, 1.0] if apart else [0.0, 1.0, 1.0, 1.0]) * spacing
    parent = Structure(symbols, np.outer(places, [0.6, 0.8, 0.0]), energy=-1.0, forces=np.zeros((4, 3)))
    moved = [p.structure.positions - parent.positions for p in pushed_copies(parent, 0, RepulsionPlan(copies=30))]
    assert {int(m.any(axis=1).sum()) for m in moved} == ({2, 4} if apart else {2})
    # An atom whose force is not believed keeps the whole of its molecule where it is, but not the other one
    doubted = replace(parent, force_weights=np.array([0.0, 1.0, 1.0, 1.0]))
    moved = [p.structure.positions != parent.positions for p in pushed_copies(doubted, 0, RepulsionPlan(copies=30))]
    assert moved and not any(m[0].any() for m in moved)
    assert any(m[1].any() for m in moved) != apart


def test_every_kind_of_pair_gets_its_share_and_seeds_decide():
    parent, plan = molecule(), RepulsionPlan(copies=300, highest=100.0)
    copies = pushed_copies(parent, 0, plan)
    kinds = [(copy.pair, copy.apart) for copy in copies]
    of_one, of_two = [("H-H", False), ("H-O", False)], [("H-H", True), ("H-O", True), ("O-O", True)]
    assert all(kinds.count(kind) > 20 for kind in of_one + of_two) and len(copies) == 300
    again, other, seeded = (
        [p.structure for p in pushed_copies(parent, index, RepulsionPlan(copies=5, seed=seed))]
        for index, seed in ((0, 1), (1, 1), (0, 2))
    )
    first = [p.structure for p in pushed_copies(parent, 0, RepulsionPlan(copies=5))]
    assert [c.energy for c in first] == [c.energy for c in again]
    assert {c.energy for c in first}.isdisjoint(c.energy for c in other + seeded)
    distances = np.linalg.norm(parent.positions[:, None] - parent.positions, axis=2)
    closest = closest_of_kinds([parent, replace(parent, positions=1.01 * parent.positions)])
    assert set(closest) == set(of_one + of_two)
    assert closest["H-H", False] == pytest.approx(min(distances[1, 2], distances[4, 5]))
    assert closest["H-H", True] == pytest.approx(distances[1:3, 4:].min())


def test_cohesive_energies_and_weights_are_carried_over():
    parent = molecule(weight=0.5, cohesive_energy=-20.0)
    (pushed,) = pushed_copies(parent, 0, RepulsionPlan(copies=1))
    copy = pushed.structure
    assert copy.cohesive_energy + 20.0 == pytest.approx(copy.energy + 900.0)
    assert copy.weight <= 0.5


def test_a_cohesive_energy_of_0_stays_none_and_one_alone_suffices():
    (pushed,) = pushed_copies(molecule(cohesive_energy=0.0), 0, RepulsionPlan(copies=1))
    assert pushed.structure.cohesive_energy is None and pushed.structure.energy == pytest.approx(pushed.rise - 900.0)
    (pushed,) = pushed_copies(molecule(cohesive_energy=-20.0, energy=None), 0, RepulsionPlan(copies=1))
    assert pushed.structure.energy is None and pushed.structure.cohesive_energy == pytest.approx(pushed.rise - 20.0)


@pytest.mark.parametrize(
    "parent",
    (
        molecule(energy=None),
        molecule(forces=None),
        Structure(("O",), np.zeros((1, 3)), energy=-1.0, forces=np.zeros((1, 3))),
        Structure(("O", "O"), np.array([[0.0, 0, 0], [9.0, 0, 0]]), energy=-1.0, forces=np.zeros((2, 3))),
    ),
    ids=("no energy", "no forces", "one atom", "far apart"),
)
def test_some_structures_have_no_copies(parent):
    assert pushed_copies(parent, 0, RepulsionPlan()) == []


@pytest.mark.parametrize("symbol", ("Q1", "X"))
def test_a_species_that_is_no_element_is_refused(symbol):
    with pytest.raises(InputError, match="not an element"):
        pushed_copies(molecule(symbols=(symbol, "H", "H", "O", "H", "H")), 0, RepulsionPlan())


def test_atoms_at_the_same_place_are_refused():
    positions = molecule().positions.copy()
    positions[3] = positions[0]
    with pytest.raises(InputError, match="same place") as caught:
        pushed_copies(molecule(positions=positions), 0, RepulsionPlan())
    assert "O-O" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    (
        {"copies": 0},
        {"shortest_push": 0.0},
        {"shortest_push": 2.0},
        {"longest_push": 6.0},
        {"highest": 0.0},
        {"highest": np.nan},
        {"tolerance": 0.0},
        {"seed": -1},
    ),
)
def test_plans_out_of_range_are_refused(values):
    with pytest.raises(InputError):
        RepulsionPlan(**values)


def test_weighted_errors():
    errors, weights = np.array([1.0, -2.0, 9.0]), np.array([1.0, 1.0, 0.0])
    assert mae_and_rmse(errors, weights) == pytest.approx(mae_and_rmse(errors[:2]))
    assert mae_and_rmse(errors, np.ones(3)) == pytest.approx(mae_and_rmse(errors))
    mae, rmse = mae_and_rmse(errors, np.zeros(3))
    assert mae == 0.0 and np.isnan(rmse)
