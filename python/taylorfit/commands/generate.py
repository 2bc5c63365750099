"""`taylorfit generate`: training sets from structures, with or without Taylor copies."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import check as datacheck
from ..data.findings import DROPPABLE
from ..engine import DescriptorTables, available_threads
from ..errors import InputError
from ..formats.aenet.setup_file import read_setup
from ..formats.aenet.trainset_binary import TrainsetWriter
from ..formats.companion import geometry_path, write_geometry
from ..formats.structures.files import require_species
from ..formats.structures.xsf_folder import check_xsf_directory
from ..generation.copy_plan import plan_copies
from ..generation.descriptor_derivatives import choose_structures, write_derivatives
from ..generation.generate import Outputs, XsfCopies, write_training_sets
from ..model.descriptor import BEHLER2011, CHEBYSHEV
from ..model.geometry import Geometry
from ..model.structure import Structure
from ..settings.generate import GenerateInput, read_generate_input
from ..taylor.copies import CopySource
from ..tools.atomic_write import atomic_write, check_writable
from ..tools.progress import duration, progress
from .sources import dropped_kinds, read_all, read_options


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Generate the training sets; return the report."""
    start = time.perf_counter()
    settings = read_generate_input(arguments.input)
    taylor = settings.derivatives
    seed = taylor.seed if taylor is not None else 1
    with_derivatives = settings.forces
    if taylor is not None and taylor.method == "analytical":
        # aenet-python's other word for FORCES: no copies
        with_derivatives, taylor = True, None
    derivatives_output = f"{settings.output}.forces" if with_derivatives else None
    taylor_output = taylor.outfile if taylor is not None and taylor.outfile else None
    companion = geometry_path(settings.output)
    outputs = [path for path in (settings.output, taylor_output, derivatives_output) if path]
    for index, path in enumerate(outputs):
        if Path(path).resolve() in [Path(other).resolve() for other in outputs[:index]]:
            raise InputError("two outputs in one file", file=arguments.input, value=path, expected="another name")
        check_writable(path, overwrite=arguments.force)
    if arguments.write_xsf:
        if taylor is None:
            raise InputError(
                "--write-xsf without Taylor copies",
                file=arguments.input,
                value=arguments.write_xsf,
                expected="a block DERIVATIVES with method=taylor",
            )
        check_xsf_directory(arguments.write_xsf)
    kinds = dropped_kinds(arguments, DROPPABLE)
    threads = arguments.threads or available_threads()

    tables = DescriptorTables.from_setups(
        settings.species,
        [read_setup(settings.setups[symbol]) for symbol in settings.species],
        [settings.setups[symbol] for symbol in settings.species],
    )
    for symbol, setup in zip(settings.species, tables.setups):
        print(
            f"{symbol:2s} {setup.basis}, {setup.n_feature} values, cutoff {setup.r_cut:g} Å, "
            f"environment {' '.join(setup.environment)}, from {settings.setups[symbol]}"
        )

    for note in _notes(tables):
        print(f"note: {note}")
    structures = read_all(
        [(entry.path, entry.line) for entry in settings.files],
        read_options(arguments, settings),
        drop=[kind for kind in kinds if kind == "unreadable"],
        listed_in=arguments.input,
        require_energy="missing-energy" not in kinds and not settings.no_energies,
    )
    for structure in structures:
        # Unknown species are found here, before any work is done
        require_species(structure, settings.species)
    report = datacheck.check(structures, settings.atomic_energies)
    print(f"\nData check of {len(structures)} structures:")
    for line in report.lines():
        print(f"  {line}")
    kept = datacheck.drop(structures, report, kinds) if kinds else structures
    if not kept:
        raise InputError("no structures are left", file=arguments.input, expected="at least one structure")
    if len(kept) < len(structures):
        print(f"  dropped on request: {len(structures) - len(kept)} structures")

    atomic_energies = settings.atomic_energies
    if settings.no_energies:
        kept, atomic_energies = [_without_energy(s) for s in kept], dict.fromkeys(settings.species, 0.0)
        print("  NOENERGIES: energies are written as 0; train with FORCES mode=exact energyweight=0")
    planned = None if taylor is None else plan_copies(kept, taylor, report.shortest, threads)
    source = None if planned is None else planned.source
    for line in ["", *planned.lines] if planned is not None else ():
        print(line)
    with ExitStack() as stack:

        def writer(path: str) -> TrainsetWriter:
            return stack.enter_context(
                TrainsetWriter(
                    path,
                    settings.species,
                    [atomic_energies[symbol] for symbol in settings.species],
                    tables.setups,
                    overwrite=arguments.force,
                )
            )

        parents = writer(settings.output)
        separate = taylor_output is not None and planned is not None and planned.n_copies > 0
        copies = parents if taylor_output is None or not separate else writer(taylor_output)
        xsf_copies = stack.enter_context(XsfCopies(arguments.write_xsf)) if arguments.write_xsf else None
        update = stack.enter_context(progress("generate", len(kept)))
        counts = write_training_sets(
            kept, source, tables, atomic_energies, Outputs(parents, copies, xsf_copies), threads=threads, advance=update
        )
    energies = np.array([s.reference_energy(atomic_energies) for s in kept])
    write_geometry(companion, Geometry.of(kept), [s.name for s in kept], energies)
    if taylor_output is not None and not separate:
        print(f"warning: no Taylor copies, so {taylor_output} is not written")
        # What an earlier run left there belongs to another data set
        Path(taylor_output).unlink(missing_ok=True)
    n_derivatives = 0
    if derivatives_output is not None:
        n_derivatives = _write_derivatives(
            derivatives_output, kept, None if separate else source, tables, settings, seed, threads, arguments.force
        )

    per_atom = energies / np.array([s.n_atoms for s in kept])
    seconds = time.perf_counter() - start
    print(
        f"\n{settings.output}: {counts.structures} structures"
        + ("" if separate or not counts.copies else f" and {counts.copies} Taylor copies")
    )
    if separate:
        print(f"{taylor_output}: {counts.copies} Taylor copies")
    if arguments.write_xsf:
        print(f"{arguments.write_xsf}: {counts.copies} Taylor copies as XSF files")
    print(
        f"energies relative to the atoms: mean {per_atom.mean():.6f}, min {per_atom.min():.6f}, "
        f"max {per_atom.max():.6f} eV/atom"
    )
    print(f"{counts.atoms} atoms in {duration(seconds)}")
    if settings.timing:
        with atomic_write("generate.time") as stream:
            stream.write(
                f"# total time (s)  atoms  microseconds per atom\n{seconds:.3f} {counts.atoms} "
                f"{1e6 * seconds / counts.atoms:.3f}\n"
            )
    return {
        "structures": counts.structures,
        "copies": counts.copies,
        "skipped": 0 if planned is None else planned.n_without_copies,
        "skipped_by_reason": {} if planned is None else planned.skipped,
        "taylor": None if planned is None else planned.report,
        "dropped": len(structures) - len(kept),
        "atoms": counts.atoms,
        "seconds": seconds,
        "output": settings.output,
        "taylor_output": taylor_output if separate else None,
        "derivatives_output": derivatives_output,
        "n_with_derivatives": n_derivatives,
        "energy_mean": per_atom.mean(),
        "energy_min": per_atom.min(),
        "energy_max": per_atom.max(),
        "check": report.to_dict(),
    }


def _without_energy(structure: Structure) -> Structure:
    """The structure with an energy of 0 in place of the one it has or lacks."""
    if structure.forces is None:
        raise InputError("neither energy nor forces", file=structure.name, expected="forces, as NOENERGIES is set")
    return replace(structure, energy=0.0, cohesive_energy=None)


def _write_derivatives(
    path: str,
    structures: list[Structure],
    source: CopySource | None,
    tables: DescriptorTables,
    settings: GenerateInput,
    seed: int,
    threads: int,
    overwrite: bool,
) -> int:
    """Write the descriptor derivatives; return the number of structures that have them."""
    chosen = choose_structures(len(structures), settings.forces_percent, seed)
    with progress("derivatives", len(structures)) as update:
        n_values = write_derivatives(
            path, structures, chosen, tables, source, threads=threads, overwrite=overwrite, advance=update
        )
    print(f"\n{path}: descriptor derivatives of {int(chosen.sum())} structures, {8e-6 * n_values:.1f} MB")
    return int(chosen.sum())


def _notes(tables: DescriptorTables) -> list[str]:
    """Where ænet's programs would compute other values from the same setups."""
    notes = []
    for setup in tables.setups:
        places = [tables.species.index(symbol) for symbol in setup.environment]
        radial_cutoff, _, angular_cutoff, _ = setup.parameters[0]
        if setup.kind == CHEBYSHEV and len(places) > 1 and angular_cutoff > radial_cutoff > 0:
            notes.append(
                f"{setup.species}: the angular cutoff is larger than the radial one; ænet's values are wrong there"
            )
        if setup.kind == BEHLER2011 and places != sorted(places):
            notes.append(
                f"{setup.species}: ENV is not in the order of TYPES; ænet takes the functions of other species then"
            )
    return notes
