"""`taylorfit info`: what a file holds."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.aenet.derivatives_file import read_derivatives
from ..formats.aenet.energies_file import read_energies
from ..formats.aenet.potential_file import read_potential_file
from ..formats.aenet.records import RecordReader
from ..formats.aenet.rngstate import read_rngstate
from ..formats.aenet.setup_file import read_setup
from ..formats.aenet.trainset_ascii import read_trainset_ascii
from ..formats.aenet.trainset_binary import read_trainset_in_parts
from ..formats.companion import load_geometry
from ..formats.predictions import read_predictions
from ..formats.recognise import FileKind, recognise
from ..formats.structures.files import expand_patterns, read_structures, split_selection
from ..reporting import data_contents as describe_data
from ..reporting import model_contents as describe_models
from ..reporting.model_contents import Description
from ..settings.generate import GenerateInput
from ..settings.md import MdInput
from ..settings.predict import PredictInput
from ..settings.reading import AS_THEY_ARE, ReadingOptions
from ..settings.train import TrainInput
from .sources import dropped_kinds, read_options


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Describe each file; return the report."""
    reports: list[dict[str, Any]] = []
    skip = dropped_kinds(arguments, ("unreadable",))
    for number, path in enumerate(expand_patterns(arguments.files)):
        try:
            kind, (lines, data) = describe_file(path, read_options(arguments))
        except InputError as error:
            if not skip:
                raise
            print(("\n" if number else "") + f"{path}: unreadable: {error}")
            reports.append({"file": path, "kind": "unreadable", "reason": str(error)})
            continue
        size = Path(split_selection(path)[0]).stat().st_size
        print(("\n" if number else "") + f"{path}: {kind.value}, {_bytes(size)}")
        for line in lines:
            print(f"  {line}")
        reports.append({"file": path, "kind": kind.value, "size": size, **data})
    n_unreadable = sum(report["kind"] == "unreadable" for report in reports)
    if n_unreadable:
        print(f"\n{n_unreadable} of {len(reports)} files are unreadable")
    return {"files": reports}


def describe_file(path: str, options: ReadingOptions = AS_THEY_ARE) -> tuple[FileKind, Description]:
    """Recognise a file and describe it.

    Raises
    ------
    TaylorfitError
        if it cannot be read, or is damaged.
    """
    file, selection = split_selection(path)
    kind = FileKind.STRUCTURES if selection else recognise(file)
    if kind in READERS:
        return kind, READERS[kind](path)
    remarks: list[str] = []
    structures = list(read_structures(path, options, tell=remarks.append))
    if not structures:
        raise InputError("no structures", file=path, expected="at least one frame")
    lines, data = describe_data.describe_structures(structures)
    n_unconverged = sum(not structure.converged for structure in structures)
    if n_unconverged:
        remarks.append(
            f"not converged: {n_unconverged} of {len(structures)} (generate --drop unconverged leaves them out)"
        )
    return kind, ([*lines, *(f"note: {remark}" for remark in remarks)], {**data, "notes": remarks})


def _describe_rngstate(path: str) -> Description:
    words = read_rngstate(path)
    return [f"xoshiro256**, words {' '.join(map(str, words))}"], {"words": list(words)}


def _describe_restart(path: str) -> Description:
    """ænet's optimiser state: only its method is told, for its work arrays fit no other program."""
    with RecordReader(path) as reader:
        method = reader.text("name of the method", 50)
    lines = [
        f"method {method}; it holds work arrays of ænet's own optimiser, which taylorfit does not read.",
        "To continue that training here, run train with the potentials in place: they are the starting point.",
    ]
    return lines, {"method": method}


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} GB"


READERS: dict[FileKind, Callable[[str], Description]] = {
    FileKind.TRAINSET: lambda path: describe_data.describe_trainset(read_trainset_in_parts(path)),
    FileKind.TRAINSET_TEXT: lambda path: describe_data.describe_trainset([read_trainset_ascii(path)]),
    FileKind.POTENTIAL: lambda path: describe_models.describe_potential(read_potential_file(path)),
    FileKind.POTENTIAL_TEXT: lambda path: describe_models.describe_potential(read_potential_file(path)),
    FileKind.DERIVATIVES: lambda path: describe_data.describe_derivatives(read_derivatives(path)),
    FileKind.SETUP: lambda path: describe_models.describe_setup(read_setup(path)),
    FileKind.CHECKPOINT: describe_models.describe_checkpoint,
    FileKind.MD_CHECKPOINT: describe_models.describe_md_checkpoint,
    FileKind.ENERGIES: lambda path: describe_data.describe_energies(read_energies(path)),
    FileKind.GEOMETRY: lambda path: describe_data.describe_geometry(load_geometry(path)[0]),
    FileKind.PREDICTIONS: lambda path: describe_models.describe_predictions(read_predictions(path)),
    FileKind.RNGSTATE: _describe_rngstate,
    FileKind.RESTART: _describe_restart,
    FileKind.GENERATE_INPUT: lambda path: describe_models.describe_input(GenerateInput.read(path)),
    FileKind.TRAIN_INPUT: lambda path: describe_models.describe_input(TrainInput.read(path)),
    FileKind.PREDICT_INPUT: lambda path: describe_models.describe_input(PredictInput.read(path)),
    FileKind.MD_INPUT: lambda path: describe_models.describe_input(MdInput.read(path)),
}
"""Kind → how to describe such a file; all others hold structures."""
