"""STORE in train.in: where the data of a training are kept."""

from __future__ import annotations

from dataclasses import dataclass

from .option import FOLDER, Settings, one_of, option

AUTO, MEMORY, DISK = "auto", "memory", "disk"


@dataclass(frozen=True)
class Store(Settings):
    """Where packed descriptors and force maps are kept during a training; its result does not depend on it.

    Raises
    ------
    InputError
        on construction, for an unknown place.
    """

    place: str = option(
        AUTO,
        one_of(memory="in memory", disk="in a file", auto="in memory, or where that is not enough in a file"),
        bare=True,
        help="",
    )
    folder: str | None = option(
        None,
        FOLDER,
        shown="TMPDIR, /var/tmp or the current folder, the first that is a local disk with enough room",
        help="folder of the file, which has no name there and is gone with the process",
    )
