"""A small `learn`: copper by EMT, a few frames, two members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import write

LEARN = """START start.xyz
REFERENCE ase.calculators.emt:EMT
LABELLING processes=1
LABELS round=4 most=8 check=2
EXPLORATIONS
warm  nvt temperature=500 steps=60 starts=2 timestep=4 sample=5
press npt temperature=700 steps=60 starts=2 timestep=4 sample=5 pressure=1 strain=0.01

THRESHOLDS low=0 high=0.5
ERROR 0.001
COMMITTEE 2
EPOCHS 20
LAYERS 4:tanh
SETUPS Cu.stp
REPEL copies=1
WARMSTART{warmstart}
FOLDER {folder}
"""
SETUP = """DESCR
  a small descriptor
END DESCR

ATOM Cu

ENV 1
Cu

RMIN 0.75d0

BASIS type=Chebyshev
radial_Rc=4.5 radial_N=6 angular_Rc=3.5 angular_N=2
"""


def learn_in(folder: str = "learnt", warmstart: str = "") -> str:
    """The text of a learn.in, whose results go to `folder`."""
    return LEARN.format(folder=folder, warmstart=warmstart)


def write_learn(folder: Path, learnt: str = "learnt") -> None:
    """Fill a folder with what `learn` needs."""
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += 0.05 * rng.standard_normal(atoms.positions.shape)
        frames.append(atoms)
    write(folder / "start.xyz", frames)
    (folder / "Cu.stp").write_text(SETUP)
    (folder / "learn.in").write_text(learn_in(learnt))
