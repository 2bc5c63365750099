"""`python -m taylorfit example`: copy an example that ships with taylorfit into a folder."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..examples import EXAMPLES, copy_example

HELP = "copy an example, ready to run, into a folder"

DESCRIPTION = """\
Copy an example, structures and input files, into a folder and say what to run there.

Keys of the report: example, directory, files (paths written), commands; with --list:
examples (list of name, summary).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"which example: {', '.join(sorted(EXAMPLES))}")
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="folder to copy it to; made if missing")
    parser.add_argument("--list", action="store_true", help="list the examples and stop")
    parser.add_argument("--force", action="store_true", help="replace files of the example that are there already")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Copy the example, print what was written and what to run next; return the report."""
    if arguments.list:
        for name, example in sorted(EXAMPLES.items()):
            print(f"{name}  {example.summary}")
        return {"examples": [{"name": name, "summary": EXAMPLES[name].summary} for name in sorted(EXAMPLES)]}
    if arguments.name is None:
        raise InputError("no example named", expected=f"{' or '.join(sorted(EXAMPLES))}, and a folder")
    if arguments.directory is None:
        raise InputError("no folder named", expected=f"example {arguments.name} DIR")
    directory: Path = arguments.directory
    written = copy_example(arguments.name, directory, overwrite=arguments.force)
    commands = EXAMPLES[arguments.name].commands
    _print_files(directory, written)
    print("\nNext:")
    for command in (f"cd {shlex.quote(str(directory))}", *commands):
        print(f"  {command}")
    return {
        "example": arguments.name,
        "directory": str(directory),
        "files": [str(path) for path in written],
        "commands": list(commands),
    }


def _print_files(directory: Path, written: list[Path]) -> None:
    """Name the files in `directory`; folders of many only by their number of files."""
    print(f"Written to {directory}:")
    folders: dict[str, int] = {}
    for path in written:
        relative = path.relative_to(directory)
        if len(relative.parts) == 1:
            print(f"  {relative}")
        else:
            folders[relative.parts[0]] = folders.get(relative.parts[0], 0) + 1
    for folder, n_files in folders.items():
        print(f"  {folder}/  {n_files} structures")
