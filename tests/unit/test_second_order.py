"""Second order, mean curvature, strains and weights on model systems whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import morse, morse_cluster
from taylorfit.errors import InputError
from taylorfit.model.provenance import parse_copy_name
from taylorfit.model.structure import VOIGT_ELEMENTS, Structure
from taylorfit.taylor.copies import DisplacedCopies, StrainedCopies
from taylorfit.taylor.displacements import AntitheticDisplacements, CartesianDisplacements, RandomDisplacements
from taylorfit.taylor.expansion import Expansion, curvature_energies, hessian_energies, taylor_energies
from taylorfit.taylor.orthogonal import OrthogonalDisplacements
from taylorfit.taylor.selection import SkipReason, select_all
from taylorfit.taylor.strain import StrainDisplacements, select_for_strain, strain_energies, strained
from taylorfit.taylor.truncation import LEFT, balanced_deltas, forecast, truncation_weights


def morse_hessian(positions: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """(3N, 3N) eV/Å², by central differences of the analytic forces."""
    n = positions.size
    rows = [
        (morse(positions - d)[1] - morse(positions + d)[1]).ravel() / (2 * step)
        for d in step * np.eye(n).reshape(n, *positions.shape)
    ]
    return 0.5 * (np.array(rows) + np.array(rows).T)


@pytest.fixture(scope="module")
def clusters() -> list[Structure]:
    rng = np.random.default_rng(8)
    return [morse_cluster(rng, 6, name=f"m{k}") for k in range(20)]


@pytest.fixture(scope="module")
def hessians(clusters: list[Structure]) -> list[np.ndarray]:
    return [morse_hessian(cluster.positions) for cluster in clusters]


def exact_changes(cluster: Structure, moved: np.ndarray) -> np.ndarray:
    here = morse(cluster.positions)[0]
    return np.array([morse(cluster.positions + step)[0] - here for step in moved])


@pytest.mark.parametrize(("order", "power"), [(1, 4.0), (2, 8.0)])
def test_errors_fall_with_the_power_of_delta_beyond_the_order(order, power, clusters, hessians):
    expansion = Expansion(hessians=hessians.__getitem__ if order == 2 else None)
    rms = []
    for delta in (4e-3, 2e-3, 1e-3):
        plan = RandomDisplacements(delta, 30).plan(select_all(clusters[:1]))
        changes = expansion.energy_changes(0, clusters[0], plan.displacements(0))
        rms.append(np.sqrt(((changes - exact_changes(clusters[0], plan.displacements(0))) ** 2).mean()))
    assert rms[0] / rms[1] == pytest.approx(power, rel=0.02)
    assert rms[1] / rms[2] == pytest.approx(power, rel=0.02)


def mean_constants(clusters, hessians) -> dict[str, float]:
    return {"Ar": float(np.mean([np.diag(h).mean() for h in hessians]))}


@pytest.mark.parametrize(
    ("kind", "rotations"),
    [
        (RandomDisplacements, False),
        (RandomDisplacements, True),
        (AntitheticDisplacements, False),
        (OrthogonalDisplacements, False),
        (OrthogonalDisplacements, True),
        (CartesianDisplacements, False),
    ],
)
def test_the_mean_curvature_takes_the_bias_out(kind, rotations, clusters, hessians):
    k = mean_constants(clusters, hessians)
    fraction = 12 if kind is OrthogonalDisplacements else 60
    plan = kind(0.02, fraction, remove_rotations=rotations).plan(select_all(clusters))
    plain, corrected = (DisplacedCopies(plan, Expansion(curvature=c)) for c in ({}, k))
    errors = []
    for source in (plain, corrected):
        changes = [
            source.of(s, cluster).energy_changes - exact_changes(cluster, plan.displacements(s))
            for s, cluster in enumerate(clusters)
        ]
        errors.append(np.concatenate(changes))
    bias, left = errors[0].mean(), errors[1].mean()
    assert bias < 0.0 and abs(left) < 0.1 * abs(bias)
    assert np.sqrt((errors[1] ** 2).mean()) < np.sqrt((errors[0] ** 2).mean())
    expected = forecast(clusters, plan, k)
    assert 6 * expected.bias == pytest.approx(bias, rel=0.1)
    assert 6 * expected.error("corrected") == pytest.approx(errors[1].std(), rel=0.5)
    signal = np.concatenate([plain.of(s, c).energy_changes for s, c in enumerate(clusters)])
    assert 6 * expected.signal == pytest.approx(np.sqrt((signal**2).mean()), rel=1e-9)


def test_the_factor_of_displacements_without_rigid_motions(clusters):
    chosen = select_all(clusters[:1])
    for kind, rotations, factor in (
        (RandomDisplacements, False, 18 / 15),
        (OrthogonalDisplacements, True, 18 / 12),
        (CartesianDisplacements, False, 1.0),
    ):
        strategy = kind(0.01, 6, remove_rotations=rotations)
        assert strategy.plan(chosen).curvature_factor(0) == pytest.approx(factor)
    k = {"Ar": 2.0}
    source = DisplacedCopies(RandomDisplacements(0.01, 6).plan(chosen), Expansion(curvature=k))
    moved = source.plan.displacements(0)
    by_hand = -(moved * clusters[0].forces).sum(axis=(1, 2)) + 0.5 * 2.0 * 18 / 15 * (moved**2).sum(axis=(1, 2))
    np.testing.assert_allclose(source.of(0, clusters[0]).energy_changes, by_hand, rtol=1e-12)


def test_hessian_energies_have_cross_terms():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(9, 9))
    moved = rng.normal(size=(4, 3, 3))
    expected = [0.5 * step.ravel() @ (half + half.T) @ step.ravel() for step in moved]
    np.testing.assert_allclose(hessian_energies(half + half.T, moved), expected, rtol=1e-12)
    one = hessian_energies(half + half.T, moved[1:2])
    assert one[0] == hessian_energies(half + half.T, moved)[1]


def test_curvature_and_hessians_together_are_refused():
    with pytest.raises(InputError, match="order=2"):
        Expansion(curvature={"H": 1.0}, hessians=lambda index: np.eye(3))
    with pytest.raises(InputError, match="no curvature for a species"):
        Expansion(curvature={"H": 1.0}).energy_changes(
            0, Structure(("O", "H"), np.eye(3)[:2], forces=np.ones((2, 3))), np.ones((1, 2, 3))
        )


def test_second_order_is_added_once():
    forces, moved = np.ones((2, 3)), np.full((3, 2, 3), 0.1)
    extra = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(taylor_energies(5.0, forces, moved, extra), 5.0 - 0.6 + extra)
    assert curvature_energies(np.array([2.0, 4.0]), moved) == pytest.approx(0.5 * (2 + 4) * 0.03)


# --- displacements chosen by the data, weights -------------------------------------------------------


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("kind", [RandomDisplacements, OrthogonalDisplacements])
def test_chosen_displacements_have_the_ratio_that_was_asked_for(kind, left):
    rng = np.random.default_rng(3)
    mixed = [morse_cluster(rng, 6, ("Ar", "Kr") * 3, name=f"x{k}") for k in range(6)]
    k, chosen = {"Ar": 8.0, "Kr": 2.0}, select_all(mixed)

    def planned(deltas):
        return kind(max(deltas.values()), 10, species_delta=deltas).plan(chosen)

    deltas = balanced_deltas(mixed, planned, k, 0.2, left)
    assert deltas["Kr"] / deltas["Ar"] == pytest.approx(2.0)  # ∝ 1/√k
    assert forecast(mixed, planned(deltas), k).ratio(left) == pytest.approx(0.2, rel=1e-6)


def test_nothing_to_choose_by():
    chosen = select_all([Structure(("O",), np.zeros((1, 3)), forces=np.zeros((1, 3)))])
    plan = RandomDisplacements(0.01, 3).plan(chosen)
    assert forecast([], plan, {}) is None
    assert balanced_deltas([], lambda deltas: plan, {"O": 1.0}, 0.3, "corrected") is None


@given(st.floats(0.1, 50.0), st.floats(1e-4, 0.1), st.floats(1e-6, 10.0), st.booleans())
def test_weights_fall_with_the_truncation_error(k, delta, force, corrected):
    moved = delta * np.array([np.eye(3), 2.0 * np.eye(3), 3.0 * np.eye(3)])
    forces = force * np.eye(3)
    weights = truncation_weights(np.full(3, k), forces, moved, corrected)
    assert np.all((weights >= 1e-3) & (weights <= 1.0))
    assert np.all(np.diff(weights) <= 0.0)
    assert np.all(truncation_weights(np.full(3, k), 2 * forces, moved, corrected) >= weights)
    if not corrected:
        assert np.all(truncation_weights(np.full(3, k), forces, moved, True) >= weights)


def test_weights_stand_in_the_names(clusters):
    plan = RandomDisplacements(0.02, 3).plan(select_all(clusters))
    source = DisplacedCopies(plan, Expansion(), weighing={"Ar": 5.0})
    constants = 5.0 * 18 / 15
    for s, cluster in enumerate(clusters[:3]):
        made = source.of(s, cluster)
        squares = (plan.displacements(s) ** 2).sum(axis=2)
        signal = (squares * (cluster.forces**2).sum(axis=1)).sum(axis=1) / 3
        error = (0.5 * constants * squares.sum(axis=1)) ** 2 + 0.4 * constants**2 * (squares**2).sum(axis=1)
        weights = [parse_copy_name(name).weight for name in made.names]
        assert weights == pytest.approx(signal / (signal + error), rel=1e-3)
        assert source.names(s, cluster) == made.names


# --- strains ---------------------------------------------------------------------------------------------


def crystal(seed: int = 0, strain: np.ndarray | None = None) -> Structure:
    """Eight atoms of a skewed cell with a pair potential, its forces and its stress."""
    rng = np.random.default_rng(seed)
    cell = np.array([[5.0, 0.2, 0.0], [0.4, 5.2, -0.1], [0.0, 0.3, 4.9]])
    positions = (np.array(list(np.ndindex(2, 2, 2))) + rng.uniform(-0.08, 0.08, (8, 3))) / 2.0 @ cell
    bare = Structure(("Ar",) * 8, positions, cell, (True,) * 3, name=f"c{seed}.xsf")
    return labelled(bare if strain is None else strained(bare, strain))


def labelled(structure: Structure) -> Structure:
    """With energy, forces and stress of Σ_pairs exp(-(r/2)²), all images within 14 Å."""
    shifts = (np.array(list(np.ndindex(7, 7, 7))) - 3) @ structure.cell
    energy, forces, virial = 0.0, np.zeros((8, 3)), np.zeros((3, 3))
    for i in range(8):
        vectors = (structure.positions - structure.positions[i])[None] + shifts[:, None]
        r2 = (vectors**2).sum(axis=-1)
        value = np.where(r2 > 1e-12, np.exp(-r2 / 4.0), 0.0)
        energy += 0.5 * value.sum()
        slope = -0.5 * value[..., None] * vectors  # derivative with respect to the neighbour
        forces[i] = slope.sum(axis=(0, 1))
        virial += 0.5 * np.einsum("snx,sny->xy", slope, vectors)
    return Structure(
        structure.symbols,
        structure.positions,
        structure.cell,
        structure.pbc,
        energy,
        forces,
        virial / structure.volume,
        name=structure.name,
    )


def test_strain_energies_agree_with_strained_crystals_to_first_order():
    parent = crystal()
    numeric = (crystal(strain=np.diag([1e-5, 0, 0])).energy - crystal(strain=np.diag([-1e-5, 0, 0])).energy) / 2e-5
    assert numeric == pytest.approx(parent.volume * parent.stress[0, 0], rel=1e-6)
    rms = []
    for size in (4e-3, 2e-3, 1e-3):
        plan = StrainDisplacements(size, 12).plan([select_for_strain(parent, near_zero=0.0)])
        exact = np.array([crystal(strain=e).energy - parent.energy for e in plan.strains(0)])
        rms.append(np.sqrt(((strain_energies(parent, plan.strains(0)) - exact) ** 2).mean()))
        assert rms[-1] < 0.1 * exact.std()
    assert rms[0] / rms[1] == pytest.approx(4.0, rel=0.05) and rms[1] / rms[2] == pytest.approx(4.0, rel=0.05)


def test_strains_are_symmetric_bounded_and_isotropic():
    plan = StrainDisplacements(0.01, 20_000, seed=4).plan([select_for_strain(crystal(), near_zero=0.0)])
    strains = plan.strains(0)
    assert np.array_equal(strains, strains.transpose(0, 2, 1))
    norm = np.sqrt((strains**2).sum(axis=(1, 2)))
    assert norm.max() <= 0.01 and np.quantile((norm / 0.01) ** 6, 0.5) == pytest.approx(0.5, abs=0.02)
    components = strains[:, VOIGT_ELEMENTS[0], VOIGT_ELEMENTS[1]] * np.sqrt([1, 1, 1, 2, 2, 2])
    np.testing.assert_allclose(components.T @ components / len(strains), 0.01**2 / 8 * np.eye(6), atol=5e-7)
    assert np.abs(np.linalg.eigvalsh(strains[:100])).max() <= 0.01


def test_strained_copies_are_structures_of_their_own():
    parents = [crystal(1), crystal(2)]
    plan = StrainDisplacements(0.01, 3).plan([select_for_strain(parent, near_zero=0.0) for parent in parents])
    source = StrainedCopies(plan)
    made = source.of(1, parents[1])
    assert [parse_copy_name(name).index for name in made.names] == [0, 1, 2]
    assert all(parse_copy_name(name).is_strained and parse_copy_name(name).delta == 0.01 for name in made.names)
    for copy, strain, change in zip(made.structures(parents[1]), plan.strains(1), made.energy_changes):
        np.testing.assert_allclose(copy.cell, parents[1].cell @ (np.eye(3) + strain), rtol=1e-14)
        inverse = np.linalg.inv(parents[1].cell), np.linalg.inv(copy.cell)
        np.testing.assert_allclose(copy.positions @ inverse[1], parents[1].positions @ inverse[0], atol=1e-12)
        assert copy.energy == parents[1].energy + change and copy.stress is None
    again = StrainDisplacements(0.01, 3).plan(plan.selections)
    assert again.strains(1).tobytes() == plan.strains(1).tobytes() != plan.strains(0).tobytes()
    fewer = StrainDisplacements(0.01, 2).plan(plan.selections)
    assert fewer.strains(1).tobytes() == plan.strains(1)[:2].tobytes()


def test_structures_that_cannot_be_strained():
    parent = crystal()
    slab, bare = replace(parent, pbc=(True, True, False)), replace(parent, stress=None)
    soft, steep = replace(parent, stress=1e-4 * np.eye(3)), replace(parent, forces=9 * np.ones((8, 3)))
    reasons = [select_for_strain(s, force_max=5.0).reason for s in (slab, bare, soft, steep)]
    assert reasons == [
        SkipReason.NOT_PERIODIC,
        SkipReason.NO_STRESS,
        SkipReason.NEAR_ZERO_STRESS,
        SkipReason.STRONG_FORCE,
    ]
    assert select_for_strain(soft, near_zero=0.0).reason is None
    assert StrainDisplacements(0.01, 5).plan([select_for_strain(bare)]).total == 0


@pytest.mark.parametrize(
    "values", [{"strain": 0.0}, {"strain": 0.6}, {"n_copies": 0.0}, {"max_copies": -1}, {"seed": -1}]
)
def test_impossible_strains_are_refused(values):
    with pytest.raises(InputError):
        StrainDisplacements(**{"strain": 0.01, "n_copies": 3.0, **values})
