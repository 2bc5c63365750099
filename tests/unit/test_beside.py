"""A call beside another one: its result, and whose error is raised."""

from __future__ import annotations

import threading

import pytest

from taylorfit.tools.beside import beside


def fail(text: str) -> None:
    raise ValueError(text)


def test_the_function_runs_while_the_block_does() -> None:
    begun = threading.Event()

    def function() -> str:
        begun.set()
        return threading.current_thread().name

    with beside(function) as other:
        assert begun.wait(10.0)
    assert other.result() != threading.current_thread().name


def test_without_need_it_is_called_when_asked() -> None:
    called: list[int] = []
    with beside(lambda: called.append(1), is_needed=False) as other:
        assert not called
    other.result()
    other.result()
    assert called == [1]


def test_its_error_comes_before_that_of_the_block() -> None:
    with pytest.raises(ValueError, match="earlier data"), beside(lambda: fail("earlier data")):
        fail("later data")
    with pytest.raises(ValueError, match="earlier data"), beside(lambda: fail("earlier data")):
        pass


def test_the_error_of_the_block_is_raised_once_the_function_is_done() -> None:
    done: list[int] = []
    with pytest.raises(ValueError, match="block"), beside(lambda: done.append(1)):
        fail("block")
    assert done == [1]
