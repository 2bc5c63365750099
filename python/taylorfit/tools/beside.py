"""A call in a thread beside the caller, for one that waits in the engine or for a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Other(Generic[Result]):
    """A call that is made in another thread, or when its result is asked for."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._result: list[Result] = []
        self.error: BaseException | None = None

    def call(self) -> None:
        """Make the call, and keep its result or its error."""
        try:
            self._result = [self._function()]
        except BaseException as error:  # raised again in the thread that waits
            self.error = error

    def result(self) -> Result:
        """Return what the call returned, or raise what it raised."""
        if not self._result and self.error is None:
            self.call()
        if self.error is not None:
            raise self.error
        return self._result[0]


@contextmanager
def beside(function: Callable[[], Result], *, is_needed: bool = True) -> Iterator[Other[Result]]:
    """Call a function while the block runs, and wait for it at the end of the block.

    Its error is raised then, in place of one that the block raised meanwhile: it comes from earlier data.

    Parameters
    ----------
    is_needed
        no: the function is called when its result is asked for, without a thread
    """
    other = Other(function)
    if not is_needed:
        yield other
        return
    thread = Thread(target=other.call)
    thread.start()
    try:
        yield other
    except Exception:
        thread.join()
        if other.error is not None:
            raise other.error from None
        raise
    finally:
        thread.join()
    if other.error is not None:
        raise other.error
