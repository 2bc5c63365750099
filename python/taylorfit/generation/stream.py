"""Structures and their copies as a stream: displaced, described, and handed to the training sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ..engine import DescriptorTables, StopToken, describe, thread_count
from ..errors import InputError
from ..formats.aenet.trainset_writer import TrainsetSink
from ..formats.structures.xsf_folder import XsfFolder
from ..model.structure import Structure
from ..tools.chunks import runs
from ..tools.parallel import in_order
from ..tools.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from ..formats.aenet.trainset_packer import SinkPart, TrainsetPacker
    from ..taylor.copies import Copies, CopySource

BATCH_ATOMS = 16384
"""Atoms (copies counted) per engine call: a fraction of a second, so that Ctrl-C and progress live."""

ISOLATED_MARGIN = 1.0e-6
"""ænet stores isolated structures relative to their bounding box, this far (Å) from its corner."""

_ENOUGH = 1 << 20  # bytes of descriptors that are packed without waiting for others, for those are copied together

_LONGEST_STEM = 150  # characters; names of files may have 255 bytes


class XsfCopies(XsfFolder):
    """A folder of Taylor copies as XSF files, for any other energy trainer."""

    def __init__(self, directory: str | PathLike[str]) -> None:
        super().__init__(directory)
        self._stems: set[str] = set()

    def write(self, parent: Structure, copies: Copies, description: str) -> None:
        """Write the copies of one structure; `description` says how their energies are expanded."""
        stem = self._stem(parent.name)
        for number, copy in enumerate(copies.structures(parent)):
            self.add(
                f"{stem}-taylor-{number:04d}.xsf",
                copy,
                [f"Taylor copy {copy.name}", f"{description}; forces are those of the parent"],
            )

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


class Outputs(NamedTuple):
    """Where structures and copies go."""

    parents: TrainsetSink
    copies: TrainsetSink
    """The same one when copies are to stand with their parents."""
    xsf_copies: XsfCopies | None = None
    """Also write the copies as XSF files here."""


class GenerationCounts(NamedTuple):
    """What was written."""

    structures: int
    copies: int
    atoms: int
    """Atoms of all structures and copies."""


Described: TypeAlias = "list[tuple[np.ndarray, np.ndarray]]"
"""For each structure (1 + n_copy, n_value) descriptors and (1 + n_copy, n_atom, 3) positions, Å."""


def write_training_sets(
    structures: Sequence[Structure],
    source: CopySource | None,
    tables: DescriptorTables,
    atomic_energies: dict[str, float],
    outputs: Outputs,
    *,
    threads: int = 0,
    advance: Callable[[int], None] = lambda done: None,
    ranks: Ranks = ALONE,
) -> GenerationCounts:
    """Describe structures and their copies and stream them into training sets.

    A copy's energy is the Taylor energy of its parent (eq. 10 of Cooper et al. 2020, with what
    `source` knows of the second order); its descriptors are exact.  As the forces of a copy the file gets
    those of its parent, their zeroth-order expansion: nothing reads them in training.

    Parameters
    ----------
    source
        where copies come from; None: there are none
    advance
        called with the number of structures done
    ranks
        share descriptors and packing; the first of them has the structures, and writes

    Raises
    ------
    InputError
        for a structure without energy, with unknown species, or with coinciding atoms.
    """

    def atoms(s: int) -> int:
        return structures[s].n_atoms * (1 + (int(source.n_copies[s]) if source else 0))

    batches = list(runs(range(len(structures)), atoms, BATCH_ATOMS))
    threads = thread_count(threads)
    maker = _Maker(
        tables,
        atomic_energies,
        outputs.parents.packer,
        None if outputs.copies is outputs.parents else outputs.copies.packer,
        # Few batches: the threads share their structures
        max(1, threads * ranks.size // max(len(batches), 1)),
    )
    stream = _Stream(structures, source, outputs)
    made = stream.over_threads if ranks.size == 1 else partial(stream.over_ranks, ranks)
    with closing(made(maker, batches, threads)) as ready:
        for done in ready:
            stream.take(done)
            advance(stream.n_structures)
    return GenerationCounts(stream.n_structures, stream.n_copies, stream.n_atoms)


_Batch: TypeAlias = "list[tuple[Structure, Copies | None]]"
"""Structures with their copies."""
_Ready: TypeAlias = "list[tuple[bool, SinkPart]]"
"""Parts in the order of the training sets; whether they are of copies."""


class _Stream:
    """Makes copies, and hands structures and copies that are ready to the outputs, in order."""

    def __init__(self, structures: Sequence[Structure], source: CopySource | None, outputs: Outputs) -> None:
        self._structures, self._source, self._outputs = structures, source, outputs
        self.n_structures = self.n_copies = self.n_atoms = 0

    def over_threads(
        self, maker: _Maker, batches: Sequence[Sequence[int]], threads: int
    ) -> Generator[tuple[_Batch, _Ready], None, None]:
        """Yield all batches, made ready in threads of their own."""
        stop = StopToken()

        def one(numbers: Sequence[int]) -> tuple[_Batch, _Ready]:
            batch = self._with_copies(numbers)
            return batch, maker.ready(batch, stop)

        return in_order(one, batches, threads, stop.set)

    def over_ranks(
        self, ranks: Ranks, maker: _Maker, batches: Sequence[Sequence[int]], threads: int
    ) -> Generator[tuple[_Batch, _Ready], None, None]:
        """Yield all batches, some for each rank and thread at a time; copies are made and written by the first rank."""
        for several in runs(batches, lambda batch: 1, ranks.size * threads):
            made = [self._with_copies(numbers) for numbers in several]
            yield from zip(made, ranks.spread(partial(_all_ready, maker, threads), made))

    def _with_copies(self, numbers: Sequence[int]) -> _Batch:
        """Some structures with their copies; None for those without."""
        source, structures = self._source, self._structures
        if source is None:
            return [(structures[s], None) for s in numbers]
        return [(structures[s], source.of(s, structures[s]) if source.n_copies[s] else None) for s in numbers]

    def take(self, made: tuple[_Batch, _Ready]) -> None:
        """Hand on the structures of a batch with their copies."""
        batch, parts = made
        for is_copy, part in parts:
            (self._outputs.copies if is_copy else self._outputs.parents).take(part)
        for structure, copies in batch:
            n = 0 if copies is None else len(copies.names)
            self.n_structures += 1
            self.n_copies += n
            self.n_atoms += structure.n_atoms * (1 + n)
            if copies is not None and self._outputs.xsf_copies is not None and self._source is not None:
                self._outputs.xsf_copies.write(structure, copies, self._source.description)


class _Maker(NamedTuple):
    """Describes structures with their copies, and makes them ready for the training sets; ranks are sent it."""

    tables: DescriptorTables
    atomic_energies: dict[str, float]
    parents: TrainsetPacker
    copies: TrainsetPacker | None
    """None: copies stand with their parents."""
    threads: int
    """Of the engine."""

    def ready(self, batch: _Batch, stop: StopToken | None = None) -> _Ready:
        """Make a batch ready; `stop` as of `describe`."""
        found: _Ready = []
        parents = _Gathered(self.parents, False, found)
        others = parents if self.copies is None else _Gathered(self.copies, True, found)
        kinds: dict[tuple[str, ...], tuple[int, np.ndarray]] = {}
        for (structure, copies), (values, positions) in zip(batch, _described(self.tables, self.threads, batch, stop)):
            energy = self._energy(structure)
            if structure.symbols not in kinds:
                kinds[structure.symbols] = len(set(structure.symbols)), structure.species_index(self.tables.species)
            n_species, species = kinds[structure.symbols]
            forces = np.zeros((structure.n_atoms, 3)) if structure.forces is None else structure.forces
            isolated = not any(structure.pbc)
            # A copy with pushed atoms is no data, nor is what has no weight: a potential that comes there has left them
            in_range = not structure.pushed_from and structure.weight > 0.0
            kind = _Kind(n_species, species, isolated, in_range)
            parents.add(kind, [structure.name], np.array([energy]), positions[:1], forces[None], values[:1])
            if copies is None:
                continue
            kind = _Kind(n_species, species, isolated, True)
            same_forces = np.broadcast_to(forces, (len(copies.names), *forces.shape))
            others.add(kind, copies.names, energy + copies.energy_changes, positions[1:], same_forces, values[1:])
        parents.hand_on()
        others.hand_on()
        return found

    def _energy(self, structure: Structure) -> float:
        """Energy relative to the isolated atoms, eV, of reference data."""
        if structure.predicted_by:
            raise InputError(
                "energy and forces are those of a potential, not of a reference calculation",
                file=structure.name,
                value=f"potential={structure.predicted_by}",
                expected="reference data; --drop predicted leaves such frames out, ENERGY_KEY energy takes them",
            )
        energy = structure.reference_energy(self.atomic_energies)
        if energy is None:
            raise InputError("no energy", file=structure.name, expected="a total or cohesive energy")
        return energy


def _all_ready(maker: _Maker, threads: int, batches: list[_Batch]) -> list[_Ready]:
    """Make batches ready in threads of their own."""
    stop = StopToken()
    return list(in_order(partial(maker.ready, stop=stop), batches, threads, stop.set))


class _Kind(NamedTuple):
    """What structures must have in common to be handed on together."""

    n_species: int
    species: np.ndarray
    """(n_atom,) index"""
    isolated: bool
    in_range: bool


class _Gathered:
    """Packs structures of one kind that follow each other together, for each call of a packer takes its time."""

    def __init__(self, packer: TrainsetPacker, of_copies: bool, ready: _Ready) -> None:
        self._packer, self._of_copies, self._ready = packer, of_copies, ready
        self._kind: _Kind | None = None
        self._names: list[str] = []
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(self, kind: _Kind, names: Sequence[str], *arrays: np.ndarray) -> None:
        """Take structures: energies, positions, forces and descriptors as in `TrainsetSink.add_many`."""
        known = self._kind
        # Kinds with the same species share their array
        if known is None or known.species is not kind.species or known[2:] != kind[2:]:
            self.hand_on()
        self._kind = kind
        self._names += names
        self._parts.append(arrays)
        if arrays[-1].nbytes >= _ENOUGH:
            self.hand_on()

    def hand_on(self) -> None:
        """Pack what has been gathered."""
        if self._kind is not None and self._names:
            energies, positions, forces, values = (
                parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*self._parts)
            )
            n_species, species, isolated, in_range = self._kind
            if isolated:
                positions = positions - positions.min(axis=1, keepdims=True) + ISOLATED_MARGIN
            parts = self._packer.parts(self._names, n_species, energies, species, positions, forces, values, in_range)
            self._ready += [(self._of_copies, part) for part in parts]
        self._kind, self._names, self._parts = None, [], []


def _described(tables: DescriptorTables, threads: int, items: _Batch, stop: StopToken | None) -> Described:
    """Describe structures with their copies."""
    bases: list[Structure] = []
    displacements: list[np.ndarray] = []
    n_bases: list[int] = []
    for structure, copies in items:
        parts = [(structure, np.zeros((1, structure.n_atoms, 3)))]
        for base, moved in zip(copies.bases, copies.displacements) if copies is not None else ():
            if base is structure:  # shares the neighbours of the structure itself
                parts[0] = (base, np.concatenate([parts[0][1], moved]))
            else:
                parts.append((base, moved))
        bases += [base for base, _ in parts]
        displacements += [moved for _, moved in parts]
        n_bases.append(len(parts))
    described = iter(describe(bases, tables, displacements, threads=threads, stop=stop))
    found: Described = []
    for n in n_bases:
        values, positions = zip(*(next(described) for _ in range(n)))
        found.append((values[0], positions[0]) if n == 1 else (np.concatenate(values), np.concatenate(positions)))
    return found
