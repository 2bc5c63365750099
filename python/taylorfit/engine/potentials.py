"""Potentials: energies, forces and strain derivatives of structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..network import Network, Potential
from ..scaling import standardisation
from ..structure import Structure
from . import library
from .descriptors import Batch, DescriptorTables
from .library import call, integers, thread_count


@dataclass(frozen=True, eq=False)
class NetworkTables:
    """Network architectures of all species, flattened for the engine."""

    n_layers: np.ndarray
    n_nodes: np.ndarray
    codes: np.ndarray
    n_weights: int

    @classmethod
    def from_networks(cls, networks: Sequence[Network]) -> NetworkTables:
        """Flatten the layers of `networks`."""
        return cls(
            n_layers=integers([len(network.layer_sizes) for network in networks]),
            n_nodes=integers([n for network in networks for n in network.layer_sizes]),
            codes=integers([code for network in networks for code in (0, *network.activations)]),
            n_weights=sum(network.n_weights for network in networks),
        )

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The engine's arguments."""
        return self.n_layers, self.n_nodes, self.codes


@dataclass(frozen=True, eq=False)
class PotentialTables:
    """Potentials of all species, flattened for the engine."""

    species: tuple[str, ...]
    """Species there is a potential for; the tables may hold stand-ins for more."""
    descriptors: DescriptorTables
    networks: NetworkTables
    weights: np.ndarray
    feature_shift: np.ndarray
    """(n_feature_most, n_species) Fortran order"""
    feature_factor: np.ndarray
    energy_scale: np.ndarray
    energy_shift: np.ndarray
    energy_atomic: np.ndarray

    @classmethod
    def from_potentials(cls, potentials: Sequence[Potential]) -> PotentialTables:
        """Flatten `potentials`; their order defines the species index.

        ENV lists may name species without a potential: such atoms cannot be evaluated, but the
        weights of the others depend on the place in the list, so stand-ins keep the places.

        Raises
        ------
        InputError
            if two potentials are of one species or a potential lacks statistics.
        """
        species = tuple(potential.species for potential in potentials)
        if len(set(species)) < len(species):
            raise InputError("two potentials for one species", value=" ".join(species), expected="one for each")
        given = species
        potentials = [*potentials, *_stand_ins(potentials)]
        species = tuple(potential.species for potential in potentials)
        descriptors = DescriptorTables.from_setups(species, [potential.setup for potential in potentials])
        widest = max(potential.setup.n_feature for potential in potentials)
        shift = np.zeros((widest, len(species)), order="F")
        factor = np.zeros_like(shift)
        for t, potential in enumerate(potentials):
            if potential.setup.statistics is None:
                raise InputError(f"the potential for {potential.species} has no descriptor statistics")
            n = potential.setup.n_feature
            shift[:n, t], factor[:n, t] = standardisation(potential.setup.statistics)
        own = [dict(zip(p.info.species, p.info.atomic_energies)).get(p.species) for p in potentials]
        if None in own:
            raise InputError(f"the potential for {species[own.index(None)]} does not state its atomic energy")
        return cls(
            species=given,
            descriptors=descriptors,
            networks=NetworkTables.from_networks([potential.network for potential in potentials]),
            weights=np.concatenate([potential.network.weights for potential in potentials]),
            feature_shift=shift,
            feature_factor=factor,
            energy_scale=np.array([potential.info.scale for potential in potentials]),
            energy_shift=np.array([potential.info.shift for potential in potentials]),
            energy_atomic=np.array(own, dtype=np.float64),
        )


def _stand_ins(potentials: Sequence[Potential]) -> list[Potential]:
    """Copies of the first potential for species that only ENV lists name."""
    given = {potential.species for potential in potentials}
    named = dict.fromkeys(symbol for potential in potentials for symbol in potential.setup.environment)
    first = potentials[0]
    return [
        replace(first, setup=replace(first.setup, species=symbol),
                info=replace(first.info, species=(symbol,), atomic_energies=(0.0,)))
        for symbol in named if symbol not in given
    ]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a potential says about one structure."""

    atomic_energies: np.ndarray
    """(n_atom,) eV, atomic reference energies included"""
    forces: np.ndarray | None
    """(n_atom, 3) eV/Å"""
    strain_derivative: np.ndarray | None
    """(3, 3) dE/dε, eV; divided by the volume it is the stress in ASE's sign"""
    descriptors: np.ndarray | None = None
    """(n_atom, n_feature_most) standardised descriptors, if asked for"""

    @property
    def energy(self) -> float:
        """Total energy, eV."""
        return float(self.atomic_energies.sum())


def evaluate(
    structures: Sequence[Structure],
    potential: PotentialTables,
    *,
    forces: bool = True,
    descriptors: bool = False,
    threads: int = 0,
) -> list[Evaluation]:
    """Return energies, forces and strain derivatives of structures.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    for structure in structures:
        structure.species_index(potential.species)
    batch = Batch.of(structures, potential.descriptors)
    n_atoms, n_features = len(batch.species), len(potential.feature_shift)
    atomic = np.zeros(n_atoms)
    force = np.zeros((n_atoms, 3))
    strain = np.zeros((len(structures), 3, 3))
    values = np.zeros((n_atoms if descriptors else 0, n_features))
    call(
        library.structures.evaluate, *potential.descriptors.arguments(), *potential.networks.arguments(),
        potential.weights, potential.feature_shift, potential.feature_factor, potential.energy_scale,
        potential.energy_shift, potential.energy_atomic, *batch.arguments(), int(forces), thread_count(threads),
        atomic, force.T, strain.T, values.T, names=batch.names,
    )
    results = []
    for s, (a, b) in enumerate(zip(batch.first_atom, batch.first_atom[1:])):
        turned = 0.5 * (strain[s] + strain[s].T) if forces else None
        results.append(Evaluation(atomic[a:b], force[a:b] if forces else None, turned,
                                  values[a:b] if descriptors else None))
    return results
