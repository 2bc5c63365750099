"""`taylorfit setup`: setup and input files for a data set, and the reasons for them."""

from __future__ import annotations

import argparse
import os
import shlex
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from ..data.propose import propose
from ..data.setup import check_folder
from ..data.split import FEWEST, FRACTION, can_hold_back, hold_back
from ..data.survey import REACH, AtomicEnergyFit, Survey
from ..formats.structures.files import expand_patterns
from ..model.structure import Structure, species_in
from ..settings.reading import AS_THEY_ARE
from ..tools.tables import Table, print_table
from .sources import dropped_kinds, read_all, read_options


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Survey the structures, write the proposal; return the report."""
    directory = Path(arguments.output)
    paths = expand_patterns(arguments.structures)
    structures = read_all(paths, read_options(arguments), drop=dropped_kinds(arguments), require_energy=True)
    species = species_in(structures)
    check_folder(directory, species, overwrite=arguments.force)
    patterns = not all(os.path.lexists(text) for text in arguments.structures)
    setup = propose(structures, behler=arguments.behler, mode=arguments.mode, progress=True)
    files = arguments.structures if patterns else paths
    held_back, reading = list[str](), read_options(arguments)
    if can_hold_back(structures):
        files, held_back, written = hold_back(structures, directory, overwrite=arguments.force)
        reading = AS_THEY_ARE if written else reading
    setup = setup.replace(files=files, validation=held_back, reading=reading)
    evidence = setup.evidence
    assert evidence is not None  # of a proposal
    found, fit = evidence.survey, evidence.energy_fit
    n_forces = sum(structure.forces is not None for structure in structures)

    print(
        f"{len(structures)} structures, {sum(s.n_atoms for s in structures)} atoms, species {' '.join(species)}, "
        f"forces in {n_forces} structures"
    )
    print("\nData check")
    for line in evidence.check.lines():
        print(f"  {line}")
    _print_energies(fit, structures)
    _print_survey(found, len(structures))
    print("\nChoice")
    for reason in setup.reasons:
        print(f"  {reason}")
    print(f"  {setup.descriptors[0].basis} descriptor with {setup.descriptors[0].n_feature} values per atom")
    if setup.displacements is None:
        print(f"  no Taylor copies ({', '.join(evidence.skipped)}): generate.in has no DERIVATIVES")
    print(
        f"  {100 * FRACTION:g} % of the structures, drawn at random, are kept back for VALIDATION"
        if held_back
        else f"  no VALIDATION: that takes {FEWEST} structures, and forces"
    )

    targets = setup.save(directory, overwrite=arguments.force)
    print("\nWritten: " + " ".join(map(str, targets)))
    print("Next:")
    for line in ([f"cd {shlex.quote(str(directory))}"] if arguments.output not in (".", "") else []) + [
        "taylorfit generate generate.in" + (f" --drop {shlex.quote(arguments.drop)}" if arguments.drop else ""),
        "taylorfit train train.in --report train.json",
        "taylorfit predict predict.in",
        "taylorfit md md.in",
    ]:
        print(f"  {line}")
    return setup.to_dict() | {"files": [str(target) for target in targets]}


def _print_energies(fit: AtomicEnergyFit | None, structures: list[Structure]) -> None:
    print("\nAtomic reference energies (eV)")
    if fit is None:
        print("  only cohesive energies in the files, so none are needed: 0")
        return
    print(
        "  "
        + ", ".join(f"{symbol} {energy:.6f}" for symbol, energy in fit.energies.items())
        + f"; from {fit.n_structures} structures, the rest is {fit.rmse:.4f} eV/atom (RMS)"
        + (f"; {', '.join(fit.isolated)}: of isolated atoms in the data" if fit.isolated else "")
    )
    if fit.doubt is not None:
        print(
            f"  warning: {fit.doubt}.\n"
            "  For training any choice will do; for energies of formation put in those of free atoms."
        )
    if fit.n_structures < len(structures):
        print(
            f"  {len(structures) - fit.n_structures} structures state only a cohesive energy "
            "and are left out of the fit"
        )


def _print_survey(found: Survey, n_structures: int) -> None:
    sample = (
        "" if found.n_structures == n_structures else f" (every {round(n_structures / found.n_structures)}th structure)"
    )
    print(f"\nShortest distances{sample}, Å")
    for pair in combinations_with_replacement(found.species, 2):
        text = (
            f"{found.shortest[pair]:.4f}  in {found.where[pair]}"
            if pair in found.shortest
            else f"none within {REACH:g}"
        )
        print(f"  {'-'.join(pair):6s} {text}")
    shown = range(3, len(found.radii), 2)
    print("Neighbours, mean (largest) number within")
    rows = tuple(
        (symbol, *(f"{found.mean_neighbours[t, i]:.1f} ({found.most_neighbours[t, i]})" for i in shown))
        for t, symbol in enumerate(found.species)
    )
    print_table(Table(("", *(f"{found.radii[i]:.1f} Å" for i in shown)), rows, numeric=True), "  ")
