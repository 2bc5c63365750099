"""Whole studies on a tiny scale, by the same scripts and input files with a few numbers changed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import study
import tables
from cli_support import Result, contents, run, succeed
from facts import Results
from taylorfit.formats.scan_table import read_scan_table
from taylorfit.formats.structures.xsf import write_xsf
from taylorfit.model.structure import Structure

EPOCHS = (
    ("train-quick.in", r"ITERATIONS .*", "ITERATIONS 4"),
    ("train-quick.in", r"VALIDATIONEVERY .*", "VALIDATIONEVERY 2"),
)


def edited(folder: Path, name: str, *edits: tuple[str, str, str]) -> Path:
    """The input files of a study in `folder`, with (file, pattern, new) replaced; each must be there."""
    import_module(name).STUDY.copy_inputs(folder)
    for file, pattern, new in edits:
        text, n = re.subn(pattern, new, (folder / file).read_text())
        assert n, (file, pattern)
        (folder / file).write_text(text)
    return folder


def script(folder: Path, name: str, *argv: str) -> Result:
    """Run the script of a study in `folder`."""
    module = import_module(name)
    return run(folder, *argv, program=lambda words: study.main(module.STUDY, module.__doc__, words))


def quick(folder: Path, name: str, *options: str) -> str:
    """Run a study in `folder`; return what it prints."""
    result = script(folder.parent, name, folder.name, "--quick", "--threads", "1", *options)
    assert (result.code, result.err) == (0, ""), result
    return result.out


def table_under(page: str, title: str) -> list[list[str]]:
    """Cells of the first table of a section, header first."""
    lines = [line for line in page[page.index(f"## {title}") :].split("\n\n") if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]


def check_page(folder: Path, pictures: set[str]) -> str:
    """The page links the pictures there are; return it."""
    page = (folder / "RESULTS.md").read_text()
    linked = set(re.findall(r"\(RESULTS-pictures/(.*?)\.png\)", page))
    assert linked == pictures
    for name in linked:
        assert (folder / "RESULTS-pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (folder / "RESULTS-pictures").iterdir()} == pictures
    return page


def periodic_frames(folder: Path, symbols: tuple[str, ...], n: int = 7, length: float = 6.6) -> Path:
    """XSF files of a jittered grid of atoms with harmonic energies and forces."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    side = round(np.ceil(len(symbols) ** (1 / 3)))
    places = np.stack(np.meshgrid(*3 * [np.arange(side)], indexing="ij"), axis=-1).reshape(-1, 3)
    grid = length / side * places[: len(symbols)]
    for k in range(n):
        shift = rng.normal(scale=0.08, size=grid.shape)
        write_xsf(
            folder / f"{k}.xsf",
            Structure(
                symbols,
                grid + shift,
                cell=np.diag([length, 1.01 * length, 0.99 * length]),
                pbc=(True, True, True),
                energy=float(5.0 * (shift**2).sum()) - 20.0 * len(symbols),
                forces=-10.0 * shift,
            ),
        )
    return folder


# --- the dimer ---------------------------------------------------------------------------------


def test_dimer_from_points_to_page_and_nothing_twice(tmp_path: Path) -> None:
    modes = ("energy", "taylor", "centred", "directional", "exact")
    folder = edited(
        tmp_path / "lj", "lj_dimer", *((f"train-{mode}.in", r"ITERATIONS .*", "ITERATIONS 40") for mode in modes)
    )
    out = quick(folder, "lj_dimer", "--seeds", "2")
    page = check_page(folder, {"dimer"})
    numbers = table_under(page, "Numbers")
    assert [line[:2] for line in numbers[2:4]] == [["exact", ""], ["energies alone", "best of 2"]]
    assert len(numbers) == 2 + 1 + 2 * len(modes) and numbers[2][2:5] == ["1.540", "-3.607", "109.5"]
    # 14 copies at ±0.02 Å, none of them along y or z
    names = sorted(path.name.split(":")[-1] for path in (folder / "xsf").glob("*#*"))
    assert names == 7 * ["2+x"] + 7 * ["2-x"]
    assert "7 training structures, 14 Taylor copies" in (folder / "logs/train-train-taylor.log").read_text()

    before = contents(folder)
    again = quick(folder, "lj_dimer", "--seeds", "2")
    assert again.count("done before") == out.count("what was printed is in") == 7
    assert contents(folder) == before
    # Another input file: that step alone is done again
    edited(folder, "lj_dimer", ("train-exact.in", "beta=1e-2", "beta=1e-3"))
    out = quick(folder, "lj_dimer", "--seeds", "2")
    assert out.count("done before") == 6


# --- water clusters ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of water clusters with few structures, copies, modes and epochs."""
    folder = edited(
        tmp_path_factory.mktemp("studies") / "water",
        "water_cluster",
        *EPOCHS,
        ("modes-quick.in", "mode .*", "mode energy taylor exact"),
        ("modes-quick.in", "seeds .*", "a 2\nseeds 1 2"),
        ("cartesian-quick.in", "a 12", "a 6"),
        ("delta-quick.in", "delta .*", "delta 0.008 0.02"),
        ("delta-quick.in", "a 22", "a 2"),
        *((f"{scan}-quick.in", "size 160", "size 10") for scan in ("modes", "cartesian", "delta")),
        ("sizes-quick.in", "size 471", "size 20"),
    )
    # Structures that are there stay: a few of the example's, placed before the study begins
    scratch = folder.parent / "scratch"
    scratch.mkdir()
    succeed(scratch, "example", "water-cluster", "example")
    for part, n in (("xsf", 24), ("validation", 4)):
        (folder / part).mkdir()
        for path in sorted((scratch / "example" / part).glob("*.xsf"))[::7][:n]:
            path.rename(folder / part / path.name)
    quick(folder, "water_cluster", "--seeds", "1")
    return folder


def test_water_clusters(water: Path) -> None:
    folder = water
    page = check_page(folder, {"time", "errors", "directions", "delta", "sizes"})
    modes = table_under(page, "Modes")
    lines = [line for line in modes[2:] if "last epoch" not in line[0]]
    assert [line[:4] for line in lines] == [
        ["energy", "–", "10", "1"],
        ["taylor", "B, δ 0.008 Å, a 2", "10", "1"],
        ["taylor", "A, δ 0.03 Å, a 6", "10", "1"],
        ["exact", "–", "10", "1"],
    ]
    # Its numbers are those of the table of the scan
    (row,) = [row for row in read_scan_table(folder / "quick.csv") if row["mode"] == "exact"]
    assert lines[-1][4] == f"{float(row['energy_rmse_meV_per_atom']):.2f}"
    assert {line[0] for line in table_under(page, "Equal time")[2:]} == {
        "energy",
        "taylor, B, δ 0.008 Å, a 2",
        "taylor, A, δ 0.03 Å, a 6",
        "exact",
    }
    # For each strategy the displacement with the smallest force error
    errors: dict[str, dict[str, list[float]]] = {"A": {}, "B": {}}
    for one in read_scan_table(folder / "quick.csv"):
        if one["mode"] == "taylor" and one["n_structures"] == "10":
            strategy = {"cartesian": "A", "random": "B"}[one["strategy"]]
            errors[strategy].setdefault(one["delta_A"], []).append(float(one["force_error_norm_mean_eV_per_A"]))
    best = [[letter, min(found, key=lambda delta: float(np.median(found[delta])))] for letter, found in errors.items()]
    assert [line[1:3] for line in table_under(page, "Table S1")[2:]] == best
    assert table_under(page, "Paper and here")[0] == list(tables.CLAIM_HEADER)
    # What was measured is kept for the pages of the manual, the figures as vectors
    found = Results.load(folder / "results-quick.json")
    assert found.of("force_error", {"scan": "full", "mode": "exact"}).values == pytest.approx(
        (float(row["force_error_norm_mean_eV_per_A"]),), rel=1e-5
    )
    assert found.fact("seconds: exact").low > 0.0 and found.provenance["scale"] == "quick"
    assert {path.name for path in (folder / "figures").glob("*.pdf")} == {
        f"figure-{name}.pdf" for name in ("1", "3", "4", "5", "S2", "S3")
    }
    # The potentials shown are copies of those trained
    trained = (folder / "scan/points" / row["key"] / "O.nn").read_bytes()
    assert (folder / "potentials/quick-exact/O.nn").read_bytes() == trained


def test_more_seeds_are_added_to_those_there(water: Path) -> None:
    folder = water
    before = read_scan_table(folder / "quick.csv")
    quick(folder, "water_cluster", "--seeds", "2")
    after = read_scan_table(folder / "quick.csv")
    assert len(after) == 2 * len(before)
    assert [row["key"] for row in after[: len(before)]] == [row["key"] for row in before]
    assert {line[3] for line in table_under((folder / "RESULTS.md").read_text(), "Modes")[2:]} == {"2"}


def test_page_from_what_is_there(tmp_path: Path, water: Path) -> None:
    result = script(tmp_path, "water_cluster", "empty", "--full", "--results-only")
    assert result.code == 0 and ": scan" not in result.out
    assert "Nothing has been trained yet" in (tmp_path / "empty/RESULTS.md").read_text()
    # A table and nothing else, as after an interruption
    folder = edited(tmp_path / "part", "water_cluster")
    (folder / "xsf").mkdir()
    source = water
    for name in ("quick.csv", "modes-quick.in", "train-quick.in"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "xsf/a.xsf").write_bytes(next((source / "xsf").iterdir()).read_bytes())
    quick(folder, "water_cluster", "--results-only")
    assert table_under((folder / "RESULTS.md").read_text(), "Modes")[2][0] == "energy"
    # Figures need no training where potentials are there, as after a merge of spread.py
    before, shown = (source / "quick.csv").read_bytes(), source / "predictions" / "quick-exact.npz"
    shown.unlink()
    (source / "logs/predict-quick-exact.done").unlink()
    out = quick(source, "water_cluster", "--results-only")
    assert shown.exists() and (source / "quick.csv").read_bytes() == before and ": scan" not in out


# --- data by path ------------------------------------------------------------------------------


def test_bulk_water_with_dynamics(tmp_path: Path) -> None:
    symbols = 4 * ("O", "H", "H")
    folder = edited(
        tmp_path / "bulk",
        "bulk_water",
        *EPOCHS,
        ("modes-quick.in", "mode .*", "mode energy taylor centred exact"),
        ("modes-quick.in", "size .*", "size 5"),
        ("copies-quick.in", "size .*", "size 5"),
        ("copies-quick.in", "a .*", "a 2 4"),
        ("modes-quick.in", "a 12", "a 4"),
        ("md-quick.in", "STEPS .*", "STEPS 4"),
        ("md-quick.in", "EQUILIBRATION .*", "EQUILIBRATION 2"),
        ("md-quick.in", "SAMPLE .*", "SAMPLE 2"),
        ("md-quick.in", "r_max=6.0", "r_max=3.2"),
    )
    quick(folder, "bulk_water", "--seeds", "1", "--data", str(periodic_frames(tmp_path / "frames", symbols)))
    page = check_page(folder, {"time", "errors", "directions", "copies", "md-rdf"})
    walks = table_under(page, "Figure 8")
    assert [line[0] for line in walks[2:]] == ["energy", "taylor", "centred", "exact"]
    paper = {line[0]: line for line in table_under(page, "Paper and here")[2:]}
    (stable,) = [line for claim, line in paper.items() if claim.startswith("Dynamics with Taylor training")]
    assert "of 1 runs hold" in stable[2]
    again = quick(folder, "bulk_water", "--seeds", "1")
    assert again.count("done before") == 6 and again.count("0 to do") == 2


def test_lmnto_with_dynamics(tmp_path: Path) -> None:
    symbols = ("Li", "Mo", "Ni", "Ti", "O", "O", "O", "O")
    folder = edited(
        tmp_path / "oxide",
        "lmnto",
        *EPOCHS,
        ("modes-quick.in", "mode .*", "mode energy taylor centred exact"),
        ("modes-quick.in", "size .*", "size 5"),
        ("delta-quick.in", "size .*", "size 5"),
        ("modes-quick.in", "a 20", "a 3"),
        ("delta-quick.in", "a 20", "a 3"),
        ("delta-quick.in", "delta .*", "delta 0.02 0.03"),
        ("md-quick.in", "REPEAT .*", "REPEAT 1 1 1"),
        ("md-quick.in", "STEPS .*", "STEPS 4"),
        ("md-quick.in", "EQUILIBRATION .*", "EQUILIBRATION 2"),
        ("md-quick.in", "SAMPLE .*", "SAMPLE 1"),
    )
    quick(folder, "lmnto", "--seeds", "1", "--data", str(periodic_frames(tmp_path / "frames", symbols)))
    page = check_page(folder, {"time", "errors", "directions", "delta", "md"})
    paper = {line[0]: line for line in table_under(page, "Paper and here")[2:]}
    energy = paper["Energies alone: energy error (III D, fig. 9a)"]
    assert energy[1] == "4.6 meV/atom" and "(n = 1)" in energy[2]
    (stable,) = [line for claim, line in paper.items() if claim.startswith("NVE with Taylor training")]
    assert "of 1 runs hold" in stable[2]


def test_tio2(tmp_path: Path) -> None:
    folder = edited(
        tmp_path / "oxide",
        "tio2",
        *EPOCHS,
        ("modes-quick.in", "size .*", "size 4"),
        ("modes-quick.in", "a 10", "a 2"),
        ("modes-quick.in", "mode .*", "mode energy directional"),
        *(
            (f"{symbol}.stp", "radial_Rc=8.0 (.*) angular_Rc=6.5", r"radial_Rc=4.0 \1 angular_Rc=3.0")
            for symbol in ("Ti", "O")
        ),
    )
    frames = periodic_frames(tmp_path / "frames", ("Ti", "O", "O"), length=4.2)
    quick(folder, "tio2", "--seeds", "1", "--data", str(frames))
    page = check_page(folder, {"time", "errors", "directions"})
    assert [line[0] for line in table_under(page, "Modes")[2:] if "last" not in line[0]] == ["energy", "directional"]


# --- what is wrong with a call -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("lmnto", "--quick"), ("--data PATH", "aenet-python", "10.1038/s41524-020-0323-8")),
        (("bulk_water", "--quick"), ("--data PATH", "deepmd-kit")),
        (("lmnto", "--full", "--data", "nowhere"), ("nowhere", "cannot be read")),
        (("lj_dimer", "--full", "--data", "."), ("takes no data",)),
        (("lj_dimer", "--quick", "--seeds", "0"), ("--seeds", "at least 1")),
    ],
)
def test_one_line_says_what_is_wrong(argv: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    result = script(tmp_path, *argv)
    assert result.code == 2 and result.err.count("\n") == 1
    assert all(word in result.err for word in words), result.err


@pytest.mark.parametrize("options", [(), ("--quick", "--full")])
def test_the_scale_must_be_named(options: tuple[str, ...], tmp_path: Path) -> None:
    file = Path(study.__file__).parent / "lj_dimer.py"
    result = subprocess.run([sys.executable, file, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "--full" in result.stderr and not list(tmp_path.iterdir())


def test_a_step_that_fails_ends_the_study_with_a_page(tmp_path: Path) -> None:
    folder = edited(tmp_path / "lj", "lj_dimer", ("train-energy.in", "TRAININGSET .*", "TRAININGSET nowhere.train"))
    result = script(tmp_path, "lj_dimer", "lj", "--quick", "--threads", "1")
    assert result.code == 2 and "nowhere.train" in result.err and "--quick goes on from here" in result.out
    assert "Nothing has been trained" in (folder / "RESULTS.md").read_text() and "=== 4" not in result.out


def test_an_input_file_that_cannot_be_read_is_named_even_if_the_page_needs_it(tmp_path: Path) -> None:
    edited(tmp_path / "lj", "lj_dimer", ("train-energy.in", "ITERATIONS .*", "ITERATIONS 0x"))
    result = script(tmp_path, "lj_dimer", "lj", "--quick", "--threads", "1")
    assert result.code == 2 and "train-energy.in, line" in result.err and "goes on from here" in result.out
