"""Draw the figure of README and manual from a run of the example.

taylorfit example water-cluster FOLDER --run
python python/docs/figures.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

MODES = {
    "energy": ("energies alone", "#777777"),
    "taylor": ("Taylor copies, as published", "#0072b2"),
    "centred": ("Taylor copies, centred", "#56b4e9"),
    "directional": ("22 directional derivatives", "#e69f00"),
    "exact": ("all forces", "#d55e00"),
}
"""Mode → what is trained on, and a colour that the colour-blind can tell apart (Okabe, Ito 2008)."""
TARGET = Path(__file__).parent / "pages" / "pictures" / "modes.svg"


def learning_curves(folder: Path) -> Figure:
    """Mean |F − F_ref| on the validation structures over the epochs, for each way of training."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for mode, (label, colour) in MODES.items():
        history = json.loads((folder / f"train-{mode}.json").read_text())["validation_history"]
        points = [(row["epoch"], row["force_error_norm_mean"]) for row in history if row["epoch"] > 0]
        axes.plot(*zip(*points, strict=True), color=colour, label=label, linewidth=2.0)
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(10, 1000),
        xlabel="epochs",
        ylabel="mean |F − F$_\\mathrm{ref}$|, eV/Å",
        title="Force error on 200 water clusters that were not trained on",
    )
    axes.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    axes.set_yticks([0.05, 0.1, 0.2, 0.5, 1.0, 2.0], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.5, alpha=0.5)
    figure.legend(loc="outside right center", frameon=False)
    return figure


if __name__ == "__main__":
    # The same run gives the same file
    with mpl.rc_context({"svg.hashsalt": "taylorfit", "font.size": 10}):
        learning_curves(Path(sys.argv[1])).savefig(TARGET, metadata={"Date": None}, facecolor="white")
