"""`taylorfit predict`: energies, forces and stress, and errors where there is a reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.errors import error_lines
from ..errors import InputError
from ..formats.recognise import FileKind, recognise
from ..formats.structures.files import require_species
from ..model.structure import Structure
from ..potential.potential import ENDINGS, Potential
from ..potential.predict import predict_shared
from ..settings.predict import PredictInput, RelaxOptions
from ..tools.atomic_write import check_writable
from ..tools.progress import progress
from ..tools.ranks import Ranks
from .sources import dropped_kinds, read_all, read_options, threads_of

MANY = 20
"""Beyond so many structures only energies are printed, unless the input file asks for more."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, print, and return the report."""
    ranks: Ranks = arguments.ranks
    if not ranks.is_root:
        ranks.serve()
        return {}
    saved = arguments.save_predictions
    if arguments.label is not None and not saved:
        raise InputError("--label names saved predictions", expected="--save-predictions FILE.npz as well")
    if saved:
        check_writable(saved)
    settings, potential, entries, listed_in = _settings(arguments)
    threads = threads_of(arguments)

    structures = read_all(
        entries, read_options(arguments, settings), drop=dropped_kinds(arguments), listed_in=listed_in
    )
    for structure in structures:
        require_species(structure, potential.species, "no potential for a species of this structure")
    # References with forces want forces compared; otherwise the input file decides
    with_forces = (
        settings.forces or settings.relax is not None or any(structure.forces is not None for structure in structures)
    )

    if settings.verbosity != "low":
        for part, file in zip(potential.parts, potential.files):
            layers = "-".join(map(str, part.network.layer_sizes))
            print(
                f"{part.species:2s} network {layers}, {part.setup.basis} cutoff {part.setup.r_cut:g} Å, "
                f"trained on {part.info.file}, from {file}"
            )
        print()
    relaxations: list[dict[str, Any] | None] = [None] * len(structures)
    if settings.relax is not None:
        structures, relaxations = _relaxed(structures, potential, settings.relax, threads)
    predictions = predict_shared(
        potential,
        structures,
        forces=with_forces,
        stress=with_forces,
        threads=threads,
        label=arguments.label or Path(saved or "").stem,
        progress=True,
        ranks=ranks,
    )
    ranks.dismiss()
    report = predictions.to_dict()

    # Coordinates of many structures are only printed where something in the table was asked for
    asked = settings.forces or settings.print_atomic_energies or settings.relax is not None
    tables_wanted = settings.verbosity == "high" or len(structures) <= MANY or (asked and not arguments.potential)
    for structure, row, relaxation in zip(structures, report["structures"], relaxations):
        if relaxation is not None:
            row |= {"relaxation": relaxation, "positions": structure.positions}
        _print_structure(structure, row, settings, with_tables=tables_wanted)
    lines = error_lines(predictions.errors)
    if lines:
        print("\nErrors against the reference in the files:")
        for line in lines:
            print(f"  {line}")
    if saved:
        predictions.save(saved)
        print(f"\npredictions written to {saved}")
    return report


def _relaxed(
    structures: list[Structure], potential: Potential, options: RelaxOptions, threads: int
) -> tuple[list[Structure], list[dict[str, Any] | None]]:
    """Relax all structures; return them and what happened to each."""
    from ..potential.relaxation import relax

    relaxed: list[Structure] = []
    outcomes: list[dict[str, Any] | None] = []
    with progress("relax", len(structures)) as update:
        for done, structure in enumerate(structures, start=1):
            result = relax(structure, potential, options, threads)
            moved = np.linalg.norm(result.structure.positions - structure.positions, axis=1).max(initial=0.0)
            largest = np.linalg.norm(result.evaluation.known_forces, axis=1).max(initial=0.0)
            print(
                f"{structure.name}: {'relaxed' if result.converged else 'NOT relaxed'} in {result.n_steps} steps, "
                f"largest |F| {largest:.5f} eV/Å, largest displacement {moved:.4f} Å"
            )
            relaxed.append(result.structure)
            outcomes.append({"steps": result.n_steps, "converged": result.converged, "largest_displacement": moved})
            update(done)
    print()
    return relaxed, outcomes


def _settings(arguments: argparse.Namespace) -> tuple[PredictInput, Potential, list[Any], str | None]:
    """Settings, potential, and structure files, from the input file or the command line."""
    if arguments.potential:
        # "--potential H.nn O.nn FILE…" hands all names to the option: content tells which are potentials
        given = [path for path in arguments.potential if _is_potential(path)]
        files = [path for path in arguments.potential if path not in given] + arguments.files
        if not files:
            raise InputError("no structure files named", expected="predict --potential O.nn H.nn FILE…")
        potential = Potential.load(given or arguments.potential)
        networks = dict(zip(potential.species, potential.files))
        settings = PredictInput(types=tuple(networks), networks=networks, files=tuple(files), forces=True)
        return settings, potential, files, None
    if not arguments.files:
        raise InputError("no input file named", expected="predict predict.in, or predict --potential NN… FILE…")
    input_file, *instead = arguments.files
    settings = PredictInput.read(input_file)
    # A second argument overrides FILES, as in ænet
    entries = instead or [(entry.path, entry.line) for entry in settings.files]
    if not entries:
        raise InputError("no structures named", file=input_file, expected="a FILES block")
    potential = Potential.load({symbol: settings.networks[symbol] for symbol in settings.types})
    return settings, potential, entries, None if instead else input_file


def _is_potential(path: str) -> bool:
    """Whether it is a potential file, by content; or, where there is no such file, by name."""
    if not Path(path).is_file():
        return path.endswith(ENDINGS)
    return recognise(path) in (FileKind.POTENTIAL, FileKind.POTENTIAL_TEXT) or path.endswith(ENDINGS)


def _print_structure(structure: Structure, row: dict[str, Any], settings: PredictInput, with_tables: bool) -> None:
    """Print what ænet prints of a structure, with units."""
    reference = "" if row["energy_ref"] is None else f"  reference {row['energy_ref']:.8f} eV"
    print(
        f"{structure.name}: {structure.n_atoms} atoms, total energy {row['energy']:.8f} eV, "
        f"cohesive energy {row['cohesive_energy']:.8f} eV{reference}"
    )
    if not with_tables:
        return
    forces = row["forces"] if settings.forces or settings.relax is not None else None
    header = "  atom        x           y           z (Å)"
    if forces is not None:
        header += "          Fx          Fy          Fz (eV/Å)"
    if settings.print_atomic_energies:
        header += "   E_atom (eV)"
    print(header)
    for i, symbol in enumerate(structure.symbols):
        line = f"  {symbol:2s}" + "".join(f"{x:12.6f}" for x in structure.positions[i])
        if forces is not None:
            line += "   " + "".join(f"{x:12.6f}" for x in forces[i])
        if settings.print_atomic_energies:
            line += f"   {row['atomic_energies'][i]:14.6f}"
        print(line)
    if forces is not None and structure.n_atoms:
        norms = np.linalg.norm(forces, axis=1)
        mean = forces.mean(axis=0)
        print(
            f"  mean force {mean[0]:.6f} {mean[1]:.6f} {mean[2]:.6f} eV/Å, rms |F| "
            f"{np.sqrt((norms**2).mean()):.6f} eV/Å, largest |F| {norms.max():.6f} eV/Å (atom {norms.argmax() + 1})"
        )
    if row["stress"] is not None and settings.forces:
        s = row["stress"]
        print(
            f"  stress xx {s[0, 0]:.8f} yy {s[1, 1]:.8f} zz {s[2, 2]:.8f} "
            f"yz {s[1, 2]:.8f} xz {s[0, 2]:.8f} xy {s[0, 1]:.8f} eV/Å³"
        )
    print()
