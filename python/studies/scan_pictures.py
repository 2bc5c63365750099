"""Figures 4, 6 and 9a, b of the paper from all trainings that the results have, not those in one folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from facts import FULL, Cells, Results
from measure import table_row
from results import scan_figure

SMALL: Cells = {"network": "10:tanh-10:tanh"}
SCANNED: dict[str, tuple[str, Cells, str, str | None]] = {
    "water-cluster-figure-4": ("water-cluster", {"scan": "grid", "structures": 471.0}, "delta", "energy"),
    "bulk-water-figure-6": ("bulk-water", {"scan": FULL, **SMALL}, "a", None),
    "lmnto-figure-9ab": ("lmnto", {"scan": "grid", **SMALL}, "delta", None),
}
"""Picture → study, trainings, axis, and the mode that errors are relative to."""
MODES = ("energy", "taylor", "exact")
"""Those of the paper."""


def scan_pictures(results: Mapping[str, Results]) -> dict[str, Figure]:
    """Name of a picture → figure, of all that there are results for."""
    found = {}
    for name, (study, cells, axis, relative) in SCANNED.items():
        own = [row for row in results.get(study, Results(study)).rows(cells) if row["mode"] in MODES]
        figure = scan_figure([(table_row(row), Path()) for row in own], axis, relative)
        if figure is not None:
            found[name] = figure
    return found
