"""`taylorfit suggest`: a block DERIVATIVES for a data set, and the reasons for it."""

from __future__ import annotations

import argparse
from typing import Any

from ..generation.copy_plan import forecast_report, lengths
from ..generation.suggest import RULE_OF_THUMB, Alternative, suggest
from ..model.structure import species_in
from ..settings.keyword_file import format_options
from ..tools.tables import Table, print_table
from .sources import curvature_sources, dropped_kinds, read_all, read_options, structure_sources, threads_of


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Look at the structures, print the proposal; return the report."""
    paths, options = structure_sources(arguments)
    structures = read_all(paths, read_options(arguments), drop=dropped_kinds(arguments))
    species = species_in(structures)
    n_forces = sum(structure.forces is not None for structure in structures)
    print(
        f"{len(structures)} structures, {sum(s.n_atoms for s in structures)} atoms, species {' '.join(species)}, "
        f"forces in {n_forces} structures"
    )
    found = suggest(
        structures,
        mode=arguments.mode,
        outfile=options.outfile,
        threads=threads_of(arguments),
        progress=True,
        **curvature_sources(options),
    )
    shortest, curvature = found.shortest, found.curvature

    print(
        "Forces, eV/Å per component (rms) and largest norm: "
        + ", ".join(f"{symbol} {values['rms']:.3f} {values['largest']:.2f}" for symbol, values in found.forces.items())
    )
    print("Shortest distances, Å: " + ", ".join(f"{pair} {r:.3f}" for pair, r in shortest.items()))
    if shortest:
        low, high = (part * min(shortest.values()) for part in RULE_OF_THUMB)
        print(
            f"Rule of thumb, {100 * RULE_OF_THUMB[0]:g} to {100 * RULE_OF_THUMB[1]:g} % of the shortest bond: "
            f"{low:.3g} to {high:.3g} Å"
        )
    if curvature is not None:
        print(f"Mean force constants: {curvature.text}")
    if found.alternatives:
        print("\nErrors of the copies' energies")
        print_table(_alternatives(found.alternatives), "  ")
    print("\nChoice")
    for reason in found.reasons:
        print(f"  {reason}")
    print(f"\nDERIVATIVES\n{format_options(found.options)}")
    return found.to_dict()


def _alternatives(alternatives: tuple[Alternative, ...]) -> Table:
    """What else might be done; errors in meV/atom of the copies' energies."""
    rows = []
    for a in alternatives:
        shown = forecast_report(a.expected, a.left)
        errors = (f"{shown[key]:.3f}" for key in ("signal", "bias", "scatter"))
        rows.append((a.title, *errors, f"{shown['ratio']:.2f}", lengths(a.deltas)))
    columns = (f"{title}\nmeV/atom" for title in ("signal", "bias", "scatter"))
    return Table(
        ("displacements", *columns, "error/signal", "largest displacement"), tuple(rows), numeric=True, left=(0, -1)
    )
