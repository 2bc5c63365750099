"""Li8Mo2Ni7Ti7O32: figures 9 and 10 of Cooper et al. 2020, on the paper's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets import place_with_held_out
from results import md_output, md_section, present, rows_of, scan_section, scan_study_sections
from study import (
    MODES_SHOWN,
    Shown,
    Step,
    Study,
    generate_step,
    main,
    md_step,
    predict_step,
    scan_step,
    train_step,
    trainings,
)
from tables import ENERGY, NORM, PaperRow, of_mode, paper_table, relative_change, two, walks_words
from taylorfit.analysis.scan_groups import Cells, best_and_median
from taylorfit.formats.csv_table import read_table
from taylorfit.model.measures import DASH
from taylorfit.reporting.document import Document, Section

PUBLIC = "github.com/atomisticnet/aenet-python, notebooks/xsf (data of DOI 10.1038/s41524-020-0323-8)"
FOR_MD = tuple(Shown(f"md-{mode}", mode, mode, ("larger",)) for mode in ("energy", "taylor", "centred", "exact"))
"""Larger networks, of --full alone; --quick takes those of `MODES_SHOWN`."""
PAPER_DELTA = "0.03"


def place_data(data: Path | None) -> None:
    """Structures."""
    place_with_held_out(data, PUBLIC)


def steps(scale: str) -> list[Step]:
    """Modes, predictions, dynamics, and δ."""
    if scale == "quick":
        dynamics = [md_step("md", scale)]
    else:
        dynamics = [
            scan_step("larger", scale),
            *(predict_step(shown, scale) for shown in FOR_MD),
            generate_step("generate-wide.in"),
            train_step("train-wide.in", members_are_seeds=False),
            md_step("md", scale),
        ]
    return [
        scan_step("modes", scale),
        *(predict_step(shown, scale) for shown in MODES_SHOWN),
        *dynamics,
        scan_step("delta", scale),
    ]


def paper_rows(rows: Sequence[Cells], scale: str) -> list[PaperRow]:
    """Numbers of section III D, and here (best / median over the seeds)."""
    energy, taylor = of_mode(rows, "energy"), of_mode(rows, "taylor", delta_A=PAPER_DELTA)
    other = (
        "The same data; another division (the paper checks 1,800 frames that are not public), "
        "500 structures instead of 720 (--quick: fewer structures, copies and epochs), "
        "epochs not given in the paper"
    )
    found = [
        PaperRow("energies alone: energy RMSE, meV/atom", "4.6", two(energy, ENERGY), other + "."),
        PaperRow("energies alone: mean |F − F_ref|, eV/Å", "0.92", two(energy, NORM), other + "."),
        PaperRow(
            f"Taylor, δ {PAPER_DELTA} Å: energy RMSE, meV/atom",
            "4.9 (+6.5 %)",
            two(taylor, ENERGY),
            "Weights of the best test epoch; the last epoch is in the table of modes where it differs.",
        ),
        PaperRow(
            f"Taylor, δ {PAPER_DELTA} Å: mean |F − F_ref|, eV/Å, and improvement",
            "0.66 (28 %)",
            f"{two(taylor, NORM)} ({relative_change(taylor, energy, NORM)})",
            other + ".",
        ),
        PaperRow(
            "δ of the smallest energy error, Å",
            "0.02",
            _best_delta(rows),
            "Of those scanned, by the median of the seeds.",
        ),
    ]
    for mode in ("centred", "directional", "exact"):
        own = of_mode(rows, mode)
        found.append(
            PaperRow(
                f"{mode}: energy RMSE, meV/atom; mean |F − F_ref|, eV/Å",
                DASH,
                f"{two(own, ENERGY)}; {two(own, NORM)}",
                "Not in the paper.",
            )
        )
    return [*found, *_md_rows(scale)]


def _best_delta(rows: Sequence[Cells]) -> str:
    """δ with the smallest median energy error of plain Taylor training."""
    medians = {
        delta: best_and_median(of_mode(rows, "taylor", delta_A=delta), ENERGY.column)
        for delta in {row["delta_A"] for row in of_mode(rows, "taylor")}
    }
    known = {delta: values[1] for delta, values in medians.items() if values is not None}
    return min(known, key=lambda delta: known[delta]) if known else DASH


def _md_rows(scale: str) -> list[PaperRow]:
    """Conservation of energy."""
    starts = md_output("md", scale, "starts.csv")
    if starts is None:
        return []
    table = read_table(starts)
    prefix = "" if scale == "quick" else "md-"
    column = "fluctuation_meV_per_atom"
    return [
        PaperRow(
            "NVE, energies alone, 224 atoms",
            "unstable",
            walks_words(table, f"{prefix}energy", column, ".3f", "meV/atom"),
            "Best of the seeds; standard deviation of the total energy of runs that came to their end.",
        ),
        PaperRow(
            "NVE, Taylor",
            "fluctuations of 10⁻³ meV/atom",
            walks_words(table, f"{prefix}taylor", column, ".3f", "meV/atom"),
            "The paper has 1 ns, other starts and three potentials of each kind.",
        ),
        *(
            PaperRow(
                f"NVE, {mode}",
                DASH,
                walks_words(table, f"{prefix}{mode}", column, ".3f", "meV/atom"),
                "Not in the paper.",
            )
            for mode in ("centred", "exact")
        ),
        *(
            []
            if scale == "quick"
            else [
                PaperRow(
                    "NVE, committee of 3, corrected Taylor energies, δ 0.1 Å",
                    DASH,
                    walks_words(table, "md-wide", column, ".3f", "meV/atom"),
                    "Copies further from the frames than these are from each other teach where not to go.",
                )
            ]
        ),
    ]


def results(scale: str) -> Document:
    """The page."""
    deltas = trainings(scale, ("modes", "delta"))
    return Document(
        f"Study lmnto, {scale}",
        present(
            *scan_study_sections(scale, ("modes",), MODES_SHOWN),
            scan_section(
                "Figure 9: δ",
                "delta",
                deltas,
                "delta",
                "Errors against δ.",
                keep=lambda row: row["mode"] in ("energy", "taylor", "exact"),
            ),
            md_section("Figure 10: molecular dynamics", "md", scale),
            Section("Paper and here", (paper_table(paper_rows(rows_of(deltas), scale)),)),
        ),
    )


STUDY = Study("lmnto", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
