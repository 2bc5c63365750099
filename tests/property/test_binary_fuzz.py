"""Damaged binary and setup files: a result or an error of our own, nothing else."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taylorfit.errors import TaylorfitError
from taylorfit.formats.network_binary import read_potential
from taylorfit.formats.setup_file import read_setup
from taylorfit.formats.trainset_binary import read_trainset

LOCAL = Path(__file__).parents[1] / "data" / "golden"
CASES = {
    "training set": (read_trainset, LOCAL / "mono/mono.train"),
    "training set of several species": (read_trainset, LOCAL / "cluster/four_species/mol.train"),
    "potential": (read_potential, LOCAL / "mono/Si.nn"),
    "setup": (read_setup, LOCAL / "mono/Si.fingerprint.stp"),
}
cases = pytest.mark.parametrize("reader, path", CASES.values(), ids=CASES.keys())
quick = settings(
    max_examples=150, deadline=2000, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def limited_memory():
    """Let an allocation fail that follows a number made of garbage."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = 4 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def attempt(reader: Callable[[Path], object], path: Path, data: bytes) -> Exception | None:
    path.write_bytes(data)
    try:
        reader(path)
    except TaylorfitError as error:
        assert str(error).isprintable() and path.name in str(error)
        return error
    return None


@cases
def test_truncated_file_is_refused(reader: Callable, path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    step = 1 if len(data) < 6000 else 7
    for length in [*range(0, min(len(data), 600)), *range(600, len(data), step)]:
        error = attempt(reader, tmp_path / "x", data[:length])
        assert error is not None or reader is read_setup


@cases
@quick
@given(data=st.data())
def test_changed_bytes_do_no_harm(reader: Callable, path: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    attempt(reader, tmp_path / "x", bytes(content))


@cases
@quick
@given(data=st.data())
def test_changed_words_do_no_harm(reader: Callable, path: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Replace a whole int32: counts and record lengths, the dangerous places."""
    content = bytearray(path.read_bytes())
    limit = min(len(content) // 4 - 1, 400)
    at = 4 * data.draw(st.integers(0, limit))
    new = data.draw(st.sampled_from([0, 1, -1, 2, 255, 2**31 - 1, -(2**31), 2**24, -8]))
    content[at : at + 4] = new.to_bytes(4, "little", signed=True)
    attempt(reader, tmp_path / "x", bytes(content))


@cases
@quick
@given(data=st.data())
def test_missing_and_doubled_parts_do_no_harm(
    reader: Callable, path: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = path.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    part = content[first:last] * data.draw(st.integers(0, 2))
    attempt(reader, tmp_path / "x", content[:first] + part + content[last:])


@cases
@quick
@given(content=st.binary(max_size=300))
def test_garbage_is_refused(reader: Callable, path: Path, tmp_path: Path, content: bytes) -> None:
    assert attempt(reader, tmp_path / "x", content) is not None
