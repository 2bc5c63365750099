"""What losses with forces are made of: weights and sources of the forces, and arrays that do not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from force_cases import (
    FUNCTIONS,
    ROUNDED,
    SCALE,
    SINGLE,
    SPECIES,
    ForceCase,
    behler,
    chebyshev,
    force_map,
    make_case,
    order_of,
    structures,
)
from taylorfit.engine import (
    DescriptorTables,
    ForceMap,
    StopToken,
    aligned_zeros,
    changes_along,
    descriptor_derivatives,
    force_map_layout,
    strain_changes,
)
from taylorfit.model.structure import Structure
from taylorfit.settings.forces import ForceMode
from taylorfit.training.data import ReferenceData
from taylorfit.training.derivatives_map import round_rows
from taylorfit.training.force_terms import force_terms
from taylorfit.training.losses import ForceLoss


def reference(case: ForceCase, **changes) -> ReferenceData:
    n = len(case.structures)
    return ReferenceData(
        dict(enumerate(case.structures)),
        dict.fromkeys(range(n), 1.0),
        {p: np.ones(s.n_atoms) for p, s in enumerate(case.structures)},
        "test",
    )


def test_weights_of_structures_species_and_atoms():
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    data = reference(case)
    data.weight[1] = 2.0
    data.atom_weight[2][:] = np.arange(case.structures[2].n_atoms)
    found = force_terms(
        [(0, p) for p in range(4)], data, case.tables, case.scaling, ForceMode("exact", species_weight={"H": 0.25})
    )
    first = found.terms.map.first_atom
    for p, s in enumerate(case.structures):
        order = order_of(s)
        expected = np.array([0.25 if symbol == "H" else 1.0 for symbol in s.symbols])[order] / (3 * s.n_atoms)
        expected *= {1: 2.0}.get(p, 1.0)
        if p == 2:
            expected *= np.arange(s.n_atoms)[order]
        np.testing.assert_allclose(found.terms.atom_weight[first[p] : first[p + 1]], expected)


def test_structures_without_forces_and_a_share_of_the_others():
    case = make_case(structures(True, n=8), [chebyshev("O"), chebyshev("H")])
    case.structures[3] = replace(case.structures[3], forces=None)
    picks = [(0, p) for p in range(8)]
    found = force_terms(picks, reference(case), case.tables, case.scaling, ForceMode("exact", percent=50))
    trained = [
        bool(found.terms.atom_weight[a:b].any())
        for a, b in zip(found.terms.map.first_atom, found.terms.map.first_atom[1:])
    ]
    assert sum(trained) == 4 and not trained[3]
    first = found.terms.map.first_atom
    assert not found.known[first[3] : first[4]].any() and found.known.sum() == first[8] - (first[4] - first[3])
    loss = ForceLoss(case.packed, case.network_tables, found, beta=0.5, energy_scale=SCALE)
    loss(case.weights)
    assert len(loss.force_error) == found.trained_atoms().sum()
    loss(case.weights, with_gradient=False)
    assert len(loss.force_error) == found.known.sum()


def test_beta_scales_the_forces_and_only_them():
    case = make_case(structures(True), [chebyshev("O"), chebyshev("H")])
    found = force_terms([(0, p) for p in range(4)], reference(case), case.tables, case.scaling, ForceMode("exact"))
    loss = ForceLoss(case.packed, case.network_tables, found, beta=0.0, energy_scale=SCALE)
    values = []
    for beta in (0.0, 1.0, 3.0):
        loss.set_beta(beta)
        values.append(loss(case.weights)[0])
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-10)
    loss.set_beta(1.0)
    per_structure = (
        [
            (loss.force_error[a:b] ** 2).mean()
            for a, b in zip(found.terms.map.first_atom, found.terms.map.first_atom[1:])
        ]
        if loss(case.weights)
        else []
    )
    assert values[1] - values[0] == pytest.approx(0.5 * SCALE**2 * sum(per_structure), rel=1e-10)


def test_total_loss_keeps_the_relation_of_forces_and_energies():
    case = make_case(structures(True, n=1), [chebyshev("O"), chebyshev("H")])
    n = case.structures[0].n_atoms
    values = []
    for total in (False, True):
        found = force_terms([(0, 0)], reference(case), case.tables, case.scaling, ForceMode("exact"), total=total)
        loss = ForceLoss(
            case.packed, case.network_tables, found, beta=1e-2, loss="total" if total else "aenet", energy_scale=SCALE
        )
        values.append(loss(case.weights)[0])
    assert values[1] == pytest.approx(n**2 * values[0], rel=1e-12)


WRONG = {
    "a short force array": "terms = replace(terms, force_ref=terms.force_ref[:-1])",
    "a short weight array": "terms = replace(terms, atom_weight=terms.atom_weight[:-1])",
    "narrow factors": "terms = replace(terms, feature_factor=np.asfortranarray(terms.feature_factor[:-1]))",
    "pairs beyond the end": "m.pair_first[-1] += 1",
    "groups beyond the end": "m.group_value_first[-1] += 8",
    "offsets that fall": "m.pair_first[1] = m.pair_first[2] + 1",
    "atoms of structures": "m.first_atom[1] += 1",
    "too many radial functions": "m.radial_count[0] = 100",
    "a function that is not there": "m.group_feature[0, 0, 0, 0] = 100",
    "too few scales": "m = replace(m, group_scale=m.group_scale[:-1]); terms = replace(terms, map=m)",
    "a function of pairs that is not there": "m = replace(m, pair_feature=np.full((1, 2, 2), 99, np.int32, order='F'));"
    "terms = replace(terms, map=m)",
    "directions beyond the end": "terms = replace(terms, first_direction=np.array([0, 1], dtype=np.int32), "
    "first_change=np.array([0, 99]))",
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_fit_are_refused(change):
    """In a process of its own: an array that is too short could corrupt memory."""
    script = f"""
import sys; sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
import numpy as np
from dataclasses import fields, replace
from force_cases import *
from taylorfit.errors import EngineError
case = make_case(structures(True, n=1), [chebyshev("O"), chebyshev("H")])
m = force_map(case.structures, case.tables)
terms = exact_terms(case, m)
{change}
try:
    evaluate_terms(case, terms, case.weights)
except EngineError as error:
    print("refused", error)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("refused")


def changes(case: ForceCase, p: int, moves: np.ndarray) -> np.ndarray:
    """(n_direction, n_value) changes of the raw descriptors from their derivatives, as `changes_along` sorts them."""
    structure = case.structures[p]
    order, rows = order_of(structure), []
    of_atoms = np.empty_like(moves)
    of_atoms[:, order] = moves
    for i, atom in enumerate(descriptor_derivatives(structure, case.tables)):
        rows.append(np.einsum("kfc,vkc->vf", atom.images, of_atoms[:, atom.neighbours] - of_atoms[:, [i]]))
    index = structure.species_index(SPECIES)
    return np.concatenate(
        [
            np.stack([rows[i] for i in order if index[i] == t], axis=2).reshape(len(moves), -1)
            for t in set(index[order])
        ],
        axis=1,
    )


def check_changes(case: ForceCase, merged: bool, error: float) -> ForceMap:
    """The map's changes are those of the derivatives, to this part of the largest."""
    map_ = force_map(case.structures, case.tables, merged=merged)
    rng = np.random.default_rng(4)
    unit = np.ones((int(case.tables.n_function.max()), 2), order="F")
    for p, structure in enumerate(case.structures):
        moves = rng.normal(size=(2, structure.n_atoms, 3))
        expected = changes(case, p, moves)
        np.testing.assert_allclose(
            changes_along(map_, p, moves, unit), expected, rtol=0, atol=error * np.abs(expected).max()
        )
    return map_


@pytest.mark.parametrize("order", (0, 1, 7, 8, 18, 20, 30, 59, 60, 70))
def test_pairs_on_the_grid_are_the_radial_functions_of_any_order(order):
    """Up to order 59 (60 functions) they go through the grid, else they are kept like angular functions."""
    radial = {"radial_cutoff": 5.0, "radial_order": order, "angular_cutoff": 0.0, "angular_order": 0}
    case = make_case(structures(True), [chebyshev(s, **radial) for s in SPECIES])
    map_ = check_changes(case, False, 2.0 * SINGLE if order < 60 else ROUNDED)
    assert (len(map_.pair_atom) > 0) == (order < 60) and (len(map_.group_value) > 0) == (order >= 60)


RADIAL = [
    *(f"G=1 type2={s} Rc={r}" for s in SPECIES for r in (4.0, 3.5)),
    *(f"G=2 type2={s} Rc=4.0 Rs={place} eta=0.3" for s in SPECIES for place in (0.0, 0.5, 1.0, 1.5, 2.0)),
    *(f"G=3 type2={s} Rc=4.5 kappa={kappa}" for s in SPECIES for kappa in (0.7, 1.4)),
]


@pytest.mark.parametrize("periodic", (False, True), ids=("isolated", "periodic"))
def test_radial_symmetry_functions_are_kept_as_pairs_where_both_atoms_have_them(tmp_path, periodic):
    """Nine functions of each species of neighbours take two windows; other ones of H around O go into groups."""
    same = make_case(structures(periodic), [behler(tmp_path, s, RADIAL) for s in SPECIES])
    map_ = check_changes(same, False, 2.0 * SINGLE)
    assert len(map_.pair_atom) > 0 and len(map_.group_value) == 0
    changed = [line.replace("kappa=0.7", "kappa=0.8") if "type2=H" in line else line for line in RADIAL]
    other = make_case(structures(periodic), [behler(tmp_path, "O", changed), behler(tmp_path, "H", RADIAL)])
    map_ = check_changes(other, False, ROUNDED)
    assert len(map_.pair_atom) > 0 and len(map_.group_value) > 0


@pytest.mark.parametrize("merged", (False, True), ids=("pairs", "merged"))
def test_changes_of_descriptors_are_those_of_their_derivatives(tmp_path, merged):
    check_changes(make_case(structures(True), [chebyshev(s) for s in SPECIES]), merged, ROUNDED)
    check_changes(make_case(structures(True), [behler(tmp_path, s) for s in SPECIES]), merged, ROUNDED)


def test_rows_of_groups_are_rounded_to_a_part_of_their_largest_number():
    values = np.random.default_rng(1).normal(size=(3, 16)) * np.array([[1e-3], [0.0], [1e4]])
    words, scale = round_rows(values)
    odd = words << 16 >> 16
    found = np.stack([odd[:16], (words - odd)[:16] >> 16, odd[16:]]) * scale[:, None]
    assert scale[1] == 0 and len(words) == 32 and not (words - odd)[16:].any()
    assert (np.abs(found - values) <= 0.51 * scale[:, None]).all()


def test_a_map_that_names_other_atoms_is_refused():
    from taylorfit.errors import EngineError

    case = make_case(structures(True, n=2), [chebyshev("O"), chebyshev("H")])
    map_ = force_map(case.structures, case.tables, merged=False)
    of_other_species = map_.species[map_.pair_atom[0] - 1] % 2 + 1
    other = np.flatnonzero(map_.species[: map_.first_atom[1]] == of_other_species)[-1] + 1
    for name, value in (
        ("pair_atom", 99),
        ("pair_atom", other),
        ("group_atom", 99),
        ("pair_place", -1),
        ("pair_place", 99),
    ):
        array = getattr(map_, name).copy()
        array[0] = value
        with pytest.raises(EngineError):
            replace(map_, **{name: array}).make_handle()


@pytest.mark.parametrize("how", ["token", "Ctrl-C"])
def test_the_making_of_a_force_map_ends_within_a_structure(tmp_path: Path, how: str) -> None:
    side, made, stop = 16, [], StopToken()
    grid = 1.8 * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    bulk = Structure(("O", "H") * (len(grid) // 2), grid, 1.8 * side * np.eye(3), (True,) * 3)
    functions = [line.replace("Rc=4.0", "Rc=6.0") for line in FUNCTIONS]
    tables = DescriptorTables.from_setups(SPECIES, [behler(tmp_path, s, functions) for s in SPECIES])
    layout = force_map_layout([bulk], tables, 2, stop=stop)

    def zeros(n: int, dtype: type) -> np.ndarray:
        made.append(aligned_zeros(n, dtype))
        return made[-1]

    def interrupt() -> None:
        # The last array is that of the scales, atom after atom
        while len(made) < 7 or not made[6].any():
            time.sleep(0.001)
        if how == "token":
            stop.set()
        else:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        layout.build(2, zeros=zeros)
    thread.join()
    assert made[6].reshape(len(grid), -1)[0].any() and not made[6].reshape(len(grid), -1)[-1].any()
    stop.set()
    for begin in (force_map_layout, strain_changes):
        with pytest.raises(KeyboardInterrupt):
            begin([bulk], tables, 2, stop=stop)
