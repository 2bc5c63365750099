"""`train.rngstate`: the state of gfortran's random numbers, with which ænet repeats a test set.

gfortran (7 or newer) draws by xoshiro256** (Blackman and Vigna).  The eight int32 words of
``random_seed(get=...)`` are the 256 bits of the state, the last word first, each 64-bit part
exclusive-or'ed with a constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from os import PathLike

from ...errors import InputError
from ...tools.atomic_write import atomic_write
from .records import RecordReader, RecordWriter

N_WORDS = 8
"""int32 words of gfortran's state."""

_KEYS = (0xBD0C5B6E50C2DF49, 0xD46061CD46E1DF38, 0xBB4F4D4ED6103544, 0x114A583D0756AD39)
_MASK = 0xFFFF_FFFF_FFFF_FFFF


def read_rngstate(path: str | PathLike[str]) -> tuple[int, ...]:
    """Return the eight int32 words of the state.

    Raises
    ------
    FormatError
        if the file is malformed, or of a gfortran older than 7 (which has 33 or 12 words).
    InputError
        if the file cannot be opened.
    """
    with RecordReader(path) as reader:
        at = reader.position
        n = reader.integer("number of words", 1)
        if n != N_WORDS:
            raise reader.error(
                "random state of another generator",
                at,
                value=f"{n} words",
                expected="the 8 words of gfortran 7 or newer",
            )
        words = tuple(reader.integers("random state", n).tolist())
        reader.end()
    return words


def write_rngstate(path: str | PathLike[str], words: Sequence[int], *, overwrite: bool = True) -> None:
    """Write eight int32 words, so that ænet draws the same test set.

    Raises
    ------
    InputError
        if they are not eight, or the file cannot be written.
    """
    if len(words) != N_WORDS:
        raise InputError("random state", value=f"{len(words)} words", expected=f"{N_WORDS}")
    with atomic_write(path, "wb", overwrite=overwrite) as stream:
        writer = RecordWriter(stream)
        writer.integers(N_WORDS)
        writer.integers(words)


def draw(words: Sequence[int]) -> Iterator[float]:
    """Yield the double-precision numbers in [0, 1) that ``random_number`` gives from this state on."""
    parts = [word & 0xFFFF_FFFF for word in reversed(words)]
    s0, s1, s2, s3 = ((low | high << 32) ^ key for low, high, key in zip(parts[0::2], parts[1::2], _KEYS))
    while True:
        yield ((_rotate((s1 * 5) & _MASK, 7) * 9 & _MASK) >> 11) * 2.0**-53
        shifted = (s1 << 17) & _MASK
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = _rotate(s3, 45)


def choose_test_set(words: Sequence[int], n_structures: int, test_percent: float) -> list[int]:
    """Return the structures (from 0, ascending) that ænet puts into the test set.

    It goes through the structures in file order and draws r for each: a test structure if
    r ≤ p/100, until one of the two sets is full; the rest goes into the other.
    """
    fraction = test_percent / 100.0
    n_train = math.ceil((1.0 - fraction) * n_structures)
    n_test = n_structures - n_train
    chosen: list[int] = []
    trained = 0
    for structure, r in enumerate(islice(draw(words), n_structures)):
        if len(chosen) == n_test:
            break
        if trained == n_train:
            return chosen + list(range(structure, n_structures))
        if r <= fraction:
            chosen.append(structure)
        else:
            trained += 1
    return chosen


def rngstate_test_set(path: str | PathLike[str], n_structures: int, test_percent: float) -> list[int]:
    """Return the test set (indices from 0) that `path` fixes; see `choose_test_set`.

    Parameters
    ----------
    n_structures
        Number of reference structures in file order, those above MAXENERGY left out.
    test_percent
        TESTPERCENT.

    Raises
    ------
    FormatError
        if the file is malformed.
    InputError
        if the file cannot be opened.
    """
    return choose_test_set(read_rngstate(path), n_structures, test_percent)


def _rotate(x: int, k: int) -> int:
    return ((x << k) | (x >> (64 - k))) & _MASK
