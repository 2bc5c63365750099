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


def test_frames_with_cell_vectors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text("1\n\nH 0 0 0\nVEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n1\n\nO 0 0 0\n")
    assert [structure.symbols for structure in read_structures(path)] == [("H",), ("O",)]
