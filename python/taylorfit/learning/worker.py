"""A process that evaluates a calculator of ASE, frame after frame: `python -m taylorfit.learning.worker`.

Structures come and results go as pickles through a pipe; what the calculator prints goes to stderr.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from ..errors import InputError, TaylorfitError
from ..model.structure import VOIGT, Structure

PREPARED = "prepared"
"""First answer of a worker: it can make the calculator."""


def calculator_class(path: str) -> Any:
    """Import a class (or function) that makes calculators by `MODULE:CLASS`; modules of the working directory count.

    Raises
    ------
    InputError
        if there is none.
    """
    module, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise InputError("the reference cannot be imported", value=path, expected=str(error)) from None
    except AttributeError:
        raise InputError("the module has no such calculator", value=path, expected=f"a class in {module}") from None


def make_calculator(path: str, options: Mapping[str, Any]) -> Any:
    """Make a calculator.

    Raises
    ------
    InputError
        if it is not there, or refuses its options.
    """
    make = calculator_class(path)
    try:
        return make(**options)
    except Exception as error:
        raise InputError(
            f"the reference refuses its options ({_one_line(error)})", value=path, expected="arguments that it takes"
        ) from None


def evaluate_with(calculator: Any, structure: Structure) -> dict[str, Any]:
    """Return energy, forces and (of periodic cells) stress, or `reason` why there are none.

    The free energy where the calculator gives it: forces are its derivatives.
    """
    from ase import Atoms

    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.calc = calculator
    try:
        forces = np.array(atoms.get_forces(apply_constraint=False), dtype=np.float64)
        energy = float(atoms.get_potential_energy())
        free = getattr(calculator, "results", {}).get("free_energy")
        stress = None
        if all(structure.pbc) and "stress" in getattr(calculator, "implemented_properties", ()):
            stress = np.array(atoms.get_stress(voigt=True), dtype=np.float64)[VOIGT]
    except Exception as error:
        return {"reason": f"not computed: {_one_line(error)}"}
    if getattr(calculator, "converged", True) is False:
        return {"reason": "unconverged"}
    return {"energy": energy if free is None else float(free), "forces": forces, "stress": stress}


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Make the calculator that the first request names, then evaluate structures until the requests end."""

    def answer(found: Any) -> None:
        pickle.dump(found, answers)
        answers.flush()

    path, options, reuse = pickle.load(requests)
    try:
        calculator = make_calculator(path, options)
    except TaylorfitError as error:
        answer(error)
        return
    answer(PREPARED)
    while True:
        try:
            structure = pickle.load(requests)
        except EOFError:
            return
        answer(evaluate_with(calculator, structure))
        if not reuse:  # what it remembers of one frame would change the last digits of the next
            calculator = make_calculator(path, options)


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, channel)
