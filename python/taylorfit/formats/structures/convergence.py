"""Did the self-consistency cycles behind the frames of an output file converge?  By the marks of each program."""

from __future__ import annotations

import re
from collections.abc import Iterator

# One match per finished self-consistency cycle, in the order of the frames; the text says whether it converged.
_MARKS = {
    "espresso-out": r"convergence (?:has been achieved|NOT achieved)",
    "aims-output": r"Self-consistency cycle converged|[Ss]elf-consistency cycle (?:did not converge|not converged)"
    r"|SELF-CONSISTENCY CYCLE DID NOT CONVERGE",
    "gpaw-out": r"Converged after \d+ iterations|Did not converge!",
    "gaussian-out": r"SCF Done:|Convergence criterion not met|Convergence failure",
    "castep-castep": r"Final energy|system has not reached the groundstate",
    "abinit-out": r"was not enough SCF cycles|At SCF step\s+\d+[^\n]*converged",
    "nwchem-out": r"Total (?:DFT|SCF) energy|[Cc]alculation failed to converge",
    "orca-output": r"SCF CONVERGED AFTER|SCF NOT CONVERGED|NOT FULLY CONVERGED",
    "siesta-out": r"SCF cycle converged|SCF_NOT_CONV",
}
_FAILED = re.compile(r"not (?:achieved|converge|met|reached|enough|fully)|NOT|did not|failure|failed", re.IGNORECASE)
_WARNS_BEFORE = ("gaussian-out", "castep-castep", "nwchem-out")
"""Programs that warn of a cycle and print its energy all the same."""

_OUTCAR = re.compile(r"\bNELM\s*=\s*(\d+)|^-* Iteration\s+(\d+)\(\s*(\d+)\)|^\s*FREE ENERGIE OF THE ION", re.MULTILINE)
_STEP = re.compile(r"<scstep|</calculation>|<i[^>]*name=\"NELM\"[^>]*>\s*(\d+)")


def scf_converged(path: str, kind: str) -> list[bool]:
    """One answer per frame of a file that ASE reads as `kind`; empty where nothing is known.

    VASP is judged by the number of electronic steps against NELM, whatever its text says.
    """
    if kind == "vasp-out":
        return _steps_against_nelm(_outcar_events(path))
    if kind == "vasp-xml":
        return _steps_against_nelm(_vasprun_events(path))
    if kind not in _MARKS:
        return []
    found: list[bool] = []
    pattern = re.compile(_MARKS[kind])
    warned = False
    for line in _lines(path):
        for match in pattern.finditer(line):
            failed = _FAILED.search(match[0]) is not None
            if kind in _WARNS_BEFORE:
                if failed:
                    warned = True
                    continue
                found.append(not warned)
                warned = False
            else:
                found.append(not failed)
    return found


def _steps_against_nelm(events: Iterator[tuple[str, int]]) -> list[bool]:
    """`events`: ("nelm", value), ("step", number in its cycle), ("end", 0) of a cycle."""
    converged: list[bool] = []
    nelm = steps = 0
    for event, value in events:
        if event == "nelm":
            nelm = value
        elif event == "step":
            steps = value
        else:
            converged.append(not nelm or steps < nelm)
            steps = 0
    return converged


def _outcar_events(path: str) -> Iterator[tuple[str, int]]:
    for line in _lines(path):
        for match in _OUTCAR.finditer(line):
            if match[1] is not None:
                yield "nelm", int(match[1])
            elif match[3] is not None:
                yield "step", int(match[3])
            else:
                yield "end", 0


def _vasprun_events(path: str) -> Iterator[tuple[str, int]]:
    steps = 0
    for line in _lines(path):
        for match in _STEP.finditer(line):
            if match[1] is not None:
                yield "nelm", int(match[1])
            elif match[0] == "<scstep":
                steps += 1
                yield "step", steps
            else:
                steps = 0
                yield "end", 0


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="latin-1") as stream:
        yield from stream
