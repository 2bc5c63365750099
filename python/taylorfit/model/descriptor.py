"""Descriptor setups: which functions describe the surroundings of a species, and their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError

CHEBYSHEV = "chebyshev"
BEHLER2011 = "behler2011"
_PARAMETERS = {1: "Rc", 2: "Rc Rs eta", 3: "Rc kappa", 4: "Rc lambda zeta eta", 5: "Rc lambda zeta eta"}
"""Of the symmetry functions G1 to G5."""


class DescriptorStatistics(NamedTuple):
    """Statistics of the raw descriptor values over all atoms of one species."""

    n_evaluated: int
    """Number of atoms."""
    minimum: np.ndarray
    """(n_feature,)"""
    maximum: np.ndarray
    """(n_feature,)"""
    mean: np.ndarray
    """(n_feature,)"""
    mean_square: np.ndarray
    """(n_feature,) raw second moment ⟨G²⟩ (ænet calls it `cov`)."""

    @classmethod
    def empty(cls, n_feature: int) -> DescriptorStatistics:
        """Statistics of a species that has not occurred (all zero, as ænet writes it)."""
        zero = np.zeros(n_feature)
        return cls(0, zero, zero, zero, zero)


class BatchStatistics(NamedTuple):
    """What `RunningStatistics` needs of a batch of descriptors of one species."""

    n: int
    range: np.ndarray
    """(2, n_feature) smallest values and negative largest ones"""
    mean: np.ndarray
    """(n_feature,)"""
    mean_square: np.ndarray
    """(n_feature,)"""

    @classmethod
    def of(cls, values: np.ndarray) -> BatchStatistics:
        """Of descriptors (..., n_feature)."""
        values = values.reshape(-1, 1, values.shape[-1])
        return cls.of_columns(len(values), statistics_of_columns(values))

    @classmethod
    def of_columns(cls, n: int, columns: np.ndarray) -> BatchStatistics:
        """Of `statistics_of_columns`, (4, n_atom, n_feature), of n structures."""
        n *= columns.shape[1]
        if n == 0:
            return cls(0, *np.zeros((3, 0)))
        mean, mean_square = columns[2:].sum(axis=1) / n
        return cls(n, columns[:2].min(axis=1), mean, mean_square)


def statistics_of_columns(values: np.ndarray) -> np.ndarray:
    """(4, ...) smallest values, negative largest ones, sums and sums of squares along the first axis."""
    if len(values) == 0:
        return np.zeros((4, *values.shape[1:]))
    squares = np.einsum("i...,i...->...", values, values)
    return np.stack([values.min(axis=0), -values.max(axis=0), values.sum(axis=0), squares])


class RunningStatistics:
    """Statistics of the descriptor values of one species, collected batch by batch.

    Means are merged as weighted averages, so that their error does not grow with the
    number of atoms as that of one long sum would.
    """

    def __init__(self, n_feature: int) -> None:
        self.n_evaluated = 0
        self._range = np.full((2, n_feature), np.inf)
        """Smallest values and negative largest ones."""
        self._whole_range = self._range.copy()
        """Of all values, in the range or not."""
        self._mean = np.zeros(n_feature)
        self._mean_square = np.zeros(n_feature)

    def add(self, values: np.ndarray, in_range: bool = True) -> None:
        """Add a batch of descriptors, (..., n_feature); to minimum and maximum only if `in_range`."""
        self.merge(BatchStatistics.of(values), in_range)

    def merge(self, batch: BatchStatistics, in_range: bool = True) -> None:
        """Add what is known of a batch; `in_range` as for `add`."""
        if batch.n == 0:
            return
        self.n_evaluated += batch.n
        fraction = batch.n / self.n_evaluated
        for found in (self._range, self._whole_range) if in_range else (self._whole_range,):
            np.minimum(found, batch.range, out=found)
        self._mean += (batch.mean - self._mean) * fraction
        self._mean_square += (batch.mean_square - self._mean_square) * fraction

    def result(self) -> DescriptorStatistics:
        """Return the statistics so far."""
        if self.n_evaluated == 0:
            return DescriptorStatistics.empty(len(self._mean))
        minimum, maximum = (self._range if np.isfinite(self._range).all() else self._whole_range) * [[1.0], [-1.0]]
        return DescriptorStatistics(self.n_evaluated, minimum, maximum, self._mean.copy(), self._mean_square.copy())


DESCRIPTION_LENGTH = 1024
"""Bytes that ænet's files have for a description."""


@dataclass(frozen=True, eq=False)
class DescriptorSetup:
    """One `*.fingerprint.stp`: the descriptor of one central species, as ænet stores it.

    The function table is ænet's own, so that setup blocks of binary files round-trip.
    """

    species: str
    """Central species."""
    environment: tuple[str, ...]
    """Neighbour species in the order of the ENV block (it defines the Chebyshev weights)."""
    basis: str
    """`Chebyshev` or `Behler2011`, spelled as in the file."""
    function: np.ndarray
    """(n_feature,) int32: 0 for Chebyshev, 1..5 for G1..G5, in file order."""
    parameters: np.ndarray
    """(n_feature, 4) float64.  Chebyshev: row 0 = radial Rc (Å), radial N, angular Rc (Å),
    angular N, other rows zero.  Behler: G1 (Rc), G2 (Rc, Rs, eta), G3 (Rc, kappa),
    G4 and G5 (Rc, lambda, zeta, eta)."""
    neighbours: np.ndarray
    """(n_feature, 2) int32: type2 and type3 as 1-based index into `environment`, 0 if unused."""
    r_min: float
    """Smallest distance expected, Å (only stored; nothing depends on it)."""
    r_cut: float
    """Largest cutoff of all functions, Å."""
    description: str = ""
    """Text of the DESCR block as ænet stores it (lines ended by `$$`)."""
    statistics: DescriptorStatistics | None = None
    """From the training set; None for a setup file."""

    @property
    def kind(self) -> str:
        """`CHEBYSHEV` or `BEHLER2011`."""
        return self.basis.strip().lower()

    @property
    def n_feature(self) -> int:
        """Length of the descriptor."""
        return len(self.function)

    @property
    def in_words(self) -> str:
        """What it is: "Chebyshev, 48 values, cutoff 6.5 Å"."""
        return f"{self.basis}, {self.n_feature} values, cutoff {self.r_cut:g} Å"


def chebyshev_length(n_environment: int, radial_order: int, angular_order: int) -> int:
    """Length of a Chebyshev descriptor: doubled (weighted part) for two or more species."""
    return (radial_order + angular_order + 2) * (1 if n_environment == 1 else 2)


def chebyshev_setup(
    species: str,
    environment: tuple[str, ...],
    *,
    radial_cutoff: float,
    radial_order: int,
    angular_cutoff: float = 0.0,
    angular_order: int = 0,
    r_min: float = 1.0,
    description: str = "",
    basis: str = "Chebyshev",
) -> DescriptorSetup:
    """Return a Chebyshev descriptor, of Artrith, Urban and Ceder, Phys. Rev. B 96, 014112 (2017).

    Parameters
    ----------
    species, environment
        Central species, and those of its neighbours.
    radial_cutoff, angular_cutoff
        Å.
    radial_order, angular_order
        Highest order of the expansions of pair and angle distributions.
    r_min
        Smallest distance expected, Å (only stored).
    description, basis
        Text in the setup file, and how it spells the kind of descriptor.

    Raises
    ------
    InputError
        for negative cutoffs or orders.

    Examples
    --------
    >>> from taylorfit import chebyshev_setup
    >>> setup = chebyshev_setup("H", ("H", "O"), radial_cutoff=6.0, radial_order=9, angular_cutoff=4.0, angular_order=3)
    >>> setup.n_feature
    28
    """
    if min(radial_order, angular_order, angular_cutoff) < 0 or not 0.0 <= radial_cutoff < np.inf:
        raise InputError(
            f"the descriptor of {species} cannot be used",
            value=f"cutoffs {radial_cutoff:g} and {angular_cutoff:g} Å, orders {radial_order} and {angular_order}",
            expected="numbers ≥ 0",
        )
    n_feature = chebyshev_length(len(environment), radial_order, angular_order)
    parameters = np.zeros((n_feature, 4))
    parameters[0] = radial_cutoff, radial_order, angular_cutoff, angular_order
    return DescriptorSetup(
        species=species,
        environment=tuple(environment),
        basis=basis,
        function=np.zeros(n_feature, dtype=np.int32),
        parameters=parameters,
        neighbours=np.zeros((n_feature, 2), dtype=np.int32),
        r_min=r_min,
        r_cut=max(radial_cutoff, angular_cutoff),
        description=description,
    )


def same_functions(first: DescriptorSetup, second: DescriptorSetup) -> bool:
    """Whether two setups describe the same species by the same functions, whatever their statistics and texts."""
    return (
        first.species == second.species
        and first.kind == second.kind
        and first.environment == second.environment
        and np.array_equal(first.parameters, second.parameters)
        and np.array_equal(first.function, second.function)
        and np.array_equal(first.neighbours, second.neighbours)
    )


def component_name(setup: DescriptorSetup, f: int) -> str:
    """Name component `f` (from 0) of a descriptor: ``radial order 3, weighted``, ``G4 H-O lambda=…``."""
    if setup.kind != CHEBYSHEV:
        return function_text(symmetry_function(setup, f))
    n_radial, n_angular = int(setup.parameters[0, 1]) + 1, int(setup.parameters[0, 3]) + 1
    part, place = divmod(f, n_radial + n_angular)
    order = f"radial order {place}" if place < n_radial else f"angular order {place - n_radial}"
    return order + (", weighted" if part else "")


def symmetry_function(setup: DescriptorSetup, f: int) -> dict[str, Any]:
    """Return number, neighbours and parameters of symmetry function `f` (from 0)."""
    g = int(setup.function[f])
    neighbours = [setup.environment[t - 1] for t in setup.neighbours[f].tolist() if t > 0]
    return {"G": g, "neighbours": neighbours, **dict(zip(_PARAMETERS[g].split(), setup.parameters[f].tolist()))}


def function_text(function: dict[str, Any]) -> str:
    """Name a symmetry function by what `symmetry_function` returns."""
    numbers = " ".join(f"{key}={value:g}" for key, value in function.items() if key not in ("G", "neighbours"))
    return f"G{function['G']} {'-'.join(function['neighbours']):5s} {numbers}"


class AtomDerivatives(NamedTuple):
    """Derivatives of the raw descriptor of one atom."""

    species: int
    """Index of the atom's species, from 0."""
    neighbours: np.ndarray
    """(n_neighbour,) int32: the atom, from 0, of which each neighbour is an image"""
    own: np.ndarray
    """(n_feature, 3) dG/dR of the atom itself, 1/Å; minus the sum of `images`"""
    images: np.ndarray
    """(n_neighbour, n_feature, 3) dG/dR of each neighbour, 1/Å"""


class StructureDerivatives(NamedTuple):
    """Derivatives of all descriptors of one structure."""

    name: str
    n_atoms: int
    n_species_in: int
    """Number of different species in the structure."""
    atoms: tuple[AtomDerivatives, ...] | None
    """One for each atom; None if the structure was not chosen (FORCESPERCENT)."""
