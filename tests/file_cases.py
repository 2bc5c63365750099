"""Small structure files of other programs, as tests of what files say use them."""

from __future__ import annotations

from pathlib import Path

from taylorfit.formats.structures.files import read_structures
from taylorfit.model.structure import Structure
from taylorfit.settings.reading import ReadingOptions

CASES = Path(__file__).resolve().parent / "data" / "cases"


def case(number: str) -> Path:
    (folder,) = CASES.glob(f"{number}-*")
    return folder


def frame(keys: str = "energy=-1.5", columns: str = "forces:R:3", more: str = "") -> str:
    """A water molecule in a box of 8 Å, forces 0.1 to 0.3 in size."""
    return (
        f'3\nProperties=species:S:1:pos:R:3:{columns} Lattice="8 0 0 0 8 0 0 0 8" {keys}\n'
        f"O 0 0 0 0.1 0.2 0.3{more}\nH 0.96 0 0 -0.1 0 0{more}\nH -0.24 0.93 0 0 -0.2 -0.3{more}\n"
    )


def read_text(
    tmp_path: Path, text: str | bytes, name: str = "a.xyz", **options: str
) -> tuple[list[Structure], list[str]]:
    """The structures of a file with this content, and what is told about it."""
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    told: list[str] = []
    return list(read_structures(tmp_path / name, ReadingOptions(**options), tell=told.append)), told


DUMP = (case("01") / "md.dump").read_text()
N2P2 = (case("02") / "input.data").read_text()
