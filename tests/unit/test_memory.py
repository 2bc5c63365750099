"""Memory that is not there: the engine says what it wanted and how much, and the process lives on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

START = """
import resource, sys
import numpy as np
import pass_cases
from taylorfit.errors import EngineError
from taylorfit.training.losses import EnergyLoss

def limit(megabytes):
    # Beyond what the process has now
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes * 2**20), resource.RLIM_INFINITY))

def steps(problem, weights):
    problem.terms().levenberg_marquardt(problem.all, len(problem.all), 1, 2.0, 0.0, weights, np.ones(1))

def gradient(problem, weights):
    problem.terms().evaluate(weights, np.empty(len(weights)))

def pass_of_adam(problem, weights):
    state = np.zeros((2, len(weights)))
    terms = problem.terms()
    rows = pass_cases.rows_of(terms, problem.all)
    terms.adam(rows, 40, (0.1, 0.9, 0.9, 1e-8, 0.0), weights, *state, np.zeros(1, np.int32))

small = pass_cases.Problem()
for what in (steps, gradient, pass_of_adam):
    what(small, small.weights.copy())
"""


def outcome(hidden: tuple[int, ...], what: str, megabytes: float, n_structures: int = 40) -> str:
    """What the engine says of a call in a process of its own that may have so much more memory."""
    script = START + (
        f"pass_cases.HIDDEN = {hidden}\n"
        f"large = pass_cases.Problem(n_structures={n_structures})\n"
        "weights = large.weights.copy()\n"
        f"limit({megabytes})\n"
        "try:\n"
        f"    {what}(large, weights)\n"
        "    print('done')\n"
        "except (EngineError, MemoryError) as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=TESTS / "unit",
        env={"PYTHONPATH": f"{TESTS}:{TESTS / 'unit'}:" + ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to know its memory")


@pytest.mark.parametrize("megabytes", (0, 60, 101, 104))
def test_levenberg_marquardt_of_a_large_network(megabytes: int) -> None:
    said = outcome((400, 400), "steps", megabytes)
    # The Jacobian: 40 structures, 326,402 weights
    if megabytes <= 60:
        assert said == "not enough memory for the Jacobian of a batch: 102 MiB more are needed"
    else:
        assert said == "done" or re.match(r"not enough memory for .*: \d+ MiB more are needed", said)


@pytest.mark.parametrize("megabytes", (10, 30, 40, 55))
def test_levenberg_marquardt_of_many_structures(megabytes: int) -> None:
    said = outcome((20, 20), "steps", megabytes, n_structures=4000)
    assert re.match(r"not enough memory for the .* of a batch: \d+ MiB more are needed", said)


@pytest.mark.parametrize(
    ("what", "megabytes"), [("gradient", 15), ("gradient", 16), ("gradient", 30), ("gradient", 71), ("pass_of_adam", 4)]
)
def test_gradients_of_a_large_network(what: str, megabytes: float) -> None:
    # A copy of weights that is not checked would end the process
    said = outcome((400, 400), what, megabytes)
    assert said == "done" or re.match(r"not enough memory for .*: \d+ MiB more|Unable to allocate [\d.]+ MiB", said)
    if megabytes == 30:
        assert said.startswith("not enough memory for partial sums")
    assert outcome((400, 400), what, 1000) == "done"


MANY_NETWORKS = """
import resource
import numpy as np
from test_handles import make_pack
from taylorfit.engine import Loss
from taylorfit.engine.potentials import NetworkTables
from taylorfit.errors import EngineError

n, ones = 2_000_000, np.ones(12)
nodes = np.ones(2 * n, np.int32)
many = NetworkTables(np.full(n, 2, np.int32), nodes, 0 * nodes, 1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
try:
    Loss(make_pack(), many, ones, ones)
except EngineError as error:
    print(error)
"""


def test_tables_that_are_set_up_are_checked_too() -> None:
    result = subprocess.run(
        [sys.executable, "-c", MANY_NETWORKS],
        cwd=TESTS / "unit",
        env={"PYTHONPATH": f"{TESTS}:{TESTS / 'unit'}:" + ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.match(r"not enough memory for networks: \d{3,} MiB more are needed", result.stdout)
