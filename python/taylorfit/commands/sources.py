"""Structures, and what is known of their curvature, as commands take them: files and patterns, or generate.in."""

from __future__ import annotations

import argparse
import math

from ..data.curvature import Curvature
from ..errors import InputError
from ..formats.recognise import FileKind, recognise
from ..formats.structures.files import expand_patterns, read_structures
from ..generation.copy_plan import find_curvature
from ..model.structure import Structure
from ..settings.displacements import TaylorOptions, read_curvature
from ..settings.generate import read_generate_input
from ..tools.progress import progress


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `structure_sources` reads."""
    parser.add_argument(
        "structures",
        nargs="+",
        metavar="STRUCTURES",
        help="structure files or patterns, or generate.in, which lists them",
    )
    parser.add_argument("--temperature", type=float, metavar="K", help="of the dynamics all structures come from")
    parser.add_argument("--potential", metavar="NN,NN", help="files of a first potential, e.g. O.nn,H.nn")
    parser.add_argument("--curvature", metavar="S:K,S:K", help="mean force constants in eV/Å², e.g. O:33.9,H:16.9")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 (default): all cores")


def structure_sources(arguments: argparse.Namespace) -> tuple[list[str], TaylorOptions]:
    """Return structure files, and what is known for the curvature: from the command line, else from generate.in.

    Raises
    ------
    InputError
        for a file that cannot be read, a pattern without files, or a curvature that cannot be used.
    """
    first = arguments.structures[0]
    paths, known = None, TaylorOptions()
    if len(arguments.structures) == 1 and _is_generate_input(first):
        settings = read_generate_input(first)
        paths = expand_patterns([(entry.path, entry.line) for entry in settings.files], listed_in=first)
        known = settings.derivatives or known
    temperature = arguments.temperature
    if temperature is not None and not 0.0 < temperature < math.inf:
        raise InputError("--temperature is not positive", value=temperature, expected="K > 0")
    given = temperature is not None or arguments.potential or arguments.curvature
    options = TaylorOptions(
        seed=known.seed,
        outfile=known.outfile or "data.taylor.train",
        temperature=temperature if given else known.temperature,
        potential=tuple(arguments.potential.split(",")) if arguments.potential else None if given else known.potential,
        curvature=read_curvature(arguments.curvature) if arguments.curvature else None if given else known.curvature,
    )
    return paths or expand_patterns(arguments.structures), options


def read_all(paths: list[str], **requirements: bool) -> list[Structure]:
    """Read structure files, with progress; `requirements` are those of `read_structures`."""
    structures: list[Structure] = []
    with progress("read", len(paths), "files") as update:
        for done, path in enumerate(paths, start=1):
            structures += read_structures(path, **requirements)
            update(done)
    return structures


def known_curvature(structures: list[Structure], options: TaylorOptions, threads: int) -> Curvature | None:
    """Mean force constants, or None if nothing tells them.

    Raises
    ------
    InputError
        if they were asked for and cannot be had.
    """
    is_asked = options.temperature is not None or options.potential is not None or options.curvature is not None
    try:
        return find_curvature(structures, options, threads)
    except InputError:
        if is_asked:
            raise
        return None


def _is_generate_input(path: str) -> bool:
    try:
        return recognise(path) is FileKind.GENERATE_INPUT
    except InputError:
        return False  # a pattern, or a selection of frames
