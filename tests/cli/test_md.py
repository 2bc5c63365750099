"""`taylorfit md`: whole runs, comparison of potentials, interruption and resuming, refusals."""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from calculator_cases import random_atoms
from cli_support import contents, report, run, start, succeed
from md_cases import BASE, change, make_md, table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two potentials, a committee, a start, and md.in."""
    return make_md(tmp_path)


def test_potentials_are_compared_from_the_same_starts(folder: Path):
    change(folder, "STARTS 3", "RDF pairs=O-O,H-O r_max=5 bins=50", "TRAJECTORY run.extxyz", without="")
    result = report(folder, "md", "md.in")
    assert [(row["potential"], row["start"], row["seed"]) for row in result["walks"]] == [
        (label, k, k) for label in ("one", "two") for k in (1, 2, 3)
    ]
    assert all(row["status"] == "finished" and row["steps"] == 20 for row in result["walks"])
    rows = table(folder / "md.steps.csv")
    assert len(rows) == 6 * 5 and list(rows[0]) == [
        "potential",
        "start",
        "n_atoms",
        "step",
        "time_ps",
        "E_pot_eV",
        "E_kin_eV",
        "E_tot_eV",
        "T_K",
    ]
    kinetic = {(row["potential"], row["start"]): row["E_kin_eV"] for row in rows if row["step"] == "0"}
    assert kinetic["one", "1"] == kinetic["two", "1"] != kinetic["one", "2"]
    # Two structures: the third start is the first structure with other velocities
    potential = {row["start"]: row["E_pot_eV"] for row in rows if row["step"] == "0" and row["potential"] == "one"}
    assert potential["1"] == potential["3"] != potential["2"]
    starts = table(folder / "md.starts.csv")
    assert len(starts) == 6 and float(starts[0]["drift_meV_per_atom_ps"]) == pytest.approx(result["walks"][0]["drift"])
    rdf = table(folder / "md.rdf.csv")
    assert len(rdf) == 2 * 2 * 50 and list(rdf[0]) == ["potential", "pair", "r_A", "g", "g_std"]
    found = result["rdf"]["potentials"]["two"][1]
    assert found["pair"] == "H-O" and max(found["g"]) == found["peak_g"] and len(found["std"]) == 50
    for label in ("one", "two"):
        for k in (1, 2, 3):
            assert len(read(folder / f"run-{label}-{k}.extxyz", ":")) == 5
    assert set(result["outputs"]) <= set(contents(folder))


def test_drift_is_that_of_the_rows(folder: Path):
    change(folder, "NETWORKS", "O one/O.nn", "H one/H.nn", "STEPS 200", without="POTENTIALS STEPS")
    (row,) = report(folder, "md", "md.in")["walks"]
    rows = table(folder / "md.steps.csv")
    time_, total = (np.array([float(r[key]) for r in rows]) for key in ("time_ps", "E_tot_eV"))
    assert row["drift"] == pytest.approx(np.polyfit(time_, 1e3 * total / 12, 1)[0], rel=1e-6)
    assert row["fluctuation"] == pytest.approx(1e3 * total.std() / 12, rel=1e-6)
    assert row["largest_change"] == pytest.approx(1e3 * np.abs(total - total[0]).max() / 12, rel=1e-6)


def test_one_run_prints_its_steps_and_is_repeated_by_the_same_seed(folder: Path):
    change(
        folder,
        "NETWORKS",
        "O one/O.nn",
        "H one/H.nn",
        "ENSEMBLE nvt",
        "EQUILIBRATION 10",
        "THERMOSTAT langevin friction=0.05",
        "SEED 5",
        "OUTPUT a",
    )
    out = succeed(folder, "md", "md.in").out
    assert "E_tot, eV" in out and "ΔE_tot, meV/atom" in out and "T, K" in out
    first = (folder / "a.steps.csv").read_text()
    succeed(folder, "md", "md.in", "--force")
    assert (folder / "a.steps.csv").read_text() == first
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("SEED 5", "SEED 6"))
    succeed(folder, "md", "md.in", "--force")
    assert (folder / "a.steps.csv").read_text() != first


def test_committee_stops_where_its_members_differ(folder: Path):
    change(folder, "POTENTIALS", "many committee", "", "EXTRAPOLATION action=stop max_force_std=1e-6 tolerance=1e6")
    (row,) = report(folder, "md", "md.in")["walks"]
    assert row["status"].startswith("extrapolated: atom ") and "members differ by" in row["status"]
    assert row["steps"] == 0 and row["first_extrapolation"] == 0


def test_structures_for_the_next_round_are_dumped_for_each_potential(folder: Path):
    change(
        folder,
        "TEMPERATURE 5000",
        "STEPS 60",
        "TIMESTEP 0.2",
        "EXTRAPOLATION action=dump tolerance=0.1 folder=next interval=5 most=3",
        without="STEPS TIMESTEP",
    )
    walks = report(folder, "md", "md.in")["walks"]
    for row in walks:
        files = list((folder / "next" / row["potential"]).glob("*.xsf"))
        assert row["n_dumped"] == len(files) > 0 and len(files) <= 3
        assert row["worst"] > 0.1


def test_repeated_cell(folder: Path):
    change(folder, "REPEAT 2 1 1", "STEPS 5", without="STEPS")
    assert set(report(folder, "md", "md.in")["n_atoms"]) == {24}


def test_info_knows_the_files_of_md(folder: Path):
    change(folder, "STARTS 2", without="")
    succeed(folder, "md", "md.in")
    settings, checkpoint = report(folder, "info", "md.in", "md.checkpoint.npz")["files"]
    assert settings["kind"] == "input file of md" and settings["starts"] == 2
    assert checkpoint["kind"] == "checkpoint of molecular dynamics"
    assert [(walk["label"], walk["start"], walk["step"]) for walk in checkpoint["walks"]] == [
        (label, k, 20) for label in ("one", "two") for k in (1, 2)
    ]
    (folder / "md.checkpoint.npz").write_bytes((folder / "md.checkpoint.npz").read_bytes()[:-200])
    assert "damaged" in run(folder, "info", "md.checkpoint.npz").complaint


# --- stopping and going on ---------------------------------------------------------------------


def test_interrupted_run_leaves_tables_and_goes_on(folder: Path):
    change(
        folder,
        "NETWORKS",
        "O one/O.nn",
        "H one/H.nn",
        "STEPS 1000000",
        "SAMPLE 10",
        "TRAJECTORY run.extxyz",
        "EXTRAPOLATION action=ignore",
        "TIMESTEP 0.01",
        without="POTENTIALS STEPS SAMPLE TIMESTEP",
    )
    process = start(folder, "md", "md.in", "--report", "report.json")
    end = time.monotonic() + 60
    while not (folder / "run.extxyz").exists() or (folder / "run.extxyz").stat().st_size < 8000:
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "" and "--resume" in out and "running" in out
    rows = table(folder / "md.steps.csv")
    assert [int(row["step"]) for row in rows] == list(range(0, 10 * len(rows), 10))
    frames = read(folder / "run.extxyz", ":")
    assert [frame.info["step"] for frame in frames[: len(rows)]] == [int(row["step"]) for row in rows]
    n = int(rows[-1]["step"])
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("STEPS 1000000", f"STEPS {n + 30}"))
    (walk,) = report(folder, "md", "md.in", "--resume")["walks"]
    assert walk["status"] == "finished" and walk["steps"] == n + 30
    assert [int(row["step"]) for row in table(folder / "md.steps.csv")] == list(range(0, n + 31, 10))


def test_ctrl_c_within_a_frame_waits_for_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Half a frame in the file would make the whole trajectory unreadable."""
    change(folder, "STARTS 1", "TRAJECTORY run.extxyz", "POTENTIALS", "one    one", without="POTENTIALS")
    whole = ase.io.write

    def interrupted(path: str, frame: Atoms, **options: object) -> None:
        text = io.StringIO()
        whole(text, frame, format="extxyz")
        half = len(text.getvalue()) // 2
        with open(path, "a") as stream:
            stream.write(text.getvalue()[:half])
            stream.flush()
            if frame.info["step"] == 10:
                signal.raise_signal(signal.SIGINT)
            stream.write(text.getvalue()[half:])

    monkeypatch.setattr(ase.io, "write", interrupted)
    assert run(folder, "md", "md.in").code == 130
    assert [int(row["step"]) for row in table(folder / "md.steps.csv")] == [0, 5, 10]
    monkeypatch.setattr(ase.io, "write", whole)
    succeed(folder, "md", "md.in", "--resume")
    steps = [int(row["step"]) for row in table(folder / "md.steps.csv")]
    assert steps == [0, 5, 10, 15, 20] == [frame.info["step"] for frame in read(folder / "run.extxyz", ":")]


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj"])
def test_frames_later_than_the_checkpoint_are_written_once(folder: Path, name: str):
    """As after a crash or the end of a cluster's time limit: the frames are there, the checkpoint is older."""
    change(folder, f"TRAJECTORY {name}", "POTENTIALS", "one    one", "STEPS 10", without="POTENTIALS STEPS")
    succeed(folder, "md", "md.in")
    checkpoint = (folder / "md.checkpoint.npz").read_bytes()
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("STEPS 10", "STEPS 20"))
    succeed(folder, "md", "md.in", "--resume")
    whole = read(folder / name, ":")
    assert [frame.info["step"] for frame in whole] == [0, 5, 10, 15, 20]
    (folder / "md.checkpoint.npz").write_bytes(checkpoint)
    if name.endswith("xyz"):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(text[: -len(text) // 10])
    succeed(folder, "md", "md.in", "--resume")
    again = read(folder / name, ":")
    assert [frame.info["step"] for frame in again] == [0, 5, 10, 15, 20]
    for first, second in zip(whole, again):
        np.testing.assert_array_equal(first.positions, second.positions)


def test_a_run_killed_before_its_first_frame_is_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    change(folder, "TRAJECTORY run.extxyz", "POTENTIALS", "one    one", "STEPS 10", without="POTENTIALS STEPS")
    found = succeed(folder, "md", "md.in", "--resume")
    assert "there is no md.checkpoint.npz to resume from: the run starts anew" in found.out
    whole = (folder / "run.extxyz").read_bytes()

    def killed(*_: object) -> None:
        (folder / "run.extxyz").write_bytes(whole[:200])
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("taylorfit.commands.md.run_walk", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run(folder, "md", "md.in", "--force")
    succeed(folder, "md", "md.in", "--resume")
    assert (folder / "run.extxyz").read_bytes() == whole
    (folder / "run.extxyz").unlink()
    found = run(folder, "md", "md.in", "--resume")
    assert "run.extxyz has no frame, the checkpoint is at step 10: the frames between are lost" in found.out


def test_resuming_does_not_touch_trajectories_of_others(folder: Path):
    change(folder, "TRAJECTORY run.extxyz", "POTENTIALS", "one    one", "STEPS 10", without="POTENTIALS STEPS")
    succeed(folder, "md", "md.in")
    write(folder / "other.extxyz", random_atoms(3), format="extxyz")
    before = (folder / "other.extxyz").read_bytes()
    text = (folder / "md.in").read_text()
    (folder / "md.in").write_text(text.replace("run.extxyz", "other.extxyz").replace("STEPS 10", "STEPS 20"))
    assert "other.extxyz" in run(folder, "md", "md.in", "--resume").complaint
    assert (folder / "other.extxyz").read_bytes() == before
    succeed(folder, "md", "md.in", "--resume", "--force")
    assert [frame.info["step"] for frame in read(folder / "other.extxyz", ":")] == [15, 20]


def test_resumed_run_equals_an_uninterrupted_one_and_may_be_longer(folder: Path):
    options = ["STARTS 2", "ENSEMBLE nvt", "RDF pairs=O-O r_max=5", "TRAJECTORY run.traj", "OUTPUT whole"]
    change(folder, *options, without="")
    succeed(folder, "md", "md.in")
    change(folder, *options[:-1], "STEPS 10", "OUTPUT part", "STARTS 1", without="STEPS STARTS")
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("STARTS 2\n", ""))
    for file in folder.glob("run*.traj"):
        file.unlink()
    succeed(folder, "md", "md.in")
    change(folder, *options[:-1], "OUTPUT part", without="")
    succeed(folder, "md", "md.in", "--resume")
    whole, part = (table(folder / f"{name}.steps.csv") for name in ("whole", "part"))
    assert [list(row.values())[:4] for row in whole] == [list(row.values())[:4] for row in part]
    for key in ("E_pot_eV", "E_kin_eV", "T_K"):
        np.testing.assert_allclose([float(row[key]) for row in part], [float(row[key]) for row in whole], rtol=1e-8)
    np.testing.assert_allclose(
        *[[float(row["g"]) for row in table(folder / f"{name}.rdf.csv")] for name in ("whole", "part")]
    )


def test_resuming_refuses_other_settings_and_potentials(folder: Path):
    succeed(folder, "md", "md.in")
    change(folder, "TEMPERATURE 301", without="")
    assert "belongs to other data or settings" in run(folder, "md", "md.in", "--resume").complaint
    (folder / "md.in").write_text(BASE)
    succeed(folder, "md", "md.in", "--resume")
    (folder / "one" / "O.nn").write_bytes((folder / "two" / "O.nn").read_bytes())
    assert "belongs to other data or settings" in run(folder, "md", "md.in", "--resume").complaint


def test_outputs_of_an_earlier_run_are_not_replaced_without_a_word(folder: Path):
    succeed(folder, "md", "md.in")
    before = contents(folder)
    assert "output exists" in run(folder, "md", "md.in").complaint
    assert contents(folder) == before
    succeed(folder, "md", "md.in", "--force")
    (folder / "md.checkpoint.npz").unlink()
    assert "output exists" in run(folder, "md", "md.in", "--resume").complaint


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "without", "words"),
    [
        (["NETWORKS", "O one/O.nn"], "", ["exactly one of NETWORKS and POTENTIALS"]),
        ([], "POTENTIALS", ["exactly one of NETWORKS and POTENTIALS"]),
        ([], "STRUCTURE", ["STRUCTURE is missing"]),
        (["POTENTIALS", "a/b one"], "POTENTIALS", ["line", "not a label", "'a/b'"]),
        (["POTENTIALS", "a one", "a two"], "POTENTIALS", ["a label twice"]),
        (["POTENTIALS", "a"], "POTENTIALS", ["no files for this potential"]),
        (["POTENTIALS", "a one two/O.nn"], "POTENTIALS", ["files and folders"]),
        (["POTENTIALS", "a nowhere/O.nn nowhere/H.nn"], "POTENTIALS", ["nowhere/O.nn", "cannot be read"]),
        (["ENSEMBLE npt"], "", ["line", "'npt'", "nvt"]),
        (["THERMOSTAT"], "", ["THERMOSTAT without a kind"]),
        (["THERMOSTAT nose"], "", ["'nose'", "langevin"]),
        (["THERMOSTAT langevin time=5"], "", ["not an option of langevin", "'time'"]),
        (["THERMOSTAT langevin friction=-1"], "", ["friction not positive", "-1"]),
        (["TIMESTEP -1"], "TIMESTEP", ["TIMESTEP out of range"]),
        (["SAMPLE 50"], "SAMPLE", ["SAMPLE larger than STEPS"]),
        (["STARTS 0"], "", ["STARTS too small"]),
        (["REPEAT 2 2"], "", ["REPEAT without three numbers"]),
        (["REPEAT 2 2 0"], "", ["REPEAT not positive"]),
        (["TRAJECTORY run.pdb"], "", ["unknown kind of trajectory", ".extxyz"]),
        (["RDF r_max=5"], "", ["RDF without pairs"]),
        (["RDF pairs=OO"], "", ["not pairs of species"]),
        (["RDF pairs=O-Si"], "", ["'Si'", "RDF of a species that is not there"]),
        (["EXTRAPOLATION action=panic"], "", ["'panic'", "warn"]),
        (["EXTRAPOLATION tolerance=-1"], "", ["tolerance out of range", "md.in, line"]),
        (["EXTRAPOLATION max_force_std=0.1"], "", ["max_force_std without a committee"]),
        (["SPEED 3"], "", ["unknown keyword", "'SPEED'"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder: Path, lines: list[str], without: str, words: list[str]):
    change(folder, *lines, without=without)
    before = contents(folder)
    complaint = run(folder, "md", "md.in").complaint
    for word in words:
        assert word in complaint, complaint
    assert contents(folder) == before


def test_structures_that_do_not_fit_are_refused(folder: Path):
    atoms = random_atoms()
    atoms.set_chemical_symbols(["Si"] + ["O"] * 11)
    write(folder / "start.xyz", atoms, format="extxyz")
    assert "no potential for a species" in run(folder, "md", "md.in").complaint
    atoms = random_atoms(pbc=(True, True, False))
    write(folder / "start.xyz", atoms, format="extxyz")
    change(folder, "RDF pairs=O-O", without="")
    assert "without a volume" in run(folder, "md", "md.in").complaint
    change(folder, "REPEAT 1 1 2", without="")
    assert "cannot be repeated" in run(folder, "md", "md.in").complaint


# --- masses, constraints, velocities, and what comes out of md again ----------------------------


def short(folder: Path, *lines: str) -> Path:
    """One start, one potential, and a trajectory."""
    change(folder, "POTENTIALS", "one one", "", "TRAJECTORY run.extxyz", *lines)
    return folder / "run.extxyz"


def test_masses_of_the_structure_are_those_of_the_dynamics(folder: Path):
    atoms = random_atoms()
    tables = {}
    for name, masses in (("light", atoms.get_masses()), ("heavy", 2.0 * atoms.get_masses())):
        atoms.set_masses(masses)
        atoms.set_array("masses", masses)
        write(folder / "start.xyz", atoms, format="extxyz")
        short(folder, f"OUTPUT {name}").unlink(missing_ok=True)
        succeed(folder, "md", "md.in")
        tables[name] = [float(row["E_pot_eV"]) for row in table(folder / f"{name}.steps.csv")]
    light, heavy = np.abs(np.diff(tables["light"])[0]), np.abs(np.diff(tables["heavy"])[0])
    assert heavy == pytest.approx(light / np.sqrt(2.0), rel=0.2) and heavy < light


@pytest.mark.parametrize("lines", [[], ["ENSEMBLE nvt"], ["ENSEMBLE nvt", "THERMOSTAT bussi"], ["REPEAT 2 1 1"]])
def test_frozen_layers_stay_where_they_are(folder: Path, lines: list[str]):
    from ase.constraints import FixAtoms, FixCartesian

    atoms = random_atoms()
    atoms.set_constraint([FixAtoms([0, 3]), FixCartesian(1, (False, False, True))])
    write(folder / "start.traj", atoms)
    path = short(folder, *lines)
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("start.xyz", "start.traj"))
    succeed(folder, "md", "md.in")
    moved = np.abs(np.ptp([frame.positions for frame in read(path, ":")], axis=0))
    for n in range(len(moved) // len(atoms)):
        part = moved[n * len(atoms) : (n + 1) * len(atoms)]
        assert part[0].max() == part[3].max() == part[1, 2] == 0.0
        assert part[1, :2].min() > 0.0 and part[2].min() > 0.0


def test_a_move_mask_of_extended_xyz_holds_atoms(folder: Path):
    from ase.constraints import FixAtoms

    atoms = random_atoms()
    atoms.set_constraint(FixAtoms([2]))
    write(folder / "start.xyz", atoms, format="extxyz", columns=["symbols", "positions", "move_mask"])
    path = short(folder)
    succeed(folder, "md", "md.in")
    assert np.ptp([frame.positions[2] for frame in read(path, ":")], axis=0).max() == 0.0


def test_constraints_that_are_not_kept_are_told_and_velocities_are_taken_if_asked(folder: Path):
    from ase.constraints import FixBondLength

    atoms = random_atoms()
    momenta = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_momenta(momenta)
    atoms.set_constraint(FixBondLength(0, 1))
    write(folder / "start.traj", atoms)
    path = short(folder, "VELOCITIES file")
    (folder / "md.in").write_text((folder / "md.in").read_text().replace("start.xyz", "start.traj"))
    assert "left out: constraints of kind FixBondLength" in succeed(folder, "md", "md.in").out
    np.testing.assert_allclose(read(path, 0).get_momenta(), momenta, atol=1e-7)
    write(folder / "start.traj", random_atoms())
    assert "no velocities" in run(folder, "md", "md.in", "--force").complaint


def test_trajectories_of_a_potential_are_no_reference_data(folder: Path):
    from cli_support import generate_in, write_setups

    short(folder)
    succeed(folder, "md", "md.in")
    write_setups(folder, ("H", "O"))
    (folder / "g.in").write_text(generate_in(("H", "O"), ["run.extxyz"]))
    assert "those of a potential" in run(folder, "generate", "g.in").complaint
    assert "no structures are left" in run(folder, "generate", "g.in", "--drop", "predicted").complaint
    succeed(folder, "generate", "g.in", "--energy-key", "energy", "--forces-key", "forces")
    # Nor does a conversion make them such
    for name, found in (("copy.extxyz", "copy.extxyz"), ("frames/", "frames/*.xsf")):
        succeed(folder, "convert", "run.extxyz", name)
        (folder / "g.in").write_text(generate_in(("H", "O"), [found]))
        assert "potential=one" in run(folder, "generate", "g.in", "--force").complaint
    succeed(folder, "generate", "g.in", "--force", "--energy-key", "energy")


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj"])
@pytest.mark.parametrize("left", [0.9, 0.5, 0.05])
def test_truncated_trajectories_are_cut_and_their_gap_is_told(folder: Path, name: str, left: float):
    change(folder, "POTENTIALS", "one one", "", f"TRAJECTORY {name}")
    succeed(folder, "md", "md.in")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(left * len(content))])
    change(folder, "POTENTIALS", "one one", "", f"TRAJECTORY {name}", "STEPS 40", without="STEPS POTENTIALS")
    found = run(folder, "md", "md.in", "--resume")
    assert found.code == 0, found
    steps = [frame.info["step"] for frame in read(folder / name, ":")]
    assert steps[-4:] == [25, 30, 35, 40] and steps == sorted(set(steps))
    assert ("frames between are lost" in found.out) == (20 not in steps)


def test_frames_of_a_committee_have_its_deviations(folder: Path):
    change(folder, "POTENTIALS", "all committee", "", "TRAJECTORY run.extxyz")
    succeed(folder, "md", "md.in")
    frame = read(folder / "run.extxyz", 1)
    assert frame.info["energy_std"] > 0.0
    assert frame.arrays["forces_std"].shape == (len(frame),) and frame.arrays["forces_std"].min() > 0.0


def test_the_table_of_steps_has_the_deviations_of_committees(folder: Path):
    change(folder, "POTENTIALS", "all committee", "one committee/01", "", "TRAJECTORY run.extxyz")
    succeed(folder, "md", "md.in")
    rows = table(folder / "md.steps.csv")
    frames = read(next(folder.glob("run*all*.extxyz")), ":")
    of_all = [row for row in rows if row["potential"] == "all"]
    assert [float(row["E_pot_std_eV"]) for row in of_all] == pytest.approx([f.info["energy_std"] for f in frames])
    largest = [frame.arrays["forces_std"].max() for frame in frames]
    assert [float(row["F_std_max_eV_per_A"]) for row in of_all] == pytest.approx(largest, abs=1e-7)
    assert {row["E_pot_std_eV"] for row in rows if row["potential"] == "one"} == {""}
    change(folder, "POTENTIALS", "one committee/01", "")
    succeed(folder, "md", "md.in", "--force")
    assert "E_pot_std_eV" not in table(folder / "md.steps.csv")[0]


def test_a_backup_is_no_member_and_none_counts_twice(folder: Path):
    import shutil

    from taylorfit import Calculator, InputError

    shutil.copytree(folder / "committee" / "01", folder / "committee" / "01.bak")
    assert Calculator.committee(folder / "committee").n_members == 2
    with pytest.raises(InputError, match="the same member twice"):
        Calculator.committee([folder / "committee" / "01", folder / "committee" / "01.bak"])
