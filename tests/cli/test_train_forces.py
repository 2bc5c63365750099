"""Training on forces through the command line: modes, sources of the cells, weights, schedules, resuming."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import generate_in, make_toy, report, run, start, succeed, taylor, train_in, write_setups
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.companion import geometry_path
from taylorfit.formats.structures.files import read_structures
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.training.checkpoint import load_checkpoint

MODES = ("energy", "taylor", "centred", "directional", "exact")
LINES = {mode: f"mode={mode}" + (" directions=6" if mode == "directional" else "") for mode in MODES}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 Morse clusters of five atoms, Taylor copies, and descriptor derivatives of half of the clusters."""
    folder = tmp_path_factory.mktemp("forces")
    make_toy(folder, 24, extra=taylor(delta=0.01, fraction=6, outfile="copies.train") + "\nFORCES\nFORCESPERCENT 50")
    succeed(folder, "generate", "generate.in")
    return folder


def train(folder: Path, *options: str, **keywords: Any) -> dict[str, Any]:
    """Train from random weights and return the report."""
    (folder / "train.in").write_text(train_in(**{"testpercent": 25, "iterations": 30, **keywords}))
    return report(folder, "train", "train.in", *options)


def complaint(folder: Path, **keywords: Any) -> str:
    (folder / "train.in").write_text(train_in(**{"testpercent": 25, "iterations": 3, **keywords}))
    return run(folder, "train", "train.in").complaint


# --- modes --------------------------------------------------------------------------------------


def test_one_word_switches_the_mode_and_forces_get_better(toy: Path) -> None:
    best = {}
    for mode in MODES:
        copies = {"taylorset": "copies.train"} if mode in ("taylor", "centred") else {}
        found = train(
            toy,
            "--fresh",
            iterations=150,
            patience=1000,  # the best epoch counts, few test structures or not
            forces=f"{LINES[mode]}" + (" beta=1e-2" if mode != "taylor" else ""),
            **copies,
        )
        assert found["mode"] == mode
        assert found["criterion"] == ("energy" if mode == "energy" else "both")
        best[mode] = min(e["test_force_rmse"] for e in found["epochs"] if e["test_force_rmse"] is not None)
    assert best["exact"] < 0.5 * best["energy"]
    assert best["directional"] < 0.6 * best["energy"]
    assert best["centred"] < 0.8 * best["energy"]


def test_sets_with_copies_are_trained_group_centred_unless_told_otherwise(toy: Path) -> None:
    assert train(toy, taylorset="copies.train", iterations=1)["mode"] == "centred"
    assert train(toy, "--fresh", taylorset="copies.train", iterations=1, forces="mode=taylor")["mode"] == "taylor"
    assert train(toy, "--fresh", taylorset="copies.train", iterations=1, copyweight=0.5)["mode"] == "taylor"
    assert train(toy, "--fresh", taylorset="copies.train", iterations=1, loss="total")["mode"] == "taylor"
    assert train(toy, "--fresh", iterations=1)["mode"] == "energy"


@pytest.mark.parametrize("mode", ("exact", "taylor"))
def test_errors_of_the_test_set_are_those_of_predict(toy: Path, mode: str) -> None:
    """The force map and the potential that is written agree."""
    copies = {"taylorset": "copies.train"} if mode == "taylor" else {}
    found = train(toy, "--fresh", forces=LINES[mode], save_energies=True, **copies)
    tested = [line.split()[-1] for line in (toy / "energies.test.0").read_text().splitlines()[1:]]
    (toy / "predict.in").write_text(
        "TYPES\n1\nAr\n\nNETWORKS\nAr Ar.nn\n\nFORCES\n\nFILES\n" + "\n".join([str(len(tested)), *tested]) + "\n"
    )
    errors = report(toy, "predict", "predict.in")["errors"]
    best = found["epochs"][found["best_epoch"]]
    assert best["test_force_rmse"] == pytest.approx(errors["force_rmse"], rel=1e-5)
    assert best["test_force_mae"] == pytest.approx(errors["force_mae"], rel=1e-5)
    assert best["test_rmse"] == pytest.approx(errors["energy_rmse"], rel=1e-8)


def test_the_best_epoch_has_the_smallest_error_of_what_was_asked_for(toy: Path) -> None:
    found = train(toy, forces="mode=exact beta=3e-3")
    scores = [e["test_rmse"] ** 2 + 3e-3 * e["test_force_rmse"] ** 2 for e in found["epochs"]]
    assert found["best_epoch"] == int(np.argmin(scores))
    found = train(toy, "--fresh", forces="mode=exact beta=3e-3", best="energy")
    assert found["criterion"] == "energy"
    assert found["best_epoch"] == int(np.argmin([e["test_rmse"] for e in found["epochs"]]))


def test_train_forces_are_shown_too(toy: Path) -> None:
    exact = train(toy, forces="mode=exact", iterations=20)["epochs"]
    assert all(e["train_force_rmse"] is not None for e in exact)
    energy = train(toy, "--fresh", forces="mode=energy", iterations=20, validationevery=5)["epochs"]
    for key in ("train_force_rmse", "test_force_mae"):
        assert [e["epoch"] for e in energy if e[key] is not None] == [0, 5, 10, 15, 20]
    out = (run(toy, "train", "train.in")).out
    assert "F RMSE (eV/Å)" in out


# --- where cells come from ----------------------------------------------------------------------


def test_without_the_companion_the_structure_files_serve(toy: Path) -> None:
    whole = train(toy, forces="mode=exact")
    Path(geometry_path(toy / "toy.train")).unlink()
    again = train(toy, "--fresh", forces="mode=exact")
    for one, other in zip(whole["epochs"], again["epochs"]):
        assert other["test_force_rmse"] == pytest.approx(one["test_force_rmse"], rel=1e-5)


def test_without_companion_and_files_exact_training_is_refused_and_energies_are_not(toy: Path) -> None:
    Path(geometry_path(toy / "toy.train")).unlink()
    shutil.rmtree(toy / "xsf")
    assert "needs the cells of the structures" in complaint(toy, forces="mode=exact")
    found = train(toy, forces="mode=taylor", taylorset="copies.train", patience=1000)
    assert found["criterion"] == "energy" and found["epochs"][0]["test_force_rmse"] is None


def test_structure_files_that_changed_are_refused(toy: Path) -> None:
    Path(geometry_path(toy / "toy.train")).unlink()
    path = toy / "xsf/03.xsf"
    lines = path.read_text().splitlines()
    words = lines[-1].split()
    lines[-1] = " ".join([*words[:4], str(float(words[4]) + 0.01), *words[5:]])
    path.write_text("\n".join(lines) + "\n")
    assert "xsf/03.xsf: is no longer what the training set was made from" in complaint(toy, forces="mode=exact")


def test_a_companion_of_another_set_or_a_damaged_one_is_refused(toy: Path, tmp_path: Path) -> None:
    path = Path(geometry_path(toy / "toy.train"))
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    assert "toy.train.geometry: is not a companion of a training set, or is damaged" in complaint(
        toy, forces="mode=exact"
    )
    other = tmp_path / "other"
    make_toy(other, 24, seed=2)
    succeed(other, "generate", "generate.in")
    shutil.copyfile(other / "toy.train.geometry", path)
    assert "belongs to another training set" in complaint(toy, forces="mode=exact")


def test_descriptor_derivatives_of_aenet_serve_as_well(toy: Path) -> None:
    """The file covers half of the structures; training on these is the same as with computed derivatives."""
    found = train(toy, forces="mode=exact derivatives=toy.train.forces")
    shown = [e["train_force_rmse"] for e in found["epochs"]]
    assert shown[-1] < 0.7 * shown[0]
    assert 0 < found["n_force_atoms"] < 5 * found["n_train"]
    Path(geometry_path(toy / "toy.train")).unlink()
    shutil.rmtree(toy / "xsf")
    bare = train(toy, "--fresh", forces="mode=exact derivatives=toy.train.forces")
    assert bare["n_force_atoms"] == found["n_force_atoms"]
    for one, other in zip(found["epochs"], bare["epochs"]):
        assert other["train_force_rmse"] == pytest.approx(one["train_force_rmse"], rel=1e-9)
    (toy / "toy.train.forces").write_bytes((toy / "toy.train.forces").read_bytes()[:-9])
    assert "toy.train.forces" in complaint(toy, forces="mode=exact derivatives=toy.train.forces")


# --- weights and schedules ----------------------------------------------------------------------


def test_a_share_of_the_forces(toy: Path) -> None:
    all_, half = (
        train(toy, "--fresh", forces=f"mode=exact percent={p}", iterations=5)["n_force_atoms"] for p in (100, 50)
    )
    assert all_ == 5 * 18 and half == 5 * 9


def test_force_weights_of_the_data_reach_the_loss(toy: Path) -> None:
    whole = train(toy, forces="mode=exact", iterations=5)["epochs"]
    geometry = dict(np.load(geometry_path(toy / "toy.train")))
    geometry["atom_weight"] = geometry["atom_weight"] * 0.0
    with open(geometry_path(toy / "toy.train"), "wb") as stream:
        np.savez(stream, **geometry)
    assert "without forces to train on" in complaint(toy, forces="mode=exact")
    geometry["atom_weight"] = geometry["atom_weight"] + np.tile([1.0, 0.0, 2.0, 1.0, 1.0], 24)
    with open(geometry_path(toy / "toy.train"), "wb") as stream:
        np.savez(stream, **geometry)
    (toy / "Ar.nn").unlink()
    weighted = train(toy, "--fresh", forces="mode=exact", iterations=5)["epochs"]
    # The same start; the errors of forces count the weights, too
    energies = [key for key in whole[0] if "force" not in key]
    start, end = ([[run[epoch][key] for key in energies] for run in (whole, weighted)] for epoch in (0, 5))
    assert start[0] == start[1] and end[0] != end[1]
    assert weighted[0]["train_force_rmse"] != whole[0]["train_force_rmse"]


def test_beta_can_change_in_between(toy: Path) -> None:
    plain = train(toy, forces="mode=exact beta=1e-4", iterations=40)["epochs"]
    changed = train(toy, "--fresh", forces="mode=exact beta=1e-4,1e-1@20", iterations=40)["epochs"]
    assert [e["test_rmse"] for e in changed[:20]] == [e["test_rmse"] for e in plain[:20]]
    assert changed[40]["train_force_rmse"] < plain[40]["train_force_rmse"]


@pytest.mark.parametrize(
    "line", (LINES["exact"], LINES["directional"], "mode=exact beta=1e-3,1e-2@15", LINES["centred"])
)
def test_a_resumed_run_equals_an_uninterrupted_one(toy: Path, line: str) -> None:
    copies = {"taylorset": "copies.train"} if "centred" in line else {}
    whole = train(toy, "--fresh", forces=line, **copies)
    for epochs in (10, 15):
        train(toy, "--fresh", forces=line, **{"iterations": epochs, **copies})
        resumed = train(toy, "--resume", forces=line, **copies)
        assert resumed["epochs"] == whole["epochs"]


def test_the_same_for_any_number_of_threads(toy: Path) -> None:
    one, three = (train(toy, "--fresh", forces="mode=exact", threads=n)["epochs"] for n in (1, 3))
    assert one == three


def test_ctrl_c_leaves_a_checkpoint(toy: Path) -> None:
    (toy / "train.in").write_text(train_in(iterations=1000000, forces="mode=exact", checkpoint=10))
    process = start(toy, "train", "train.in")
    deadline = time.monotonic() + 30
    while not (toy / "train.checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted after epoch" in out and (toy / "Ar.nn").exists()
    with np.load(toy / "train.checkpoint.npz") as file:
        assert load_checkpoint(toy / "train.checkpoint.npz", str(file["identity"]))["counters"][0] >= 10


# --- input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keywords, expected",
    (
        ({"forces": "mode=exact beta=0"}, "beta out of range"),
        ({"forces": "mode=exact beta=1e-3,1e-2"}, "a later weight without its epoch"),
        ({"forces": "mode=exact beta=1e-3,1e-2@30,1e-3@20"}, "epochs of beta out of order"),
        ({"forces": "mode=directional directions=0"}, "no directions"),
        ({"forces": "mode=exact percent=0"}, "not a percentage"),
        ({"forces": "mode=exact weight_H=-1"}, "weight_H out of range"),
        ({"forces": "mode=energy derivatives=a.forces"}, "derivatives= without mode=exact"),
        ({"forces": "mode=taylor virial=1"}, "virial= does not go with mode=taylor"),
        ({"forces": "mode=exact virial=1"}, "without stresses"),
        ({"forces": "mode=exact", "copyweight": 2}, "no COPYWEIGHT"),
        ({"forces": "mode=exakt"}, "exact"),
        ({"forces": "mode=exact derivatives=nothing.forces"}, "nothing.forces"),
        ({"best": "forces"}, "one of energy both"),
    ),
)
def test_what_cannot_be_done_is_one_line(toy: Path, keywords: dict[str, Any], expected: str) -> None:
    assert expected in complaint(toy, **keywords)


def test_methods_that_step_from_structure_to_structure_are_refused(toy: Path) -> None:
    for method in ("ekf", "online_sd"):
        text = train_in(testpercent=25, forces="mode=exact").replace("bfgs", method)
        (toy / "train.in").write_text(text)
        assert "METHOD bfgs" in run(toy, "train", "train.in").complaint


# --- stresses and weights of the data -----------------------------------------------------------


def periodic_set(folder: Path, n: int = 14) -> None:
    """Structures of a Morse crystal with energies, forces and stresses, as extended XYZ, and generate.in."""
    from ase import Atoms
    from ase.build import bulk
    from ase.calculators.morse import MorsePotential
    from ase.io import write

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    frames: list[Atoms] = []
    for _ in range(n):
        atoms = bulk("Ar", "fcc", a=4.0, cubic=True)
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.12, seed=int(rng.integers(1 << 30)))
        atoms.calc = MorsePotential(epsilon=0.4, r0=2.8, rho0=4.0, rcut1=4.0, rcut2=4.6)
        atoms.get_stress()
        frames.append(atoms)
    write(folder / "data.extxyz", frames, format="extxyz")
    write_setups(folder, ("Ar",), radius=4.5, radial=6, angular=2)
    (folder / "generate.in").write_text(generate_in(("Ar",), ["data.extxyz"]).replace("-10.0", "0.0"))


def stress_error(folder: Path) -> float:
    """RMSE of the virial components per atom of the last epoch's potential on all structures, eV."""
    from taylorfit.formats.structures.files import read_structures
    from taylorfit.potential.potential import Potential

    structures = list(read_structures(str(folder / "data.extxyz")))
    found = Potential.load({"Ar": folder / "Ar.nn.last"}).evaluate(structures)
    return float(
        np.sqrt(
            np.mean([((e.strain_derivative - s.volume * s.stress) / s.n_atoms) ** 2 for e, s in zip(found, structures)])
        )
    )


def test_stresses_are_trained_on_where_the_data_has_them(tmp_path: Path) -> None:
    periodic_set(tmp_path)
    succeed(tmp_path, "generate", "generate.in")
    errors = {}
    for virial in (0, 1):
        train(tmp_path, "--fresh", forces=f"mode=exact beta=1e-4 virial={virial}", iterations=150, testpercent=20)
        errors[virial] = stress_error(tmp_path)
    assert errors[1] < 0.6 * errors[0]
    train(
        tmp_path, "--fresh", forces="mode=directional directions=5 beta=1e-4 virial=1", iterations=150, testpercent=20
    )
    assert stress_error(tmp_path) < 0.7 * errors[0]


def test_strained_copies_teach_stresses_group_centred(tmp_path: Path) -> None:
    periodic_set(tmp_path)
    text = (tmp_path / "generate.in").read_text()
    (tmp_path / "strain.in").write_text(
        text.replace("OUTPUT toy.train", "OUTPUT unused.train").replace(
            "\n\nFILES",
            "\n\n" + taylor(strategy="strain", strain=0.002, fraction=12, outfile="strained.train") + "\n\nFILES",
            1,
        )
    )
    (tmp_path / "generate.in").write_text(
        text.replace("\n\nFILES", "\n\n" + taylor(delta=0.01, fraction=8, outfile="copies.train") + "\n\nFILES", 1)
    )
    for file in ("generate.in", "strain.in"):
        succeed(tmp_path, "generate", file)
    train(
        tmp_path, "--fresh", forces="mode=centred beta=1e-4", taylorset="copies.train", iterations=150, testpercent=20
    )
    without = stress_error(tmp_path)
    both = {"taylorset": "copies.train strained.train", "testpercent": 20}
    train(tmp_path, "--fresh", forces="mode=centred beta=1e-4 virial=1", iterations=150, **both)
    assert stress_error(tmp_path) < 0.7 * without
    assert "strained copies no weight" in complaint(tmp_path, forces="mode=centred", **both)
    assert "needs strained copies" in complaint(tmp_path, forces="mode=centred virial=1", taylorset="copies.train")


def test_weights_in_structure_files_reach_the_loss(tmp_path: Path) -> None:
    """A structure of weight 0 and forces of weight 0 say nothing: whatever they are, the training is the same."""
    results = []
    for spoilt in (False, True):
        folder = tmp_path / str(spoilt)
        structures = make_toy(folder, 12)
        for number, s in enumerate(structures):
            weights = np.ones(5)
            energy, forces = s.energy, s.forces.copy()
            if number == 3:
                energy += 0.01 * spoilt
                forces += 0.3 * spoilt
            if number == 4:
                weights[2] = 0.0
                forces[2] += 2.0 * spoilt
            write_xsf(
                folder / s.name,
                replace(s, energy=energy, forces=forces, force_weights=weights, weight=0.0 if number == 3 else 1.0),
            )
        succeed(folder, "generate", "generate.in")
        found = train(folder, forces="mode=exact", testpercent=0, iterations=10)
        results.append(read_potential(folder / "Ar.nn.last").network.weights)
        assert found["n_force_atoms"] == 55 if not spoilt else True
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9)


# --- forces without energies --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mode=exact", "mode=directional directions=6"])
def test_forces_alone_are_trained_on(tmp_path: Path, method: str) -> None:
    structures = make_toy(tmp_path, 16)
    energies = {"right": None, "none": None, "zero": 0.0}
    best = {}
    for kind, energy in energies.items():
        folder = tmp_path / kind
        folder.mkdir()
        for s in structures:
            given = s if kind == "right" else replace(s, energy=energy)
            (folder / "xsf").mkdir(exist_ok=True)
            write_xsf(folder / s.name, given)
        write_setups(folder, ("Ar",))
        text = generate_in(("Ar",), ["xsf/*.xsf"], extra="" if kind == "right" else "NOENERGIES")
        (folder / "generate.in").write_text(text)
        succeed(folder, "generate", "generate.in")
        found = train(folder, iterations=60, testpercent=25, patience=1000, forces=f"{method} beta=1e-2 energyweight=0")
        errors = [epoch["test_force_rmse"] for epoch in found["epochs"]]
        known = [error for error in errors if error is not None]
        best[kind] = errors[found["best_epoch"]]
        assert best[kind] == min(known) < 0.5 * known[0]
    assert best["none"] == best["zero"]


def test_structures_without_energies_are_refused_unless_asked_for(tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 4)
    for s in structures:
        write_xsf(tmp_path / s.name, replace(s, energy=None))
    assert "no energy" in run(tmp_path, "generate", "generate.in").complaint
    (tmp_path / "generate.in").write_text(generate_in(("Ar",), ["xsf/*.xsf"], extra="NOENERGIES"))
    assert "energies are written as 0" in succeed(tmp_path, "generate", "generate.in").out
    assert "energyweight=0" in complaint(tmp_path, forces="mode=exact")
    assert "nothing to train on with mode=energy" in complaint(tmp_path, forces="mode=energy energyweight=0")
    assert "nothing to train on with mode=energy" in complaint(tmp_path, forces="energyweight=0")
    assert "expected BEST both" in complaint(tmp_path, forces="mode=exact energyweight=0", best="energy")
    (tmp_path / "train.in").write_text(train_in(forces="mode=directional energyweight=0", iterations=1))
    assert "energies weighted by 0: their errors are shown" in succeed(tmp_path, "train", "train.in").out
    write_xsf(tmp_path / structures[0].name, replace(structures[0], energy=None, forces=None))
    assert "neither energy nor forces" in run(tmp_path, "generate", "generate.in", "--force").complaint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("Ar -10.0", "Ar -10.5", "atomic energy of Ar"), ("radial_N = 5", "radial_N = 6", "descriptor of Ar")],
)
def test_copies_of_another_generate_run_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    make_toy(tmp_path, 8, extra=taylor(delta=0.01, fraction=4, outfile="copies.train"))
    for file in ("generate.in", "Ar.stp"):
        text = (tmp_path / file).read_text()
        (tmp_path / f"other.{file}").write_text(text.replace(old, new).replace("Ar.stp", "other.Ar.stp"))
    other = (tmp_path / "other.generate.in").read_text().replace("toy.train", "other.train")
    (tmp_path / "other.generate.in").write_text(other.replace("copies.train", "other.copies.train"))
    succeed(tmp_path, "generate", "generate.in")
    succeed(tmp_path, "generate", "other.generate.in")
    found = complaint(tmp_path, taylorset="other.copies.train")
    assert words in found and "other.copies.train" in found
    train(tmp_path, taylorset="copies.train", iterations=2)


COPIED = taylor(delta=0.01, fraction=4, outfile="copies.train")
NO_CHECKSUM = "note: copies.train has no checksum of its parents (copies.train.parents)"


def change_first(folder: Path, **changes: Any) -> None:
    """Replace values of the first structure, which keeps its name."""
    first = next(iter(read_structures(folder / "xsf/00.xsf")))
    changed = {key: change(getattr(first, key)) for key, change in changes.items()}
    write_xsf(folder / "xsf/00.xsf", replace(first, **changed))


@pytest.mark.parametrize(
    "changes", [{"energy": lambda e: e + 1e-3}, {"forces": lambda f: -f}, {"forces": lambda f: f * 1.01}]
)
def test_a_half_replaced_set_is_recognised(tmp_path: Path, changes: dict[str, Any]) -> None:
    make_toy(tmp_path, 8, extra=COPIED)
    succeed(tmp_path, "generate", "generate.in")
    older = {name: (tmp_path / name).read_bytes() for name in ("copies.train", "copies.train.parents")}
    change_first(tmp_path, **changes)
    succeed(tmp_path, "generate", "generate.in", "--force")
    train(tmp_path, taylorset="copies.train", iterations=2)
    for name, content in older.items():
        (tmp_path / name).write_bytes(content)
    found = complaint(tmp_path, taylorset="copies.train")
    assert found.startswith("copies.train: Taylor copies of other structures") and "run generate again" in found


def test_copies_without_a_checksum_are_taken_and_it_is_said(tmp_path: Path) -> None:
    make_toy(tmp_path, 8, extra=COPIED)
    succeed(tmp_path, "generate", "generate.in")
    (tmp_path / "train.in").write_text(train_in(taylorset="copies.train", testpercent=25, iterations=2))
    assert "checksum" not in succeed(tmp_path, "train", "train.in").out
    (tmp_path / "copies.train.parents").unlink()
    assert NO_CHECKSUM in succeed(tmp_path, "train", "train.in").out
    (tmp_path / "copies.train.parents").write_text("hello")
    assert "copies.train.parents: is damaged" in run(tmp_path, "train", "train.in").complaint


def test_right_sets_keep_their_checksum(tmp_path: Path) -> None:
    """Copies made with other displacements, and a training set that went through text, are of the same structures."""
    make_toy(tmp_path, 8, extra=COPIED)
    succeed(tmp_path, "generate", "generate.in")
    text = (tmp_path / "generate.in").read_text()
    (tmp_path / "more.in").write_text(text.replace("copies.train", "more.train").replace("0.01", "0.02"))
    succeed(tmp_path, "generate", "more.in", "--force")
    for options in (("toy.train", "toy.ascii"), ("toy.ascii", "toy.train")):
        succeed(tmp_path, "convert", *options, "--force")
    for copies in ("copies.train", "more.train"):
        train(tmp_path, taylorset=copies, iterations=2)
