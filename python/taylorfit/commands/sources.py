"""Structures, and what is known of their curvature, as commands take them: files and patterns, or generate.in."""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..formats.structures.files import Entry, expand_patterns, read_files
from ..model.structure import Structure
from ..settings.reading import AS_THEY_ARE, READING_KINDS, ReadingOptions, droppable
from ..tools.progress import progress

if TYPE_CHECKING:
    from ..settings.displacements import TaylorOptions
    from ..settings.generate import GenerateInput
    from ..settings.predict import PredictInput


def structure_sources(arguments: argparse.Namespace) -> tuple[list[str], TaylorOptions]:
    """Return structure files, and what is known for the curvature: from the command line, else from generate.in.

    Raises
    ------
    InputError
        for a file that cannot be read, a pattern without files, or a curvature that cannot be used.
    """
    from ..settings.displacements import TaylorOptions, read_curvature
    from ..settings.generate import GenerateInput

    first = arguments.structures[0]
    paths, known = None, TaylorOptions()
    if len(arguments.structures) == 1 and _is_generate_input(first):
        settings = GenerateInput.read(first)
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


def dropped_kinds(arguments: argparse.Namespace, allowed: Collection[str] = READING_KINDS) -> list[str]:
    """Return what `--drop` names.

    Raises
    ------
    InputError
        for a kind that is not among `allowed`.
    """
    return droppable(arguments.drop.replace(",", " ").split(), allowed)


def read_options(arguments: argparse.Namespace, settings: GenerateInput | PredictInput | None = None) -> ReadingOptions:
    """Return what the command line, else the input file, says about files that leave it open."""
    names = ("units", "energy_key", "forces_key", "stress_key")
    given = {name: getattr(arguments, name) or getattr(settings, name, None) for name in names}
    return ReadingOptions(**given)


def read_all(
    files: Sequence[Entry],
    options: ReadingOptions = AS_THEY_ARE,
    *,
    drop: Collection[str] = (),
    listed_in: str | None = None,
    require_energy: bool = False,
) -> list[Structure]:
    """Read structure files, with progress; print what there is to say about them."""
    return read_files(
        list(files),  # a tuple would be one path and its line
        options,
        drop=drop,
        listed_in=listed_in,
        require_energy=require_energy,
        tell=lambda note: print(f"note: {note}"),
        show=progress,
    )


def threads_of(arguments: argparse.Namespace, keyword: int = 0) -> int:
    """Return how many threads are asked for, on the command line or by the keyword of an input file; else all."""
    from ..engine import available_threads

    wanted = keyword if arguments.threads is None else arguments.threads
    return int(wanted or arguments.ranks.threads(available_threads()))


def curvature_sources(options: TaylorOptions) -> dict[str, Any]:
    """What tells mean force constants, as arguments of `suggest` and `repel`."""
    names = ("curvature", "temperature", "potential")
    return {name: getattr(options, name) for name in names}


def _is_generate_input(path: str) -> bool:
    from ..formats.recognise import FileKind, recognise

    try:
        return recognise(path) is FileKind.GENERATE_INPUT
    except InputError:
        return False  # a pattern, or a selection of frames
