"""Long work in parts: short enough that Ctrl-C and progress stay alive, and that memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def runs(items: Iterable[Item], n_atoms: Callable[[Item], int], limit: int = 4096) -> Iterator[list[Item]]:
    """Cut into runs of about `limit` atoms, at least one item each.

    Parameters
    ----------
    n_atoms
        atoms of an item
    """
    run: list[Item] = []
    total = 0
    for item in items:
        run.append(item)
        total += n_atoms(item)
        if total >= limit:
            yield run
            run, total = [], 0
    if run:
        yield run
