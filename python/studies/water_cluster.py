"""Water clusters (H2O)6: figures 3 to 5, S1 to S3 and Table S1 of Cooper et al. 2020, on GFN1-xTB data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from datasets import TRAINING, VALIDATION, place, structures_at
from drawings import all_of, distributions_and_maps, energy_histogram, flowchart, predictions_of, save_figures
from facts import Fact
from measure import timing_step
from results import (
    claims_section,
    predictions_section,
    present,
    results_of,
    rows_of,
    scan_figure,
    scan_section,
    scan_study_sections,
)
from study import Shown, Step, Study, main, predict_step, scan_step, trainings
from tables import best_copies_table, of_mode
from taylorfit.errors import InputError
from taylorfit.examples.copying import example_files
from taylorfit.plotting.direction_maps import directions
from taylorfit.reporting.document import Document, Section
from taylorfit.tools.plain_text import read_bytes

SHOWN = (
    Shown("energy", "energies alone", "energy"),
    Shown("cartesian", "Taylor A", "taylor", ("cartesian",)),
    Shown("taylor", "Taylor B", "taylor"),
    Shown("centred", "centred B", "centred", ("modes", "centred")),
    Shown("directional", "directional", "directional"),
    Shown("exact", "exact forces", "exact"),
)
"""Figures 5, S2 and S3."""
SIZES_SHOWN = (
    replace(SHOWN[0], title="471 structures"),
    Shown("energy-1000", "943 structures", "energy", ("sizes-1000",)),
    Shown("energy-2000", "1886 structures", "energy", ("sizes-2000",)),
)
"""Figure 3, of --full with the larger sets."""
DELTAS_SHOWN = tuple(
    Shown(f"taylor-{delta}", f"Taylor B, δ = {delta} Å", "taylor", ("delta",), {"delta_A": delta, "multiple_a": "22"})
    for delta in ("0.002", "0.005", "0.01", "0.02", "0.03")
)
"""Figure S1, of --full."""
MODES = {"quick": ("modes", "cartesian"), "full": ("modes", "centred", "cartesian")}
DELTAS = {
    "quick": ("modes", "delta", "cartesian"),
    "full": (
        "delta",
        "cartesian-delta",
        *(f"{kind}-{n}" for n in (1000, 2000) for kind in ("delta", "cartesian-delta")),
    ),
}
"""Scale → scans."""
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
    """Modes with both strategies, δ and a, set sizes, then predictions of the best potentials, and times."""
    scans = [scan_step(name, scale) for name in MODES[scale]]
    if scale == "quick":
        more = [scan_step("delta", scale), scan_step("sizes", scale)]
    else:
        more = [
            *(scan_step(f"sizes-{size}", scale, folder) for size, folder in LARGER.items()),
            scan_step("delta", scale),
            scan_step("precision", scale),
            scan_step("single", scale),
            scan_step("cartesian-delta", scale),
            *(predict_step(shown, scale) for shown in (*SIZES_SHOWN[1:], *DELTAS_SHOWN)),
            *(
                scan_step(f"{kind}-{size}", scale, folder)
                for size, folder in LARGER.items()
                for kind in ("delta", "cartesian-delta")
            ),
        ]
    return [*scans, *(predict_step(shown, scale) for shown in SHOWN), *more, timing_step()]


def facts(scale: str, _: Mapping[str, Fact]) -> dict[str, Fact]:
    """How many copies one `generate` makes."""
    copies = [row for row in rows_of(trainings(scale, ("modes",))) if row["mode"] == "taylor"]
    made = {float(row["multiple_a"]) * float(row["n_structures"]) for row in copies}
    return {"copies generated, B": Fact(tuple(made))} if made else {}


def results(scale: str) -> Document:
    """The page, and the figures of the paper."""
    deltas, sizes = trainings(scale, DELTAS[scale]), trainings(scale, SIZES)
    smallest = {row["n_structures"] for row, _ in trainings(scale, MODES[scale])}
    figure_4 = scan_figure(
        deltas,
        "delta",
        "energy",
        lambda row: row["n_structures"] in smallest and row["mode"] in ("energy", "taylor", "exact"),
    )
    modes = {one.name: one for one in SHOWN}
    figure_5 = all_of([modes[name] for name in ("energy", "cartesian", "taylor", "exact")], scale)
    energy_and_b, exact = (
        all_of([modes[name] for name in names], scale) for names in (("energy", "taylor"), ("exact",))
    )
    several, deltas_shown = (predictions_of(group, scale) for group in (SIZES_SHOWN, DELTAS_SHOWN))
    save_figures(
        {
            "1": flowchart(),
            "3": distributions_and_maps(several, several, tails=False),
            "4": figure_4,
            "5": distributions_and_maps(figure_5, figure_5[:3]),
            "S1": directions(deltas_shown) if deltas_shown else None,
            "S2": energy_histogram(energy_and_b),
            "S3": directions(exact) if exact else None,
        }
    )
    return Document(
        f"Study water-cluster, {scale}",
        present(
            *scan_study_sections(scale, MODES[scale], SHOWN),
            scan_section("Figure 4: δ and a", "delta", figure_4, "Errors relative to energy training against δ."),
            Section("Table S1: best δ and a", (best_copies_table(rows_of(deltas)),))
            if of_mode(rows_of(deltas), "taylor")
            else None,
            predictions_section("Figure 3: energies alone, several set sizes", "sizes-", SIZES_SHOWN, scale)
            if scale == "full"
            else None,
            predictions_section("Figure S1: several δ", "delta-", DELTAS_SHOWN, scale),
            scan_section(
                "Number of structures", "sizes", scan_figure(sizes, "size"), "Errors against the number of structures."
            ),
            *claims_section(results_of("water-cluster", scale, partial(facts, scale))),
        ),
    )


STUDY = Study("water-cluster", place_data, steps, results)

if __name__ == "__main__":
    sys.exit(main(STUDY, __doc__))
