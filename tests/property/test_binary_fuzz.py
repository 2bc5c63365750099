"""Damaged binary and setup files and checkpoints: a result or an error of our own, nothing else."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_files import (
    make_behler_potential,
    make_behler_setup,
    make_behler_trainset,
    make_checkpoint,
    make_geometry,
    make_predictions,
    read_checkpoint,
)
from taylorfit.engine import c_folders
from taylorfit.errors import InputError, TaylorfitError
from taylorfit.formats.aenet.potential_file import read_potential
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.companion import load_geometry
from taylorfit.formats.predictions import read_predictions

TF_ERROR_FILE = 6
"""As in taylorfit.h."""


class LibraryError(ctypes.Structure):
    """`tf_error` of taylorfit.h."""

    _fields_ = (("code", ctypes.c_int), ("message", ctypes.c_char * 512))


@cache
def library() -> ctypes.CDLL:
    """libtaylorfit, as a program in C sees it."""
    (path,) = (file for file in c_folders()[1].glob("libtaylorfit.*") if file.is_file())
    found = ctypes.CDLL(str(path))
    found.tf_potential_new.restype = ctypes.c_void_p
    return found


def load_by_library(path: Path) -> None:
    """Read a potential by the library and by Python, which must agree about whether it is one."""
    error, handle = LibraryError(), ctypes.c_void_p(library().tf_potential_new())
    files = (ctypes.c_char_p * 1)(bytes(path))
    code = library().tf_potential_load(handle, 1, 1, files, ctypes.byref(error))
    library().tf_potential_free(handle)
    refused = None
    try:
        potential = read_potential(path)
        foreign = not "".join((*potential.setup.environment, *potential.info.species)).isascii()
    except TaylorfitError as problem:
        refused, foreign = problem, False
    # What the file holds may still be more than the engine can do
    assert (refused is None) == (code != TF_ERROR_FILE) or foreign, (refused, error.message)
    if code:
        raise InputError(error.message.decode().removeprefix(f"{path}: "), file=path)


LOCAL = Path(__file__).parents[1] / "data" / "golden"
CASES: dict[str, tuple[Callable, Path | Callable[[Path], None]]] = {
    "training set": (read_trainset, LOCAL / "mono/mono.train"),
    "training set of several species": (read_trainset, LOCAL / "cluster/four_species/mol.train"),
    "training set with symmetry functions": (read_trainset, make_behler_trainset),
    "potential": (read_potential, LOCAL / "mono/Si.nn"),
    "potential with symmetry functions": (read_potential, make_behler_potential),
    "potential in C": (load_by_library, LOCAL / "mono/Si.nn"),
    "potential with symmetry functions in C": (load_by_library, make_behler_potential),
    "setup": (read_setup, LOCAL / "mono/Si.fingerprint.stp"),
    "setup with symmetry functions": (read_setup, make_behler_setup),
    "checkpoint": (read_checkpoint, make_checkpoint),
    "predictions": (read_predictions, make_predictions),
    "geometry": (load_geometry, make_geometry),
}
"""Reader, and the whole file or what makes it."""
quick = settings(
    max_examples=150, deadline=2000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(autouse=True)
def limited_memory():
    """Let an allocation fail that follows a number made of garbage."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = 4 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable, bytes]:
    """Reader and content of a whole file."""
    reader, path = CASES[request.param]
    if not isinstance(path, Path):
        make, path = path, tmp_path_factory.mktemp("fuzz") / "whole"
        make(path)
    reader(path)
    return reader, path.read_bytes()


def attempt(reader: Callable[[Path], object], path: Path, data: bytes) -> Exception | None:
    path.write_bytes(data)
    try:
        reader(path)
    except TaylorfitError as error:
        assert str(error).isprintable() and path.name in str(error)
        return error
    return None


def test_truncated_file_is_refused(case: tuple[Callable, bytes], tmp_path: Path) -> None:
    reader, data = case
    step = max(1, len(data) // 1000) | 1  # odd: all places within a word
    for length in [*range(min(len(data), 600)), *range(600, len(data), step)]:
        error = attempt(reader, tmp_path / "x", data[:length])
        assert error is not None or reader is read_setup


@quick
@given(data=st.data())
def test_changed_bytes_do_no_harm(case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject) -> None:
    reader, whole = case
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    attempt(reader, tmp_path / "x", bytes(content))


@quick
@given(data=st.data())
def test_changed_words_do_no_harm(case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject) -> None:
    """Replace a whole int32: counts and record lengths, the dangerous places."""
    reader, whole = case
    content = bytearray(whole)
    limit = min(len(content) // 4 - 1, 400)
    at = 4 * data.draw(st.integers(0, limit))
    new = data.draw(st.sampled_from([0, 1, -1, 2, 255, 2**31 - 1, -(2**31), 2**24, -8]))
    content[at : at + 4] = new.to_bytes(4, "little", signed=True)
    attempt(reader, tmp_path / "x", bytes(content))


@quick
@given(data=st.data())
def test_missing_and_doubled_parts_do_no_harm(
    case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    reader, content = case
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    part = content[first:last] * data.draw(st.integers(0, 2))
    attempt(reader, tmp_path / "x", content[:first] + part + content[last:])


@quick
@given(content=st.binary(max_size=300))
def test_garbage_is_refused(case: tuple[Callable, bytes], tmp_path: Path, content: bytes) -> None:
    reader, _ = case
    assert attempt(reader, tmp_path / "x", content) is not None
