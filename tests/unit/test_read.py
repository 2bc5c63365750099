"""Reading structures from Python, and structures in memory: ours and ASE's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

import taylorfit as tfit
from cli_support import make_toy, morse_cluster
from taylorfit import FormatError, InputError, Structure
from taylorfit.formats.structures.extxyz import write_extxyz
from taylorfit.formats.structures.in_memory import as_structures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read")
    structures = make_toy(folder, 12)
    write_extxyz(folder / "frames.extxyz", structures)
    return folder


def full() -> Structure:
    """A structure in which everything is known."""
    rng = np.random.default_rng(0)
    stress = rng.normal(size=(3, 3))
    return Structure(
        ("Ar", "Ne"), rng.normal(size=(2, 3)), 5.0 * np.eye(3), (True, False, True), -3.0, rng.normal(size=(2, 3)),
        stress + stress.T, -1.5, 0.5, np.array([1.0, 0.0]), "here#3",
    )  # fmt: skip


def test_patterns_frames_and_selections(folder: Path):
    names = [structure.name for structure in tfit.read(folder / "xsf" / "*.xsf")]
    assert names == [str(folder / "xsf" / f"{k:02d}.xsf") for k in range(12)]
    frames = str(folder / "frames.extxyz")
    assert len(tfit.read([frames, folder / "xsf" / "00.xsf"])) == 13
    for index, expected in (("::5", [0, 5, 10]), (-1, [11]), (slice(2, 4), [2, 3]), (slice(None, None, -6), [11, 5])):
        assert [s.name for s in tfit.read(frames, index=index)] == [f"{frames}#{k}" for k in expected]
    # The selection of a path itself counts more
    assert [s.name for s in tfit.read(f"{frames}@1", index="::5")] == [f"{frames}#1"]


def test_structures_with_findings_are_left_out(folder: Path):
    files = [folder / "frames.extxyz", folder / "xsf" / "*.xsf"]
    assert len(tfit.read(files)) == 24
    assert [s.name for s in tfit.read(files, drop="duplicate")] == [s.name for s in tfit.read(files[0])]
    with pytest.raises(InputError, match="cannot be dropped"):
        tfit.read(files, drop=["duplicate", "ugly"])


def test_what_is_not_there_is_an_error(folder: Path):
    for wrong, message in ((folder / "none.xsf", "no such file"), (f"{folder}/*.cif", "matches no file")):
        with pytest.raises(InputError, match=message):
            tfit.read(wrong)
    with pytest.raises(InputError, match="no frame selected"):
        tfit.read(folder / "frames.extxyz", index="20:")


def test_to_ase_and_back_changes_nothing():
    structure = full()
    atoms = structure.to_ase()
    assert atoms.get_potential_energy() == -3.0 and np.array_equal(atoms.get_forces(), structure.forces)
    back = Structure.from_ase(atoms)
    for name, value in vars(structure).items():
        assert np.array_equal(getattr(back, name), value), name
    assert Structure.from_ase(atoms, name="there").name == "there"
    atoms.positions += 1.0
    assert not np.array_equal(back.positions, atoms.positions), "the arrays must not be shared"
    bare = Structure(("Ar",), np.zeros((1, 3)))
    assert bare.to_ase().calc is None and Structure.from_ase(bare.to_ase()).energy is None


def test_results_of_a_calculator_are_taken_without_constraints():
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]], calculator=EMT())
    assert Structure.from_ase(atoms).energy is None, "nothing is calculated"
    forces = atoms.get_forces()
    atoms.set_constraint(FixAtoms([0]))
    assert np.array_equal(Structure.from_ase(atoms).forces, forces)


def test_one_converter_for_all_kinds_of_structures():
    structure = full()
    for given in (structure, [structure], structure.to_ase(), (s for s in [structure.to_ase()])):
        (found,) = as_structures(given)
        assert found.name == "here#3" and np.array_equal(found.forces, structure.forces)
    for wrong in (None, 3, "a.xsf", [structure, "a.xsf"]):
        with pytest.raises(InputError, match="not a structure"):
            as_structures(wrong)
    assert as_structures([]) == []
    with pytest.raises(FormatError, match="no atoms"):
        as_structures(Atoms())


def test_structures_without_a_name_get_the_same_one_each_time():
    first, second = (replace(morse_cluster(np.random.default_rng(seed)), name="") for seed in (1, 2))
    names = [structure.name for structure in as_structures([first, second])]
    assert len(set(names)) == 2 and all(name.startswith("Ar5-") for name in names)
    assert [s.name for s in as_structures([second.to_ase(), first.to_ase()])] == names[::-1]


def test_the_hash_is_of_the_geometry_alone():
    structure = full()
    assert replace(structure, energy=7.0, forces=None, name="x").content_hash() == structure.content_hash()
    for change in (
        {"positions": structure.positions + 1e-12},
        {"cell": 6.0 * np.eye(3)},
        {"pbc": (True,) * 3},
        {"symbols": ("Ne", "Ar")},
    ):
        assert replace(structure, **change).content_hash() != structure.content_hash(), change
