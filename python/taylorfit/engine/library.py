"""The extension itself: which build is loaded, and how it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import EngineError, InputError
from ..tools.environment import environment

LANES = 8
"""Panels of atoms are padded to a multiple of this (`lanes` in kinds.f90)."""

_LEVEL_VARIABLE = "TAYLORFIT_CPU"


def _library_settings(processor: int) -> dict[str, str]:
    """Environment in which the libraries of the engine start; they read it once, while they are loaded."""
    settings = {"OPENBLAS_NUM_THREADS": "1"}
    # OpenBLAS takes some newer AVX-512 processors for AVX2 ones, at a third of the speed
    if processor >= 4 and "OPENBLAS_CORETYPE" not in os.environ:
        settings["OPENBLAS_CORETYPE"] = "SkylakeX"
    # By default waiting threads of GNU OpenMP spin for about a millisecond, which on a busy machine keeps
    # the thread they wait for from running: small data sets then train up to ten times slower
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        settings["GOMP_SPINCOUNT"] = "10000"
    return settings


def _load() -> tuple[ModuleType, str]:
    """Import the build of the engine that suits this processor, or the one the user names."""
    package = __package__.rpartition(".")[0]
    wanted = os.environ.get(_LEVEL_VARIABLE)
    if wanted not in (None, "", "1", "3", "4"):
        raise InputError(f"{_LEVEL_VARIABLE} names no processor level", value=wanted, expected="1, 3 or 4")
    processor = importlib.import_module("._cpu", package).level()
    level = int(wanted) if wanted else processor
    for candidate in (4, 3, 1):
        if candidate > level:
            continue
        suffix = "" if candidate == 1 else f"_v{candidate}"
        try:
            with environment(_library_settings(processor)):
                extension = importlib.import_module(f"._ext{suffix}", package)
        except ModuleNotFoundError:
            continue
        # The generated wrapper imports taylorfit._ext by name, and looks it up as an attribute
        sys.modules[f"{package}._ext"] = extension
        vars(sys.modules[package])["_ext"] = extension
        return importlib.import_module("._engine", package), f"_ext{suffix}"
    raise EngineError("no build of the engine was installed; reinstall taylorfit")


_engine, _build_name = _load()
structures = _engine.tf_api_structures
descriptors = _engine.tf_api_descriptors
potentials = _engine.tf_api_potentials
force_maps = _engine.tf_api_force_maps
losses = _engine.tf_api_losses
optimisers = _engine.tf_api_optimisers
sums = _engine.tf_api_sums


def build_name() -> str:
    """Name of the loaded extension: which processor level is in use."""
    return _build_name


def c_folders() -> tuple[Path, Path]:
    """Folder of the header `taylorfit.h`, and of the library `libtaylorfit` for programs in C."""
    file = sys.modules[f"{__package__.rpartition('.')[0]}._ext"].__file__
    assert file is not None
    beside = Path(file).parent
    return (beside / "include", beside / "_libs") if (beside / "_libs").is_dir() else (beside, beside)


def blas_name() -> str:
    """Name of the BLAS the engine was built with, `none` for plain loops."""
    return str(optimisers.blas_library()).strip()


def available_threads() -> int:
    """Number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def call(function: Callable[..., Any], *arguments: object, names: Sequence[str] = ()) -> Any:
    """Call the engine; the one place where its errors become exceptions, which name the structure they are about."""
    try:
        return function(*arguments)
    except RuntimeError as error:
        message, item = (*error.args, 0)[:2]
        if 0 < item <= len(names):
            raise InputError(message, file=names[item - 1] or None) from None
        raise EngineError(message) from None
    except (ValueError, TypeError) as error:  # from f2py: a programming error on our side
        raise EngineError(f"wrong argument for the engine: {error}") from error


def integers(values: object) -> np.ndarray:
    """Return an int32 array in Fortran order."""
    return np.asfortranarray(values, dtype=np.int32)


def thread_count(threads: int) -> int:
    """Return the number of threads to use; 0 means all cores, and one in a process forked from one with threads.

    Raises
    ------
    EngineError
        for several threads in such a process.
    """
    wanted = available_threads() if threads == 0 else threads
    if wanted > 1 and not _THREADS.are_alive():
        if threads == 0:
            return 1
        raise EngineError(
            "this process was forked from one in which taylorfit had used threads, and these are not there any more: "
            'use threads=1, or start processes by multiprocessing.get_context("spawn")'
        )
    return wanted


class _Threads:
    """The process that the threads of the engine belong to: a fork does not copy them, and would wait for ever."""

    def __init__(self) -> None:
        self._process: int | None = None

    def are_alive(self) -> bool:
        """Whether several threads can be used here; from now on they are taken to be in use."""
        self._process = self._process or os.getpid()
        return self._process == os.getpid()


_THREADS = _Threads()
