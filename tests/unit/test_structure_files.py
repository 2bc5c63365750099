"""Lists of files, and structures from XSF and through ASE."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taylorfit.errors import FormatError, InputError, TaylorfitError
from taylorfit.formats.structures.files import expand_patterns, read_files, read_structures
from taylorfit.model.structure import Structure

XSF = "# total energy = -5.0 eV\n\nATOMS\nO 0 0 0 1.0 0 0\nH 1 0 0 -1.0 0 0\n"


def frame(energy: str = "energy=-5.0", columns: str = "forces:R:3", x: str = "1.0") -> str:
    return (
        f'2\nLattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3:{columns} {energy} '
        f'pbc="T T T"\nO 0 0 0 1.0 0 0\nH {x} 0 0 -1.0 0 0\n'
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("s10", "s2", "s1"):
        (tmp_path / f"{name}.xsf").write_text(XSF)
    (tmp_path / "sub.xsf").mkdir()
    (tmp_path / "run3").mkdir()
    (tmp_path / "run3" / "a.xsf").write_text(XSF)
    return tmp_path


def expanded(folder: Path, *entries, **options) -> list[str]:
    files = expand_patterns(entries, folder, **options)
    return [Path(file).relative_to(folder).as_posix() for file in files]


def test_patterns_are_expanded_in_natural_order_and_without_directories(folder):
    assert expanded(folder, "s*.xsf") == ["s1.xsf", "s2.xsf", "s10.xsf"]
    assert expanded(folder, "**/a.xsf") == ["run3/a.xsf"]
    assert expanded(folder, ("s[12].xsf", 7)) == ["s1.xsf", "s2.xsf"]


def test_order_of_entries_is_kept_and_patterns_repeat_nothing(folder):
    assert expanded(folder, "s2.xsf", "s*.xsf", "s1*") == ["s2.xsf", "s1.xsf", "s10.xsf"]
    assert expanded(folder, "s*.xsf", "s2.xsf") == ["s1.xsf", "s10.xsf", "s2.xsf"]
    assert expanded(folder, "s2.xsf", "s2.xsf") == ["s2.xsf", "s2.xsf"]


def test_existing_names_with_special_characters_are_taken_literally(folder):
    for name in ("a[1].xsf", "b@3", "c*"):
        (folder / name).write_text(XSF)
        assert expanded(folder, name) == [name]
        assert [s.n_atoms for s in read_structures(folder / name)] == [2]


def test_selections_are_kept_on_every_path(folder):
    assert expanded(folder, "s1*@0") == ["s1.xsf@0", "s10.xsf@0"]


def test_relative_paths_stay_short(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert expand_patterns(["./s1.xsf", "run*/a.xsf"]) == ["s1.xsf", "run3/a.xsf"]


@pytest.mark.parametrize(
    "entry, message",
    [
        ("none.xsf", "no such file"),
        ("none@3", "no such file"),
        ("x*.xsf", "matches no file"),
        ("sub*", "matches no file"),
        ("run3", "is a directory"),
        (" ", "empty file name"),
        ("a\0b", "no such file"),
        ("a\0b*", "matches no file"),
        ("n" * 5000, "no such file"),
    ],
)
def test_entries_without_files_are_refused_with_their_line(folder, entry, message):
    with pytest.raises(InputError, match=message) as caught:
        expand_patterns([("s1.xsf", 3), (entry, 4)], folder, listed_in="generate.in")
    assert str(caught.value).startswith("generate.in, line 4: ")


def test_all_entries_are_checked_before_the_first_file_is_read(folder):
    with pytest.raises(InputError, match="no such file"):
        read_files([str(folder / "s1.xsf"), str(folder / "none.xsf")])


def test_files_are_read_in_order_under_their_paths(folder):
    names = [s.name for s in read_files([str(folder / "s*.xsf")])]
    assert names == [str(folder / f"s{i}.xsf") for i in (1, 2, 10)]


def test_xsf_is_recognised_by_content_and_never_read_by_ase(tmp_path):
    for name in ("a.XSF", "b.dat", "c", "d.xyz"):
        (tmp_path / name).write_text(XSF)
        (structure,) = read_structures(tmp_path / name)
        assert structure.energy == -5.0
        assert structure.forces[0, 0] == 1.0


def test_frames_of_extxyz_are_numbered_from_zero(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text(frame() + frame("energy=-6.0"))
    first, second = read_structures(path, require_energy=True, require_forces=True)
    assert (first.name, second.name) == (f"{path}#0", f"{path}#1")
    assert (first.energy, second.energy) == (-5.0, -6.0)
    assert first.symbols == ("O", "H")
    assert first.pbc == (True, True, True)
    np.testing.assert_array_equal(first.cell, np.diag([4.0, 5.0, 6.0]))
    np.testing.assert_array_equal(first.forces, [[1, 0, 0], [-1, 0, 0]])


def test_single_frame_has_the_name_of_its_file(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text(frame())
    assert [s.name for s in read_structures(path)] == [str(path)]


@pytest.mark.parametrize(
    "selection, numbers",
    [
        ("@2", [2]),
        ("@-1", [4]),
        ("@:", [0, 1, 2, 3, 4]),
        ("@1:3", [1, 2]),
        ("@::2", [0, 2, 4]),
        ("@-2:", [3, 4]),
        ("@::-2", [4, 2, 0]),
        ("@3::", [3, 4]),
    ],
)
def test_selection_picks_frames_and_keeps_their_numbers(tmp_path, selection, numbers):
    path = tmp_path / "a.extxyz"
    path.write_text("".join(frame(f"energy={i}.0") for i in range(5)))
    read = list(read_structures(f"{path}{selection}"))
    assert [s.energy for s in read] == numbers
    assert [s.name for s in read] == [f"{path}#{i}" for i in numbers]


@pytest.mark.parametrize("selection", ["@5", "@-6", "@7:", "@::0"])
def test_empty_selection_is_refused(tmp_path, selection):
    path = tmp_path / "a.extxyz"
    path.write_text(frame() * 5)
    with pytest.raises(InputError, match="no frame selected|step of zero"):
        list(read_structures(f"{path}{selection}"))


def test_selection_on_xsf_knows_one_frame(folder):
    assert len(list(read_structures(f"{folder / 's1.xsf'}@-1"))) == 1
    with pytest.raises(InputError, match="no frame selected"):
        list(read_structures(f"{folder / 's1.xsf'}@1"))


def test_free_energy_is_preferred_unless_asked_otherwise(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text(frame("energy=-5.0 free_energy=-5.5"))
    assert next(read_structures(path)).energy == -5.5
    assert next(read_structures(path, force_consistent=False)).energy == -5.0
    path.write_text(frame("free_energy=-5.5"))
    assert next(read_structures(path, force_consistent=False)).energy == -5.5


@pytest.mark.parametrize(
    ("energy", "forces"),
    [
        ("Energy=-5.0", "force"),
        ("TOTAL_ENERGY=-5.0", "Forces"),
        ("REF_energy=-5.0", "REF_forces"),
        ("dft_energy=-5.0", "dft_force"),
        ("Free_Energy=-5.0", "FORCES"),
        ("REF_ENERGY_eV=-5.0", "REF_Forces"),
        ("pbe_energy=-5.0", "pbe_forces"),
        ("energy_scan=-5.0", "forces_scan"),
    ],
)
def test_energies_and_forces_under_other_names_are_found(tmp_path, energy, forces):
    path = tmp_path / "a.extxyz"
    path.write_text(frame(energy, f"{forces}:R:3"))
    structure = next(read_structures(path, require_energy=True, require_forces=True))
    assert structure.energy == -5.0
    assert structure.forces[1, 0] == -1.0


@pytest.mark.parametrize("kind", ["extxyz", "traj"])
def test_constraints_do_not_change_the_forces(tmp_path, kind):
    ase = pytest.importorskip("ase")
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms
    from ase.io import write

    atoms = ase.Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=[4, 5, 6], pbc=True)
    if kind == "extxyz":
        path = tmp_path / "a.extxyz"
        path.write_text(frame(columns="forces:R:3:move_mask:L:1").replace(" 0 0\n", " 0 0 F\n"))
    else:
        path = tmp_path / "a.traj"
        forces = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
        atoms.calc = SinglePointCalculator(atoms, energy=-5.0, forces=forces, stress=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        atoms.set_constraint(FixAtoms([0, 1]))
        write(path, atoms)
    structure = next(read_structures(path))
    np.testing.assert_array_equal(structure.forces, [[1, 0, 0], [-1, 0, 0]])
    if kind == "traj":
        np.testing.assert_array_equal(structure.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


@pytest.mark.parametrize(
    ("key", "factor"), [("stress", 1.0), ("REF_stress", 1.0), ("virial", -120.0), ("dft_virial", -120.0)]
)
def test_stress_and_virial_of_extxyz(key, factor, tmp_path):
    pytest.importorskip("ase")
    stress = np.array([[0.01, 0.02, 0.03], [0.02, -0.04, 0.05], [0.03, 0.05, 0.06]])
    numbers = " ".join(map(str, (factor * stress).ravel()))
    prefix = key.replace("stress", "").replace("virial", "")
    (tmp_path / "a.extxyz").write_text(frame(f'{prefix}energy=-1.0 {key}="{numbers}"', f"{prefix}forces:R:3"))
    structure = next(read_structures(tmp_path / "a.extxyz"))
    assert structure.volume == pytest.approx(120.0)
    np.testing.assert_allclose(structure.stress, stress, rtol=1e-12)


def test_a_virial_without_a_cell_is_no_stress(tmp_path):
    ase = pytest.importorskip("ase")
    molecule = ase.Atoms("OH", [[0, 0, 0], [1, 0, 0]], info={"virial": np.eye(3)})
    assert Structure.from_ase(molecule).stress is None


def test_vasp_output_has_the_energy_that_its_forces_derive_from():
    ase_test = pytest.importorskip("ase.test")
    path = Path(ase_test.__file__).parent / "testdata/vasp/OUTCAR_example_1"
    if not path.exists():
        pytest.skip(f"this ASE comes without {path.name}")
    (structure,) = read_structures(path, require_energy=True, require_forces=True)
    assert f"free  energy   TOTEN  = {structure.energy:18.8f} eV" in path.read_text()
    assert structure.stress.shape == (3, 3)


DAMAGED = {
    "no energy": (frame("a=1"), "no energy"),
    "energy without value": (frame("energy"), "energy not numeric"),
    "energy of words": (frame("energy=low"), "energy not numeric"),
    "NaN energy": (frame("energy=nan"), "energy not finite"),
    "no forces": (frame(columns="other:R:3"), "no forces"),
    "NaN position": (frame(x="nan"), "positions of atom 2 not finite"),
    "infinite force": (frame().replace("-1.0", "inf"), "forces of atom 2 not finite"),
    "stars": (frame(x="*****"), "line 4: position of atom 2 was lost to Fortran overflow"),
    "flat cell": (frame().replace("0 0 6", "0 0 0"), "lattice vectors are zero"),
    "cut in the last line": (frame()[:-6], "line 4: atom 2 has 5 columns"),
    "missing atom line": (frame().rsplit("H", 1)[0], "line 1: truncated frame: 1 of 2 atoms"),
    "cut second frame": (frame() + "2\n", "line 5: truncated frame: 0 of 2 atoms"),
    "blank line between": (frame() + "\n" + frame(), "line 5: blank line between frames"),
    "giant number of atoms": ("999999999\n\n", "truncated frame"),
    "empty": ("", "no structures|Empty file"),
    "no count": ("hello\n", "line 1: no number of atoms"),
    "no atoms": ("0\n\n", "no atoms"),
    "unknown element": (frame().replace("\nH", "\nQq"), "line 4: unknown element of atom 2"),
}


@pytest.mark.parametrize("text, message", DAMAGED.values(), ids=DAMAGED)
def test_damaged_extxyz_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.extxyz"
    path.write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        list(read_structures(path, require_energy=True, require_forces=True))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_errors_name_the_frame(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text(frame() * 2 + frame("energy=nan"))
    with pytest.raises(FormatError, match=r"a\.extxyz#2, line 10: energy not finite"):
        list(read_structures(path))


@pytest.mark.parametrize(
    "name",
    [
        "a.bin",
        "OUTCAR",
        "vasprun.xml",
        "a.traj",
        "a.json",
        "a.xsf",
        "a.extxyz.gz",
        "a.cif",
        "postgres.xyz",
        "a.nc",
        "a.xsf.gz",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\0\1\2\xff" * 50, b"garbage\n" * 9], ids=["empty", "binary", "text"])
def test_garbage_of_any_name_is_an_error_of_ours(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TaylorfitError):
        list(read_structures(path))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_extxyz_gives_structures_or_an_error_of_ours(tmp_path, data):
    content = bytearray((frame() * 2).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 15))] = data.draw(
            st.sampled_from([b"", b"\n", b" ", b"*", b"9", b"-", b"nan", b"=", b'"', b"\xff", b"\0", b":", b"{"])
        )
    path = tmp_path / "mutated.extxyz"
    path.write_bytes(content)
    try:
        for structure in read_structures(path):
            assert np.isfinite(structure.positions).all()
    except TaylorfitError as error:
        assert str(error)


def test_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        next(read_structures(tmp_path / "none.extxyz"))


def test_ase_is_not_imported_for_xsf(folder):
    code = (
        "import sys; from taylorfit.formats.structures.files import read_structures;"
        f"assert len(list(read_structures({str(folder / 's1.xsf')!r}))) == 1;"
        "assert not any(name.split('.')[0] == 'ase' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_of_extended_xyz_are_read_and_written_back(tmp_path):
    from taylorfit.formats.structures.extxyz import write_extxyz

    structure = Structure(
        ("H", "O"), np.eye(2, 3), energy=-1.0, forces=np.ones((2, 3)), weight=0.5, force_weights=np.array([0.0, 3.25])
    )
    write_extxyz(tmp_path / "a.extxyz", [structure])
    again = next(iter(read_structures(tmp_path / "a.extxyz")))
    assert again.weight == 0.5
    np.testing.assert_array_equal(again.force_weights, [0.0, 3.25])
