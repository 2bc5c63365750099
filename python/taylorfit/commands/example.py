"""`python -m taylorfit example`: copy an example that ships with taylorfit into a folder."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..examples import EXAMPLES, Example, copy_example
from ..examples.comparison import comparison_lines, run_example

DESCRIPTION = """\
Copy an example, structures and input files, into a folder and say what to run there.
With --run, run it as well and compare its trainings; input files that are in the folder
already are then used as they are, with your changes.

Example: python -m taylorfit example water-cluster demo --run

Keys of the report: example, directory, files (paths written), commands; with --run:
reports (input file without ending: report of that step); with --list: examples (list of
name, summary).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"which example: {', '.join(sorted(EXAMPLES))}")
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="folder to copy it to; made if missing")
    parser.add_argument(
        "--run", action="store_true", help="run it and print a table of errors; replaces earlier results"
    )
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
    there = directory.is_dir() and any(directory.iterdir())
    written = copy_example(arguments.name, directory, overwrite=arguments.force, keep=arguments.run)
    if arguments.run and there and not arguments.force:
        print(f"{directory}: input files that were there are used as they are, earlier results are replaced")
    if written:
        _print_files(directory, written)
    example = EXAMPLES[arguments.name]
    report = {
        "example": arguments.name,
        "directory": str(directory),
        "files": [str(path) for path in written],
        "commands": list(example.commands),
    }
    if arguments.run:
        return report | _run(example, directory)
    print("\nNext:")
    for command in (f"cd {shlex.quote(str(directory))}", *example.commands):
        print(f"  {command}")
    return report


def _run(example: Example, directory: Path) -> dict[str, Any]:
    """Run the example and print the comparison of its trainings; return reports and exit code."""
    outcome = run_example(example, directory)
    if outcome.exit_code == 0:
        trainings = {title: outcome.reports[Path(file).stem] for title, file in example.trainings}
        print()
        for line in comparison_lines(trainings):
            print(line)
        print(f"\nFiles in {directory.resolve()}:")
        for what, names in _files_of(example, outcome.reports).items():
            print(f"  {what:34s} {names}")
    return {"reports": outcome.reports, "exit_code": outcome.exit_code}


def _files_of(example: Example, reports: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What a reader may want to open, by title."""
    files = {
        f"potentials, {title}": " ".join(reports[Path(file).stem]["potentials"]) for title, file in example.trainings
    }
    return files | {
        "their last epochs": "the same with .last",
        "reports of all steps": " ".join(f"{name}.json" for name in reports),
        "predictions, every structure": "predict.out",
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
