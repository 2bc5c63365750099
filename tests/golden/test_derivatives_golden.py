"""Descriptor derivatives: files of the real ænet read and written again, and the engine's against them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from taylorfit.commands.cli import main
from taylorfit.engine import DescriptorTables
from taylorfit.engine.derivatives import descriptor_derivatives
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.derivatives_file import DerivativesWriter, read_derivatives
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.structures.xsf import read_xsf
from taylorfit.generation.descriptor_derivatives import choose_structures
from taylorfit.model.descriptor import AtomDerivatives, StructureDerivatives

SPECIES = ("Ti", "O")
LOCAL = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture(params=["chebyshev", "behler"])
def folder(request: pytest.FixtureRequest, shared: Path) -> Path:
    return shared / "golden" / "derivs" / request.param


def tables_of(folder: Path, species: Sequence[str] = SPECIES) -> DescriptorTables:
    setups = [read_setup(folder / f"{symbol}.fingerprint.stp") for symbol in species]
    try:
        return DescriptorTables.from_setups(species, setups)
    except InputError as error:
        pytest.skip(f"basis {setups[0].basis} is not in the engine: {error}")


def write(path: Path, structures: Sequence[StructureDerivatives]) -> None:
    with DerivativesWriter(path, len(structures)) as writer:
        for s in structures:
            writer.add(s.name, s.n_atoms, s.n_species_in, s.atoms)


def sum_images(atom: AtomDerivatives, n_atoms: int) -> np.ndarray:
    """(n_atom, n_feature, 3): the order of the images does not matter any more"""
    total = np.zeros((n_atoms, *atom.own.shape))
    np.add.at(total, atom.neighbours, atom.images)
    return total


def test_derivatives_file_is_read_as_an_independent_parser_does(folder: Path) -> None:
    expected = np.load(folder / "derivatives.npz")
    structures = list(read_derivatives(folder / "d.train.forces"))
    seen = {"max_nnb"}
    for s, structure in enumerate(structures, start=1):
        assert len(structure.atoms) == structure.n_atoms
        for a, atom in enumerate(structure.atoms, start=1):
            key = f"s{s}_a{a}_"
            assert atom.species + 1 == expected[key + "type"]
            np.testing.assert_array_equal(atom.neighbours + 1, expected[key + "nblist"])
            np.testing.assert_array_equal(atom.own, expected[key + "dGi"])
            np.testing.assert_array_equal(atom.images, expected[key + "dGj"])
            seen |= {key + part for part in ("type", "nblist", "dGi", "dGj")}
    assert seen == set(expected.files)


def test_rewritten_derivatives_file_is_identical(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", list(read_derivatives(folder / "d.train.forces")))
    assert (tmp_path / "again").read_bytes() == (folder / "d.train.forces").read_bytes()


def test_derivatives_equal_those_of_aenet(folder: Path) -> None:
    tables = tables_of(folder)
    for expected in read_derivatives(folder / "d.train.forces"):
        structure = read_xsf(folder / expected.name)
        found = list(descriptor_derivatives(structure, tables, threads=2))
        assert len(found) == expected.n_atoms
        for ours, theirs in zip(found, expected.atoms):
            assert ours.species == theirs.species
            assert sorted(ours.neighbours) == sorted(theirs.neighbours)
            wanted = sum_images(theirs, structure.n_atoms)
            tolerance = 1e-12 * max(np.abs(wanted).max(), np.abs(theirs.own).max())
            np.testing.assert_allclose(sum_images(ours, structure.n_atoms), wanted, rtol=0, atol=tolerance)
            np.testing.assert_allclose(ours.own, theirs.own, rtol=0, atol=tolerance)


def test_generate_with_forces_writes_the_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables_of(folder)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    (tmp_path / "d.train.forces").unlink()
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "generate.in"]) == 0
    found, expected = (list(read_derivatives(f / "d.train.forces")) for f in (tmp_path, folder))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.name, ours.n_atoms, ours.n_species_in) == (theirs.name, theirs.n_atoms, theirs.n_species_in)
        for a, b in zip(ours.atoms, theirs.atoms, strict=True):
            np.testing.assert_allclose(sum_images(a, ours.n_atoms), sum_images(b, ours.n_atoms), atol=1e-9)


GENERATE = """OUTPUT t.train
TYPES
1
Si -100.0
SETUPS
Si {folder}/Si.fingerprint.stp
{keywords}
FILES
1
{folder}/xsf/*.xsf
"""


@pytest.mark.parametrize(
    "keywords, with_derivatives, n_entries",
    [
        ("FORCES", 5, 5),
        ("FORCES\nFORCESPERCENT 50", 3, 5),
        ("FORCES\nFORCESPERCENT 0", 0, 5),
        ("DERIVATIVES\nmethod=analytical", 5, 5),
        ("FORCES\nDERIVATIVES\nmethod=taylor delta=0.01 fraction=2 skip=0", 5, 15),
        ("FORCES\nDERIVATIVES\nmethod=taylor delta=0.01 fraction=2 skip=0 outfile=c.train", 5, 5),
    ],
)
def test_forces_keywords(
    keywords: str, with_derivatives: int, n_entries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.in").write_text(GENERATE.format(folder=LOCAL / "mono", keywords=keywords))
    assert main(["generate", "g.in"]) == 0
    entries = list(read_derivatives("t.train.forces"))
    assert len(entries) == n_entries
    assert [entry.name for entry in entries] == read_trainset("t.train").names
    chosen = [entry for entry in entries if entry.atoms is not None]
    assert len(chosen) == with_derivatives and not any("#taylor" in entry.name for entry in chosen)
    assert main(["generate", "g.in"]) == 2  # the files exist


def test_derivatives_of_a_local_set_are_those_of_differences(tmp_path: Path) -> None:
    from taylorfit.engine import describe

    tables = tables_of(LOCAL / "mono", ("Si",))
    structure = read_xsf(LOCAL / "mono/xsf/mono02.xsf")
    n, step = structure.n_atoms, 1e-5
    total = np.zeros((n, n, tables.setups[0].n_feature, 3))  # centre, moved atom
    for centre, atom in enumerate(descriptor_derivatives(structure, tables)):
        total[centre] = sum_images(atom, n)
        total[centre, centre] += atom.own
    shifts = np.zeros((n * 6, n, 3))
    for k in range(n * 3):
        shifts[2 * k : 2 * k + 2, k // 3, k % 3] = step, -step
    ((values, _),) = describe([structure], tables, [shifts])
    slopes = (values[0::2] - values[1::2]).reshape(n, 3, n, -1) / (2 * step)
    np.testing.assert_allclose(total, slopes.transpose(2, 0, 3, 1), atol=1e-7)


def test_choice_of_structures_is_seeded() -> None:
    first, again, other = (choose_structures(100, 20.5, seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert first.sum() == 21  # nint, half away from zero
    assert choose_structures(7, 100, 1).all() and not choose_structures(7, 0, 1).any()


def test_writer_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    atom = AtomDerivatives(0, np.zeros(1, np.int32), np.zeros((2, 3)), np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match="wrong number of structures"), DerivativesWriter(tmp_path / "x", 2) as writer:
        writer.add("a", 1, 1, [atom])
    with pytest.raises(InputError, match="derivatives of 1 atoms"), DerivativesWriter(tmp_path / "x", 1) as writer:
        writer.add("a", 2, 1, [atom])
    bad = AtomDerivatives(0, atom.neighbours, np.full((2, 3), np.nan), atom.images)
    with pytest.raises(InputError, match="not finite"), DerivativesWriter(tmp_path / "x", 1) as writer:
        writer.add("a", 1, 1, [bad])
    assert not list(tmp_path.iterdir())


def test_wrong_largest_number_of_neighbours_is_refused(tmp_path: Path) -> None:
    atom = AtomDerivatives(0, np.zeros(1, np.int32), np.zeros((2, 3)), np.zeros((1, 2, 3)))
    write(tmp_path / "x", [StructureDerivatives("a ", 1, 1, (atom,)), StructureDerivatives("b", 3, 1, None)])
    assert [s.name for s in read_derivatives(tmp_path / "x")] == ["a ", "b"]
    content = bytearray((tmp_path / "x").read_bytes())
    content[-8] = 2
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FormatError, match="largest number of neighbours"):
        list(read_derivatives(tmp_path / "x"))
