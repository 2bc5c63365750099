"""Runs of atoms."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taylorfit.tools.chunks import runs


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100))
def test_runs_are_all_items_in_order_and_end_where_the_limit_is_reached(sizes: list[int], limit: int) -> None:
    parts = list(runs(sizes, lambda size: size, limit))
    assert [size for part in parts for size in part] == sizes
    for part in parts:
        assert part and sum(part[:-1]) < limit
    assert all(sum(part) >= limit for part in parts[:-1])
