"""`taylorfit learn`: from a few frames to a potential that holds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..learning.learn import ROUNDS, WAITING, Learned, LearnObserver, run_learning
from ..learning.rounds import Round
from ..reporting.learning_log import HEADER, round_line
from ..settings.learn import LearnInput
from ..tools.interrupts import stop_obeyed, stop_requested
from ..tools.locks import alone
from ..tools.progress import progress
from .label import WAITING as WAITING_CODE
from .sources import read_all

FIGURE = "rounds.png"


class _Shown(LearnObserver):
    """Prints a line for each round; the file STOP ends learning after one."""

    def stage(self, number: int, name: str, total: int, unit: str) -> AbstractContextManager[Callable[..., None]]:
        """Show how far a stage is."""
        return progress(f"round {number}: {name}", total, unit)

    def ended(self, found: Round) -> bool:
        """Print the line."""
        print(round_line(found), flush=True)
        stops = stop_requested()
        if stops:
            stop_obeyed()
        return stops


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Learn, print the rounds and the statement, and return the report."""
    settings = LearnInput.read(arguments.input)
    if arguments.threads is not None:
        settings = replace(settings, threads=arguments.threads)
    start = read_all(settings.start, listed_in=arguments.input)
    print(f"{len(start)} frames to start from; reference: {settings.reference.text}\n\n{HEADER}", flush=True)
    with alone(settings.folder):
        found = run_learning(settings, start, _Shown())
    if found.status == WAITING:
        print(f"{len(found.waiting)} frames wait in {found.folder / 'frames'}: run this again when results are there")
        return found.to_dict() | {"exit_code": WAITING_CODE}
    print("", *found.statement, f"written: {found.folder}", sep="\n")
    _draw(found)
    return found.to_dict()


def _draw(found: Learned) -> None:
    if find_spec("matplotlib") is None:
        print(f"no figure of {ROUNDS}: matplotlib is not installed")
        return
    from ..plotting.learning import learning

    learning(found.rounds).savefig(found.folder / FIGURE, dpi=150)
