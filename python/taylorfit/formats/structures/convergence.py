"""Did the self-consistency cycles behind the frames of an output file converge?  By the marks of each program."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARKS = {
    # A cycle that failed, perhaps before its energy is printed | the end of each cycle, in the order of the frames
    "espresso-out": (r"convergence NOT achieved", r"convergence (?:has been achieved|NOT achieved)"),
    "aims-output": (
        r"SELF-CONSISTENCY CYCLE DID NOT CONVERGE",
        r"Self-consistency cycle converged\.|SELF-CONSISTENCY CYCLE DID NOT CONVERGE",
    ),
    "gpaw-out": (r"Did not converge!", r"Converged after \d+ iterations|Did not converge!"),
    "gaussian-out": (r"Convergence criterion not met|Convergence failure", r"SCF Done:"),
    "castep-castep": (r"has not reached the groundstate|electronic minimisation did not converge", r"Final energy"),
    "abinit-out": (r"was not enough SCF cycles", r"was not enough SCF cycles|At SCF step\s+\d+[^\n]*converged"),
    "nwchem-out": (r"Calculation failed to converge", r"Total (?:DFT|SCF) energy"),
    "orca-output": (r"SCF NOT CONVERGED AFTER|not fully converged", r"FINAL SINGLE POINT ENERGY"),
    # By dpdata's names
    "siesta/output": (r"SCF_NOT_CONV|SCF cycle not converged", r"siesta: E_KS\(eV\) ="),
    "cp2k/output": (r"SCF run NOT converged|outer SCF loop FAILED to converge", r"ENERGY\| Total FORCE_EVAL"),
    "abacus": (r"(?i)convergence has not been achieved", r"final etot is|TOTAL ENERGY"),
}
_CONTINUED = re.compile(r"EXX: now go back to refine exchange")
"""Of Quantum ESPRESSO with hybrid functionals: the cycle that ended is one of several."""

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
    failed, ended = (re.compile(marks) for marks in _MARKS[kind])
    has_failed = False
    for line in _lines(path):
        has_failed = has_failed or failed.search(line) is not None
        if ended.search(line):
            found.append(not has_failed)
            has_failed = False
        elif found and _CONTINUED.search(line):
            found.pop()
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
