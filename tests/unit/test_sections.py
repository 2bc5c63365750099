"""Sections of a data set, which mini-batches are cut into: the same sums for any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from pass_cases import Problem, residuals, rows_of
from taylorfit.training.optimisers.sections import blocks_of, n_sections, section_of


@pytest.mark.parametrize("n", (1, 2, 8))
def test_parts_of_a_mini_batch_are_the_whole_to_the_last_bit(n: int) -> None:
    large = Problem(n_structures=400)
    whole = large.terms()
    n_blocks = whole.block[-1] + 1
    section = section_of(whole.block, n_blocks, n)
    order = np.sort(np.random.default_rng(3).choice(400, 150))
    rows = rows_of(whole, order, section)
    expected = whole.batch(rows, 0, len(order), large.weights).total()
    r, derivative = residuals(whole, order, large.weights)
    np.testing.assert_allclose(expected, -r @ derivative, rtol=1e-9, atol=1e-12)
    for size in range(1, n + 1):
        parts = []
        for rank in range(size):
            blocks = blocks_of(range(n * rank // size, n * (rank + 1) // size), n_blocks, n)
            own = np.flatnonzero((whole.block >= blocks.start) & (whole.block < blocks.stop))
            first, last = np.searchsorted(order, [own[0], own[-1] + 1])
            here = np.array([order - own[0] + 1, rows[1], rows[2]])
            part = large.terms(large.pack(own), threads=1 + rank % 2)
            parts.append(part.batch(here, int(first), int(last - first), large.weights))
        for after in parts[1:]:
            parts[0] = parts[0].joined(after)
        np.testing.assert_array_equal(parts[0].total(), expected)


@pytest.mark.parametrize("n_blocks", (8, 13, 100))
def test_sections_are_runs_of_blocks(n_blocks: int) -> None:
    for n in (1, 2, 8):
        found = [np.array(blocks_of(range(s, s + 1), n_blocks, n)) for s in range(n)]
        np.testing.assert_array_equal(np.concatenate(found), np.arange(n_blocks))
        for s, blocks in enumerate(found):
            assert len(blocks) and (section_of(blocks, n_blocks, n) == s).all()
    # Never more than there are blocks, nor so many that products of matrices become small
    assert n_sections(50, 1000, 50_000, n_blocks) == min(16, 1 << (n_blocks.bit_length() - 1))
    assert n_sections(10**6, 1000, 3000, n_blocks) == min(16, 1 << (n_blocks.bit_length() - 1))
    assert n_sections(1, 1000, 50_000, n_blocks) == n_sections(1, 0, 0, n_blocks) == 1
