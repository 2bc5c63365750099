"""Water clusters (H2O)6: figures 3 to 5, S1 to S3 and Table S1 of Cooper et al. 2020, on GFN1-xTB data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets import TRAINING, VALIDATION, place, structures_at
from results import predictions_section, present, rows_of, scan_section, scan_study_sections
from study import Shown, Step, Study, main, predict_step, scan_step, trainings
from tables import ENERGY, FORCE, NORM, PaperRow, best_copies_table, of_mode, paper_table, two
from taylorfit.analysis.scan_groups import Cells, best_and_median
from taylorfit.errors import InputError
from taylorfit.examples.copying import example_files
from taylorfit.formats.scan_table import SECONDS_PER_EPOCH
from taylorfit.model.measures import DASH
from taylorfit.reporting.document import Document, Section
from taylorfit.tools.plain_text import read_bytes

SHOWN = (
    Shown("energy", "energies alone", "energy"),
    Shown("cartesian", "Taylor A", "taylor", ("cartesian",)),
    Shown("taylor", "Taylor B", "taylor"),
    Shown("centred", "centred B", "centred"),
    Shown("directional", "directional", "directional"),
    Shown("exact", "exact forces", "exact"),
)
"""Figures 5, S2 and S3."""
SIZES_SHOWN = (
    SHOWN[0],
    Shown("energy-1000", "twice the structures", "energy", ("sizes-1000",)),
    Shown("energy-2000", "four times", "energy", ("sizes-2000",)),
)
"""Figure 3, of --full with the larger sets."""
DELTAS_SHOWN = tuple(
    Shown(f"taylor-{delta}", f"Taylor B, δ = {delta} Å", "taylor", ("delta",), {"delta_A": delta, "multiple_a": "22"})
    for delta in ("0.002", "0.005", "0.01", "0.02", "0.03")
)
"""Figure S1, of --full."""
MODES = ("modes", "cartesian")
DELTAS = ("modes", "delta", "cartesian", "cartesian-delta")
LARGER = {"1000": "xsf-1000", "2000": "xsf-2000"}
"""List of the shared data → folder for what it has beyond the smaller ones."""
SIZES = ("modes", "sizes", "sizes-1000", "sizes-2000")


def place_data(data: Path | None) -> None:
    """The structures and setups of the example; with --data, the larger sets of the same kind too."""
    content = example_files("water-cluster")
    for name in ("O", "H"):
        setup = Path(f"{name}.behler.fingerprint.stp")
        if not setup.exists():
            setup.write_bytes(content[setup.name])
    wanted = {
        TRAINING: {name: text for name, text in content.items() if name.startswith(f"{TRAINING}/")},
        VALIDATION: {name: text for name, text in content.items() if name.startswith(f"{VALIDATION}/")},
    }
    if data is not None:
        wanted |= _larger_sets(data, {Path(name).name for name in wanted[TRAINING]})
    for folder, structures in wanted.items():
        if not Path(folder).is_dir():
            place(structures, folder)


def _larger_sets(data: Path, known: set[str]) -> dict[str, dict[str, bytes]]:
    """Folder → structures of train_1000.txt and train_2000.txt that no smaller set has; the validation set."""
    if not (data / "train_1000.txt").is_file():
        raise InputError(
            "not the larger sets of water clusters",
            file=data,
            expected="a folder with train_1000.txt, train_2000.txt, train_2000.tar.xz, validation_0500.tar.xz",
        )
    every = {Path(name).name: text for name, text in structures_at(data, "train_2000.tar.xz").items()}
    sets = {}
    for size, folder in LARGER.items():
        names = {Path(word).name for word in read_bytes(data / f"train_{size}.txt").decode().split()}
        sets[folder] = {name: text for name, text in every.items() if name in names - known}
        known = known | names
    return sets | {VALIDATION: structures_at(data / "validation_0500.tar.xz")}


def steps(scale: str) -> list[Step]:
    """Modes with both strategies, δ and a, set sizes, then predictions of the best potentials."""
    scans = [scan_step(name, scale) for name in MODES]
    if scale == "quick":
        more = [scan_step("delta", scale), scan_step("sizes", scale)]
    else:
        more = [
            scan_step("delta", scale),
            scan_step("cartesian-delta", scale),
            *(scan_step(f"sizes-{size}", scale, folder) for size, folder in LARGER.items()),
            *(predict_step(shown, scale) for shown in (*SIZES_SHOWN[1:], *DELTAS_SHOWN)),
        ]
    return [*scans, *(predict_step(shown, scale) for shown in SHOWN), *more]


def paper_rows(rows: Sequence[Cells]) -> list[PaperRow]:
    """Numbers of section III B, and here (best / median over the seeds)."""
    smallest = min(rows, key=lambda row: float(row["n_structures"]), default={"n_structures": ""})["n_structures"]
    largest = max(rows, key=lambda row: float(row["n_structures"]), default={"n_structures": ""})["n_structures"]
    small = {"n_structures": smallest}
    exact, energy = of_mode(rows, "exact", **small), of_mode(rows, "energy", **small)
    other = "another reference method (GFN1-xTB) and other frames; best / median of the seeds"
    return [
        PaperRow(
            "energy error of Taylor training, meV/atom",
            "< 2",
            two(of_mode(rows, "taylor", strategy="random", **small), ENERGY),
            "RMSE here. The set has 300 and 800 K frames 70 meV/atom apart, "
            "the 800 K ones partly evaporated; " + other + ".",
        ),
        PaperRow(
            "force MAE of direct training, eV/Å",
            "0.18",
            two(exact, FORCE),
            "The paper mixes components and norms; norms here: " + two(exact, NORM) + "; " + other + ".",
        ),
        PaperRow(
            "share of direct training's improvement by Taylor training",
            "about 50 %",
            "see the table of shares",
            "Depends on δ² at a given number of epochs: plain Taylor training is far from "
            "its end when test energies are best.",
        ),
        PaperRow(
            "time per epoch, direct over energies",
            "8",
            _ratio(exact, energy),
            "The paper differentiates through matrices of derivatives; here products of vectors with them.",
        ),
        PaperRow(
            f"{smallest} structures with Taylor against {largest} with energies alone, mean |F − F_ref|, eV/Å",
            "about equal at four times the structures",
            f"{two(of_mode(rows, 'taylor', strategy='random', **small), NORM)} against "
            f"{two(of_mode(rows, 'energy', n_structures=largest), NORM)}",
            f"In the paper 471 against 1886; {other}.",
        ),
        PaperRow(
            f"the same with exact forces: {smallest} against {largest}",
            DASH,
            f"{two(exact, NORM)} against {two(of_mode(rows, 'energy', n_structures=largest), NORM)}",
            "Not in the paper.",
        ),
    ]


def _ratio(rows: list[Cells], reference: list[Cells]) -> str:
    """Ratio of the median seconds per epoch."""
    times, others = (best_and_median(some, SECONDS_PER_EPOCH) for some in (rows, reference))
    return DASH if times is None or others is None else f"{times[1] / others[1]:.1f}"


def results(scale: str) -> Document:
    """The page."""
    deltas, sizes = trainings(scale, DELTAS), trainings(scale, SIZES)
    smallest = {row["n_structures"] for row, _ in trainings(scale, MODES)}
    rows = list({row["key"]: row for row in rows_of([*trainings(scale, MODES), *sizes])}.values())
    return Document(
        f"Study water-cluster, {scale}",
        present(
            *scan_study_sections(scale, MODES, SHOWN),
            scan_section(
                "Figure 4: δ and a",
                "delta",
                deltas,
                "delta",
                "Errors relative to energy training against δ.",
                "energy",
                lambda row: row["n_structures"] in smallest and row["mode"] in ("energy", "taylor", "exact"),
            ),
            Section("Table S1: best δ and a", (best_copies_table(rows_of(deltas)),))
            if of_mode(rows_of(deltas), "taylor")
            else None,
            predictions_section("Figure 3: energies alone, several set sizes", "sizes-", SIZES_SHOWN, scale)
            if scale == "full"
            else None,
            predictions_section("Figure S1: several δ", "delta-", DELTAS_SHOWN, scale),
            scan_section("Number of structures", "sizes", sizes, "size", "Errors against the number of structures."),
            Section("Paper and here", (paper_table(paper_rows(rows)),)),
        ),
    )


STUDY = Study("water-cluster", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
