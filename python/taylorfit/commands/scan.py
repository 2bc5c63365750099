"""`taylorfit scan`: trainings over a grid of settings, and one table of their errors."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ..analysis.scan_groups import SUMMARY, WITHOUT_VALIDATION
from ..errors import InputError, TaylorfitError
from ..reporting.scan_log import ScanLog, shown
from ..settings.scan import ScanInput
from ..settings.train import TrainInput
from ..tools.atomic_write import check_writable
from ..tools.interrupts import INTERRUPTED, stop_obeyed
from ..tools.locks import alone
from ..tools.progress import duration
from ..tools.ranks import Ranks
from ..tools.tables import Table, print_table
from ..training.scan import ChooseTest, run_scan
from .sources import threads_of
from .train import aenet_leftovers


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train what is not in the table yet; print and return the summary."""
    ranks: Ranks = arguments.ranks

    def read() -> tuple[ScanInput, ChooseTest | None]:
        scan = ScanInput.read(arguments.input)
        if arguments.seeds is not None:
            scan = first_seeds(scan, arguments.seeds)
        check_writable(scan.output)
        return scan, aenet_leftovers(TrainInput.read(scan.train).testpercent)

    scan, choose_test = ranks.from_root(read)
    threads = threads_of(arguments, scan.threads)
    with alone(scan.output, scan.folder) if ranks.is_root else nullcontext():
        result = run_scan(
            scan,
            arguments.input,
            threads,
            fresh=arguments.fresh,
            choose_test=choose_test,
            observer=ScanLog(),
            ranks=ranks,
        )
    if not ranks.is_root:
        return {}
    print()
    if result.summary:
        print_table(summary_table(result.summary))
    else:
        print("no results yet")
    if len(result.rows) + len(result.failed) < result.points:
        if not result.interrupted:
            stop_obeyed()
        print(
            f"{'interrupted' if result.interrupted else 'stopped'}: {len(result.rows)} of {result.points} trainings "
            "done; the same command goes on"
        )
    print(f"{result.output}: {len(result.table)} rows; {result.trained} trainings in {duration(result.seconds)}")
    code = INTERRUPTED if result.interrupted else TaylorfitError.exit_code if result.failed else 0
    return {**result.to_dict(), "exit_code": code}


def first_seeds(scan: ScanInput, n: int) -> ScanInput:
    """The scan with no more than the first `n` values of its axis seeds.

    Raises
    ------
    InputError
        if that is none, or the scan does not vary seeds.
    """
    if n < 1 or not scan.values_of("seeds"):
        raise InputError("--seeds cannot be used", value=n, expected="at least 1, and an axis seeds")
    return replace(
        scan,
        axes=tuple(
            replace(axis, values=axis.values[:n], words=axis.words[:n]) if axis.name == "seeds" else axis
            for axis in scan.axes
        ),
    )


def summary_table(summary: Sequence[Mapping[str, Any]]) -> Table:
    """The summary of at least one training as a table with units."""
    measures = [m for m in SUMMARY if any(m.column in entry for entry in summary)] or WITHOUT_VALIDATION
    names = [name for name in summary[0] if name not in {m.column for m in (*SUMMARY, *WITHOUT_VALIDATION)}]
    titles = (f"{m.narrow or m.title}, {m.unit.name}" for m in measures)
    return Table(
        (*(f"\n{name}" for name in names), *(word for title in titles for word in (f"{title}\nbest", "\nmedian"))),
        tuple(
            (
                *(str(entry[name] or "-") for name in names),
                *(shown(m, value) for m in measures for value in entry.get(m.column, (None, None))),
            )
            for entry in summary
        ),
        numeric=True,
    )
