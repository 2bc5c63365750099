"""Studies: systems of the paper from data to tables and figures, one package each with its input files."""

from __future__ import annotations

from importlib import import_module

from ..errors import InputError
from .study import Study

STUDIES = {
    "lj-dimer": "Lennard-Jones dimer, analytic: seven points, figure 2",
    "water-cluster": "(H2O)6, GFN1-xTB, comes with the package: figures 3 to 5, S1 to S3, Table S1",
    "bulk-water": "64 H2O, DFT, needs --data: figures 6 to 8",
    "lmnto": "Li8Mo2Ni7Ti7O32, SCAN, needs --data: figures 9 and 10",
    "tio2": "TiO2, PBE, needs --data: not in the paper",
}
"""Name → one line."""


def find_study(name: str) -> Study:
    """Load a study.

    Raises
    ------
    InputError
        if there is none of that name.
    """
    if name not in STUDIES:
        raise InputError("no such study", value=name, expected=" or ".join(STUDIES))
    return import_module(f".{name.replace('-', '_')}", __name__).STUDY
