"""Potential files, binary (`.nn`) and text (`.nn.ascii`): network, descriptor setup, training-set information.

The text form is that of ænet-PyTorch and aenet-python, where one record is one line.
"""

from __future__ import annotations

from itertools import pairwise
from os import PathLike

import numpy as np

from ...errors import FormatError, InputError
from ...model.activations import ACTIVATIONS
from ...model.network import Network, SpeciesPotential, TrainingSetInfo
from ...tools.atomic_write import Together, atomic_write
from ..recognise import FileKind, recognise
from .records import RecordReader, RecordWriter
from .setup_block import read_scaling, read_setup_block, read_species, write_scaling, write_setup_block, write_species
from .text_records import TextRecordReader, TextRecordWriter

FILE_NAME_LENGTH = 1024


def read_potential_file(path: str | PathLike[str]) -> SpeciesPotential:
    """Read the ANN potential of one species, binary (`.nn`) or text (`.nn.ascii`), told by content.

    Raises
    ------
    FormatError
        if the file is malformed or no potential.
    InputError
        if it cannot be opened.
    """
    is_text = recognise(path) is FileKind.POTENTIAL_TEXT
    return read_potential_ascii(path) if is_text else read_potential(path)


def read_potential(path: str | PathLike[str]) -> SpeciesPotential:
    """Read the ANN potential of one species.

    Raises
    ------
    FormatError
        if the file is malformed, or if network, setup and training-set information do not
        fit each other.
    InputError
        if the file cannot be opened.
    """
    with RecordReader(path) as reader:
        return _read_records(reader)


def read_potential_ascii(path: str | PathLike[str]) -> SpeciesPotential:
    """Read the ANN potential of one species from its text form.

    Logicals may be T, F, True or False; species names may stand without blanks between them
    where their capitals tell them apart.

    Raises
    ------
    FormatError, InputError
        as `read_potential`.
    """
    with TextRecordReader(path) as reader:
        return _read_records(reader)


def _read_records(reader: RecordReader) -> SpeciesPotential:
    """Read the records of a potential file, binary or text, to its end; see `read_potential`."""
    network = _read_network(reader)
    at = reader.position
    try:
        setup = read_setup_block(reader)
    except FormatError as error:
        # The name of the training set stands where the mean squares should
        is_old = str(FILE_NAME_LENGTH) in str(error.value) or "is not a number" in error.message
        if "mean squares" in error.message and is_old:
            raise reader.error(
                "a potential of an old version of ænet: it has no mean squares of the descriptor values, "
                "without which these cannot be standardised",
                expected="a potential of ænet 2.0 or taylorfit; train it anew from its training set",
            ) from None
        raise
    if setup.n_feature != network.layer_sizes[0]:
        raise reader.error(
            f"setup of {setup.species} has {setup.n_feature} functions",
            at,
            expected=f"{network.layer_sizes[0]}, the number of network inputs",
        )
    at = reader.position
    info = _read_info(reader)
    if setup.species not in info.species:
        raise reader.error(
            "species of the training set", at, value=" ".join(info.species), expected=f"{setup.species} among them"
        )
    reader.end()
    return SpeciesPotential(network, setup, info)


def write_potential(path: str | PathLike[str], potential: SpeciesPotential, together: Together | None = None) -> None:
    """Write a potential as ænet does, perhaps `together` with others; `read_potential` gives it back unchanged.

    Raises
    ------
    InputError
        if a weight is not finite, or the network does not fit the setup.
    """
    check_potential(path, potential)
    with atomic_write(path, "wb", together=together) as stream:
        _write_records(RecordWriter(stream), potential)


def write_potential_ascii(path: str | PathLike[str], potential: SpeciesPotential, *, overwrite: bool = True) -> None:
    """Write the text form of a potential, with blanks between species names.

    All numbers have 17 significant digits, so the binary form can be made again from it;
    only blanks at the start of the description are lost, as in ænet-PyTorch's converter.

    Raises
    ------
    InputError
        if a weight is not finite, the network does not fit the setup, or the file exists and
        `overwrite` is false.
    """
    check_potential(path, potential)
    with atomic_write(path, "wb", overwrite=overwrite) as stream:
        _write_records(_PotentialWriter(stream), potential)


class _PotentialWriter(TextRecordWriter):
    def note(self, value: str, length: int) -> None:
        self.line(" " + value.strip()[:length])


def check_potential(path: str | PathLike[str], potential: SpeciesPotential) -> None:
    """Raise an InputError, about the file `path`, for a potential that must not be written."""
    network, setup = potential.network, potential.setup
    problem = None
    if len(network.weights) != network.n_weights:
        problem = f"{len(network.weights)} weights for layers {network.layer_sizes}"
    elif not np.isfinite(network.weights).all():
        problem = "a weight is not finite"
    elif network.layer_sizes[0] != setup.n_feature:
        problem = f"{network.layer_sizes[0]} inputs for a descriptor of {setup.n_feature} values"
    if problem:
        raise InputError(f"potential of {setup.species} is not written: {problem}", file=path)


def _write_records(writer: RecordWriter, potential: SpeciesPotential) -> None:
    """Write the records of a potential file."""
    _write_network(writer, potential.network)
    write_setup_block(writer, potential.setup)
    _write_info(writer, potential.info)


def _read_network(reader: RecordReader) -> Network:
    n_layer = reader.integer("number of layers", 2)
    largest = reader.integer("size of the largest layer", 1)
    n_weight = reader.integer("number of weights", 2)
    n_value = reader.integer("number of node values", 1)
    at = reader.position
    layers = tuple(int(n) for n in reader.integers("layer sizes", n_layer))
    if min(layers) < 1 or max(layers) != largest or layers[-1] != 1:
        raise reader.error(
            "layer sizes",
            at,
            value=" ".join(map(str, layers)),
            expected=f"positive numbers, at most {largest}, the last one 1",
        )
    at = reader.position
    activations = tuple(int(code) for code in reader.integers("activation functions", n_layer - 1))
    if min(activations) < 0 or max(activations) >= len(ACTIVATIONS):
        raise reader.error(
            "activation functions",
            at,
            value=" ".join(map(str, activations)),
            expected=f"codes from 0 to {len(ACTIVATIONS) - 1}",
        )
    offsets = _offsets(layers)
    for what, expected in zip(("weight offsets", "value offsets"), offsets):
        at = reader.position
        found = tuple(int(n) for n in reader.integers(what, n_layer))
        if found != expected:
            raise reader.error(what, at, value=" ".join(map(str, found)), expected=" ".join(map(str, expected)))
    for what, number, wanted in (
        ("number of weights", n_weight, offsets[0][-1]),
        ("number of node values", n_value, offsets[1][-1] + layers[-1]),
    ):
        if number != wanted:
            raise reader.error(f"{what} contradicts the layers", value=number, expected=str(wanted))
    return Network(layers, activations, reader.reals("weights", n_weight))


def _write_network(writer: RecordWriter, network: Network) -> None:
    layers = network.layer_sizes
    weight_offsets, value_offsets = _offsets(layers)
    writer.integers(len(layers))
    writer.integers(max(layers))
    writer.integers(network.n_weights)
    writer.integers(value_offsets[-1] + layers[-1])
    writer.integers(layers)
    writer.integers(network.activations)
    writer.integers(weight_offsets)
    writer.integers(value_offsets)
    writer.reals(network.weights)


def _offsets(layers: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return ænet's `iw` (last weight before each layer) and `iv` (values before each layer)."""
    weights, values = [0], [0]
    for n_in, n_out in pairwise(layers):
        weights.append(weights[-1] + (n_in + 1) * n_out)
        values.append(values[-1] + n_in + 1)
    return tuple(weights), tuple(values)


def _read_info(reader: RecordReader) -> TrainingSetInfo:
    file = reader.text("training-set file name", FILE_NAME_LENGTH)
    scaling = read_scaling(reader, "training set normalised")
    n_species = reader.integer("number of species", 1)
    species = read_species(reader, "species of the training set", n_species)
    atomic_energies = tuple(float(e) for e in reader.reals("atomic energies", n_species))
    n_atoms = reader.integer("number of atoms of the training set", 0)
    n_structures = reader.integer("number of structures of the training set", 0)
    # Only remembered, never used in a calculation: even NaN does no harm here.
    energy_min, energy_max, energy_mean = map(float, reader.reals("energy range", 3, finite=False))
    return TrainingSetInfo(
        file=file,
        **scaling,
        species=species,
        atomic_energies=atomic_energies,
        n_atoms=n_atoms,
        n_structures=n_structures,
        energy_min=energy_min,
        energy_max=energy_max,
        energy_mean=energy_mean,
    )


def _write_info(writer: RecordWriter, info: TrainingSetInfo) -> None:
    writer.text(info.file, FILE_NAME_LENGTH)
    write_scaling(writer, info.normalised, info.scale, info.shift)
    writer.integers(len(info.species))
    write_species(writer, info.species)
    writer.reals(info.atomic_energies)
    writer.integers(info.n_atoms)
    writer.integers(info.n_structures)
    writer.reals(info.energy_min, info.energy_max, info.energy_mean)
