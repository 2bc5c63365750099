"""What the scripts beside the studies share: a setup, a few of many frames, errors as a line of results has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from datasets import TRAINING
from facts import Cell
from taylorfit import Setup, Structure, read
from taylorfit.analysis.errors import Errors
from taylorfit.formats.aenet.setup_file import read_setup
from taylorfit.model.measures import ENERGY_UNIT
from taylorfit.settings.generate import GenerateInput

HIDDEN = ((10, "tanh"), (10, "tanh"))


def seeds_in_folder(description: str | None, argv: Sequence[str] | None, seeds: int) -> range:
    """Read FOLDER and --seeds, go into the folder, and return the seeds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=seeds)
    arguments = parser.parse_args(argv)
    os.chdir(arguments.folder)
    return range(1, arguments.seeds + 1)


def setup_in(folder: str = ".", ending: str = ".stp") -> Setup:
    """The descriptors and atomic energies of a study's folder, with small networks."""
    energies = dict(GenerateInput.read(f"{folder}/generate.in").atomic_energies)
    setups = tuple(read_setup(f"{folder}/{symbol}{ending}") for symbol in energies)
    return Setup(setups, energies, dict.fromkeys(energies, HIDDEN), None)


def some_frames(n: int, folder: str = ".") -> list[Structure]:
    """At most n of the structures to train on, evenly."""
    frames = read([f"{folder}/{TRAINING}/*.xsf"])
    return frames[:: max(1, len(frames) // n)][:n]


def error_cells(found: Errors) -> dict[str, Cell]:
    """Energy RMSE (meV/atom) and mean |F − F_ref| (eV/Å)."""
    assert found.energy_rmse is not None
    return {
        "energy_rmse": float(f"{ENERGY_UNIT.factor * found.energy_rmse:.5g}"),
        "force_error": float(f"{found.force_error_norm_mean:.5g}"),
    }
