"""Copies of `repel` are copies: the link to their parent survives files, and no split tears them apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import contents, generate_in, make_toy, report, succeed, train_in
from taylorfit import FormatError, Structure
from taylorfit.analysis.scan_grid import Structures
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.companion import geometry_path, load_geometry
from taylorfit.formats.structures.xsf import format_xsf, parse_xsf
from taylorfit.settings.document import FileEntry
from taylorfit.settings.train import TrainInput
from taylorfit.training.data import read_data
from taylorfit.training.prepare import Problem, prepare

N = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clusters, pushed copies of them in files, and one training set of both."""
    made = tmp_path_factory.mktemp("pushed")
    make_toy(made, N)
    succeed(made, "repel", "xsf/*.xsf", "--output", "pushed", "--copies", "2", "--push", "0.3", "0.6")
    (made / "generate.in").write_text(generate_in(("Ar",), ("pushed/*.xsf", "xsf/*.xsf")))
    succeed(made, "generate", "generate.in")
    return made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def prepared(**keywords: object) -> Problem:
    Path("train.in").write_text(train_in(testpercent=25, **keywords))
    return prepare(TrainInput.read("train.in"), read_data(TrainInput.read("train.in"), "train.in"), 1)


def test_the_link_survives_every_format(tmp_path: Path) -> None:
    copies = tfit.read("pushed/*.xsf")
    hashes = {s.content_hash() for s in tfit.read("xsf/*.xsf")}
    assert copies and all(copy.pushed_from in hashes for copy in copies)
    tfit.write(tmp_path / "copies.extxyz", copies)
    for again in (
        tfit.read(tmp_path / "copies.extxyz"),
        [parse_xsf(format_xsf(copy).encode(), "a.xsf") for copy in copies],
        [Structure.from_ase(copy.to_ase()) for copy in copies],
    ):
        assert [s.pushed_from for s in again] == [s.pushed_from for s in copies]
    own = replace(copies[0], pushed_from="")
    assert parse_xsf(format_xsf(own, [f"pushed from = {'0' * 64}"]).encode(), "a.xsf").pushed_from == ""
    with pytest.raises(FormatError, match="hash of a structure"):
        parse_xsf(format_xsf(own).replace("ATOMS", "# pushed from = x.xsf\nATOMS").encode(), "a.xsf")


@pytest.mark.parametrize("forget", ["nothing", "companion", "hashes"])
@pytest.mark.parametrize("split", ["seed", "hash"])
def test_copies_of_test_structures_are_not_trained_on(split: str, forget: str, folder: Path) -> None:
    before = contents(folder)
    companion = Path(geometry_path("toy.train"))
    try:
        if forget == "companion":  # the structure files know as well
            companion.unlink()
        problem = prepared(split=split)
        parent_of = {copy.name: copy.pushed_from for copy in tfit.read("pushed/*.xsf")}
        content = {s.name: s.content_hash() for s in tfit.read("xsf/*.xsf")}
        tested = {content[name] for name in problem.test.names}
        assert tested and problem.split.n_orphans == 0
        trained = [parent_of[name] for name in problem.train.names if name in parent_of]
        assert trained and not set(trained) & tested
        assert problem.split.n_unused_copies == len(parent_of) - len(trained) > 0
        if forget == "hashes":  # a companion of before: the copies are structures like others
            arrays = dict(np.load(companion))
            np.savez(companion.open("wb"), **{k: v for k, v in arrays.items() if k not in ("content", "pushed_from")})
            assert load_geometry(companion)[0].pushed_from.tolist() == [b""] * len(arrays["cell"])
            assert prepared().split.n_unused_copies == 0
    finally:
        companion.write_bytes(before[companion.name])


def test_the_share_is_of_the_structures() -> None:
    assert len(prepared().split.test) == N // 4
    assert len(prepared(split="hash").split.test) == len(tfit.split(tfit.read("xsf/*.xsf"), 0.25, by="hash")[1])


def test_they_do_not_widen_the_range_of_the_data() -> None:
    plain = generate_in(("Ar",), ("xsf/*.xsf",), output="plain.train")
    Path("plain.in").write_text(plain)
    succeed(Path(), "generate", "plain.in")
    (with_copies,), (without,) = (read_trainset(file).setups for file in ("toy.train", "plain.train"))
    np.testing.assert_array_equal(with_copies.statistics.minimum, without.statistics.minimum)
    np.testing.assert_array_equal(with_copies.statistics.maximum, without.statistics.maximum)
    assert with_copies.statistics.n_evaluated > without.statistics.n_evaluated
    assert read_trainset("toy.train").energy_max > read_trainset("plain.train").energy_max


def test_the_check_passes_them_over() -> None:
    data, copies = tfit.read("xsf/*.xsf"), tfit.read("pushed/*.xsf")
    mixed = tfit.check([*copies, *data])
    assert mixed.findings == tfit.check(data).findings and mixed.n_structures == len(data) + len(copies)
    assert tfit.check([replace(copy, pushed_from="") for copy in copies]).findings
    odd = replace(data[3], energy=None, name="odd")
    (finding,) = (f for f in tfit.check([*copies, *data, odd]).findings if f.kind == "missing-energy")
    assert finding.structures == (len(data) + len(copies),) and finding.names == ("odd",)


def test_orphans_and_validation() -> None:
    data, copies = tfit.read("xsf/*.xsf"), tfit.read("pushed/*.xsf")
    fit = tfit.train(data[3:] + copies, epochs=1, networks=[(3, "tanh")], threads=1, validation=[*data[:3], *copies])
    lost = sum(copy.pushed_from in {s.content_hash() for s in data[:3]} for copy in copies)
    assert lost and any(note.startswith(f"note: {lost} copies of repel are of structures") for note in fit.notes)
    assert fit.counts.n_validation == 3


def test_a_scan_draws_structures_with_their_copies() -> None:
    found = Structures.of((FileEntry("pushed/*.xsf", 1), FileEntry("xsf/*.xsf", 2)), "generate.in")
    plain = Structures.of((FileEntry("xsf/*.xsf", 2),), "generate.in")
    chosen = found.subset(5)
    assert {e for e in chosen if e[0].startswith("xsf")} == set(plain.subset(5))
    content = {s.name: s.content_hash() for s in tfit.read("xsf/*.xsf")}
    wanted = {content[path] for path, _ in plain.subset(5)}
    copies = {(copy.name, None) for copy in tfit.read("pushed/*.xsf") if copy.pushed_from in wanted}
    assert copies and {e for e in chosen if e[0].startswith("pushed")} == copies


def test_the_report_counts_them(folder: Path) -> None:
    Path("train.in").write_text(train_in(testpercent=25, iterations=2))
    found = report(folder, "train", "train.in", "--fresh")
    assert found["n_test"] == N // 4 and found["n_train"] == N - N // 4 + 2 * (N - N // 4)
