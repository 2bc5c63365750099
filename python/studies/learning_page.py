"""What the studies of `learn` share: the options of their command lines, and the page with their results."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

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


def write_page(file: Path, doc: str | None, lines: Iterable[str]) -> str:
    """Write the results of a study below the first line of its docstring; return them as text."""
    text = "\n".join(lines)
    with atomic_write(file) as stream:
        stream.write(f"# {_title(doc)}\n\n```\n{text}\n```\n")
    return text


def _title(doc: str | None) -> str:
    return (doc or "").splitlines()[0]
