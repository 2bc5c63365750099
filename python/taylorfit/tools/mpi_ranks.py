"""Ranks as processes of an MPI launcher; mpi4py must be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI
from mpi4py.util import pkl5

from .ranks import Item, Ranks, Value

if TYPE_CHECKING:
    from ..engine import PartialSums


class MpiRanks(Ranks):
    """The processes of an MPI launcher."""

    def __init__(self, communicator: Any) -> None:
        # Arrays are sent as they are, and beyond 2 GiB
        self._all = pkl5.Intracomm(communicator)
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.n_here = communicator.Split_type(MPI.COMM_TYPE_SHARED).Get_size()

    def from_root(self, make: Callable[[], Value]) -> Value:
        """Return what the first rank makes."""
        value: Value = self._all.bcast(make() if self.is_root else None)
        return value

    def deal(self, make: Callable[[int], Value]) -> Value:
        """Return what the first rank makes for this one, given its number."""
        if not self.is_root:
            value: Value = self._all.recv(source=0)
            return value
        # One after the other: the first rank never holds the parts of all
        for rank in range(1, self.size):
            self._all.send(make(rank), dest=rank)
        return make(0)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks on the first one, nothing on the others."""
        if not self.is_root:
            self._all.send(value, dest=0)
            return []
        return [value, *(self._all.recv(source=rank) for rank in range(1, self.size))]

    def spread(self, work: Callable[[list[Item]], list[Value]], items: Sequence[Item]) -> list[Value]:
        """Return what `work` makes of all items, in their order; the first rank calls it, the others `serve`."""

        def part(rank: int) -> tuple[Callable[[list[Item]], list[Value]], list[Item]]:
            here = self.share(len(items), rank)
            return work, list(items[here.start : here.stop])

        return [one for made in self.gather(work(self.deal(part)[1])) for one in made]

    def serve(self) -> None:
        """Do what the first rank spreads until it calls `dismiss`."""
        nothing: Callable[[int], Any] = lambda rank: None  # noqa: E731
        while (task := self.deal(nothing)) is not None:
            work, items = task
            self.gather(work(items))

    def dismiss(self) -> None:
        """Let the other ranks return from `serve`."""
        self.deal(lambda rank: None)

    def joined(self, part: np.ndarray) -> np.ndarray:
        """Return the arrays (n, …) of all ranks, one behind the other."""
        parts = self.gather(part)
        return self.from_root(lambda: np.concatenate(parts))

    def any(self, flag: bool) -> bool:
        """Return whether any rank says yes."""
        return self.add(int(flag))[0] > 0

    def add(self, *numbers: int) -> tuple[int, ...]:
        """Return the sums of whole numbers over the ranks."""
        found = np.empty(len(numbers), dtype=np.int64)
        self._all.Allreduce(np.array(numbers, dtype=np.int64), found)
        return tuple(found.tolist())

    def totals(self, parts: Sequence[PartialSums]) -> list[np.ndarray]:
        """Return the sums over the leaves of all ranks, each an array (n_number,); `parts` are used up."""
        parts, step = list(parts), 1
        while step < self.size and self.rank % (2 * step) == 0:
            if self.rank + step < self.size:
                parts = [one.joined(after) for one, after in zip(parts, self._all.recv(source=self.rank + step))]
            step *= 2
        if not self.is_root:
            self._all.send(parts, dest=self.rank - step)
        sums = np.concatenate([part.total() if self.is_root else np.empty(part.sums.shape[1]) for part in parts])
        self._all.Bcast(sums)
        return np.split(sums, np.cumsum([part.sums.shape[1] for part in parts])[:-1])

    def abort(self, code: int) -> None:
        """End all ranks."""
        self._all.Abort(code)
