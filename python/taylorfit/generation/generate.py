"""Generating training sets: read structures → displace → expand → describe → write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from ..data.check import check
from ..engine import DescriptorTables, describe
from ..errors import InputError
from ..formats.aenet.trainset_sink import TrainsetBuilder, TrainsetSink
from ..formats.structures.files import require_species
from ..formats.structures.in_memory import Structures, as_structures
from ..formats.structures.xsf_folder import XsfFolder
from ..model.geometry import Geometry
from ..model.provenance import parse_copy_name
from ..model.structure import Structure
from ..model.trainset import TrainingSet
from ..tools.chunks import runs
from ..tools.progress import progress as show_progress
from ..tools.warn import warn_of_data

if TYPE_CHECKING:
    from ..data.setup import Setup
    from ..taylor.copies import Copies, CopySource
    from .displace import Displacements

BATCH_ATOMS = 16384
"""Atoms (copies counted) per engine call: a fraction of a second, so that Ctrl-C and progress live."""

ISOLATED_MARGIN = 1.0e-6
"""ænet stores isolated structures relative to their bounding box, this far (Å) from its corner."""

_LONGEST_STEM = 150  # characters; names of files may have 255 bytes


class XsfCopies(XsfFolder):
    """A folder of Taylor copies as XSF files, for any other energy trainer."""

    def __init__(self, directory: str | PathLike[str]) -> None:
        super().__init__(directory)
        self._stems: set[str] = set()

    def write(self, parent: Structure, copies: Copies, description: str) -> None:
        """Write the copies of one structure; `description` says how their energies are expanded."""
        stem = self._stem(parent.name)
        for number, copy in enumerate(copies.structures(parent)):
            self.add(
                f"{stem}-taylor-{number:04d}.xsf",
                copy,
                [f"Taylor copy {copy.name}", f"{description}; forces are those of the parent"],
            )

    def _stem(self, name: str) -> str:
        """A flat file name for a structure, from the end of its path and its frame; used only once."""
        path, _, frame = name.rpartition("#") if name.rpartition("#")[2].isdigit() else (name, "", "")
        plain = re.sub(r"[^\w.+-]+", "_", path.removesuffix(".xsf")).strip("._")[-_LONGEST_STEM:]
        wanted = stem = (plain or "structure") + (f"_{int(frame):06d}" if frame else "")
        again = 1
        while stem in self._stems:
            again += 1
            stem = f"{wanted}_again{again}"
        self._stems.add(stem)
        return stem


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where structures and copies go."""

    parents: TrainsetSink
    copies: TrainsetSink
    """The same one when copies are to stand with their parents."""
    xsf_copies: XsfCopies | None = None
    """Also write the copies as XSF files here."""


@dataclass(frozen=True)
class GenerationCounts:
    """What was written."""

    structures: int
    copies: int
    atoms: int
    """Atoms of all structures and copies."""


def generate(
    structures: Structures,
    setup: Setup,
    *,
    displacements: Displacements | None = None,
    seed: int | None = None,
    threads: int = 0,
    progress: bool = False,
) -> TrainingSet:
    """Compute the descriptors of structures and of Taylor copies of them.

    Parameters
    ----------
    structures
        Of taylorfit or ASE, with energies (eV), for copies also forces (eV/Å).  They may hold copies that are already
        made (see `displace`).
    setup
        Descriptors and energies of the isolated atoms; see `propose`.
    displacements
        Of copies to be made (see `displace`); None: none.
    seed
        Of the displacements; None: their own.
    threads
        Threads of the engine; 0: all cores.  The result does not depend on it.
    progress
        Show how far it is?

    Returns
    -------
    TrainingSet
        Each structure and, after it, its copies; nothing is written (see `TrainingSet.save`).

    Warns
    -----
    DataWarning
        for findings of the data check (see `check`), and if no structure can be displaced.

    Raises
    ------
    InputError
        for a structure without energy, of unknown species, with coinciding atoms or a degenerate cell.

    Examples
    --------
    >>> import numpy as np
    >>> from taylorfit import RandomDisplacements, Structure, generate, propose
    >>> forces = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    >>> dimers = [Structure(("H", "H"), np.diag([0.0, r, 0.0])[:2], energy=-6.7, forces=forces) for r in (0.7, 0.8)]
    >>> data = generate(dimers, propose(dimers), displacements=RandomDisplacements(delta=0.01, n_copies=3))
    >>> data.n_structures, data.species
    (8, ('H',))
    """
    data = as_structures(structures)
    tables = DescriptorTables.from_setups(setup.species, setup.descriptors)
    for structure in data:
        require_species(structure, setup.species)
    parents = [structure for structure in data if parse_copy_name(structure.name) is None]
    if displacements is not None and len(parents) < len(data):
        raise InputError("copies among the structures to be displaced", expected="only one of the two")
    checked = check(parents, setup.atomic_energies)
    warn_of_data(checked.doubts)
    source: CopySource | None = None
    notes = checked.doubts
    if displacements is not None:
        from .displace import copy_source

        source, more = copy_source(parents, displacements, seed=seed, shortest=checked.shortest, threads=threads)
        warn_of_data(more)
        notes += more
    energies = dict(setup.atomic_energies)
    builder = TrainsetBuilder(setup.species, [energies[symbol] for symbol in setup.species], tables.setups)
    with show_progress("generate", len(data), quiet=not progress) as update:
        write_training_sets(data, source, tables, energies, Outputs(builder, builder), threads=threads, advance=update)
    return replace(builder.result(), geometry=Geometry.of(parents), notes=notes)


def write_training_sets(
    structures: Sequence[Structure],
    source: CopySource | None,
    tables: DescriptorTables,
    atomic_energies: dict[str, float],
    outputs: Outputs,
    *,
    threads: int = 0,
    advance: Callable[[int], None] = lambda done: None,
) -> GenerationCounts:
    """Describe structures and their copies and stream them into training sets.

    A copy's energy is the Taylor energy of its parent (eq. 10 of Cooper et al. 2020, with what
    `source` knows of the second order); its descriptors are exact.  As the forces of a copy the file gets
    those of its parent, their zeroth-order expansion: nothing reads them in training.

    Parameters
    ----------
    source
        where copies come from; None: there are none
    advance
        called with the number of structures done

    Raises
    ------
    InputError
        for a structure without energy, with unknown species, or with coinciding atoms.
    """
    n_structures = n_copies = n_atoms = 0

    def atoms(s: int) -> int:
        return structures[s].n_atoms * (1 + (int(source.n_copies[s]) if source else 0))

    for batch in runs(range(len(structures)), atoms, BATCH_ATOMS):
        made = [source.of(s, structures[s]) if source is not None and source.n_copies[s] else None for s in batch]
        for s, copies, (values, positions) in zip(batch, made, _described(structures, batch, made, tables, threads)):
            structure = structures[s]
            if structure.predicted_by:
                raise InputError(
                    "energy and forces are those of a potential, not of a reference calculation",
                    file=structure.name,
                    value=f"potential={structure.predicted_by}",
                    expected="reference data; --drop predicted leaves such frames out, ENERGY_KEY energy takes them",
                )
            energy = structure.reference_energy(atomic_energies)
            if energy is None:
                raise InputError("no energy", file=structure.name, expected="a total or cohesive energy")
            forces = np.zeros((structure.n_atoms, 3)) if structure.forces is None else structure.forces
            species = structure.species_index(tables.species)
            n_species = len(set(structure.symbols))
            if not any(structure.pbc):
                positions = positions - positions.min(axis=1, keepdims=True) + ISOLATED_MARGIN
            # A copy with pushed atoms is no data: a potential that comes there has left them
            in_range = not structure.pushed_from
            outputs.parents.add(structure.name, n_species, energy, species, positions[0], forces, values[0], in_range)
            n_structures += 1
            n_atoms += structure.n_atoms * len(values)
            if copies is None:
                continue
            outputs.copies.add_many(
                copies.names,
                n_species,
                energy + copies.energy_changes,
                species,
                positions[1:],
                np.broadcast_to(forces, (len(copies.names), *forces.shape)),
                values[1:],
            )
            n_copies += len(copies.names)
            if outputs.xsf_copies is not None and source is not None:
                outputs.xsf_copies.write(structure, copies, source.description)
        advance(n_structures)
    return GenerationCounts(n_structures, n_copies, n_atoms)


def _described(
    structures: Sequence[Structure],
    batch: Sequence[int],
    made: Sequence[Copies | None],
    tables: DescriptorTables,
    threads: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (1 + n_copy, n_value) descriptors and (1 + n_copy, n_atom, 3) positions of structures with their copies."""
    bases: list[Structure] = []
    displacements: list[np.ndarray] = []
    n_bases: list[int] = []
    for s, copies in zip(batch, made):
        parts = [(structures[s], np.zeros((1, structures[s].n_atoms, 3)))]
        for base, moved in zip(copies.bases, copies.displacements) if copies is not None else ():
            if base is structures[s]:  # shares the neighbours of the structure itself
                parts[0] = (base, np.concatenate([parts[0][1], moved]))
            else:
                parts.append((base, moved))
        bases += [base for base, _ in parts]
        displacements += [moved for _, moved in parts]
        n_bases.append(len(parts))
    described = iter(describe(bases, tables, displacements, threads=threads))
    for n in n_bases:
        values, positions = zip(*(next(described) for _ in range(n)))
        yield (values[0], positions[0]) if n == 1 else (np.concatenate(values), np.concatenate(positions))
