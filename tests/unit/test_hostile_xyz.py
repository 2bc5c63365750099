"""XYZ files that announce more atoms than they have: refused at once, where ASE's reader would go on for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from taylorfit.errors import FormatError
from taylorfit.formats.structures.files import read_structures


@pytest.mark.parametrize(
    ("text", "line", "count"),
    [("379797979\n\nH 0 0 0\n", 1, 379797979), ("1\n\nH 0 0 0\n99\n\nH 0 0 0\n", 4, 99), ("2\n\nH 0 0 0\n", 1, 2)],
)
@pytest.mark.parametrize("name", ["frames.xyz", "frames"])
def test_more_atoms_than_lines(tmp_path: Path, text: str, line: int, count: int, name: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FormatError) as refused:
        list(read_structures(path))
    assert refused.value.line == line and str(count) in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "atom", "complaint"),
    [
        ("species:S:1:pos:R:3:forces:R:3", "H 1 2 3 4 5 x", "forces of atom 2 is not a number.*'x'"),
        ("species:S:1:pos:R:3:forces:R:3", "H 1 2_0 3 4 5 x", "position of atom 2 is not a number.*'2_0'"),
        ("species:S:1:forces:R:3:pos:S:3:id:I:1", "H 4 5 6 1 2 y 7", "position of atom 2 is not a number.*'y'"),
        ("forces:R:3:pos:R:3:species:S:1:tags:I:1", "4 5 6 1 2 3 H 1.x", "tags of atom 2 is not a number.*'1.x'"),
    ],
)
def test_columns_side_by_side_complain_of_their_own_words(
    tmp_path: Path, columns: str, atom: str, complaint: str
) -> None:
    path = tmp_path / "x.extxyz"
    width = len(atom.split())
    good = " ".join("H" if word == "H" else "0.5" for word in atom.split())
    path.write_text(f"2\nProperties={columns} energy=-1.0\n{good}\n{atom}\n")
    with pytest.raises(FormatError, match=complaint):
        list(read_structures(path))
    right = " ".join(f"{k}.25" if word != "H" else word for k, word in enumerate(atom.split()))
    path.write_text(f"2\nProperties={columns} energy=-1.0\n{good}\n{right}\n")
    (structure,) = read_structures(path)
    words, place = right.split(), columns.split(":").index("pos") // 3
    widths = [int(n) for n in columns.split(":")[2::3]]
    begin = sum(widths[:place])
    assert structure.positions[1].tolist() == [float(word) for word in words[begin : begin + 3]] and width == sum(
        widths
    )
    if "forces" in columns:
        begin = sum(widths[: columns.split(":").index("forces") // 3])
        assert structure.forces is not None
        assert structure.forces[1].tolist() == [float(word) for word in words[begin : begin + 3]]


def test_frames_with_cell_vectors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text("1\n\nH 0 0 0\nVEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n1\n\nO 0 0 0\n")
    assert [structure.symbols for structure in read_structures(path)] == [("H",), ("O",)]
