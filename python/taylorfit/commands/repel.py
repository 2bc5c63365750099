"""`taylorfit repel`: structures with two atoms pushed together, for potentials that are to run MD."""

from __future__ import annotations

import argparse
from typing import Any

from ..formats.structures.xsf_folder import XsfFolder, check_xsf_directory
from ..generation.repel import repel
from .sources import curvature_sources, dropped_kinds, read_all, read_options, structure_sources, threads_of


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the copies; return the report."""
    check_xsf_directory(arguments.output)
    paths, options = structure_sources(arguments)
    structures = read_all(paths, read_options(arguments), drop=dropped_kinds(arguments))
    found = repel(
        structures,
        copies=arguments.copies,
        push=arguments.push,
        highest=arguments.highest,
        tolerance=arguments.tolerance / 1000,
        seed=arguments.seed,
        threads=threads_of(arguments),
        progress=True,
        **curvature_sources(options),
    )
    print(
        f"{found.n_structures} structures, {found.n_usable} with energies and forces; "
        + (f"mean force constants: {found.curvature.text}" if found.curvature else "mean force constants not known")
    )
    with XsfFolder(arguments.output) as folder:
        for copy in found.copies:
            folder.add(
                f"pushed-{copy.index + 1:06d}-{copy.number}.xsf",
                copy.structure,
                [
                    f"{copy.parent or 'structure'}: {copy.pair} pushed to {copy.distance:.3f} Å, "
                    f"energy estimated {copy.rise:.3f} eV higher",
                    "by taylorfit repel; not a reference calculation",
                ],
            )
    report = found.to_dict()
    rise, weights = report["rise"], [structure.weight for structure in found.structures]
    print(
        f"{len(found.copies)} copies in {arguments.output}\n"
        f"rise of the energy, eV: median {rise[2]:.2f}, 5 to 95 %: {rise[0]:.2f} to {rise[4]:.2f}; "
        f"weights {min(weights):.2g} to {max(weights):.2g}\n"
        "shortest distances, Å: " + ", ".join(f"{pair} {r:.2f}" for pair, r in sorted(found.shortest.items()))
    )
    return report | {"folder": arguments.output}
