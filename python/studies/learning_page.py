"""What the studies of `learn` share: options of their command lines, limits of judged runs, the page with results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from taylorfit.learning.explore import BEYOND
from taylorfit.learning.rounds import Round
from taylorfit.model.data_limits import DataLimits
from taylorfit.potential.potential import Potential
from taylorfit.settings.extrapolation import ExtrapolationPolicy
from taylorfit.tools.atomic_write import atomic_write


def parser(doc: str | None, full: str | None = None, *, output: str | None = None) -> argparse.ArgumentParser:
    """A parser with ``--output`` and, if it is said how long `full` takes, ``--quick`` and ``--full`` for `scale`."""
    found = argparse.ArgumentParser(description=_title(doc))
    found.add_argument("--output", type=Path, required=True, help=output)
    if full is not None:
        scale = found.add_mutually_exclusive_group()
        scale.add_argument(
            "--quick", action="store_const", dest="scale", const="quick", default="quick", help="minutes"
        )
        scale.add_argument("--full", action="store_const", dest="scale", const="full", help=full)
    return found


def limits_of_runs(members: Sequence[Potential], last: Round) -> ExtrapolationPolicy:
    """What ends runs of a committee: the deviation that ended those of a round, and distances in its data."""
    known = DataLimits.common([member.limits for member in members])
    return replace(BEYOND, max_force_std=last.high).of(len(members), known)


def write_page(file: Path, doc: str | None, lines: Iterable[str]) -> str:
    """Write the results of a study below the first line of its docstring; return them as text."""
    text = "\n".join(lines)
    with atomic_write(file) as stream:
        stream.write(f"# {_title(doc)}\n\n```\n{text}\n```\n")
    return text


def _title(doc: str | None) -> str:
    return (doc or "").splitlines()[0]
