"""Fortran records: round trips and the errors of damaged files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from taylorfit.errors import FormatError, InputError
from taylorfit.formats.aenet.records import RecordReader, RecordWriter, decode_text, encode_text


def file_with(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "records").write_bytes(data)
    return tmp_path / "records"


def test_records_round_trip(tmp_path: Path) -> None:
    stream = io.BytesIO()
    writer = RecordWriter(stream)
    writer.integers(3, [4, 5])
    writer.reals(0.1, np.array([[1.0, 2.0]]))
    writer.text("Å blank ", 12)
    writer.texts(("Ti", "O"), 2)
    writer.integers(1)
    writer.write(b"")
    with RecordReader(file_with(tmp_path, stream.getvalue())) as reader:
        assert reader.integers("a", 3).tolist() == [3, 4, 5]
        assert reader.reals("b", 3).tolist() == [0.1, 1.0, 2.0]
        assert reader.text("c", 12) == "Å blank"
        assert reader.texts("d", 2, 2) == ("Ti", "O")
        assert reader.logical("e") is True
        assert reader.read("f", 0) == b""
        reader.end()


@pytest.mark.parametrize("payload", [b"\xff\xfe garbage \x00\x01  ", "η ≈ 1 Å".encode(), b"", b" lead"])
def test_text_comes_back_unchanged(payload: bytes) -> None:
    assert encode_text(decode_text(payload.ljust(20)), 20) == payload.ljust(20)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, 21])
def test_split_records_are_joined(length: int, tmp_path: Path) -> None:
    payload = bytes(range(length))
    stream = io.BytesIO()
    RecordWriter(stream, max_subrecord=7).write(payload)
    assert len(stream.getvalue()) == length + 8 * max(1, -(-length // 7))
    with RecordReader(file_with(tmp_path, stream.getvalue())) as reader:
        assert reader.read("split record", length) == payload
        reader.end()


def test_split_record_has_the_markers_of_gfortran() -> None:
    # gfortran -fmax-subrecord-length=8: a sign in front announces, a sign behind continues.
    stream = io.BytesIO()
    RecordWriter(stream, max_subrecord=8).write(bytes(20))
    markers = [int.from_bytes(stream.getvalue()[i : i + 4], "little", signed=True) for i in (0, 12, 16, 28, 32, 40)]
    assert markers == [-8, 8, -8, -8, 4, -4]


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "file ends before answer .*found '0 bytes'"),
        (b"\x04\x00", "file ends inside answer"),
        (b"\x04\x00\x00\x00\x2a\x00", "file ends inside answer .at byte 0.*found '2 bytes', expected 4 bytes"),
        (b"\x04\x00\x00\x00\x2a\x00\x00\x00", "file ends inside answer"),
        (b"\x04\x00\x00\x00\x2a\x00\x00\x00\x05\x00\x00\x00", "byte counts around answer disagree.*'4 and 5'"),
        (b"\x08\x00\x00\x00" + bytes(8) + b"\x08\x00\x00\x00", "wrong record length of answer.*'8 bytes', expected 4"),
        (b"\x00\x00\x00\x04\x2a\x00\x00\x00\x00\x00\x00\x04", "big-endian"),
        (b"\xfc\xff\xff\xff" + bytes(4) + b"\x04\x00\x00\x00", "file ends"),
        (b"\x00\x00\x00\x80" + bytes(4), "wrong record length"),
    ],
)
def test_damaged_record_is_explained(data: bytes, message: str, tmp_path: Path) -> None:
    with RecordReader(file_with(tmp_path, data)) as reader, pytest.raises(FormatError, match=message):
        reader.integer("answer")


def test_huge_count_allocates_nothing(tmp_path: Path) -> None:
    data = b"\xff\xff\xff\x7f" + bytes(8)
    with RecordReader(file_with(tmp_path, data)) as reader, pytest.raises(FormatError, match="ends inside"):
        reader.read("anything")
    with RecordReader(file_with(tmp_path, data)) as reader, pytest.raises(FormatError, match="wrong record length"):
        reader.reals("values", 2**31 - 1)


def test_values_are_checked(tmp_path: Path) -> None:
    stream = io.BytesIO()
    RecordWriter(stream).reals(1.0, np.nan)
    with RecordReader(file_with(tmp_path, stream.getvalue())) as reader:
        with pytest.raises(FormatError, match="weights, value 2 .at byte 0"):
            reader.reals("weights", 2)
    stream = io.BytesIO()
    RecordWriter(stream).integers(2)
    with RecordReader(file_with(tmp_path, stream.getvalue())) as reader:
        with pytest.raises(FormatError, match="flag .at byte 0.: found 2, expected at most 1"):
            reader.logical("flag")


def test_unreadable_files_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "nul\0"):
        with pytest.raises(InputError, match="cannot be read"):
            RecordReader(path)
