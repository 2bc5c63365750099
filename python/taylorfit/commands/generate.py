"""`taylorfit generate`: training sets from structures, with or without Taylor copies."""

from __future__ import annotations

import argparse
from typing import Any

from ..data.findings import DROPPABLE
from ..generation.files import generate_files
from ..reporting.generation_log import GenerationLog
from ..settings.generate import GenerateInput
from ..tools.atomic_write import atomic_write
from ..tools.locks import alone
from ..tools.ranks import Ranks
from .sources import dropped_kinds, read_options, threads_of


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Generate the training sets; return the report."""
    ranks: Ranks = arguments.ranks
    if not ranks.is_root:
        ranks.serve()
        return {}
    settings = GenerateInput.read(arguments.input)
    with alone(settings.output):
        made = generate_files(
            settings,
            arguments.input,
            threads=threads_of(arguments),
            overwrite=arguments.force,
            xsf_output=arguments.write_xsf,
            dropped=dropped_kinds(arguments, DROPPABLE),
            reading=read_options(arguments, settings),
            observer=GenerationLog(settings),
            ranks=ranks,
        )
    ranks.dismiss()
    if settings.timing:
        with atomic_write("generate.time") as stream:
            stream.write(
                f"# total time (s)  atoms  microseconds per atom\n{made.seconds:.3f} {made.counts.atoms} "
                f"{1e6 * made.seconds / made.counts.atoms:.3f}\n"
            )
    return made.to_dict()
