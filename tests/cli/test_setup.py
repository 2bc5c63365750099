"""`setup`: the proposal runs as it is, and says what it rests on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest

from cli_support import GOLDEN, contents, make_toy, report, run, succeed
from taylorfit.data.survey import fit_atomic_energies, survey
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.extxyz import write_extxyz
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure
from taylorfit.settings.forces import MODES
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.train import TrainInput


def mixtures(n: int = 6, seed: int = 2) -> list[Structure]:
    """Boxes of A and B with energies that are exactly linear in the composition."""
    rng = np.random.default_rng(seed)
    structures = []
    for number in range(n):
        symbols = ("O",) * (1 + number) + ("H",) * (1 + number % 3)
        grid = np.array(list(np.ndindex(3, 3, 3)), dtype=float)[: len(symbols)] * 1.4
        structures.append(
            Structure(
                symbols,
                grid + rng.uniform(-0.1, 0.1, grid.shape),
                np.eye(3) * 4.2,
                (True,) * 3,
                energy=-400.0 * (1 + number) - 13.0 * (1 + number % 3),
                forces=rng.normal(size=grid.shape),
                name=f"m{number}.xsf",
            )
        )
    return structures


def write_all(folder: Path, structures: list[Structure]) -> None:
    for structure in structures:
        write_xsf(folder / structure.name, structure)


def test_proposal_runs_from_end_to_end(tmp_path: Path) -> None:
    make_toy(tmp_path, n_structures=12)
    found = report(tmp_path, "setup", "xsf/*.xsf", "--output", "fit", "--mode", "centred")
    folder = tmp_path / "fit"
    names = ["Ar.fingerprint.stp", "generate.in", "md.in", "predict.in", "train.in"]
    assert sorted(p.name for p in folder.iterdir()) == names
    settings = GenerateInput.read(folder / "generate.in")
    assert [entry.path for entry in settings.files] == ["../xsf/*.xsf"]
    assert (
        settings.derivatives.delta
        == found["delta"]
        == pytest.approx(0.01 * found["shortest_distances"]["Ar-Ar"], rel=0.1)
    )
    (folder / "train.in").write_text((folder / "train.in").read_text().replace("ITERATIONS 1000", "ITERATIONS 3"))
    assert report(folder, "generate", "generate.in")["copies"] > 0
    assert report(folder, "train", "train.in")["n_copies"] > 0


@pytest.mark.parametrize("one_file", [False, True])
def test_what_the_manual_recommends_is_proposed(tmp_path: Path, one_file: bool) -> None:
    """Exact training, validation structures that are not trained on, and files for all further steps, which run."""
    structures = make_toy(tmp_path, n_structures=20)
    if one_file:
        write_extxyz(tmp_path / "all.extxyz", structures)
    out = succeed(tmp_path, "setup", "all.extxyz" if one_file else "xsf/*.xsf", "--output", "fit").out
    assert "mode exact" in out and "10 % of the structures" in out
    folder = tmp_path / "fit"
    settings, train = GenerateInput.read(folder / "generate.in"), TrainInput.read(folder / "train.in")
    assert train.forces.mode == "exact" and settings.derivatives is None and not train.taylorset
    sides = [[entry.path for entry in files] for files in (settings.files, train.validation)]
    assert sides == [["training.extxyz"], ["validation.extxyz"]] if one_file else list(map(len, sides)) == [18, 2]
    assert not set(sides[0]) & set(sides[1])
    (folder / "train.in").write_text((folder / "train.in").read_text().replace("ITERATIONS 1000", "ITERATIONS 3"))
    assert report(folder, "generate", "generate.in")["structures"] == 18
    assert report(folder, "train", "train.in")["validation"]["n_structures"] == 2
    assert "MAE" in succeed(folder, "predict", "predict.in").out
    md = (folder / "md.in").read_text().replace("STEPS 5000", "STEPS 10").replace("EQUILIBRATION 500\n", "")
    (folder / "md.in").write_text(md)
    succeed(folder, "md", "md.in")


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_asked_for_is_proposed(tmp_path: Path, mode: str) -> None:
    write_all(tmp_path, mixtures())
    assert f"mode {mode}: asked for" in succeed(tmp_path, "setup", "m*.xsf", "--mode", mode).out
    with_copies = mode in ("taylor", "centred")
    train = TrainInput.read(tmp_path / "train.in")
    assert train.forces.mode == mode and bool(train.taylorset) == with_copies and not train.validation
    assert (GenerateInput.read(tmp_path / "generate.in").derivatives is not None) == with_copies


def test_modes_that_need_forces_are_refused_without(tmp_path: Path) -> None:
    write_all(tmp_path, [replace(structure, forces=None) for structure in mixtures()])
    for mode in MODES[1:]:
        assert f"mode {mode} needs structures with forces" in run(tmp_path, "setup", "m*.xsf", "--mode", mode).complaint
    assert "mode energy: there are no forces" in succeed(tmp_path, "setup", "m*.xsf").out


def test_setup_files_hold_what_is_reported(tmp_path: Path) -> None:
    write_all(tmp_path, mixtures())
    found = report(tmp_path, "setup", *(f"m{k}.xsf" for k in range(6)))
    for symbol in ("H", "O"):
        setup = read_setup(tmp_path / f"{symbol}.fingerprint.stp")
        assert setup.environment == ("H", "O") and setup.r_cut == found["radial_cutoff"]
        assert setup.parameters[0, 2] == found["angular_cutoff"] and setup.r_min == found["r_min"]
        assert setup.r_min < min(found["shortest_distances"].values())
    settings = GenerateInput.read(tmp_path / "generate.in")
    assert [entry.path for entry in settings.files] == [f"m{k}.xsf" for k in range(6)]
    assert settings.atomic_energies == found["atomic_energies"]
    assert [n.symbol for n in TrainInput.read(tmp_path / "train.in").networks] == ["H", "O"]


def test_symmetry_functions_are_a_valid_setup(tmp_path: Path) -> None:
    write_all(tmp_path, mixtures())
    succeed(tmp_path, "setup", "m*.xsf", "--behler")
    setup = read_setup(tmp_path / "O.fingerprint.stp")
    assert setup.kind == "behler2011" and setup.n_feature == 2 * 6 + 3 * 6
    assert set(setup.function.tolist()) == {2, 4}


def test_atomic_energies_follow_from_the_compositions(tmp_path: Path) -> None:
    fit = fit_atomic_energies(mixtures(), ("H", "O"))
    assert fit.determined and fit.rmse < 1e-9
    assert fit.energies == pytest.approx({"H": -13.0, "O": -400.0})
    write_all(tmp_path, mixtures())
    assert "warning" not in succeed(tmp_path, "setup", "m*.xsf").out.split("Shortest")[0].split("Atomic")[1]


def test_one_composition_is_said_and_gives_the_mean(tmp_path: Path) -> None:
    structures = [mixtures()[2]] * 2
    fit = fit_atomic_energies(structures, ("H", "O"))
    mean = structures[0].energy / structures[0].n_atoms
    assert not fit.determined and fit.rank == 1
    assert fit.energies == pytest.approx({"H": mean, "O": mean})
    write_all(tmp_path, structures[:1])
    found = succeed(tmp_path, "setup", "m2.xsf").out
    assert "1 composition cannot determine 2 energies" in found


def test_half_determined_energies_fit_and_stay_near_the_mean() -> None:
    # N and C always come together
    structures = [
        Structure(symbols, np.arange(3 * len(symbols)).reshape(-1, 3) * 1.5, energy=energy)
        for symbols, energy in ((("C", "N", "H"), -102.0), (("C", "N", "H", "H"), -103.0))
    ]
    fit = fit_atomic_energies(structures, ("C", "H", "N"))
    assert fit.rank == 2 and fit.rmse < 1e-9
    assert fit.energies["H"] == pytest.approx(-1.0) and fit.energies["C"] == pytest.approx(-50.5)


def test_cohesive_energies_need_no_atomic_ones(tmp_path: Path) -> None:
    write_xsf(tmp_path / "a.xsf", Structure(("H", "H"), np.array([[0, 0, 0], [0, 0, 0.8]]), cohesive_energy=-4.5))
    found = report(tmp_path, "setup", "a.xsf")
    assert found["atomic_energies"] == {"H": 0.0} and found["atomic_energy_rank"] == 0
    assert GenerateInput.read(tmp_path / "generate.in").derivatives is None
    assert not TrainInput.read(tmp_path / "train.in").taylorset


def test_survey_agrees_with_all_pairs() -> None:
    structures = mixtures()
    found = survey(structures, ("H", "O"))
    counts: dict[str, list[np.ndarray]] = {"H": [], "O": []}
    shortest: dict[tuple[str, str], float] = {}
    shifts = np.array(list(np.ndindex(7, 7, 7)), dtype=float) - 3
    for structure in structures:
        images = structure.positions[None] + (shifts @ structure.cell)[:, None]
        for i, symbol in enumerate(structure.symbols):
            r = np.linalg.norm(images - structure.positions[i], axis=2)
            r[(shifts == 0).all(axis=1), i] = np.inf
            counts[symbol].append((r[..., None] <= found.radii).sum(axis=(0, 1)))
            for j, other in enumerate(structure.symbols):
                pair = tuple(sorted((symbol, other)))
                shortest[pair] = min(shortest.get(pair, np.inf), r[:, j].min())
    assert found.shortest == pytest.approx(shortest)
    assert set(found.shortest) == set(combinations_with_replacement(("H", "O"), 2))
    for t, symbol in enumerate(("H", "O")):
        np.testing.assert_allclose(found.mean_neighbours[t], np.mean(counts[symbol], axis=0))
        np.testing.assert_array_equal(found.most_neighbours[t], np.max(counts[symbol], axis=0))


def test_a_single_atom_gets_a_proposal(tmp_path: Path) -> None:
    write_xsf(tmp_path / "a.xsf", Structure(("He",), np.zeros((1, 3)), energy=-1.0, forces=np.zeros((1, 3))))
    found = report(tmp_path, "setup", "a.xsf")
    assert found["shortest_distances"] == {} and found["delta"] is None


def test_existing_files_are_kept(tmp_path: Path) -> None:
    write_all(tmp_path, mixtures())
    (tmp_path / "train.in").write_text("mine")
    before = contents(tmp_path)
    assert "output exists" in run(tmp_path, "setup", "m*.xsf").complaint
    assert contents(tmp_path) == before
    succeed(tmp_path, "setup", "m*.xsf", "--force")
    assert (tmp_path / "train.in").read_text() != "mine"


def test_useless_structures_are_refused(tmp_path: Path) -> None:
    write_xsf(tmp_path / "none.xsf", Structure(("H",), np.zeros((1, 3))))
    write_xsf(tmp_path / "near.xsf", Structure(("H", "H"), np.array([[0, 0, 0], [0, 0, 0.01]]), energy=-1.0))
    assert "no energy" in run(tmp_path, "setup", "none.xsf").complaint
    assert "coincide" in run(tmp_path, "setup", "near.xsf").complaint
    assert "matches no file" in run(tmp_path, "setup", "absent*").complaint


def test_golden_structures_give_sensible_lengths(tmp_path: Path) -> None:
    found = report(tmp_path, "setup", str(GOLDEN / "mono/xsf/*.xsf"))
    assert 4.0 <= found["angular_cutoff"] <= found["radial_cutoff"] <= 8.0
    assert "Si" in succeed(tmp_path, "setup", str(GOLDEN / "mono/xsf/*.xsf"), "--force").out


@pytest.mark.parametrize(
    ("forces", "words"), [(None, "no Taylor copies (without forces)"), (1e-9, "no Taylor copies (near-zero forces)")]
)
def test_without_forces_to_use_no_copies_are_proposed(tmp_path: Path, forces: float | None, words: str) -> None:
    for structure in mixtures():
        write_xsf(
            tmp_path / structure.name, replace(structure, forces=None if forces is None else forces * structure.forces)
        )
    assert words in succeed(tmp_path, "setup", "m*.xsf").out
    assert TrainInput.read(tmp_path / "train.in").taylorset == ()
    succeed(tmp_path, "generate", "generate.in")
    assert not (tmp_path / "data.taylor.train").exists()


def test_units_and_keys_asked_for_stand_in_generate_in(tmp_path: Path) -> None:
    case = next((Path(__file__).parents[1] / "data" / "cases").glob("02-*"))
    shutil.copyfile(case / "input.data", tmp_path / "input.data")
    assert "no fixed units" in run(tmp_path, "setup", "input.data").complaint
    (tmp_path / "b.xsf").write_text("hello\n")
    found = succeed(tmp_path, "setup", "input.data", "b.xsf", "--units", "eV Angstrom", "--drop", "unreadable")
    assert "generate.in --drop unreadable" in found.out and "1 of 2 files were unreadable" in found.out
    assert "UNITS eV Angstrom" in (tmp_path / "generate.in").read_text()
    succeed(tmp_path, "generate", "generate.in", "--drop", "unreadable")
