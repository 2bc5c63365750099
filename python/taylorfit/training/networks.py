"""The networks a training starts from, and the potentials it ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.aenet.potential_file import read_potential_file
from ..model.activations import ACTIVATIONS
from ..model.descriptor import DescriptorSetup, same_functions
from ..model.network import Network, SpeciesPotential, TrainingSetInfo
from ..model.trainset import TrainingSet
from ..settings.train import NetworkSpec
from ..tools.randomness import Stream
from .pack import KEPT_ENERGY, Scaling

Layers = tuple[tuple[int, str], ...]
"""Nodes and activation of each hidden layer."""


def weights_generator(seed: int, member: int = 0) -> np.random.Generator:
    """Random numbers for the first weights of a member (from 0) of a committee; 0: also of an ordinary training."""
    return Stream.WEIGHTS.generator(seed, member)


@dataclass(frozen=True, eq=False)
class StartingNetwork:
    """The network of one species before the first epoch, and where its weights come from."""

    symbol: str
    network: Network
    origin: str | None = None
    """What it continues: a potential, by the name of its file; None: random weights."""
    warnings: tuple[str, ...] = ()

    @property
    def layers(self) -> str:
        """Nodes of all layers: ``12-10-10-1``."""
        return "-".join(map(str, self.network.layer_sizes))


Initial = Mapping[str, tuple[str, SpeciesPotential]]
"""Species → potential to start from, and its name in messages."""


def existing_potentials(specs: Sequence[NetworkSpec]) -> Initial:
    """Read the potential files that are there already: where ænet goes on from.

    Raises
    ------
    InputError
        if a file is no potential.
    """
    return {
        spec.symbol: (spec.file, read_potential_file(spec.file))
        for spec in specs
        if spec.file and Path(spec.file).exists()
    }


def starting_networks(
    specs: Sequence[NetworkSpec],
    training_set: TrainingSet,
    rng: np.random.Generator,
    initial: Initial | None = None,
    listed_in: str | None = None,
) -> tuple[StartingNetwork, ...]:
    """Return one network per species in TYPES order.

    A potential of `initial` is the starting point where there is one; else the network is made with random
    weights.  `listed_in` is the file that `specs` stand in, for errors.

    Raises
    ------
    InputError
        if networks and species of the training set do not match, or a potential does not fit.
    """
    by_symbol = {spec.symbol: spec for spec in specs}
    for symbol in sorted(set(training_set.species) ^ set(by_symbol)):
        what = (
            "no network for a species of the training set"
            if symbol in training_set.species
            else "a network for a species that the training set does not have"
        )
        raise InputError(
            what, file=listed_in, value=symbol, expected="one network for each of " + " ".join(training_set.species)
        )
    networks = []
    for symbol, setup in zip(training_set.species, training_set.setups or ()):
        hidden = by_symbol[symbol].hidden
        if initial is not None and symbol in initial:
            networks.append(_continued(symbol, setup, hidden, *initial[symbol]))
        elif hidden is None:
            raise InputError(
                "the potential file does not exist and no layers are given",
                file=by_symbol[symbol].file,
                expected=f"{symbol} FILE 2 10:tanh 10:tanh",
            )
        else:
            layers = (setup.n_feature, *(n for n, _ in hidden), 1)
            codes = (*(ACTIVATIONS.index(name) for _, name in hidden), 0)
            networks.append(StartingNetwork(symbol, Network.random(layers, codes, rng)))
    return tuple(networks)


def _continued(
    symbol: str, setup: DescriptorSetup, hidden: Layers | None, name: str, potential: SpeciesPotential
) -> StartingNetwork:
    """The network of a potential, checked against the training set."""
    if potential.species != symbol or potential.setup.n_feature != setup.n_feature:
        raise InputError(
            "the existing potential does not fit the training set",
            file=name,
            value=f"{potential.species} with {potential.setup.n_feature} inputs",
            expected=f"{symbol} with {setup.n_feature} inputs (or remove it, or use --fresh)",
        )
    warnings = []
    there = hidden_layers(potential.network)
    if hidden and hidden != there:
        warnings.append(f"{name} has hidden layers {_named(there)}; {_named(hidden)} of the input file is ignored")
    if not same_functions(potential.setup, setup):
        warnings.append(
            f"the descriptor of {symbol} in {name} is not that of the training set, "
            "whose functions are used from now on"
        )
    return StartingNetwork(symbol, potential.network, name, tuple(f"warning: {warning}" for warning in warnings))


def hidden_layers(network: Network) -> Layers:
    """Nodes and name of the activation of each hidden layer."""
    return tuple((n, ACTIVATIONS[code]) for n, code in zip(network.layer_sizes[1:-1], network.activations))


def training_set_info(training_set: TrainingSet, file: str, scaling: Scaling) -> TrainingSetInfo:
    """What a potential remembers of its data; the energy range is that of the scaled data set, as ænet records it."""
    energies = scaling.energies(training_set) / training_set.n_atoms
    kept = energies <= KEPT_ENERGY
    return TrainingSetInfo(
        file=file,
        normalised=True,
        scale=scaling.energy_scale,
        shift=scaling.energy_shift,
        species=training_set.species,
        atomic_energies=tuple(map(float, training_set.atomic_energies)),
        n_atoms=int(training_set.n_atoms[kept].sum()),
        n_structures=int(kept.sum()),
        energy_min=float(energies[kept].min()),
        energy_max=float(energies[kept].max()),
        energy_mean=float(energies[kept].mean()),
    )


def potentials_from(
    weights: np.ndarray, networks: Sequence[Network], setups: Sequence[DescriptorSetup], info: TrainingSetInfo
) -> list[SpeciesPotential]:
    """Potentials with the given weights (all species one after the other), ready to be written."""
    potentials, start = [], 0
    for network, setup in zip(networks, setups):
        part = weights[start : start + network.n_weights]
        start += network.n_weights
        potentials.append(SpeciesPotential(replace(network, weights=part.copy()), setup, info))
    return potentials


def _named(hidden: Layers) -> str:
    return " ".join(f"{n}:{name}" for n, name in hidden)
