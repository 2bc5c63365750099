"""Train neural-network interatomic potentials on energies and forces by Taylor expansion.

The method: A. M. Cooper, J. Kästner, A. Urban, N. Artrith, npj Comput. Mater. 6, 54 (2020).
Input files, training sets and potentials are ænet's.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("taylorfit")
except PackageNotFoundError:  # used from the source tree
    __version__ = "0+unknown"

_LAZY = {
    "Calculator": "potential.calculator",
    "ExtrapolationError": "potential.extrapolation",
    "ExtrapolationWarning": "potential.extrapolation",
}
"""Name → module: imported when first used, for ASE and the engine take their time."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
