"""How much memory a training will take, told before it is taken, and where its data go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..engine import NetworkTables, Zeros, aligned_zeros, loss_bytes
from ..errors import InputError
from ..settings.methods import BfgsMethod, Method
from ..settings.train import AUTO, DISK, MEMORY, Store
from ..tools.disk_arrays import DiskArrays, disk_folder, room
from ..tools.memory import Available, available_memory, resident_memory
from .force_terms import ForceLayout
from .losses import FORCE_LOSS_ATOM_BYTES, LOSS_STRUCTURE_BYTES
from .optimisers import optimiser_bytes
from .pack import PackLayout

FREE = 0.9
"""Share of the available memory that is used: the rest is for what cannot be foreseen."""
_ARRAYS = 64
"""Arrays of a training that may be in the file, at most."""


@dataclass(frozen=True)
class MemoryNeeds:
    """Bytes of memory that a training takes at most."""

    program: int
    """What the process has before: Python, the engine, names and cells of the structures."""
    packed: int
    """Packed descriptors, of training, test and sample structures."""
    forces: int
    """Force maps, and changes of descriptors along directions."""
    lists: int
    """Offsets, forces and weights that belong to these."""
    work: int
    """Partial sums, results of an evaluation, and the method."""
    temporary: int
    """While the data are prepared; what `work` has is not there then."""
    on_disk: bool = False
    """Are `packed` and `forces` in a file?"""

    @property
    def stored(self) -> int:
        """Bytes that may be in a file."""
        return self.packed + self.forces

    @property
    def more(self) -> int:
        """Bytes that are still to be taken."""
        return (0 if self.on_disk else self.stored) + self.lists + max(self.work, self.temporary)

    @property
    def peak(self) -> int:
        """Bytes of memory at the peak."""
        return self.program + self.more


def needs_of(
    packs: Mapping[str, PackLayout],
    forces: Mapping[str, ForceLayout],
    method: Method,
    networks: NetworkTables,
    threads: int,
    at_once: int = 1,
) -> MemoryNeeds:
    """Sum up what a training needs, from the layouts of its data: pack by pack, of which `train` is trained on.

    `at_once` trainings run beside each other on the same data.
    """
    n_structures = sum(pack.empty.n_structures for pack in packs.values())
    n_atoms = sum(0 if one.map is None else len(one.map.species) for one in forces.values())
    full_batch = isinstance(method, BfgsMethod)
    # One loss after the other
    evaluation = max(
        loss_bytes(
            pack.empty.panel_width,
            networks,
            with_forces=key in forces,
            with_gradient=key == "train" and (full_batch or key in forces),
            dtype=pack.empty.features.dtype.type,
            threads=threads,
        )
        for key, pack in packs.items()
    )
    results = LOSS_STRUCTURE_BYTES * n_structures + FORCE_LOSS_ATOM_BYTES * n_atoms
    optimiser = optimiser_bytes(method, networks.n_weights, packs["train"].empty.n_structures)
    return MemoryNeeds(
        program=resident_memory(),
        packed=sum(pack.nbytes for pack in packs.values()),
        forces=sum(one.nbytes for one in forces.values()),
        lists=sum(one.small_bytes for one in forces.values()),
        work=at_once * (evaluation + results + optimiser),
        temporary=max((one.temporary_bytes for one in forces.values()), default=0),
    )


@dataclass(frozen=True)
class Storage:
    """Where the data of a training go."""

    zeros: Zeros
    """What makes the large arrays."""
    needs: MemoryNeeds
    available: Available | None
    folder: str | None = None
    """That of the file; None: all is in memory."""
    note: str | None = None
    """Why it is in a file, if nobody asked for that."""


def storage_for(store: Store, needs: MemoryNeeds, *, share: int = 1, file: str | None = None) -> Storage:
    """Choose where data go, and reserve a file if they go there.

    Parameters
    ----------
    share
        So many trainings that run at the same time share the memory that is available.
    file
        Input file, for messages.

    Raises
    ------
    InputError
        if there is too little memory, or no room on a disk.
    """
    available = available_memory()
    on_disk = MemoryNeeds(**{**vars(needs), "on_disk": True})
    fits = available is None or needs.more <= FREE * available.n_bytes / share
    if store.place == MEMORY or (store.place == AUTO and fits):
        if not fits and available is not None:
            raise _too_little(
                needs, available, share, f"STORE {AUTO} or {DISK}, which keeps {_mb(needs.stored)} in a file", file
            )
        return Storage(aligned_zeros, needs, available)
    if available is not None:
        less = on_disk.more + (needs.stored if available.is_address_space else 0)
        if less > FREE * available.n_bytes / share:
            raise _too_little(
                on_disk, available, share, "fewer structures, copies or threads, or a smaller network", file
            )
    size = needs.stored + _ARRAYS * room(1)
    folder = store.folder or disk_folder(size)
    zeros = DiskArrays(folder, size).zeros
    note = None
    if store.place == AUTO and available is not None:
        note = (
            f"note: packed data and force maps, {_mb(needs.stored)}, are kept in a file in {folder} (STORE {AUTO}): "
            f"the training needs {_mb(needs.more)} more of memory, and {_left(available, share)}"
        )
    return Storage(zeros, on_disk, available, folder, note)


def _too_little(needs: MemoryNeeds, available: Available, share: int, expected: str, file: str | None) -> InputError:
    place = " with its data in a file" if needs.on_disk else ""
    return InputError(
        f"not enough memory: the training needs {_mb(needs.more)} more{place}, and {_left(available, share)}",
        file=file,
        expected=expected,
    )


def _left(available: Available, share: int) -> str:
    among = f" for {share} trainings at a time" if share > 1 else ""
    return f"{_mb(available.n_bytes)} are left{among} ({available.limit})"


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.0f} MB"
