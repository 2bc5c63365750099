"""The example that ships: its files, the copying, and the labels of its structures."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import make_water_cluster as make_data
from taylorfit.commands import example as command
from taylorfit.commands.usage import example as usage
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.examples import EXAMPLES
from taylorfit.examples.copying import copy_example, example_files, unpack
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.structures.xsf import read_xsf, write_xsf
from taylorfit.model.structure import Structure

NAME = "water-cluster"
PACKAGE = files("taylorfit.examples.water_cluster")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the example."""
    target = tmp_path_factory.mktemp("example") / "water"
    copy_example(NAME, target)
    return target


# --- what ships -----------------------------------------------------------------------------


def test_data_are_small() -> None:
    example = EXAMPLES[NAME]
    assert sum(len((PACKAGE / file).read_bytes()) for file in example.input_files + example.archives) < 600_000


def test_every_structure_parses_and_is_a_labelled_water_cluster(copied: Path) -> None:
    training, validation = sorted((copied / "xsf").iterdir()), sorted((copied / "validation").iterdir())
    assert (len(training), len(validation)) == (471, 200)
    assert not {path.name for path in training} & {path.name for path in validation}
    for path in training + validation:
        structure = read_xsf(path)
        assert structure.symbols == make_data.SYMBOLS
        assert structure.pbc == (False, False, False)
        assert structure.energy is not None and -943.5 < structure.energy < -940.7
        assert structure.forces is not None
        # No wall in the labels: the forces on a free cluster add up to nothing but rounding.
        assert np.abs(structure.forces.sum(axis=0)).max() < 18 * 0.5e-8
        bonds = structure.positions.reshape(6, 3, 3)
        lengths = np.linalg.norm(bonds[:, 1:] - bonds[:, :1], axis=2)
        assert lengths.min() > 0.8 and lengths.max() < 1.2


def test_frames_are_those_the_protocol_selects(copied: Path) -> None:
    names = make_data.Settings().frame_names()
    training, validation = make_data.select_frames(len(names))
    assert sorted(f"{names[index]}.xsf" for index in training) == sorted(p.name for p in (copied / "xsf").iterdir())
    assert sorted(f"{names[index]}.xsf" for index in validation) == sorted(
        p.name for p in (copied / "validation").iterdir()
    )


@pytest.mark.parametrize("species", ["O", "H"])
def test_setups_are_those_of_48_inputs(copied: Path, species: str) -> None:
    setup = read_setup(copied / f"{species}.fingerprint.stp")
    assert (setup.species, setup.environment, setup.n_feature) == (species, ("O", "H"), 48)


def test_input_files_name_only_files_that_are_there_or_made_before(copied: Path) -> None:
    generate = (copied / "generate.in").read_text()
    made = {re.search(r"^OUTPUT\s+(\S+)", generate, re.M)[1], re.search(r"outfile=(\S+)", generate)[1]}
    assert made == {"water.train", "water.taylor.train"}
    for setup in re.findall(r"\S+\.stp", generate):
        assert (copied / setup).is_file()
    networks = set()
    for mode, sets in (
        ("energy", {"water.train"}),
        ("taylor", made),
        ("centred", made),
        ("directional", {"water.train"}),
        ("exact", {"water.train"}),
    ):
        training = f"train-{mode}.in"
        text = (copied / training).read_text()
        assert set(re.findall(r"^(?:TRAININGSET|TAYLORSET)\s+(\S+)", text, re.M)) == sets
        networks |= set(re.findall(r"\S+\.nn\b", text))
    assert len(networks) == 10
    assert set(re.findall(r"\S+\.nn\b", (copied / "predict.in").read_text())) <= networks


def test_trainings_differ_only_in_copies_forces_and_the_name_of_the_networks(copied: Path) -> None:
    def settings(file: str) -> list[str]:
        lines = re.sub(
            r"\.(taylor|centred|directional|exact)\.nn", ".energy.nn", (copied / file).read_text()
        ).splitlines()
        return [line for line in lines if line and not line.startswith(("!", "TAYLORSET", "FORCES"))]

    trainings = [file for file in EXAMPLES[NAME].input_files if file.startswith("train-")]
    assert len(trainings) == 5
    assert all(settings(file) == settings("train-energy.in") for file in trainings)


def test_input_files_are_ascii() -> None:
    for file in EXAMPLES[NAME].input_files:
        if not file.endswith(".md"):
            (PACKAGE / file).read_text(encoding="ascii")


# --- copying --------------------------------------------------------------------------------


def test_copy_returns_exactly_what_is_there(tmp_path: Path) -> None:
    written = copy_example(NAME, tmp_path / "new" / "deeper")
    assert written == sorted(path for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert len(written) == 471 + 200 + len(EXAMPLES[NAME].input_files)


@pytest.mark.parametrize("present", ["generate.in", "xsf"])
def test_copy_refuses_to_overwrite_and_writes_nothing(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        copy_example(NAME, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [present]
    assert (tmp_path / present).read_text() == "mine"


def test_overwriting_restores_the_example_and_leaves_other_files(tmp_path: Path) -> None:
    copy_example(NAME, tmp_path)
    (tmp_path / "generate.in").write_text("changed")
    (tmp_path / "water.train").write_text("mine")
    copy_example(NAME, tmp_path, overwrite=True)
    assert (tmp_path / "generate.in").read_bytes() == example_files(NAME)["generate.in"]
    assert (tmp_path / "water.train").read_text() == "mine"


def test_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "xsf").write_text("a file where a folder must go")
    with pytest.raises(InputError, match="cannot be written"):
        copy_example(NAME, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["xsf"]


def test_copy_into_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        copy_example(NAME, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        copy_example(NAME, tmp_path / "file" / "below")


def test_unknown_example_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="water-cluster"):
        copy_example("water", tmp_path)


def test_archive_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    make_data.pack_archive({"../outside": b"x"}, tmp_path / "bad.tar.xz")
    with pytest.raises(InputError, match="unsafe"):
        unpack((tmp_path / "bad.tar.xz").read_bytes(), "bad.tar.xz")


# --- the command ----------------------------------------------------------------------------


def run_command(*words: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    usage.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_command_writes_reports_and_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_command(NAME, str(tmp_path / "water"))
    printed = capsys.readouterr().out
    assert report["example"] == NAME
    assert all(Path(file).is_file() for file in report["files"])
    assert "471 structures" in printed
    for line in report["commands"]:
        assert line in printed
        assert (tmp_path / "water" / line.split()[-1]).is_file()
    with pytest.raises(InputError, match="overwrite=True"):
        run_command(NAME, str(tmp_path / "water"))
    run_command(NAME, str(tmp_path / "water"), "--force")


def test_command_lists_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert [entry["name"] for entry in run_command("--list")["examples"]] == sorted(EXAMPLES)
    assert NAME in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), (NAME,)])
def test_command_says_what_is_missing(words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="named"):
        run_command(*words)


# --- making the data ------------------------------------------------------------------------


@pytest.mark.parametrize("n_pool", [24, 75, 450, 4500])
def test_selected_frames_are_disjoint_and_within_the_pool(n_pool: int) -> None:
    training, validation = make_data.select_frames(n_pool)
    chosen = training + validation
    assert len(set(chosen)) == len(chosen)
    assert min(chosen) >= 0 and max(chosen) < n_pool
    assert training == sorted(training) and validation == sorted(validation)


def test_too_small_a_pool_is_refused() -> None:
    with pytest.raises(InputError, match="too few frames"):
        make_data.select_frames(3)


def test_wall_force_is_the_derivative_of_its_energy() -> None:
    positions = np.random.default_rng(1).normal(scale=4.0, size=(18, 3))
    positions[0] = 0.0
    step = 1e-5
    numeric = np.zeros_like(positions)
    for index in np.ndindex(positions.shape):
        shifted = positions.copy()
        shifted[index] += step
        upper = make_data.wall(shifted)[0]
        shifted[index] -= 2 * step
        numeric[index] = -(upper - make_data.wall(shifted)[0]) / (2 * step)
    energy, forces = make_data.wall(positions)
    assert energy > 0.0
    np.testing.assert_allclose(forces, numeric, atol=1e-8)


def test_start_is_six_intact_water_molecules() -> None:
    molecules = make_data.start_positions(np.random.default_rng(3)).reshape(6, 3, 3)
    lengths = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2)
    np.testing.assert_allclose(lengths, make_data.OH_LENGTH)
    oxygens = molecules[:, 0]
    distances = np.linalg.norm(oxygens[:, None] - oxygens, axis=2) + 10.0 * np.eye(6)
    np.testing.assert_allclose(distances.min(axis=1), make_data.PRISM_EDGE)
    np.testing.assert_allclose(molecules.mean(axis=0)[0], 0.0, atol=1e-12)


def test_archives_depend_on_content_alone(tmp_path: Path) -> None:
    make_data.pack_archive({"b": b"2", "a": b"1"}, tmp_path / "first.tar.xz")
    make_data.pack_archive({"a": b"1", "b": b"2"}, tmp_path / "second.tar.xz")
    packed = (tmp_path / "first.tar.xz").read_bytes()
    assert packed == (tmp_path / "second.tar.xz").read_bytes()
    assert unpack(packed, "first.tar.xz") == {"a": b"1", "b": b"2"}


def test_missing_tblite_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tblite.interface", None)
    assert make_data.main(["--output", str(tmp_path / "data")]) == TaylorfitError.exit_code
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "pip install taylorfit[example-data]" in message
    assert not (tmp_path / "data").exists()


def test_labels_are_reproduced(copied: Path) -> None:
    pytest.importorskip("tblite", reason="tblite (extra example-data) is not installed")
    for path in sorted((copied / "xsf").iterdir())[::50]:
        reference = read_xsf(path)
        labelled = make_data.label(Structure(reference.symbols, reference.positions))
        assert labelled.energy == pytest.approx(reference.energy, abs=1e-6)
        np.testing.assert_allclose(labelled.forces, reference.forces, atol=1e-5)


def test_free_atom_energies_are_those_of_the_input_file() -> None:
    pytest.importorskip("tblite", reason="tblite (extra example-data) is not installed")
    text = (PACKAGE / "generate.in").read_text()
    for symbol in ("O", "H"):
        stated = float(re.search(rf"^{symbol}\s+(-\S+)$", text, re.M)[1])
        assert make_data.free_atom_energy(symbol) == pytest.approx(stated, abs=1e-6)


def test_interrupted_dynamics_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tblite", reason="tblite (extra example-data) is not installed")
    monkeypatch.setattr(make_data, "SEGMENT_STEPS", 25)
    settings = make_data.Settings(steps=80, equilibration=10)
    run = settings.runs[2]
    whole = make_data.run_dynamics(run, settings, tmp_path / "whole")
    assert whole.shape == (2, 18, 3)
    folder = tmp_path / "whole"
    for path in sorted(folder.iterdir())[2:]:
        path.unlink()
    np.testing.assert_array_equal(make_data.run_dynamics(run, settings, folder), whole)


def test_a_short_run_makes_archives_of_the_same_kind(tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="tblite (extra example-data) is not installed")
    words = ["--output", str(tmp_path), "--steps", "320", "--equilibration", "0"]
    assert make_data.main(words) == 0
    content = unpack((tmp_path / "train.tar.xz").read_bytes(), "train.tar.xz")
    content |= unpack((tmp_path / "validation.tar.xz").read_bytes(), "validation.tar.xz")
    assert {path.split("/")[0] for path in content} == {"xsf", "validation"}
    for path in content:
        structure = read_xsf(tmp_path / path)
        again = make_data.label(Structure(structure.symbols, structure.positions))
        assert structure.energy == pytest.approx(again.energy, abs=1e-7)
        write_xsf(tmp_path / "again.xsf", structure)
        assert (tmp_path / "again.xsf").read_bytes() == content[path]
    assert make_data.main([*words, "--seeds", "1", "2", "3"]) == InputError.exit_code
