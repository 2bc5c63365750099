"""`taylorfit repel`: structures with two atoms pushed together, for potentials that are to run MD."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ..engine import available_threads
from ..errors import InputError
from ..formats.structures.xsf_folder import XsfFolder, check_xsf_directory
from ..generation.repel import can_be_pushed, pushed_copies
from ..settings.repulsion import RepulsionPlan
from ..tools.progress import progress
from .sources import dropped_kinds, known_curvature, read_all, read_options, structure_sources


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the copies; return the report."""
    least, most = arguments.push
    plan = RepulsionPlan(arguments.copies, least, most, arguments.highest, arguments.tolerance / 1000, arguments.seed)
    check_xsf_directory(arguments.output)
    paths, options = structure_sources(arguments)
    structures = read_all(paths, read_options(arguments), drop=dropped_kinds(arguments))
    usable = [index for index, structure in enumerate(structures) if can_be_pushed(structure)]
    if not usable:
        raise InputError(
            "no structure of two atoms or more has both energy and forces", expected="what Taylor copies need"
        )
    curvature = known_curvature(structures, options, arguments.threads or available_threads())
    print(
        f"{len(structures)} structures, {len(usable)} with energies and forces; "
        + (f"mean force constants: {curvature.text}" if curvature else "mean force constants not known")
    )
    rises, weights = [], []
    shortest: dict[str, float] = {}
    with XsfFolder(arguments.output) as folder, progress("push", len(usable)) as update:
        for done, index in enumerate(usable, start=1):
            parent = structures[index]
            copies = pushed_copies(parent, index, plan, curvature.constants if curvature else None)
            for number, copy in enumerate(copies, start=1):
                shortest[copy.pair] = min(copy.distance, shortest.get(copy.pair, np.inf))
                folder.add(
                    f"pushed-{index + 1:06d}-{number}.xsf",
                    copy.structure,
                    [
                        f"{parent.name or 'structure'}: {copy.pair} pushed to {copy.distance:.3f} Å, "
                        f"energy estimated {copy.rise:.3f} eV higher",
                        "by taylorfit repel; not a reference calculation",
                    ],
                )
                rises.append(copy.rise)
                weights.append(copy.structure.weight)
            update(done)
        if not rises:
            raise InputError(
                "no pair could be pushed",
                expected="atoms within reach of each other, a larger --highest, or a smaller --push",
            )
    shares = np.percentile(rises, (5, 25, 50, 75, 95))
    print(
        f"{len(rises)} copies in {arguments.output}\n"
        f"rise of the energy, eV: median {shares[2]:.2f}, 5 to 95 %: {shares[0]:.2f} to {shares[4]:.2f}; "
        f"weights {min(weights):.2g} to {max(weights):.2g}\n"
        "shortest distances, Å: " + ", ".join(f"{pair} {r:.2f}" for pair, r in sorted(shortest.items()))
    )
    return {
        "structures": len(structures),
        "copies": len(rises),
        "folder": arguments.output,
        "rise": shares.tolist(),
        "smallest_weight": min(weights),
        "shortest_distances": shortest,
    }
