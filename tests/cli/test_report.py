"""`report` through the command line: a real training from beginning to end, keys that are missing, and complaints."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_support import contents, make_toy, report, run, succeed, taylor, train_in
from prediction_cases import noisy_predictions, train_report
from taylorfit.formats.predictions import write_predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training on Morse clusters, and predictions for some of them."""
    folder = tmp_path_factory.mktemp("trained")
    make_toy(folder, extra=taylor(delta=0.02, fraction=3, outfile="toy.taylor.train"))
    succeed(folder, "generate", "generate.in")
    (folder / "train.in").write_text(
        train_in(taylorset="toy.taylor.train", iterations=25, seed=1, validation="xsf/0*.xsf", best="both")
    )
    succeed(folder, "train", "train.in", "--report", "train.json")
    succeed(folder, "predict", "--potential", "Ar.nn", "xsf/0*.xsf", "--save-predictions", "own.npz")
    return folder


def test_html_of_a_real_training(trained: Path) -> None:
    found = report(trained, "report", "train.json", "own.npz", "-o", "page.html")
    page = (trained / "page.html").read_text()
    assert found["files"] == ["page.html"] and page.count("data:image/png;base64,") == 4
    errors = json.loads((trained / "train.json").read_text())["validation"]
    cell = f'<td class="number">{errors["force_mae"]:.3f}</td>'
    assert f"<td>validation: force MAE, eV/Å per component</td>{cell}" in page
    for words in ("best epoch (", "last epoch (25)", "Largest errors: own", "xsf/0", "Ar.nn"):
        assert words in page, words
    assert any("Only 2 test structures" in line for line in found["warnings"])
    assert all(line.split("<")[0] in page for line in found["warnings"])


def test_markdown_has_its_pictures_beside_it(trained: Path) -> None:
    found = report(trained, "report", "train.json", "own.npz", "-o", "page.md")
    names = [f"page-pictures/{name}.png" for name in ("curves", "errors", "parity-1", "directions")]
    assert found["files"] == ["page.md", *names]
    text = (trained / "page.md").read_text()
    assert all(f"]({name})" in text and (trained / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_the_same_input_gives_the_same_page(trained: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        succeed(trained, "report", "train.json", "own.npz", "-o", name)
        pages.append((trained / name).read_bytes())
    assert pages[0] == pages[1]


def test_recorded_settings_are_shown_and_missing_keys_are_said_to_be(tmp_path: Path) -> None:
    settings = {
        "trainingset": "a.train",
        "taylorset": ["b.train"],
        "species": ["O", "H"],
        "seed": 7,
        "beta_A2": 1e-3,
        "directions": None,
        "networks": {"O": "48-10-1", "H": "48-5-1"},
    }
    full = train_report(mode="centred", criterion="both", settings=settings)
    least = {key: full[key] for key in ("command", "epochs", "best_epoch")}
    for name, data in (("full", full), ("least", least)):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
        succeed(tmp_path, "report", f"{name}.json", "-o", f"{name}.md")
    text = (tmp_path / "full.md").read_text()
    for row in (
        "| training sets | a.train, b.train |",
        "| seed | 7 |",
        "| beta, Å² | 0.001 |",
        "| layers, O | 48-10-1 |",
        "| layers, H | 48-5-1 |",
        "| mode of the forces | centred |",
        "| species | O, H |",
        "| best epoch | smallest test error of energies and forces |",
    ):
        assert row in text, row
    assert "directions" not in text and "trainingset" not in text
    text = (tmp_path / "least.md").read_text()
    for row in (
        "| training structures | not recorded |",
        "| keywords | not recorded |",
        "| layers | not recorded |",
        "| time | not recorded |",
    ):
        assert row in text, row


def test_force_errors_of_test_structures_serve_where_there_is_no_validation(tmp_path: Path) -> None:
    epochs = [
        row | {"test_force_mae": 0.1, "test_force_rmse": 0.2 if row["epoch"] % 10 == 0 else None}
        for row in train_report()["epochs"]
    ]
    (tmp_path / "train.json").write_text(
        json.dumps(train_report(epochs=epochs, validation=None, validation_last=None, validation_history=[]))
    )
    found = report(tmp_path, "report", "train.json", "-o", "page.md")
    assert found["warnings"] == []
    assert "| test: force RMSE, eV/Å per component | 0.200 | 0.200 |" in (tmp_path / "page.md").read_text()


def test_a_committee_has_a_table_of_its_own(tmp_path: Path) -> None:
    committee = {
        "n": 5,
        "best_member": 3,
        "best": {"test_rmse": 0.003, "force_error_norm_mean": 0.2},
        "median": {"test_rmse": 0.004, "force_error_norm_mean": 0.25},
        "spread": {"test_rmse": None},
    }
    (tmp_path / "train.json").write_text(json.dumps(train_report(committee=committee)))
    succeed(tmp_path, "report", "train.json", "-o", "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "## Committee of 5" in text and "|  | best (member 3) | median | standard deviation |" in text
    assert "| test: energy RMSE, meV/atom | 3.00 | 4.00 | – |" in text
    assert "| validation: mean \\|F − F\\_ref\\|, eV/Å | 0.200 | 0.250 | – |" in text


def test_predictions_without_forces_or_references(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(train_report()))
    one = noisy_predictions(0.1, n_structures=5)
    forceless = replace(one, label="forceless", forces_ref=np.full_like(one.forces_ref, np.nan))
    bare = replace(forceless, label="bare", energy_ref=np.full(5, np.nan))
    write_predictions(tmp_path / "forceless.npz", forceless)
    write_predictions(tmp_path / "bare.npz", bare)
    succeed(tmp_path, "report", "train.json", "forceless.npz", "bare.npz", "-o", "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "parity-1" in text and "directions" not in text and "| structures with a reference energy | 5 | 0 |" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train.json", "-o", "page.pdf"), "expected .html or .md"),
        (("train.json", "-o", "missing/page.md"), "its directory does not exist"),
        (("missing.json", "-o", "page.md"), "missing.json: cannot be read"),
        (("train.json", "missing.npz", "-o", "page.md"), "missing.npz: cannot be read"),
        (("train.json", "train.json", "-o", "page.md"), "is not a predictions file"),
        (("train.json", "-o", "in.md/page.md"), "its directory does not exist"),
        (("text.md", "-o", "text.md"), "would replace its own input"),
        (("train.json", "-o", "blocked.md"), "blocked-pictures: cannot be made"),
    ],
)
def test_complaints_are_one_line_and_nothing_is_written(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(train_report()))
    (tmp_path / "text.md").write_text("x")
    (tmp_path / "blocked-pictures").write_text("a file, not a folder")
    before = contents(tmp_path)
    assert words in run(tmp_path, "report", *arguments).complaint
    assert contents(tmp_path) == before


def test_a_training_is_told_with_descriptors_versions_checksums_and_errors_by_element(tmp_path: Path) -> None:
    make_toy(tmp_path, 8)
    succeed(tmp_path, "generate", "generate.in")
    (tmp_path / "train.in").write_text(train_in(iterations=2, testpercent=25))
    found = report(tmp_path, "train", "train.in")
    for file in ("toy.train", "Ar.nn"):
        assert found["checksums"][file] == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert found["versions"]["NumPy"] == np.__version__
    write_predictions(tmp_path / "p.npz", noisy_predictions(0.1, n_structures=6))
    succeed(tmp_path, "report", "report.json", "p.npz", "-o", "page.md")
    text = (tmp_path / "page.md").read_text()
    assert found["settings"]["descriptors"]["Ar"] in text and found["checksums"]["Ar.nn"] in text
    assert re.search(r"\| descriptor, Ar \| Chebyshev, \d+ values, cutoff [\d.]+ Å, environment Ar \|", text)
    assert "Errors by element and composition" in text and re.search(r"\| H \| \d+ \| 0\.0\d+ \|", text)
