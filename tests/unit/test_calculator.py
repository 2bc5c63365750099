"""The ASE calculator: values, derivatives, committees, neighbour lists, and what it refuses."""

from __future__ import annotations

import copy
import os
import pickle
import select
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms
from ase.db import connect
from ase.md.verlet import VelocityVerlet

from calculator_cases import SPECIES, TRICLINIC, as_structure, random_atoms, write_committee, write_member
from engine_reference import BOUNDARIES, chebyshev_tables
from taylorfit import Calculator, ExtrapolationWarning, engine
from taylorfit.engine import Handle, NeighbourList, evaluate, library
from taylorfit.errors import InputError
from taylorfit.formats.aenet.potential_file import write_potential_ascii
from taylorfit.potential.potential import Potential

QUIET = {"on_extrapolation": "ignore", "threads": 1}


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return random_atoms()


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory, atoms: Atoms) -> Path:
    return write_member(tmp_path_factory.mktemp("member"), atoms)


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory, atoms: Atoms) -> Path:
    return write_committee(tmp_path_factory.mktemp("committee"), atoms)


def attach(atoms: Atoms, calculator: Calculator) -> Atoms:
    """A copy of atoms with a calculator."""
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms


def shaken(atoms: Atoms, amount: float, seed: int = 0) -> Atoms:
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).uniform(-amount, amount, moved.positions.shape)
    return moved


# --- values and derivatives --------------------------------------------------------------------


@pytest.mark.parametrize("pbc", BOUNDARIES, ids=lambda pbc: "".join("FT"[p] for p in pbc))
def test_values_are_those_of_predict(member: Path, atoms: Atoms, pbc: tuple[bool, bool, bool]):
    own = attach(atoms, Calculator(member, **QUIET))
    own.pbc = pbc
    tables = Potential.load(member).tables
    (expected,) = evaluate([as_structure(own)], tables)
    forces = own.get_forces()
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=1e-10 * np.abs(forces).max())
    assert own.get_potential_energy() == pytest.approx(expected.energy, abs=1e-9)
    assert own.get_potential_energy(force_consistent=True) == own.get_potential_energy()
    np.testing.assert_allclose(own.get_potential_energies(), expected.atomic_energies, rtol=0, atol=1e-9)


def test_forces_are_derivatives_of_the_energy(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    forces, step = own.get_forces(), 1e-4
    for i, k in ((0, 0), (5, 1), (11, 2)):
        energies = []
        for sign in (1, -1):
            moved = attach(own, own.calc)
            moved.positions[i, k] += sign * step
            energies.append(moved.get_potential_energy())
        assert forces[i, k] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=2e-6 * np.abs(forces).max())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_stress_is_the_strain_derivative_in_the_sign_and_order_of_ase(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    stress, step = own.get_stress(), 1e-5
    for v, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += 0.5 * sign * step
            strain[b, a] += 0.5 * sign * step
            strained = attach(own, own.calc)
            strained.set_cell(own.cell.array @ strain, scale_atoms=True)
            energies.append(strained.get_potential_energy())
        numerical = (energies[0] - energies[1]) / (2 * step) / own.get_volume()
        assert stress[v] == pytest.approx(numerical, abs=1e-6 * np.abs(stress).max())
    assert np.abs(stress).max() > 1e-3


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False)])
def test_stress_of_slabs_and_wires_is_that_of_the_whole_cell(member: Path, atoms: Atoms, pbc: tuple[bool, bool, bool]):
    slab = attach(atoms, Calculator(member, **QUIET))
    slab.pbc = pbc
    stress, step, energies = slab.get_stress(voigt=False), 1e-4, []
    for sign in (1, -1):
        strained = attach(slab, slab.calc)
        strained.set_cell(slab.cell.array @ (np.eye(3) + sign * step * np.outer(pbc, pbc)), scale_atoms=True)
        energies.append(strained.get_potential_energy())
    along = np.outer(pbc, pbc).astype(float)
    assert (stress * along).sum() == pytest.approx(
        (energies[0] - energies[1]) / (2 * step) / slab.get_volume(), rel=1e-5
    )


@pytest.mark.parametrize(("pbc", "cell"), [((True, True, False), [9, 9, 0]), ((False, False, False), [9, 9, 9])])
def test_there_is_no_stress_without_a_volume_and_periodicity(member: Path, atoms: Atoms, pbc: Any, cell: list[float]):
    slab = attach(atoms, Calculator(member, **QUIET))
    slab.pbc, slab.cell = pbc, cell
    assert np.isfinite(slab.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()


def test_unknown_options_are_errors_with_a_suggestion(member: Path):
    for name, suggestion in (
        ("on_extrapolatoin", "on_extrapolation"),
        ("thread", "threads"),
        ("xyz", "one of threads"),
    ):
        with pytest.raises(InputError, match=f"unknown option of Calculator: found '{name}', expected {suggestion}"):
            Calculator(member, **{name: 1})
    assert Calculator(member, label="here").label == "here"


def test_threads_and_skin_can_be_set_and_nothing_else(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    forces = own.get_forces()
    assert own.calc.set(threads=2, skin=0.0) and (own.calc.threads, own.calc.skin) == (2, 0.0)
    own.rattle(1e-3)
    own.positions = atoms.positions
    np.testing.assert_allclose(own.get_forces(), forces, rtol=0, atol=1e-12)
    for wrong in ({"tolerance": 1.0}, {"skin": -1.0}, {"threads": -1}, {"threads": "2"}, {"skin": "0.3"}):
        with pytest.raises(InputError, match="cannot be changed|out of range"):
            own.calc.set(**wrong)
    for wrong in ({"threads": 1.5}, {"threads": True}, {"threads": None}, {"skin": np.nan}, {"skin": [0.3]}):
        with pytest.raises(InputError, match="out of range"):
            Calculator(member, **wrong)
    assert Calculator(member, threads=np.int64(1), skin=np.float32(0.5)).threads == 1


@pytest.mark.parametrize("threads", [0, 1])
def test_forked_processes_use_one_thread_and_end(member: Path, atoms: Atoms, threads: int):
    own = attach(atoms, Calculator(member, threads=2))
    forces = own.get_forces()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        forked = attach(atoms, Calculator(member, threads=threads))
        os.write(write, forked.get_forces().tobytes())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        ready, _, _ = select.select([stream], [], [], 30.0)
        if not ready:
            os.kill(child, signal.SIGKILL)
        content = stream.read()
    os.waitpid(child, 0)
    assert ready, "the forked process hangs"
    np.testing.assert_array_equal(np.frombuffer(content).reshape(-1, 3), forces)


def test_constraints_do_not_reach_the_results(member: Path, atoms: Atoms):
    free = attach(atoms, Calculator(member, **QUIET)).get_forces()
    held = attach(atoms, Calculator(member, **QUIET))
    held.set_constraint(FixAtoms([0, 3]))
    assert (held.get_forces()[[0, 3]] == 0).all()
    np.testing.assert_array_equal(held.calc.results["forces"], free)
    np.testing.assert_array_equal(held.get_forces(apply_constraint=False), free)


def test_results_do_not_depend_on_threads(member: Path, committee: Path, atoms: Atoms):
    large = shaken(atoms.repeat((3, 3, 2)), 0.1)
    for make in (
        lambda n: Calculator(member, on_extrapolation="ignore", threads=n),
        lambda n: Calculator.committee(committee, on_extrapolation="ignore", threads=n),
    ):
        first, *others = [attach(large, make(n)) for n in (1, 2, 5)]
        first.get_stress()
        for other in others:
            other.get_stress()
            for key, value in first.calc.results.items():
                np.testing.assert_array_equal(value, other.calc.results[key], err_msg=key)


def test_energy_is_conserved(member: Path, atoms: Atoms):
    # A random potential is stiff: the step is short and the criterion relative to what the kinetic energy does
    own = attach(atoms, Calculator(member, **QUIET))
    own.set_momenta(np.random.default_rng(3).normal(0, 0.1, (len(own), 3)) * np.sqrt(own.get_masses())[:, None])

    def energies(step: float, n: int) -> np.ndarray:
        walker = attach(own, own.calc)
        dynamics = VelocityVerlet(walker, timestep=step * units.fs)
        rows = []
        dynamics.attach(lambda: rows.append((walker.get_kinetic_energy(), walker.get_total_energy())))
        dynamics.run(n)
        return np.array(rows)

    coarse, fine = energies(0.05, 100), energies(0.025, 200)
    kinetic, total = np.ptp(coarse[:, 0]), np.ptp(coarse[:, 1])
    assert kinetic > 0.5 and total < 0.05 * kinetic
    # The error of velocity Verlet is of second order in the step; an inconsistent force's is not
    assert np.ptp(fine[:, 1]) < 0.35 * total


def test_only_the_energy_is_computed_if_only_the_energy_is_asked_for(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    energy = own.get_potential_energy()
    assert "forces" not in own.calc.results
    own.get_forces()
    assert own.get_potential_energy() == energy and "forces" in own.calc.results


# --- neighbour lists with a skin ---------------------------------------------------------------


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_list_with_a_skin_gives_what_a_fresh_list_gives(member: Path, atoms: Atoms, pbc: tuple[bool, bool, bool]):
    """Along a walk in which all atoms drift out of the cell."""
    walker = attach(atoms, Calculator(member, skin=0.8, **QUIET))
    walker.pbc = pbc
    rng = np.random.default_rng(1)
    drift = np.array([0.11, -0.06, 0.09])
    steps = 120
    for step in range(steps):
        walker.positions += drift + rng.normal(0, 0.02, walker.positions.shape)
        if step % 50 == 49:
            walker.wrap()
        fresh = attach(walker, Calculator(member, skin=0.0, **QUIET))
        scale = np.abs(fresh.get_forces()).max()
        np.testing.assert_allclose(walker.get_forces(), fresh.get_forces(), rtol=0, atol=1e-10 * scale)
        assert walker.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-9)
    assert 1 < walker.calc.n_lists < 0.6 * steps
    assert not any(pbc) or np.abs(walker.get_scaled_positions(wrap=False)).max() > 1.2


def test_list_is_kept_while_atoms_stay_within_half_the_skin(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, skin=0.6, **QUIET))
    own.get_forces()
    home = own.positions.copy()
    own.positions[0, 0] = home[0, 0] + 0.29
    own.get_forces()
    assert own.calc.n_lists == 1
    own.positions[0, 0] = home[0, 0] + 0.31
    own.get_forces()
    assert own.calc.n_lists == 2


@pytest.mark.parametrize("change", ["cell", "pbc", "species", "number"])
def test_list_is_made_anew_when_more_than_positions_changes(member: Path, atoms: Atoms, change: str):
    own = attach(atoms, Calculator(member, skin=1.0, **QUIET))
    own.get_forces()
    if change == "cell":
        own.set_cell(own.cell.array * 1.0001)
    elif change == "pbc":
        own.pbc = (True, False, True)
    elif change == "species":
        own.set_chemical_symbols(["O", "H"] * 6)
    else:
        del own[-1]
    fresh = attach(own, Calculator(member, skin=0.0, **QUIET))
    np.testing.assert_allclose(own.get_forces(), fresh.get_forces(), rtol=0, atol=1e-9)
    assert own.calc.n_lists == 2


def test_engine_refuses_a_list_of_another_structure(member: Path, atoms: Atoms):
    tables = Potential.load(member).tables
    structure = as_structure(atoms)
    listed = NeighbourList.of(structure, tables.descriptors.cutoff)
    index = tables.descriptors.check(structure)
    assert len(engine.evaluate_listed(structure.positions, index, listed, tables).atomic_energies[0]) == len(atoms)
    for positions, species, other, message in (
        (structure.positions[1:], index[1:], replace(listed, offset=listed.offset[1:]), "does not belong"),
        (structure.positions, index[1:], listed, "does not belong"),
        (structure.positions, index, NeighbourList.of(structure, 2.0), "less far"),
        (structure.positions, index, replace(listed, handle=Handle(library.structures.list_handle)), "is empty"),
    ):
        with pytest.raises(InputError, match=message):
            engine.evaluate_listed(positions, species, other, tables, name="x")


# --- committees --------------------------------------------------------------------------------


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_committee_has_mean_and_deviation_of_its_members(committee: Path, atoms: Atoms, pbc: tuple[bool, bool, bool]):
    own = attach(shaken(atoms, 0.1), Calculator.committee(committee, **QUIET))
    own.pbc = pbc
    names = ["energy", "energies", "forces", "stress"]
    separate = []
    for folder in sorted(committee.iterdir()):
        single = attach(own, Calculator(folder, **QUIET))
        separate.append({name: np.array(single.calc.get_property(name, single)) for name in names})
    own.get_forces()
    results = own.calc.results
    assert own.calc.n_members == 3 and len(own.calc._groups) == 1
    for name in names:
        values = np.array([result[name] for result in separate])
        scale = np.abs(values).max()
        np.testing.assert_allclose(results[name], values.mean(axis=0), rtol=0, atol=1e-12 * scale, err_msg=name)
        deviation = results["forces_std_components" if name == "forces" else f"{name}_std"]
        np.testing.assert_allclose(deviation, values.std(axis=0), rtol=0, atol=1e-11 * scale, err_msg=name)
    assert results["forces_std"].shape == (len(atoms),) and results["forces_std"].min() > 0
    np.testing.assert_allclose(results["forces_std"], np.linalg.norm(results["forces_std_components"], axis=1))
    assert own.calc.get_property("energy_std", own) == results["energy_std"] > 0


def test_committees_keep_the_interfaces_of_ase(committee: Path, atoms: Atoms, tmp_path: Path):
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect
    from ase.io import read, write

    own = attach(shaken(atoms, 0.1), Calculator.committee(committee, **QUIET))
    forces, results = own.get_forces(), own.calc.results
    assert "forces_std" in results and results.get("energy_std") > 0.0 and results.get("nothing", 3) == 3
    assert set(own.get_properties(["energy", "forces"])) >= {"energy", "forces"}
    single = own.copy()
    single.calc = SinglePointCalculator(single, **results)
    np.testing.assert_array_equal(single.get_forces(), forces)
    write(tmp_path / "a.extxyz", own)
    np.testing.assert_allclose(read(tmp_path / "a.extxyz").get_forces(), forces, atol=1e-7)
    write(tmp_path / "a.traj", own)
    np.testing.assert_array_equal(read(tmp_path / "a.traj").get_forces(), forces)
    with connect(tmp_path / "a.json") as database:
        database.write(own)
    np.testing.assert_allclose(connect(tmp_path / "a.json").get_atoms(1).get_forces(), forces, atol=1e-12)


def test_members_with_other_descriptors_are_evaluated_on_their_own(tmp_path: Path, atoms: Atoms):
    folders = [
        write_member(tmp_path / "01", atoms, 1),
        write_member(tmp_path / "02", atoms, 2, chebyshev_tables(SPECIES, (4.4, 5), (3.4, 2))),
    ]
    own = attach(atoms, Calculator.committee(tmp_path, **QUIET))
    assert len(own.calc._groups) == 2
    separate = [attach(atoms, Calculator(folder, **QUIET)).get_forces() for folder in folders]
    np.testing.assert_allclose(own.get_forces(), np.mean(separate, axis=0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(own.calc.results["forces_std_components"], np.std(separate, axis=0), rtol=0, atol=1e-10)


def test_a_committee_may_be_named_in_several_ways(committee: Path, atoms: Atoms):
    folders = sorted(committee.iterdir())
    by_folder = attach(atoms, Calculator.committee(committee, **QUIET)).get_forces()
    by_files = attach(atoms, Calculator.committee([[f / "H.nn", f / "O.nn"] for f in folders], **QUIET)).get_forces()
    by_dict = attach(
        atoms, Calculator.committee([{"O": f / "O.nn", "H": f / "H.nn"} for f in folders], **QUIET)
    ).get_forces()
    np.testing.assert_array_equal(by_folder, by_files)
    np.testing.assert_allclose(by_dict, by_files, rtol=0, atol=1e-10)


def test_plain_potential_has_no_deviations(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator([member / "O.nn", str(member / "H.nn")], **QUIET))
    own.get_forces()
    assert not [name for name in own.calc.results if "std" in name]
    with pytest.raises(PropertyNotImplementedError):
        own.calc.get_property("forces_std", own)
    with pytest.raises(InputError, match="max_force_std without a committee"):
        Calculator(member, max_force_std=0.1)


# --- files, copies, errors ---------------------------------------------------------------------


def test_text_potentials_are_read_like_binary_ones(member: Path, atoms: Atoms, tmp_path: Path):
    for potential in Potential.load(member).parts:
        write_potential_ascii(tmp_path / f"{potential.species}.nn.ascii", potential)
    binary, text = (attach(atoms, Calculator(folder, **QUIET)).get_forces() for folder in (member, tmp_path))
    np.testing.assert_array_equal(binary, text)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda calculator: pickle.loads(pickle.dumps(calculator))], ids=["deepcopy", "pickle"]
)
def test_calculator_can_be_copied_before_and_after_use(member: Path, committee: Path, atoms: Atoms, clone):
    for calculator in (Calculator(member, **QUIET), Calculator.committee(committee, **QUIET)):
        fresh = attach(atoms, clone(calculator)).get_forces()
        used = attach(atoms, calculator)
        np.testing.assert_array_equal(used.get_forces(), fresh)
        moved = attach(shaken(atoms, 0.05), clone(calculator))
        np.testing.assert_allclose(moved.get_forces(), attach(moved, calculator).get_forces(), rtol=0, atol=1e-10)


def test_unknown_species_is_a_clear_error_and_nothing_is_lost(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    forces = own.get_forces()
    other = attach(atoms, own.calc)
    other.set_chemical_symbols(["H"] * 11 + ["Xe"])
    with pytest.raises(InputError, match="unknown species.*'Xe', expected one of H O") as caught:
        other.get_forces()
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(attach(atoms, own.calc).get_forces(), forces)


def test_coinciding_atoms_and_flat_cells_are_errors(member: Path, atoms: Atoms):
    own = attach(atoms, Calculator(member, **QUIET))
    own.positions[1] = own.positions[0]
    with pytest.raises(InputError, match="coincide"):
        own.get_forces()
    flat = attach(atoms, Calculator(member, **QUIET))
    flat.set_cell(np.zeros((3, 3)))
    with pytest.raises(InputError, match="lattice vectors"):
        flat.get_forces()


def test_wrong_options_and_files_are_errors(member: Path, committee: Path, tmp_path: Path):
    for options, match in (
        ({"skin": -1.0}, "skin"),
        ({"threads": -1}, "threads"),
        ({"on_extrapolation": "panic"}, "panic"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"skin": np.nan}, "skin"),
    ):
        with pytest.raises(InputError, match=match):
            Calculator(member, **options)
    with pytest.raises(InputError, match="no potentials"):
        Calculator(tmp_path)
    with pytest.raises(InputError, match="knows a neighbour without a potential"):
        Calculator([member / "H.nn"])
    with pytest.raises(InputError, match="second potential for H"):
        Calculator([member / "H.nn", committee / "01" / "H.nn"])
    with pytest.raises(InputError, match="cannot be read"):
        Calculator({"H": tmp_path / "none.nn"})
    with pytest.raises(InputError, match="no such folder"):
        Calculator.committee(tmp_path / "none")
    with pytest.raises(InputError, match="other species"):
        Calculator.committee([member, [committee / "01" / "H.nn"]])


def test_import_of_the_package_does_not_load_ase_or_the_engine():
    script = (
        "import sys, taylorfit; assert 'ase' not in sys.modules and 'taylorfit.engine' not in sys.modules\n"
        "assert 'Calculator' in dir(taylorfit); taylorfit.Calculator; assert 'ase' in sys.modules\n"
        "try: taylorfit.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\nelse: raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_empty_and_single_atoms(member: Path):
    lone = attach(Atoms("O", cell=TRICLINIC * 4, pbc=True), Calculator(member, **QUIET))
    np.testing.assert_array_equal(lone.get_forces(), 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtrapolationWarning)
        assert attach(Atoms(), Calculator(member, threads=1)).get_potential_energy() == 0.0


def test_stresses_of_atoms_add_up_and_go_with_the_atoms(atoms: Atoms, member: Path, committee: Path) -> None:
    for calculator in (Calculator(member, on_extrapolation="ignore"), Calculator.committee(committee)):
        own = attach(atoms, calculator)
        stresses = own.get_stresses()
        assert stresses.shape == (len(own), 6)
        np.testing.assert_allclose(stresses.sum(axis=0), own.get_stress(), atol=1e-12)
        order = np.random.default_rng(0).permutation(len(own))
        np.testing.assert_allclose(attach(own[order], calculator).get_stresses(), stresses[order], atol=1e-12)


def test_databases_of_ase_know_the_calculator(atoms: Atoms, member: Path, tmp_path: Path) -> None:
    own = attach(atoms, Calculator(member, on_extrapolation="ignore"))
    own.get_forces()
    with connect(tmp_path / "x.db") as database:
        database.write(own)
        row = database.get(id=1)
    assert row.calculator == "taylorfit"
    assert {Path(file).name for file in row.calculator_parameters["potentials"].values()} == {"H.nn", "O.nn"}
    np.testing.assert_allclose(row.forces, own.get_forces())
