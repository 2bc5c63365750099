"""`taylorfit convert`: between binary and text, and between structure files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.write import kind_of, write_structures
from ..errors import InputError
from ..formats.aenet.dialects import AENET, AENET_PYTORCH
from ..formats.aenet.potential_file import read_potential_file, write_potential, write_potential_ascii
from ..formats.aenet.trainset_ascii import read_trainset_ascii, write_trainset_ascii
from ..formats.aenet.trainset_binary import read_trainset
from ..formats.aenet.trainset_writer import write_trainset
from ..formats.recognise import FileKind, recognise
from ..formats.structures.files import expand_patterns, read_or_skip, split_selection
from ..formats.structures.kinds import EXTXYZ, XSF
from ..model.structure import Structure
from ..tools.atomic_write import check_writable
from ..tools.progress import progress
from ..training.scaled_set import scale_training_set
from .sources import dropped_kinds, read_options
from .usage.convert import BINARY, TEXT

_KINDS = {FileKind.TRAINSET, FileKind.TRAINSET_TEXT, FileKind.POTENTIAL, FileKind.POTENTIAL_TEXT}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Convert; return the report."""
    # A pattern or a selection of frames names structures
    first = split_selection(arguments.inputs[0])[0]
    kind = recognise(first) if Path(first).is_file() else FileKind.STRUCTURES
    if kind in _KINDS:
        if len(arguments.inputs) > 1:
            raise InputError(f"a {kind.value} is converted alone", value=" ".join(arguments.inputs), expected="IN OUT")
        report = _convert_one(arguments, kind)
    elif kind in (FileKind.XSF, FileKind.STRUCTURES):
        if arguments.scaled:
            raise InputError("--scaled is for training sets", file=first)
        report = _convert_structures(arguments)
    else:
        raise InputError(
            "this kind of file has no other form",
            file=first,
            value=kind.value,
            expected="a training set, a potential, or structures",
        )
    for note in report["notes"]:
        print(f"note: {note}")
    outputs = report["outputs"]
    print(
        f"{outputs[0]} written ({report['to']})"
        if len(outputs) == 1
        else f"{outputs[0]} … {outputs[-1]}: {len(outputs)} files written ({report['to']})"
    )
    return {"kind": kind.value, "inputs": arguments.inputs, **report}


def _convert_one(arguments: argparse.Namespace, kind: FileKind) -> dict[str, Any]:
    """Convert a training set or a potential to its other form, or to the one asked for."""
    source, output, overwrite = arguments.inputs[0], arguments.output, arguments.force
    is_text = kind in (FileKind.TRAINSET_TEXT, FileKind.POTENTIAL_TEXT)
    is_trainset = kind in (FileKind.TRAINSET, FileKind.TRAINSET_TEXT)
    to = arguments.to or (BINARY if is_text else TEXT)
    if to not in (BINARY, TEXT, *((AENET,) if is_trainset else ())):
        raise InputError(f"a {kind.value} cannot become {to}", file=source, expected=f"--to {BINARY} or {TEXT}")
    if arguments.scaled and not is_trainset:
        raise InputError("--scaled is for training sets", file=source)
    _check_other_file(source, output)
    check_writable(output, overwrite)
    notes: list[str] = []
    if is_trainset:
        training_set = read_trainset_ascii(source) if is_text else read_trainset(source)
        if arguments.scaled:
            n = training_set.n_structures
            training_set = scale_training_set(training_set)
            if training_set.n_structures < n:
                notes.append(f"{n - training_set.n_structures} structures of high energy left out, as train.x does")
        if to == BINARY:
            write_trainset(output, training_set, overwrite=overwrite)
        else:
            dialect = AENET if to == AENET else AENET_PYTORCH
            write_trainset_ascii(output, training_set, dialect, source=Path(source).name, overwrite=overwrite)
        if training_set.setups is None:
            notes.append("there are no descriptor setups in this training set, so one cannot train on it")
        elif to == AENET:
            notes.append(f"the descriptor setups are not written: {AENET} has no place for them")
        n_structures = training_set.n_structures
    else:
        potential = read_potential_file(source)
        if to == BINARY:
            write_potential(output, potential)
        else:
            write_potential_ascii(output, potential, overwrite=overwrite)
        n_structures = 0
    return {"to": to, "outputs": [output], "structures": n_structures, "notes": notes}


def _convert_structures(arguments: argparse.Namespace) -> dict[str, Any]:
    """Convert structure files to XSF or extended XYZ."""
    output: str = arguments.output
    to = arguments.to or kind_of(output)
    if to not in (XSF, EXTXYZ):
        raise InputError(
            "structures cannot become " + to, value=arguments.inputs[0], expected=f"--to {XSF} or {EXTXYZ}"
        )
    paths = expand_patterns(arguments.inputs)
    for path in paths:
        _check_other_file(split_selection(path)[0], output)
    options, kinds, remarks = read_options(arguments), dropped_kinds(arguments), list[str]()

    def structures() -> Iterator[Structure]:
        with progress("convert", len(paths), "files") as update:
            for done, path in enumerate(paths, start=1):
                yield from read_or_skip(path, options, kinds, remarks.append)
                update(done)

    written = write_structures(output, structures(), to, arguments.force)
    notes = [*dict.fromkeys(remarks), *written.notes]
    return {"to": to, "outputs": list(written.files), "structures": written.n_structures, "notes": notes}


def _check_other_file(source: str, output: str) -> None:
    if Path(source).exists() and Path(output).exists() and Path(source).samefile(output):
        raise InputError("input and output are the same file", file=output, expected="another name")
