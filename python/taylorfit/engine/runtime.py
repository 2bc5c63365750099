"""What the generated module `_engine` needs to run: the bases of its classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FortranModule:
    """Base of the class that stands for a Fortran module; its procedures are static methods."""


class FortranDerivedType:
    """Base of the class that stands for a Fortran type: an object of it lives as long as the Fortran one."""

    _handle: Any
    """(4,) int32: where the Fortran object is"""
    kept: tuple[Any, ...] = ()
    """Arrays that the Fortran object has views of."""


def register_class(name: str) -> Callable[[type], type]:
    """Return a decorator that leaves a class as it is: nobody looks classes up by their Fortran names."""
    return lambda cls: cls
