"""Potentials: energies, forces and strain derivatives of structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import EngineError, InputError
from ..model.descriptor import same_functions
from ..model.network import Network, SpeciesPotential
from ..model.scaling import range_unit, standardisation
from ..model.structure import Structure
from . import library
from .descriptors import Batch, DescriptorTables
from .handles import Handle, views
from .library import call, integers, thread_count

if TYPE_CHECKING:
    from .neighbour_lists import NeighbourList

_NOTHING = np.zeros((0, 0, 0), order="F")
NETWORK_VIEWS = "n_layers i4 1, n_nodes i4 1, codes i4 1"
"""Columns of a table of `views` for `NetworkTables`."""


class NetworkTables(NamedTuple):
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


@dataclass(frozen=True, eq=False)
class PotentialTables:
    """Potentials of all species, flattened for the engine: one of each, or those of all members of a committee.

    Arrays of networks run over the species of the first member, then over those of the second, ….
    """

    species: tuple[str, ...]
    """Species there is a potential for; the tables may hold stand-ins for more."""
    descriptors: DescriptorTables
    networks: NetworkTables
    weights: np.ndarray
    feature_shift: np.ndarray
    """(n_feature_most, n_network) Fortran order"""
    feature_factor: np.ndarray
    energy_scale: np.ndarray
    energy_shift: np.ndarray
    energy_atomic: np.ndarray
    feature_low: np.ndarray
    """(n_feature_most, n_species) Fortran order: range of the descriptors that every member was trained on"""
    feature_high: np.ndarray
    feature_unit: np.ndarray
    """Likewise: 1/σ, the largest of all members; see `range_unit`"""

    @classmethod
    def from_potentials(cls, potentials: Sequence[SpeciesPotential]) -> PotentialTables:
        """Flatten `potentials`; their order defines the species index.

        ENV lists may name species without a potential: such atoms cannot be evaluated, but the
        weights of the others depend on the place in the list, so stand-ins keep the places.

        Raises
        ------
        InputError
            if two potentials are of one species or a potential lacks statistics.
        """
        return cls.from_members([potentials])

    @classmethod
    def from_members(cls, members: Sequence[Sequence[SpeciesPotential]]) -> PotentialTables:
        """Flatten the potentials of all members of a committee, each in the same order of species.

        The members have the same descriptors (see `share_descriptors`), but networks, statistics and energy
        scales of their own.

        Raises
        ------
        InputError
            as for `from_potentials`, or if the members differ in their descriptors.
        """
        given = tuple(potential.species for potential in members[0])
        if len(set(given)) < len(given):
            raise InputError("two potentials for one species", value=" ".join(given), expected="one for each")
        if not share_descriptors(members):
            raise InputError("members of a committee with different descriptors", expected="the same functions in all")
        members = [[*potentials, *_stand_ins(potentials)] for potentials in members]
        everyone = [potential for potentials in members for potential in potentials]
        species = tuple(potential.species for potential in members[0])
        descriptors = DescriptorTables.from_setups(species, [potential.setup for potential in members[0]])
        widest = max(potential.setup.n_feature for potential in everyone)
        shift = np.zeros((widest, len(everyone)), order="F")
        factor = np.zeros_like(shift)
        low, high = (np.full((widest, len(species)), sign * np.inf, order="F") for sign in (-1, 1))
        unit = np.zeros_like(low)
        for k, potential in enumerate(everyone):
            statistics, n, t = potential.setup.statistics, potential.setup.n_feature, k % len(species)
            if statistics is None:
                raise InputError(f"the potential for {potential.species} has no descriptor statistics")
            shift[:n, k], factor[:n, k] = standardisation(statistics)
            if statistics.n_evaluated > 0:
                low[:n, t] = np.maximum(low[:n, t], statistics.minimum)
                high[:n, t] = np.minimum(high[:n, t], statistics.maximum)
                unit[:n, t] = np.maximum(unit[:n, t], range_unit(statistics))
        own = [dict(zip(p.info.species, p.info.atomic_energies)).get(p.species) for p in everyone]
        if None in own:
            raise InputError(f"the potential for {everyone[own.index(None)].species} does not state its atomic energy")
        return cls(
            species=given,
            descriptors=descriptors,
            networks=NetworkTables.from_networks([potential.network for potential in everyone]),
            weights=np.concatenate([potential.network.weights for potential in everyone]),
            feature_shift=shift,
            feature_factor=factor,
            energy_scale=np.array([potential.info.scale for potential in everyone]),
            energy_shift=np.array([potential.info.shift for potential in everyone]),
            energy_atomic=np.array(own, dtype=np.float64),
            # The engine multiplies: infinity times zero would be no number
            feature_low=np.maximum(low, -np.finfo(float).max),
            feature_high=np.minimum(high, np.finfo(float).max),
            feature_unit=unit,
        )

    @property
    def n_members(self) -> int:
        """Members of the committee; 1 for a plain potential."""
        return len(self.energy_scale) // len(self.descriptors.species)

    @cached_property
    def handle(self) -> Handle:
        """The potential in the engine, which has its own copy."""
        handle = Handle(library.potentials.potential_handle)
        wanted = (
            f"{NETWORK_VIEWS}, weights f8 1, feature_shift f8 2, feature_factor f8 2, energy_scale f8 1, "
            "energy_shift f8 1, energy_atomic f8 1, feature_low f8 2, feature_high f8 2, feature_unit f8 2"
        )
        table = views(self.networks._asdict() | vars(self), wanted)
        call(library.potentials.potential_fill, handle.object, self.descriptors.handle.object, table)
        return handle

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "handle"}


def share_descriptors(members: Sequence[Sequence[SpeciesPotential]]) -> bool:
    """Whether the members of a committee can be evaluated on the same descriptors."""
    return all(
        len(potentials) == len(members[0])
        and all(same_functions(own.setup, first.setup) for own, first in zip(potentials, members[0]))
        for potentials in members
    )


def _stand_ins(potentials: Sequence[SpeciesPotential]) -> list[SpeciesPotential]:
    """Copies of the first potential for species that only ENV lists name."""
    given = {potential.species for potential in potentials}
    named = dict.fromkeys(symbol for potential in potentials for symbol in potential.setup.environment)
    first = potentials[0]
    return [
        replace(
            first,
            setup=replace(first.setup, species=symbol),
            info=replace(first.info, species=(symbol,), atomic_energies=(0.0,)),
        )
        for symbol in named
        if symbol not in given
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

    @property
    def known_forces(self) -> np.ndarray:
        """`forces`, where they were asked for."""
        assert self.forces is not None
        return self.forces


def evaluate(
    structures: Sequence[Structure],
    potential: PotentialTables,
    *,
    forces: bool = True,
    descriptors: bool = False,
    threads: int = 0,
) -> list[Evaluation]:
    """Return energies, forces and strain derivatives of structures from a potential that is no committee.

    Raises
    ------
    InputError
        for unknown species, coinciding atoms, or a degenerate cell; it names the structure.
    """
    if potential.n_members != 1:
        raise EngineError("a committee where one potential is expected")
    members = evaluate_members(structures, potential, forces=forces, descriptors=descriptors, threads=threads)
    return [evaluation for (evaluation,) in members]


def evaluate_members(
    structures: Sequence[Structure],
    committee: PotentialTables,
    *,
    forces: bool = True,
    descriptors: bool = False,
    threads: int = 0,
) -> list[list[Evaluation]]:
    """Return what each member of a committee says about each structure, from one evaluation of the descriptors.

    The standardised descriptors, if asked for, are those of the first member.

    Raises
    ------
    InputError
        as for `evaluate`.
    """
    batch = _batch(structures, committee)
    atomic, force, strain, values = _evaluate_batch(batch, committee, forces, descriptors, threads)
    n_members = committee.n_members
    results = []
    for s, (a, b) in enumerate(zip(batch.first_atom, batch.first_atom[1:])):
        results.append(
            [
                Evaluation(
                    atomic[m, a:b],
                    force[m, a:b] if forces else None,
                    symmetric(strain[m, s]) if forces else None,
                    values[a:b] if descriptors else None,
                )
                for m in range(n_members)
            ]
        )
    return results


def _batch(structures: Sequence[Structure], committee: PotentialTables) -> Batch:
    for structure in structures:
        structure.species_index(committee.species)
    return Batch.of(structures, committee.descriptors)


def _evaluate_batch(
    batch: Batch, committee: PotentialTables, forces: bool, descriptors: bool, threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Energies (n_member, n_atom), forces (…, n_atom, 3), strain derivatives (n_member, n, 3, 3), and descriptors."""
    n_atoms, n_members = len(batch.species), committee.n_members
    atomic = np.zeros((n_members, n_atoms))
    force = np.zeros((n_members, n_atoms if forces else 0, 3))
    strain = np.zeros((n_members, len(batch.names), 3, 3))
    values = np.zeros((n_atoms if descriptors else 0, len(committee.feature_shift)))
    results = atomic.T, force.T, strain.T, values.T
    arguments = committee.handle.object, batch.views(), thread_count(threads), *results
    call(library.potentials.evaluate, *arguments, names=batch.names)
    return atomic, force, strain, values


class RepeatedEvaluation:
    """Forces of the same structures, again and again at other places: laid out for the engine once.

    Raises
    ------
    InputError
        on construction and when called, as for `evaluate`.
    """

    def __init__(self, structures: Sequence[Structure], committee: PotentialTables, threads: int = 0) -> None:
        self._committee, self._threads = committee, threads
        self._batch = _batch(structures, committee)

    def __call__(self, positions: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evaluate at (n_atom, 3) positions, Å, in (n, 3, 3) cells.

        Returns
        -------
        energies
            (n,) eV, a mean over the members
        forces
            (n_member, n_atom, 3) eV/Å
        strain
            (n, 3, 3) derivative of the energy by the strain, eV, a mean over the members
        """
        self._batch.positions.T[...] = positions
        self._batch.cells.T[...] = cells
        atomic, force, strain, _ = _evaluate_batch(self._batch, self._committee, True, False, self._threads)
        energies = np.add.reduceat(atomic.mean(axis=0), self._batch.first_atom[:-1])
        return energies, force, symmetric(strain.mean(axis=0))


class ListedEvaluation(NamedTuple):
    """What the members of a committee (or a single potential) say about one structure."""

    atomic_energies: np.ndarray
    """(n_member, n_atom) eV, atomic reference energies included"""
    forces: np.ndarray
    """(n_member, n_atom, 3) eV/Å; zero if not asked for"""
    strain_derivatives: np.ndarray
    """(n_member, 3, 3) dE/dε, eV; zero if forces are not asked for"""
    excess: np.ndarray | None
    """(n_atom,) how far the descriptor of an atom is outside the range of the training data, in σ of the component
    that is furthest; negative inside.  None if not asked for"""
    component: np.ndarray | None
    """(n_atom,) which component that is, from 0"""
    virials: np.ndarray | None
    """(n_atom, 3, 3) eV, of each atom -Σ_i r_ij ⊗ ∂E_i/∂r_ij, a mean over the members; their sum is -dE/dε.  None if
    not asked for"""


def evaluate_listed(
    positions: np.ndarray,
    species: np.ndarray,
    neighbours: NeighbourList,
    potential: PotentialTables,
    *,
    forces: bool = True,
    virials: bool = False,
    extrapolation: bool = False,
    threads: int = 0,
    name: str = "",
) -> ListedEvaluation:
    """Evaluate one structure whose neighbour list exists.

    Parameters
    ----------
    positions
        (n_atom, 3) Å; `neighbours` must serve for them (see `NeighbourList.serves`).
    species
        (n_atom,) index into the species of `potential.descriptors`, from 0 (`DescriptorTables.check`).

    Raises
    ------
    InputError
        for coinciding atoms; it names the structure `name`.
    """
    n, n_members = len(species), potential.n_members
    atomic, force, strain = np.empty((n_members, n)), np.zeros((n_members, n, 3)), np.zeros((n_members, 3, 3))
    virial, outside = np.zeros((n if virials else 0, 9)), np.empty((2, n if extrapolation else 0))
    atoms = (positions + neighbours.offset).T, integers(species + 1)
    results = atomic.T, force.T if forces else _NOTHING, strain.T, virial.T, outside.T
    handles = potential.handle.object, neighbours.handle.object
    call(library.potentials.evaluate_listed, *handles, *atoms, thread_count(threads), *results, names=[name])
    excess, component = (outside[0], outside[1].astype(np.int32)) if extrapolation else (None, None)
    # The engine's order is xx, yy, zz, xy, xz, yz, yx, zx, zy
    tensors = virial[:, [0, 3, 4, 6, 1, 5, 7, 8, 2]].reshape(-1, 3, 3) if virials else None
    return ListedEvaluation(atomic, force, symmetric(strain), excess, component, tensors)


def symmetric(matrices: np.ndarray) -> np.ndarray:
    """Return the symmetric part of (…, 3, 3) matrices."""
    return 0.5 * (matrices + matrices.swapaxes(-1, -2))
