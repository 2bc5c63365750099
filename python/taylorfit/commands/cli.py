"""The command line: parse → run → report; one line on stderr and exit code 2 for a user's error."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from types import ModuleType
from typing import NoReturn

from ..errors import DataWarning, InputError, TaylorfitError
from ..settings.document import suggestion
from ..tools.atomic_write import OVERWRITE, check_writable
from ..tools.environment import environment
from ..tools.interrupts import INTERRUPTED, QueueSignals
from ..tools.ranks import ALONE, Ranks, is_first_copy, launched_ranks

COMMANDS = {
    "generate": "write training sets: descriptors of structures and of Taylor-displaced copies",
    "train": "train ANN potentials on energies and forces: Taylor copies, directions, or exactly; committees",
    "scan": "trainings over a grid of settings, and one table of their errors",
    "predict": "energies, forces and stress from potentials, and errors against references",
    "md": "molecular dynamics: conservation of energy, distribution functions, stability of potentials",
    "plot": "figures for print: learning curves, parity, error distributions, direction maps, scans, MD",
    "report": "a page about a training: settings, errors, plots, warnings (HTML or Markdown)",
    "setup": "propose setup and input files for a set of structures",
    "suggest": "propose displacements of Taylor copies for a set of structures, and say why",
    "repel": "write structures with atoms pushed together, so that potentials keep atoms apart in MD",
    "learn": "from a few frames to a potential that holds: explore, label what is not known, train, and again",
    "label": "energies and forces of a reference for structures: any calculator of ASE, a command, a cluster",
    "select": "frames of a pool that are worth a calculation, by a committee and by descriptors; thins data sets",
    "lammps": "the pair style for LAMMPS: where it is, or compile it for a LAMMPS",
    "info": "what a training set, potential, setup, checkpoint or structure file holds",
    "convert": "convert training sets and potentials between binary and text, structures to XSF and back",
    "example": "copy a ready-to-run example",
}
"""Command → one line of help; `commands.NAME.run` runs it.
`commands.usage.NAME` says how it is called, and is all that ``--help`` needs."""


_WANT_OF_MEMORY = "failed to map segment|[Cc]annot allocate memory|can't start new thread"
"""What the dynamic linker and Python say."""


SHARED_OUT = ("generate", "train", "scan", "predict")
"""Commands whose work several ranks of MPI share."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Å in an ASCII or Latin-1 locale; names of files in no encoding
            stream.reconfigure(errors="backslashreplace")
    with QueueSignals() as signals:
        try:
            ranks = launched_ranks()
        except TaylorfitError as error:
            if is_first_copy():
                _complain(error, with_traceback=False)
            return error.exit_code
        if ranks.is_root:
            return signals.code(_main(argv, ranks))
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            return signals.code(_main(argv, ranks))


def _open_streams() -> None:
    """Give standard streams that were closed (``>&-``) a place.

    Else Python has none to print to, and the first file that is opened is where libraries write their messages.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def run_command(argv: Sequence[str], output: str | os.PathLike[str] | None = None) -> int:
    """Run a command line of taylorfit and return its exit code; standard output goes to the file `output`, if named."""
    if output is None:
        return main(argv)
    with open(output, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        return main(argv)


def _main(argv: Sequence[str] | None, ranks: Ranks) -> int:
    """Run a command; if it fails, say why and end all ranks."""
    argv = list(sys.argv[1:] if argv is None else argv)
    with_traceback = "--traceback" in argv
    try:
        return _run(argv, ranks)
    except TaylorfitError as error:
        code = error.exit_code
        _complain(error, with_traceback, ranks=ranks)
    except MemoryError as error:
        code = TaylorfitError.exit_code
        _complain(TaylorfitError("not enough memory for this data set"), with_traceback, error, ranks)
    except KeyboardInterrupt:
        code = INTERRUPTED
        if ranks.is_root:
            print("\ntaylorfit: interrupted", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output has gone, e.g. `| head`
        code = 1
        _discard_output()
    except OSError as error:
        code = TaylorfitError.exit_code
        _complain(
            TaylorfitError(f"{error.filename or 'output'}: {error.strerror or error}"), with_traceback, error, ranks
        )
    except Exception as error:
        if re.search(_WANT_OF_MEMORY, str(error)):
            code = TaylorfitError.exit_code
            _complain(TaylorfitError("not enough memory"), with_traceback, error, ranks)
        elif ranks.size == 1:
            raise
        else:
            import traceback

            code = 1
            traceback.print_exc()
    sys.stderr.flush()
    ranks.abort(code)
    return code


def _run(argv: Sequence[str], ranks: Ranks) -> int:
    """Run a command; return its exit code."""
    try:
        arguments = _parser(argv).parse_args(argv)
    except SystemExit:
        # After a help text.  Nobody may be there to read it, which Python would say at exit
        sys.stdout.flush()
        raise
    if getattr(arguments, "threads", None) is not None and arguments.threads < 0:
        raise InputError("--threads is negative", value=arguments.threads, expected="a number, 0 for all cores")
    if ranks.size > 1:
        _require_shareable(arguments.command, ranks)
    if arguments.report and ranks.is_root:
        check_writable(arguments.report)
    arguments.ranks = ranks
    with warnings.catch_warnings():
        # Commands print what verbs warn of
        warnings.simplefilter("ignore", DataWarning)
        report = _module(arguments.command).run(arguments)
    if arguments.report and ranks.is_root:
        from ..formats.report_file import write_report

        write_report(arguments.report, arguments.command, report)
    sys.stdout.flush()
    return int(report.get("exit_code", 0))


def _require_shareable(command: str, ranks: Ranks) -> None:
    """Refuse commands with nothing to share out, and processors whose engines differ in the last bits."""
    from ..engine import build_name

    if command not in SHARED_OUT:
        raise InputError(
            f"{command} has no work for several ranks",
            value=f"{ranks.size} ranks",
            expected="one process; ranks are for " + ", ".join(SHARED_OUT),
        )
    builds = set(ranks.gather(build_name()))
    if len(builds) > 1:
        raise TaylorfitError(
            f"the ranks use different builds of the engine ({', '.join(sorted(builds))}): set TAYLORFIT_CPU to the "
            "level of the oldest processor, 1 or 3"
        )


def _module(command: str) -> ModuleType:
    # NumPy has only small products to compute here, and threads of its BLAS would spin while those of the engine work
    one_thread = {} if "OPENBLAS_NUM_THREADS" in os.environ else {"OPENBLAS_NUM_THREADS": "1"}
    with environment(one_thread):
        return importlib.import_module(f".{command}", __package__)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Prints the version, which takes a while to find: only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"taylorfit {__version__}")
        parser.exit()


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        raise InputError("unknown command", value=command, expected=suggestion(command, COMMANDS))
    parser = _Parser(
        prog="taylorfit",
        description="Train ANN interatomic potentials on energies and forces (ænet-compatible).",
        epilog="Example: taylorfit example water-cluster demo && cd demo && taylorfit generate generate.in",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="taylorfit")
    for name, line in COMMANDS.items():
        if command not in (None, name):
            continue
        sub = subparsers.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter)
        # Only the command that runs is made, and its module imported: start-up stays short
        if name == command:
            usage = importlib.import_module(f".usage.{name}", __package__)
            sub.description, sub.epilog = usage.DESCRIPTION, usage.EPILOG
            usage.add_arguments(sub)
        sub.add_argument("--report", metavar="FILE.json", help="also write what is printed as JSON")
        sub.add_argument("--traceback", action="store_true", help="show where an error arose in the program")
    return parser


def _complain(
    error: TaylorfitError, with_traceback: bool, cause: BaseException | None = None, ranks: Ranks = ALONE
) -> None:
    if not ranks.is_root:
        # What all ranks find is said by the first, which ends the others
        import time

        time.sleep(1.0)
    if with_traceback:
        import traceback

        traceback.print_exception(cause or error)
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    # Verbs speak of their arguments, the command line of its options
    print(f"taylorfit: {str(error).replace(OVERWRITE, '--force')}", file=sys.stderr)


def _discard_output() -> None:
    """Forget what standard output still holds: Python would try to write it once more at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
