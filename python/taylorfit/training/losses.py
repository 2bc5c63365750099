"""The losses of training, over packed data sets; the engine does the arithmetic.

All share one force weight: with the same β (Å²) they estimate the same thing, for each structure
(ΔE/n)² + β ⟨ΔF_x²⟩, the mean being over the 3n force components (plain Taylor training apart, where δ sets the weight).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ..engine import ForceTerms, Loss, NetworkTables, PartialSums, StopToken
from ..errors import InputError
from ..tools.ranks import ALONE, Ranks
from .force_terms import ForceData
from .pack import PackedDataset

LOSS_STRUCTURE_BYTES = 12 * 8
"""Memory of a structure in losses: factors, weights, and what an evaluation and its errors leave for a while."""
FORCE_LOSS_ATOM_BYTES = 8 + 3 * 8 * 6
"""Memory of an atom whose force is known: a weight that changes, and forces and errors of an evaluation."""
LOSS_AENET, LOSS_TOTAL = "aenet", "total"
"""Energy error per atom (ænet; default) or total energy error (eq. 3 of Cooper et al. 2020)."""


class EnergyLoss:
    """L = ½ Σ_s w_s (f_s ΔE_s)² over a packed data set, in scaled energies.

    f_s = 1/n_atoms for ænet's loss (each structure counts alike), 1 for the paper's eq. 3.
    `copy_weight` is w_s of the Taylor copies, 1 that of reference structures, times the data's own weights.
    `stop` ends evaluations early, whose results are incomplete then.  `ranks` are the processes that the structures
    are shared out over: loss and gradient are of all of them, errors of those here.
    """

    def __init__(
        self,
        data: PackedDataset,
        networks: NetworkTables,
        *,
        loss: str = LOSS_AENET,
        copy_weight: float = 1.0,
        energy_scale: float = 1.0,
        threads: int = 0,
        stop: StopToken | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.data, self.networks, self.threads, self._stop, self._ranks = data, networks, threads, stop, ranks
        n_atoms = data.n_atoms.astype(np.float64)
        self._factor = 1.0 / n_atoms if loss == LOSS_AENET else np.ones_like(n_atoms)
        self._weight = np.where(data.is_copy, copy_weight, 1.0)
        if data.structure_weight is not None:
            self._weight = self._weight * data.structure_weight
        self._group: np.ndarray | None = None
        self._terms: ForceTerms | None = None
        self._per_atom = 1.0 / (energy_scale * n_atoms)
        self.gradient = np.zeros(networks.n_weights)
        self.force_error: np.ndarray | None = None
        """(n, 3) errors of the forces at the last evaluation, eV/Å, where this loss knows forces"""
        self.force_error_atoms = np.zeros(0, dtype=bool)
        """(n_atom,) which atoms they are of"""

    @cached_property
    def _loss(self) -> Loss:
        """The loss in the engine, which sees the weights as they are at each call."""
        return Loss(
            self.data,
            self.networks,
            self._factor,
            self._weight,
            group=self._group,
            terms=self._terms,
            threads=self.threads,
            stop=self._stop,
        )

    def __call__(self, weights: np.ndarray, with_gradient: bool = True) -> tuple[float, np.ndarray]:
        """Return the loss and the energy errors E_ref − E of all structures, eV/atom; fill `gradient`."""
        found = self._loss.contribution(weights, with_gradient)
        return self._sum(found.sums, with_gradient), (self.data.energy - found.energy) * self._per_atom

    def _sum(self, sums: PartialSums, with_gradient: bool) -> float:
        """Return the loss of all ranks and keep the gradient."""
        (total,) = self._ranks.totals([sums])
        if with_gradient:
            self.gradient[...] = total[:-1]
        return float(total[-1])

    def energy_error_sums(self, error: np.ndarray, weight: np.ndarray) -> PartialSums:
        """Return the sums that `means_of_errors` needs of errors of energies (n_structure,) with these weights."""
        return _error_sums(error[:, None], weight, self.data.block_first, self.data.first_leaf)

    def force_error_sums(self) -> PartialSums | None:
        """Return the same of the errors of forces at the last evaluation; None where this loss knows no forces."""
        return None

    def set_beta(self, beta: float) -> None:
        """Change the weight of the forces, Å²; here they have none."""

    @property
    def terms(self) -> Loss:
        """What methods that take it structure by structure work on: the structures of this rank.

        Raises
        ------
        InputError
            if it is not a sum over structures.
        """
        if self._group is not None:
            raise InputError(
                "this METHOD goes from structure to structure, but the loss couples Taylor copies",
                expected="METHOD bfgs",
            )
        return self._loss


class CentredTaylorLoss(EnergyLoss):
    """Group-centred Taylor loss: L = ½ Σ_p r_p² + ½ Σ_p w_p Σ_c (r_c − r̄_p)², r = ΔE/n_atoms.

    p runs over the reference structures, c over the copies of p, r̄_p is the mean over these.
    w_p = β n_atoms/(3 a ⟨δ_x²⟩) makes the second sum an estimate of ½ β Σ_p ⟨ΔF_x²⟩, the mean being
    over the 3 n_atoms force components; the constant part of the truncation error of a parent's copies
    drops out.  β in Å².  The pack must keep the groups whole.

    Strained copies of a parent are a group of their own, with w_p = virial/(9 a ⟨ε²⟩) for
    ½ virial Σ_p ⟨(ΔW_ab/n_atoms)²⟩, the mean being over the nine components of the virial W = V σ.
    """

    def __init__(
        self,
        data: PackedDataset,
        networks: NetworkTables,
        *,
        beta: float,
        virial: float = 0.0,
        energy_weight: float = 1.0,
        energy_scale: float = 1.0,
        threads: int = 0,
        stop: StopToken | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(data, networks, energy_scale=energy_scale, threads=threads, stop=stop, ranks=ranks)
        self._group = data.group
        n_copies = np.bincount(data.group, minlength=1)
        squares = np.bincount(data.group, weights=data.displacement_square)
        mean_square = squares / np.maximum(n_copies, 1)
        a, square = n_copies[data.group], mean_square[data.group]
        copies = data.is_copy
        # Copies that are not displaced at all say nothing about forces
        moved = copies & (square > 0)
        self._unit_weight = np.zeros(data.n_structures)
        self._unit_weight[moved] = self._weight[moved] * data.n_atoms[moved] / (3.0 * a[moved] * square[moved])
        self._own_weight = np.where(copies, 0.0, energy_weight * self._weight)
        if data.strain_square is not None:
            strained = data.strain_square > 0
            self._own_weight[strained] = (
                virial * self._weight[strained] / (9.0 * n_copies[data.group][strained] * data.strain_square[strained])
            )
        self.set_beta(beta)

    def set_beta(self, beta: float) -> None:
        """Change the weight of the forces, Å²."""
        self._weight[...] = self._own_weight + beta * self._unit_weight


class ForceLoss(EnergyLoss):
    """Loss of energies and forces: L = ½ Σ_s [w (f_s ΔE_s)² + β (f_s n_s)² T_s] + ½ ω Σ_s V_s.

    Exact training: T = Σ_j |ΔF_j|²/(3n), eq. 6 of Cooper et al. (2020) with every force error squared (its a
    is β n/3).  Directional training: T from derivatives of the energy along chosen directions.  V: see
    `force_terms`.  With β = 0 forces are only compared, not trained on.
    """

    def __init__(
        self,
        data: PackedDataset,
        networks: NetworkTables,
        forces: ForceData,
        *,
        beta: float,
        loss: str = LOSS_AENET,
        energy_weight: float = 1.0,
        energy_scale: float = 1.0,
        threads: int = 0,
        stop: StopToken | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(data, networks, loss=loss, energy_scale=energy_scale, threads=threads, stop=stop, ranks=ranks)
        self._weight = self._weight * energy_weight
        self._scale = energy_scale
        self._forces = forces
        self._trained = forces.trained_atoms()
        # With weights of its own, which change from epoch to epoch
        self._terms = self._force_terms = replace(
            forces.terms,
            atom_weight=forces.terms.atom_weight.copy(),
            direction_weight=forces.terms.direction_weight.copy(),
        )
        self.set_beta(beta)

    def set_beta(self, beta: float) -> None:
        """Change the weight of the forces, Å²."""
        unit = self._forces.terms
        self._force_terms.atom_weight[...] = beta * unit.atom_weight
        self._force_terms.direction_weight[...] = np.where(self._forces.is_strain, 1.0, beta) * unit.direction_weight

    def __call__(self, weights: np.ndarray, with_gradient: bool = True) -> tuple[float, np.ndarray]:
        """As for `EnergyLoss`; `force_error` is set, with a gradient only of the forces that are trained on."""
        found = self._loss.contribution(weights, with_gradient)
        if self._force_terms.map is not None:
            known = self.force_error_atoms = self._trained if with_gradient else self._forces.known
            self.force_error = (found.force[known] - self._force_terms.force_ref[known]) / self._scale
        return self._sum(found.sums, with_gradient), (self.data.energy - found.energy) * self._per_atom

    def force_error_sums(self) -> PartialSums | None:
        """Return the sums of the errors of forces at the last evaluation; None where this loss knows no forces."""
        if self.force_error is None:
            return None
        known, weight = self.force_error_atoms, self._forces.weight
        error, weights = np.zeros((len(known), 3)), np.zeros(len(known))
        error[known], weights[known] = self.force_error, 1.0 if weight is None else weight[known]
        first = np.concatenate([[0], np.cumsum(self.data.n_atoms)])[self.data.block_first]
        return _error_sums(error, weights, first, self.data.first_leaf)


def _error_sums(error: np.ndarray, weight: np.ndarray, first: np.ndarray, first_leaf: int) -> PartialSums:
    """Sums of weighted absolute errors, squares and weights over blocks, of which each begins at an item of `first`.

    Parameters
    ----------
    error
        (n, n_component)
    weight
        (n,)
    """
    sums = (np.abs(error).sum(axis=1) * weight, (error**2).sum(axis=1) * weight, weight * error.shape[1])
    items = np.ascontiguousarray(np.stack(sums, axis=1))
    blocks = np.add.reduceat(items, first[:-1], axis=0) if len(first) > 1 else np.zeros((0, len(sums)))
    return PartialSums.of_leaves(first_leaf, blocks)


def means_of_errors(totals: np.ndarray) -> tuple[float, float]:
    """Mean absolute and root mean square error from their sums; of none 0 and NaN, as ænet prints."""
    absolute, square, weight = map(float, totals)
    return (absolute / weight, float(np.sqrt(square / weight))) if weight > 0.0 else (0.0, float("nan"))
