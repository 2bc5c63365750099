"""The energies that train saves: round trip, what `info` says of them, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taylorfit.commands.info import describe_file
from taylorfit.errors import FormatError
from taylorfit.formats.aenet.energies_file import read_energies, write_energies, write_saved_energies
from taylorfit.formats.recognise import FileKind

NAMES = ("xsf/one.xsf", "two words.xsf", "drei-Ångström.xsf")
COUNTS = np.array([[2, 4], [0, 1], [12345, 67890]])
ERROR = np.array([0.003, -0.001, 0.0])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file of three structures: usual, with a blank in its name, and so large that numbers touch."""
    path = tmp_path / "saved"
    write_energies(path, ("Ti", "O"), NAMES, COUNTS, np.array([-48.7, 1.0 / 3.0, -6.0e5]), ERROR, 1.5)
    return path


def test_round_trip(saved: Path, tmp_path: Path) -> None:
    found = read_energies(saved)
    assert found.species == ("Ti", "O") and found.names == NAMES
    np.testing.assert_array_equal(found.counts, COUNTS)
    np.testing.assert_array_equal(found.error_per_atom, ERROR)
    np.testing.assert_allclose(found.network, found.reference - COUNTS.sum(axis=1) * ERROR, rtol=1e-6)
    assert found.scale == pytest.approx(1.5)
    write_saved_energies(tmp_path / "again", found)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_no_structures(tmp_path: Path) -> None:
    write_energies(tmp_path / "none", ("H",), (), np.zeros((0, 1), dtype=int), np.zeros(0), np.zeros(0), 1.0)
    found = read_energies(tmp_path / "none")
    assert found.n_structures == 0 and found.scale is None
    kind, (lines, data) = describe_file(str(tmp_path / "none"))
    assert kind is FileKind.ENERGIES and data["rmse"] is None and lines[0].startswith("0 structures")


def test_info(saved: Path) -> None:
    kind, (lines, data) = describe_file(str(saved))
    assert kind is FileKind.ENERGIES and data["n_structures"] == 3
    assert data["mae"] == pytest.approx(0.004 / 3) and data["rmse"] == pytest.approx((1.0e-5 / 3) ** 0.5)
    assert "MAE 1.3333, RMSE 1.8257 meV/atom; largest error 3.0000 meV/atom in xsf/one.xsf" in lines[1]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("Cost-Func", "Cost", 1, "head"),
        ("#Ti", "Ti", 1, "species"),
        ("3.000000E-03", "3.00x000E-03", 2, "is not a number"),
        ("3.000000E-03", "************", 2, "overflow"),
        ("3.000000E-03", "         NaN", 2, "not finite"),
        ("    2    4 ", "    2    5 ", 2, "contradicts"),
        ("    2    4 ", "   -2    8 ", 2, "number of atoms"),
        (" two words.xsf", "", 3, "path"),
        ("    0    1 two words.xsf", "", 3, "number of atoms"),
        ("\n  -6.0", "\n\n  -6.0", 4, "incomplete"),
        ("m.xsf\n", "m.xsf", 4, "cut off"),
    ],
)
def test_damage_is_told_with_its_line(saved: Path, old: str, new: str, line: int, words: str) -> None:
    text = saved.read_text(encoding="utf-8")
    assert old in text
    saved.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FormatError, match=words) as caught:
        read_energies(saved)
    assert caught.value.line == line and str(caught.value).startswith(f"{saved}, line {line}: ")
