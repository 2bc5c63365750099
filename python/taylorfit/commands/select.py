"""`taylorfit select`: frames of a pool that are worth a calculation."""

from __future__ import annotations

import argparse
from typing import Any

from ..formats.structures.extxyz import write_extxyz
from ..learning.references import bare
from ..learning.select import select
from ..tools.atomic_write import check_writable
from ..tools.tables import Table, print_table
from .sources import dropped_kinds, read_all, read_options

_SHOWN = 20


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Choose, write and print; return the report."""
    check_writable(arguments.output, arguments.force)
    options, drop = read_options(arguments), dropped_kinds(arguments)
    pool = read_all(arguments.structures, options, drop=drop)
    existing = read_all(arguments.existing, options, drop=drop) if arguments.existing else []
    found = select(
        pool,
        arguments.n,
        by=arguments.by,
        committee=arguments.committee,
        existing=existing,
        low=arguments.low,
        high=arguments.high,
        threads=arguments.threads,
        progress=True,
    )
    limits = f"; {found.n_known} known well enough, {found.n_beyond} beyond the limit" if arguments.committee else ""
    print(f"{len(found.structures)} of {len(pool)} frames chosen{limits}")
    report = found.to_dict() | {"output": None}
    if not found.structures:
        return report
    rows = [
        (str(one["place"] + 1), one["name"], *("" if one[key] is None else f"{one[key]:.3f}" for key in _COLUMNS))
        for one in report["chosen"]
    ]
    print_table(Table(("frame", "name", "deviation\neV/Å", "distance"), tuple(rows[:_SHOWN]), numeric=True, left=(1,)))
    if len(rows) > _SHOWN:
        print(f"and {len(rows) - _SHOWN} more")
    # What a potential says must not be taken for a reference
    frames = [bare(structure) if structure.predicted_by else structure for structure in found.structures]
    write_extxyz(arguments.output, frames, overwrite=arguments.force)
    print(f"written: {arguments.output}")
    return report | {"output": arguments.output}


_COLUMNS = ("deviation", "distance")
