"""Suggestions and pushed pairs from Python: what the commands report, and ready to be trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import contents, make_toy, succeed
from taylorfit import InputError, Structure

OPTIONS = ["--temperature", "600", "--report", "report.json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suggest")
    make_toy(folder, 8)
    return folder


@pytest.fixture
def structures(folder: Path, monkeypatch) -> list[Structure]:
    monkeypatch.chdir(folder)
    return tfit.read("xsf/*.xsf")


def reported(folder: Path, *argv: str) -> dict:
    succeed(folder, *argv, *OPTIONS)
    report = json.loads((folder / "report.json").read_text())
    return {key: value for key, value in report.items() if key not in ("command", "version", "folder")}


def test_a_suggestion_is_that_of_the_command_and_can_be_used(folder: Path, structures, capsys):
    expected = reported(folder, "suggest", "xsf/*.xsf", "--mode", "taylor")
    before = contents(folder)
    found = tfit.suggest(
        [s.to_ase() for s in structures], mode="taylor", temperature=600.0, outfile="data.taylor.train"
    )
    assert contents(folder) == before and capsys.readouterr() == ("", "")
    assert json.loads(json.dumps(found.to_dict())) == expected
    copies = tfit.displace(structures, found.options)
    assert len(copies) == found.options.fraction * len(structures)
    each = len(copies) // len(structures)
    steps = [copy.positions - structures[k // each].positions for k, copy in enumerate(copies)]
    assert np.linalg.norm(steps, axis=2).max() == pytest.approx(found.options.delta)


def test_force_constants_and_modes_from_a_potential_in_memory(structures):
    setup = tfit.propose(structures)
    fit = tfit.train(structures, setup, forces=tfit.Exact(beta=1e-2), epochs=5, networks=[(4, "tanh")], threads=1)
    found = tfit.suggest(structures, potential=fit.potential, threads=1)
    assert found.curvature is not None and set(found.curvature.constants) == {"Ar"}
    copies = tfit.displace(structures[:2], tfit.ModeDisplacements(0.02, 3, hessians=fit.potential), threads=1)
    steps = np.array([copy.positions - structures[0].positions for copy in copies[:3]])
    assert len(copies) == 6 and np.abs(np.einsum("cix,dix->cd", steps, steps)[np.triu_indices(3, 1)]).max() < 1e-12


def test_pushed_copies_are_those_of_the_command_and_can_be_trained_on(folder: Path, structures):
    expected = reported(folder, "repel", "xsf/*.xsf", "--output", "pushed", "--copies", "2")
    found = tfit.repel([s.to_ase() for s in structures], copies=2, temperature=600.0)
    assert json.loads(json.dumps(found.to_dict())) == expected
    names = [structure.name for structure in found.structures]
    assert len(set(names)) == len(names) and names[0] == "xsf/00.xsf#pushed:1"
    files = tfit.read("pushed/*.xsf")
    for own, file in zip(found.structures, files, strict=True):
        np.testing.assert_allclose(own.positions, file.positions, atol=1e-9)
        assert own.weight == pytest.approx(file.weight) and own.forces is None
        assert own.pushed_from == file.pushed_from in {s.content_hash() for s in structures}
    fit = tfit.train(structures + found.structures, epochs=2, networks=[(4, "tanh")], threads=1, test_fraction=0.25)
    assert fit.counts.n_test == 2 and fit.counts.n_train == len(structures) - 2 + len(names) - 4


def test_what_cannot_be_done(structures):
    without = [replace(structure, forces=None) for structure in structures]
    for call, message in (
        (lambda: tfit.suggest(structures, mode="exact"), "unknown mode"),
        (lambda: tfit.suggest(without), "no structure can have copies"),
        (lambda: tfit.suggest(structures, curvature="auto"), "cannot be estimated"),
        (lambda: tfit.repel(without), "both energy and forces"),
        (lambda: tfit.repel(structures, push=(1.0, 0.5)), "shortened"),
        (lambda: tfit.repel(structures, highest=0.03, push=(1.0, 1.1)), "no pair could be pushed"),
    ):
        with pytest.raises(InputError, match=message):
            call()
