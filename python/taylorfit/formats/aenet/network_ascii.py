"""Text potential files (`.nn.ascii`) of ænet-PyTorch and aenet-python: one record is one line."""

from __future__ import annotations

from os import PathLike

from ...model.network import SpeciesPotential
from ...tools.atomic_write import atomic_write
from .network_binary import check_potential, read_potential_records, write_potential_records
from .text_records import TextRecordReader, TextRecordWriter


def read_potential_ascii(path: str | PathLike[str]) -> SpeciesPotential:
    """Read the ANN potential of one species from its text form.

    Logicals may be T, F, True or False; species names may stand without blanks between them
    where their capitals tell them apart.

    Raises
    ------
    FormatError
        if the file is malformed, or if network, setup and training-set information do not
        fit each other.
    InputError
        if the file cannot be opened.
    """
    with TextRecordReader(path) as reader:
        return read_potential_records(reader)


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
        write_potential_records(_PotentialWriter(stream), potential)


class _PotentialWriter(TextRecordWriter):
    def note(self, value: str, length: int) -> None:
        self.line(" " + value.strip()[:length])
