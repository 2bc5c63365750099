"""Generating training sets: read structures → displace → expand → describe → write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from .engine import DescriptorTables, describe
from .errors import InputError
from .formats.atomic_write import check_writable
from .formats.trainset_binary import TrainsetWriter
from .formats.xsf import write_xsf
from .structure import Structure
from .taylor.displacements import DisplacementPlan
from .taylor.expansion import taylor_energies

BATCH_ATOMS = 16384
"""Atoms (copies counted) per engine call: a fraction of a second, so that Ctrl-C and progress live."""

ISOLATED_MARGIN = 1.0e-6
"""ænet stores isolated structures relative to their bounding box, this far (Å) from its corner."""

_LONGEST_STEM = 150  # characters; names of files may have 255 bytes


class XsfCopies:
    """A folder of Taylor copies as XSF files, for any other energy trainer; a context manager.

    The folder is made at the start of the ``with`` block.  If that ends with an exception, the
    files written so far are removed again, and so is the folder if it was not there before.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self._directory = Path(directory)
        self._written: list[Path] = []
        self._stems: set[str] = set()
        self._is_new = False

    def __enter__(self) -> XsfCopies:
        check_xsf_directory(self._directory)
        self._is_new = not self._directory.exists()
        self._directory.mkdir(exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is None:
            return
        with suppress(OSError):
            for path in self._written:
                path.unlink(missing_ok=True)
            if self._is_new:
                self._directory.rmdir()

    def write(self, structure: Structure, names: Sequence[str], displacements: np.ndarray,
              energy_changes: np.ndarray) -> None:
        """Write the copies of one structure: (n_copy, n_atom, 3) displacements in Å, (n_copy,) eV."""
        stem = self._stem(structure.name)
        for number, (name, displacement, change) in enumerate(zip(names, displacements, energy_changes)):
            copy = Structure(
                symbols=structure.symbols, positions=structure.positions + displacement, cell=structure.cell,
                pbc=structure.pbc, forces=structure.forces,
                energy=None if structure.energy is None else structure.energy + change,
                cohesive_energy=structure.cohesive_energy + change if structure.cohesive_energy else None,
                name=name,
            )
            path = self._directory / f"{stem}-taylor-{number:04d}.xsf"
            self._written.append(path)
            write_xsf(path, copy, comments=[
                f"first-order Taylor copy {name}", "energy expanded to first order; forces are those of the parent",
            ])

    def _stem(self, name: str) -> str:
        """A flat file name for a structure, from the end of its path and its frame; used only once."""
        path, _, frame = name.rpartition("#") if name.rpartition("#")[2].isdigit() else (name, "", "")
        plain = re.sub(r"[^\w.+-]+", "_", path.removesuffix(".xsf")).strip("._")[-_LONGEST_STEM:]
        wanted = stem = (plain or "structure") + (f"_{int(frame):06d}" if frame else "")
        again = 1
        while stem in self._stems:
            again += 1
            stem = f"{wanted}_again{again}"
        self._stems.add(stem)
        return stem


def check_xsf_directory(directory: str | PathLike[str]) -> None:
    """Refuse a folder for XSF copies that holds files or could not be made.

    Raises
    ------
    InputError
        saying why.
    """
    path = Path(directory)
    if not path.is_dir():
        check_writable(path, overwrite=False)
        return
    try:
        occupied = any(path.iterdir())
    except OSError as error:
        raise InputError(f"cannot be used for XSF copies ({error.strerror})", file=path) from None
    if occupied:
        raise InputError("is not empty", file=path, expected="an empty or new folder for the XSF copies")
    check_writable(path / "copy.xsf")


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where structures and copies go."""

    parents: TrainsetWriter
    copies: TrainsetWriter
    """The same writer when copies are to stand in the same file."""
    xsf_copies: XsfCopies | None = None
    """Also write the copies as XSF files here."""


@dataclass(frozen=True)
class GenerationCounts:
    """What was written."""

    structures: int
    copies: int
    atoms: int
    """Atoms of all structures and copies."""


def write_training_sets(
    structures: Sequence[Structure],
    plan: DisplacementPlan | None,
    tables: DescriptorTables,
    atomic_energies: dict[str, float],
    outputs: Outputs,
    *,
    threads: int = 0,
    advance: Callable[[int], None] = lambda done: None,
) -> GenerationCounts:
    """Describe structures and their displaced copies and stream them into training sets.

    A copy's energy is the first-order Taylor energy of its parent (eq. 10 of Cooper et al.
    2020); its descriptors are exact.  As the forces of a copy the file gets those of its
    parent, their zeroth-order expansion: nothing reads them in training.

    Parameters
    ----------
    advance
        called with the number of structures done

    Raises
    ------
    InputError
        for a structure without energy, with unknown species, or with coinciding atoms.
    """
    n_structures = n_copies = n_atoms = 0
    for batch in _batches(structures, plan):
        shifts = [_displacements(structures[s], plan, s) for s in batch]
        described = describe([structures[s] for s in batch], tables, shifts, threads=threads)
        for s, shift, (values, positions) in zip(batch, shifts, described):
            structure = structures[s]
            energy = structure.reference_energy(atomic_energies)
            if energy is None:
                raise InputError("no energy", file=structure.name, expected="a total or cohesive energy")
            forces = np.zeros((structure.n_atoms, 3)) if structure.forces is None else structure.forces
            species = structure.species_index(tables.species)
            n_species = len(np.unique(species))
            if not any(structure.pbc):
                positions = positions - positions.min(axis=1, keepdims=True) + ISOLATED_MARGIN
            outputs.parents.add(structure.name, n_species, energy, species, positions[0], forces, values[0])
            n_structures += 1
            n_atoms += structure.n_atoms * len(shift)
            if len(shift) == 1:
                continue
            names = plan.copy_names(s, structure.name)
            moved = shift[1:]
            energies = taylor_energies(energy, forces, moved)
            outputs.copies.add_many(
                names, n_species, energies, species, positions[1:],
                np.broadcast_to(forces, moved.shape), values[1:],
            )
            n_copies += len(moved)
            if outputs.xsf_copies is not None:
                outputs.xsf_copies.write(structure, names, moved, energies - energy)
        advance(n_structures)
    return GenerationCounts(n_structures, n_copies, n_atoms)


def _batches(structures: Sequence[Structure], plan: DisplacementPlan | None) -> Iterator[list[int]]:
    """Cut the structure indices into runs of about `BATCH_ATOMS` atoms, copies counted."""
    batch: list[int] = []
    n = 0
    for s, structure in enumerate(structures):
        batch.append(s)
        n += structure.n_atoms * (1 + (int(plan.n_copies[s]) if plan else 0))
        if n >= BATCH_ATOMS:
            yield batch
            batch, n = [], 0
    if batch:
        yield batch


def _displacements(structure: Structure, plan: DisplacementPlan | None, s: int) -> np.ndarray:
    """(1 + n_copy, n_atom, 3): the structure itself, then its copies, Å."""
    itself = np.zeros((1, structure.n_atoms, 3))
    if plan is None or plan.n_copies[s] == 0:
        return itself
    return np.concatenate([itself, plan.displacements(s)])
