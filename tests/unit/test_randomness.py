"""Streams of random numbers: which are apart, and that seeds keep giving what they gave."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from taylorfit.tools.randomness import Stream


def first(generator: np.random.Generator) -> int:
    return int(generator.integers(1 << 62))


def test_no_stream_of_a_seed_begins_with_another() -> None:
    assert len(Stream.__members__) == len(set(Stream))  # no two names of the same value
    for one, other in permutations(Stream, 2):
        if one.value[0] == other.value[0]:
            assert one.value[1] is not None and one.value[1] != other.value[1], (one, other)


def test_streams_and_places_give_different_numbers() -> None:
    seen = {first(stream.generator(5, place)) for stream in Stream if stream.value[0] == "train" for place in range(9)}
    assert len(seen) == 5 * 9


@pytest.mark.parametrize(
    ("stream", "place", "words"),
    [
        (Stream.TEST_SET, (3,), [7, 1, 3]),
        (Stream.WEIGHTS, (0,), [7, 2, 0]),
        (Stream.RANDOM, (4, 1), [7, 2, 4, 1]),
        (Stream.VELOCITIES, (), 7),
        (Stream.PUSHES, (2,), [7, 2]),
    ],
)
def test_seeds_give_what_they_gave(stream: Stream, place: tuple[int, ...], words: int | list[int]) -> None:
    assert first(stream.generator(7, *place)) == first(np.random.default_rng(words))
