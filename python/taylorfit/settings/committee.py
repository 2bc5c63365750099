"""COMMITTEE in train.in: how many networks are trained, where they go, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass

from . import blocks as block
from .keyword_file import Document, Located, Option, build, describe, require, require_one_of
from .words import Line, choice, integer, text

SPLITS = ("same", "own")


@dataclass(frozen=True)
class Committee:
    """Several networks trained alike, from different random weights.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    n: int = 1
    """Members; 1: an ordinary training."""
    folder: str = "committee"
    """Folder of the folders of the members, 01, 02, …"""
    split: str = "same"
    """`same`: all members have the same test structures; `own`: each draws its own, by which it is judged."""

    def __post_init__(self) -> None:
        require(self.n >= 1, "n", "COMMITTEE without members", self.n, "an integer ≥ 1")
        require_one_of("split", self.split, SPLITS)


OPTIONS = {
    "folder": Option("folder", text, "folder for the members, FOLDER/01/…, FOLDER/02/… (committee)"),
    "split": Option("split", choice(*SPLITS), "same: the same test structures for all; own: each draws its own (same)"),
}
"""Options of COMMITTEE, behind the number."""


def read_committee(document: Document, line: Line) -> Committee:
    """Read the line ``COMMITTEE 10 split=own``."""
    pairs = list(line.options())[1:]
    if not pairs or pairs[0][0]:
        line.fail("COMMITTEE without a number", expected="e.g. COMMITTEE 10")
    number = Located(integer(pairs[0][1]), line.number)
    return build(Committee, {"n": number, **block.read_options(pairs[1:], OPTIONS)}, document.file, line.number)


def format_committee(committee: Committee) -> str:
    """Return the line that `read_committee` reads."""
    words = [f"COMMITTEE {committee.n}"]
    for name in OPTIONS:
        if getattr(committee, name) != getattr(Committee, name):
            words.append(f"{name}={block.quote(getattr(committee, name))}")
    return " ".join(words)


def describe_committee() -> str:
    """Return help for the options of COMMITTEE."""
    return f"options of COMMITTEE, on its line:\n{describe(OPTIONS)}"
