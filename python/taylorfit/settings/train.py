"""train.in: which training set to fit, with which networks, which method and which loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

from ..model.activations import ACTIVATIONS
from .document import Document, FileEntry, Line, Word, as_entries, integer, suggestion, text
from .forces import FORCES, ForceMode
from .keyword_file import FILES, PATHS, InputFile, options, read_files, species_rows
from .methods import METHOD, SAMPLINGS, BfgsMethod, Method
from .option import (
    EPOCHS,
    FILE,
    FOLDER,
    INTEGER,
    REAL,
    TEXT,
    THREADS,
    VERBOSITY,
    Kind,
    Settings,
    one_of,
    option,
    quote,
    require,
    require_distinct_species,
    require_one_of,
)
from .reading import reading_option

AUTO, MEMORY, DISK = "auto", "memory", "disk"
"""Places of STORE."""
ACTIVATION_CODES = {"l": "linear", "t": "tanh", "s": "sigmoid", "m": "mtanh", "w": "twist"}
"""ænet's one-letter codes."""


@dataclass(frozen=True)
class Committee(Settings):
    """Several networks trained alike, from different random weights.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    n: int = option(1, bare=True, check="n ≥ 1", message="COMMITTEE without members", help="networks to train")
    folder: str = option("committee", TEXT, help="folder of the members, FOLDER/01/…, FOLDER/02/…")
    split: str = option("same", one_of(same="the same for all", own="each draws its own"), help="test structures")


@dataclass(frozen=True)
class Store(Settings):
    """Where packed descriptors and force maps are kept during a training; its result does not depend on it.

    Raises
    ------
    InputError
        on construction, for an unknown place.
    """

    place: str = option(
        AUTO,
        one_of(memory="in memory", disk="in a file", auto="in memory, or where that is not enough in a file"),
        bare=True,
        help="",
    )
    folder: str | None = option(
        None,
        FOLDER,
        shown="TMPDIR, /var/tmp or the current folder, the first that is a local disk with enough room",
        help="folder of the file, which has no name there and is gone with the process",
    )


@dataclass(frozen=True)
class NetworkSpec:
    """The network of one species.

    Raises
    ------
    InputError
        on construction, for an unknown activation or a layer without nodes.
    """

    symbol: str
    file: str
    """Potential file; if it exists, training starts from it (ænet)."""
    hidden: tuple[tuple[int, str], ...] | None
    """Nodes and activation of each hidden layer; None when not given (the file must exist)."""

    def __post_init__(self) -> None:
        for n_nodes, activation in self.hidden or ():
            require(n_nodes > 0, "hidden", "layer without nodes", n_nodes, "a positive number")
            require_one_of("activation", activation, ACTIVATIONS)


def _format_network(network: NetworkSpec) -> str:
    words = [f"{network.symbol:2}", quote(network.file)]
    if network.hidden is not None:
        words.append(str(len(network.hidden)))
        words += [f"{n_nodes}:{activation}" for n_nodes, activation in network.hidden]
    return " ".join(words)


def _read_networks(document: Document, line: Line) -> tuple[NetworkSpec, ...]:
    rows = species_rows(document, line)
    return tuple(_read_network(symbol, words) for symbol, words in rows)


def _read_network(symbol: Word, words: Iterator[Word]) -> NetworkSpec:
    file = next(words, None)
    if file is None:
        symbol.fail("no network for this species", "symbol file nHidden n1:activation …")
    name = text(file)
    n_hidden = next(words, None)
    if n_hidden is None:
        return NetworkSpec(symbol.text, name, None)
    count = integer(n_hidden)
    hidden = tuple(read_layer(word) for word in words)
    if count != len(hidden):
        n_hidden.line.fail(f"{count} hidden layers announced but {len(hidden)} follow")
    return NetworkSpec(symbol.text, name, hidden)


def read_layer(word: Word) -> tuple[int, str]:
    """Convert a word such as ``10:tanh`` to nodes and activation of a hidden layer; raises FormatError."""
    nodes, colon, activation = word.text.partition(":")
    if not colon:
        word.fail("not a hidden layer", "nodes:activation, e.g. 10:tanh")
    n_nodes = integer(Word(nodes, word.line))
    if n_nodes < 1:
        word.fail("hidden layer without nodes", "nodes:activation, e.g. 10:tanh")
    activation = ACTIVATION_CODES.get(activation, activation)
    if activation not in ACTIVATIONS:
        word.fail("unknown activation", suggestion(activation, ACTIVATIONS))
    return n_nodes, activation


def _read_validation(document: Document, line: Line) -> tuple[FileEntry, ...]:
    words = list(line.words())[1:]
    if not words:
        return read_files(document, line)
    return tuple(FileEntry(text(word), line.number) for word in words)


NETWORKS = Kind(
    "networks",
    write=lambda networks: "\n".join(map(_format_network, networks)),
    form="below",
    reader=_read_networks,
    is_block=True,
)
STORE = options(Store, what="a place", example="STORE disk folder=/scratch", title="options of {}, on its line")
COMMITTEE = options(Committee, what="a number", example="COMMITTEE 10", title="options of {}, on its line")


@dataclass(frozen=True)
class TrainInput(InputFile):
    """What train.in says; fields are named like the keywords.

    Paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for a value out of range or two networks for one species or file.
    """

    file_name: ClassVar[str] = "train.in"
    # The fields have an order of their own: results of a scan are found again by their repr.
    key_order: ClassVar[str] = (
        "TRAININGSET TESTPERCENT SPLIT ITERATIONS MAXENERGY TAYLORSET SAMPLING SEED VALIDATIONEVERY PATIENCE LOSS"
        " COPYWEIGHT PRECISION THREADS CHECKPOINT STORE SAVE_ENERGIES TIMING DEBUG VERBOSITY FORCES BEST COMMITTEE"
        " METHOD NETWORKS VALIDATION"
    )

    trainingset: str = option(kind=FILE, help="training set of generate")
    networks: tuple[NetworkSpec, ...] = option(
        kind=NETWORKS,
        normalise=tuple,
        help="symbol, potential file, number n of hidden layers and n times nodes:activation of each species;"
        " training starts from a file that is there",
    )
    testpercent: float = option(
        10.0,
        REAL._replace(what="a percentage"),
        always=True,
        check="0 ≤ p < 100",
        message="not a percentage for testing",
        help="share of the structures kept for testing",
    )
    iterations: int = option(10, EPOCHS, always=True, check="n ≥ 0", help="epochs, 0 evaluates only")
    maxenergy: float = option(
        math.inf,
        REAL._replace(what="eV per atom"),
        unit="eV/atom",
        help="drop structures above, relative to the atomic energies",
    )
    sampling: str | None = option(
        None,
        one_of(**SAMPLINGS),
        shown="sequential; adam: random",
        help="order of the structures in an epoch, not for bfgs",
    )
    method: Method = option(factory=BfgsMethod, kind=METHOD, always=True, help="its name and options")
    save_energies: bool = option(False, help="write energies.train.0 and energies.test.0")
    timing: bool = option(False, help="write train.time")
    debug: bool = option(False, help="accepted for ænet's sake")
    verbosity: str = option("normal", VERBOSITY, help="how much is printed")
    seed: int = option(
        1, INTEGER._replace(what="a seed"), check="n ≥ 0", help="seed of the split and of the initial weights"
    )
    taylorset: tuple[str, ...] = option(
        (), PATHS, normalise=tuple, help="training sets of Taylor copies of the structures"
    )
    validation: tuple[FileEntry, ...] = option(
        (),
        FILES._replace(reader=_read_validation, form="here or below"),
        normalise=as_entries,
        help="files or patterns as in FILES: structures with forces, never trained on, for errors",
    )
    units: str | None = reading_option("units")
    energy_key: str | None = reading_option("energy_key")
    forces_key: str | None = reading_option("forces_key")
    stress_key: str | None = reading_option("stress_key")
    validationevery: int = option(
        10, EPOCHS, check="n ≥ 0", help="epochs between validation errors, 0: only at the end"
    )
    patience: int = option(0, EPOCHS, check="n ≥ 0", help="stop after n epochs without a better test error, 0: never")
    loss: str = option("aenet", one_of(aenet="energy error per atom", total="eq. 3 of the paper"), help="")
    copyweight: float = option(
        1.0,
        REAL._replace(what="a weight"),
        check="w ≥ 0",
        help="weight of each Taylor copy in the loss; that of a structure is 1",
    )
    threads: int = option(0, THREADS, check="n ≥ 0", help="threads, 0: all")
    checkpoint: int = option(50, EPOCHS, check="n ≥ 0", help="epochs between checkpoints, 0: none")
    forces: ForceMode = option(
        factory=ForceMode, kind=FORCES, shown="", help="how forces are trained on: mode=…, beta=…"
    )
    best: str | None = option(
        None,
        one_of(
            energy="smallest test error of energies",
            both="smallest test error of energies and forces, E² + beta F²",
            last="the last epoch",
        ),
        shown="energy with mode=energy, else both where cells are known",
        help="whose weights are kept",
    )
    committee: Committee = option(
        factory=Committee, kind=COMMITTEE, help="networks to train, from different random weights"
    )
    split: str | None = option(
        None,
        one_of(
            seed="drawn with SEED, and anew when structures are added",
            hash="by a hash of species, positions, cell and SEED, so that each structure stays on its side",
        ),
        shown="seed; hash where the potentials that training starts from were trained so",
        help="how test structures are chosen",
    )
    precision: str = option(
        "double",
        one_of(double="64-bit numbers", single="32-bit numbers: half the memory, with bfgs or forces shorter epochs"),
        help="of packed descriptors, and of the networks in training",
    )
    # Results are the same, so what they are found again by does not have it
    store: Store = option(factory=Store, kind=STORE, in_repr=False, help="where packed data and force maps are kept")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not math.isnan(self.maxenergy), "maxenergy", "not a number", self.maxenergy, "eV")
        require(bool(self.networks), "networks", "no networks", expected="one per species")
        require_distinct_species("networks", [network.symbol for network in self.networks])
        require(
            self.best != "energy" or self.forces.energyweight > 0,
            "best",
            "BEST energy where energies have weight 0 (FORCES energyweight=0)",
            expected="BEST both or last",
        )
        files = [network.file for network in self.networks]
        for index, file in enumerate(files):
            require(file not in files[:index], "networks", "two networks in one file", file, "a file for each species")
        names = [PurePath(file).name for file in files]
        require(
            self.committee.n == 1 or len(set(names)) == len(names),
            "committee",
            "two networks with one file name, which members keep in one folder",
            " ".join(names),
            "different names",
        )
