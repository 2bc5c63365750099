"""`python -m taylorfit repel`: structures with two atoms pushed together, for potentials that are to run MD."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..engine import available_threads
from ..errors import InputError
from ..formats.xsf import write_xsf
from ..progress import progress
from ..repulsion import RepulsionPlan, pushed_copies
from .sources import add_source_arguments, known_curvature, read_all, structure_sources

DESCRIPTION = """\
Write copies of structures in each of which two atoms are pushed together, with estimated energies (eV): first-order
Taylor expansion with the forces, mean force constants where they are known (--temperature, --curvature, --potential,
or pairs of near frames), and the universal repulsion of nuclei (Ziegler, Biersack, Littmark 1985) beyond first order.
A potential trained with them keeps atoms apart where the reference structures know nothing, so that MD does not
end in atoms falling into each other. The energies are rough: the files have small weights, which `train` heeds
(ænet does not), and no forces. List them in generate.in beside the structures; they serve every mode of training.
Extrapolation warnings then know the descriptors of the copies as training data, too.

Example: python -m taylorfit repel 'xsf/*.xsf' --output repulsive --temperature 400
         and in generate.in, under FILES: 2, xsf/*.xsf, repulsive/*.xsf

Keys of the report: structures and copies (numbers), folder, rise (5, 25, 50, 75, 95 % of the rises of the energy, eV),
smallest_weight, shortest_distances (pair → Å, of the copies).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    plan = RepulsionPlan()
    add_source_arguments(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="for the XSF files; must be new or empty")
    parser.add_argument("--copies", type=int, default=plan.copies, metavar="N",
                        help="copies of each structure (default: %(default)s)")
    parser.add_argument("--push", type=float, nargs=2, default=(plan.shortest_push, plan.longest_push), metavar="Å",
                        help="least and most by which a pair is shortened (default: %(default)s)")
    parser.add_argument("--highest", type=float, default=plan.highest, metavar="eV",
                        help="largest rise of the energy (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1000 * plan.tolerance, metavar="meV",
                        help="weights make the uncertainty of the copies' energies count like errors of so many meV/atom "
                             "(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=plan.seed, metavar="N", help="of the draws (default: %(default)s)")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the copies; return the report."""
    plan = RepulsionPlan(arguments.copies, *arguments.push, arguments.highest, arguments.tolerance / 1000, arguments.seed)
    folder = Path(arguments.output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("the folder for the copies is not empty", file=str(folder), expected="a new folder")
    paths, options = structure_sources(arguments)
    structures = read_all(paths)
    usable = [i for i, s in enumerate(structures) if s.energy is not None and s.forces is not None]
    if not usable:
        raise InputError("no structure has both energy and forces", expected="what Taylor copies need")
    curvature = known_curvature(structures, options, arguments.threads or available_threads())
    print(f"{len(structures)} structures, {len(usable)} with energies and forces; "
          + (f"mean force constants: {curvature.text}" if curvature else "mean force constants not known"))
    rises, weights, written = [], [], 0
    shortest: dict[str, float] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", file=str(folder)) from error
    with progress("push", len(usable)) as update:
        for done, index in enumerate(usable, start=1):
            parent = structures[index]
            for number, copy in enumerate(pushed_copies(parent, index, plan, curvature.constants if curvature else None), 1):
                rise = copy.energy - parent.energy
                pair, distance = _pushed_pair(parent.positions, copy)
                shortest[pair] = min(distance, shortest.get(pair, np.inf))
                write_xsf(folder / f"pushed-{index + 1:06d}-{number}.xsf", copy, [
                    f"{parent.name or 'structure'}: {pair} pushed to {distance:.3f} Å, energy estimated {rise:.3f} eV higher",
                    "by taylorfit repel; not a reference calculation"])
                rises.append(rise)
                weights.append(copy.weight)
                written += 1
            update(done)
    if not written:
        raise InputError("no pair could be pushed", expected="atoms within reach of each other, or a larger --highest")
    shares = np.percentile(rises, (5, 25, 50, 75, 95))
    print(f"{written} copies in {folder}\n"
          f"rise of the energy, eV: median {shares[2]:.2f}, 5 to 95 %: {shares[0]:.2f} to {shares[4]:.2f}; "
          f"weights {min(weights):.2g} to {max(weights):.2g}\n"
          "shortest distances, Å: " + ", ".join(f"{pair} {r:.2f}" for pair, r in sorted(shortest.items())))
    return {"structures": len(structures), "copies": written, "folder": str(folder), "rise": shares.tolist(),
            "smallest_weight": min(weights), "shortest_distances": shortest}


def _pushed_pair(before: np.ndarray, copy: Any) -> tuple[str, float]:
    """Species of the two atoms that moved, in order, and their distance in the copy, Å."""
    from ase.geometry import find_mic

    i, j = np.flatnonzero((copy.positions != before).any(axis=1))[:2]
    _, distance = find_mic((copy.positions[j] - copy.positions[i])[None], copy.cell, copy.pbc)
    return "-".join(sorted((copy.symbols[i], copy.symbols[j]))), float(distance[0])
