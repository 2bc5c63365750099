"""Generating training sets: read structures → displace → expand → describe → write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..data.check import check
from ..engine import DescriptorTables
from ..errors import InputError
from ..formats.aenet.trainset_writer import TrainsetBuilder
from ..formats.structures.files import require_species
from ..formats.structures.in_memory import Structures, as_structures
from ..model.provenance import parse_copy_name
from ..model.trainset import Geometry, TrainingSet
from ..tools.progress import progress as show_progress
from ..tools.warn import warn_of_data
from .stream import Outputs, write_training_sets

if TYPE_CHECKING:
    from ..data.setup import Setup
    from ..taylor.copies import CopySource
    from .displace import Displacements


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
