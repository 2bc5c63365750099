"""Writing structures from Python: what is read again is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import taylorfit as tfit
from cli_support import contents, morse_cluster
from taylorfit import DataWarning, InputError, RandomDisplacements, Structure


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    rng = np.random.default_rng(0)
    return [morse_cluster(rng, name=f"run/{k}.xsf") for k in range(3)]


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("all.extxyz", ["all.extxyz#0", "all.extxyz#1", "all.extxyz#2"]),
        ("new/s*.xsf", ["new/s000001.xsf", "new/s000002.xsf", "new/s000003.xsf"]),
        ("folder", ["folder/0.xsf", "folder/1.xsf", "folder/2.xsf"]),
    ],
)
def test_what_is_written_is_read_again(structures, tmp_path: Path, monkeypatch, output: str, names: list[str]):
    monkeypatch.chdir(tmp_path)
    paths = tfit.write(output, [structure.to_ase() for structure in structures])
    assert all(path.is_file() for path in paths) and len(paths) == len({name.split("#")[0] for name in names})
    again = tfit.read(paths)
    assert [structure.name for structure in again] == names
    for one, two in zip(again, structures, strict=True):
        np.testing.assert_allclose(one.positions, two.positions, atol=1e-12)
        np.testing.assert_allclose(one.forces, two.forces, atol=1e-12)
        assert one.energy == pytest.approx(two.energy, abs=1e-10)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="exists"):
        tfit.write(output, structures)
    assert contents(tmp_path) == before
    assert tfit.write(output, structures, overwrite=True) == paths


def test_copies_keep_what_their_names_tell(structures, tmp_path: Path):
    paths = tfit.write(tmp_path / "copies", tfit.displace(structures, RandomDisplacements(0.01, 2)))
    assert len(paths) == 6
    assert paths[1].name == "0-taylor-random-0001-0.01.xsf"


def test_what_a_format_cannot_hold_is_warned_of(structures, tmp_path: Path):
    slab = replace(structures[0], cell=5.0 * np.eye(3), pbc=(True, True, False), energy=None)
    with pytest.warns(DataWarning) as told:
        tfit.write(tmp_path / "slab.xsf", slab)
    assert any("periodic in all three" in str(one.message) for one in told)


def test_impossible_files(structures, tmp_path: Path):
    with pytest.raises(InputError, match="more than one structure"):
        tfit.write(tmp_path / "one.xsf", structures)
    with pytest.raises(InputError, match="no structures"):
        tfit.write(tmp_path / "one.xsf", [])
    assert list(tmp_path.iterdir()) == []
