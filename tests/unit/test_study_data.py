"""Data and input files of studies: found, split, placed, and all of them readable."""

from __future__ import annotations

import os
import tarfile
from importlib import import_module
from pathlib import Path

import pytest

import datasets as data
from study import SCALES, Study, md_names
from taylorfit.analysis.scan_grid import points_of
from taylorfit.errors import InputError
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.csv_table import read_table
from taylorfit.plotting.rdf import rdf_curves
from taylorfit.settings.generate import GenerateInput
from taylorfit.settings.md import MdInput
from taylorfit.settings.scan import ScanInput
from taylorfit.settings.train import TrainInput

STUDIES = ("lj_dimer", "water_cluster", "bulk_water", "lmnto", "tio2")


def find_study(name: str) -> Study:
    """The study of a script."""
    return import_module(name).STUDY


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies work in the working directory."""
    monkeypatch.chdir(tmp_path)


def write(folder: str, names: list[str]) -> Path:
    """Files that hold their own names."""
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return Path(folder)


def pack(folder: Path, archive: str) -> Path:
    """An archive of a folder, with an entry for the folder itself as tar makes it."""
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(folder, folder.name)
    return Path(archive)


def test_structures_are_found_in_folders_and_archives() -> None:
    folder = write("set", ["a10.xsf", "a2.xsf", "sub/b.xsf", "README.md"])
    assert list(data.structures_at(folder)) == ["a2.xsf", "a10.xsf", "sub/b.xsf"]
    archive = pack(folder, "train.tar.xz")
    assert list(data.structures_at(archive)) == ["set/a2.xsf", "set/a10.xsf", "set/sub/b.xsf"]
    # A folder that holds the archive stands for it
    assert data.structures_at(Path(".")) == data.structures_at(archive)
    assert data.only_below(data.structures_at(archive), "sub") == {"set/sub/b.xsf": b"sub/b.xsf"}
    assert data.only_below(data.structures_at(archive), "nowhere") == data.structures_at(archive)


@pytest.mark.parametrize(
    ("path", "complaint"), [("nowhere", "cannot be read"), ("empty", "no XSF files"), ("text.tar.xz", "no archive")]
)
def test_what_holds_no_structures_is_refused(path: str, complaint: str) -> None:
    Path("empty").mkdir()
    Path("text.tar.xz").write_text("no archive at all")
    with pytest.raises(InputError, match=complaint):
        data.structures_at(Path(path))


def test_every_fifth_structure_is_held_out() -> None:
    structures = {f"{k}.xsf": str(k).encode() for k in range(12)}
    training, validation = data.held_out(structures)
    assert list(validation) == ["2.xsf", "7.xsf"] and len(training) == 10 and not set(training) & set(validation)
    with pytest.raises(InputError, match="too few"):
        data.held_out({"a.xsf": b"", "b.xsf": b""})


def test_structures_are_placed_once() -> None:
    source = write("set", [f"{k}.xsf" for k in range(10)])
    data.place_with_held_out(source, "here")
    assert len(os.listdir("xsf")) == 8 and sorted(os.listdir("validation")) == ["2.xsf", "7.xsf"]
    Path("xsf/0.xsf").write_text("edited")
    data.place_with_held_out(None, "here")  # nothing is asked for, nothing changed
    assert Path("xsf/0.xsf").read_text() == "edited"
    assert not [name for name in os.listdir(".") if name.endswith(".partial")]


def test_equal_names_in_several_folders_stay_apart() -> None:
    data.place({"a/x.xsf": b"1", "b/x.xsf": b"2"}, "xsf")
    assert sorted(os.listdir("xsf")) == ["a-x.xsf", "b-x.xsf"]


@pytest.mark.parametrize("name", ["bulk_water", "lmnto", "tio2"])
def test_missing_data_name_their_public_source(name: str) -> None:
    with pytest.raises(InputError, match=r"needs data.*--data PATH.*github\.com"):
        find_study(name).place(None)


def test_the_subset_of_tio2(tmp_path: Path) -> None:
    write("set", [f"pt/{k}.xsf" for k in range(5)] + ["nb/wild.xsf"])
    find_study("tio2").place(tmp_path / "set")
    assert len(os.listdir("xsf")) + len(os.listdir("validation")) == 5 and "wild.xsf" not in os.listdir("xsf")


def test_water_clusters_of_all_sizes(shared: Path) -> None:
    find_study("water_cluster").place(shared / "data" / "water-cluster" / "xtb")
    sizes = [len(os.listdir(folder)) for folder in ("xsf", "xsf-1000", "xsf-2000", "validation")]
    assert sizes == [471, 943 - 471, 1886 - 943, 500]
    every = [name for folder in ("xsf", "xsf-1000", "xsf-2000", "validation") for name in os.listdir(folder)]
    assert len(set(every)) == len(every)


def test_water_clusters_refuse_other_data() -> None:
    write("set", ["a.xsf"])
    with pytest.raises(InputError, match=r"train_1000\.txt"):
        find_study("water_cluster").place(Path("set"))


def test_dimer_takes_no_data() -> None:
    with pytest.raises(InputError, match="takes no data"):
        find_study("lj_dimer").place(Path("set"))


@pytest.mark.parametrize("name", STUDIES)
def test_input_files_are_read_and_belong_together(name: str) -> None:
    """Every file is read by its reader, every scan has points, every step its file."""
    study = find_study(name)
    assert study.name == name.replace("_", "-")
    written = {path.name for path in study.copy_inputs(Path("."))}
    for file in written:
        if file.endswith(".stp"):
            assert read_setup(file).species == file.removesuffix(".stp")
        elif file.endswith(".rdf.csv"):
            assert [curve.pair for curve in rdf_curves(read_table(file))] == ["O-O"]
        elif file.startswith("generate"):
            assert GenerateInput.read(file).output.endswith(".train")
        elif file.startswith("train"):
            assert TrainInput.read(file).validation
        elif file.startswith("md"):
            scale = file.removesuffix(".in").split("-")[-1]
            known = {f"potentials/{scale}-{mode}" for mode in ("energy", "taylor", "centred", "exact")}
            known |= {f"potentials/{scale}-md-{label}" for label in md_names("full")}
            trainings = [TrainInput.read(other) for other in written if other.startswith("train-")]
            known |= {training.committee.folder for training in trainings if training.committee}
            assert {path for _, paths in MdInput.read(file).potentials for path in paths} <= known
        else:
            scan = ScanInput.read(file)
            base, settings = GenerateInput.read(scan.generate), TrainInput.read(scan.train)
            assert points_of(scan, base, settings, file) and scan.values_of("seeds")
            assert scan.output in (
                f"{file.removesuffix('.in').split('-')[-1]}.csv",
                "grid.csv",
                "double.csv",
                "single.csv",
            )
            assert (scan.output == "single.csv") == (file == "single-full.in")
    for scale in SCALES:
        files = [word for step in study.steps(scale) for word in step.name.split() if word.endswith(".in")]
        assert files and set(files) <= written


def test_input_files_that_are_there_stay() -> None:
    study = find_study("lj_dimer")
    Path("here").mkdir()
    Path("here/generate.in").write_text("mine")
    assert "generate.in" not in {path.name for path in study.copy_inputs(Path("here"))}
    assert Path("here/generate.in").read_text() == "mine" and Path("here/C.stp").exists()
    assert study.copy_inputs(Path("here")) == []
