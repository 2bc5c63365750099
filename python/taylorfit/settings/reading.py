"""How structure files are read where they leave it open: units, and the names of energies, forces and stresses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..model.units import SYSTEM_FORM, unit_system
from .document import Document, Line
from .option import TEXT, Kind, Settings, option, require


def _read_units(document: Document, line: Line) -> str:
    words = " ".join(word.text for word in line.behind_keyword())
    if not words:
        line.fail("UNITS without units", expected=SYSTEM_FORM)
    return words


def _checked(text: str | None) -> str | None:
    require(text is None or unit_system(text) is not None, "units", "unknown units", text, SYSTEM_FORM)
    return text


UNITS = Kind(SYSTEM_FORM, form="units", reader=_read_units)
"""An energy and a length, or the name of a system."""


@dataclass(frozen=True)
class ReadingOptions(Settings):
    """What a user says about files that leave it open.

    Raises
    ------
    InputError
        on construction, for unknown units.
    """

    units: str | None = option(
        None, UNITS, normalise=_checked, shown="none", help="of files that do not state theirs (n2p2's must have them)"
    )
    energy_key: str | None = option(None, TEXT, help="name of the energies, in files with those of several methods")
    forces_key: str | None = option(None, TEXT, help="name of the forces")
    stress_key: str | None = option(None, TEXT, help="name of the stresses or virials")

    @classmethod
    def of(cls, settings: Any) -> ReadingOptions:
        """What an input file with these keywords says."""
        return cls(settings.units, settings.energy_key, settings.forces_key, settings.stress_key)


READING_KINDS = ("unreadable", "unconverged")
"""Structures that can be left out instead of failing."""


def droppable(kinds: Collection[str], allowed: Collection[str] = READING_KINDS) -> list[str]:
    """Return the kinds as a list.

    Raises
    ------
    InputError
        for a kind that is not among `allowed`.
    """
    for kind in kinds:
        if kind not in allowed:
            raise InputError(
                "structures cannot be dropped for this", value=kind, expected="one of " + " ".join(allowed)
            )
    return list(kinds)


AS_THEY_ARE = ReadingOptions()
"""Nothing is said about the files."""


def reading_option(field: str) -> Any:
    """Declare an option of `ReadingOptions` as a field of an input file, where it is a keyword."""
    declared = ReadingOptions.__dataclass_fields__[field].metadata["option"]
    return option(None, **declared)
