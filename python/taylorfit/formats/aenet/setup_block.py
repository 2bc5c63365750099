"""The setup block of binary files: one descriptor setup with its statistics in 17 records.

Training-set files hold one for each species, potential files exactly one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...model.descriptor import (
    BEHLER2011,
    CHEBYSHEV,
    DESCRIPTION_LENGTH,
    DescriptorSetup,
    DescriptorStatistics,
    chebyshev_length,
)
from .records import RecordReader, RecordWriter, encode_text

BASIS_LENGTH = 100
SPECIES_LENGTH = 2
N_PARAMETER = 4
"""Parameter slots of one function."""


def read_setup_block(reader: RecordReader, where: str = "setup") -> DescriptorSetup:
    """Read the 17 records of a setup block.

    Parameters
    ----------
    reader
        Positioned at the first record of the block.
    where
        What to call the block in error messages.

    Raises
    ------
    FormatError
        if records are malformed, or if they contradict each other.
    """
    description = reader.text(f"description of {where}", DESCRIPTION_LENGTH)
    species = read_species(reader, f"species of {where}", 1)[0]
    where = f"setup of {species}"
    n_environment = reader.integer(f"number of environment species in {where}", 1)
    environment = read_species(reader, f"environment species in {where}", n_environment)
    r_min = reader.real(f"smallest distance in {where}")
    at = reader.position
    r_cut = reader.real(f"cutoff in {where}")
    if r_cut <= 0.0:
        raise reader.error(f"cutoff in {where}", at, value=r_cut, expected="a positive length in Å")
    at = reader.position
    basis = reader.text(f"basis type in {where}", BASIS_LENGTH)
    kind = basis.strip().lower()
    if kind not in (CHEBYSHEV, BEHLER2011):
        raise reader.error(f"basis type in {where}", at, value=basis, expected="Chebyshev or Behler2011")
    n = reader.integer(f"number of functions in {where}", 1)
    reader.integer(f"number of parameters in {where}", N_PARAMETER, N_PARAMETER)
    at = reader.position
    function = reader.integers(f"functions in {where}", n)
    # Unused slots of a Chebyshev setup are whatever ænet left there, so only used ones are checked.
    parameters = reader.reals(f"function parameters in {where}", N_PARAMETER * n, finite=kind == BEHLER2011)
    neighbours = reader.integers(f"neighbour species in {where}", 2 * n).reshape(n, 2)
    setup = DescriptorSetup(
        species=species,
        environment=environment,
        basis=basis,
        function=function,
        parameters=parameters.reshape(n, N_PARAMETER),
        neighbours=neighbours,
        r_min=r_min,
        r_cut=r_cut,
        description=description,
        statistics=_read_statistics(reader, n, where),
    )
    problem = _contradiction(setup)
    if problem:
        raise reader.error(f"{where}: {problem}", at)
    return setup


def write_setup_block(writer: RecordWriter, setup: DescriptorSetup) -> None:
    """Write the 17 records of a setup block; a setup without statistics gets zeros (ænet).

    Raises
    ------
    InputError
        if a species name is longer than two characters.
    """
    n = setup.n_feature
    statistics = setup.statistics or DescriptorStatistics.empty(n)
    writer.note(setup.description, DESCRIPTION_LENGTH)
    check_species_names((setup.species,))
    writer.text(setup.species, SPECIES_LENGTH)
    writer.integers(len(setup.environment))
    write_species(writer, setup.environment)
    writer.reals(setup.r_min)
    writer.reals(setup.r_cut)
    writer.text(setup.basis, BASIS_LENGTH)
    writer.integers(n)
    writer.integers(N_PARAMETER)
    writer.integers(setup.function)
    writer.reals(setup.parameters)
    writer.integers(setup.neighbours)
    writer.integers(statistics.n_evaluated)
    writer.reals(statistics.minimum)
    writer.reals(statistics.maximum)
    writer.reals(statistics.mean)
    writer.reals(statistics.mean_square)


def read_species(reader: RecordReader, what: str, count: int) -> tuple[str, ...]:
    """Read a record of `count` species names; empty and repeated names are refused."""
    at = reader.position
    names = reader.texts(what, count, SPECIES_LENGTH)
    for name in names:
        if not name.strip() or not name.isprintable():
            raise reader.error(what, at, value=name, expected="a chemical symbol")
    if len(set(names)) < len(names):
        raise reader.error(what, at, value=" ".join(names), expected="different species")
    return names


def write_species(writer: RecordWriter, names: tuple[str, ...]) -> None:
    """Write a record of species names, two characters each."""
    check_species_names(names)
    writer.texts(names, SPECIES_LENGTH)


def read_scaling(reader: RecordReader, what: str = "normalised") -> dict[str, Any]:
    """Read how ænet scaled the energies: the fields normalised, scale and shift (of training sets and potentials)."""
    normalised = reader.logical(what)
    at = reader.position
    scale = reader.real("energy scale")
    if scale == 0.0:
        raise reader.error("energy scale", at, value=scale, expected="a number other than zero")
    return {"normalised": normalised, "scale": scale, "shift": reader.real("energy shift")}


def write_scaling(writer: RecordWriter, normalised: bool, scale: float, shift: float) -> None:
    """Write what `read_scaling` reads."""
    writer.logical(normalised)
    writer.reals(scale)
    writer.reals(shift)


def check_species_names(names: tuple[str, ...]) -> None:
    """Raise an InputError for a name that does not fit."""
    for name in names:
        if not 0 < len(encode_text(name)) <= SPECIES_LENGTH:
            raise InputError("species name", value=name, expected="one or two characters")


def _read_statistics(reader: RecordReader, n: int, where: str) -> DescriptorStatistics:
    return DescriptorStatistics(
        n_evaluated=reader.integer(f"number of atoms in the statistics of {where}", 0),
        minimum=reader.reals(f"smallest descriptor values in {where}", n),
        maximum=reader.reals(f"largest descriptor values in {where}", n),
        mean=reader.reals(f"mean descriptor values in {where}", n),
        mean_square=reader.reals(f"mean squares of descriptor values in {where}", n),
    )


def _contradiction(setup: DescriptorSetup) -> str | None:
    """Return what is wrong with the function table, or None."""
    if setup.kind == CHEBYSHEV:
        first = setup.parameters[0]
        if not np.isfinite(first).all():
            return "parameters are not finite"
        radial_cutoff, radial_order, angular_cutoff, angular_order = first
        if radial_order < 0 or angular_order < 0 or radial_order % 1 or angular_order % 1:
            return f"orders {radial_order:g} and {angular_order:g} are not natural numbers"
        if radial_cutoff < 0 or angular_cutoff < 0:
            return "a cutoff is negative"
        length = chebyshev_length(len(setup.environment), int(radial_order), int(angular_order))
        if length != setup.n_feature:
            return f"{setup.n_feature} functions, but the orders make {length}"
        return None
    if ((setup.function < 1) | (setup.function > 5)).any():
        return "a function is none of G1 to G5"
    if (setup.parameters[:, 0] <= 0.0).any():
        return "a cutoff is not positive"
    lowest = np.column_stack([np.ones_like(setup.function), setup.function >= 4])
    if (setup.neighbours < lowest).any() or (setup.neighbours > len(setup.environment)).any():
        return "a neighbour species is not in the environment"
    return None
