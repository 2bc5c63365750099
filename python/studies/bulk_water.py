"""Bulk water, 64 molecules: figures 6 to 8 of Cooper et al. 2020."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from datasets import TRAINING, place_with_held_out
from drawings import all_of, distributions_and_maps, rdf_panels, save_figures
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
from taylorfit.reporting.document import Document
from taylorfit.settings.md import MdInput

PUBLIC = "github.com/deepmodeling/deepmd-kit, examples/water/data (64 H2O, DFT)"
REFERENCE = "reference frames"
EXPERIMENT = "soper-2013.rdf.csv"
"""O-O of liquid water, from neutron and X-ray diffraction."""
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
    """Radial distribution functions of the frames trained on and of the experiment, to compare dynamics with."""
    options = MdInput.read(scan_file("md", scale)).rdf
    if options is None:
        return []
    frames = [s for path in expand_patterns([f"{TRAINING}/*.xsf"]) for s in read_structures(path)]
    total = np.sum([pair_counts(s, options.pairs, options.r_max, options.bins) for s in frames], axis=0)
    volume = float(np.mean([s.volume for s in frames]))
    r, g = radial_distribution(total, len(frames), frames[-1].symbols, volume, options.pairs, options.r_max)
    own = [Rdf(REFERENCE, "-".join(pair), r, curve) for pair, curve in zip(options.pairs, g)]
    return [*own, *rdf_curves(read_table(EXPERIMENT))]


def facts(scale: str, reference: Sequence[Rdf], known: Mapping[str, Fact]) -> dict[str, Fact]:
    """Stability and the first O-O peak."""
    if md_output("md", scale, "starts.csv") is None:
        return {}
    names, hold = md_names(scale), _hold(scale, known)
    of_runs = [curve for curve in _curves(scale) if curve.label in hold]
    peaks = peak_facts([*reference, *of_runs], {**names, REFERENCE: "frames"})
    return md_facts("md", scale, names, _shortest(known)) | peaks


def _shortest(known: Mapping[str, Fact]) -> float:
    return known["shortest distance of the data"].median


def _hold(scale: str, known: Mapping[str, Fact]) -> set[str]:
    """Labels of runs that hold."""
    return holding_labels("md", scale, _shortest(known))


def _curves(scale: str) -> list[Rdf]:
    """Radial distribution functions of all runs that got beyond equilibration."""
    file = md_output("md", scale, "rdf.csv")
    return [] if file is None else rdf_curves(read_table(file))


def _figure_8(reference: Sequence[Rdf], scale: str, known: Mapping[str, Fact]) -> Figure | None:
    """A line for each network; the legend says how many of a training hold."""
    curves, names = _curves(scale), md_names(scale)
    if not curves:
        return None
    runs = {}
    for mode in dict.fromkeys(names.values()):
        if f"holds: {mode}" in known:
            own = known[f"holds: {mode}"].values
            title = f"{TITLES[mode]}: {sum(own):.0f} of {len(own)} hold"
            runs[title] = [curve for curve in curves if names.get(curve.label) == mode]
    return rdf_panels(reference, runs, _hold(scale, known))


def results(scale: str) -> Document:
    """The page."""
    copies = trainings(scale, ("copies",) if scale == "full" else ("modes", "copies"))
    reference = reference_rdf(scale) if md_output("md", scale, "starts.csv") else []
    figure_6 = scan_figure(copies, "a", keep=lambda row: row["mode"] in ("energy", "taylor", "exact"))
    own = all_of((MODES_SHOWN[0], *COPIES_SHOWN) if scale == "full" else MODES_SHOWN[:2], scale)
    found = results_of("bulk-water", scale, partial(facts, scale, reference))
    save_figures(
        {"6": figure_6, "7": distributions_and_maps(own, own[:3]), "8": _figure_8(reference, scale, found.facts)}
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
            *claims_section(found),
        ),
    )


STUDY = Study("bulk-water", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
