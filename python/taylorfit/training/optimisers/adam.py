"""METHOD adam: Adam on mini-batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine import Loss, PartialSums, adam_step
from ...settings.methods import AdamMethod
from ...tools.ranks import ALONE, Ranks
from .pass_optimiser import PassOptimiser
from .sampling import Sampler
from .sections import n_sections, section_of


@dataclass(frozen=True, eq=False)
class _Structures:
    """Of the structures of all ranks."""

    n_atoms: np.ndarray
    section: np.ndarray
    here: range
    """Those of this rank."""

    @classmethod
    def of(cls, terms: Loss, batch_size: int, ranks: Ranks) -> _Structures:
        counts, n_atoms, block = (
            ranks.joined(own) for own in (np.array([terms.n_structures]), terms.n_atoms, terms.block)
        )
        n_blocks = int(block.max(initial=-1)) + 1
        sections = n_sections(batch_size, len(n_atoms), int(n_atoms.sum()), n_blocks)
        first = int(counts[: ranks.rank].sum())
        return cls(n_atoms, section_of(block, n_blocks, sections), range(first, first + terms.n_structures))


class Adam(PassOptimiser):
    """Adam (Kingma, Ba, arXiv:1412.6980) with the gradient of `batchsize` structures in each step.

    With `decay` it is AdamW (Loshchilov, Hutter, arXiv:1711.05101): of biases, too, and scaled by the step size.

    An epoch takes `samplesize` structures, at most all of them.  (In ænet it draws with replacement
    and stops with an error unless samplesize is at least the number of structures.)  Each of several `ranks` adds what
    its structures contribute to a batch.  Where the loss has forces, batches are of whole blocks of about as many
    structures, at least one: what a block has in common is computed once.
    """

    def __init__(self, method: AdamMethod, weights: np.ndarray, sampler: Sampler, ranks: Ranks = ALONE) -> None:
        super().__init__(method, weights, sampler)
        self._ranks = ranks
        self._structures: _Structures | None = None
        self.state["mean"] = np.zeros(len(weights))
        self.state["mean_square"] = np.zeros(len(weights))
        self.state["steps"] = np.zeros(1, dtype=np.int32)

    @classmethod
    def nbytes(cls, method: AdamMethod, n_weights: int, n_structures: int) -> int:
        """Return the bytes of memory of weights and two means, twice, and gradients of parts of a batch."""
        return 8 * n_weights * (2 * 3 + 2)

    def _pass(self, terms: Loss, epoch: int) -> str:
        """Over structures, or over blocks of a loss with forces."""
        v, rates = self.state, self.method.rates(epoch)
        if terms.has_forces:
            n_structures, n_blocks = self._ranks.add(terms.n_structures, terms.n_blocks)
            shares = (k * n_blocks / max(n_structures, 1) for k in (self.method.batchsize, self.method.samplesize))
            size, n = (max(1, round(share)) for share in shares)
            here = range(terms.first_leaf, terms.first_leaf + terms.n_blocks)
            order, known = self.sampler.places(n_blocks, epoch, n), []
        else:
            own = self._structures = self._structures or _Structures.of(terms, self.method.batchsize, self._ranks)
            size, here = self.method.batchsize, own.here
            order = self.sampler.order(terms, self.weights, epoch, self.method.samplesize)
            known = [own.n_atoms, own.section]
        batches = [np.sort(order[first : first + size]) for first in range(0, len(order), size)]
        rows = [np.array([b - here.start + 1, *(of[b] for of in known)], dtype=np.int32) for b in batches]
        if self._ranks.size == 1:
            every = np.concatenate(rows, axis=1)
            terms.adam(every, size, rates, self.weights, v["mean"], v["mean_square"], v["steps"])
            return self.RUNNING
        for batch, own_rows in zip(batches, rows):
            begin, end = map(int, np.searchsorted(batch, [here.start, here.stop]))
            self._step(terms.batch(own_rows, begin, end - begin, self.weights), rates)
        return self.RUNNING

    def _step(self, own: PartialSums, rates: tuple[float, float, float, float, float]) -> None:
        """Step along the gradient of which this rank has a part."""
        v = self.state
        (gradient,) = self._ranks.totals([own])
        v["steps"] += 1
        adam_step(rates, int(v["steps"][0]), gradient, self.weights, v["mean"], v["mean_square"])
