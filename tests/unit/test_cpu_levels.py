"""The builds of the engine for x86-64, AVX2 and AVX-512: each loads, and all agree to rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from taylorfit import _cpu, engine

LEVELS = {1: "_ext", 3: "_ext_v3", 4: "_ext_v4"}

PROGRAM = """
import json
import numpy as np
from taylorfit import engine
from taylorfit.model.descriptor import chebyshev_setup
from taylorfit.model.structure import Structure

rng = np.random.default_rng(5)
setups = [chebyshev_setup(s, ("O", "H"), radial_cutoff=5.0, radial_order=8, angular_cutoff=4.0, angular_order=3)
          for s in ("O", "H")]
grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) * 1.9
structure = Structure(symbols=("O", "H", "H") * 9, positions=grid + rng.uniform(-0.3, 0.3, grid.shape),
                      cell=np.eye(3) * 5.7, pbc=(True, True, False))
tables = engine.DescriptorTables.from_setups(("O", "H"), setups)
values = engine.describe([structure], tables)[0][0]
slopes = [one.images for one in engine.descriptor_derivatives(structure, tables)][4]
tanh = engine.activation(1, np.linspace(-6.0, 6.0, 41))
panel = engine.panel_products(rng.normal(size=(16, 11)), rng.normal(size=(7, 11)))
product = engine.blas_product(rng.normal(size=(37, 21)), rng.normal(size=(21, 13)))
results = [np.ravel(a).tolist() for a in (values, slopes, *tanh, *panel, product)]
print(json.dumps({"build": engine.build_name(), "results": results}))
"""


def run(level: int) -> dict:
    """Run PROGRAM in a process of its own, with the build for `level`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "TAYLORFIT_CPU": str(level)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def baseline() -> dict:
    """What the build for any processor says."""
    return run(1)


def test_baseline_loads(baseline: dict) -> None:
    assert baseline["build"] == LEVELS[1]
    assert all(np.isfinite(values).all() and np.any(values) for values in baseline["results"])


@pytest.mark.parametrize("level", [3, 4])
def test_builds_agree(level: int, baseline: dict) -> None:
    if find_spec(f"taylorfit.{LEVELS[level]}") is None:
        pytest.skip(f"x86-64-v{level} build of the engine is not installed")
    if _cpu.level() < level:
        pytest.skip(f"this processor cannot run the x86-64-v{level} build")
    other = run(level)
    assert other["build"] == LEVELS[level]
    for ours, theirs in zip(baseline["results"], other["results"], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-12 * np.abs(ours).max())


def test_best_build_is_chosen() -> None:
    if os.environ.get("TAYLORFIT_CPU"):
        pytest.skip("TAYLORFIT_CPU forces a build")
    possible = [
        level for level, name in LEVELS.items() if level <= _cpu.level() and find_spec(f"taylorfit.{name}") is not None
    ]
    assert engine.build_name() == LEVELS[max(possible)]


def test_wrong_level_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "taylorfit", "generate", "nothing.in"],
        capture_output=True,
        text=True,
        env={**os.environ, "TAYLORFIT_CPU": "2"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "TAYLORFIT_CPU" in done.stderr and done.stderr.count("\n") == 1


def test_environment_is_left_alone() -> None:
    program = "import os; before = dict(os.environ); import taylorfit.engine; assert dict(os.environ) == before"
    for extra in ({}, {"OPENBLAS_NUM_THREADS": "3", "OPENBLAS_CORETYPE": "Haswell"}):
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **extra}, timeout=120, check=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 8), (64, 70, 33), (3, 0, 4)])
def test_blas_product(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    np.testing.assert_allclose(engine.blas_product(a, b, 2), a @ b, rtol=1e-13, atol=1e-13)
