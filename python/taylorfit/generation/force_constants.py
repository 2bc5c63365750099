"""Mean force constants of a data set, from the best source there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..data.curvature import Curvature, curvature_from_forces, curvature_from_pairs
from ..data.frame_pairs import find_frame_pairs
from ..errors import InputError
from ..model.structure import Structure
from ..potential.potential import Source
from .hessians import curvature_from_potential, load_potential


def mean_force_constants(
    structures: Sequence[Structure],
    *,
    curvature: Mapping[str, float] | str | None = None,
    temperature: float | None = None,
    potential: Source | None = None,
    seed: int = 1,
    threads: int = 0,
    required: bool = False,
) -> Curvature | None:
    """Return mean force constants: given ones, else from the temperature, a first potential, pairs of near frames.

    Parameters
    ----------
    curvature
        Of each species, eV/Å²; None or `auto`: to be found.
    temperature
        Of the dynamics that all structures come from, K.
    potential
        A first potential, or its files.
    seed
        Of the random vectors that probe a potential.
    required
        Raise where nothing tells them?  So it does where one of the first three is given.

    Returns
    -------
    Curvature
        None where nothing tells them.

    Raises
    ------
    InputError
        saying what to give, if there is no source.
    """
    if isinstance(curvature, Mapping):
        return Curvature(dict(curvature), "as given")
    if temperature is not None:
        return curvature_from_forces(structures, temperature)
    if potential is not None:
        loaded = load_potential(potential, structures)
        # A first potential knows nothing of structures that `repel` made
        usual = [structure for structure in structures if structure.forces is not None]
        return curvature_from_potential(usual or structures, loaded, seed, threads)
    found = curvature_from_pairs(structures, find_frame_pairs(structures))
    if found is None and (required or curvature is not None):
        raise InputError(
            "mean force constants cannot be estimated: no temperature, no potential, and too few pairs of near frames",
            expected="temperature= (K, of a dynamics), potential= (files), or curvature=O:33.9,…",
        )
    return found
