"""Predictions from Python: the numbers of the command, without a word and without a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from calculator_cases import as_structure, random_atoms, write_member
from cli_support import contents, succeed
from taylorfit import InputError, Potential, Predictions, Structure
from taylorfit.formats.structures.extxyz import write_extxyz


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Potentials in `fit` and structures with references in data.extxyz."""
    folder = tmp_path_factory.mktemp("predict")
    write_member(folder / "fit", random_atoms())
    rng = np.random.default_rng(0)
    structures = []
    for k in range(4):
        structure = as_structure(random_atoms(k, pbc=(True, True, k != 2)))
        stress = rng.normal(size=(3, 3))
        structures.append(
            replace(
                structure,
                energy=float(-30.0 * structure.n_atoms + rng.normal()),
                forces=rng.normal(size=(structure.n_atoms, 3)) if k else None,
                stress=stress + stress.T if k == 1 else None,
            )
        )
    write_extxyz(folder / "data.extxyz", structures)
    return folder


@pytest.fixture
def structures(folder: Path, monkeypatch) -> list[Structure]:
    monkeypatch.chdir(folder)
    return tfit.read("data.extxyz")


def test_the_report_is_that_of_the_command(folder: Path, structures, capsys):
    files = ["fit/H.nn", "fit/O.nn"]
    argv = ["--report", "report.json", "--save-predictions", "command.npz", "--potential", *files, "data.extxyz"]
    succeed(folder, "predict", *argv, "--label", "x")
    before = contents(folder)
    predictions = tfit.predict(files, structures, label="x")
    assert contents(folder) == before and capsys.readouterr() == ("", "")
    report = json.loads((folder / "report.json").read_text())
    for own, expected in zip(predictions.to_dict()["structures"], report["structures"], strict=True):
        assert own.keys() == expected.keys()
        for key, value in expected.items():
            if value is None or isinstance(value, str):
                assert own[key] == value, key
            else:
                np.testing.assert_allclose(own[key], value, rtol=1e-12, atol=1e-13)
    assert predictions.errors.to_dict() == pytest.approx(report["errors"])
    predictions.save("python.npz")
    assert (folder / "python.npz").read_bytes() == (folder / "command.npz").read_bytes()
    again = Predictions.load("python.npz")
    assert np.array_equal(again.forces, predictions.forces) and again.errors == predictions.errors
    (folder / "python.npz").unlink()


def test_values_stand_beside_their_references(structures):
    potential = Potential.load("fit")
    predictions = tfit.predict(potential, [structure.to_ase() for structure in structures])
    first = predictions.offsets[:-1]
    for s, (structure, own) in enumerate(zip(structures, potential.evaluate(structures))):
        atoms = slice(first[s], first[s] + structure.n_atoms)
        assert predictions.names[s] == structure.name and predictions.energy_ref[s] == pytest.approx(structure.energy)
        assert np.array_equal(predictions.forces[atoms], own.forces)
        assert predictions.atomic_energies[atoms].sum() == pytest.approx(predictions.energy[s])
        assert np.isnan(predictions.forces_ref[atoms]).all() == (structure.forces is None)
        assert np.isnan(predictions.stress[s]).all() == (s == 2)
        assert np.isnan(predictions.stress_ref[s]).all() == (s != 1)
    np.testing.assert_allclose(predictions.stress_ref[1], structures[1].stress)
    np.testing.assert_allclose(
        predictions.stress[0], potential.evaluate(structures)[0].strain_derivative / structures[0].volume
    )


def test_only_what_is_asked_for_is_evaluated(structures):
    energies = tfit.predict("fit", structures, forces=False, stress=False)
    assert np.isnan(energies.forces).all() and energies.stress is None and energies.errors.force_rmse is None
    stress = tfit.predict("fit", structures, forces=False)
    assert np.isnan(stress.forces).all() and not np.isnan(stress.stress[0]).any()
    both = tfit.predict("fit", structures, threads=1)
    np.testing.assert_allclose(energies.energy, both.energy, rtol=0, atol=1e-9)
    assert both.errors.energy_rmse == pytest.approx(energies.errors.energy_rmse)


def test_a_species_without_a_potential(structures):
    with pytest.raises(InputError, match="no potential for a species"):
        tfit.predict("fit", Structure(("Xe", "H"), np.eye(3)[:2] * 3))
