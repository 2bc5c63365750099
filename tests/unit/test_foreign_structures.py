"""Structures in files of other trainers: VASP's ML_AB, rMD17's and sGDML's archives, DeePMD's folders, dpdata."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from file_cases import read_text
from taylorfit.errors import FormatError, InputError
from taylorfit.formats.structures.files import read_structures
from taylorfit.model.units import BOHR, HARTREE
from taylorfit.settings.reading import ReadingOptions

STAR, EQUAL, DASH = (50 * sign for sign in "*=-")


def section(title: str, *rows: str, end: str = EQUAL) -> str:
    return "\n".join([f"     {title}", DASH, *rows, end, ""])


def configuration(number: int, energy: float, types: tuple[str, ...] = ("     O     1", "     H_s     2")) -> str:
    """As VASP writes it."""
    vectors = ("8.0 0.0 0.0", "0.0 8.0 0.0", "0.0 0.0 9.0")
    atoms = ("0.0 0.0 0.0", "0.96 0.0 0.0", "-0.24 0.93 0.0")
    return (
        f"{STAR}\n     Configuration num. {number:6d}\n{EQUAL}\n"
        + section("System name", "water")
        + section("The number of atom types", "2")
        + section("The number of atoms", "3", end=STAR)
        + section("Atom types and atom numbers", *types)
        + section("CTIFOR", "  2.0E-003")
        + section("Primitive lattice vectors (ang.)", *vectors)
        + section("Atomic positions (ang.)", *atoms)
        + section("Total energy (eV)", f"  {energy}")
        + section("Forces (eV ang.^-1)", "0.1 0.2 0.3", "-0.1 0.0 0.0", "0.0 -0.2 -0.3")
        + section(
            "Stress (kbar)", DASH, "     XX YY ZZ", DASH, "1.0 2.0 3.0", DASH, "     XY YZ ZX", "0.0 0.0 0.0", end=STAR
        )
    )


ML_AB = f" 1.0 Version\n{STAR}\n     The number of configurations\n{DASH}\n     2\n" + "".join(
    configuration(k, -14.2 - 0.1 * k) for k in (1, 2)
)


def test_ml_ab_is_read_by_content(tmp_path: Path) -> None:
    structures, told = read_text(tmp_path, ML_AB, "ML_AB.old")
    assert [s.energy for s in structures] == pytest.approx([-14.3, -14.4])
    one = structures[0]
    assert one.symbols == ("O", "H", "H") and one.pbc == (True,) * 3 and one.cell[2, 2] == 9.0
    assert one.forces[2, 2] == -0.3 and one.positions[1, 0] == 0.96 and one.stress is None
    assert told == ["stresses of ML_AB are left out: their sign is not documented"]
    assert [s.name[-2:] for s in read_structures(f"{tmp_path / 'ML_AB.old'}@1")] == ["#1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.96 0.0 0.0", "0.96 0.0", "Atomic positions .*: not 3 numbers"),
        ("0.1 0.2 0.3", "0,1 0.2 0.3", "Forces .*: not 3 numbers"),
        ("     O     1", "     Qq    1", "not a type of atoms"),
        ("     O     1", "     O     99999999999", "not 3 numbers"),
        ("Total energy (eV)", "Energy", "without a section, expected Total energy"),
        ("-0.24 0.93 0.0\n", "-0.24 0.93 0.0\n1 1 1\n", "too many lines"),
        ("Configuration num.", "Conf", "no structures"),
    ],
)
def test_damaged_ml_ab_is_one_line_with_its_number(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_text(tmp_path, ML_AB.replace(old, new), "ML_AB")


# --- archives of molecules ---------------------------------------------------------------------

KCAL = 0.0433641
MOLECULE = {
    "nuclear_charges": np.array([8, 1, 1], dtype=np.uint8),
    "coords": np.arange(18.0).reshape(2, 3, 3),
    "energies": np.array([-100.0, -101.0]),
    "forces": np.ones((2, 3, 3)),
    "old_indices": np.array([3, 4]),
}


def test_archives_of_molecules_need_their_units(tmp_path: Path) -> None:
    path = tmp_path / "rmd17_water.npz"
    np.savez(path, **MOLECULE)
    with pytest.raises(InputError, match=r"does not say its units \(rMD17 has kcal/mol and Å\)"):
        next(read_structures(path))
    found = list(read_structures(path, ReadingOptions("kcal/mol Angstrom")))
    assert found[1].energy == pytest.approx(-101 * KCAL, rel=1e-6) and found[1].symbols == ("O", "H", "H")
    assert found[0].forces[0, 0] == pytest.approx(KCAL, rel=1e-6) and found[0].pbc == (False,) * 3
    np.testing.assert_allclose(found[1].positions, MOLECULE["coords"][1])


def test_an_archive_that_says_its_units_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "sgdml.npz"
    arrays = {"type": "d", "name": "w", "z": MOLECULE["nuclear_charges"], "R": MOLECULE["coords"]}
    arrays |= {"E": MOLECULE["energies"][:, None], "F": MOLECULE["forces"], "e_unit": "kcal/mol", "r_unit": "Ang"}
    np.savez(path, **arrays)
    assert next(read_structures(path)).energy == pytest.approx(-100 * KCAL, rel=1e-6)
    assert next(read_structures(path, ReadingOptions("kcal/mol Angstrom"))).energy == pytest.approx(-4.33641, rel=1e-6)
    with pytest.raises(FormatError, match="units other than asked for"):
        next(read_structures(path, ReadingOptions("eV Angstrom")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coords": np.zeros((2, 2, 3))}, "another shape"),
        ({"energies": np.zeros(3)}, "do not fit together"),
        ({"nuclear_charges": np.array([8, 1, 200])}, "do not fit together"),
        ({"forces": np.zeros((2, 9))}, "another shape"),
    ],
)
def test_archives_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "m.npz", **(MOLECULE | change))
    with pytest.raises(FormatError, match=message):
        next(read_structures(tmp_path / "m.npz", ReadingOptions("kcal/mol Angstrom")))
    content = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError):
        next(read_structures(tmp_path / "m.npz", ReadingOptions("kcal/mol Angstrom")))


# --- folders of DeePMD -------------------------------------------------------------------------


def deepmd(folder: Path) -> Path:
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("0\n1\n1\n")
    (folder / "type_map.raw").write_text("O\nH\n")
    for name, array in {
        "coord": np.arange(18.0).reshape(2, 9),
        "energy": np.array([-1.0, -2.0]),
        "force": np.ones((2, 9)),
        "box": np.tile(8.0 * np.eye(3).ravel(), (2, 1)),
        "virial": np.tile(np.eye(3).ravel(), (2, 1)),
    }.items():
        np.save(folder / "set.000" / f"{name}.npy", array.astype(np.float32))
    return folder / "set.000" / "coord.npy"


def test_a_folder_of_deepmd_is_read_by_its_coordinates(tmp_path: Path) -> None:
    path = deepmd(tmp_path / "water")
    found = list(read_structures(path))
    assert [s.energy for s in found] == [-1.0, -2.0] and found[0].symbols == ("O", "H", "H")
    assert found[1].positions[0, 0] == 9.0 and found[0].cell[0, 0] == 8.0 and found[0].forces[2, 2] == 1.0
    # ASE's sign: the stress of a positive virial is negative
    assert found[0].stress[0, 0] == pytest.approx(-1 / 512)
    (tmp_path / "water/nopbc").touch()
    (tmp_path / "water/set.000/virial.npy").unlink()
    assert next(read_structures(path)).pbc == (False,) * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("type_map.raw", "O\nXx\n", "no element"),
        ("type_map.raw", "O\n", "types without names"),
        ("type.raw", "0\n1\n", "another shape"),
        ("set.000/energy.npy", "x", "cannot be read"),
        ("set.000/force.npy", None, "cannot be read"),
    ],
)
def test_a_folder_of_deepmd_that_does_not_fit(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    path = deepmd(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        next(read_structures(path))


def test_other_arrays_of_a_folder_name_the_one_to_give(tmp_path: Path) -> None:
    deepmd(tmp_path)
    with pytest.raises(InputError, match="NumPy array.*expected of a folder .* its coord.npy"):
        next(read_structures(tmp_path / "set.000/energy.npy"))


# --- dpdata, where it is installed -------------------------------------------------------------

SIESTA = """Siesta Version  : 4.1.5
                           *  WELCOME TO SIESTA  *
redata: Number of Atomic Species                    =          2
Species number:            1  Label: O Atomic number:          8
Species number:            2  Label: H Atomic number:          1
initatomlists: Number of atoms, orbitals, and projectors:      3    23    34

outcoor: Atomic coordinates (Ang):
    0.00000000    0.00000000    0.00000000   1       1  O
    0.96000000    0.00000000    0.00000000   2       2  H
   -0.24000000    0.93000000    0.00000000   2       3  H

outcell: Unit cell vectors (Ang):
        8.000000    0.000000    0.000000
        0.000000    8.000000    0.000000
        0.000000    0.000000    8.000000

{mark}
siesta: E_KS(eV) =             -465.8161

siesta: Atomic forces (eV/Ang):
     1    0.100000    0.200000    0.300000
     2   -0.100000    0.000000    0.000000
     3    0.000000   -0.200000   -0.300000

siesta: Stress tensor (static) (eV/Ang**3):
siesta:     0.001000    0.000000    0.000000
siesta:     0.000000    0.001000    0.000000
siesta:     0.000000    0.000000    0.001000
"""


@pytest.mark.parametrize(
    ("mark", "converged"),
    [
        ("SCF cycle converged after 16 iterations", True),
        ("SCF_NOT_CONV: SCF did not converge  in maximum number of steps.", False),
    ],
)
def test_siesta_through_dpdata(tmp_path: Path, mark: str, converged: bool) -> None:
    pytest.importorskip("dpdata")
    (structure,), _ = read_text(tmp_path, SIESTA.format(mark=mark), "water.out")
    assert structure.symbols == ("O", "H", "H") and structure.energy == -465.8161
    assert structure.forces[2, 2] == -0.3 and structure.converged is converged


CP2K = """ DBCSR| CPU Multiplication driver                                           BLAS
 CP2K| version string:                                       CP2K version 2023.1
 CELL| Volume [angstrom^3]:                                              512.000000
 CELL| Vector a [angstrom]:       8.000     0.000     0.000    |a| =      8.000000
 CELL| Vector b [angstrom]:       0.000     8.000     0.000    |b| =      8.000000
 CELL| Vector c [angstrom]:       0.000     0.000     8.000    |c| =      8.000000

  1. Atomic kind: O                                     Number of atoms:       1
  2. Atomic kind: H                                     Number of atoms:       2

 MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM

   Atom Kind Element         X             Y             Z       Z(eff)     Mass
      1    1 O   8      0.000000      0.000000      0.000000     6.0000  15.9994
      2    2 H   1      0.960000      0.000000      0.000000     1.0000   1.0079
      3    2 H   1     -0.240000      0.930000      0.000000     1.0000   1.0079

{mark}

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              -17.170000000000000

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      O           0.01000000     0.02000000     0.03000000
      2      2      H          -0.01000000     0.00000000     0.00000000
      3      2      H           0.00000000    -0.02000000    -0.03000000
 SUM OF ATOMIC FORCES          0.00000000     0.00000000     0.00000000     0.00000000

 STRESS TENSOR [GPa]

            X               Y               Z
  X       0.16021766     0.00000000     0.00000000
  Y       0.00000000     0.16021766     0.00000000
  Z       0.00000000     0.00000000     0.16021766

"""
CONVERGED = "  *** SCF run converged in     9 steps ***"


def test_cp2k_through_dpdata(tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    text = CP2K.format(mark=CONVERGED)
    (structure,), _ = read_text(tmp_path, text, "water.out")
    assert structure.symbols == ("O", "H", "H") and structure.energy == pytest.approx(-17.17 * HARTREE, rel=1e-7)
    assert structure.forces is not None and structure.stress is not None
    assert structure.forces[2, 2] == pytest.approx(-0.03 * HARTREE / BOHR, rel=1e-7)
    # Printed as a pressure
    assert structure.stress[0, 0] == pytest.approx(-0.001, rel=1e-6)
    with pytest.raises(FormatError, match="CP2K output: dpdata finds no converged frame"):
        read_text(tmp_path, CP2K.format(mark="  *** WARNING in qs_scf.F:598 :: SCF run NOT converged ***"), "water.out")


def test_positions_of_one_step_do_not_get_the_energy_of_another(tmp_path: Path) -> None:
    """Of an optimisation dpdata takes the first positions and the last energy."""
    pytest.importorskip("dpdata")
    (cycle,) = re.findall(r"\{mark\}.*?ENERGY[^\n]*\n", CP2K, re.DOTALL)
    steps = CP2K.replace(cycle, 2 * cycle).format(mark=CONVERGED)
    one = SIESTA.format(mark="SCF cycle converged after 16 iterations")
    for text in (steps, one + one[one.index("outcoor:") :]):
        with pytest.raises(FormatError, match="2 energies, of which dpdata takes one.*one structure in each file"):
            read_text(tmp_path, text, "water.out")


ABACUS_STRUCTURE = """ATOMIC_SPECIES
O 15.999 O.upf
H 1.008 H.upf

LATTICE_CONSTANT
1.8897261254578281

LATTICE_VECTORS
8.0 0.0 0.0
0.0 8.0 0.0
0.0 0.0 8.0

ATOMIC_POSITIONS
Cartesian

O
0.0
1
0.0 0.0 0.0 1 1 1

H
0.0
2
0.96 0.0 0.0 1 1 1
-0.24 0.93 0.0 1 1 1
"""
ABACUS = """                             WELCOME TO ABACUS v3.2

               'Atomic-orbital Based Ab-initio Computation at UStc'

{mark}
 final etot is -465.8161 eV
 EFERMI = 1.0 eV

 ------------------------------------------------------------------------------------------
 TOTAL-FORCE (eV/Angstrom)
 ------------------------------------------------------------------------------------------
                        O1         0.1000000000         0.2000000000         0.3000000000
                        H1        -0.1000000000         0.0000000000         0.0000000000
                        H2         0.0000000000        -0.2000000000        -0.3000000000
 ------------------------------------------------------------------------------------------

 TOTAL-STRESS (KBAR)
 ------------------------------------------------------------------------------------------
        1.6021766    0.0000000    0.0000000
        0.0000000    1.6021766    0.0000000
        0.0000000    0.0000000    1.6021766
 ------------------------------------------------------------------------------------------
"""


def test_abacus_through_dpdata(tmp_path: Path) -> None:
    pytest.importorskip("dpdata")
    (tmp_path / "STRU").write_text(ABACUS_STRUCTURE)
    (tmp_path / "OUT.water").mkdir()
    (tmp_path / "INPUT").write_text("INPUT_PARAMETERS\nsuffix water\ncalculation scf\n")
    for mark, converged in (
        (" charge density convergence is achieved", True),
        (" convergence has NOT been achieved!", False),
    ):
        text = ABACUS.format(mark=mark)
        (structure,), _ = read_text(tmp_path, text, "OUT.water/running_scf.log")
        assert structure.symbols == ("O", "H", "H") and structure.energy == -465.8161
        assert structure.forces is not None and structure.stress is not None
        assert structure.forces[2, 2] == -0.3 and structure.stress[0, 0] == pytest.approx(-0.001, rel=1e-6)
        assert structure.converged is converged
    # That of another run would get the energy of this one
    (tmp_path / "OUT.older").mkdir()
    with pytest.raises(FormatError, match=r"ABACUS log: .*with the log in OUT\.\*/ beside INPUT"):
        read_text(tmp_path, text, "OUT.older/running_scf.log")


def test_without_dpdata_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "dpdata", None)
    with pytest.raises(InputError, match=r"SIESTA output: neither.*expected dpdata installed \(pip install dpdata\)"):
        read_text(tmp_path, SIESTA, "water.out")
