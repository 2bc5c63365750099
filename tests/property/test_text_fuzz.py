"""Damaged text forms, derivatives, checkpoints, files of unknown kind: a result or an error of our own, no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_files import (
    make_behler_potential_text,
    make_behler_setup,
    make_behler_trainset_text,
    make_checkpoint,
    read_checkpoint,
)
from taylorfit.commands.info import describe_file
from taylorfit.engine import DescriptorTables
from taylorfit.engine.derivatives import descriptor_derivatives
from taylorfit.errors import TaylorfitError
from taylorfit.formats.aenet.derivatives_file import DerivativesWriter, read_derivatives
from taylorfit.formats.aenet.dialects import AENET, AENET_PYTORCH
from taylorfit.formats.aenet.energies_file import read_energies, write_energies
from taylorfit.formats.aenet.potential_file import read_potential_ascii
from taylorfit.formats.aenet.rngstate import read_rngstate, write_rngstate
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.formats.aenet.trainset_ascii import read_trainset_ascii, write_trainset_ascii
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.recognise import recognise
from taylorfit.formats.structures.xsf import read_xsf
from taylorfit.model.descriptor import StructureDerivatives

LOCAL = Path(__file__).parents[1] / "data" / "golden"
quick = settings(
    max_examples=100, deadline=4000, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_all_derivatives(path: Path) -> list[StructureDerivatives]:
    return list(read_derivatives(path))


def make_derivatives(path: Path) -> None:
    folder = LOCAL / "cluster/four_species"
    species = ("C", "H", "N", "O")
    tables = DescriptorTables.from_setups(species, [read_setup(folder / f"{s}.fingerprint.stp") for s in species])
    structure = read_xsf(folder / "xsf/mol02.xsf")
    with DerivativesWriter(path, 2) as writer:
        writer.add("one", structure.n_atoms, 4, descriptor_derivatives(structure, tables))
        writer.add("two", structure.n_atoms, 4)


CASES: dict[str, tuple[Callable, Callable[[Path], None]]] = {
    "potential": (
        read_potential_ascii,
        lambda path: path.write_bytes((LOCAL / "cluster/four_species/H.nn.ascii").read_bytes()),
    ),
    "training set": (
        read_trainset_ascii,
        lambda path: write_trainset_ascii(path, read_trainset(LOCAL / "cluster/four_species/mol.train"), AENET_PYTORCH),
    ),
    "training set of ænet": (
        read_trainset_ascii,
        lambda path: write_trainset_ascii(path, read_trainset(LOCAL / "cluster/four_species/mol.train"), AENET),
    ),
    "derivatives": (read_all_derivatives, make_derivatives),
    "potential with symmetry functions": (read_potential_ascii, make_behler_potential_text),
    "training set with symmetry functions": (read_trainset_ascii, make_behler_trainset_text),
    "setup with symmetry functions": (read_setup, make_behler_setup),
    "checkpoint": (read_checkpoint, make_checkpoint),
    "energies": (
        read_energies,
        lambda path: write_energies(
            path,
            ("Ti", "O"),
            ("a.xsf", "b.xsf"),
            np.array([[2, 4], [1, 2]]),
            np.array([-48.7, -24.1]),
            np.array([0.01, -0.02]),
            1.5,
        ),
    ),
    "random state": (read_rngstate, lambda path: write_rngstate(path, range(8))),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable, bytes]:
    reader, make = CASES[request.param]
    path = tmp_path_factory.mktemp("fuzz") / "whole"
    make(path)
    reader(path)
    return reader, path.read_bytes()


def attempt(reader: Callable, path: Path, data: bytes) -> Exception | None:
    path.write_bytes(data)
    result = None
    for read in (reader, recognise, lambda file: describe_file(str(file))):
        try:
            read(path)
        except TaylorfitError as error:
            assert str(error).isprintable() and path.name in str(error)
            result = error if read is reader else result
    return result


def test_truncated_file_is_refused(case: tuple[Callable, bytes], tmp_path: Path) -> None:
    reader, data = case
    # A number cut in its digits is a number still: the last one of a text must be missing as a whole
    end = len(data.rsplit(None, 1)[0]) if reader in (read_potential_ascii, read_trainset_ascii) else len(data)
    for length in range(0, end, max(1, end // 150)):
        error = attempt(reader, tmp_path / "x", data[:length])
        # A setup or a table of energies that ends with a line is whole
        assert error is not None or reader in (read_setup, read_energies)


@quick
@given(data=st.data())
def test_changed_bytes_do_no_harm(case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject) -> None:
    reader, whole = case
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content) - 1, 20_000)))
        new = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from(
                    [
                        b" ",
                        b"\n",
                        b"-",
                        b"9",
                        b"999999999",
                        b"nan",
                        b"\r",
                        b"1_0",
                        b",",
                        "٣".encode(),
                        b"E",
                        b"*",
                        b"\xff",
                    ]
                ),
            )
        )
        content[at : at + len(new)] = new
    attempt(reader, tmp_path / "x", bytes(content))


@quick
@given(data=st.data())
def test_changed_words_do_no_harm(case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject) -> None:
    """Replace a whole int32 of a binary file: counts and lengths, the dangerous places."""
    reader, whole = case
    content = bytearray(whole)
    at = 4 * data.draw(st.integers(0, min(len(content) // 4 - 1, 60)))
    new = data.draw(st.sampled_from([0, 1, -1, 2, 255, 2**31 - 1, -(2**31), 2**24, -8]))
    content[at : at + 4] = new.to_bytes(4, "little", signed=True)
    attempt(reader, tmp_path / "x", bytes(content))


@quick
@given(data=st.data())
def test_missing_and_doubled_parts_do_no_harm(
    case: tuple[Callable, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    reader, whole = case
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    attempt(reader, tmp_path / "x", whole[:first] + whole[first:last] * data.draw(st.integers(0, 2)) + whole[last:])


@quick
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")),
        st.text("0123456789 TF\n.-E", max_size=200).map(str.encode),
    )
)
def test_garbage_is_refused(case: tuple[Callable, bytes], tmp_path: Path, content: bytes) -> None:
    reader, _ = case
    assert attempt(reader, tmp_path / "x", content) is not None


STRANGE = (
    np.array(np.nan),
    np.array([np.inf, -np.inf]),
    np.array("text"),
    np.array(["a", "b"]),
    np.zeros(0),
    np.zeros((0, 6)),
    np.array(2**62),
    np.array([2**40, 2**40]),
    np.array([1j, 2j]),
    np.zeros((2, 2, 2)),
    np.array(["NaT"] * 2, "M8[s]"),
    np.zeros(2, [("a", "f8"), ("b", "i4")]),
    np.array(b"\xff"),
    np.array([True, False]),
    np.ones((3, 2)),
    np.arange(-9, 9),
)


@pytest.mark.filterwarnings("error")
def test_whole_checkpoint_with_strange_arrays_does_no_harm(checkpoint: dict[str, np.ndarray], tmp_path: Path) -> None:
    """The archive is sound, but one of its arrays is missing or another."""
    for name in checkpoint:
        others = {key: array for key, array in checkpoint.items() if key != name}
        for arrays in (others, *({**others, name: array} for array in STRANGE)):
            with open(tmp_path / "whole.npz", "wb") as stream:
                np.savez(stream, **arrays)
            attempt(read_checkpoint, tmp_path / "x", (tmp_path / "whole.npz").read_bytes())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint."""
    path = tmp_path_factory.mktemp("checkpoint") / "whole.npz"
    make_checkpoint(path)
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
