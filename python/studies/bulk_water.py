"""Bulk water, 64 molecules: figures 6 to 8 of Cooper et al. 2020."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from datasets import TRAINING, place_with_held_out
from drawings import distributions_and_maps, predictions_of, save_figures
from facts import Fact
from measure import holding_labels, md_facts, peak_facts, timing_step
from results import (
    claims_section,
    md_section,
    predictions_section,
    present,
    results_of,
    scan_figure,
    scan_section,
    scan_study_sections,
)
from study import (
    MODES_SHOWN,
    TITLES,
    Shown,
    Step,
    Study,
    main,
    md_names,
    md_output,
    md_step,
    networks_for_md,
    potentials_step,
    predict_step,
    scan_file,
    scan_step,
    trainings,
)
from taylorfit.examples.copying import example_files
from taylorfit.formats.csv_table import read_table
from taylorfit.formats.structures.files import expand_patterns, read_structures
from taylorfit.md.analysis import pair_counts, radial_distribution
from taylorfit.plotting.rdf import Rdf, rdf_curves
from taylorfit.plotting.rdf import figure as rdf_figure
from taylorfit.reporting.document import Document
from taylorfit.settings.md import MdInput

PUBLIC = "github.com/deepmodeling/deepmd-kit, examples/water/data (64 H2O, DFT)"
REFERENCE = "reference frames"
FOR_MD = networks_for_md("20:tanh")
"""For --full alone; --quick takes those of `MODES_SHOWN`."""
COPIES_SHOWN = tuple(
    Shown(f"taylor-{a}", f"Taylor, a = {a}", "taylor", ("copies",), {"multiple_a": a}) for a in ("16", "24", "36", "64")
)
"""Figure 7, of --full."""


def place_data(data: Path | None) -> None:
    """Structures, and the setups of the water example: the same descriptor as in the paper."""
    place_with_held_out(data, PUBLIC)
    content = example_files("water-cluster")
    for setup in ("O.fingerprint.stp", "H.fingerprint.stp"):
        if not Path(setup).exists():
            Path(setup).write_bytes(content[setup])


def steps(scale: str) -> list[Step]:
    """Modes, predictions, copies per structure, dynamics, times."""
    full = scale == "full"
    return [
        scan_step("modes", scale),
        *(predict_step(shown, scale) for shown in MODES_SHOWN),
        *([scan_step("larger", scale), *(potentials_step(shown, scale) for shown in FOR_MD)] if full else []),
        md_step("md", scale),
        scan_step("copies", scale),
        *(predict_step(shown, scale) for shown in (COPIES_SHOWN if full else ())),
        timing_step(),
    ]


def reference_rdf(scale: str) -> list[Rdf]:
    """Radial distribution functions of the frames trained on, to compare dynamics with."""
    options = MdInput.read(scan_file("md", scale)).rdf
    if options is None:
        return []
    frames = [s for path in expand_patterns([f"{TRAINING}/*.xsf"]) for s in read_structures(path)]
    total = np.sum([pair_counts(s, options.pairs, options.r_max, options.bins) for s in frames], axis=0)
    volume = float(np.mean([s.volume for s in frames]))
    r, g = radial_distribution(total, len(frames), frames[-1].symbols, volume, options.pairs, options.r_max)
    return [Rdf(REFERENCE, "-".join(pair), r, curve) for pair, curve in zip(options.pairs, g)]


def facts(scale: str, reference: list[Rdf], known: Mapping[str, Fact]) -> dict[str, Fact]:
    """Stability and the first O-O peak."""
    curves = md_output("md", scale, "rdf.csv")
    if curves is None:
        return {}
    names = md_names(scale)
    shortest = known["shortest distance of the data"].median
    hold = holding_labels("md", scale, shortest)
    of_runs = [curve for curve in rdf_curves(read_table(curves)) if curve.label in hold]
    peaks = peak_facts([*reference, *of_runs], {**names, REFERENCE: "frames"})
    return md_facts("md", scale, names, shortest) | peaks


def _figure_8(reference: list[Rdf], curves: list[Rdf], scale: str) -> Figure:
    """Means over the networks of a mode, on the scale of the reference: atoms that fall into each other have any."""
    names = md_names(scale)
    groups: dict[tuple[str, str], list[Rdf]] = {}
    for curve in curves:
        label = TITLES[names[curve.label]] if curve.label in names else curve.label
        groups.setdefault((label, curve.pair), []).append(curve)
    means = [
        Rdf(label, pair, group[0].r, np.mean([one.g for one in group], axis=0))
        for (label, pair), group in groups.items()
    ]
    figure = rdf_figure([*reference, *means])
    for panel, curve in zip(figure.axes, reference):
        panel.set_ylim(0.0, 1.5 * float(curve.g.max()))
    return figure


def results(scale: str) -> Document:
    """The page."""
    copies = trainings(scale, ("copies",) if scale == "full" else ("modes", "copies"))
    reference = reference_rdf(scale) if md_output("md", scale, "rdf.csv") else []
    figure_6 = scan_figure(copies, "a", keep=lambda row: row["mode"] in ("energy", "taylor", "exact"))
    own = predictions_of((MODES_SHOWN[0], *COPIES_SHOWN) if scale == "full" else MODES_SHOWN[:2], scale)
    curves = md_output("md", scale, "rdf.csv")
    save_figures(
        {
            "6": figure_6,
            "7": distributions_and_maps(own, own[:3]),
            "8": None if curves is None else _figure_8(reference, rdf_curves(read_table(curves)), scale),
        }
    )
    return Document(
        f"Study bulk-water, {scale}",
        present(
            *scan_study_sections(scale, ("modes",), MODES_SHOWN),
            scan_section(
                "Figure 6: copies per structure",
                "copies",
                figure_6,
                "Errors against the number of copies per structure.",
            ),
            md_section("Figure 8: molecular dynamics", "md", scale, reference),
            predictions_section("Figure 7: several a", "copies-", (MODES_SHOWN[0], *COPIES_SHOWN), scale)
            if scale == "full"
            else None,
            *claims_section(results_of("bulk-water", scale, partial(facts, scale, reference))),
        ),
    )


STUDY = Study("bulk-water", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
