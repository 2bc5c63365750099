"""`energies.train` and `energies.test` of ænet: reference and network energy of every structure."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np

from .atomic_write import atomic_write


def write_energies(
    path: str | PathLike[str],
    species: Sequence[str],
    names: Sequence[str],
    counts: np.ndarray,
    reference: np.ndarray,
    error_per_atom: np.ndarray,
    scale: float,
) -> None:
    """Write one line per structure.

    Parameters
    ----------
    counts
        (n_structure, n_species) atoms of each species
    reference
        (n_structure,) energy relative to the atomic energies, eV
    error_per_atom
        (n_structure,) reference minus network, eV/atom
    scale
        energy scale of the training, 1/eV: the last energy column is the scaled error
    """
    header = ("  Ref(eV)        ANN(eV)      #atoms  Ref(eV/atom)   ANN(eV/atom) Ref-ANN(eV/atom)    Cost-Func "
              + "".join(f"  #{symbol:<2s}" for symbol in species) + "   Path-of-input-file")
    with atomic_write(path) as stream:
        stream.write(header + "\n")
        for name, count, ref, error in zip(names, counts, reference, error_per_atom):
            n = int(count.sum())
            own = ref - n * error
            stream.write(
                f"{ref:15.6E}{own:15.6E}{n:6d}{ref / n:15.6E}{own / n:15.6E}{error:15.6E}{scale * error:15.6E} "
                + "".join(f"{c:5d}" for c in count) + f" {name}\n")
