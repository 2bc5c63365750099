"""Work that is shared out over the processes (ranks) of an MPI launcher; without one, all of it is done here.

The work of a training is a sequence of leaves (blocks of structures); each rank has consecutive ones, in the order of
the ranks, so that sums come out the same to the last bit however many ranks there are (`tf_tree_sum`).  All ranks
call the same functions in the same order, from their main thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from ..engine import PartialSums

Item = TypeVar("Item")
Value = TypeVar("Value")

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables in which launchers say how many processes they have started; srun's comes last: others run on top of it."""
NUMBERS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
"""Variables in which they say which one a process is."""


class Ranks:
    """One process that does all the work; `mpi_ranks.MpiRanks` are several."""

    rank, size = 0, 1
    n_here = 1
    """Ranks on this machine."""

    @property
    def is_root(self) -> bool:
        """Whether this is the rank that reads input, writes files and prints."""
        return self.rank == 0

    def share(self, n: int, rank: int | None = None) -> range:
        """Return which of n items in a row are those of a rank, by default this one."""
        r = self.rank if rank is None else rank
        return range(n * r // self.size, n * (r + 1) // self.size)

    def threads(self, available: int) -> int:
        """Return how many threads this rank should use of those that a process here may use."""
        return max(1, available // self.n_here) if available == (os.cpu_count() or 1) else available

    def from_root(self, make: Callable[[], Value]) -> Value:
        """Return what the first rank makes."""
        return make()

    def deal(self, make: Callable[[int], Value]) -> Value:
        """Return what the first rank makes for this one, given its number."""
        return make(0)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks on the first one, nothing on the others."""
        return [value]

    def spread(self, work: Callable[[list[Item]], list[Value]], items: Sequence[Item]) -> list[Value]:
        """Return what `work` makes of all items, in their order; the first rank calls it, the others `serve`."""
        return work(list(items))

    def serve(self) -> None:
        """Do what the first rank spreads until it calls `dismiss`."""

    def dismiss(self) -> None:
        """Let the other ranks return from `serve`."""

    def joined(self, part: np.ndarray) -> np.ndarray:
        """Return the arrays (n, …) of all ranks, one behind the other."""
        return part

    def any(self, flag: bool) -> bool:
        """Return whether any rank says yes."""
        return flag

    def add(self, *numbers: int) -> tuple[int, ...]:
        """Return the sums of whole numbers over the ranks."""
        return numbers

    def totals(self, parts: Sequence[PartialSums]) -> list[np.ndarray]:
        """Return the sums over the leaves of all ranks, each an array (n_number,); `parts` are used up."""
        return [part.total() for part in parts]

    def abort(self, code: int) -> None:
        """End all ranks; does nothing if there is but one."""


ALONE = Ranks()
"""Where no work is shared out."""


def launched_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return the ranks that an MPI launcher has started, by its variables; mpi4py is imported only if there are some.

    Raises
    ------
    InputError
        if mpi4py is missing, or launcher and MPI library do not know each other, so that each process would do all.
    """
    n = next((int(environment[name]) for name in SIZES if environment.get(name, "").isdigit()), 1)
    if n == 1:
        return ALONE
    try:
        import mpi4py

        # Threads of the engine never call MPI
        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"started as {n} ranks, but mpi4py cannot be used ({error})", expected='pip install "taylorfit[mpi]"'
        ) from None
    found = MPI.COMM_WORLD.Get_size()
    if found != n:
        library = MPI.Get_library_version().partition("\n")[0].strip()
        raise InputError(
            f"the launcher has started {n} processes, each of which is alone for MPI: they would all do the same",
            value=f"{found} ranks, MPI library {library}",
            expected="mpirun or srun of the MPI that mpi4py uses",
        )
    from .mpi_ranks import MpiRanks

    return MpiRanks(MPI.COMM_WORLD)


def is_first_copy(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the first process of a launcher, or there is none: the one that complains."""
    return all(environment.get(name, "0") == "0" for name in NUMBERS)
