"""`taylorfit setup`: setup and input files for a data set, and the reasons for them."""

from __future__ import annotations

import argparse
import os
import shlex
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from ..data.check import check
from ..data.propose import Choice, choose, propose_setups
from ..data.survey import COINCIDING, REACH, AtomicEnergyFit, Survey, fit_atomic_energies, survey
from ..errors import InputError
from ..formats.aenet.setup_file import write_setup
from ..formats.structures.files import expand_patterns
from ..model.structure import Structure
from ..settings.document import FileEntry
from ..settings.forces import ForceMode
from ..settings.generate import GenerateInput, TaylorOptions, write_generate_input
from ..settings.train import NetworkSpec, TrainInput, write_train_input
from ..taylor.selection import count_skipped, select_all
from ..tools.atomic_write import check_writable
from ..tools.progress import progress
from ..tools.tables import Table, print_table
from .sources import read_all

HIDDEN = ((15, "tanh"), (15, "tanh"))
ITERATIONS, PATIENCE = 1000, 0
FRACTION = 16.0
"""Taylor copies per structure (aenet-python's default)."""

DESCRIPTION = """\
Propose, for a set of structures with energies (eV) and perhaps forces (eV/Å): a descriptor
setup for each species, atomic reference energies (least squares over the compositions),
generate.in (with Taylor copies if there are forces) and train.in; and show the distances
and neighbours behind the choice. The files are a start, meant to be edited.

Example: taylorfit setup 'xsf/*.xsf' --output fit
         cd fit && taylorfit generate generate.in && taylorfit train train.in

Keys of the report: species, structures (number), atomic_energies (eV), atomic_energy_rank
(independent compositions), atomic_energy_rmse (eV/atom), shortest_distances (pair → Å),
neighbours (species → mean number within radii), radii (Å), radial_cutoff, angular_cutoff,
r_min, delta (Å), reasons, files (written).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("structures", nargs="+", metavar="STRUCTURES", help="structure files or patterns")
    parser.add_argument("--output", default=".", metavar="DIR", help="folder to write into (default: here)")
    parser.add_argument("--behler", action="store_true", help="symmetry functions G2 and G4 instead of Chebyshev")
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Survey the structures, write the proposal; return the report."""
    directory = Path(arguments.output)
    paths = expand_patterns(arguments.structures)
    structures = read_all(paths, require_energy=True)
    species = tuple(sorted({symbol for structure in structures for symbol in structure.symbols}))
    targets = [directory / name for name in (*(f"{s}.fingerprint.stp" for s in species), "generate.in", "train.in")]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be used as folder ({error.strerror})", file=directory) from None
    for target in targets:
        check_writable(target, overwrite=arguments.force)

    with progress("survey", len(structures)) as update:
        found = survey(structures, species, update)
    nearest = min(found.shortest, key=found.shortest.__getitem__, default=None)
    if nearest is not None and found.shortest[nearest] < COINCIDING:
        raise InputError(
            f"atoms {'-'.join(nearest)} all but coincide",
            file=found.where[nearest],
            value=f"{found.shortest[nearest]:.4g} Å",
            expected=f"more than {COINCIDING:g} Å",
        )
    fit = fit_atomic_energies(structures, species)
    choice = choose(found)
    setups = propose_setups(found, choice, arguments.behler)
    energies = dict.fromkeys(species, 0.0) if fit is None else fit.energies
    n_forces = sum(structure.forces is not None for structure in structures)
    selections = select_all(structures)
    with_copies = any(selection.reason is None for selection in selections)

    print(
        f"{len(structures)} structures, {sum(s.n_atoms for s in structures)} atoms, species {' '.join(species)}, "
        f"forces in {n_forces} structures"
    )
    _print_check(structures, energies)
    _print_energies(fit, structures)
    _print_survey(found, len(structures))
    print("\nChoice")
    for reason in choice.reasons:
        print(f"  {reason}")
    print(f"  {setups[0].basis} descriptor with {setups[0].n_feature} values per atom")
    if not with_copies:
        why = ", ".join(reason.value for reason in count_skipped(selections))
        print(f"  no Taylor copies ({why}): generate.in has no DERIVATIVES")

    for target, setup in zip(targets, setups):
        write_setup(target, setup, overwrite=arguments.force)
    entries = _entries(arguments.structures, paths, directory)
    write_generate_input(targets[-2], _generate(species, energies, entries, choice if with_copies else None))
    write_train_input(targets[-1], _train(species, with_copies))
    print("\nWritten: " + " ".join(map(str, targets)))
    print("Next:")
    for line in ([f"cd {shlex.quote(str(directory))}"] if arguments.output not in (".", "") else []) + [
        "taylorfit generate generate.in",
        "taylorfit train train.in",
    ]:
        print(f"  {line}")
    return {
        "species": list(species),
        "structures": len(structures),
        "atomic_energies": energies,
        "atomic_energy_rank": fit.rank if fit else 0,
        "atomic_energy_rmse": fit.rmse if fit else None,
        "shortest_distances": {"-".join(pair): r for pair, r in found.shortest.items()},
        "radii": found.radii,
        "neighbours": dict(zip(species, found.mean_neighbours)),
        "radial_cutoff": choice.radial_cutoff,
        "angular_cutoff": choice.angular_cutoff,
        "r_min": choice.r_min,
        "delta": choice.delta if with_copies else None,
        "reasons": list(choice.reasons),
        "files": [str(t) for t in targets],
    }


def _print_check(structures: list[Structure], energies: dict[str, float]) -> None:
    print("\nData check")
    for line in check(structures, energies).lines():
        print(f"  {line}")


def _print_energies(fit: AtomicEnergyFit | None, structures: list[Structure]) -> None:
    print("\nAtomic reference energies (eV)")
    if fit is None:
        print("  only cohesive energies in the files, so none are needed: 0")
        return
    print(
        "  "
        + ", ".join(f"{symbol} {energy:.6f}" for symbol, energy in fit.energies.items())
        + f"; from {fit.n_structures} structures, the rest is {fit.rmse:.4f} eV/atom (RMS)"
    )
    if not fit.determined:
        what = "composition" if fit.rank == 1 else "independent compositions"
        print(
            f"  warning: {fit.rank} {what} cannot determine {len(fit.energies)} energies; the open part is the mean "
            "energy per atom.\n  For training any choice will do; for energies of formation put in those of free atoms."
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


def _entries(given: list[str], paths: list[str], directory: Path) -> tuple[FileEntry, ...]:
    """Name the structures as seen from the folder of the input files; patterns stay patterns."""
    patterns = not all(os.path.lexists(text) for text in given)
    return tuple(FileEntry(_seen_from(directory, path)) for path in (given if patterns else paths))


def _seen_from(directory: Path, path: str) -> str:
    return path if os.path.isabs(path) else os.path.relpath(path, directory)


def _generate(
    species: tuple[str, ...], energies: dict[str, float], files: tuple[FileEntry, ...], choice: Choice | None
) -> GenerateInput:
    return GenerateInput(
        types=tuple((symbol, energies[symbol]) for symbol in species),
        setups={symbol: f"{symbol}.fingerprint.stp" for symbol in species},
        files=files,
        output="data.train",
        derivatives=None
        if choice is None
        else TaylorOptions(delta=choice.delta, fraction=FRACTION, outfile="data.taylor.train"),
    )


def _train(species: tuple[str, ...], with_copies: bool) -> TrainInput:
    return TrainInput(
        forces=ForceMode("centred") if with_copies else ForceMode(),
        trainingset="data.train",
        taylorset=("data.taylor.train",) if with_copies else (),
        networks=tuple(NetworkSpec(symbol, f"{symbol}.nn", HIDDEN) for symbol in species),
        iterations=ITERATIONS,
        patience=PATIENCE,
    )
