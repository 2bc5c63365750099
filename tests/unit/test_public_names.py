"""The public names: imported when first used, documented, and the same in the stub that editors read."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import taylorfit

PYTHON = Path(__file__).parents[2] / "python"


def test_the_stubs_are_up_to_date():
    script = runpy.run_path(str(PYTHON / "write_stub.py"))
    for package in script["PACKAGES"]:
        written = script["stub_of"](package).read_text(encoding="utf-8")
        assert written == script["stub"](package), "run python python/write_stub.py"


@pytest.mark.parametrize("name", [name for name in taylorfit.__all__ if name != "__version__"])
def test_each_name_is_there_and_says_what_it_is(name):
    assert name in dir(taylorfit)
    assert (getattr(taylorfit, name).__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="potatoes"):
        _ = taylorfit.potatoes


def test_importing_taylorfit_imports_nothing_large():
    program = "import sys, taylorfit; print([m for m in ('numpy', 'ase', 'taylorfit.engine') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # An editable install looks for changed sources at import, which takes modules of its own, but none of these
    assert done.stdout.strip() == "[]"
