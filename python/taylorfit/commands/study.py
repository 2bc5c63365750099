"""`python -m taylorfit study`: repeat a study of the paper with one command."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..errors import InputError, TaylorfitError
from ..plotting import require_matplotlib
from ..reporting.document import Document, Table, text_lines, write_document
from ..studies import STUDIES, find_study
from ..studies.study import Options, Study
from ..tools.atomic_write import check_writable
from ..tools.interrupts import INTERRUPTED
from .in_process import working_directory

RESULTS = "RESULTS.md"
"""In the folder of a study."""

DESCRIPTION = (
    """\
Repeat a study: copy its input files into a folder, run them, and write tables and figures,
the paper's numbers beside those here, to FOLDER/RESULTS.md.

"""
    + "\n".join(f"  {name:14s} {line}" for name, line in STUDIES.items())
    + """

Examples: python -m taylorfit study lj-dimer --full
          python -m taylorfit study lmnto --quick --data lmnto/train.tar.xz

--quick takes minutes on two cores, --full has the paper's size and ten seeds: hours to days, less with
--seeds 3. Input files in the folder stay as they are, so they may be edited; the same command goes on
after an interruption, and what is there by then is in RESULTS.md. Needs matplotlib: pip install "taylorfit[plot]"

Keys of the report: study, scale, folder, steps (list of name, exit code; null: left out), results (files written).
"""
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="which study: " + ", ".join(STUDIES))
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="where to work (study-NAME)")
    scale = parser.add_mutually_exclusive_group(required=True)
    scale.add_argument("--quick", dest="scale", action="store_const", const="quick", help="minutes on two cores")
    scale.add_argument("--full", dest="scale", action="store_const", const="full", help="the paper's size")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="structures: a folder or archive (.tar.xz) of XSF files, or a folder with train.tar.xz",
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="no more than the first N seeds")
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="threads; 0: all cores")
    parser.add_argument("--results-only", action="store_true", help="only write RESULTS.md from what is there")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what is not done yet, write the page; return the report."""
    study = find_study(arguments.name)
    if arguments.seeds is not None and arguments.seeds < 1:
        raise InputError("--seeds cannot be used", value=arguments.seeds, expected="at least 1")
    require_matplotlib()
    folder = arguments.folder or Path(f"study-{study.name}")
    data = None if arguments.data is None else arguments.data.resolve()
    written = study.copy_inputs(folder)
    if written:
        print(f"{folder}: input files {' '.join(path.name for path in written)}")
    check_writable(folder / RESULTS)
    options = Options(arguments.scale, arguments.threads, arguments.seeds)
    with working_directory(folder):
        if not arguments.results_only:
            study.place(data)
        steps, code = ([], 0) if arguments.results_only else _run_steps(study, options)
        files, document = _write_page(study, options, failed=code != 0)
    if document is not None:
        _print_tables(document)
        print(f"\n{folder / RESULTS} and {len(files) - 1} pictures")
    if code:
        again = shlex.join(["python", "-m", "taylorfit", "study", study.name, str(folder), f"--{arguments.scale}"])
        print(f"{'interrupted' if code == INTERRUPTED else 'a step has failed'}; {again} goes on from here")
    return {
        "study": study.name,
        "scale": arguments.scale,
        "folder": str(folder),
        "steps": steps,
        "results": [str(folder / file) for file in files],
        "exit_code": code,
    }


def _run_steps(study: Study, options: Options) -> tuple[list[dict[str, Any]], int]:
    """Run all steps up to the first that fails; return what ran, and the exit code."""
    planned = study.steps(options.scale)
    done: list[dict[str, Any]] = []
    for number, step in enumerate(planned, start=1):
        print(f"\n=== {number} of {len(planned)}: {step.name}", flush=True)
        code = step.run(options) if step.possible else None
        if code is None:
            print(f"left out: there is no {step.needs}")
        done.append({"name": step.name, "exit_code": code})
        if code:
            return done, code
    return done, 0


def _write_page(study: Study, options: Options, failed: bool) -> tuple[list[str], Document | None]:
    """Write the page from what there is; return the files and the page, none if a failed step left it impossible."""
    try:
        document = study.results(options.scale)
    except TaylorfitError as error:
        if not failed:
            raise
        print(f"no {RESULTS}: {error}")
        return [], None
    return write_document(RESULTS, document), document


def _print_tables(document: Document) -> None:
    """All tables of the page, for the screen."""
    for section in document.sections:
        for table in (block for block in section.blocks if isinstance(block, Table)):
            print(f"\n{section.title}")
            for line in text_lines(table):
                print(f"  {line}")
