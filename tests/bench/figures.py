"""What all benchmarks share: how long they may take, how they measure, and where their figures go.

`--quick` takes the smallest sizes, to see that everything runs; `--short` so few repeats that ``make bench`` (run.py)
ends within three minutes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from taylorfit import engine

QUICK = "--quick" in sys.argv
SHORT = QUICK or "--short" in sys.argv

FILE_VARIABLE = "TAYLORFIT_BENCH_FIGURES"
"""Environment variable: file that `record` adds lines to."""


def repeat(function: Callable[[], object], seconds: float = 2.0, least: int = 5) -> tuple[float, float]:
    """Minimum and median time of a call, s."""
    function()
    if SHORT:
        seconds, least = (0.0, 1) if QUICK else (0.2 * seconds, min(least, 3))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times), statistics.median(times)


def record(name: str, value: float, unit: str, *, limit: float | None = None, of: str = "") -> None:
    """Keep a figure for the table and the JSON file of run.py.

    Parameters
    ----------
    name
        What was measured, the same in every run.
    value
        Time or size in `unit`: less is better.
    limit
        The least it could be.
    of
        What sets the limit, e.g. "dgemm".
    """
    file = os.environ.get(FILE_VARIABLE)
    if file is None:
        return
    line = {"name": name, "value": value, "unit": unit, "limit": limit, "of": of}
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def limit_of(what: str) -> float:
    """What this core can do: `dgemm` in flop/s or `read` in B/s, measured once by run.py, else now."""
    known = os.environ.get(f"TAYLORFIT_BENCH_{what.upper()}")
    return float(known) if known else LIMITS[what]()


def dgemm() -> float:
    """Products of matrices that stay in the cache, on one thread, flop/s."""
    n, repeats = 256, 4
    a = np.random.default_rng(0).standard_normal((n, n))
    best, _ = repeat(lambda: engine.blas_product(a, a, repeats), 1.0)
    return repeats * 2.0 * n**3 / best


def read() -> float:
    """Reading numbers from memory, on one thread, B/s."""
    values = np.ones(1 << (16 if QUICK else 25))
    best, _ = repeat(values.max, 1.0)
    return values.nbytes / best


LIMITS = {"dgemm": dgemm, "read": read}
