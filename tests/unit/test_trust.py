"""What files say is believed as far as it is said, and refused or told where it is not: kind by kind."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

import taylorfit as tfit
from file_cases import DUMP, N2P2, case, frame, read_text
from taylorfit.data.check import check
from taylorfit.errors import DataWarning, FormatError, InputError
from taylorfit.formats.recognise import FileKind, recognise
from taylorfit.formats.structures.files import read_files, read_structures
from taylorfit.formats.structures.foreign import FORMATS, identify
from taylorfit.model.structure import Structure
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.option import options_of
from taylorfit.settings.predict import PredictInput
from taylorfit.settings.train import TrainInput

# --- 1. placeholders ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n_forces"),
    [
        (DUMP, 2),
        (DUMP.replace("x y z", "xu yu zu"), 2),
        (DUMP.replace("fx fy fz", "vx vy vz"), 0),
        ("ITEM: UNITS\nmetal\n" + DUMP, 2),
    ],
    ids=["forces", "unwrapped", "no forces", "units"],
)
def test_dumps_of_lammps_have_no_energy(tmp_path, text, n_forces):
    structures, told = read_text(tmp_path, text, "md.dump")
    assert [s.energy for s in structures] == [None, None]
    assert sum(s.forces is not None for s in structures) == n_forces
    assert structures[0].symbols == ("O", "H", "H")
    assert bool(told) == (n_forces > 0) and all("hold no energies" in line for line in told)


DATA = """LAMMPS data

2 atoms
2 atom types
0 8 xlo xhi
0 8 ylo yhi
0 8 zlo zhi
{masses}
Atoms # atomic

1 1 0 0 0
2 2 1 0 0
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ((case("09") / "md.dump").read_text(), "md.dump"),
        ((case("09") / "md.dump").read_text().replace("id type", "id mol type"), "md.lammpstrj"),
        (DATA.format(masses=""), "a.lammps-data"),
    ],
)
def test_types_without_elements_are_no_hydrogen(tmp_path, text, name):
    with pytest.raises(FormatError, match="types but no elements"):
        read_text(tmp_path, text, name)


@pytest.mark.parametrize(
    "text",
    [
        frame().replace("\nO ", "\n1 ").replace("\nH ", "\n2 "),  # `dump extxyz` of LAMMPS without element
        frame().replace("\nO ", "\n2 ").replace("\nH ", "\n2 "),
        frame().replace("species:S", "species:I").replace("\nO ", "\n8 ").replace("\nH ", "\n1 "),
        "2\nAtoms. Timestep: 0\n1 0 0 0\n2 0 0 0.74\n",  # `dump xyz`
    ],
)
def test_types_in_xyz_are_no_elements(tmp_path, text):
    with pytest.raises(FormatError, match="line 3: atom 1 has a number, perhaps a type.*chemical symbols, or.*Z:I:1"):
        read_text(tmp_path, text)


def test_atomic_numbers_that_are_called_so_are_elements(tmp_path):
    for name in ("Z:I", "numbers:I", "Atomic_Numbers:R"):
        text = frame().replace("species:S", name).replace("\nO ", "\n8 ").replace("\nH ", "\n1 ")
        assert read_text(tmp_path, text)[0][0].symbols == ("O", "H", "H")


def test_masses_tell_elements(tmp_path):
    (structure,), _ = read_text(tmp_path, DATA.format(masses="\nMasses\n\n1 15.999\n2 1.008\n"), "a.lammps-data")
    assert structure.symbols == ("O", "H")


def test_atoms_without_an_element_are_refused():
    ase = pytest.importorskip("ase")
    with pytest.raises(FormatError, match="atom 2 has no element"):
        Structure.from_ase(ase.Atoms("HX", [[0, 0, 0], [0, 0, 1]]))


def test_energies_of_exactly_zero_are_a_finding(tmp_path):
    zero = [s for path in sorted((case("15") / "x").iterdir()) for s in read_structures(path)]
    assert check(zero).of_kind("placeholder-energy") == tuple(range(len(zero)))
    assert not check([replace(s, energy=-1.0 - 0.01 * k) for k, s in enumerate(zero)]).of_kind("placeholder-energy")


# --- 5. convergence ----------------------------------------------------------------------------

VASPRUN = (case("06") / "vasprun.xml").read_text()


def outcar(steps: list[int], nelm: int, said: str) -> str:
    """The lines of an OUTCAR that matter, for cycles of so many steps."""
    lines = [f"   NELM   =    {nelm:3d};   NELMIN=  2; NELMDL= -5     # of ELM steps"]
    for ion, n in enumerate(steps, start=1):
        lines += [f"------- Iteration {ion:6d}({step:4d})  ---" for step in range(1, n + 1)]
        lines += [said, "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)"]
    return "\n".join(lines) + "\n"


# As the programs print it (from their outputs, sources and parsers that are public), after a cycle each
WORDINGS: list[tuple[str, list[str], list[bool]]] = [
    (
        "espresso-out",
        [
            "     convergence has been achieved in   8 iterations",
            "!    total energy              =     -93.43 Ry",
            "     convergence NOT achieved after 100 iterations: stopping",
        ],
        [True, False],
    ),
    (
        "espresso-out",  # with a hybrid functional
        [
            "     convergence has been achieved in  11 iterations",
            "     EXX: now go back to refine exchange calculation",
            "     convergence has been achieved in   4 iterations",
            "     EXX self-consistency reached",
        ],
        [True],
    ),
    (
        "aims-output",
        [
            "  Self-consistency cycle not yet converged - restarting mixer to attempt better convergence.",
            "  Self-consistency cycle converged.",
            "* WARNING! SELF-CONSISTENCY CYCLE DID NOT CONVERGE",
            "  Self-consistency cycle converged.",
        ],
        [True, False, True],
    ),
    (
        "gaussian-out",
        [
            " SCF Done:  E(RB3LYP) =  -76.4089533     A.U. after   10 cycles",
            " >>>>>>>>>> Convergence criterion not met.",
            " SCF Done:  E(UHF) =  -39.5579251408     A.U. after    2 cycles",
            " SCF Done:  E(RB3LYP) =  -76.4089540     A.U. after    6 cycles",
        ],
        [True, False, True],
    ),
    (
        "orca-output",
        [
            "               *           SCF CONVERGED AFTER  12 CYCLES          *",
            "FINAL SINGLE POINT ENERGY       -76.322302389282",
            "               *     SCF NOT CONVERGED AFTER 125 CYCLES      *",
            "FINAL SINGLE POINT ENERGY (Wavefunction not fully converged!)     -76.32",
            "FINAL SINGLE POINT ENERGY       -76.322302389299",
        ],
        [True, False, True],
    ),
    (
        "castep-castep",
        [
            "Final energy =  -168.7592     eV",
            "*Warning* max. SCF cycles performed but system has not reached the groundstate.",
            "Final energy, E             =  -168.7       eV",
            "Final free energy (E-TS)    =  -168.8       eV",
        ],
        [True, False],
    ),
    (
        "abinit-out",
        [
            " At SCF step    9       vres2   =  6.37E-19 < tolvrs=  1.00E-18 =>converged.",
            "  nstep=   40 was not enough SCF cycles to converge;",
            " At SCF step    5, etot is converged :",
        ],
        [True, False, True],
    ),
    (
        "nwchem-out",
        [
            "         Total DFT energy =      -76.419",
            "  Calculation failed to converge",
            "         Total DFT energy =      -76.418",
            "         Total SCF energy =      -76.026",
        ],
        [True, False, True],
    ),
    ("gpaw-out", ["Converged after 20 iterations.", "Did not converge!"], [True, False]),
    (
        "siesta/output",
        [
            "SCF cycle converged after 16 iterations",
            "siesta: E_KS(eV) =             -465.8161",
            "SCF_NOT_CONV: SCF did not converge  in maximum number of steps.",
            "siesta: E_KS(eV) =             -465.8160",
        ],
        [True, False],
    ),
    (
        "cp2k/output",
        [
            "  *** SCF run converged in     8 steps ***",
            " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              -17.219662802317551",
            " *** WARNING in qs_scf.F:542 :: SCF run NOT converged ***",
            " ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]            -17.219662802317551",
        ],
        [True, False],
    ),
]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("vasp-out", outcar([5, 12, 60], 60, "aborting loop because EDIFF is reached"), [True, True, False]),
        ("vasp-out", outcar([40, 3], 40, "aborting loop EDIFF was not reached (unconverged)"), [False, True]),
        ("vasp-xml", VASPRUN, [False, True]),
        ("vasp-xml", VASPRUN.replace(">5<", ">6<"), [True, True]),
        *((kind, "\n".join(lines) + "\n", expected) for kind, lines, expected in WORDINGS),
        ("cif", "convergence NOT achieved", []),
    ],
)  # fmt: skip
def test_marks_of_convergence(tmp_path, kind, text, expected):
    from taylorfit.formats.structures.convergence import scf_converged

    (tmp_path / "out").write_text(text)
    assert scf_converged(str(tmp_path / "out"), kind) == expected


def test_unconverged_frames_are_a_finding_and_can_be_left_out(tmp_path):
    structures, _ = read_text(tmp_path, VASPRUN, "vasprun.xml")
    assert [s.converged for s in structures] == [False, True]
    assert check(structures).of_kind("unconverged") == (0,)
    with pytest.warns(DataWarning, match="1 of 2 structures were not converged"):
        assert len(tfit.read(tmp_path / "vasprun.xml", drop="unconverged")) == 1
    for keys, converged in (
        ("converged=F", False),
        ("scf_converged=False", False),
        ("converged=T", True),
        ("x=F", True),
    ):
        assert read_text(tmp_path, frame(f"energy=-1 {keys}"))[0][0].converged == converged


# --- 8. unreadable and foreign files, files under other names ----------------------------------

FOREIGN = {
    "MTP cfg": "BEGIN_CFG\n Size\n 2\n",
    "CP2K output": " DBCSR| CPU Multiplication driver                                           BLAS\n",
    "SIESTA output": "Siesta Version  : 4.1.5\n                           *  WELCOME TO SIESTA  *\n",
    "ABACUS log": "                  Atomic-orbital Based Ab-initio Computation at UStc\n",
    "LAMMPS log": "LAMMPS (2 Aug 2023)\nunits metal\n",
    "NumPy array": np.arange(3).tobytes(),
}


@pytest.mark.parametrize(("name", "text"), FOREIGN.items(), ids=FOREIGN)
def test_foreign_formats_are_named_with_a_way(tmp_path, monkeypatch, name, text):
    monkeypatch.setitem(sys.modules, "dpdata", None)  # as where it is not installed
    content = b"\x93NUMPY\x01\x00" + text if isinstance(text, bytes) else text.encode()
    (tmp_path / "out.log").write_bytes(content)
    assert name in identify(str(tmp_path / "out.log")).name
    with pytest.raises(InputError, match=f"{re.escape(name)}.*neither taylorfit nor ASE reads it.*expected"):
        read_text(tmp_path, content, "out.log")
    assert recognise(tmp_path / "out.log") is FileKind.STRUCTURES


def test_what_we_read_is_not_foreign(tmp_path):
    for number in ("01", "02", "03", "06", "07"):
        for path in case(number).rglob("*.*"):
            if path.suffix in (".dump", ".data", ".xyz", ".xml", ".xsf"):
                assert identify(str(path)) is None, path
    assert len({known.name for known in FORMATS}) == len(FORMATS)


def test_unreadable_files_are_left_out_on_request_with_their_reasons(tmp_path):
    (tmp_path / "a.xyz").write_text(frame())
    (tmp_path / "b.xyz").write_text(frame()[:60])
    (tmp_path / "c.xsf").write_text("hello\n")
    told: list[str] = []
    with pytest.raises(FormatError):
        read_files([str(tmp_path / "*")])
    assert len(read_files([str(tmp_path / "*")], drop=["unreadable"], tell=told.append)) == 1
    assert sum("unreadable, left out: " in line for line in told) == 2 and "c.xsf: no atoms" in "".join(told)
    assert told[-1] == "2 of 3 files were unreadable and are left out"
    with pytest.raises(InputError, match="no structures are left"):
        read_files([str(tmp_path / "b.xyz")], drop=["unreadable"])


def test_the_vasprun_beside_a_damaged_outcar_is_suggested(tmp_path):
    for name in ("OUTCAR", "OUTCAR.static"):
        (tmp_path / name.replace("OUTCAR", "vasprun.xml")).write_text(VASPRUN)
        with pytest.raises(FormatError, match=f"try .*vasprun.xml{name[6:]} beside it"):
            read_text(tmp_path, " vasp.5.4.4.18Apr17\n executed on LinuxIFC date\n", name)


@pytest.mark.parametrize(
    ("text", "name", "n"),
    [
        (VASPRUN, "run01.xml", 2),
        (VASPRUN, "vasprun.xml.old", 2),
        (N2P2, "train.input.data.old", 8),
        (N2P2, "x.data", 8),
        (frame() * 3, "train.dat", 3),
        (DUMP, "traj.txt", 2),
        ("# total energy = 1 eV\n\nATOMS\nH 0 0 0\n", "a.data", 1),
    ],
)
def test_renamed_files_are_recognised_by_content(tmp_path, text, name, n):
    assert len(read_text(tmp_path, text, name, units="eV Angstrom")[0]) == n
    assert recognise(tmp_path / name) in (FileKind.STRUCTURES, FileKind.XSF)


@pytest.mark.parametrize(
    "log",
    [
        "LAMMPS log\nensemble\nTimestep 1\nPOTENTIALS: 2\nTIMESTEP 0.5\nENSEMBLE nvt\n",
        "Starting run\nTIMESTEP 1\n",
        "epoch 1\nITERATIONS done\n",
    ],
)
def test_logs_are_no_input_files(tmp_path, log):
    (tmp_path / "log").write_text(log)
    assert recognise(tmp_path / "log") is FileKind.STRUCTURES


def test_the_words_that_begin_input_files_are_those_of_the_settings():
    from taylorfit.formats.recognise import FIRST_WORDS

    keywords = {key for cls in (GenerateInput, TrainInput, PredictInput, MdInput) for key in options_of(cls)}
    assert keywords <= FIRST_WORDS


# --- 9. isolated atoms -------------------------------------------------------------------------


def atom(symbol: str, energy: float, **more: object) -> Structure:
    return Structure((symbol,), np.zeros((1, 3)), energy=energy, forces=np.zeros((1, 3)), **more)


def test_isolated_atoms_are_told_from_crystals():
    assert atom("H", -1.0).is_isolated_atom
    assert atom("H", -1.0, cell=12.0 * np.eye(3), pbc=(True,) * 3).is_isolated_atom
    assert atom("H", -1.0, cell=6.0 * np.eye(3), pbc=(True,) * 3, config_type="IsolatedAtom").is_isolated_atom
    fcc = 1.8 * (1.0 - np.eye(3))
    assert not atom("Cu", -3.7, cell=fcc, pbc=(True,) * 3).is_isolated_atom
    skewed = np.array([[20.0, 0, 0], [19.0, 3.0, 0], [0, 0, 20.0]])
    assert not atom("Cu", -3.7, cell=skewed, pbc=(True,) * 3).is_isolated_atom
    assert not Structure(("H", "H"), np.eye(2, 3)).is_isolated_atom


def test_isolated_atoms_give_the_atomic_energies():
    from taylorfit.data.survey import fit_atomic_energies

    water = [Structure(("H", "H", "O"), np.eye(3), energy=-16.0 - 0.01 * k) for k in range(3)]
    found = fit_atomic_energies([atom("O", -2.0), atom("H", -1.1), *water], ("H", "O"))
    assert found.energies == {"H": -1.1, "O": -2.0} and found.determined and found.isolated == ("H", "O")
    found = fit_atomic_energies([atom("O", -2.0), *water], ("H", "O"))
    assert found.energies["O"] == -2.0 and found.energies["H"] == pytest.approx(-7.005) and found.determined
    # Of several the lowest; the crystal with one atom is none of them
    crystal_ = atom("H", -9.0, cell=3.0 * np.eye(3), pbc=(True,) * 3)
    found = fit_atomic_energies([atom("H", -1.0), atom("H", -1.1), crystal_], ("H",))
    assert found.energies == {"H": -1.1}
    setup = tfit.propose(list(read_structures(case("14") / "w.xyz")))
    assert setup.atomic_energies == {"H": -1.1, "O": -2.0}


def test_weights_count_in_the_fit_of_atomic_energies():
    from taylorfit.data.survey import fit_atomic_energies

    good = [Structure(("H",) * n, np.arange(3.0 * n).reshape(n, 3), energy=-2.0 * n) for n in (2, 3, 4)]
    bad = [replace(good[0], energy=500.0, weight=w) for w in (0.0, 1e-12)]
    assert fit_atomic_energies([*good, *bad], ("H",)).energies["H"] == pytest.approx(-2.0, abs=1e-9)
    assert fit_atomic_energies([*good, *bad], ("H",)).rmse < 1e-3


def test_dpdata_reads_what_it_knows(tmp_path, monkeypatch):
    """With a stand-in for the optional package, which has the interface that is used."""
    import sys
    from types import SimpleNamespace

    class System(dict):
        nopbc = False

        def has_virial(self):
            return True

    def labelled(path, fmt):
        assert fmt == "cp2k/output"
        if "bad" in path:
            raise RuntimeError("no SCF")
        return System(
            atom_names=["H", "O"], atom_types=[1, 0, 0], coords=np.zeros((2, 3, 3)) + np.arange(3)[:, None],
            cells=np.tile(9.0 * np.eye(3), (2, 1, 1)), energies=[-1.0, -2.0], forces=np.ones((2, 3, 3)),
            virials=np.tile(np.eye(3), (2, 1, 1)),
        )  # fmt: skip

    monkeypatch.setitem(sys.modules, "dpdata", SimpleNamespace(LabeledSystem=labelled))
    structures, _ = read_text(tmp_path, FOREIGN["CP2K output"], "out.log")
    assert [s.energy for s in structures] == [-1.0, -2.0] and structures[0].symbols == ("O", "H", "H")
    assert structures[0].stress[0, 0] == pytest.approx(-1.0 / 729.0) and structures[0].pbc == (True, True, True)
    with pytest.raises(FormatError, match="dpdata cannot read it .RuntimeError: no SCF"):
        read_text(tmp_path, FOREIGN["CP2K output"], "bad.log")


def test_what_is_left_out_is_told_also_before_an_error(tmp_path):
    (tmp_path / "md.dump").write_text(DUMP)
    told: list[str] = []
    with pytest.raises(FormatError, match="no energy"):
        read_files([str(tmp_path / "md.dump")], require_energy=True, tell=told.append)
    assert "hold no energies" in told[0]
