"""`python -m taylorfit suggest`: a block DERIVATIVES for a data set, and the reasons for it."""

from __future__ import annotations

import argparse
import math
from typing import Any

from ..copy_planning import find_curvature, forecast_report, lengths
from ..engine import available_threads
from ..errors import InputError
from ..formats.generate_input import read_generate_input
from ..formats.recognise import FileKind, recognise
from ..formats.structure_files import expand_patterns, read_structures
from ..formats.taylor_options import TaylorOptions, format_derivatives, read_curvature
from ..progress import progress
from ..structure import Structure
from ..suggestion import MODES, RULE_OF_THUMB, Alternative, force_statistics, suggest
from ..survey import survey
from ..taylor.curvature import Curvature

DESCRIPTION = """\
Propose displacements for Taylor copies of a set of structures with energies (eV) and forces (eV/Å): the largest
displacement of each species (Å), copies per structure and strategy; with the expected signal, bias and scatter of the
copies' energies (meV/atom) and the reasons. Nothing is written: copy the block DERIVATIVES into generate.in.

The size of the second order comes from mean force constants, by --curvature, --temperature (k = <F_x^2>/kT: all
structures from a dynamics at that temperature), --potential (a first potential), or pairs of near frames in the data.

Examples: python -m taylorfit suggest 'xsf/300*.xsf' --temperature 300
          python -m taylorfit suggest generate.in --mode taylor

Keys of the report: structures (number), forces (species → rms component and largest norm, eV/Å),
shortest_distances (pair → Å), curvature (species → eV/Å²) and curvature_source or null, mode, derivatives (the block),
fraction, strategy, delta (species → Å), reasons, alternatives (title, delta, forecast in meV/atom).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("structures", nargs="+", metavar="STRUCTURES",
                        help="structure files or patterns, or generate.in, which lists them")
    parser.add_argument("--mode", choices=tuple(MODES), default="centred",
                        help="training that the block is for, as in FORCES of train.in (default: %(default)s)")
    parser.add_argument("--temperature", type=float, metavar="K", help="of the dynamics all structures come from")
    parser.add_argument("--potential", metavar="NN,NN", help="files of a first potential, e.g. O.nn,H.nn")
    parser.add_argument("--curvature", metavar="S:K,S:K", help="mean force constants in eV/Å², e.g. O:33.9,H:16.9")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 (default): all cores")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at the structures, print the proposal; return the report."""
    paths, options = _sources(arguments)
    structures: list[Structure] = []
    with progress("read", len(paths), "files") as update:
        for done, path in enumerate(paths, start=1):
            structures += read_structures(path)
            update(done)
    species = tuple(sorted({symbol for structure in structures for symbol in structure.symbols}))
    n_forces = sum(structure.forces is not None for structure in structures)
    print(f"{len(structures)} structures, {sum(s.n_atoms for s in structures)} atoms, species {' '.join(species)}, "
          f"forces in {n_forces} structures")
    with progress("survey", len(structures)) as update:
        shortest = {"-".join(pair): r for pair, r in survey(structures, species, update).shortest.items()}
    forces = force_statistics(structures)
    curvature = _curvature(structures, options, arguments.threads or available_threads())
    found = suggest(structures, curvature, shortest, arguments.mode, options.outfile)

    print("Forces, eV/Å per component (rms) and largest norm: "
          + ", ".join(f"{symbol} {values['rms']:.3f} {values['largest']:.2f}" for symbol, values in forces.items()))
    print("Shortest distances, Å: " + ", ".join(f"{pair} {r:.3f}" for pair, r in shortest.items()))
    if shortest:
        low, high = (part * min(shortest.values()) for part in RULE_OF_THUMB)
        print(f"Rule of thumb, {100 * RULE_OF_THUMB[0]:g} to {100 * RULE_OF_THUMB[1]:g} % of the shortest bond: "
              f"{low:.3g} to {high:.3g} Å")
    if curvature is not None:
        print(f"Mean force constants: {curvature.text}")
    _print_alternatives(found.alternatives)
    print("\nChoice")
    for reason in found.reasons:
        print(f"  {reason}")
    block = format_derivatives(found.options)
    print(f"\nDERIVATIVES\n{block}")
    deltas = {symbol: found.options.delta_of(symbol) for symbol in species}
    return {
        "structures": len(structures), "forces": forces, "shortest_distances": shortest,
        "curvature": None if curvature is None else dict(curvature.constants),
        "curvature_source": None if curvature is None else curvature.source, "mode": arguments.mode,
        "derivatives": block, "fraction": found.options.fraction, "strategy": found.options.strategy,
        "delta": deltas, "reasons": list(found.reasons),
        "alternatives": [{"title": a.title, "delta": a.deltas, "forecast": forecast_report(a.expected, a.left)}
                         for a in found.alternatives],
    }


def _sources(arguments: argparse.Namespace) -> tuple[list[str], TaylorOptions]:
    """Structure files, and what is known for the curvature: from the command line, else from generate.in."""
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
        seed=known.seed, outfile=known.outfile or "data.taylor.train",
        temperature=temperature if given else known.temperature,
        potential=tuple(arguments.potential.split(",")) if arguments.potential else None if given else known.potential,
        curvature=read_curvature(arguments.curvature) if arguments.curvature else None if given else known.curvature,
    )
    return paths or expand_patterns(arguments.structures), options


def _is_generate_input(path: str) -> bool:
    try:
        return recognise(path) is FileKind.GENERATE_INPUT
    except InputError:
        return False  # a pattern, or a selection of frames


def _curvature(structures: list[Structure], options: TaylorOptions, threads: int) -> Curvature | None:
    """Mean force constants, or None if nothing tells them."""
    is_asked = options.temperature is not None or options.potential is not None or options.curvature is not None
    try:
        return find_curvature(structures, options, threads)
    except InputError:
        if is_asked:
            raise
        return None


def _print_alternatives(alternatives: tuple[Alternative, ...]) -> None:
    if not alternatives:
        return
    print("\nDisplacements                         signal      bias   scatter  error/signal   largest displacement\n"
          "                                           meV/atom of the copies' energies")
    for a in alternatives:
        shown = forecast_report(a.expected, a.left)
        print(f"  {a.title:34s} {shown['signal']:7.3f} {shown['bias']:9.3f} {shown['scatter']:9.3f} "
              f"{shown['ratio']:13.2f}   {lengths(a.deltas)}")
