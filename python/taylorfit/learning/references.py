"""References at work: calculators in processes of their own, a calculator of this process, commands, other machines."""

from __future__ import annotations

import io
import os
import pickle
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..engine import available_threads
from ..errors import InputError, TaylorfitError
from ..formats.structures.extxyz import write_extxyz
from ..formats.structures.files import read_files
from ..model.distances import nearest_image
from ..model.structure import Structure
from ..settings.label import Labelling, Reference
from ..tools.atomic_write import atomic_write
from ..tools.os_errors import make_folder
from .worker import PREPARED, evaluate_with

Answer = dict[str, Any]
"""Energy (eV), forces (eV/Å) and stress (eV/Å³) or None; or the `reason` why there are none."""

INPUT = "frame.extxyz"
RESULTS = ("vasprun.xml", "OUTCAR", "output.*")
"""What the folder of a frame is searched for, in this order."""
SKIP = "skip"
"""A file of this name in the folder of a frame sets it aside; its text is the reason."""
_SAME_PLACE = 1e-3
"""Å: results for atoms further away are those of another structure."""


class Evaluator:
    """What answers for structures; a context manager."""

    provenance: dict[str, str]
    """Reference and versions, for the labels."""

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started."""

    def answers(self, structures: Sequence[Structure]) -> Iterator[tuple[int, Answer]]:
        """Yield place and answer of each structure, as they come; not those that are to wait."""
        raise NotImplementedError


class OwnCalculator(Evaluator):
    """A calculator object, evaluated in this process, one frame after the other."""

    def __init__(self, calculator: Any) -> None:
        kind = type(calculator)
        self._calculator = calculator
        self.provenance = {"reference": f"{kind.__module__}:{kind.__qualname__}"} | versions(kind.__module__)

    def answers(self, structures: Sequence[Structure]) -> Iterator[tuple[int, Answer]]:
        """Evaluate one after the other."""
        for place, structure in enumerate(structures):
            yield place, evaluate_with(self._calculator, structure)


class _Process:
    """A worker; started when first asked, and again after it has died."""

    def __init__(self, reference: Reference, reuse: bool, threads: int) -> None:
        self._first = (reference.calculator, dict(reference.options), reuse)
        self._environment = {"OMP_NUM_THREADS": str(threads)} | dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make sure that it runs and can make its calculator."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "taylorfit.learning.worker"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for us alone: no frame shall be set aside for it
        )
        answer = self._ask(self._first)
        if answer != PREPARED:
            self.close()
            raise (
                answer if isinstance(answer, TaylorfitError) else TaylorfitError(f"the reference is {answer['reason']}")
            )

    def ask(self, structure: Structure) -> Answer:
        """Evaluate a structure."""
        self.start()
        answer = self._ask(structure)
        return dict(answer)

    def _ask(self, message: object) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            pickle.dump(message, process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            code = self.close()
            return {"reason": f"not computed: the process died (exit code {code})"}

    def kill(self) -> None:
        """End it at once; whoever waits for an answer gets none."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> int | None:
        """End it; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()
        try:
            return process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class Calculators(Evaluator):
    """A calculator of ASE in several processes."""

    def __init__(self, reference: Reference, labelling: Labelling) -> None:
        n = labelling.processes or available_threads()
        threads = max(1, available_threads() // n)
        self._workers = [_Process(reference, labelling.reuse, threads) for _ in range(n)]
        self.provenance = {"reference": reference.text} | versions(reference.calculator)

    def answers(self, structures: Sequence[Structure]) -> Iterator[tuple[int, Answer]]:
        """Evaluate as many at a time as there are processes."""
        if not structures:
            return
        # Refuses what cannot be imported before anything is computed
        self._workers[0].start()
        idle: SimpleQueue[_Process] = SimpleQueue()
        used = self._workers[: len(structures)]
        for worker in used:
            idle.put(worker)

        def work(structure: Structure) -> Answer:
            worker = idle.get()
            try:
                return worker.ask(structure)
            finally:
                idle.put(worker)

        yield from _as_they_come(work, structures, len(used), self._kill)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()


class Commands(Evaluator):
    """A command for each frame, in a folder of its own that is removed afterwards."""

    def __init__(self, reference: Reference, labelling: Labelling) -> None:
        self._words = shlex.split(reference.command)
        self._n = labelling.processes or available_threads()
        self._running: set[subprocess.Popen[str]] = set()
        self.provenance = {"reference": reference.text} | versions()

    def answers(self, structures: Sequence[Structure]) -> Iterator[tuple[int, Answer]]:
        """Run as many commands at a time as there are processes."""
        yield from _as_they_come(self._run, structures, self._n, self._kill)

    def _kill(self) -> None:
        for process in list(self._running):
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def _run(self, structure: Structure) -> Answer:
        with tempfile.TemporaryDirectory(prefix="taylorfit-label-") as folder:
            names = {"{input}": os.path.join(folder, INPUT), "{output}": os.path.join(folder, "output")}
            write_extxyz(names["{input}"], [bare(structure)])
            words = [_replaced(word, names) for word in self._words]
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise InputError(f"the command cannot be run: {error.strerror or error}", value=words[0]) from None
            self._running.add(process)
            said, _ = process.communicate()
            self._running.discard(process)
            if process.returncode:
                last = (said.strip() or "it said nothing").splitlines()[-1]
                return {"reason": f"not computed: exit code {process.returncode}: {last[:200]}"}
            written = sorted(Path(folder).glob("output*"))
            if not written:
                return {"reason": "not computed: the command has not written {output}"}
            return read_answer(written[0], structure)


class Elsewhere(Evaluator):
    """Frames in folders of their own, computed by somebody else."""

    def __init__(self, reference: Reference, folder: Path) -> None:
        self.folder = folder
        self.provenance = {"reference": reference.text} | versions()

    def place_of(self, structure: Structure) -> Path:
        """The folder of a frame."""
        return self.folder / f"frame-{structure.content_hash()[:16]}"

    def answers(self, structures: Sequence[Structure]) -> Iterator[tuple[int, Answer]]:
        """Read what is there, and write the frames that are not there yet."""
        for place, structure in enumerate(structures):
            folder = self.place_of(structure)
            found = next((path for name in RESULTS for path in sorted(folder.glob(name))), None)
            if (folder / SKIP).exists():
                text = (folder / SKIP).read_text(encoding="utf-8", errors="replace").strip()
                yield place, {"reason": " ".join(text.split()) or "skipped"}
            elif found is not None:
                yield place, read_answer(found, structure)
            elif not (folder / INPUT).exists():
                make_folder(folder)
                if all(structure.pbc):
                    _write_poscar(folder / "POSCAR", structure)
                write_extxyz(folder / INPUT, [bare(structure)])


def open_reference(given: Reference | Any, labelling: Labelling, folder: Path) -> Evaluator:
    """Return what answers for a reference; `folder` is for frames that are computed elsewhere."""
    if not isinstance(given, Reference):
        return OwnCalculator(given)
    if given.calculator:
        return Calculators(given, labelling)
    return Commands(given, labelling) if given.command else Elsewhere(given, folder)


def bare(structure: Structure) -> Structure:
    """The atoms and the cell alone."""
    return Structure(structure.symbols, structure.positions, structure.cell, structure.pbc, name=structure.name)


def versions(module: str = "") -> dict[str, str]:
    """The versions of what has part in a label, in one text under `versions`."""
    names = dict.fromkeys(filter(None, (module.partition(":")[0].partition(".")[0], "ase", "taylorfit")))
    found = []
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return {"versions": ", ".join(found)}


def read_answer(path: Path, structure: Structure) -> Answer:
    """Read the last frame of a file of results, which must be of `structure`."""
    try:
        found = read_files([os.fspath(path)], index="-1")[-1]
    except TaylorfitError as error:
        return {"reason": f"not computed: {error}"}
    if found.symbols != structure.symbols:
        return {"reason": f"the results are of other atoms: {found.formula}, or in another order"}
    step = nearest_image(found.positions - structure.positions, structure)
    if not np.abs(step).max() < _SAME_PLACE:
        return {"reason": f"the results are of other positions, {np.abs(step).max():.3g} Å away"}
    if not found.converged:
        return {"reason": "unconverged"}
    if found.energy is None or found.forces is None:
        return {"reason": "the results lack energy or forces"}
    return {"energy": found.energy, "forces": found.forces, "stress": found.stress}


def _replaced(word: str, names: dict[str, str]) -> str:
    for key, value in names.items():
        word = word.replace(key, value)
    return word


def _write_poscar(path: Path, structure: Structure) -> None:
    from ase.io.vasp import write_vasp

    text = io.StringIO()
    write_vasp(text, bare(structure).to_ase())
    with atomic_write(path) as stream:
        stream.write(text.getvalue())


def _as_they_come(
    work: Callable[[Structure], Answer], structures: Sequence[Structure], n: int, kill: Callable[[], None]
) -> Iterator[tuple[int, Answer]]:
    """Work on several at a time; after an error or an interrupt what runs is killed, and nothing new begun."""
    pool = ThreadPoolExecutor(max_workers=n)
    try:
        waiting = {pool.submit(work, structure): place for place, structure in enumerate(structures)}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        kill()
        raise
    finally:
        pool.shutdown(wait=True)
