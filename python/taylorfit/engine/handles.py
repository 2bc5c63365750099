"""Objects of the engine that live from call to call, and the arrays they see.

An array that outlives a call must not be copied on the way to Fortran: the copy would be gone after the call, and the
engine would read freed memory.  So its address and shape are passed, once its type and order have been checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, SupportsIndex, TypeAlias

import numpy as np

from ..errors import EngineError
from .runtime import FortranDerivedType

_COLUMN = 5
"""Numbers that describe an array: its address and four extents (`column` in views.f90)."""
Zeros: TypeAlias = "Callable[[int, type], np.ndarray]"
"""Where large arrays come from: so many zeros of a type."""
_LINE = 64
"""Bytes of a cache line (`line` in tree_sum.f90)."""


class StopToken:
    """A wish to end long calls, seen by all handles that were made with it; any thread may set it."""

    def __init__(self) -> None:
        self.number = np.zeros(1, dtype=np.int32)
        """(1,) what the engine looks at"""

    def set(self) -> None:
        """End the calls that are running, and those to come, early; their results are incomplete."""
        self.number[0] = 1

    def is_set(self) -> bool:
        """Return whether it has been set."""
        return bool(self.number[0])


class Handle:
    """A Fortran object, empty at first.

    It is freed with the last reference to it or after `close`, but never while a call uses it.  It cannot be copied
    or pickled: what it is made from can.
    """

    def __init__(self, make: Callable[[], FortranDerivedType]) -> None:
        self._object: FortranDerivedType | None = make()

    @property
    def object(self) -> FortranDerivedType:
        """What a call takes.

        Raises
        ------
        EngineError
            after `close`.
        """
        if self._object is None:
            raise EngineError(f"{type(self).__name__} is used after it was closed")
        return self._object

    def keep(self, *arrays: np.ndarray) -> None:
        """Keep arrays as long as the Fortran object lives, which has views of them."""
        self.object.kept = arrays

    def close(self) -> None:
        """Free it; doing so again changes nothing."""
        self._object = None

    def __copy__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be copied: it is an object of the engine")

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled: it is an object of the engine")


def views(*arrays: tuple[str, np.ndarray, type, int], written: bool = False) -> np.ndarray:
    """Return the table of addresses and shapes that Fortran makes views of.

    Parameters
    ----------
    arrays
        For each its name, itself in Fortran order, and the type and number of dimensions it must have.
    written
        Does the engine write to them?

    Raises
    ------
    EngineError
        if one is of another type, not in Fortran order, or read-only though it is to be written to.
    """
    table = np.ones((len(arrays), _COLUMN), dtype=np.int64)
    for row, (name, array, dtype, n_dimensions) in zip(table, arrays):
        problem = None
        if not isinstance(array, np.ndarray) or array.dtype != dtype or not array.dtype.isnative:
            problem = f"is no array of {np.dtype(dtype).name}"
        elif array.ndim != n_dimensions:
            problem = f"has {array.ndim} dimensions, not {n_dimensions}"
        elif not (array.flags.f_contiguous and array.flags.aligned):
            problem = "is not contiguous in the order that is wanted"
        elif written and not array.flags.writeable:
            problem = "is read-only"
        if problem:
            raise EngineError(f"wrong argument for the engine: {name} {problem}")
        row[0] = array.__array_interface__["data"][0]
        row[1 : 1 + n_dimensions] = array.shape
    return table.T


def aligned_zeros(n: int, dtype: type = np.float64) -> np.ndarray:
    """Return n zeros from the start of a cache line: vectors across two lines are slower."""
    size = np.dtype(dtype).itemsize
    room: np.ndarray = np.zeros(n + _LINE // size, dtype=dtype)
    start = -room.__array_interface__["data"][0] % _LINE // size
    return room[start : start + n]


def token_array(stop: StopToken | None) -> tuple[str, np.ndarray, type, int]:
    """Return the last entry of a table of `views`: the number of a token, or nothing."""
    return "stop", np.zeros(0, dtype=np.int32) if stop is None else stop.number, np.int32, 1
