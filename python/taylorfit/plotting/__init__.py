"""Figures for print: one module per kind, each with a function `figure(data…)`; matplotlib is an optional extra."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import TaylorfitError


def require_matplotlib() -> None:
    """Check that matplotlib is there, before any work.

    Raises
    ------
    TaylorfitError
        that says how to install it.
    """
    if find_spec("matplotlib") is None:
        raise TaylorfitError('plots need matplotlib: pip install "taylorfit[plot]"')
