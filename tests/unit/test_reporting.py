"""Warnings and outliers found in what was made to have them; HTML and Markdown that show text as it is."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prediction_cases import noisy_predictions, train_report, training
from taylorfit.reporting.document import Document, Picture, Section, Table, Warnings, to_html, to_markdown
from taylorfit.reporting.outliers import worst_atoms, worst_structures
from taylorfit.reporting.warnings import prediction_warnings, training_warnings


def history(force: list[float], energy: list[float]) -> list[dict[str, float]]:
    return [
        {"epoch": 10 * k, "force_error_norm_mean": f, "energy_rmse": e} for k, (f, e) in enumerate(zip(force, energy))
    ]


def epochs(test: list[float | None], train: float = 0.002) -> list[dict[str, Any]]:
    return [
        {"epoch": k, "train_mae": train, "train_rmse": train, "test_mae": value, "test_rmse": value}
        for k, value in enumerate(test)
    ]


def test_a_sound_training_has_no_warnings(tmp_path: Path) -> None:
    assert training_warnings(training(tmp_path)) == []


FORCE_RISES = {"validation_history": history([0.5, 0.3, 0.4], [0.01, 0.006, 0.004])}
BETTER = {**train_report()["validation"], "force_error_norm_mean": 0.1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            FORCE_RISES,
            "rises, from 0.300 eV/Å at epoch 10 to 0.400 at epoch 20, while the energy error falls, from 6.00 "
            "to 4.00 meV/atom",
        ),
        ({"validation_last": BETTER}, "last epoch have smaller force errors (0.100 eV/Å)"),
        ({"best_epoch": 99}, "at the very end (100): the errors still fall. Train longer"),
        ({"best_epoch": 99, "status": "interrupted"}, "interrupted"),
        ({"status": "stuck"}, "no further descent"),
        ({"n_test": 5}, "Only 5 test structures"),
        ({"epochs": epochs([None] * 101)}, "no test structures"),
        ({"epochs": epochs([0.009] * 101)}, "test error (9.00 meV/atom) is 4.5 times the training error (2.00)"),
        ({"validation_history": [], "validation": None}, "No force error is known"),
    ],
)
def test_warnings(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert any(words in line for line in training_warnings(training(tmp_path, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_history": history([0.5, 0.3, 0.4], [0.01, 0.004, 0.006])},  # the energy error rises as well
        {"validation_history": history([0.5, 0.300, 0.305], [0.01, 0.006, 0.004])},  # hardly
        {"best_epoch": 99, "status": "converged"},  # there is nothing left to train
        {"validation_history": []},  # VALIDATIONEVERY 0
    ],
)
def test_no_warnings_without_reason(changes: dict[str, Any], tmp_path: Path) -> None:
    assert training_warnings(training(tmp_path, **changes)) == []


def spoiled() -> Any:
    """Good predictions but for one structure's energy and one atom's force."""
    one = noisy_predictions(0.05, "spoiled")
    energy, forces = one.energy.copy(), one.forces.copy()
    energy[7] += 0.2 * one.n_atoms[7]
    forces[one.offsets[12] + 2] += [0.0, 3.0, 0.0]
    return replace(one, energy=energy, forces=forces)


def test_worst_structures_and_atoms_are_named() -> None:
    one = spoiled()
    structures, atoms = worst_structures(one), worst_atoms(one)
    assert len(structures) == len(atoms) == 10
    assert structures[0].name == "xsf/007.xsf" and structures[0].outlier
    assert structures[0].energy_error == pytest.approx(0.2, abs=0.01)
    assert not structures[1].outlier and abs(structures[1].energy_error) >= abs(structures[2].energy_error)
    worst = atoms[0]
    index = one.offsets[12] + 2
    assert (worst.name, worst.atom, worst.symbol) == ("xsf/012.xsf", 3, one.symbols[index])
    assert worst.error == pytest.approx(3.0, abs=0.3)
    assert worst.force_ref == pytest.approx(np.linalg.norm(one.forces_ref[index]))


def test_outliers_are_found_where_references_are_missing() -> None:
    one = spoiled()
    energy_ref, forces_ref = one.energy_ref.copy(), one.forces_ref.copy()
    energy_ref[3] = np.nan
    forces_ref[: one.offsets[5]] = np.nan
    found = replace(one, energy_ref=energy_ref, forces_ref=forces_ref)
    assert worst_structures(found)[0].name == "xsf/007.xsf"
    assert (worst_atoms(found)[0].name, worst_atoms(found)[0].atom) == ("xsf/012.xsf", 3)
    nothing = replace(one, energy_ref=np.full(40, np.nan), forces_ref=np.full_like(forces_ref, np.nan))
    assert worst_structures(nothing) == [] and worst_atoms(nothing) == [] and prediction_warnings(nothing) == []


def test_prediction_warnings() -> None:
    assert prediction_warnings(noisy_predictions(0.05)) == []
    (line,) = prediction_warnings(spoiled())
    assert "spoiled: energy errors far outside" in line and "xsf/007.xsf (+2" in line
    (line,) = prediction_warnings(noisy_predictions(0.8))
    assert "of the atoms have force errors above 1 eV/Å" in line


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("energy", "train on forces (FORCES mode=exact)"),
        ("taylor", "train on forces exactly (FORCES mode=exact), or with more copies."),
        ("centred", "or with more copies or a larger beta"),
        ("directional", "raise beta in FORCES"),
        ("exact", "raise beta in FORCES"),
    ],
)
def test_advice_fits_the_mode_that_was_run(mode: str, words: str, tmp_path: Path) -> None:
    overfitted = epochs([0.009] * 101)
    report = training(tmp_path, mode=mode, epochs=overfitted, potentials=["fit/Ar.nn"], **FORCE_RISES)
    lines = training_warnings(report)
    assert words.rstrip(".") in next(line for line in lines if "cost of the forces" in line)
    more = "More structures will help" if mode == "exact" else "or more information from forces"
    assert any(more in line for line in lines)
    (line,) = prediction_warnings(replace(noisy_predictions(0.8), potentials=("Ar.nn",)), report)
    assert words in line
    (line,) = prediction_warnings(replace(noisy_predictions(0.8), potentials=("other.nn",)), report)
    assert "train on forces (FORCES mode=exact)" in line


@pytest.mark.parametrize(("criterion", "words"), [("energy", "energies alone"), ("both", "energies and forces of")])
def test_what_chose_the_best_epoch_is_said_right(criterion: str, words: str, tmp_path: Path) -> None:
    lines = training_warnings(training(tmp_path, criterion=criterion, validation_last=BETTER))
    assert any(f"which were chosen by {words}" in line for line in lines)


DOCUMENT = Document(
    "a < b & _c_",
    (
        Section("Warnings", (Warnings(("first | <script>", "second")),)),
        Section("Table", (Table(("", "x*"), (("|F|", "1.0"), ("`q`", "–")), numeric=True), "A paragraph.")),
        Section("Picture", (Picture("one two", b"\x89PNG rest", "what it shows", 3.4),)),
    ),
)


class _Page(HTMLParser):
    """Text, tags in balance, and pictures of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.sources: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value for key, value in attributes if key in ("src", "href") and value]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_balanced_escaped_and_needs_nothing_else() -> None:
    page = _Page(to_html(DOCUMENT))
    assert page.open == [] and "first | <script>" in page.text and "a < b & _c_" in page.text
    assert page.sources == ["data:image/png;base64,iVBORyByZXN0"]


def test_markdown_escapes_what_would_be_markup() -> None:
    text = to_markdown(DOCUMENT, "r-pictures")
    assert "# a \\< b & \\_c\\_" in text and "- **first \\| \\<script>**" in text
    assert "|  | x\\* |\n| --- | --: |\n| \\|F\\| | 1.0 |" in text
    assert "![what it shows](r-pictures/one%20two.png)" in text
