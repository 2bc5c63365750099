"""Training-set files from the structure files that generate.in names."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.check import DataCheck, check, drop
from ..engine import DescriptorTables
from ..errors import InputError
from ..formats.aenet.setup_file import read_setup
from ..formats.aenet.trainset_writer import TrainsetWriter
from ..formats.companion import checksum_of_parents, geometry_path, parents_path, write_geometry, write_parents
from ..formats.structures.files import read_files, require_species
from ..formats.structures.xsf_folder import check_xsf_directory
from ..model.structure import Structure
from ..model.trainset import Geometry
from ..settings.displacements import TaylorOptions
from ..settings.generate import GenerateInput
from ..settings.reading import ReadingOptions
from ..tools.atomic_write import Together, check_writable, remove_left
from ..tools.interrupts import Interrupt
from ..tools.progress import Advance, Steps, no_steps
from ..tools.ranks import ALONE, Ranks
from .stream import GenerationCounts, Outputs, XsfCopies, write_training_sets

if TYPE_CHECKING:
    from ..taylor.copies import CopySource
    from .copy_plan import PlannedCopies


@dataclass(frozen=True, eq=False)
class Generated:
    """What has been written."""

    output: str
    """Training set of the structures."""
    taylor_output: str | None
    """Training set of the copies, where they have one of their own."""
    unused_output: str | None
    """The file that copies would have gone to, had there been any."""
    xsf_output: str | None
    """Folder of the copies as XSF files."""
    derivatives_output: str | None
    counts: GenerationCounts
    check: DataCheck
    n_dropped: int
    """Structures left out on request."""
    planned: PlannedCopies | None
    """None where no copies were asked for."""
    n_derivatives: int
    """Structures with descriptor derivatives."""
    megabytes_derivatives: float
    energy_mean: float
    """eV/atom, relative to the isolated atoms, as the next two."""
    energy_min: float
    energy_max: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `generate`."""
        planned = self.planned
        return {
            "structures": self.counts.structures,
            "copies": self.counts.copies,
            "skipped": 0 if planned is None else planned.n_without_copies,
            "skipped_by_reason": {} if planned is None else planned.skipped,
            "taylor": None if planned is None else planned.report,
            "dropped": self.n_dropped,
            "atoms": self.counts.atoms,
            "seconds": self.seconds,
            "output": self.output,
            "taylor_output": self.taylor_output,
            "derivatives_output": self.derivatives_output,
            "n_with_derivatives": self.n_derivatives,
            "energy_mean": self.energy_mean,
            "energy_min": self.energy_min,
            "energy_max": self.energy_max,
            "check": self.check.to_dict(),
        }


class GenerationObserver:
    """Looks away.  Who wants to know more overrides what is called, in the order below.

    Parameters
    ----------
    show
        shows progress, like `progress.progress`
    interrupt
        brings interrupts to a thread that gets no signals
    """

    def __init__(self, show: Steps = no_steps, interrupt: Interrupt | None = None) -> None:
        self._show, self._interrupt = show, interrupt or Interrupt()

    @contextmanager
    def steps(self, title: str, total: int, unit: str = "structures") -> Iterator[Advance]:
        """Around a part of the work that takes long."""
        with self._show(title, total, unit) as update:

            def advance(done: int, note: str = "") -> None:
                self._interrupt.check()
                update(done, note)

            yield advance

    def described(self, tables: DescriptorTables) -> None:
        """The setups are read."""

    def remarked(self, remark: str) -> None:
        """There is something to say about the structure files."""

    def checked(self, found: DataCheck, n_structures: int, n_dropped: int) -> None:
        """The structures are read and checked."""

    def planned(self, planned: PlannedCopies) -> None:
        """It is known which copies will be made."""

    def ended(self, made: Generated) -> None:
        """All is written."""


def generate_files(
    settings: GenerateInput,
    listed_in: str,
    *,
    threads: int,
    overwrite: bool = False,
    xsf_output: str | None = None,
    dropped: Collection[str] = (),
    reading: ReadingOptions | None = None,
    observer: GenerationObserver | None = None,
    ranks: Ranks = ALONE,
) -> Generated:
    """Read structures, and write training sets of them and of Taylor copies of them, as settings say.

    Parameters
    ----------
    listed_in
        generate.in, for messages
    overwrite
        replace files that exist?
    xsf_output
        folder for the copies as XSF files
    dropped
        findings of the data check, structures with which are left out
    reading
        what files leave open; None: as `settings` say
    ranks
        share reading, descriptors and packing; only the first of them calls this

    Raises
    ------
    InputError, FormatError
        if a file cannot be read or written, structures do not go with the setups, or copies cannot be made.
    """
    start, observer = time.perf_counter(), observer or GenerationObserver()
    targets = Targets.of(settings, xsf_output)
    targets.check(listed_in, overwrite)
    files = [settings.setups[symbol] for symbol in settings.species]
    tables = DescriptorTables.from_setups(settings.species, [read_setup(file) for file in files], files)
    observer.described(tables)
    structures = _read(settings, listed_in, reading or ReadingOptions.of(settings), dropped, observer, ranks)
    found = check(structures, settings.atomic_energies)
    kept = drop(structures, found, dropped) if dropped else structures
    observer.checked(found, len(structures), len(structures) - len(kept))
    if not kept:
        raise InputError("no structures are left", file=listed_in, expected="at least one structure")
    energies = settings.atomic_energies
    if settings.no_energies:
        kept, energies = [_without_energy(s) for s in kept], dict.fromkeys(settings.species, 0.0)
    planned = None
    if targets.displacements is not None:
        from .copy_plan import plan_copies

        planned = plan_copies(kept, targets.displacements, found.shortest, threads)
        observer.planned(planned)
    separate = targets.copies is not None and planned is not None and planned.n_copies > 0
    reference = np.array([s.reference_energy(energies) for s in kept])
    n_derivatives, n_values = 0, 0
    with Together() as together:
        counts = _write(
            targets, kept, planned, tables, energies, separate, threads, overwrite, together, observer, ranks
        )
        _write_companions(targets, kept, reference, [energies[t] for t in tables.species], separate, together)
        if targets.derivatives is not None:
            from .descriptor_derivatives import choose_structures, write_derivatives

            chosen = choose_structures(len(kept), settings.forces_percent, targets.seed)
            with observer.steps("derivatives", len(kept)) as update:
                n_values = write_derivatives(
                    targets.derivatives,
                    kept,
                    chosen,
                    tables,
                    None if separate or planned is None else planned.source,
                    threads=threads,
                    overwrite=overwrite,
                    together=together,
                    advance=update,
                )
            n_derivatives = int(chosen.sum())
    per_atom = reference / np.array([s.n_atoms for s in kept])
    made = Generated(
        output=targets.output,
        taylor_output=targets.copies if separate else None,
        unused_output=None if separate else targets.copies,
        xsf_output=xsf_output,
        derivatives_output=targets.derivatives,
        counts=counts,
        check=found,
        n_dropped=len(structures) - len(kept),
        planned=planned,
        n_derivatives=n_derivatives,
        megabytes_derivatives=8e-6 * n_values,
        energy_mean=float(per_atom.mean()),
        energy_min=float(per_atom.min()),
        energy_max=float(per_atom.max()),
        seconds=time.perf_counter() - start,
    )
    observer.ended(made)
    return made


class Targets(NamedTuple):
    """The files to write, and what decides which."""

    output: str
    copies: str | None
    """Of the copies; None: they stand with their parents."""
    derivatives: str | None
    xsf: str | None
    displacements: TaylorOptions | None
    """None: no copies."""
    seed: int
    """Of the choice of structures that get derivatives."""

    @classmethod
    def of(cls, settings: GenerateInput, xsf_output: str | None) -> Targets:
        """The files that generate.in asks for."""
        taylor, with_derivatives = settings.derivatives, settings.forces
        seed = taylor.seed if taylor is not None else 1
        if taylor is not None and taylor.method == "analytical":
            # aenet-python's other word for FORCES: no copies
            with_derivatives, taylor = True, None
        return cls(
            settings.output,
            taylor.outfile if taylor is not None and taylor.outfile else None,
            f"{settings.output}.forces" if with_derivatives else None,
            xsf_output,
            taylor,
            seed,
        )

    def check(self, listed_in: str, overwrite: bool) -> None:
        """See that all can be written, each to a file of its own; remove temporary files of killed runs beside them.

        Raises
        ------
        InputError
            if not.
        """
        outputs = [path for path in (self.output, self.copies, self.derivatives) if path]
        for index, path in enumerate(outputs):
            if Path(path).resolve() in [Path(other).resolve() for other in outputs[:index]]:
                raise InputError("two outputs in one file", file=listed_in, value=path, expected="another name")
            check_writable(path, overwrite=overwrite)
            remove_left(Path(path).parent)
        if self.xsf:
            if self.displacements is None:
                raise InputError(
                    "--write-xsf without Taylor copies",
                    file=listed_in,
                    value=self.xsf,
                    expected="a block DERIVATIVES with method=taylor",
                )
            check_xsf_directory(self.xsf)


def _read(
    settings: GenerateInput,
    listed_in: str,
    options: ReadingOptions,
    dropped: Collection[str],
    observer: GenerationObserver,
    ranks: Ranks,
) -> list[Structure]:
    """Read all structures; unknown species are found here, before any work is done."""
    structures = read_files(
        [(entry.path, entry.line) for entry in settings.files],
        options,
        drop=[kind for kind in dropped if kind == "unreadable"],
        listed_in=listed_in,
        require_energy="missing-energy" not in dropped and not settings.no_energies,
        tell=observer.remarked,
        show=observer.steps,
        ranks=ranks,
    )
    for structure in structures:
        require_species(structure, settings.species)
    return structures


def _without_energy(structure: Structure) -> Structure:
    """The structure with an energy of 0 in place of the one it has or lacks."""
    if structure.forces is None:
        raise InputError("neither energy nor forces", file=structure.name, expected="forces, as NOENERGIES is set")
    return replace(structure, energy=0.0, cohesive_energy=None)


def _write_companions(
    targets: Targets,
    structures: list[Structure],
    energies: np.ndarray,
    atomic_energies: list[float],
    separate: bool,
    together: Together,
) -> None:
    """Write what ties the files to each other; `energies` (n_structure,) are relative to the isolated atoms."""
    names = [s.name for s in structures]
    write_geometry(geometry_path(targets.output), Geometry.of(structures), names, energies, together=together)
    if targets.copies is None:
        return
    if separate:
        forces = [np.zeros((s.n_atoms, 3)) if s.forces is None else s.forces for s in structures]
        checksum = checksum_of_parents(names, energies, forces, np.array(atomic_energies))
        write_parents(parents_path(targets.copies), checksum, together)
    else:
        # What an earlier run left there belongs to another data set
        together.remove(targets.copies)
        together.remove(parents_path(targets.copies))


def _write(
    targets: Targets,
    structures: list[Structure],
    planned: PlannedCopies | None,
    tables: DescriptorTables,
    atomic_energies: dict[str, float],
    separate: bool,
    threads: int,
    overwrite: bool,
    together: Together,
    observer: GenerationObserver,
    ranks: Ranks,
) -> GenerationCounts:
    """Write the training sets; copies go to their own where this is `separate`."""
    source: CopySource | None = None if planned is None else planned.source
    # In the statement itself: an exit stack may lose Ctrl-C between a folder's making and its removal
    with XsfCopies(targets.xsf) if targets.xsf else nullcontext() as xsf_copies, ExitStack() as stack:

        def writer(path: str) -> TrainsetWriter:
            energies = [atomic_energies[symbol] for symbol in tables.species]
            return stack.enter_context(
                TrainsetWriter(path, tables.species, energies, tables.setups, overwrite=overwrite, together=together)
            )

        parents = writer(targets.output)
        copies = writer(targets.copies) if separate and targets.copies is not None else parents
        update = stack.enter_context(observer.steps("generate", len(structures)))
        return write_training_sets(
            structures,
            source,
            tables,
            atomic_energies,
            Outputs(parents, copies, xsf_copies),
            threads=threads,
            advance=update,
            ranks=ranks,
        )
