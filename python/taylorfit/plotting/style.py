"""The look of all figures, and how they are saved: for a printed column, safe for the colour-blind, reproducible.

Figures are made and saved inside `styled` functions: these start from matplotlib's own defaults, whatever the
user's matplotlibrc says, so the same data give the same file everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from functools import wraps
from os import PathLike
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..errors import InputError
from ..model.measures import Measure
from ..tools.atomic_write import atomic_write

if TYPE_CHECKING:  # since matplotlib 3.8
    from matplotlib.typing import LineStyleType

COLUMN, PAGE = 3.39, 7.0
"""Width of a column (86 mm) and of a page (178 mm) of a journal, inch."""

DPI = 300

BLACK, GREY = "#000000", "#777777"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), without yellow, which is too pale for lines on paper."""
DASHES: tuple[LineStyleType, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (4, 1.5, 1, 1.5)),
    (0, (1.2, 1.2)),
    (0, (7, 1.5, 1, 1.5, 1, 1.5)),
    (0, (2.5, 1)),
    (0, (9, 3)),
)
MARKERS = ("o", "s", "^", "D", "v", "<", ">")

MAP_COLOURS = "viridis"

SUFFIXES = (".png", ".pdf")

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "patch.linewidth": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.prop_cycle": cycler(color=COLOURS),
    "image.cmap": MAP_COLOURS,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,
}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def styled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make a function work with the settings of this module, and leave matplotlib's as they were."""

    @wraps(function)
    def with_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            return function(*args, **kwargs)

    return with_style


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of line number `index`: different also in black and white."""
    turn = index // len(COLOURS)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[(index + turn) % len(DASHES)]}


def marker_style(index: int) -> dict[str, Any]:
    """Colour and marker of point set number `index`."""
    turn = index // len(COLOURS)
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[(index + turn) % len(MARKERS)]}


def literal(text: str) -> str:
    """A user's text as it is: otherwise matplotlib takes what stands between dollars for mathematics."""
    return text.replace("$", r"\$")


def in_symbols(text: str) -> str:
    """A title with its reference values as symbols."""
    return text.replace("F_ref", "F$_{\\mathrm{ref}}$")


def axis_label(measure: Measure) -> str:
    """A measure of error and its unit."""
    return in_symbols(f"{measure.title} ({measure.unit.name})")


def new_figure(width: float = COLUMN, height: float = 2.6) -> Figure:
    """An empty figure (inch) that makes room for its labels."""
    return Figure(figsize=(width, height), layout="constrained")


def panel_grid(n: int, row: float, rest: float, sharey: bool = False) -> tuple[Figure, np.ndarray]:
    """Return a figure and a grid (rows, columns) of `n` panels, at most three beside each other.

    Its height is `row` for each row and the `rest`, inches.
    """
    columns = min(n, 3)
    rows = -(-n // columns)
    drawing = new_figure(COLUMN if columns == 1 else PAGE, row * rows + rest)
    panels = drawing.subplots(rows, columns, sharex=True, sharey=sharey, squeeze=False)
    for panel in panels.flat[n:]:
        panel.set_axis_off()
    return drawing, panels


def label_lowest(panels: np.ndarray, n: int, text: str) -> None:
    """Put `text` below the lowest of the first `n` panels of each column of a grid."""
    for panel in panels.flat[max(n - panels.shape[1], 0) : n]:
        panel.set_xlabel(text)
        panel.tick_params(labelbottom=True)


def plain_log_ticks(axis: Axis) -> None:
    """Put a logarithmic axis into plain numbers, 0.1 rather than a power; between decades too if these are few."""

    def between(value: float, _: int) -> str:
        low, high = sorted(axis.get_view_interval())
        leading = round(value / 10.0 ** np.floor(np.log10(value) + 1e-9))
        return f"{value:g}" if high < 3.0 * low or (leading in (2, 5) and high < 100.0 * low) else ""

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(between))


def letter_panels(panels: Iterable[Axes]) -> None:
    """Name the panels of a figure (a), (b), … above their left corners; a single one needs no name."""
    several = list(panels)
    for letter, panel in zip(ascii_lowercase, several if len(several) > 1 else ()):
        panel.set_title(f"({letter})", loc="left", fontweight="bold", pad=3)


def note(axes: Axes, text: str, corner: str = "upper left") -> None:
    """Write a few lines into a corner of the panel, over what is drawn there."""
    vertical, horizontal = corner.split()
    left, upper = horizontal == "left", vertical == "upper"
    axes.annotate(
        text,
        (0.0 if left else 1.0, 1.0 if upper else 0.0),
        (5 if left else -5, -5 if upper else 5),
        xycoords="axes fraction",
        textcoords="offset points",
        ha=horizontal,
        va="top" if upper else "bottom",
        fontsize=7,
        bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )


def check_suffix(path: str | PathLike[str]) -> str:
    """Return the ending of a picture's name.

    Raises
    ------
    InputError
        if it is not one of `SUFFIXES`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            "the ending is of no picture that can be written", file=path, value=suffix, expected=" or ".join(SUFFIXES)
        )
    return suffix


@styled
def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG (300 dpi) or PDF, by the ending of the name; the same figure gives the same bytes.

    Raises
    ------
    InputError
        if the ending is another, or the file cannot be written.
    """
    suffix = check_suffix(path)
    with atomic_write(path, "wb") as stream:
        _write(figure, stream, suffix, DPI)


@styled
def png_bytes(figure: Figure, dpi: int = 200) -> bytes:
    """The figure as PNG, to be embedded in a page."""
    stream = io.BytesIO()
    _write(figure, stream, ".png", dpi)
    return stream.getvalue()


def _write(figure: Figure, stream: Any, suffix: str, dpi: int) -> None:
    # Neither dates nor versions, which would make every file another
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}[suffix]
    figure.savefig(stream, format=suffix[1:], dpi=dpi, metadata=metadata)
