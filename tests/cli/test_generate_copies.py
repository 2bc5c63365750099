"""`generate` with the strategies and options of DERIVATIVES beyond the paper's, checked from outside."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_support import (
    GOLDEN,
    generate_in,
    make_crystals,
    make_toy,
    morse,
    morse_cluster,
    report,
    run,
    succeed,
    taylor,
    train_in,
    write_setups,
)
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.provenance import parse_copy_name
from taylorfit.model.structure import Structure

ALL = ("random", "cartesian", "orthogonal", "antithetic", "modes")


def morse_hessian(positions: np.ndarray, step: float = 1e-4) -> np.ndarray:
    n = positions.size
    return np.array(
        [
            (morse(positions - d)[1] - morse(positions + d)[1]).ravel() / (2 * step)
            for d in step * np.eye(n).reshape(n, *positions.shape)
        ]
    )


def toy(folder: Path, n: int = 6, **options: object) -> list[Structure]:
    """Morse clusters with their Hessians in `hessians`, and a block DERIVATIVES."""
    structures = make_toy(folder, n, extra=taylor(outfile="copies.train", **options))
    (folder / "hessians").mkdir(exist_ok=True)
    for structure in structures:
        np.save(folder / "hessians" / (Path(structure.name).stem + ".npy"), morse_hessian(structure.positions))
    return structures


def copies_of(folder: Path, extra: tuple[str, ...] = ()) -> list[tuple[object, Structure, np.ndarray, float]]:
    """Provenance, parent, displacement and change of energy of each copy, by way of the XSF files."""
    succeed(folder, "generate", "generate.in", "--force", "--threads", "1", "--write-xsf", "as-xsf", *extra)
    found = []
    copies = read_trainset(folder / "copies.train")
    for name, path, energy in zip(copies.names, sorted((folder / "as-xsf").iterdir()), copies.energy, strict=True):
        read, parent = parse_copy_name(name), read_xsf(folder / parse_copy_name(name).parent)
        copy = read_xsf(path)
        assert copy.energy == pytest.approx(energy - 10.0 * copy.n_atoms, abs=1e-9)
        found.append((read, parent, copy.positions - parent.positions, copy.energy - parent.energy))
    shutil.rmtree(folder / "as-xsf")
    return found


@pytest.mark.parametrize("strategy", ALL)
def test_every_strategy_makes_first_order_copies(strategy: str, tmp_path: Path) -> None:
    needs = {"hessian": "hessians"} if strategy == "modes" else {}
    toy(tmp_path, strategy=strategy, delta=0.02, fraction=6, **needs)
    made = copies_of(tmp_path)
    assert len(made) == 36 and {read.strategy for read, *_ in made} == {strategy}
    for read, parent, shift, change in made:
        assert read.delta == 0.02 and np.linalg.norm(shift, axis=1).max() <= 0.02 + 1e-12
        assert change == pytest.approx(-(shift * parent.forces).sum(), abs=1e-11)
        if strategy != "cartesian":
            assert np.abs(shift.sum(axis=0)).max() < 1e-12
        if strategy == "modes":  # rotations are taken out by default
            assert np.abs(np.cross(parent.positions, shift).sum(axis=0)).max() < 1e-11


@pytest.mark.parametrize("strategy", ["random", "orthogonal", "antithetic"])
def test_rotations_are_removed_on_request(strategy: str, tmp_path: Path) -> None:
    for rotations in ("remove", "keep"):
        toy(tmp_path, strategy=strategy, delta=0.02, fraction=4, rotations=rotations)
        turned = [
            np.abs(np.cross(parent.positions, shift).sum(axis=0)).max() for _, parent, shift, _ in copies_of(tmp_path)
        ]
        assert max(turned) < 1e-11 if rotations == "remove" else min(turned) > 1e-6


@pytest.mark.parametrize("strategy", ["orthogonal", "antithetic", "modes", "random"])
@pytest.mark.parametrize(
    "options",
    [{"species": "N,O"}, {"atoms": "1-2"}, {"forcemin": 0.2, "forcemax": 50}, {"delta_H": 0.004}],
    ids=lambda options: next(iter(options)),
)
def test_selections_work_with_every_strategy(strategy: str, options: dict, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "cluster" / "four_species", tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    more = dict(options)
    if strategy == "modes":
        (tmp_path / "h").mkdir()
        for path in (tmp_path / "xsf").iterdir():
            n = 3 * read_xsf(path).n_atoms
            np.save(tmp_path / "h" / f"{path.stem}.npy", np.diag(np.arange(1.0, n + 1)))
        more["hessian"] = "h"
    text = (tmp_path / "generate.in").read_text().replace("mol.train", "new.train")
    block = taylor(strategy=strategy, delta=0.02, fraction=4, skip=0, outfile="copies.train", **more)
    (tmp_path / "generate.in").write_text(text.replace("SETUPS", f"{block}\n\nSETUPS"))
    succeed(tmp_path, "generate", "generate.in", "--write-xsf", "as-xsf")
    copies = read_trainset(tmp_path / "copies.train")
    moved_any = 0
    for name, path in zip(copies.names, sorted((tmp_path / "as-xsf").iterdir()), strict=True):
        parent = read_xsf(tmp_path / parse_copy_name(name).parent)
        length = np.linalg.norm(read_xsf(path).positions - parent.positions, axis=1)
        symbols, force = np.array(parent.symbols), np.linalg.norm(parent.forces, axis=1)
        allowed = {
            "species": np.isin(symbols, ["N", "O"]),
            "atoms": np.arange(len(symbols)) < 2,
            "forcemin": force >= 0.2,
            "delta_H": np.ones(len(symbols), dtype=bool),
        }[next(iter(options))]
        assert np.all(length[~allowed] < 1e-12) and np.all(length <= 0.02 + 1e-12)
        if "delta_H" in options:
            assert np.all(length[symbols == "H"] <= 0.004 + 1e-12)
        if "forcemax" in options:
            assert force.max() <= 50
        moved_any += int((length > 1e-12).sum() > 0)
    assert moved_any == copies.n_structures > 0


def test_orthogonal_copies_end_where_the_directions_do(tmp_path: Path) -> None:
    toy(tmp_path, 3, strategy="orthogonal", delta=0.02, fraction=40, rotations="remove")
    result = succeed(tmp_path, "generate", "generate.in", "--report", "r.json")
    assert "27 copies of 3 structures" in result.out  # 3 · (15 - 6)
    assert "there are no more independent displacements (120 copies wanted)" in result.out


@pytest.mark.parametrize("strategy", ALL)
def test_the_same_bytes_for_any_number_of_threads(strategy: str, tmp_path: Path) -> None:
    needs = {"hessian": "hessians"} if strategy == "modes" else {}
    toy(tmp_path, strategy=strategy, delta=0.02, fraction=6, seed=7, **needs)
    made = []
    for threads in ("1", "3"):
        succeed(tmp_path, "generate", "generate.in", "--force", "--threads", threads)
        made.append((tmp_path / "copies.train").read_bytes())
    assert made[0] == made[1]


def test_second_order_energies_are_much_better(tmp_path: Path) -> None:
    rms = {}
    for order in (1, 2):
        needs = {"hessian": "hessians"} if order == 2 else {}
        toy(tmp_path, strategy="random", delta=0.03, fraction=5, order=order, **needs)
        errors = [
            change - (morse(parent.positions + shift)[0] - morse(parent.positions)[0])
            for _, parent, shift, change in copies_of(tmp_path)
        ]
        rms[order] = np.sqrt(np.mean(np.square(errors)))
    assert rms[2] < 0.15 * rms[1]


def test_the_curvature_correction_is_reported_and_applied(tmp_path: Path) -> None:
    toy(tmp_path, 8, delta=0.03, fraction=10, curvature="Ar:4.5")
    result = succeed(tmp_path, "generate", "generate.in", "--report", "r.json")
    assert "mean force constants: Ar 4.5 eV/Å² (as given)" in result.out
    assert "bias" in result.out and "meV/atom, taken out by the correction" in result.out
    found = report(tmp_path, "generate", "generate.in", "--force")["taylor"]
    assert found["delta"] == {"Ar": 0.03} and found["curvature"] == {"Ar": 4.5}
    assert found["forecast"]["left"] == "corrected" and found["forecast"]["bias"] < 0 < found["forecast"]["error"]
    for _, parent, shift, change in copies_of(tmp_path):
        first = -(shift * parent.forces).sum()
        assert change - first == pytest.approx(0.5 * 4.5 * 15 / 12 * (shift**2).sum(), rel=1e-6)


@pytest.mark.parametrize("options", [{"curvature": "auto"}, {"delta": "auto"}, {"weights": "truncation"}], ids=str)
def test_without_any_source_of_curvature_the_message_says_what_to_give(options: dict, tmp_path: Path) -> None:
    toy(tmp_path, fraction=2, **options)
    complaint = run(tmp_path, "generate", "generate.in").complaint
    for word in ("temperature=", "potential=", "curvature="):
        assert word in complaint
    assert not (tmp_path / "toy.train").exists()


def test_delta_is_chosen_for_the_ratio_within_two_per_cent_of_the_bond(tmp_path: Path) -> None:
    toy(tmp_path, 8, delta="auto", fraction=10, temperature=2000, ratio=0.05)
    found = report(tmp_path, "generate", "generate.in")["taylor"]
    assert found["forecast"]["ratio"] == pytest.approx(0.05, rel=0.01)  # three digits of delta
    delta = found["delta"]["Ar"]
    assert {read.delta for read, *_ in copies_of(tmp_path)} == {delta}
    toy(tmp_path, 8, delta="auto", fraction=10, temperature=2000, ratio=30)
    result = succeed(tmp_path, "generate", "generate.in", "--force", "--report", "r.json")
    assert "at most 2 % of its shortest distance" in result.out
    shortest = min(
        np.linalg.norm(s[:, None] - s + 9 * np.eye(5)[..., None], axis=2).min()
        for s in (read_xsf(path).positions for path in (tmp_path / "xsf").iterdir())
    )
    (delta,) = {read.delta for read, *_ in copies_of(tmp_path)}
    assert delta == pytest.approx(0.02 * shortest, rel=0.01)


def test_weights_of_copies_are_in_their_names_and_training_takes_them(tmp_path: Path) -> None:
    toy(tmp_path, 8, delta=0.05, fraction=3, weights="truncation", temperature=1500)
    weights = [read.weight for read, *_ in copies_of(tmp_path)]
    assert all(0.0 < weight < 1.0 for weight in weights) and len(set(weights)) > 10
    (tmp_path / "train.in").write_text(train_in(iterations=2, taylorset="copies.train", testpercent=0))
    assert report(tmp_path, "train", "train.in")["n_copies"] == 24


def test_weights_of_copies_count_in_scaled_sets_too(tmp_path: Path) -> None:
    make_toy(tmp_path, 8, extra=taylor(delta=0.05, fraction=3, weights="truncation", temperature=1500))
    succeed(tmp_path, "generate", "generate.in", "--force", "--threads", "1")
    succeed(tmp_path, "convert", "--scaled", "--to", "binary", "toy.train", "scaled.train")

    def errors(trainingset: str) -> list[float]:
        (tmp_path / "train.in").write_text(
            train_in(trainingset=trainingset, iterations=20, testpercent=0, seed=1, threads=1, forces="mode=taylor")
        )
        return [epoch["train_rmse"] for epoch in report(tmp_path, "train", "train.in", "--fresh")["epochs"]]

    np.testing.assert_allclose(errors("scaled.train"), errors("toy.train"), rtol=1e-6)


def test_hessians_and_curvature_from_a_first_potential(tmp_path: Path) -> None:
    toy(tmp_path, 12, delta=0.02, fraction=2)
    succeed(tmp_path, "generate", "generate.in", "--threads", "1")
    (tmp_path / "train.in").write_text(train_in(iterations=60, seed=3))
    succeed(tmp_path, "train", "train.in")
    toy(tmp_path, 12, strategy="modes", delta=0.02, fraction=9, potential="Ar.nn", order=2)
    made = copies_of(tmp_path)
    assert len(made) == 12 * 9
    seconds = [change + (shift * parent.forces).sum() for _, parent, shift, change in made]
    assert np.std(seconds) > 1e-5  # ½ k A²
    toy(tmp_path, 12, delta=0.02, fraction=2, potential="Ar.nn", curvature="auto")
    result = run(tmp_path, "generate", "generate.in", "--force", "--threads", "1")
    assert "Hessian of a first potential" in result.out + result.err
    toy(tmp_path, 12, delta=0.02, fraction=2, potential="none.nn", curvature="auto")
    assert "none.nn" in run(tmp_path, "generate", "generate.in", "--force").complaint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hessian": "nowhere", "order": 2}, "no such file or folder: found 'nowhere'"),
        ({"hessian": "xsf", "order": 2}, "no Hessian for a structure: found 'xsf/00.xsf', expected a file 00.npy"),
        ({"hessian": "small.npy", "order": 2}, "small.npy: Hessian of shape (3, 3), expected (15, 15) for 5 atoms"),
    ],
)
def test_missing_and_unfit_hessians(options: dict, words: str, tmp_path: Path) -> None:
    toy(tmp_path, delta=0.02, fraction=2, **options)
    np.save(tmp_path / "small.npy", np.eye(3))
    assert words in run(tmp_path, "generate", "generate.in").complaint
    assert not list(tmp_path.glob("*.train"))


# --- strain ------------------------------------------------------------------------------------------------


def test_strained_copies_are_described_as_they_are(tmp_path: Path) -> None:
    parents = make_crystals(tmp_path, strain=0.01, fraction=5)
    found = report(tmp_path, "generate", "generate.in", "--write-xsf", "as-xsf", "--threads", "1")
    assert (found["copies"], found["skipped"]) == (10, 2)
    assert found["skipped_by_reason"] == {"without a stress": 1, "near-zero stress": 1}
    assert found["taylor"]["strain"] == 0.01 and found["taylor"]["signal"] > 0
    copies = read_trainset(tmp_path / "copies.train")
    for name, path, energy in zip(copies.names, sorted((tmp_path / "as-xsf").iterdir()), copies.energy, strict=True):
        read, copy = parse_copy_name(name), read_xsf(path)
        parent = parents[int(read.parent[1])]
        strain = np.linalg.solve(parent.cell, copy.cell) - np.eye(3)
        np.testing.assert_allclose(strain, strain.T, atol=1e-12)
        assert read.is_strained and 0 < np.linalg.norm(strain) <= 0.01
        work = parent.volume * (strain * parent.stress).sum()
        assert energy - (parent.energy + 20.0) == pytest.approx(work, abs=1e-10)
    # The descriptors are those of the strained cells: generate gives the same from the XSF files
    (tmp_path / "again.in").write_text(generate_in(("Ar",), ["as-xsf/*.xsf"], output="again.train"))
    succeed(tmp_path, "generate", "again.in")
    again = read_trainset(tmp_path / "again.train")
    scale = np.abs(copies.descriptors).max()
    np.testing.assert_allclose(again.descriptors, copies.descriptors, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(again.energy, copies.energy, atol=1e-9)
    before = (tmp_path / "copies.train").read_bytes()
    succeed(tmp_path, "generate", "generate.in", "--force", "--threads", "3")
    assert (tmp_path / "copies.train").read_bytes() == before


def test_info_knows_strained_copies(tmp_path: Path) -> None:
    make_crystals(tmp_path, fraction=3, skip=0)
    succeed(tmp_path, "generate", "generate.in")
    out = succeed(tmp_path, "info", "copies.train").out
    assert "9 copies strain, up to 0.005\n" in out


def test_isolated_structures_get_no_strained_copies(tmp_path: Path) -> None:
    make_toy(tmp_path, 3, extra=taylor(strategy="strain", fraction=3))
    found = report(tmp_path, "generate", "generate.in")
    assert found["copies"] == 0 and found["skipped_by_reason"] == {"no cell that is periodic in all directions": 3}


def test_a_periodic_cluster_keeps_its_rotations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cluster = replace(morse_cluster(rng, 5, name="p.xsf"), cell=30.0 * np.eye(3), pbc=(True,) * 3)
    write_xsf(tmp_path / "p.xsf", cluster)
    write_setups(tmp_path, ("Ar",))
    (tmp_path / "generate.in").write_text(
        generate_in(
            ("Ar",), ["p.xsf"], extra=taylor(strategy="orthogonal", rotations="remove", delta=0.01, fraction=50)
        )
    )
    assert report(tmp_path, "generate", "generate.in")["copies"] == 12  # 3N - 3
