"""Losses over packed data sets, and the methods that take several steps an epoch; the engine does the arithmetic.

L = ½ Σ_s weight_s (factor_s (E_ref,s − E_s))² + ½ Σ_j ω_j |ΔF_j|² + ½ Σ_v γ_v (D_v E − D_v E_ref)², all in the units of
the network outputs.  The same result for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError
from . import library
from .force_maps import ForceMap
from .handles import Handle, StopToken, token_array, views
from .library import call, integers, thread_count
from .partial_sums import PartialSums, most_nodes
from .potentials import NETWORK_VIEWS, NetworkTables

if TYPE_CHECKING:
    from ..training.pack import PackedDataset


_LOSS = (
    "features f8 1, single f4 1, panel_offset i8 2T, panel_width i4 2T, block_first i4 1, atom_offset i4 2T, "
    f"atom_count i4 2T, {NETWORK_VIEWS}, energy f8 1, factor f8 1, weight f8 1, group i4 1, stop i4 1"
)
_TERMS = (
    "feature_factor f8 2, force_ref f8 2T, atom_weight f8 1, first_direction i4 1, first_change i8 1, change f4 1, "
    "derivative_ref f8 1, direction_weight f8 1"
)


@dataclass(frozen=True, eq=False)
class ForceTerms:
    """What a loss with forces knows beyond the packed descriptors; energies and forces are scaled ones.

    Without `map` there are no forces, with no directions (the default) no derivatives along any.
    """

    map: ForceMap | None = None
    feature_factor: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), order="F"))
    """(n_feature_most, n_species) Fortran order: standardised value = (value − shift)·factor"""
    force_ref: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """(n_atom, 3) reference forces, atoms of each structure by species"""
    atom_weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_atom,) ω"""
    first_direction: np.ndarray | None = None
    """(n_structure + 1,) int32; None: no directions"""
    change: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """float32: for each structure (n_direction, n_value) changes of its standardised descriptors (`changes_along`)"""
    first_change: np.ndarray | None = None
    """(n_structure + 1,) int64"""
    derivative_ref: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_direction,) reference derivatives of the energy along the directions"""
    direction_weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n_direction,) γ"""

    @property
    def nbytes(self) -> int:
        """Memory of map and directions."""
        return (0 if self.map is None else self.map.nbytes) + self.change.nbytes


@dataclass(frozen=True, eq=False)
class LossValue:
    """What a loss finds besides its gradient."""

    loss: float
    energy: np.ndarray
    """(n_structure,)"""
    force: np.ndarray
    """(n_atom, 3), atoms by species; (0, 3) without a map.  With a gradient only where a weight asks for it, else 0."""
    derivative: np.ndarray
    """(n_direction,)"""


@dataclass(frozen=True, eq=False)
class Contribution:
    """What the structures of one process contribute."""

    sums: PartialSums
    """Gradient, if wanted, and behind it the loss."""
    energy: np.ndarray
    force: np.ndarray
    derivative: np.ndarray
    """As in `LossValue`."""


class Loss(Handle):
    """A loss over a packed data set.  It sees the arrays it is made of: what is written to these counts at once.

    It belongs to one thread.

    Parameters
    ----------
    pack
        Packed data; `energy` are the reference energies.  Networks are evaluated in the precision of `features`, but by
        methods that take several steps an epoch on single structures in double precision.
    factor, weight
        (n_structure,) see above.
    group
        (n_structure,) int32: structures of one group, not 0, consecutive and in one block, count with their residual
        minus the mean residual of the group.
    terms
        Forces and directions.
    threads
        0: all cores.
    stop
        Ends calls early.

    Raises
    ------
    EngineError
        if the arrays do not fit each other.
    """

    def __init__(
        self,
        pack: PackedDataset,
        networks: NetworkTables,
        factor: np.ndarray,
        weight: np.ndarray,
        *,
        group: np.ndarray | None = None,
        terms: ForceTerms | None = None,
        threads: int = 0,
        stop: StopToken | None = None,
    ) -> None:
        super().__init__(library.losses.loss_handle)
        self.energy_ref, self.factor, self.weight = pack.energy, factor, weight
        self.n_atoms = pack.atom_count.sum(axis=1)
        """(n_structure,)"""
        self._n_weights, self._threads = networks.n_weights, thread_count(threads)
        none = np.zeros(0)
        is_single = getattr(pack.features, "dtype", None) == np.float32
        own: dict[str, Any] = {
            "features": none if is_single else pack.features,
            "single": pack.features if is_single else none.astype(np.float32),
            "factor": factor,
            "weight": weight,
            "group": np.zeros(len(factor), dtype=np.int32) if group is None else group,
            "stop": token_array(stop),
        }
        arrays = vars(pack) | networks._asdict() | own
        call(library.losses.loss_fill, self.object, views(arrays, _LOSS), pack.first_leaf)
        self.keep(*arrays.values())
        self.block = pack.first_leaf + np.repeat(np.arange(len(pack.panel_width)), np.diff(pack.block_first))
        """(n_structure,) number of the block that each is in, among those of all processes"""
        self._shapes = (0, 0)
        self.n_blocks, self.first_leaf = len(pack.panel_width), pack.first_leaf
        """Blocks, and those of other processes before them."""
        self.has_forces = terms is not None
        if terms is not None:
            self._add(terms)

    def _add(self, terms: ForceTerms) -> None:
        map_ = Handle(library.force_maps.force_map_handle) if terms.map is None else terms.map.handle
        none = np.zeros(self.n_structures + 1, dtype=np.int64)
        given = {name: array for name, array in vars(terms).items() if array is not None}
        arrays = {"first_direction": none.astype(np.int32), "first_change": none} | given
        call(library.losses.loss_add_forces, self.object, map_.object, views(arrays, _TERMS))
        self.keep(*self.object.kept, *arrays.values(), *map_.object.kept)
        self._shapes = (len(terms.force_ref), len(terms.derivative_ref))

    @property
    def n_structures(self) -> int:
        """Number of structures, Taylor copies included."""
        return len(self.energy_ref)

    def evaluate(self, weights: np.ndarray, gradient: np.ndarray | None = None) -> LossValue:
        """Return the loss at `weights` (n_weight,) and what it is made of; fill `gradient` (n_weight,) if given.

        Raises
        ------
        KeyboardInterrupt
            if the user interrupts.
        """
        if gradient is not None and (gradient.dtype != np.float64 or gradient.shape != (self._n_weights,)):
            raise EngineError(f"wrong argument for the engine: gradient has not {self._n_weights} float64")
        found = self.contribution(weights, gradient is not None)
        total = found.sums.total()
        if gradient is not None:
            gradient[...] = total[:-1]
        return LossValue(float(total[-1]), found.energy, found.force, found.derivative)

    def contribution(self, weights: np.ndarray, with_gradient: bool = True) -> Contribution:
        """Return what these structures contribute to the gradient, if wanted, and to the loss; else as `evaluate`."""
        energy = np.empty(self.n_structures)
        force, derivative = np.empty((self._shapes[0], 3)), np.empty(self._shapes[1])
        nodes, sums = _room(self.n_blocks, self._n_weights + 1 if with_gradient else 1)
        results = energy, force.T, derivative, nodes.T, sums.T
        n = call(library.losses.loss_evaluate, self.object, weights, self._threads, *results)
        return Contribution(PartialSums(nodes[:n], sums[:n]), energy, force, derivative)

    def energies(self, chosen: Sequence[int] | np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the energies (n_chosen,) of the structures with these indices (from 0)."""
        energy = np.empty(len(chosen))
        call(library.losses.loss_energies, self.object, _from_1(chosen), weights, self._threads, energy)
        return energy

    def descent(
        self, order: np.ndarray, momentum: float, rate: float, weights: np.ndarray, velocity: np.ndarray
    ) -> None:
        """Steepest descent with momentum, one step per entry of `order`; moves `weights` and `velocity`."""
        call(library.losses.loss_descent, self.object, _from_1(order), float(momentum), float(rate), weights, velocity)

    def filter(
        self,
        order: np.ndarray,
        width: int,
        forgetting_rate: float,
        noise: float,
        weights: np.ndarray,
        covariance: np.ndarray,
        forgetting: np.ndarray,
    ) -> None:
        """Extended Kalman filter, one observation per entry of `order`; moves the last three arrays."""
        rates, moved = np.array([forgetting_rate, noise], dtype=np.float64), (weights, covariance, forgetting)
        call(library.losses.loss_filter, self.object, _from_1(order), int(width), rates, self._threads, *moved)

    def adam(
        self,
        rows: np.ndarray,
        batch_size: int,
        rates: tuple[float, float, float, float, float],
        weights: np.ndarray,
        mean: np.ndarray,
        mean_square: np.ndarray,
        n_steps: np.ndarray,
    ) -> None:
        """Adam over batches of consecutive `rows`, as for `batch`; moves the last four; rates: those of METHOD adam."""
        rates_ = np.array(rates, dtype=np.float64)
        moved = weights, mean, mean_square, n_steps
        call(library.losses.loss_adam, self.object, _rows(rows), int(batch_size), rates_, self._threads, *moved)

    def batch(self, rows: np.ndarray, first: int, n: int, weights: np.ndarray) -> PartialSums:
        """Return what is here of the gradient of a batch, a step of `adam`.

        Parameters
        ----------
        rows
            (3, n_structure) of the batch: number of each structure in this process, from 1, its number of atoms, and
            the section of the data that it is in.  Gradients are added by pieces of the sections.  Or (1, n_block), of
            a loss with forces: ascending numbers of blocks in this process, from 1.
        first, n
            Rows of this process, which has whole sections.
        """
        nodes, sums = _room(rows.shape[1], self._n_weights)
        here = np.array([first, n], dtype=np.int32)
        n = call(library.losses.loss_batch, self.object, _rows(rows), here, weights, self._threads, nodes.T, sums.T)
        return PartialSums(nodes[:n], sums[:n])

    def levenberg_marquardt(
        self,
        order: np.ndarray,
        batch_size: int,
        n_steps: int,
        adjust: float,
        converged: float,
        weights: np.ndarray,
        damping: np.ndarray,
    ) -> bool:
        """Levenberg-Marquardt over batches of `order`; moves the last two arrays; return whether any loss fell.

        Parameters
        ----------
        n_steps
            Steps on each batch, fewer if one lowers its loss by less than the fraction `converged`.
        adjust
            Factor by which the damping changes.
        """
        rates = np.array([adjust, converged], dtype=np.float64)
        steps = _from_1(order), int(batch_size), int(n_steps), rates, self._threads, weights, damping
        return bool(call(library.losses.loss_levenberg_marquardt, self.object, *steps))


def _room(n_leaves: int, n_numbers: int) -> tuple[np.ndarray, np.ndarray]:
    most = most_nodes(n_leaves)
    return np.empty((most, 2), dtype=np.int64), np.empty((most, n_numbers))


def adam_step(
    rates: tuple[float, float, float, float, float],
    step: int,
    gradient: np.ndarray,
    weights: np.ndarray,
    mean: np.ndarray,
    mean_square: np.ndarray,
) -> None:
    """Step number `step` (from 1) of Adam along a gradient; moves the last three arrays."""
    call(library.optimisers.adam_move, np.array(rates), int(step), gradient, weights, mean, mean_square)


def _rows(rows: np.ndarray) -> np.ndarray:
    return np.asfortranarray(rows.T, dtype=np.int32)


def _from_1(chosen: Sequence[int] | np.ndarray) -> np.ndarray:
    return integers(chosen) + np.int32(1)


def loss_bytes(
    panel_width: np.ndarray,
    networks: NetworkTables,
    *,
    with_forces: bool,
    with_gradient: bool,
    dtype: type,
    threads: int,
) -> int:
    """Return the bytes of memory that an evaluation of a loss takes, besides its results: partial sums and scratch.

    `panel_width` and `dtype` are those of the pack.
    """
    arrays = views(networks._asdict() | {"panel_width": panel_width}, f"panel_width i4 2T, {NETWORK_VIEWS}")
    wanted = int(with_forces), int(with_gradient), int(dtype == np.float32), thread_count(threads)
    return 8 * int(call(library.losses.loss_work, arrays, *wanted))
