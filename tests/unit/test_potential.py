"""The potential of a system: files, copies, threads, and what does not belong together."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from calculator_cases import as_structure, random_atoms, write_member
from taylorfit import Calculator, InputError, Potential, Structure


@pytest.fixture(scope="module")
def structure() -> Structure:
    return as_structure(random_atoms())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_member(tmp_path_factory.mktemp("potential"), random_atoms())


@pytest.fixture
def potential(folder: Path) -> Potential:
    return Potential.load(folder)


def energy(potential: Potential, structure: Structure) -> float:
    return potential.evaluate([structure], threads=1)[0].energy


def test_a_folder_files_and_a_dict_are_the_same(folder: Path, potential: Potential, structure: Structure):
    files = {symbol: folder / f"{symbol}.nn" for symbol in ("H", "O")}
    assert potential.species == ("H", "O") and potential.files == tuple(map(str, files.values()))
    assert potential.cutoff == 4.0 and set(potential.atomic_energies) == {"H", "O"}
    for source in (list(files.values()), files):
        assert energy(Potential.load(source), structure) == energy(potential, structure)
    assert potential.evaluate(structure.to_ase(), threads=1)[0].energy == energy(potential, structure)


def test_what_is_saved_is_loaded_again(potential: Potential, structure: Structure, tmp_path: Path):
    paths = potential.save(tmp_path / "new" / "fit")
    assert paths == [tmp_path / "new" / "fit" / name for name in ("H.nn", "O.nn")]
    assert [path.read_bytes() for path in paths] == [Path(file).read_bytes() for file in potential.files]
    with pytest.raises(InputError, match="exists"):
        potential.save(tmp_path / "new" / "fit")
    assert potential.save(tmp_path / "new" / "fit", overwrite=True) == paths
    assert energy(Potential.load(paths), structure) == energy(potential, structure)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_say_the_same_and_cannot_be_changed(potential: Potential, structure: Structure, again):
    before = energy(potential, structure)
    copied = again(potential)
    assert energy(copied, structure) == before and copied.files == potential.files
    with pytest.raises(FrozenInstanceError):
        copied.parts = ()
    with pytest.raises(ValueError, match="read-only"):
        copied.parts[0].network.weights[0] = 1.0


def test_threads_share_a_potential(potential: Potential):
    structures = [as_structure(random_atoms(seed)) for seed in range(8)]
    expected = [energy(potential, structure) for structure in structures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda s: energy(copy.copy(potential), s), structures)) == expected
        assert list(pool.map(lambda s: energy(potential, s), structures)) == expected


def test_the_calculator_takes_a_potential(potential: Potential, folder: Path):
    found = []
    for source in (potential, folder):
        atoms = random_atoms()
        atoms.calc = Calculator(source, on_extrapolation="ignore", threads=1)
        found.append(atoms.get_forces())
    assert np.array_equal(*found)


def test_what_does_not_belong_together(potential: Potential, folder: Path, tmp_path: Path):
    h = potential.parts[0]
    for parts, message in (
        ((), "no potentials"),
        ((h, h), "second potential for H"),
        ((h,), "knows a neighbour without a potential"),
    ):
        with pytest.raises(InputError, match=message):
            Potential(parts)
    with pytest.raises(InputError, match="no potentials"):
        Potential.load(tmp_path)
    with pytest.raises(InputError, match="another species"):
        Potential.load({"O": folder / "H.nn", "H": folder / "O.nn"})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used as folder"):
        potential.save(tmp_path / "file")
