"""The loss of energies, forces and derivatives along directions (fortran/force_objective.f90)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import library
from .force_maps import ForceMap, empty_map
from .library import call, thread_count
from .potentials import NetworkTables


@dataclass(frozen=True, eq=False)
class ForceTerms:
    """What a loss with forces knows beyond the packed descriptors; energies and forces are scaled ones.

    Without `map` there are no forces, with no directions (the default) no derivatives along any.
    """

    n_structures: int
    map: ForceMap | None = None
    feature_factor: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), order="F"))
    """(n_feature_most, n_species) Fortran order: standardised value = (value − shift)·factor"""
    force_ref: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """(n_atom, 3) reference forces, atoms of each structure by species"""
    atom_weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_atom,) ω of ½ Σ_j ω_j |ΔF_j|²"""
    first_direction: np.ndarray | None = None
    """(n_structure + 1,) int32; None: no directions"""
    change: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """float32: for each structure (n_direction, n_value) changes of its standardised descriptors (`changes_along`)"""
    first_change: np.ndarray | None = None
    """(n_structure + 1,) int64"""
    derivative_ref: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_direction,) reference derivatives of the energy along the directions"""
    direction_weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_direction,) γ of ½ Σ_v γ_v (D_v E − D_v E_ref)²"""

    def arguments(self, n_species: int) -> tuple[object, ...]:
        """The engine's arguments."""
        n = self.n_structures
        map_ = (empty_map(n_species) if self.map is None else self.map).arguments()
        none = np.zeros(n + 1, dtype=np.int64)
        return (
            *map_,
            int(self.map is not None),
            none if self.map is None else self.map.first_atom,
            self.feature_factor,
            self.force_ref.T,
            self.atom_weight,
            none.astype(np.int32) if self.first_direction is None else self.first_direction,
            none if self.first_change is None else self.first_change,
            self.change,
            self.derivative_ref,
            self.direction_weight,
        )

    @property
    def nbytes(self) -> int:
        """Memory of map and directions."""
        return (0 if self.map is None else self.map.nbytes) + self.change.nbytes


@dataclass(frozen=True, eq=False)
class ForceResults:
    """What `force_loss` finds besides the gradient, in scaled units."""

    loss: float
    energy: np.ndarray
    """(n_structure,)"""
    force: np.ndarray
    """(n_atom, 3), atoms by species; (0, 3) without a map.  With a gradient only where a weight asks for it, else 0."""
    derivative: np.ndarray
    """(n_direction,)"""


def force_loss(
    features: np.ndarray,
    panel_offset: np.ndarray,
    panel_width: np.ndarray,
    block_first: np.ndarray,
    atom_offset: np.ndarray,
    atom_count: np.ndarray,
    networks: NetworkTables,
    weights: np.ndarray,
    energy_ref: np.ndarray,
    factor: np.ndarray,
    structure_weight: np.ndarray,
    terms: ForceTerms,
    gradient: np.ndarray | None,
    threads: int,
) -> ForceResults:
    """Return ½ Σ w (f ΔE)² + ½ Σ ω |ΔF|² + ½ Σ γ (ΔD_vE)² and what it is made of; fill `gradient` if given.

    The first arrays are those of `energy_loss`.  The same result for any number of threads.

    Raises
    ------
    KeyboardInterrupt
        if the user interrupts.
    """
    energy = np.empty(len(energy_ref))
    force, derivative = np.empty_like(terms.force_ref), np.empty_like(terms.derivative_ref)
    loss = call(
        library.forces.force_loss,
        features,
        panel_offset.T,
        panel_width.T,
        block_first,
        atom_offset.T,
        atom_count.T,
        *networks.arguments(),
        weights,
        energy_ref,
        factor,
        structure_weight,
        *terms.arguments(panel_offset.shape[1]),
        int(gradient is not None),
        thread_count(threads),
        energy,
        force.T,
        derivative,
        np.empty(0) if gradient is None else gradient,
    )
    return ForceResults(float(loss), energy, force, derivative)
