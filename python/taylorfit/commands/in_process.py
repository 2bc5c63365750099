"""Commands of taylorfit run one after the other in this process, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from os import PathLike


def run_command(argv: Sequence[str], output: str | PathLike[str] | None = None) -> int:
    """Run a command line of taylorfit and return its exit code; standard output goes to the file `output`, if named."""
    from .cli import main  # it imports the commands, some of which import this

    if output is None:
        return main(argv)
    with open(output, "w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        return main(argv)


@contextlib.contextmanager
def working_directory(directory: str | PathLike[str]) -> Iterator[None]:
    """Work in another directory for a while."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
