"""The check of reference data: silent where they are fine, right where they are not."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from taylorfit.data import frame_pairs as framepairs
from taylorfit.data.check import check, drop
from taylorfit.data.findings import KINDS
from taylorfit.data.frame_pairs import find_frame_pairs
from taylorfit.errors import InputError
from taylorfit.model.distances import shortest_distances
from taylorfit.model.structure import Structure

HARTREE, BOHR = 27.211386245988, 0.529177210903
CELL = np.array([[9.0, 0.0, 0.0], [2.0, 8.5, 0.0], [-1.0, 1.5, 9.5]])
SITES = 2.4 * np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(3)], dtype=float)
SYMBOLS = ("Ti", "O", "O") * 4


def frames(n=60, spread=0.08, seed=0, cell=CELL, symbols=SYMBOLS) -> list[Structure]:
    """Frames of an anharmonic crystal with exact forces; atoms may sit in any periodic image."""
    generator = np.random.default_rng(seed)
    half = generator.normal(size=(36, 36))
    hessian = 4.0 * np.eye(36) + 0.1 * half @ half.T
    result = []
    for index in range(n):
        u = generator.normal(scale=spread, size=(12, 3))
        u = (u - u.mean(axis=0)).ravel()  # then the net force can be taken out of the gradient
        energy = -800.0 + 0.5 * u @ hessian @ u + 3.0 * (u**3).sum()
        forces = -(hessian @ u + 9.0 * u**2).reshape(12, 3)
        positions = SITES + u.reshape(12, 3)
        pbc = (False,) * 3
        if cell is not None:
            positions = positions + generator.integers(-1, 2, size=(12, 3)) @ cell
            pbc = (True,) * 3
        forces -= forces.mean(axis=0)
        result.append(
            Structure(
                symbols,
                positions,
                np.zeros((3, 3)) if cell is None else cell,
                pbc,
                energy,
                forces,
                name=f"f{index:03d}.xsf",
            )
        )
    return result


def kinds(report) -> set[str]:
    return {finding.kind for finding in report.findings}


def trajectory(n=60, **options) -> list[Structure]:
    return frames(n, spread=0.02, **options)


@pytest.mark.parametrize("cell", [CELL, None], ids=["periodic", "isolated"])
def test_good_data_are_passed_in_silence(cell):
    report = check(trajectory(cell=cell), {"Ti": 0.0, "O": 0.0})
    assert report.findings == ()
    (units,) = report.units
    assert units.judged and units.slope == pytest.approx(1.0, abs=0.02) and units.correlation > 0.99
    assert report.n_structures == report.n_with_forces == 60
    (line,) = report.lines()
    assert "slope" in line


@pytest.mark.parametrize(
    ("energy", "force", "length", "words"),
    [
        (1.0, 1.0 / HARTREE, 1.0, "forces look like Hartree/Å"),
        (1.0, BOHR / HARTREE, 1.0, "forces look like Hartree/Bohr"),
        (1.0 / HARTREE, 1.0, 1.0, "energies look like Hartree"),
        (1.0, HARTREE, 1.0, "multiplied by 27.2"),
        (1.0, HARTREE / BOHR, 1.0, "twice"),
        (1.0, BOHR, 1.0, "forces look like eV/Bohr"),
        (1.0 / HARTREE, BOHR / HARTREE, 1.0, "Hartree and forces like Hartree/Bohr"),
        (1.0, 1.0, 1.0 / BOHR, "positions look like Bohr"),
        (23.0605, 1.0, 1.0, "energies look like kcal/mol"),
        (1.0, 23.0605, 1.0, "forces look like kcal/mol"),
        (96.4853, 1.0, 1.0, "energies look like kJ/mol"),
        (1.0, 96.4853, 1.0, "forces look like kJ/mol"),
        (2.0 / HARTREE, 1.0, 1.0, "energies look like Rydberg"),
        (1.0, -1.0, 1.0, "wrong sign"),
        (1.0, -BOHR / HARTREE, 1.0, "wrong sign .* and forces look like Hartree/Bohr"),
        (4.0, 1.0, 1.0, "no common unit fits"),
    ],
)
@pytest.mark.parametrize("spread", [0.01, 0.04])
def test_the_wrong_unit_is_named(energy, force, length, words, spread):
    wrong = [
        replace(
            s, energy=s.energy * energy, forces=s.forces * force, positions=s.positions * length, cell=s.cell * length
        )
        for s in frames(spread=spread)
    ]
    report = check(wrong)
    (units,) = report.units
    assert units.problem is not None
    assert re.search(words, units.problem), units
    assert "units" in kinds(report)
    assert any(line.startswith("warning: ") and re.search(words, line) for line in report.lines())


def test_coarse_sampling_is_not_judged():
    generator = np.random.default_rng(0)
    coarse = [replace(s, energy=float(generator.normal(-800.0, 3.0))) for s in frames(spread=0.25)]
    report = check(coarse)
    assert "units" not in kinds(report)
    assert re.search("[0-9]+ pairs of frames, too few or too far apart to judge", report.lines()[0])
    assert check(coarse[:1]).lines()[0] == "energies against forces: no frames near enough to compare"


@pytest.mark.parametrize("spread", [0.02, 0.08, 0.15, 0.3])
def test_no_unit_is_accused_on_anharmonic_but_right_data(spread):
    generator = np.random.default_rng(3)
    data = []
    for _ in range(24):
        atoms = bulk("Cu", cubic=True) * (1, 1, 2)
        atoms.positions += generator.normal(0.0, spread, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        data.append(Structure.from_ase(atoms))
    assert check(data).of_kind("units") == () and "units" not in kinds(check(data))
    # Nor by the scatter of energies and forces that self-consistency leaves
    noisy = [
        replace(s, energy=s.energy + generator.normal(0, 0.003), forces=s.forces + generator.normal(0, 0.02, (8, 3)))
        for s in data
    ]
    assert "units" not in kinds(check(noisy))


def test_a_curve_of_a_dimer_is_right_data():
    distances = np.linspace(0.95, 3.0, 40)
    decay = np.exp(-2.7 * (distances - 1.1))
    energies, slopes = 9.9 * (1 - decay) ** 2, 2 * 9.9 * 2.7 * decay * (1 - decay)
    data = [
        Structure(("N", "N"), np.array([[0.0, 0, 0], [r, 0, 0]]), energy=e, forces=np.array([[f, 0, 0], [-f, 0, 0]]))
        for r, e, f in zip(distances, energies, slopes)
    ]
    assert "units" not in kinds(check(data)) and check(data).units[0].slope == pytest.approx(1.0, abs=0.03)


def test_forces_of_other_structures_are_noticed():
    good = frames(spread=0.01)
    mixed = [replace(s, forces=good[index - 30].forces) for index, s in enumerate(good)]
    assert "do not belong together" in check(mixed).units[0].problem


def test_a_single_wrong_energy_does_not_hide_the_slope():
    data = trajectory()
    data[20] = replace(data[20], energy=-500.0)
    (units,) = check(data).units
    assert units.problem is None and units.judged


def test_pairs_know_their_images_and_order():
    data = trajectory(40)
    shuffled = [data[0], replace(data[1], symbols=("O", "O", "Ti") * 4), *data[2:]]
    pairs = find_frame_pairs(shuffled)
    assert np.all(pairs.first < pairs.second)
    assert not np.isin(1, np.concatenate([pairs.first, pairs.second]))
    assert pairs.largest.max() < 0.2
    assert len(set(zip(pairs.first.tolist(), pairs.second.tolist()))) == len(pairs.first)


def test_near_frames_are_found_wherever_they_stand(monkeypatch):
    monkeypatch.setattr(framepairs, "_BLOCK", 16)
    data = frames(200, spread=0.3)
    nudge = np.random.default_rng(1).normal(scale=0.001, size=(12, 3))
    data.append(replace(data[3], positions=data[3].positions + nudge))
    pairs = find_frame_pairs(data)
    assert (3, 200) in set(zip(pairs.first.tolist(), pairs.second.tolist()))
    assert len(pairs.first) < 8 * len(data)  # linear


def test_duplicates_and_near_duplicates():
    data = frames(30, spread=0.2)
    data[10] = replace(data[2], name="same.xsf")
    data[11] = replace(data[2], name="energy.xsf", energy=data[2].energy + 0.5)
    nudge = np.random.default_rng(1).uniform(-0.003, 0.003, size=(12, 3))
    data[20] = replace(data[5], positions=data[5].positions + nudge, name="near.xsf")
    report = check(data)
    assert report.of_kind("duplicate") == (10, 11)
    assert report.of_kind("near-duplicate") == (20,)
    assert any("differ by up to 0.5 eV" in line and "same.xsf, energy.xsf" in line for line in report.lines())
    assert [s.name for s in drop(data, report, ["duplicate", "near-duplicate"])] == [
        s.name for i, s in enumerate(data) if i not in (10, 11, 20)
    ]


def test_of_a_slow_trajectory_every_second_frame_or_so_stays():
    start, step = trajectory(1)[0], np.full((12, 3), 0.0)
    step[0, 0] = 0.006
    slow = [replace(start, positions=start.positions + k * step) for k in range(12)]
    kept = drop(slow, check(slow), ["near-duplicate"])
    assert 4 <= len(kept) <= 7


def test_forces_missing_near_zero_and_net():
    data = frames(30, spread=0.2)
    data[1] = replace(data[1], forces=None)
    data[2] = replace(data[2], forces=0.001 * data[2].forces)
    data[3] = replace(data[3], forces=data[3].forces + [0.0, 0.02, 0.0])
    report = check(data)
    assert report.of_kind("missing-forces") == (1,)
    assert report.of_kind("near-zero-forces") == (2,)
    assert report.of_kind("net-force") == (3,)
    assert report.net_force == pytest.approx(0.02)
    assert kinds(report) == {"missing-forces", "near-zero-forces", "net-force"}
    assert all(line.startswith("note: ") for line in report.lines()[1:])


def test_outliers_of_energy_and_force():
    data = frames(40, spread=0.2)
    data[7] = replace(data[7], energy=data[7].energy * HARTREE)
    data[8] = replace(data[8], energy=data[8].energy + 12 * 3.0)
    data[9] = replace(data[9], forces=data[9].forces * 20.0)
    report = check(data)
    assert report.of_kind("energy-outlier") == (7, 8)
    assert report.of_kind("force-outlier") == (9,)


def test_energies_of_several_compositions_are_no_outliers():
    data = []
    for n_oxygen, energy in ((8, -800.0), (9, -1230.0), (7, -370.0)):
        symbols = ("Ti",) * (12 - n_oxygen) + ("O",) * n_oxygen
        data += [
            replace(s, energy=s.energy + 800.0 + energy) for s in frames(20, spread=0.2, seed=n_oxygen, symbols=symbols)
        ]
    assert "energy-outlier" not in kinds(check(data))


def test_atomic_energies_that_do_not_fit():
    data = trajectory()
    assert check(data, {"Ti": -100.0, "O": -45.0}).findings == ()
    assert kinds(check(data, {"Ti": -100.0 * HARTREE, "O": -45.0 * HARTREE})) == {"atomic-energies"}


def test_implausibly_large_forces_need_no_near_frames():
    data = [replace(s, forces=s.forces * HARTREE) for s in frames(10, spread=0.3)]
    assert any("implausibly large" in line for line in check(data).lines())


def test_short_distances():
    data = frames(30, spread=0.05)
    positions = data[4].positions.copy()
    positions[1] = positions[2] + [0.0, 0.0, 0.9] + CELL[1]  # through the boundary
    data[4] = replace(data[4], positions=positions)
    report = check(data)
    assert report.of_kind("short-distance") == (4,)
    assert report.shortest["O-O"] == pytest.approx(0.9)
    assert any("O-O 0.900 Å" in line for line in report.lines())
    allowed = {("O", "O"): 0.5, ("O", "Ti"): 0.5}
    assert "short-distance" not in kinds(check(data, min_distances=allowed))
    strict = check(frames(5, spread=0.05), min_distances={("Ti", "O"): 3.0})
    assert strict.of_kind("short-distance") == tuple(range(5))


def test_missing_energies():
    data = trajectory()
    data[0] = replace(data[0], energy=None)
    data[1] = replace(data[1], energy=None, cohesive_energy=-60.0)
    assert check(data).of_kind("missing-energy") == (0,)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [Structure((), np.zeros((0, 3)))],
        [Structure(("H",), np.zeros((1, 3)), energy=-13.6, forces=np.zeros((1, 3)))] * 3,
        [Structure(("H", "O"), np.eye(3)[:2], name="bare.xsf")] * 30,
        2
        * [
            Structure(("O", "O"), np.eye(3)[:2], np.diag([0.0, 0.0, 4.0]), (False, False, True), -1.0, np.zeros((2, 3)))
        ],
    ],
    ids=["nothing", "no atoms", "atoms", "no energy or forces", "polymer"],
)
def test_unusual_data_do_not_break_the_check(data):
    report = check(data, {"H": -13.6})
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.lines()


def test_report_is_json_and_names_known_kinds():
    data = frames(30, spread=0.2)
    data[3] = data[2]
    report = json.loads(json.dumps(check(data).to_dict(), allow_nan=False))
    assert report["n_structures"] == 30
    assert report["findings"][0] == {
        "kind": "duplicate",
        "message": KINDS["duplicate"],
        "structures": [3],
        "names": ["f002.xsf"],
    }


def test_what_cannot_be_dropped():
    data = trajectory(5)
    report = check(data)
    assert drop(data, report, []) == data
    for kind in ("units", "atomic-energies", "nonsense"):
        with pytest.raises(InputError, match=kind):
            drop(data, report, [kind])
    with pytest.raises(InputError, match="other data"):
        drop(data[:-1], report, ["duplicate"])


def test_shortest_distances_of_all_structures_are_those_of_each_by_itself():
    generator = np.random.default_rng(0)
    structures = []
    for n in (1, 2, 7, 300):
        for pbc in ((False,) * 3, (True,) * 3, (True, False, True)):
            symbols = tuple(generator.choice(["H", "O", "Ti"], n).tolist())
            cells = (CELL + generator.normal(0.0, 0.2, (3, 3)) for _ in range(3))
            structures += [Structure(symbols, generator.uniform(0.0, 9.0, (n, 3)), cell, pbc) for cell in cells]
    found = shortest_distances(structures)
    for structure, together in zip(structures, found):
        assert shortest_distances([structure]) == [together]
        images = [np.array([i, j, k]) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
        allowed = [image @ structure.cell for image in images if not image[~np.array(structure.pbc)].any()]
        if structure.n_atoms > 7:
            continue
        for pair, distance in together.items():
            a, b = pair.split("-")
            every = [
                np.linalg.norm(structure.positions[i] - structure.positions[j] + shift)
                for i, first in enumerate(structure.symbols)
                for j, second in enumerate(structure.symbols)
                for shift in allowed
                if i != j and {first, second} == {a, b}
            ]
            assert distance == pytest.approx(min(every), abs=1e-9) or min(every) > 2.5
