"""`convert`: both ways, to the byte where the format allows it, by content and not by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cli_support import GOLDEN, run
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.files import read_structures
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.structure import Structure
from taylorfit.training.pack import Scaling

SETS = ("mono/mono.train", "cluster/four_species/mol.train")


def test_training_set_to_text_and_back(tmp_path: Path) -> None:
    for name in SETS:
        # Names that say nothing
        shutil.copyfile(GOLDEN / name, tmp_path / "one")
        assert run(tmp_path, "convert", "one", "two", "--force").code == 0
        assert run(tmp_path, "convert", "two", "three", "--force").code == 0
        assert (tmp_path / "three").read_bytes() == (GOLDEN / name).read_bytes()


def test_potential_to_text_and_back(tmp_path: Path) -> None:
    assert run(tmp_path, "convert", str(GOLDEN / "mono/Si.nn"), "Si.txt").code == 0
    assert (tmp_path / "Si.txt").read_bytes() == (GOLDEN / "mono/Si.nn.ascii").read_bytes()
    assert run(tmp_path, "convert", "Si.txt", "Si.nn").code == 0
    found, expected = read_potential(tmp_path / "Si.nn"), read_potential(GOLDEN / "mono/Si.nn")
    np.testing.assert_array_equal(found.network.weights, expected.network.weights)
    np.testing.assert_array_equal(found.setup.statistics.mean_square, expected.setup.statistics.mean_square)


def test_text_of_the_dialect_without_setups(tmp_path: Path) -> None:
    result = run(tmp_path, "convert", "--to", "trnset2ascii", str(GOLDEN / SETS[1]), "mol.txt")
    assert result.code == 0 and "setups are not written" in result.out
    assert run(tmp_path, "convert", "mol.txt", "mol.train").code == 0
    found, expected = read_trainset(tmp_path / "mol.train"), read_trainset(GOLDEN / SETS[1])
    assert found.setups is None and found.names == expected.names
    np.testing.assert_array_equal(found.descriptors, expected.descriptors)
    assert run(tmp_path, "convert", "--scaled", "mol.train", "x").complaint


def test_scaled_set_is_what_trains(tmp_path: Path) -> None:
    assert run(tmp_path, "convert", "--scaled", "--to", "binary", str(GOLDEN / SETS[1]), "mol.train.scaled").code == 0
    raw, scaled = read_trainset(GOLDEN / SETS[1]), read_trainset(tmp_path / "mol.train.scaled")
    scaling = Scaling.of(raw)
    assert scaled.normalised and scaled.scale == scaling.energy_scale
    np.testing.assert_array_equal(scaled.energy, scaling.energies(raw))
    np.testing.assert_allclose(scaled.forces, raw.forces * scaled.scale)
    per_atom = scaled.energy / scaled.n_atoms
    assert (per_atom.min(), per_atom.max()) == (scaled.energy_min, scaled.energy_max)
    assert per_atom.min() == pytest.approx(-1) and per_atom.max() == pytest.approx(1)
    for species in range(len(raw.species)):
        atoms = np.flatnonzero(raw.atom_species == species)
        values = np.array([scaled.descriptors[scaled.first_value[a] : scaled.first_value[a + 1]] for a in atoms])
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(values.std(axis=0).round(6) % 1, 0, atol=1e-5)  # 1, or 0 for constants
    assert "scaled already" in run(tmp_path, "convert", "--scaled", "mol.train.scaled", "x").complaint


def test_scaled_statistics_are_those_train_x_recorded(shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden" / "run"
    assert run(tmp_path, "convert", "--scaled", "--to", "binary", str(folder / "small.train"), "s.train").code == 0
    info, scaled = read_potential(folder / "Ti.nn").info, read_trainset(tmp_path / "s.train")
    assert (scaled.scale, scaled.shift) == (info.scale, info.shift)
    assert scaled.energy_mean == pytest.approx(info.energy_mean, rel=1e-12)
    assert (scaled.energy_min, scaled.energy_max) == pytest.approx((info.energy_min, info.energy_max), rel=1e-15)


def periodic(name: str = "") -> Structure:
    rng = np.random.default_rng(5)
    return Structure(
        ("Ti", "O", "O"),
        rng.normal(size=(3, 3)),
        rng.normal(size=(3, 3)) + 5 * np.eye(3),
        (True, True, True),
        -1234.5678901234567,
        rng.normal(size=(3, 3)),
        name=name,
    )


def same(a: Structure, b: Structure) -> None:
    assert (a.symbols, a.pbc, a.energy, a.cohesive_energy) == (b.symbols, b.pbc, b.energy, b.cohesive_energy)
    for what in ("positions", "cell", "forces"):
        np.testing.assert_array_equal(getattr(a, what), getattr(b, what))


def test_structures_keep_every_digit(tmp_path: Path) -> None:
    originals = [
        periodic(),
        Structure(
            ("H", "H"),
            np.array([[0, 0, 0.1], [0, 0, 1 / 3]]),
            energy=-1 / 7,
            forces=np.full((2, 3), 1e-17),
            cohesive_energy=-0.1,
        ),
    ]
    for number, structure in enumerate(originals):
        write_xsf(tmp_path / f"s{number}.xsf", structure)
    assert run(tmp_path, "convert", "s*.xsf", "all.extxyz").code == 0
    result = run(tmp_path, "convert", "all.extxyz", "frames/t*.xsf")
    assert result.code == 0 and "2 files written" in result.out
    for number, structure in enumerate(originals):
        same(read_xsf(tmp_path / f"frames/t{number + 1:06d}.xsf"), structure)
        assert (tmp_path / f"frames/t{number + 1:06d}.xsf").read_bytes() == (tmp_path / f"s{number}.xsf").read_bytes()


def test_frames_into_a_folder_and_one_file(tmp_path: Path) -> None:
    for number in range(3):
        write_xsf(tmp_path / f"s{number}.xsf", periodic())
    assert run(tmp_path, "convert", "s0.xsf", "s1.xsf", "s2.xsf", "all.xyz").code == 0
    assert run(tmp_path, "convert", "all.xyz", "out").code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"all-{k:06d}.xsf" for k in range(3)]
    assert run(tmp_path, "convert", "all.xyz@1", "one.xsf").code == 0
    assert "more than one" in run(tmp_path, "convert", "all.xyz", "two.xsf").complaint
    assert not (tmp_path / "two.xsf").exists()
    assert "output exists" in run(tmp_path, "convert", "all.xyz@1", "one.xsf").complaint
    assert run(tmp_path, "convert", "--force", "all.xyz@2", "one.xsf").code == 0


def test_what_xsf_cannot_hold_is_said(tmp_path: Path) -> None:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.75]], cell=[5, 5, 5], pbc=[True, True, False])
    atoms.calc = SinglePointCalculator(atoms, stress=np.ones(6))
    write(tmp_path / "slab.extxyz", atoms)
    result = run(tmp_path, "convert", "slab.extxyz", "slab.xsf")
    assert result.code == 0
    for words in ("one or two directions", "no energy"):
        assert words in result.out
    np.testing.assert_array_equal(read_xsf(tmp_path / "slab.xsf").stress, np.ones((3, 3)))
    assert read_xsf(tmp_path / "slab.xsf").pbc == (True, True, False)
    assert run(tmp_path, "convert", "slab.extxyz", "slab2.extxyz").code == 0
    (back,), (first,) = read_structures(tmp_path / "slab2.extxyz"), read_structures(tmp_path / "slab.extxyz")
    np.testing.assert_array_equal(back.stress, first.stress)
    assert back.pbc == first.pbc


@pytest.mark.parametrize(
    "argv, words",
    [
        (("nothing", "x"), "no such file"),
        (("{mono}/mono.train", "x", "--to", "xsf"), "cannot become xsf"),
        (("{mono}/Si.nn", "x", "--to", "trnset2ascii"), "cannot become"),
        (("{mono}/Si.nn", "x", "--scaled"), "--scaled"),
        (("{mono}/Si.nn", "{mono}/Si.nn", "x"), "alone"),
        (("{mono}/Si.fingerprint.stp", "x"), "no other form"),
        (("{mono}/xsf/mono01.xsf", "x", "--to", "binary"), "cannot become binary"),
        (("empty", "x"), "empty file"),
        (("copy.train", "copy.train", "--force"), "same file"),
    ],
)
def test_what_cannot_be_converted(argv: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    shutil.copyfile(GOLDEN / "mono/mono.train", tmp_path / "copy.train")
    before = sorted(tmp_path.iterdir())
    assert words in run(tmp_path, "convert", *(a.format(mono=GOLDEN / "mono") for a in argv)).complaint
    assert sorted(tmp_path.iterdir()) == before


def test_existing_output_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    for name in ("mono.train", "Si.nn", "Si.nn.ascii"):
        assert "output exists" in run(tmp_path, "convert", str(GOLDEN / "mono" / name), "x").complaint
    assert (tmp_path / "x").read_text() == "mine"
