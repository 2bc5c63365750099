"""`predict` through the command line: ænet's energies and forces, errors, stress, and what is printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_support import GOLDEN, report, run, succeed
from golden_files import rows_of
from taylorfit.analysis.errors import errors_in
from taylorfit.engine import PotentialTables, evaluate
from taylorfit.errors import InputError
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.predictions import read_predictions
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.structure import Structure

LOCAL = (("mono", 1e-9), ("cluster/four_species", 1e-9), ("cluster/tio2_nets", 1e-8))
SHARED = (("lmnto", 1e-9), ("tio2/A_published_nets", 1e-8), ("tio2/B_own_nets", 1e-8))


@pytest.fixture
def mono(tmp_path: Path) -> Path:
    """Golden Si: four periodic cells and a cluster, all with energies and forces."""
    return copied(GOLDEN / "mono", tmp_path)


@pytest.fixture
def clusters(tmp_path: Path) -> Path:
    """Golden Ti-O clusters."""
    return copied(GOLDEN / "cluster" / "tio2_nets", tmp_path)


def copied(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return folder


def check_golden(folder: Path, tolerance: float) -> None:
    found = report(folder, "predict", "predict.in")["structures"]
    energies, forces = rows_of(folder / "energies.txt"), rows_of(folder / "forces.txt")
    assert [entry["file"] for entry in found] == [row[1] for row in energies]
    for entry, row in zip(found, energies):
        assert entry["energy"] == pytest.approx(float(row[4]), abs=tolerance)
        assert entry["cohesive_energy"] == pytest.approx(float(row[3]), abs=tolerance)
    own = np.concatenate([entry["forces"] for entry in found])
    assert np.abs(own - np.array([row[6:9] for row in forces], dtype=float)).max() <= 1e-9
    atomic = np.concatenate([entry["atomic_energies"] for entry in found])
    assert np.abs(atomic - np.array([float(row[9]) for row in forces])).max() <= 1e-9


@pytest.mark.parametrize("folder, tolerance", LOCAL)
def test_golden_energies_and_forces(folder: str, tolerance: float, tmp_path: Path) -> None:
    check_golden(copied(GOLDEN / folder, tmp_path), tolerance)


@pytest.mark.parametrize("folder, tolerance", SHARED)
def test_golden_energies_and_forces_of_the_shared_data(
    folder: str, tolerance: float, tmp_path: Path, shared: Path
) -> None:
    check_golden(copied(shared / "golden" / folder, tmp_path), tolerance)


@pytest.mark.parametrize("potentials", (("Ti.nn", "O.nn"), ("O.nn", "Ti.nn")), ids=" ".join)
def test_potentials_named_on_the_command_line_equal_an_input_file(potentials: tuple[str, str], clusters: Path) -> None:
    by_input = report(clusters, "predict", "predict.in")
    files = [entry["file"] for entry in by_input["structures"]]
    direct = report(clusters, "predict", "--potential", *potentials, "--", *files)
    for one, other in zip(by_input["structures"], direct["structures"], strict=True):
        assert one["file"] == other["file"]
        assert one["energy"] == pytest.approx(other["energy"], abs=1e-10)
        np.testing.assert_allclose(one["forces"], other["forces"], atol=1e-12)
    assert by_input["errors"] == pytest.approx(direct["errors"], rel=1e-10)


def test_patterns_work_on_the_command_line(clusters: Path) -> None:
    found = report(clusters, "predict", "--potential", "Ti.nn", "O.nn", "--", "xsf/*.xsf")
    # The same without the separator, and with the option given for each file
    assert report(clusters, "predict", "--potential", "Ti.nn", "O.nn", "xsf/*.xsf") == found
    assert report(clusters, "predict", "xsf/*.xsf", "--potential", "Ti.nn", "--potential", "O.nn") == found
    assert len(found["structures"]) == 4


def test_a_second_argument_replaces_the_files_of_the_input_file(mono: Path) -> None:
    whole = report(mono, "predict", "predict.in")["structures"]
    some = report(mono, "predict", "predict.in", "xsf/mono04.xsf", "xsf/mono02.xsf")["structures"]
    assert [entry["file"] for entry in some] == ["xsf/mono04.xsf", "xsf/mono02.xsf"]
    assert some == [whole[3], whole[1]]


# --- saved predictions -------------------------------------------------------------------------


def test_saved_predictions_are_what_the_report_says(mono: Path) -> None:
    found = report(mono, "predict", "predict.in", "--save-predictions", "silicon.npz")
    saved = read_predictions(mono / "silicon.npz")
    assert saved.label == "silicon" and saved.potentials == ("Si.nn",)
    assert saved.names == tuple(entry["file"] for entry in found["structures"])
    assert saved.energy.tolist() == [entry["energy"] for entry in found["structures"]]
    np.testing.assert_allclose(saved.energy_ref, [entry["energy_ref"] for entry in found["structures"]], rtol=1e-15)
    np.testing.assert_array_equal(saved.forces, np.concatenate([entry["forces"] for entry in found["structures"]]))
    np.testing.assert_array_equal(
        saved.forces_ref, np.concatenate([read_xsf(mono / name).forces for name in saved.names])
    )
    assert saved.symbols == ("Si",) * len(saved.forces)
    cohesive = saved.energy - saved.isolated_energy
    np.testing.assert_allclose(cohesive, [entry["cohesive_energy"] for entry in found["structures"]], rtol=1e-12)
    assert errors_in(saved).to_dict() == pytest.approx(found["errors"])


def test_predictions_for_structures_without_reference(mono: Path) -> None:
    bare = read_xsf(mono / "xsf/mono01.xsf")
    write_xsf(mono / "bare.xsf", Structure(bare.symbols, bare.positions, bare.cell, bare.pbc))
    succeed(
        mono,
        "predict",
        "predict.in",
        "bare.xsf",
        "xsf/mono05.xsf",
        "--save-predictions",
        "some.npz",
        "--label",
        "two words",
    )
    saved = read_predictions(mono / "some.npz")
    assert saved.label == "two words" and saved.has_energy.tolist() == [False, True]
    assert saved.has_forces.tolist() == [False] * bare.n_atoms + [True] * (len(saved.symbols) - bare.n_atoms)
    assert np.isfinite(saved.forces).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", "x"), "--label names saved predictions"),
        (("--save-predictions", "missing/x.npz"), "its directory does not exist"),
    ],
)
def test_predictions_that_cannot_be_saved(options: tuple[str, ...], words: str, mono: Path) -> None:
    assert words in run(mono, "predict", "predict.in", *options).complaint


# --- errors ------------------------------------------------------------------------------------


def test_errors_equal_a_numpy_computation(mono: Path) -> None:
    found = report(mono, "predict", "predict.in")
    structures = [read_xsf(mono / entry["file"]) for entry in found["structures"]]
    per_atom = np.array([(e["energy"] - s.energy) / s.n_atoms for e, s in zip(found["structures"], structures)])
    f = np.concatenate([e["forces"] for e in found["structures"]])
    f_ref = np.concatenate([s.forces for s in structures])
    norm, norm_ref = np.linalg.norm(f, axis=1), np.linalg.norm(f_ref, axis=1)
    expected = {
        "energy_mae": np.abs(per_atom).mean(),
        "energy_rmse": np.sqrt((per_atom**2).mean()),
        "force_mae": np.abs(f - f_ref).mean(),
        "force_rmse": np.sqrt(((f - f_ref) ** 2).mean()),
        "force_error_norm_mean": np.linalg.norm(f - f_ref, axis=1).mean(),
        "force_norm_error_mean": np.abs(norm - norm_ref).mean(),
        "angle_error_mean": np.degrees(np.arccos(np.einsum("ij,ij->i", f, f_ref) / (norm * norm_ref))).mean(),
        "n_structures": 5,
        "n_forces": len(f),
        "angle_error_median": np.median(np.degrees(np.arccos(np.einsum("ij,ij->i", f, f_ref) / (norm * norm_ref)))),
        "force_error_tail": (np.linalg.norm(f - f_ref, axis=1) > 1.0).mean(),
    }
    assert found["errors"] == pytest.approx(expected, rel=1e-10)
    for entry, structure in zip(found["structures"], structures):
        assert entry["energy_ref"] == pytest.approx(structure.energy, abs=1e-9)
    out = run(mono, "predict", "predict.in").out
    assert f"{1e3 * expected['energy_rmse']:.3f}" in out and f"{expected['force_error_norm_mean']:.4f} eV/Å" in out


def test_without_references_there_are_predictions_but_no_errors(mono: Path) -> None:
    for path in (mono / "xsf").iterdir():
        structure = read_xsf(path)
        write_xsf(path, Structure(structure.symbols, structure.positions, structure.cell, structure.pbc))
    found = report(mono, "predict", "predict.in")
    assert all(entry["energy_ref"] is None and entry["forces"] is not None for entry in found["structures"])
    assert set(found["errors"].values()) == {None, 0}
    assert "rror" not in run(mono, "predict", "predict.in").out


def test_forces_are_compared_where_only_some_files_have_them(mono: Path) -> None:
    structure = read_xsf(mono / "xsf/mono05.xsf")
    write_xsf(mono / "xsf/mono05.xsf", Structure(structure.symbols, structure.positions, energy=structure.energy))
    (mono / "predict.in").write_text((mono / "predict.in").read_text().replace("FORCES\n", ""))
    errors = report(mono, "predict", "predict.in")["errors"]
    assert (errors["n_structures"], errors["n_forces"]) == (5, 28)


def test_a_cohesive_energy_is_a_reference_too(mono: Path) -> None:
    whole = report(mono, "predict", "predict.in", "xsf/mono01.xsf")
    path = mono / "xsf/mono01.xsf"
    text = path.read_text()
    energy = read_xsf(path).energy
    path.write_text(re.sub(r"total energy = \S+", f"cohesive energy = {energy + 700.0!r}", text))
    found = report(mono, "predict", "predict.in", "xsf/mono01.xsf")
    assert found["structures"][0]["energy_ref"] == pytest.approx(energy, abs=1e-9)
    assert found["errors"] == pytest.approx(whole["errors"], rel=1e-6)


# --- stress ------------------------------------------------------------------------------------


def test_stress_is_the_strain_derivative_of_the_energy_per_volume(mono: Path) -> None:
    structure, step = read_xsf(mono / "xsf/mono01.xsf"), 1e-4
    names, components = [], [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    for i, j in components:
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * step
            strain[j, i] += 0.5 * sign * step
            deform = np.eye(3) + strain
            names.append(f"xsf/strained{i}{j}{sign}.xsf")
            write_xsf(
                mono / names[-1],
                Structure(structure.symbols, structure.positions @ deform, structure.cell @ deform, structure.pbc),
            )
    energies = [entry["energy"] for entry in report(mono, "predict", "predict.in", *names)["structures"]]
    stress = np.array(report(mono, "predict", "predict.in", "xsf/mono01.xsf")["structures"][0]["stress"])
    assert np.array_equal(stress, stress.T)
    for (i, j), up, down in zip(components, energies[::2], energies[1::2]):
        assert stress[i, j] == pytest.approx((up - down) / (2 * step) / structure.volume, rel=1e-5, abs=1e-7)


def test_a_cluster_has_no_stress(clusters: Path) -> None:
    result = succeed(clusters, "predict", "predict.in")
    assert "stress" not in result.out
    assert all(entry["stress"] is None for entry in report(clusters, "predict", "predict.in")["structures"])


# --- what is printed ---------------------------------------------------------------------------


def table(out: str) -> np.ndarray:
    """All rows `symbol numbers…` of the atom tables."""
    found = re.findall(r"^  [A-Z][a-z]?((?: +-?\d+\.\d+)+)$", out, re.MULTILINE)
    return np.array([[float(word) for word in row.split()] for row in found])


@pytest.mark.parametrize("forces", (True, False))
@pytest.mark.parametrize("atomic", (True, False))
def test_the_tables_hold_what_the_input_file_asks_for(forces: bool, atomic: bool, mono: Path) -> None:
    text = (mono / "predict.in").read_text()
    if not forces:
        text = text.replace("FORCES\n", "")
    if not atomic:
        text = text.replace("PRINT_ATOMIC_ENERGIES\n", "")
    (mono / "predict.in").write_text(text)
    out = succeed(mono, "predict", "predict.in", "--report", "r.json").out
    found: list[dict[str, Any]] = report(mono, "predict", "predict.in")["structures"]
    columns = [np.concatenate([read_xsf(mono / entry["file"]).positions for entry in found])]
    if forces:
        columns.append(np.concatenate([entry["forces"] for entry in found]))
    if atomic:
        columns.append(np.concatenate([entry["atomic_energies"] for entry in found])[:, None])
    np.testing.assert_allclose(table(out), np.hstack(columns), atol=5.1e-7)
    header = next(line for line in out.splitlines() if line.lstrip().startswith("atom "))
    assert "(Å)" in header and ("(eV/Å)" in header) == forces and ("E_atom (eV)" in header) == atomic
    assert ("stress" in out) == forces
    for entry in found:
        assert f"{entry['file']}: " in out and f"{entry['energy']:.8f} eV" in out


def test_low_verbosity_keeps_tables_and_energies_and_drops_headers(mono: Path) -> None:
    normal = succeed(mono, "predict", "predict.in").out
    (mono / "predict.in").write_text((mono / "predict.in").read_text() + "\nVERBOSITY low\n")
    low = succeed(mono, "predict", "predict.in").out
    np.testing.assert_array_equal(table(low), table(normal))
    assert len(table(low)) > 0 and low.count("total energy") == 5
    assert "network" in normal and "network" not in low


def test_many_structures_are_one_line_each_unless_wanted(mono: Path) -> None:
    files = [f"xsf/copy{i:02d}.xsf" for i in range(25)]
    for name in files:
        shutil.copyfile(mono / "xsf/mono05.xsf", mono / name)
    text = (mono / "predict.in").read_text()
    # Asked for forces or atomic energies, the tables are there however many structures (ænet)
    assert len(table(succeed(mono, "predict", "predict.in", *files).out)) == 125
    bare = re.sub(r"(?m)^(FORCES|PRINT_ATOMIC_ENERGIES).*$", "", text)
    (mono / "predict.in").write_text(bare)
    assert len(table(succeed(mono, "predict", "predict.in", *files).out)) == 0
    (mono / "predict.in").write_text(bare + "\nVERBOSITY high\n")
    assert len(table(succeed(mono, "predict", "predict.in", *files).out)) == 125


def test_potential_of_one_species_serves_structures_of_that_species_alone(tmp_path):
    folder = Path(__file__).parent.parent / "data" / "golden" / "cluster" / "tio2_nets"
    potentials = [read_potential(folder / f"{symbol}.nn") for symbol in ("Ti", "O")]
    pure = Structure(symbols=("Ti",) * 3, positions=np.array([[0.0, 0, 0], [2.4, 0.3, 0], [0.2, 2.6, 0.9]]))
    both, alone = (PotentialTables.from_potentials(chosen) for chosen in (potentials, potentials[:1]))
    expected, found = (evaluate([pure], tables)[0] for tables in (both, alone))
    assert found.energy == expected.energy
    np.testing.assert_array_equal(found.forces, expected.forces)
    mixed = Structure(symbols=("Ti", "O"), positions=np.array([[0.0, 0, 0], [1.9, 0, 0]]))
    with pytest.raises(InputError, match="unknown species"):
        evaluate([mixed], alone)
