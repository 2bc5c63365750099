"""Potentials written by the real ænet: read, compared with its text version, written again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.potential_file import read_potential, read_potential_file, write_potential
from taylorfit.model.activations import ACTIVATIONS

LOCAL = Path(__file__).parents[1] / "data" / "golden"
LOCAL_FILES = (
    "mono/Si.nn",
    *(f"cluster/four_species/{x}.nn" for x in "CHNO"),
    "cluster/tio2_nets/Ti.nn",
    "cluster/tio2_nets/O.nn",
)
SHARED_SETS = ("behler", "lmnto", "run", "run/init", "run/lm", "tio2/A_published_nets", "tio2/B_own_nets")


@pytest.mark.parametrize("name", LOCAL_FILES)
def test_rewritten_potential_is_identical(name: str, tmp_path: Path) -> None:
    write_potential(tmp_path / "again.nn", read_potential(LOCAL / name))
    assert (tmp_path / "again.nn").read_bytes() == (LOCAL / name).read_bytes()


@pytest.mark.parametrize("folder", SHARED_SETS)
def test_rewritten_shared_potential_is_identical(folder: str, shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "golden" / folder).glob("*.nn"))
    assert paths
    for path in paths:
        write_potential(tmp_path / "again.nn", read_potential(path))
        assert (tmp_path / "again.nn").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", LOCAL_FILES)
def test_weights_equal_those_of_the_text_version(name: str) -> None:
    potential = read_potential(LOCAL / name)
    lines = (LOCAL / f"{name}.ascii").read_text().splitlines()
    assert tuple(map(int, lines[4].split())) == potential.network.layer_sizes
    assert tuple(map(int, lines[5].split())) == potential.network.activations
    # The text has 17 digits at most, some numbers have fewer.
    np.testing.assert_allclose(np.array(lines[8].split(), float), potential.network.weights, rtol=1e-15)


def test_potential_is_read_correctly() -> None:
    potential = read_potential(LOCAL / "mono/Si.nn")
    assert potential.species == "Si"
    assert potential.network.layer_sizes == (16, 7, 5, 1)
    assert [ACTIVATIONS[code] for code in potential.network.activations] == ["mtanh", "sigmoid", "linear"]
    assert potential.info.file == "t.train.scaled"
    assert potential.info.energy_min == pytest.approx(-1.0)
    assert potential.info.energy_min <= potential.info.energy_mean <= potential.info.energy_max
    statistics = potential.setup.statistics
    assert (statistics.minimum <= statistics.mean).all() and (statistics.mean <= statistics.maximum).all()


def rewritten(tmp_path: Path, old: bytes, new: bytes) -> Path:
    data = (LOCAL / "mono/Si.nn").read_bytes()
    assert len(old) == len(new) and data.count(old) == 1
    (tmp_path / "x.nn").write_bytes(data.replace(old, new))
    return tmp_path / "x.nn"


def ints(*values: int) -> bytes:
    return np.array(values, dtype="<i4").tobytes()


@pytest.mark.parametrize(
    "old, new, message",
    [
        (ints(16, 16, 7, 5, 1, 16), ints(16, 16, 7, 6, 1, 16), "weight offsets"),
        (ints(12, 3, 2, 0, 12), ints(12, 3, 9, 0, 12), "activation functions"),
        (ints(4, 165, 4), ints(4, 164, 4), "number of weights contradicts the layers"),
        (ints(0, 17, 25, 31), ints(0, 17, 25, 32), "value offsets"),
        (b"Chebyshev  ", b"Tschebysch ", "basis type in setup of Si"),
        (ints(4, 16, 4, 4, 4, 4), ints(4, 16, 4, 4, 5, 4), "number of parameters"),
        (np.array([6.0, 9.0, 4.5]).tobytes(), np.array([6.0, 8.0, 4.5]).tobytes(), "but the orders make 15"),
    ],
)
def test_contradictions_are_refused(old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        read_potential(rewritten(tmp_path, old, new))


def test_non_finite_weight_is_refused(tmp_path: Path) -> None:
    potential = read_potential(LOCAL / "mono/Si.nn")
    weights = potential.network.weights.copy()
    old = weights[3].tobytes()
    with pytest.raises(FormatError, match="weights, value 4 .*nan"):
        read_potential(rewritten(tmp_path, old, np.array(np.nan).tobytes()))
    weights[3] = np.inf
    broken = replace(potential, network=replace(potential.network, weights=weights))
    with pytest.raises(InputError, match="not finite"):
        write_potential(tmp_path / "y.nn", broken)
    assert not (tmp_path / "y.nn").exists()


def test_setup_must_fit_the_network(tmp_path: Path) -> None:
    potential = read_potential(LOCAL / "mono/Si.nn")
    other = read_potential(LOCAL / "cluster/tio2_nets/Ti.nn")
    with pytest.raises(InputError, match="inputs for a descriptor"):
        write_potential(tmp_path / "y.nn", replace(potential, setup=other.setup))


def test_training_set_is_no_potential() -> None:
    with pytest.raises(FormatError):
        read_potential(LOCAL / "mono/mono.train")


def test_absent_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_potential(tmp_path / "none.nn")


@pytest.mark.parametrize("name", ["mono/Si", "cluster/four_species/O", "cluster/four_species/H"])
@pytest.mark.parametrize("ending", [".nn", ".nn.ascii"])
def test_potentials_of_old_aenet_are_named(name: str, ending: str, tmp_path: Path) -> None:
    """Before the record of mean squares was added: the record between the means and the name is not there."""
    content = (LOCAL / f"{name}{ending}").read_bytes()
    setup = read_potential(LOCAL / f"{name}.nn").setup
    path = tmp_path / f"old{ending}"
    if ending == ".nn":
        record = setup.statistics.mean_square.tobytes()
        start = content.index(record) - 4
        path.write_bytes(content[:start] + content[start + len(record) + 8 :])
    else:
        lines = content.split(b"\n")
        end = next(k for k, line in enumerate(lines) if b".train" in line)
        start = end
        found = 0
        while found < setup.n_feature:
            start -= 1
            found += len(lines[start].split())
        path.write_bytes(b"\n".join(lines[:start] + lines[end:]))
    with pytest.raises(FormatError, match="old version of ænet: it has no mean squares"):
        read_potential_file(path)
