"""Beside the members of a committee: what they remember of their data (`DataLimits`), one number a line."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from ..errors import FormatError
from ..model.data_limits import DataLimits
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import explained
from ..tools.plain_text import fortran_number

NAME = "data.limits"
"""In the folder of the members' folders."""
_DEVIATION, _DISTANCE = "force deviation, eV/A", "shortest distance {}, A"
_LINE = re.compile(r"(?:(?P<deviation>force deviation, eV/A)|shortest distance (?P<pair>\w+-\w+), A): *(?P<value>\S+)")


def write_data_limits(folder: str | PathLike[str], limits: DataLimits) -> None:
    """Write what the committee in a folder remembers; nothing: remove what an earlier one did.

    Raises
    ------
    InputError
        if it cannot be written.
    """
    path = Path(folder) / NAME
    lines = [] if limits.force_std is None else [f"{_DEVIATION}: {limits.force_std:g}"]
    lines += [f"{_DISTANCE.format(pair)}: {length:.4g}" for pair, length in sorted(limits.shortest.items())]
    if not lines:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as stream:
        stream.write("\n".join(lines) + "\n")


def read_data_limits(folder: str | PathLike[str]) -> DataLimits | None:
    """Return what the committee in a folder remembers; None if there is no such file.

    Raises
    ------
    FormatError
        if the file is damaged.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return None
    with explained("cannot be read", path):
        text = path.read_bytes()[:100_000].decode("utf-8", "replace")
    deviation, shortest = None, {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line.strip())
        value = fortran_number(match["value"]) if match is not None else None
        if match is None or value is None or not 0.0 < value < float("inf"):
            raise FormatError(
                "is damaged",
                file=path,
                line=number,
                value=line[:40],
                expected="a line as train writes it, or no such file",
            )
        if match["pair"]:
            shortest[match["pair"]] = value
        else:
            deviation = value
    return DataLimits(deviation, shortest)
