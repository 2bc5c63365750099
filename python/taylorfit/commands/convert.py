"""`taylorfit convert`: between binary and text, and between structure files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.aenet.dialects import AENET, AENET_PYTORCH
from ..formats.aenet.network_ascii import write_potential_ascii
from ..formats.aenet.network_binary import write_potential
from ..formats.aenet.potential_file import read_potential_file
from ..formats.aenet.trainset_ascii import read_trainset_ascii, write_trainset_ascii
from ..formats.aenet.trainset_binary import read_trainset, write_trainset
from ..formats.recognise import FileKind, recognise
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import expand_patterns, read_or_skip, split_selection
from ..formats.structures.xsf import write_xsf
from ..model.structure import Structure
from ..tools.atomic_write import check_writable
from ..tools.os_errors import make_folder
from ..tools.progress import progress
from ..training.scaled_set import scale_training_set
from .sources import dropped_kinds, read_options
from .usage.convert import BINARY, EXTXYZ, TEXT, XSF

_KINDS = {FileKind.TRAINSET, FileKind.TRAINSET_TEXT, FileKind.POTENTIAL, FileKind.POTENTIAL_TEXT}
_XYZ_SUFFIXES = (".xyz", ".extxyz")


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
    to = arguments.to or (EXTXYZ if output.lower().endswith(_XYZ_SUFFIXES) else XSF)
    if to not in (XSF, EXTXYZ):
        raise InputError(
            "structures cannot become " + to, value=arguments.inputs[0], expected=f"--to {XSF} or {EXTXYZ}"
        )
    paths = expand_patterns(arguments.inputs)
    for path in paths:
        _check_other_file(split_selection(path)[0], output)
    options, kinds, remarks = read_options(arguments), dropped_kinds(arguments), list[str]()
    lost: dict[str, int] = {}
    counts = {"structures": 0}

    def structures() -> Iterator[Structure]:
        with progress("convert", len(paths), "files") as update:
            for done, path in enumerate(paths, start=1):
                for structure in read_or_skip(path, options, kinds, remarks.append):
                    counts["structures"] += 1
                    for what in _lost(structure, to):
                        lost[what] = lost.get(what, 0) + 1
                    yield structure
                update(done)

    if to == EXTXYZ:
        write_extxyz(output, structures(), overwrite=arguments.force)
        outputs = [output]
    else:
        outputs = _write_xsf_files(output, structures(), arguments.force)
    notes = list(dict.fromkeys(remarks)) + [f"{what} ({n} structures)" for what, n in lost.items()]
    return {"to": to, "outputs": outputs, "structures": counts["structures"], "notes": notes}


def _write_xsf_files(output: str, structures: Iterator[Structure], overwrite: bool) -> list[str]:
    """Write each structure to a file of its own; return their names."""
    path = Path(output)
    pattern = "*" in path.name
    single = not pattern and not path.is_dir() and path.suffix.lower() == ".xsf"
    directory = make_folder(path.parent if pattern or single else path)
    if single:
        first = next(structures)
        if next(structures, None) is not None:
            raise InputError(
                "the input has more than one structure",
                file=output,
                expected="a folder, or a pattern such as frames/s*.xsf",
            )
        write_xsf(path, first, overwrite=overwrite)
        return [output]
    written: list[str] = []
    seen: set[str] = set()
    for number, structure in enumerate(structures, start=1):
        name = path.name.replace("*", f"{number:06d}", 1) if pattern else _file_name(structure.name, seen)
        write_xsf(directory / name, structure, overwrite=overwrite)
        written.append(str(directory / name))
    return written


def _file_name(name: str, seen: set[str]) -> str:
    """Return the name of a structure's file in a folder: from that of its source and its frame."""
    path, mark, frame = name.rpartition("#")
    if not (mark and frame.isdigit()):
        path, frame = name, ""
    file = Path(path)
    # Names such as OUTCAR and vasprun.xml say less than their folders
    stem = (
        file.stem
        if file.stem.lower() not in ("outcar", "vasprun", "")
        else f"{file.parent.name}_{file.stem}".lstrip("_")
    )
    stem += f"-{int(frame):06d}" if frame else ""
    unique, k = stem, 1
    while unique in seen:
        k += 1
        unique = f"{stem}_{k}"
    seen.add(unique)
    return f"{unique}.xsf"


def _lost(structure: Structure, to: str) -> list[str]:
    """Say what a structure loses in the target format."""
    if to == EXTXYZ:
        return []
    notes = []
    if any(structure.pbc) and not all(structure.pbc):
        notes.append("XSF makes structures that are periodic in one or two directions periodic in all three")
    if not any(structure.pbc) and structure.cell.any():
        notes.append("XSF has no place for the cell of a structure that is not periodic")
    if structure.energy is None and structure.cohesive_energy is None:
        notes.append("no energy, so generate will refuse it")
    return notes


def _check_other_file(source: str, output: str) -> None:
    if Path(source).exists() and Path(output).exists() and Path(source).samefile(output):
        raise InputError("input and output are the same file", file=output, expected="another name")
