"""`taylorfit md`: molecular dynamics as a check of potentials."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import InputError, TaylorfitError
from ..formats.structures.files import require_species
from ..md.dynamics import IDENTITY_FREE, Walk, bussi, new_walk, pack_walks, run_walk, starting_atoms, unpack_walks
from ..md.summary import (
    distribution_lines,
    distributions,
    end_lines,
    outcome_lines,
    stability_table,
    step_header,
    step_line,
    walk_row,
    write_distributions,
    write_steps,
    write_walks,
)
from ..md.trajectory import FrameWriter, cut_after
from ..potential.calculator import Calculator
from ..settings.md import MdInput
from ..settings.reading import ReadingOptions
from ..tools.atomic_write import check_writable
from ..tools.interrupts import INTERRUPTED
from ..tools.locks import alone
from ..tools.progress import progress
from ..tools.tables import print_table
from ..training.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from .sources import read_all

CHECKPOINT_SECONDS = 60.0
SHOWN_LINES = 20
"""Lines of the table of steps, where there is one run; the CSV file has every sample."""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all walks, print the tables, and return the report."""
    settings = MdInput.read(arguments.input)
    if arguments.threads is not None:
        settings = replace(settings, threads=arguments.threads)
    calculators = {label: _calculator(paths, settings, arguments.input) for label, paths in settings.potentials}
    structures = _structures(settings, calculators, arguments.input)
    if settings.thermostat.kind == "bussi":
        bussi()
    identity = _identity(settings, calculators, structures)
    with alone(_checkpoint(settings), *([] if settings.trajectory is None else [settings.trajectory])):
        walks = _walks(settings, structures, identity, arguments)
        _print_plan(settings, calculators, structures)
        interrupted = False
        try:
            _run_all(walks, calculators, settings, identity)
        except KeyboardInterrupt:
            interrupted = True
        return _finish(walks, settings, identity, interrupted)


def _calculator(paths: tuple[str, ...], settings: MdInput, input_file: str) -> Calculator:
    """A potential from files, or a committee from folders."""
    folders = [Path(path).is_dir() for path in paths]
    if any(folders) and not all(folders):
        raise InputError(
            "files and folders for one potential",
            file=input_file,
            value=" ".join(paths),
            expected="files, one per species; or folders, one per member of a committee",
        )
    make = Calculator.committee if any(folders) else Calculator
    # One folder holds those of the members
    source = paths[0] if any(folders) and len(paths) == 1 else list(paths)
    return make(source, threads=settings.threads, skin=settings.skin)


def _structures(settings: MdInput, calculators: dict[str, Calculator], input_file: str) -> list[Atoms]:
    """The starting structures, checked against the potentials and what is wanted."""
    structures = read_all([settings.structure], ReadingOptions.of(settings), listed_in=input_file)
    if settings.velocities == "file":
        for structure in structures:
            if structure.momenta is None:
                raise InputError("no velocities", file=structure.name, expected="momenta, or VELOCITIES random")
    for structure in structures:
        for calculator in calculators.values():
            require_species(structure, calculator.species, "no potential for a species of this structure")
        if settings.rdf is not None:
            if not all(structure.pbc):
                raise InputError(
                    "no radial distribution function without a volume",
                    file=structure.name or None,
                    expected="three periodic directions, or no RDF",
                )
            for symbol in dict.fromkeys(symbol for pair in settings.rdf.pairs for symbol in pair):
                if symbol not in structure.symbols:
                    raise InputError(
                        "RDF of a species that is not there",
                        file=structure.name or None,
                        value=symbol,
                        expected="one of " + " ".join(dict.fromkeys(structure.symbols)),
                    )
    if settings.extrapolation.max_force_std is not None and all(c.n_members < 2 for c in calculators.values()):
        raise InputError(
            "max_force_std without a committee",
            file=input_file,
            value=settings.extrapolation.max_force_std,
            expected="a potential of several members",
        )
    return starting_atoms(structures, settings.repeat)


def _identity(settings: MdInput, calculators: dict[str, Calculator], structures: list[Atoms]) -> str:
    """Hash of all that a resumed run must have in common with the interrupted one."""
    same = {key: value for key, value in asdict(settings).items() if key not in IDENTITY_FREE}
    files = [
        Path(path).read_bytes()
        for calculator in calculators.values()
        for member in calculator.files
        for path in member.values()
    ]
    arrays = [
        array
        for atoms in structures
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_masses())
    ]
    return fingerprint(*arrays, *(np.frombuffer(content, dtype=np.uint8) for content in files), text=repr(same))


def _walks(settings: MdInput, structures: list[Atoms], identity: str, arguments: argparse.Namespace) -> list[Walk]:
    """New walks, or those of the checkpoint; outputs of another run are not touched unless asked for."""
    labels = [label for label, _ in settings.potentials]
    wanted = [(label, start) for label in labels for start in range(1, settings.starts + 1)]
    known = {}
    trajectories = {key: path for key in wanted if (path := _trajectory(settings, *key)) is not None}
    resume = arguments.resume and Path(_checkpoint(settings)).exists()
    if arguments.resume and not resume:
        print(f"note: there is no {_checkpoint(settings)} to resume from: the run starts anew")
    if resume:
        arrays = load_checkpoint(
            _checkpoint(settings),
            identity,
            "the same md.in, structures and potentials "
            "(" + ", ".join(name.upper() for name in IDENTITY_FREE) + " may differ)",
        )
        bins = None if settings.rdf is None else (len(settings.rdf.pairs), settings.rdf.bins)
        known = {(walk.label, walk.start): walk for walk in unpack_walks(arrays, structures, bins)}
    own = {key: path for key, path in trajectories.items() if key in known and known[key].trajectory == path}
    new = [path for key, path in trajectories.items() if key not in own]
    for path in (*_tables(settings), *own.values()):
        check_writable(path, overwrite=resume or arguments.force)
    for path in new:
        check_writable(path, overwrite=arguments.force)
    for path in (*new, *(() if resume else _tables(settings))):
        Path(path).unlink(missing_ok=True)
    for key, path in own.items():
        if not known[key].rows:
            # Written after the checkpoint that a run begins with
            Path(path).unlink(missing_ok=True)
        else:
            # After a crash there are frames later than the checkpoint, which will be written again
            wanted_step = int(known[key].rows[-1][0])
            last = cut_after(path, wanted_step) if Path(path).exists() else None
            if last is None or last + settings.sample <= wanted_step:
                where = "has no frame" if last is None else f"ends at step {last}"
                print(f"warning: {path} {where}, the checkpoint is at step {wanted_step}: the frames between are lost")
    return [known.get(key) or new_walk(*key, structures[(key[1] - 1) % len(structures)], settings) for key in wanted]


def _tables(settings: MdInput) -> list[str]:
    return [f"{settings.output}.{name}" for name in ("steps.csv", "starts.csv", "rdf.csv", "checkpoint.npz")]


def _checkpoint(settings: MdInput) -> str:
    return _tables(settings)[-1]


def _trajectory(settings: MdInput, label: str, start: int) -> str | None:
    """The file of a run's frames."""
    if settings.trajectory is None or (len(settings.potentials) == 1 and settings.starts == 1):
        return settings.trajectory
    path = Path(settings.trajectory)
    return str(path.with_name(f"{path.stem}-{label}-{start}{path.suffix}"))


def _print_plan(settings: MdInput, calculators: dict[str, Calculator], structures: list[Atoms]) -> None:
    sizes = sorted({len(atoms) for atoms in structures})
    print(
        f"{settings.ensemble.upper()}, {'/'.join(map(str, sizes))} atoms, {settings.steps} steps of "
        f"{settings.timestep:g} fs ({1e-3 * settings.steps * settings.timestep:g} ps), {settings.temperature:g} K"
        + (f" after {settings.equilibration} steps with the thermostat" if settings.equilibration else "")
    )
    for label, calculator in calculators.items():
        kind = f"committee of {calculator.n_members}" if calculator.n_members > 1 else "potential"
        files = " ".join(calculator.files[0].values()) + (" …" if calculator.n_members > 1 else "")
        print(f"{label}: {kind} for {' '.join(calculator.species)}, cutoff {calculator.cutoff:g} Å, from {files}")
    print(flush=True)


def _run_all(walks: list[Walk], calculators: dict[str, Calculator], settings: MdInput, identity: str) -> None:
    """Run every walk to its end, with checkpoints."""
    per_walk = settings.steps + settings.equilibration
    saved = time.monotonic()
    single = len(walks) == 1
    if single:
        print(step_header(calculators[walks[0].label].n_members > 1))
    every = max(1, settings.steps // settings.sample // SHOWN_LINES)
    for walk in walks:
        if not walk.rows:
            walk.trajectory = _trajectory(settings, walk.label, walk.start)
    _save(walks, settings, identity)  # so that --resume works after a kill at any time
    with progress("md", len(walks) * per_walk, "steps", quiet=single and settings.steps < 100) as update:
        for k, walk in enumerate(walks):
            calculator = calculators[walk.label]
            own = _own_settings(walk.label, settings)
            trajectory = _trajectory(settings, walk.label, walk.start)
            frames = None if trajectory is None else FrameWriter(trajectory, print)
            for _ in run_walk(walk, calculator, own, frames):
                if single and walk.rows and (len(walk.rows) - 1) % every == 0 and walk.rows[-1][0] == walk.step:
                    print(step_line(walk), flush=True)
                update(k * per_walk + walk.step + settings.equilibration, f"{walk.label}, start {walk.start}")
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    _save(walks, settings, identity)
                    saved = time.monotonic()
            _save(walks, settings, identity)
            if frames is not None and frames.n_missing:
                print(f"warning: {trajectory} lacks {frames.n_missing} frames, for which there was no space")


def _save(walks: list[Walk], settings: MdInput, identity: str) -> None:
    """Write the checkpoint; a disk that is full for a while does not end the run."""
    try:
        save_checkpoint(_checkpoint(settings), pack_walks(walks), identity)
    except TaylorfitError as error:
        print(f"warning: no checkpoint: {error}", flush=True)


def _own_settings(label: str, settings: MdInput) -> MdInput:
    """The settings for one potential: dumps have a folder for each."""
    policy = settings.extrapolation
    if len(settings.potentials) > 1:
        policy = replace(policy, folder=str(Path(policy.folder) / label))
    return replace(settings, extrapolation=policy)


def _finish(walks: list[Walk], settings: MdInput, identity: str, interrupted: bool) -> dict[str, Any]:
    """Write and print the tables; return the report."""
    _save(walks, settings, identity)
    rows = [walk_row(walk, settings) for walk in walks]
    steps, starts, rdf, checkpoint = _tables(settings)
    found = distributions(walks, settings)
    tables: dict[str, Callable[[], None]] = {
        steps: lambda: write_steps(steps, walks),
        starts: lambda: write_walks(starts, rows),
    }
    if found is not None:
        tables[rdf] = lambda: write_distributions(rdf, found)
    outputs, failures = list[str](), list[str]()
    for path, write in tables.items():
        try:
            write()
            outputs.append(path)
        except TaylorfitError as error:
            failures.append(str(error))
    trajectories = [_trajectory(settings, walk.label, walk.start) for walk in walks]
    outputs += [checkpoint, *(path for path in trajectories if path and Path(path).exists())]
    print()
    print_table(stability_table(rows))
    for line in (*outcome_lines(rows), *end_lines(rows)):
        print(line)
    for line in distribution_lines(found) if found else ():
        print(line)
    print(f"\n{', '.join(outputs)} written")
    if failures:
        again = f"; --resume writes them, from {checkpoint}" if Path(checkpoint).exists() else ""
        raise TaylorfitError(f"{'; '.join(failures)}{again}")
    if interrupted:
        print("interrupted; taylorfit md --resume goes on from here")
    return {
        "n_atoms": [walk.n_atoms for walk in walks],
        "timestep": settings.timestep,
        "ensemble": settings.ensemble,
        "walks": rows,
        "rdf": found,
        "outputs": outputs,
        "interrupted": interrupted,
        "exit_code": INTERRUPTED if interrupted else 0,
    }
