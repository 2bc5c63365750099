"""Whole files that the fuzz tests damage, made by the project's own writers: symmetry functions, a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cli_support import make_toy, morse_cluster, succeed, train_in
from prediction_cases import noisy_predictions
from taylorfit.engine import DescriptorTables, describe
from taylorfit.formats.aenet.potential_file import write_potential, write_potential_ascii
from taylorfit.formats.aenet.setup_file import write_setup
from taylorfit.formats.aenet.trainset_ascii import write_trainset_ascii
from taylorfit.formats.aenet.trainset_binary import read_trainset
from taylorfit.formats.aenet.trainset_writer import TrainsetWriter
from taylorfit.formats.companion import write_geometry
from taylorfit.formats.predictions import write_predictions
from taylorfit.model.descriptor import DescriptorSetup, DescriptorStatistics
from taylorfit.model.network import Network, SpeciesPotential, TrainingSetInfo
from taylorfit.model.structure import Structure
from taylorfit.model.trainset import Geometry
from taylorfit.training.checkpoint import load_checkpoint

SPECIES = ("Ar", "Ne")
FUNCTIONS = (
    (1, 1, 0, (4.0,)),
    (2, 2, 0, (4.0, 1.0, 0.5)),
    (3, 1, 0, (4.0, 0.7)),
    (4, 1, 2, (4.5, 1.0, 2.0, 0.1)),
    (5, 2, 2, (4.5, -1.0, 4.0, 0.1)),
)
"""One of each kind: G, type2, type3 (from 1), parameters."""


def behler_setup(species: str) -> DescriptorSetup:
    """A setup with one symmetry function of each kind."""
    parameters = np.zeros((len(FUNCTIONS), 4))
    for row, (*_, values) in enumerate(FUNCTIONS):
        parameters[row, : len(values)] = values
    return DescriptorSetup(
        species=species,
        environment=SPECIES,
        basis="Behler2011",
        function=np.array([g for g, *_ in FUNCTIONS], dtype=np.int32),
        parameters=parameters,
        neighbours=np.array([[a, b] for _, a, b, _ in FUNCTIONS], dtype=np.int32),
        r_min=1.0,
        r_cut=4.5,
        description="one of each kind$$",
    )


def make_geometry(path: Path) -> None:
    """Write the companion of a training set of three structures."""
    structures = [
        Structure(("H", "O"), np.eye(2, 3), np.eye(3) * 5, (True,) * 3, 1.0, np.ones((2, 3)), np.eye(3), name=str(n))
        for n in range(3)
    ]
    write_geometry(path, Geometry.of(structures), ["0", "1", "2"], np.ones(3))


def make_predictions(path: Path) -> None:
    """Write predictions for three structures."""
    write_predictions(path, noisy_predictions(0.1, n_structures=3))


def make_behler_setup(path: Path) -> None:
    """Write a setup file."""
    write_setup(path, behler_setup("Ar"))


def make_behler_trainset(path: Path) -> None:
    """Write a training set of three clusters."""
    rng = np.random.default_rng(1)
    setups = [behler_setup(symbol) for symbol in SPECIES]
    tables = DescriptorTables.from_setups(SPECIES, setups)
    with TrainsetWriter(path, SPECIES, (-10.0, -10.0), setups) as writer:
        for number in range(3):
            cluster = morse_cluster(rng, 3, ("Ar", "Ne", "Ar"))
            ((values, _),) = describe([cluster], tables)
            writer.add(
                f"{number}.xsf", 2, cluster.energy, np.array([0, 1, 0]), cluster.positions, cluster.forces, values[0]
            )


def make_behler_trainset_text(path: Path) -> None:
    """Write the same as text."""
    make_behler_trainset(path)
    write_trainset_ascii(path, read_trainset(path))


def behler_potential(setup: DescriptorSetup) -> SpeciesPotential:
    """A potential of the setup with random weights."""
    n = setup.n_feature
    return SpeciesPotential(
        network=Network.random((n, 3, 1), (1, 0), np.random.default_rng(1)),
        setup=setup,
        info=TrainingSetInfo(
            file="toy.train",
            normalised=True,
            scale=1.5,
            shift=-10.0,
            species=SPECIES,
            atomic_energies=(-10.0, -10.0),
            n_atoms=9,
            n_structures=3,
            energy_min=-1.0,
            energy_max=1.0,
            energy_mean=0.0,
        ),
    )


def make_behler_potential(path: Path) -> None:
    """Write a potential."""
    write_potential(path, behler_potential(_with_statistics()))


def make_behler_potential_text(path: Path) -> None:
    """Write the same as text."""
    write_potential_ascii(path, behler_potential(_with_statistics()))


def make_checkpoint(path: Path) -> None:
    """Train a few epochs and leave the checkpoint at `path`."""
    folder = path.parent / f"{path.name}.training"
    make_toy(folder, n_structures=6, radial=2, angular=1)
    (folder / "train.in").write_text(train_in(hidden="1 2:tanh", iterations=3, checkpoint=1))
    for command in ("generate", "train"):
        succeed(folder, command, f"{command}.in")
    (folder / "train.checkpoint.npz").replace(path)


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read a checkpoint as `train --resume` does, whatever run it belongs to."""
    try:
        with np.load(path, allow_pickle=False) as file:
            identity = str(file["identity"])
    except Exception:  # whatever NumPy says of a damaged file
        identity = "none"
    return load_checkpoint(path, identity)


def _with_statistics() -> DescriptorSetup:
    setup, n = behler_setup("Ar"), len(FUNCTIONS)
    return DescriptorSetup(
        **{
            **vars(setup),
            "statistics": DescriptorStatistics(6, np.zeros(n), np.full(n, 2.0), np.ones(n), np.full(n, 1.3)),
        }
    )
