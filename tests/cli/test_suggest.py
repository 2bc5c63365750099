"""`suggest`: the proposal can be pasted into generate.in, and says what it rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cli_support import contents, generate_in, make_toy, report, run, succeed, taylor, write_setups
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.generation.suggest import force_statistics
from taylorfit.model.structure import Structure
from taylorfit.settings.generate import GenerateInput


@pytest.mark.parametrize("mode", ["centred", "taylor"])
def test_the_block_generates_what_was_forecast(mode: str, tmp_path: Path) -> None:
    structures = make_toy(tmp_path, 10)
    before = contents(tmp_path)
    result = succeed(tmp_path, "suggest", "xsf/*.xsf", "--temperature", "2000", "--mode", mode, "--threads", "1")
    assert contents(tmp_path) == before
    block = result.out[result.out.index("DERIVATIVES") :]
    extra = block.replace("\n", "\ntemperature=2000 ", 1)
    (tmp_path / "again.in").write_text(generate_in(("Ar",), ["xsf/*.xsf"], extra=extra))
    found = report(tmp_path, "suggest", "xsf/*.xsf", "--temperature", "2000", "--mode", mode)
    generated = report(tmp_path, "generate", "again.in")
    left = {"centred": "centred", "taylor": "corrected"}[mode]
    (best,) = [a for a in found["alternatives"] if a["forecast"]["left"] == left]
    assert generated["taylor"]["delta"] == pytest.approx(best["delta"])
    assert generated["taylor"]["forecast"]["signal"] == pytest.approx(best["forecast"]["signal"], rel=1e-6)
    assert generated["taylor"]["forecast"]["bias"] == pytest.approx(best["forecast"]["bias"], rel=1e-2)
    assert generated["copies"] == 10 * found["fraction"] == 90  # 3N - 6 directions
    options = GenerateInput.read(tmp_path / "again.in").derivatives
    assert options.strategy == found["strategy"] == "orthogonal" and options.rotations == "remove"
    assert (options.curvature is not None) == (mode == "taylor")
    largest = max(np.linalg.norm(s.forces, axis=1).max() for s in structures)
    assert found["forces"]["Ar"]["largest"] == pytest.approx(largest)
    for words in ("Rule of thumb", "meV/atom", "Mean force constants", "9 of 9"):
        assert words in result.out


def test_generate_in_is_a_source_and_the_command_line_wins(tmp_path: Path) -> None:
    make_toy(tmp_path, 8, extra=taylor(temperature=1000, outfile="mine.train"))
    first = report(tmp_path, "suggest", "generate.in")
    assert "1000 K" in first["curvature_source"] and "outfile=mine.train" in first["derivatives"]
    assert "2000 K" in report(tmp_path, "suggest", "generate.in", "--temperature", "2000")["curvature_source"]
    given = report(tmp_path, "suggest", "generate.in", "--curvature", "Ar:3.5")
    assert given["curvature"] == {"Ar": 3.5} and given["curvature_source"] == "as given"


def test_without_curvature_the_bond_decides(tmp_path: Path) -> None:
    make_toy(tmp_path, 6)
    found = report(tmp_path, "suggest", "xsf/*.xsf")
    assert found["curvature"] is None and found["alternatives"] == []
    assert found["delta"]["Ar"] == pytest.approx(0.01 * found["shortest_distances"]["Ar-Ar"], rel=0.06)
    assert any("--temperature" in reason for reason in found["reasons"])


def test_large_cells_get_random_vectors_and_keep_rotations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = 2.5 * np.array(list(np.ndindex(6, 6, 6)), dtype=float) + rng.uniform(-0.1, 0.1, (216, 3))
    write_xsf(
        tmp_path / "a.xsf",
        Structure(("Ar",) * 216, grid, 15.0 * np.eye(3), (True,) * 3, -1.0, rng.normal(size=(216, 3))),
    )
    found = report(tmp_path, "suggest", "a.xsf", "--temperature", "500")
    assert found["strategy"] == "random" and found["fraction"] == 24 and "rotations" not in found["derivatives"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--temperature", "-3"), "--temperature is not positive"),
        (("--curvature", "Ar"), "not a list of force constants: found 'Ar'"),
        (("--curvature", "O:3"), "no curvature for a species: found 'Ar'"),
        (("--potential", "none.nn"), "none.nn"),
    ],
)
def test_impossible_arguments(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    make_toy(tmp_path, 3)
    assert words in run(tmp_path, "suggest", "xsf/*.xsf", *arguments).complaint


def test_nothing_to_displace(tmp_path: Path) -> None:
    write_xsf(tmp_path / "a.xsf", Structure(("Ar", "Ar"), 2.0 * np.eye(3)[:2], energy=-1.0))
    write_setups(tmp_path, ("Ar",))
    assert "no structure can have copies" in run(tmp_path, "suggest", "a.xsf").complaint


def test_help_names_every_key_of_the_report(tmp_path: Path) -> None:
    make_toy(tmp_path, 4)
    text = run(tmp_path, "suggest", "--help").out
    for key in set(report(tmp_path, "suggest", "xsf/*.xsf", "--temperature", "900")) - {"command", "version"}:
        assert key in text, key


def test_force_statistics_by_species() -> None:
    forces = np.array([[3.0, 0, 0], [0, 4.0, 0], [0, 0, 1.0]])
    without = Structure(("O",), np.zeros((1, 3)))
    found = force_statistics([Structure(("O", "H", "H"), np.eye(3), forces=forces), without])
    assert found["H"] == pytest.approx({"rms": np.sqrt(17 / 6), "largest": 4.0})
    assert found["O"] == pytest.approx({"rms": np.sqrt(3.0), "largest": 3.0})
