"""Sums over blocks in the order of a fixed tree: any way to share them out gives the same bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taylorfit.engine import PartialSums


def leaf(number: int, value: np.ndarray) -> PartialSums:
    """The partial sums of one leaf."""
    return PartialSums(np.array([[number, 0]], dtype=np.int64), value[None].copy())


def of_range(values: np.ndarray, first: int, last: int) -> PartialSums:
    """The leaves first … last - 1, one after the other."""
    found = PartialSums(np.zeros((0, 2), dtype=np.int64), np.zeros((0, values.shape[1])))
    for k in range(first, last):
        found = found.joined(leaf(k, values[k]))
    return found


def tree(values: np.ndarray) -> np.ndarray:
    """The definition: two halves, the left one a power of two."""
    if len(values) == 1:
        return values[0]
    half = 1 << (len(values) - 1).bit_length() - 1
    return tree(values[:half]) + tree(values[half:])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_any_split_gives_the_bits_of_the_tree(n: int, data: st.DataObject) -> None:
    values = np.random.default_rng(n).normal(size=(n, 3)) * 10.0 ** np.random.default_rng(n + 1).integers(-8, 8, (n, 3))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    parts = [of_range(values, a, b) for a, b in pairwise([0, *cuts, n])]
    # Neighbours are joined in any order
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [parts[at].joined(parts[at + 1])]
    assert np.array_equal(parts[0].total(), tree(values))


@pytest.mark.parametrize("first", [0, 3, 8])
def test_leaves_at_once_are_those_one_after_the_other(first: int) -> None:
    values = np.random.default_rng(first).normal(size=(21, 2))
    at_once = PartialSums.of_leaves(first, values[first:].copy())
    one_by_one = of_range(values, first, 21)
    assert np.array_equal(at_once.nodes, one_by_one.nodes) and np.array_equal(at_once.sums, one_by_one.sums)


@pytest.mark.parametrize("n", [1, 5, 64, 1000])
def test_a_range_is_few_nodes(n: int) -> None:
    values = np.ones((n + 3, 1))
    part = of_range(values, 3, n + 3)
    assert len(part.nodes) <= 2 * n.bit_length()
    assert part.nodes[0, 0] == 3
    assert (part.sums[:, 0] == 2.0 ** part.nodes[:, 1]).all() and part.sums.sum() == n


def test_no_leaves_sum_to_zero() -> None:
    assert np.array_equal(of_range(np.zeros((0, 2)), 0, 0).total(), np.zeros(2))
