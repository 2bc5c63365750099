"""`plot` through the command line: every kind on tiny data, and what is wrong with a call or a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli_support import GOLDEN, contents, report, run, succeed
from prediction_cases import noisy_predictions, train_report
from taylorfit import plotting
from taylorfit.formats.predictions import write_predictions

SCAN = """mode,delta_A,multiple_a,n_structures,seed,energy_rmse_meV_per_atom,force_error_norm_mean_eV_per_A
energy,,,471,1,5.0,1.0
taylor,0.01,22,471,1,4.0,0.5
taylor,0.02,22,471,1,4.5,0.6
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of each kind."""
    for name, noise in (("rough", 0.5), ("fine", 0.1)):
        write_predictions(tmp_path / f"{name}.npz", noisy_predictions(noise, name, n_structures=10))
        (tmp_path / f"{name}.json").write_text(json.dumps(train_report()))
    (tmp_path / "scan.csv").write_text(SCAN)
    (tmp_path / "rdf.csv").write_text("r_A,g\n1.0,0.1\n2.0,1.2\n")
    (tmp_path / "nve.csv").write_text("time_ps,E_tot_eV\n0.0,-560.0\n0.5,-559.9\n")
    shutil.copyfile(GOLDEN / "mono" / "Si.nn", tmp_path / "Si.nn")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("curves", "rough.json", "fine.json"),
        ("parity", "rough.npz"),
        ("errors", "rough.npz", "fine.npz", "--log", "--label", "energy training", "Taylor"),
        ("directions", "rough.npz", "fine.npz"),
        ("scan", "scan.csv", "--x", "delta", "--relative", "energy"),
        ("rdf", "rdf.csv"),
        ("nve", "nve.csv", "--label", "LMNTO", "--atoms", "56"),
        ("dimer", "Si.nn"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_every_kind(arguments: tuple[str, ...], suffix: str, head: bytes, folder: Path) -> None:
    found = report(folder, "plot", *arguments, "-o", f"figure{suffix}")
    assert found["kind"] == arguments[0] and found["output"] == f"figure{suffix}" and found["files"][0] == arguments[1]
    assert (folder / f"figure{suffix}").read_bytes().startswith(head)


def test_errors_are_printed_under_the_labels_given(folder: Path) -> None:
    arguments = ("plot", "errors", "rough.npz", "fine.npz", "-o", "x.png", "--label", "A", "B")
    out = succeed(folder, *arguments).out
    assert out.index("A: 10 structures") < out.index("B: 10 structures") and out.count("mean |F − F_ref|") == 2
    found = report(folder, *arguments)["errors"]
    assert [one["label"] for one in found] == ["A", "B"]
    assert found[0]["force_mae"] > 3 * found[1]["force_mae"] and found[1]["n_structures"] == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pie", "rough.npz", "-o", "x.png"), "unknown kind of plot: found 'pie', expected curves or"),
        (("parity", "rough.npz", "fine.npz", "-o", "x.png"), "takes one file: found 2"),
        (("errors", "rough.npz", "-o", "x.png", "--x", "delta"), "--x belongs to plot scan"),
        (("errors", "rough.npz", "-o", "x.png", "--label", "a", "b"), "found 2, expected 1 names"),
        (("errors", "rough.npz", "-o", "x.jpeg"), "expected .png or .pdf"),
        (("errors", "rough.npz", "-o", "missing/x.png"), "its directory does not exist"),
        (("errors", "rough.npz"), "-o/--output"),
        (("errors", "missing.npz", "-o", "x.png"), "missing.npz: cannot be read: No such file"),
        (("errors", "rough.json", "-o", "x.png"), "rough.json: is not a predictions file"),
        (("curves", "rough.npz", "-o", "x.png"), "rough.npz: is not JSON"),
        (("curves", "other.json", "-o", "x.png"), "is not the report of a training: found 'predict'"),
        (("curves", "empty.json", "-o", "x.png"), "the report has no epochs"),
        (("curves", "broken.json", "-o", "x.png"), "broken.json, line 2: is not JSON"),
        (("curves", "keyless.json", "-o", "x.png"), "the report has an epoch without train_rmse"),
        (("scan", "nve.csv", "-o", "x.png"), "nve.csv, line 1: no column mode"),
        (("scan", "scan.csv", "-o", "x.png", "--x", "beta"), "scan.csv, line 1: no column beta_A2"),
        (("scan", "scan.csv", "-o", "x.png", "--relative", "exact"), "found 'exact', expected energy or taylor"),
        (("rdf", "nve.csv", "-o", "x.png"), "nve.csv, line 1: no column r_A"),
        (("nve", "rdf.csv", "-o", "x.png"), "rdf.csv, line 1: no column time_ps"),
        (("nve", "nve.csv", "-o", "x.png"), "nve.csv, line 1: no column n_atoms"),
        (("nve", "nve.csv", "-o", "x.png", "--atoms", "0"), "--atoms is no number of atoms: found 0"),
        (("rdf", "rdf.csv", "-o", "x.png", "--atoms", "5"), "--atoms belongs to plot nve"),
        (("dimer", "rdf.csv", "-o", "x.png"), "rdf.csv"),
    ],
)
def test_complaints_are_one_line_and_nothing_is_written(arguments: tuple[str, ...], words: str, folder: Path) -> None:
    (folder / "other.json").write_text('{"command": "predict"}')
    (folder / "empty.json").write_text('{"command": "train", "epochs": []}')
    (folder / "broken.json").write_text('{"command":\n train}')
    (folder / "keyless.json").write_text('{"command": "train", "epochs": [{"epoch": 0}], "best_epoch": 0}')
    before = contents(folder)
    assert words in run(folder, "plot", *arguments).complaint
    assert contents(folder) == before


def test_without_matplotlib_one_line_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "find_spec", lambda name: None)
    for arguments in (("plot", "errors", "rough.npz", "-o", "x.png"), ("report", "rough.json", "-o", "x.html")):
        assert run(folder, *arguments).complaint.endswith('pip install "taylorfit[plot]"')


def test_help_names_every_kind(folder: Path) -> None:
    out = succeed(folder, "plot", "--help").out
    for kind in ("curves", "parity", "errors", "directions", "scan", "rdf", "nve", "dimer"):
        assert f"\n  {kind} " in out
