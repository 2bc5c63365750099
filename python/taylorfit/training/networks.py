"""The networks a training starts from, and the potentials it ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..formats.aenet.network_binary import write_potential
from ..formats.aenet.potential_file import read_potential_file
from ..model.descriptor import same_functions
from ..model.network import ACTIVATIONS, Network, SpeciesPotential, TrainingSetInfo
from ..model.trainset import TrainingSet
from ..settings.train import NetworkSpec
from .pack import KEPT_ENERGY, Scaling


def weights_generator(seed: int, member: int = 0) -> np.random.Generator:
    """Random numbers for the first weights of a member (from 0) of a committee; 0: also of an ordinary training."""
    return np.random.default_rng([seed, 2, member])


def starting_networks(
    specs: Sequence[NetworkSpec],
    training_set: TrainingSet,
    rng: np.random.Generator,
    fresh: bool = False,
    resume: bool = False,
    listed_in: str | None = None,
) -> tuple[list[Network], list[str]]:
    """Return one network per species in TYPES order, and notes on where they come from.

    A potential file that exists is the starting point (ænet), unless `fresh`; otherwise the
    network is made with random weights.  To `resume` only the layers matter: the weights come
    from a checkpoint.  `listed_in` is the file that `specs` stand in, for errors.

    Raises
    ------
    InputError
        if networks and species of the training set do not match, or a file does not fit.
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
    networks, notes = [], []
    for symbol, setup in zip(training_set.species, training_set.setups or ()):
        spec = by_symbol[symbol]
        if Path(spec.file).exists() and not fresh:
            potential = read_potential_file(spec.file)
            if potential.species != symbol or potential.setup.n_feature != setup.n_feature:
                raise InputError(
                    "the existing potential does not fit the training set",
                    file=spec.file,
                    value=f"{potential.species} with {potential.setup.n_feature} inputs",
                    expected=f"{symbol} with {setup.n_feature} inputs (or remove it, or use --fresh)",
                )
            network = potential.network
            there = tuple((n, ACTIVATIONS[code]) for n, code in zip(network.layer_sizes[1:-1], network.activations))
            if spec.hidden and spec.hidden != there:
                notes.append(
                    f"warning: {spec.file} has hidden layers {_named(there)}; "
                    f"{_named(spec.hidden)} of the input file is ignored"
                )
            if not same_functions(potential.setup, setup):
                notes.append(
                    f"warning: the descriptor of {symbol} in {spec.file} is not that of the training set, "
                    "whose functions are used from now on"
                )
            notes.append(
                f"{symbol:2s} {_text(network.layer_sizes)}, "
                + (f"from the checkpoint → {spec.file}" if resume else f"continued from {spec.file}")
            )
        elif spec.hidden is None:
            raise InputError(
                "the potential file does not exist and no layers are given",
                file=spec.file,
                expected=f"{symbol} FILE 2 10:tanh 10:tanh",
            )
        else:
            layers = (setup.n_feature, *(n for n, _ in spec.hidden), 1)
            codes = (*(ACTIVATIONS.index(name) for _, name in spec.hidden), 0)
            network = Network.random(layers, codes, rng)
            notes.append(
                f"{symbol:2s} {_text(layers)} ({_named(spec.hidden) or 'linear'}), {network.n_weights} weights, "
                f"{'from the checkpoint' if resume else 'random'} → {spec.file}"
            )
        networks.append(network)
    return networks, notes


def potentials_from(
    weights: np.ndarray, networks: Sequence[Network], training_set: TrainingSet, file: str, scaling: Scaling
) -> list[SpeciesPotential]:
    """Potentials with the given weights (all species one after the other), ready to be written.

    The energy range is that of the scaled data set, as ænet records it.
    """
    energies = scaling.energies(training_set) / training_set.n_atoms
    kept = energies <= KEPT_ENERGY
    info = TrainingSetInfo(
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
    potentials, start = [], 0
    for network, setup in zip(networks, training_set.setups):
        part = weights[start : start + network.n_weights]
        start += network.n_weights
        potentials.append(SpeciesPotential(replace(network, weights=part.copy()), setup, info))
    return potentials


def write_potentials(
    potentials: Sequence[SpeciesPotential], specs: Sequence[NetworkSpec], suffix: str = ""
) -> list[str]:
    """Write each potential to the file of its species, with a suffix; return the paths."""
    files = {spec.symbol: spec.file + suffix for spec in specs}
    for potential in potentials:
        write_potential(files[potential.species], potential)
    return [files[potential.species] for potential in potentials]


def _text(layers: Sequence[int]) -> str:
    return "-".join(map(str, layers))


def _named(hidden: Sequence[tuple[int, str]]) -> str:
    return " ".join(f"{n}:{name}" for n, name in hidden)
