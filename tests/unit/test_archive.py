"""NumPy's files that are damaged, or not what they say."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli_support import run
from fuzz_files import make_checkpoint, make_geometry, make_predictions, read_checkpoint
from taylorfit.errors import FormatError, TaylorfitError
from taylorfit.formats import archive
from taylorfit.formats.archive import load_arrays
from taylorfit.formats.companion import load_geometry
from taylorfit.formats.hessian_file import read_hessian
from taylorfit.formats.predictions import read_predictions


def npy(shape: tuple[int, ...], content: bytes, dtype: str = "<f8") -> bytes:
    """A file whose header says what it likes."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (53 - len(head) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + content


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def broken_stream(content: bytes) -> bytes:
    """An archive with a changed byte in the compressed data of its only member."""
    whole = bytearray(zipped({"hessian.npy": content}))
    at = 30 + len("hessian.npy") + 40
    whole[at] ^= 0xFF
    return bytes(whole)


SIX = npy((6, 6), np.eye(6).tobytes())
BAD = {
    "header of 2^31": npy((2**31,), b"\0" * 64),
    "header of 2^31 in an archive": zipped({"hessian.npy": npy((2**31, 2**31), b"\0" * 64)}),
    "negative shape": npy((-1, 6), b"\0" * 48),
    "elements without size": npy((2**40,), b"", "<U0"),
    "objects": npy((1,), b"\x80\4N.", "|O"),
    "shorter than its shape": SIX[:-8],
    "longer than its shape": SIX + b"\0" * 8,
    "a member that is no array": zipped({"hessian.npy": b"Hello, world"}),
    "a member of another name": zipped({"hessian.npy": SIX, "readme\x1b[31m.txt": b"Hello"}),
    "broken compression": broken_stream(SIX),
    "another version": b"\x93NUMPY\x09\0" + SIX[8:],
    "no members": zipped({}),
    "text": npy((6, 6), "a".encode("utf-32-le") * 36, "<U1"),
    "complex numbers": npy((6, 6), np.eye(6, dtype=complex).tobytes(), "<c16"),
    "characters that do not exist": zipped({"hessian.npy": npy((1,), b"\xff" * 4, "<U1")}),
    "half": zipped({"hessian.npy": SIX})[:100],
}


@pytest.mark.parametrize("content", BAD.values(), ids=list(BAD))
def test_a_damaged_hessian_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "h.npz").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_hessian(tmp_path / "h.npz", 2)
    assert "h.npz" in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<i8"])
def test_whole_files_are_read(tmp_path: Path, method: int, dtype: str) -> None:
    matrix = np.arange(36).reshape(6, 6).astype(dtype)
    matrix = matrix + matrix.T
    np.save(tmp_path / "h.npy", np.asfortranarray(matrix))
    (tmp_path / "h.npz").write_bytes(zipped({"hessian.npy": (tmp_path / "h.npy").read_bytes()}, method))
    for name in ("h.npy", "h.npz"):
        assert np.array_equal(read_hessian(tmp_path / name, 2), matrix)


def test_what_a_small_file_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped({"a.npy": npy((1000, 1000), bytes(8_000_000))})
    assert len(content) < 20_000
    (tmp_path / "x.npz").write_bytes(content)
    assert load_arrays(tmp_path / "x.npz")["a"].shape == (1000, 1000)
    monkeypatch.setattr(archive, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(ValueError, match="unpacks to more than"):
        load_arrays(tmp_path / "x.npz")


OWN: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "checkpoint": (make_checkpoint, read_checkpoint),
    "predictions": (make_predictions, read_predictions),
    "geometry": (make_geometry, load_geometry),
}
STRANGE = (b"", b"Hello", npy((2**31,), b""), npy((3,), bytes(24)), npy((2, 2), b"\xff" * 32), npy((), b"\xff" * 8))


@pytest.mark.parametrize("name", OWN)
def test_members_of_other_kinds_and_shapes_do_no_harm(tmp_path: Path, name: str) -> None:
    make, read = OWN[name]
    path = tmp_path / "x.npz"
    make(path)
    read(path)
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    refused = 0
    for member in members:
        for strange in (*STRANGE, None):
            changed = {key: value for key, value in members.items() if key != member or strange is not None}
            path.write_bytes(zipped(changed | ({member: strange} if strange is not None else {})))
            try:
                read(path)
            except TaylorfitError as error:
                assert str(error).isprintable()
                refused += 1
            result = run(tmp_path, "info", "x.npz")
            assert result.code in (0, 2) and result.err.count("\n") == (result.code == 2)
    assert refused > 0.4 * 7 * len(members)
