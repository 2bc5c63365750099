"""Objects of the engine that live from call to call, and the arrays they see.

An array that outlives a call must not be copied on the way to Fortran: the copy would be gone after the call, and the
engine would read freed memory.  So its address and shape are passed, once its type and order have been checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
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
_NO_TOKEN = np.zeros(0, dtype=np.int32)


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

    def check(self) -> None:
        """Raise KeyboardInterrupt if it has been set: results are incomplete."""
        if self.is_set():
            raise KeyboardInterrupt


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

    def keep(self, *arrays: Any) -> None:
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


def views(arrays: Mapping[str, Any], wanted: str, *, written: bool = False) -> np.ndarray:
    """Return the table of addresses and shapes that Fortran makes views of.

    Parameters
    ----------
    arrays
        By their names, such as the attributes of an object.
    wanted
        Name, type and dimensions of each, separated by commas, in the order of the table: ``weights f8 1``;
        ``atom_count i4 2T`` for one that the engine sees transposed.
    written
        The engine writes to them.

    Raises
    ------
    EngineError
        if one is of another type, not in the engine's (Fortran) order, or read-only though it is to be written to.
    """
    columns = _parsed(wanted)
    table = np.ones((len(columns), _COLUMN), dtype=np.int64)
    for row, (name, dtype, n_dimensions, is_transposed) in zip(table, columns):
        array, problem = arrays[name], None
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            problem = f"is no array of {dtype.name}"
        elif array.ndim != n_dimensions:
            problem = f"has {array.ndim} dimensions, not {n_dimensions}"
        elif not (array.flags["C" if is_transposed else "F"] and array.flags["A"]):
            problem = "is not contiguous in the order that is wanted"
        elif written and not array.flags["W"]:
            problem = "is read-only"
        if problem:
            raise EngineError(f"wrong argument for the engine: {name} {problem}")
        row[0] = array.__array_interface__["data"][0]
        row[1 : 1 + n_dimensions] = array.shape[::-1] if is_transposed else array.shape
    return table.T


@cache
def _parsed(wanted: str) -> list[tuple[str, np.dtype[Any], int, bool]]:
    rows = [one.split() for one in wanted.split(",")]
    return [(name, np.dtype(dtype), int(n[0]), n.endswith("T")) for name, dtype, n in rows]


def aligned_zeros(n: int, dtype: type = np.float64) -> np.ndarray:
    """Return n zeros from the start of a cache line: vectors across two lines are slower."""
    size = np.dtype(dtype).itemsize
    room: np.ndarray = np.zeros(n + _LINE // size, dtype=dtype)
    start = -room.__array_interface__["data"][0] % _LINE // size
    return room[start : start + n]


def token_array(stop: StopToken | None) -> np.ndarray:
    """Return what the engine looks at: the number of a token, or nothing."""
    return _NO_TOKEN if stop is None else stop.number
