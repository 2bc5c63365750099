"""What computes reference energies and forces: arguments of `label`, REFERENCE and LABELLING in learn.in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .document import Document, Line
from .option import TEXT, Kind, Settings, option, quote, require

COMMAND, EXTERNAL = "command", "external"
"""First words of REFERENCE that are no calculator."""
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_WORDS = {"true": True, "false": False, "none": None}


def parse_value(text: str) -> Any:
    """Return the value of `key=value`: JSON (numbers, true, lists, …), True, False or None, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return _WORDS.get(text.lower(), text)


@dataclass(frozen=True)
class Reference(Settings):
    """What computes energies and forces: a calculator of ASE, a command, or somebody else.

    Raises
    ------
    InputError
        on construction, unless it is exactly one of them.
    """

    calculator: str = option("", TEXT, help="MODULE:CLASS, a calculator of ASE, e.g. tblite.ase:TBLite")
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the calculator."""
    command: str = option("", TEXT, help="command that reads {input} (extended XYZ) and writes {output} (any format)")
    external: bool = option(False, help="frames are written, and computed elsewhere")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("calculator", "command", "external") if getattr(self, name)]
        require(
            len(given) == 1,
            "calculator",
            "not one reference",
            " ".join(given) or "none",
            "a calculator MODULE:CLASS, a command, or external",
        )
        require(
            not self.calculator or _PATH.fullmatch(self.calculator) is not None,
            "calculator",
            "not a calculator",
            self.calculator,
            "MODULE:CLASS, e.g. ase.calculators.emt:EMT",
        )
        require(
            not self.command or ("{input}" in self.command and "{output}" in self.command),
            "command",
            "a command without {input} or {output}",
            self.command,
            'both, e.g. "run.sh {input} {output}"',
        )
        require(not self.options or bool(self.calculator), "options", "options without a calculator", given[-1])

    @property
    def text(self) -> str:
        """The reference as it stands behind REFERENCE."""
        if self.external:
            return EXTERNAL
        if self.command:
            return f"{COMMAND}={quote(self.command)}"
        values = ((key, v if isinstance(v, str) else json.dumps(v)) for key, v in sorted(self.options.items()))
        return " ".join([self.calculator, *(f"{key}={quote(value)}" for key, value in values)])


def _read(document: Document, line: Line) -> Reference:
    words = list(line.options())[1:]
    if [key for key, _ in words] == [COMMAND]:
        return Reference(command=words[0][1].text)
    if [(key, word.text) for key, word in words] == [("", EXTERNAL)]:
        return Reference(external=True)
    if not words or words[0][0]:
        line.fail("not a reference", line.text, f"MODULE:CLASS key=value …, {COMMAND}=…, or {EXTERNAL}")
    (_, first), *rest = words
    for key, word in rest:
        if not key:
            word.fail("not an option of the calculator", "key=value")
    return Reference(
        first.text,
        {key: word.text if word.quoted and word.text[:1] not in "[{" else parse_value(word.text) for key, word in rest},
    )


REFERENCE = Kind(
    "a calculator",
    write=lambda reference: reference.text,
    form="MODULE:CLASS key=value …, or command=…, or external",
    reader=_read,
)
"""The line ``REFERENCE tblite.ase:TBLite method=GFN1-xTB``."""


@dataclass(frozen=True)
class Labelling(Settings):
    """How frames are labelled, and which labels are set aside.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    processes: int = option(0, check="n ≥ 0", help="frames at a time, 0: one per core")
    reuse: bool = option(
        False,
        help="one calculator of each process for all its frames: faster where making one takes long, but labels may"
        " depend on the order of the frames, by as much as the reference converges",
    )
    max_force: float = option(
        25.0, unit="eV/Å", check="0 < x < ∞", help="labels with a larger force are unphysical and set aside"
    )
