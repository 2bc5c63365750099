"""SAMPLING: in which order an epoch takes the structures."""

from __future__ import annotations

import numpy as np

from ...engine import Loss
from ...errors import InputError
from ...settings.methods import SAMPLINGS
from ...tools.randomness import Stream
from ...tools.ranks import ALONE, Ranks


class Sampler:
    """Draws the structures of each epoch; the same seed and epoch give the same draw.

    sequential
        in the order of the data set; with fewer structures per epoch than there are, the next epoch
        goes on where the last one ended
    random
        each structure at most once per epoch, in an order that is new in every epoch
    blocks
        the same, but the blocks of the pack (512 atoms) in a new order, with their structures together: from a disk
        each is read once
    weighted
        with replacement, with probabilities proportional to √weight·factor·|E_ref − E| at the start of
        the epoch: what is badly described comes oftener
    energy
        with replacement, with probabilities proportional to exp(−Ẽ/n_atoms), Ẽ the scaled energy, which
        spans [−1, 1] per atom: the lowest structure comes e² ≈ 7 times as often as the highest

    ænet names four of them and documents none; the definitions are ours.  The generator is made
    anew for each epoch from (seed, epoch), so that a resumed run needs no generator state.
    """

    def __init__(self, kind: str = "sequential", seed: int = 1, ranks: Ranks = ALONE) -> None:
        if kind not in SAMPLINGS:
            raise InputError("unknown sampling", value=kind, expected="one of " + " ".join(SAMPLINGS))
        self.kind, self.seed, self._ranks = kind, seed, ranks

    def places(self, n: int, epoch: int, size: int) -> np.ndarray:
        """Return the items (indices from 0) of an epoch (from 0): at most `size` of n, none drawn by its energy."""
        size = min(size, n)
        if self.kind == "sequential":
            return (np.arange(size) + epoch * size) % max(n, 1)
        return Stream.EPOCH_ORDER.generator(self.seed, epoch).permutation(n)[:size]

    def order(self, terms: Loss, weights: np.ndarray, epoch: int, size: int | None = None) -> np.ndarray:
        """Return the structures (indices from 0) of an epoch (from 0): `size` of them, at most and by default all.

        `terms` have the structures of this rank, the numbers are those among all.
        """
        (n,) = self._ranks.add(terms.n_structures)
        size = n if size is None else min(size, n)
        if self.kind in ("sequential", "random"):
            return self.places(n, epoch, size)
        rng = Stream.EPOCH_ORDER.generator(self.seed, epoch)
        if self.kind == "blocks":
            block = self._ranks.joined(terms.block)
            return np.argsort(rng.permutation(int(block.max(initial=-1)) + 1)[block], kind="stable")[:size]
        if self.kind == "weighted":
            energy = terms.energies(np.arange(terms.n_structures), weights)
            chance = self._ranks.joined(np.sqrt(terms.weight) * terms.factor * np.abs(terms.energy_ref - energy))
        else:
            per_atom = self._ranks.joined(terms.energy_ref / terms.n_atoms)
            chance = np.exp(per_atom.min() - per_atom)
        total = chance.sum()
        usable = np.isfinite(total) and total > 0.0
        return rng.choice(n, size, p=chance / total if usable else None)
