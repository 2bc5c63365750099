"""Setups, copies and training sets from Python: the same as the commands make, and nothing written unless asked."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import contents, make_crystals, make_toy, morse_cluster, succeed, taylor
from taylorfit import (
    AntitheticDisplacements,
    CartesianDisplacements,
    DataWarning,
    InputError,
    ModeDisplacements,
    OrthogonalDisplacements,
    RandomDisplacements,
    Setup,
    StrainDisplacements,
    Structure,
    TaylorOptions,
    TrainingSet,
)
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.model.descriptor import same_functions
from taylorfit.model.provenance import parse_copy_name
from taylorfit.training.data import reference_data

ALL_ATOMS = [RandomDisplacements, OrthogonalDisplacements, AntitheticDisplacements]


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    rng = np.random.default_rng(3)
    return [morse_cluster(rng, name=f"s{k}") for k in range(6)]


def toy_setup(folder: Path) -> Setup:
    """The setup that generate.in of `make_toy` has."""
    return Setup((read_setup(folder / "Ar.stp"),), {"Ar": -10.0}, {"Ar": ((4, "tanh"),)})


# --- setups ----------------------------------------------------------------------------------------------


def test_a_saved_setup_is_what_the_command_writes_and_is_loaded_again(tmp_path: Path, monkeypatch):
    make_toy(tmp_path, 8)
    monkeypatch.chdir(tmp_path)
    succeed(tmp_path, "setup", "xsf/*.xsf", "--output", "command", "--report", "report.json", "--mode", "centred")
    structures = tfit.read("xsf/*.xsf")
    before = contents(tmp_path)
    setup = tfit.propose([structure.to_ase() for structure in structures], mode="centred")
    assert contents(tmp_path) == before and setup.files == tuple(s.name for s in structures)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(setup.to_dict()) == set(report) - {"command", "version", "files"}
    assert setup.reasons and setup.evidence.choice.delta == setup.displacements.delta
    paths = setup.replace(files=["xsf/*.xsf"]).save("python")
    assert [p.name for p in paths] == ["Ar.fingerprint.stp", "generate.in", "train.in", "predict.in", "md.in"]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "command" / path.name).read_bytes()
    with pytest.raises(InputError, match="exists"):
        setup.save("python")
    again = Setup.load("python")
    assert again.files == ("xsf/*.xsf",) and again.species == ("Ar",)
    for name in ("atomic_energies", "networks", "displacements", "beta", "epochs", "mode"):
        assert getattr(again, name) == getattr(setup, name), name
    assert same_functions(again.descriptors[0], setup.descriptors[0])


def test_a_setup_can_be_changed(structures, tmp_path: Path):
    setup = tfit.propose(structures)
    assert setup.files == ()
    other = setup.replace(
        networks=[(7, "tanh")], beta=0.1, epochs=5, displacements=False, atomic_energies={"Ar": -9.0}, files=["a.xsf"]
    )
    assert (other.networks, other.beta, other.epochs) == ({"Ar": ((7, "tanh"),)}, 0.1, 5)
    assert other.displacements is None and other.atomic_energies == {"Ar": -9.0}
    assert setup.replace(epochs=5).networks == setup.networks and setup.replace(epochs=5).displacements is not None
    assert "TAYLORSET" not in (other.save(tmp_path / "s")[-1]).read_text()
    for wrong, message in (
        ({"networks": {"He": [(3, "tanh")]}}, "same species"),
        ({"networks": [(3, "softplus")]}, "softplus"),
        ({"beta": -1.0}, "beta"),
        ({"epochs": -1}, "negative"),
    ):
        with pytest.raises(InputError, match=message):
            setup.replace(**wrong)
    with pytest.raises(InputError, match="no structure files"):
        setup.save(tmp_path / "t")


@pytest.mark.parametrize("wrong", [{"radial_cutoff": -1.0}, {"radial_order": -1}, {"angular_cutoff": -0.1}])
def test_impossible_descriptors_are_refused(wrong):
    with pytest.raises(InputError, match="descriptor of H"):
        tfit.chebyshev_setup("H", ("H",), **{"radial_cutoff": 4.0, "radial_order": 3, **wrong})


def test_doubtful_data_are_warned_of(structures):
    with pytest.warns(DataWarning) as caught:
        setup = tfit.propose([*structures, structures[0]])
    told = " / ".join(str(warning.message) for warning in caught)
    assert "same atoms, cell and positions" in told
    with pytest.warns(DataWarning) as through_train:
        tfit.train([*structures, structures[0]], epochs=0, networks=[(2, "tanh")], threads=1)
    # They point at the line that called, not into the package
    assert {warning.filename for warning in [*caught, *through_train]} == {__file__}
    mixed = [morse_cluster(np.random.default_rng(k), 4, ("Ar", "Ne", "Ar", "Ne")) for k in range(3)]
    with pytest.warns(DataWarning, match="1 composition cannot determine 2 energies"):
        setup = tfit.propose(mixed)
    assert "cannot determine" in setup.notes[0]


def test_what_cannot_be_proposed_for(structures):
    for wrong, message in (
        ([], "no structures"),
        (replace(structures[0], energy=None), "no energy"),
        (replace(structures[0], positions=np.zeros((5, 3))), "coincide"),
    ):
        with pytest.raises(InputError, match=message):
            tfit.propose(wrong)


# --- copies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL_ATOMS)
def test_copies_have_taylor_energies_and_no_forces(structures, kind):
    copies = tfit.displace([s.to_ase() for s in structures], kind(delta=0.02, n_copies=4))
    assert len(copies) == 4 * len(structures)
    parents = {structure.name: structure for structure in structures}
    for copy in copies:
        parent = parents[parse_copy_name(copy.name).parent]
        step = copy.positions - parent.positions
        assert 0.0 < np.linalg.norm(step, axis=1).max() <= 0.02
        assert copy.energy == pytest.approx(parent.energy - (step * parent.forces).sum(), abs=1e-10)
        assert copy.forces is None
    again = tfit.displace(structures, kind(delta=0.02, n_copies=4), seed=1)
    assert all(np.array_equal(one.positions, two.positions) for one, two in zip(copies, again))
    other = tfit.displace(structures, kind(delta=0.02, n_copies=4), seed=2)
    assert not np.array_equal(other[0].positions, copies[0].positions)
    assert len(tfit.displace([*structures, *copies], kind(delta=0.02, n_copies=4))) == len(copies)


def test_one_atom_at_a_time(structures):
    copies = tfit.displace(structures, CartesianDisplacements(delta=0.02, n_copies=6))
    assert len(copies) == 6 * len(structures)
    assert all((copies[k].positions != structures[0].positions).any(axis=1).sum() <= 5 for k in range(3))


def test_modes_from_a_list_of_hessians(structures):
    rng = np.random.default_rng(0)
    hessians = [(h := rng.normal(size=(15, 15))) + h.T for _ in structures]
    copies = tfit.displace(structures, ModeDisplacements(delta=0.02, n_copies=3, hessians=hessians))
    assert len(copies) == 3 * len(structures)
    with pytest.raises(InputError, match="do not belong"):
        tfit.displace(structures[:2], ModeDisplacements(delta=0.02, n_copies=3, hessians=hessians))


def test_strained_copies(tmp_path: Path):
    crystals = make_crystals(tmp_path)
    copies = tfit.displace(crystals, StrainDisplacements(strain=0.01, n_copies=3))
    assert {parse_copy_name(copy.name).parent for copy in copies} == {"c0.xsf", "c3.xsf"} and len(copies) == 6
    strain = np.linalg.solve(crystals[0].cell, copies[0].cell) - np.eye(3)
    expected = crystals[0].energy + crystals[0].volume * (strain * crystals[0].stress).sum()
    assert copies[0].energy == pytest.approx(expected, abs=1e-9)


def test_no_copies_are_warned_of(structures):
    with pytest.warns(DataWarning, match="no copies: 6 structures without forces"):
        assert tfit.displace([replace(s, forces=None) for s in structures], RandomDisplacements()) == []


# --- training sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "displacements"),
    [
        ("", None),
        (taylor(delta=0.03, fraction=4), RandomDisplacements(delta=0.03, n_copies=4)),
        (taylor(delta=0.03, fraction=4, disp_all=0, seed=7), CartesianDisplacements(0.03, 4, seed=7)),
        (
            taylor(delta="auto", fraction=3, strategy="orthogonal", temperature=300, curvature="auto"),
            TaylorOptions(delta=None, fraction=3, strategy="orthogonal", temperature=300, curvature="auto"),
        ),
    ],
    ids=["energies", "random", "cartesian", "options"],
)
def test_a_saved_training_set_is_what_the_command_writes(tmp_path: Path, monkeypatch, block: str, displacements):
    make_toy(tmp_path, 8, extra=block)
    monkeypatch.chdir(tmp_path)
    succeed(tmp_path, "generate", "generate.in")
    before = contents(tmp_path)
    data = tfit.generate(tfit.read("xsf/*.xsf"), toy_setup(tmp_path), displacements=displacements, threads=1)
    assert contents(tmp_path) == before
    data.save("python.train")
    for ending in ("", ".geometry"):
        assert (tmp_path / f"python.train{ending}").read_bytes() == (tmp_path / f"toy.train{ending}").read_bytes()
    with pytest.raises(InputError, match="exists"):
        data.save("python.train")
    again = TrainingSet.load("python.train")
    for name, value in vars(data).items():
        if name not in ("setups", "geometry", "notes"):
            assert np.array_equal(getattr(again, name), value), name
    for name, value in vars(data.geometry).items():
        assert np.array_equal(getattr(again.geometry, name), value, equal_nan=value.dtype == float), name
    replace(data, geometry=None).save("python.train", overwrite=True)
    assert TrainingSet.load("python.train").geometry is None


def test_copies_made_before_are_taken_as_copies(tmp_path: Path):
    structures = make_toy(tmp_path, 6)
    setup, random = toy_setup(tmp_path), RandomDisplacements(delta=0.03, n_copies=2)
    at_once = tfit.generate(structures, setup, displacements=random, threads=1)
    copies = tfit.displace(structures, random)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # copies are no near-duplicates
        before = tfit.generate([*structures, *copies], setup, threads=1)
    order = [at_once.names.index(name) for name in before.names]
    assert sorted(order) == list(range(18))
    np.testing.assert_allclose(before.energy, at_once.energy[order], rtol=0, atol=1e-12)
    values = [data.descriptors.reshape(18, -1) for data in (before, at_once)]
    np.testing.assert_allclose(values[0], values[1][order], rtol=1e-12)
    assert len(before.geometry.cell) == 6
    with pytest.raises(InputError, match="only one of the two"):
        tfit.generate([*structures, *copies], setup, displacements=random)


def test_a_training_set_in_memory_knows_its_structures(tmp_path: Path):
    structures = make_toy(tmp_path, 5)
    data = tfit.generate(structures, toy_setup(tmp_path), displacements=RandomDisplacements(0.02, 2), threads=1)
    found = reference_data(data, "memory")
    assert len(found.structures) == 5
    for s, structure in found.structures.items():
        assert structure.name == data.names[s]
        assert np.array_equal(structure.forces, structures[s // 3].forces)


@pytest.mark.filterwarnings("ignore::taylorfit.DataWarning")
def test_what_cannot_be_described(structures, tmp_path: Path):
    make_toy(tmp_path, 1)
    setup = toy_setup(tmp_path)
    for wrong, message in (
        ([], "0 structures"),
        (replace(structures[0], energy=None), "no energy"),
        (replace(structures[0], symbols=("Xe",) * 5), "unknown species"),
        (replace(structures[0], positions=np.zeros((5, 3))), "s0"),
    ):
        with pytest.raises(InputError, match=message):
            tfit.generate(wrong, setup, threads=1)


@pytest.mark.parametrize(
    "displacements",
    [
        RandomDisplacements(0.02, 3, seed=4, remove_rotations=True),
        CartesianDisplacements(0.02, 6, max_copies=12),
        OrthogonalDisplacements(0.02, 3, species_delta={"Ar": 0.01}),
        AntitheticDisplacements(0.02, 4),
    ],
    ids=lambda displacements: displacements.name,
)
def test_the_displacements_of_a_setup_are_written_and_read(structures, tmp_path: Path, displacements):
    setup = tfit.propose(structures).replace(displacements=displacements, files=["a.xsf"])
    setup.save(tmp_path)
    loaded = Setup.load(tmp_path)
    assert loaded.displacements == setup.displacements and loaded.displacements.outfile == "data.taylor.train"
    expected = tfit.displace(structures, displacements)
    found = tfit.displace(structures, loaded.displacements)
    assert [copy.name for copy in found] == [copy.name for copy in expected] and found
    assert all(np.array_equal(one.positions, two.positions) for one, two in zip(found, expected))


def test_displacements_that_have_no_place_in_input_files(structures):
    setup = tfit.propose(structures)
    assert setup.replace(displacements=StrainDisplacements(0.01, 3)).displacements.strain == 0.01
    with pytest.raises(InputError, match="Hessians from files"):
        setup.replace(displacements=ModeDisplacements(0.02, 3, hessians=[np.eye(15)] * 6))
