"""The verb `label`: energies and forces of a reference for structures, kept as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, InputError
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.in_memory import Structures, as_structures
from ..model.structure import Structure
from ..settings.label import Labelling, Reference
from ..tools.atomic_write import check_writable
from ..tools.os_errors import explained
from ..tools.progress import progress as show_progress
from .references import Answer, Evaluator, bare, open_reference

KEPT = ".labels"
"""Ending of the file, beside the output, that keeps labels as they come."""
ELSEWHERE = ".frames"
"""Ending of the folder, beside the output, of frames that are computed elsewhere."""


@dataclass(frozen=True)
class SetAside:
    """A frame without a label that could be used."""

    place: int
    """Among the structures given, from 0."""
    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Labels:
    """Structures with labels of a reference; see `label`."""

    structures: tuple[Structure, ...]
    """Those labelled, in the order given: energy (eV), forces (eV/Å), and in periodic cells stress (eV/Å³)."""
    set_aside: tuple[SetAside, ...]
    """Those whose labels are missing, unconverged or unphysical, with the reason."""
    waiting: tuple[str, ...]
    """Names of those that are still to be computed elsewhere."""
    provenance: Mapping[str, str]
    """The reference with its options, and versions."""
    n_computed: int
    """Labels made in this call; the others were known."""

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `label`, but for the files that it writes."""
        return {
            "structures": len(self.structures),
            "set_aside": [{"place": s.place, "name": s.name, "reason": s.reason} for s in self.set_aside],
            "waiting": list(self.waiting),
            "computed": self.n_computed,
            **self.provenance,
        }


def label(
    structures: Structures,
    reference: Any,
    *,
    options: Mapping[str, Any] | None = None,
    output: str | PathLike[str] | None = None,
    processes: int = Labelling.processes,
    reuse: bool = Labelling.reuse,
    max_force: float = Labelling.max_force,
    retry: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Labels:
    """Compute reference energies and forces of structures.

    Labels that do not serve are set aside: of a calculation that failed or did not converge, numbers that are not
    finite, and forces beyond `max_force`.

    Parameters
    ----------
    structures
        Of taylorfit or ASE; labels that they have are replaced.
    reference
        `"MODULE:CLASS"`, a calculator of ASE, made anew in processes of its own; a calculator object, evaluated
        in this process; or a `Reference`, which may be a command or `external`.
    options
        Arguments of the class.
    output
        Extended XYZ file to write, with the reference and versions in every frame.  Labels are kept beside it
        (`output.labels`) as they come, so that a run that was broken off goes on; the file is removed at the end.
    processes
        Frames at a time; 0: one for each core.
    reuse
        Use one calculator of each process for all its frames?
    max_force
        Labels with a larger force, eV/Å, are unphysical.
    retry
        Compute again what an earlier run has set aside?
    overwrite
        Replace the output?
    progress
        Show how far it is?

    Returns
    -------
    Labels
        Of a reference that is `external`, what is there already; the folder `output.frames` holds the rest, each
        frame in a folder of its own, where results (vasprun.xml, OUTCAR, output.*) are expected.

    Raises
    ------
    InputError
        if the reference cannot be used, the output exists, or labels of another reference are kept there.

    Examples
    --------
    >>> from taylorfit import Structure, label
    >>> dimers = [Structure(("Cu", "Cu"), [[0, 0, 0], [0, 0, r]]) for r in (2.2, 2.4, 0.1)]
    >>> labels = label(dimers, "ase.calculators.emt:EMT", processes=1)
    >>> [round(structure.energy, 2) for structure in labels.structures]
    [3.19, 3.5]
    >>> labels.set_aside[0].reason.startswith("unphysical")
    True
    """
    if options and not isinstance(reference, str):
        raise InputError("options of a calculator that is made already", value=type(reference).__name__)
    if isinstance(reference, str):
        reference = Reference(reference, dict(options or {}))
    labelling = Labelling(processes, reuse, max_force)
    target = None if output is None else Path(output)
    if target is not None:
        check_writable(target, overwrite)
    elif isinstance(reference, Reference) and reference.external:
        raise InputError("a reference that is external needs an output", expected="output=FILE")
    frames = Path(f"{target}{ELSEWHERE}") if target else Path()
    kept = None if target is None else Path(f"{target}{KEPT}")
    data = as_structures(structures)
    with open_reference(reference, labelling, frames) as evaluator:
        known = Known(kept, evaluator.provenance["reference"])
        with show_progress("label", len(data), quiet=not progress) as update:
            labels = label_with(evaluator, data, labelling, known, retry=retry, advance=update)
    if target is not None and not labels.waiting:
        if labels.structures:
            write_extxyz(target, labels.structures, overwrite=overwrite, info=labels.provenance)
        assert kept is not None
        if labels.structures and not labels.set_aside:
            kept.unlink(missing_ok=True)
    return labels


class Known:
    """Answers of a reference as they come: in a file of a line each, that a killed run leaves usable."""

    def __init__(self, file: Path | None, reference: str) -> None:
        self._file = file
        self._head = json.dumps({"reference": reference})
        self.answers: dict[str, Answer] = {}
        """By the hash of the structure."""
        if file is not None and file.exists():
            self._read(file)

    def _read(self, file: Path) -> None:
        with explained("cannot be read", file):
            text = file.read_bytes()
        # A killed run may have left half a line
        whole = text[: text.rfind(b"\n") + 1]
        head, *lines = whole.decode("utf-8", "replace").splitlines() or [self._head]
        if head != self._head:
            raise InputError(
                "labels of another reference are kept here",
                file=file,
                value=head,
                expected=f"{self._head}; or remove the file",
            )
        for number, line in enumerate(lines, start=2):
            try:
                found = json.loads(line)
                answer = dict(found["answer"])
                for key in ("forces", "stress"):
                    if answer.get(key) is not None:
                        answer[key] = np.array(answer[key], dtype=np.float64)
                self.answers[found["structure"]] = answer
            except (ValueError, KeyError, TypeError, AttributeError):
                raise FormatError("a damaged label", file=file, line=number, expected="a line of `label`") from None
        if len(whole) < len(text):
            with explained("cannot be written", file):
                os.truncate(file, len(whole))

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on the disk when this returns."""
        self.answers[key] = answer
        if self._file is None:
            return
        plain = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in answer.items()}
        line = json.dumps({"structure": key, "answer": plain}) + "\n"
        with explained("cannot be written", self._file):
            new = not self._file.exists() or not self._file.stat().st_size
            with open(self._file, "a", encoding="utf-8") as stream:
                stream.write((self._head + "\n" if new else "") + line)
                stream.flush()
                os.fsync(stream.fileno())


def label_with(
    evaluator: Evaluator,
    structures: Sequence[Structure],
    labelling: Labelling,
    known: Known,
    *,
    retry: bool = False,
    advance: Callable[[int], None] = lambda done: None,
) -> Labels:
    """Label structures by a reference that is open, but for those that are known; see `label`."""
    keys = [structure.content_hash() for structure in structures]
    new: dict[str, Structure] = {}
    for key, structure in zip(keys, structures):
        if key not in known.answers or (retry and "reason" in known.answers[key]):
            new.setdefault(key, structure)
    wanted = list(new)
    n = 0
    for place, answer in evaluator.answers(list(new.values())):
        known.add(wanted[place], answer)
        n += 1
        advance(len(structures) - len(new) + n)
    found: list[Structure] = []
    aside: list[SetAside] = []
    waiting: list[str] = []
    for place, (key, structure) in enumerate(zip(keys, structures)):
        answer = known.answers.get(key, {})
        reason = answer.get("reason") or _unphysical(answer, labelling.max_force)
        if not answer or (retry and key in new and key not in known.answers):
            waiting.append(structure.name)
        elif reason:
            aside.append(SetAside(place, structure.name, reason))
        else:
            values = {name: answer[name] for name in ("energy", "forces", "stress")}
            found.append(replace(bare(structure), config_type=structure.config_type, **values))
    return Labels(tuple(found), tuple(aside), tuple(waiting), evaluator.provenance, n)


def _unphysical(answer: Answer, max_force: float) -> str:
    if not answer:
        return ""
    values = [np.asarray(answer[name]) for name in ("energy", "forces", "stress") if answer[name] is not None]
    if not all(np.isfinite(value).all() for value in values):
        return "unphysical: a number that is not finite"
    largest = float(np.linalg.norm(answer["forces"], axis=1).max(initial=0.0))
    return f"unphysical: a force of {largest:.4g} eV/Å, more than {max_force:g}" if largest > max_force else ""
