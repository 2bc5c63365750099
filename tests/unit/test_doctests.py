"""The examples in the docstrings of the public functions run, and every verb has one."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import pytest

import taylorfit

VERBS = [name for name in taylorfit.__all__ if name.islower() and inspect.isfunction(getattr(taylorfit, name))]


@pytest.mark.filterwarnings("ignore::taylorfit.DataWarning")
@pytest.mark.parametrize("module", taylorfit.EXPORTS)
def test_examples(module: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(import_module(f"taylorfit.{module}"))
    assert results.failed == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_tells_its_arguments_and_has_an_example(name: str):
    function = getattr(taylorfit, name)
    for part in ("Parameters\n", "Raises\n", "Examples\n", ">>> "):
        assert part in function.__doc__, part
    described = function.__doc__
    if name != "train_committee":  # which has the arguments of `train`
        assert all(argument in described for argument in inspect.signature(function).parameters)
