"""How many copies: what all strategies do alike with copies per structure, `N_max` and `seed`."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InputError


def check_amounts(per_structure: float, max_copies: int | None, seed: int) -> None:
    """Refuse impossible values.

    Raises
    ------
    InputError
        naming the value.
    """
    if not (math.isfinite(per_structure) and per_structure > 0.0):
        raise InputError("number of copies cannot be used", value=per_structure, expected="copies per structure, > 0")
    if max_copies is not None and max_copies < 0:
        raise InputError("N_max cannot be used", value=max_copies, expected="an integer >= 0")
    if seed < 0:
        raise InputError("seed cannot be used", value=seed, expected="an integer >= 0")


def wanted(per_structure: float, n_eligible: int) -> int:
    """Return the number of copies that are asked for, rounded half up."""
    return math.floor(per_structure * n_eligible + 0.5)


def capped(n_copies: int, max_copies: int | None) -> int:
    """Return `n_copies`, or `max_copies` if that is less."""
    return n_copies if max_copies is None else min(n_copies, max_copies)


def shared_out(
    eligible: np.ndarray, per_structure: float, max_copies: int | None, rng: np.random.Generator, per_set: int = 1
) -> tuple[np.ndarray, int]:
    """Share sets of `per_set` copies out among the structures that can have copies.

    All get ⌊a/per_set⌋ sets and a random subset of them one more; N_max lowers a for all of them alike.

    Parameters
    ----------
    eligible
        (n_structure,) bool

    Returns
    -------
    tuple
        (n_structure,) int64 number of copies of each structure, and the copies that are asked for.
    """
    chosen = np.flatnonzero(eligible)
    n_wanted = wanted(per_structure, len(chosen))
    n_sets = np.zeros(len(eligible), dtype=np.int64)
    if len(chosen):
        each, rest = divmod(capped(n_wanted + per_set - 1, max_copies) // per_set, len(chosen))
        n_sets[chosen] = each
        n_sets[rng.permutation(chosen)[:rest]] += 1
    return per_set * n_sets, n_wanted
