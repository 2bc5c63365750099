"""COMMITTEE in train.in: how many networks are trained, where they go, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass

from .option import TEXT, Settings, one_of, option


@dataclass(frozen=True)
class Committee(Settings):
    """Several networks trained alike, from different random weights.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    n: int = option(1, bare=True, check="n ≥ 1", message="COMMITTEE without members", help="networks to train")
    folder: str = option("committee", TEXT, help="folder of the members, FOLDER/01/…, FOLDER/02/…")
    split: str = option("same", one_of(same="the same for all", own="each draws its own"), help="test structures")
