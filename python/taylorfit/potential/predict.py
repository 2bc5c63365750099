"""The verb `predict`: energies, forces and stress of structures, beside their references."""

from __future__ import annotations

from dataclasses import replace

from ..analysis.errors import predictions_of
from ..formats.structures.files import require_species
from ..formats.structures.in_memory import Structures, as_structures
from ..model.predictions import Predictions
from ..tools.progress import progress as show_progress
from .potential import Source, as_potential


def predict(
    potential: Source,
    structures: Structures,
    *,
    forces: bool = True,
    stress: bool = True,
    threads: int = 0,
    label: str = "",
    progress: bool = False,
) -> Predictions:
    """Evaluate a potential for structures, and compare with what is known of them.

    Parameters
    ----------
    potential
        A `Potential`, or its files (see `Potential.load`).
    structures
        Of taylorfit or ASE; energies (eV), forces (eV/Å) and stresses (eV/Å³) that they have are the reference.
    forces, stress
        Evaluate them, too?
    threads
        Threads of the engine; 0: all cores.  The results do not depend on it.
    label
        What plots call this potential.
    progress
        Show how far it is?

    Raises
    ------
    InputError
        for a species without potential, coinciding atoms, or a degenerate cell; it names the structure.

    Examples
    --------
    >>> from taylorfit import Potential, predict
    >>> predictions = predict(Potential.load("fit"), structures)                # doctest: +SKIP
    >>> predictions.errors.force_rmse, predictions.forces.shape                 # doctest: +SKIP
    """
    data = as_structures(structures)
    found = as_potential(potential)
    for structure in data:
        require_species(structure, found.species, "no potential for a species of this structure")
    with show_progress("predict", len(data), quiet=not progress) as update:
        evaluations = found.evaluate(data, forces=forces or stress, threads=threads, advance=update)
    if not forces:
        evaluations = [replace(evaluation, forces=None) for evaluation in evaluations]
    return predictions_of(data, evaluations, found.atomic_energies, label, found.files, stress)
