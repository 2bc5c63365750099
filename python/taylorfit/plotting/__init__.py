"""Figures for print, one module per kind; matplotlib is an optional extra.

`curves`, `parity`, `errors`, `directions` and `learning` draw results of the Python API and return a
`matplotlib.figure.Figure`; the other modules draw tables, each by its function `figure`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import TaylorfitError

if TYPE_CHECKING:
    from .direction_maps import directions as directions
    from .error_distributions import errors as errors
    from .learning import learning as learning
    from .learning_curves import curves as curves
    from .parity_panels import parity as parity

_MODULES = {
    "curves": "learning_curves",
    "directions": "direction_maps",
    "errors": "error_distributions",
    "learning": "learning",
    "parity": "parity_panels",
}
"""Function → module: imported when first used, for matplotlib takes its time."""

__all__ = ["curves", "directions", "errors", "learning", "parity", "require_matplotlib"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_matplotlib()
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def require_matplotlib() -> None:
    """Check that matplotlib is there, before any work.

    Raises
    ------
    TaylorfitError
        that says how to install it.
    """
    if find_spec("matplotlib") is None:
        raise TaylorfitError('plots need matplotlib: pip install "taylorfit[plot]"')
