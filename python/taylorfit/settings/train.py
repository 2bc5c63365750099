"""train.in: which training set to fit, with which networks, which method and which loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import PurePath

from ..model.network import ACTIVATIONS
from . import blocks as block
from .committee import Committee, describe_committee, format_committee, read_committee
from .forces import ForceMode, describe_forces, format_forces, read_forces
from .keyword_file import (
    VERBOSITIES,
    Document,
    FileEntry,
    Keyword,
    as_entries,
    describe,
    read_keyword_file,
    require,
    require_distinct_species,
    require_one_of,
    write_text,
)
from .methods import SAMPLINGS, BfgsMethod, Method, describe_methods, format_method, read_method
from .words import Line, Word, choice, integer, real, suggestion, text

ACTIVATION_CODES = {"l": "linear", "t": "tanh", "s": "sigmoid", "m": "mtanh", "w": "twist"}
"""ænet's one-letter codes."""
LOSSES = ("aenet", "total")
CRITERIA = ("energy", "both")


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


@dataclass(frozen=True)
class TrainInput:
    """What train.in says; fields are named like the keywords.

    Paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for a value out of range or two networks for one species or file.
    """

    trainingset: str
    """Training-set file of generate."""
    networks: tuple[NetworkSpec, ...]
    """One per species, in any order."""
    testpercent: float = 10.0
    """Percentage of the parent structures kept for testing."""
    iterations: int = 10
    """Epochs; 0 evaluates only."""
    maxenergy: float = math.inf
    """Structures above this energy per atom, relative to the atomic energies, are dropped, eV."""
    sampling: str | None = None
    """Order of the structures in an epoch; None: that of the method."""
    method: Method = field(default_factory=BfgsMethod)
    save_energies: bool = False
    timing: bool = False
    debug: bool = False
    verbosity: str = "normal"
    seed: int = 1
    """Seed of the split and of the initial weights."""
    taylorset: tuple[str, ...] = ()
    """Training-set files that hold Taylor copies of structures of `trainingset`."""
    validation: tuple[FileEntry, ...] = ()
    """Structure files with forces, never trained on."""
    validationevery: int = 10
    """Epochs between validation errors; 0: only at the end."""
    patience: int = 0
    """Stop after so many epochs without a better test error; 0: never."""
    loss: str = "aenet"
    """`aenet`: error per atom, each structure alike; `total`: eq. 3 of the paper."""
    copyweight: float = 1.0
    """Weight of each Taylor copy in the loss; that of a parent is 1."""
    threads: int = 0
    """Threads; 0: all."""
    checkpoint: int = 50
    """Epochs between checkpoints; 0: none."""
    forces: ForceMode = field(default_factory=ForceMode)
    """How forces enter the loss."""
    best: str | None = None
    """What the best epoch is chosen by: `energy` or `both` (energies and forces); None: what the mode suggests."""
    committee: Committee = field(default_factory=Committee)
    """How many networks are trained."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "networks", tuple(self.networks))
        set_(self, "taylorset", tuple(self.taylorset))
        set_(self, "validation", as_entries(self.validation))
        require(bool(self.networks), "networks", "no networks", expected="one per species")
        require_distinct_species("networks", [network.symbol for network in self.networks])
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
        require(
            0 <= self.testpercent < 100, "testpercent", "not a percentage for testing", self.testpercent, "0 ≤ p < 100"
        )
        require(not math.isnan(self.maxenergy), "maxenergy", "not a number", self.maxenergy, "eV")
        for name in ("iterations", "seed", "validationevery", "patience", "threads", "checkpoint"):
            number = getattr(self, name)
            require(number >= 0, name, f"{name.upper()} negative", number, "an integer ≥ 0")
        require(0 <= self.copyweight < math.inf, "copyweight", "COPYWEIGHT negative", self.copyweight, "≥ 0")
        if self.sampling is not None:
            require_one_of("sampling", self.sampling, SAMPLINGS)
        require_one_of("loss", self.loss, LOSSES)
        if self.best is not None:
            require_one_of("best", self.best, CRITERIA)
        require_one_of("verbosity", self.verbosity, VERBOSITIES)


def read_train_input(path: str | PathLike[str]) -> TrainInput:
    """Read train.in.

    Raises
    ------
    InputError, FormatError
        with file, line, value and what was expected.
    """
    return read_keyword_file(path, _TABLE, TrainInput)


def write_train_input(path: str | PathLike[str], data: TrainInput) -> None:
    """Write train.in such that reading it gives `data` again; our additions only where used."""
    lines = [
        f"TRAININGSET {block.quote(data.trainingset)}",
        f"TESTPERCENT {data.testpercent!r}",
        f"ITERATIONS {data.iterations}",
    ]
    if data.maxenergy < math.inf:
        lines.append(f"MAXENERGY {data.maxenergy!r}")
    lines += [name for name in ("SAVE_ENERGIES", "TIMING", "DEBUG") if getattr(data, name.lower())]
    if data.taylorset:
        lines.append("TAYLORSET " + " ".join(map(block.quote, data.taylorset)))
    for name in (
        "SAMPLING",
        "VERBOSITY",
        "SEED",
        "VALIDATIONEVERY",
        "PATIENCE",
        "LOSS",
        "COPYWEIGHT",
        "THREADS",
        "CHECKPOINT",
        "BEST",
    ):
        # Class attributes of a dataclass are the defaults of its fields.
        if getattr(data, name.lower()) != getattr(TrainInput, name.lower()):
            lines.append(f"{name} {getattr(data, name.lower())}")
    if data.forces != ForceMode():
        lines.append(format_forces(data.forces))
    if data.committee != Committee():
        lines.append(format_committee(data.committee))
    lines += ["", "METHOD", format_method(data.method)]
    lines += ["", "NETWORKS", *map(_format_network, data.networks)]
    text = "\n".join(lines) + "\n"
    if data.validation:
        text += "\n" + block.format_file_list("VALIDATION", data.validation)
    write_text(path, text)


def _format_network(network: NetworkSpec) -> str:
    words = [f"{network.symbol:2}", block.quote(network.file)]
    if network.hidden is not None:
        words.append(str(len(network.hidden)))
        words += [f"{n_nodes}:{activation}" for n_nodes, activation in network.hidden]
    return " ".join(words)


def _read_networks(document: Document, line: Line) -> tuple[NetworkSpec, ...]:
    rows = block.species_rows(document, line)
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
        return block.file_list(document, line)
    return tuple(FileEntry(text(word), line.number) for word in words)


def _integer(what: str) -> Callable[[Document, Line], int]:
    return block.value(integer, what)


_TABLE = {
    "TRAININGSET": Keyword("trainingset", block.path("a file name"), "file: training set of generate"),
    "NETWORKS": Keyword(
        "networks",
        _read_networks,
        "below, per species: symbol, potential file, hidden layers n, n times nodes:activation",
    ),
    "TESTPERCENT": Keyword(
        "testpercent", block.value(real, "a percentage"), "p: share of the structures for testing (10)"
    ),
    "ITERATIONS": Keyword("iterations", _integer("epochs"), "n: epochs, 0 evaluates only (10)"),
    "METHOD": Keyword("method", read_method, "below: bfgs, lm, ekf, adam or online_sd and its options (bfgs)"),
    "MAXENERGY": Keyword("maxenergy", block.value(real, "eV per atom"), "e: drop structures above, eV/atom (none)"),
    "SAMPLING": Keyword(
        "sampling",
        block.value(choice(*SAMPLINGS), "a name"),
        "order in an epoch: sequential, random (each structure once), weighted (drawn by error),"
        " energy (low ones oftener); not for bfgs (sequential; adam: random)",
    ),
    "SAVE_ENERGIES": Keyword("save_energies", block.flag, "flag: write energies.train.0 and energies.test.0"),
    "TAYLORSET": Keyword("taylorset", block.paths, "files: training sets of Taylor copies (none)"),
    "VALIDATION": Keyword(
        "validation",
        _read_validation,
        "files or patterns, or below as in FILES: structures with forces, for errors only (none)",
    ),
    "VALIDATIONEVERY": Keyword(
        "validationevery", _integer("epochs"), "n: epochs between validation errors, 0 at the end (10)"
    ),
    "PATIENCE": Keyword(
        "patience", _integer("epochs"), "n: stop after n epochs without better test error, 0 never (0)"
    ),
    "LOSS": Keyword(
        "loss",
        block.value(choice(*LOSSES), "aenet or total"),
        "aenet: energy error per atom; total: eq. 3 of the paper (aenet)",
    ),
    "FORCES": Keyword(
        "forces",
        read_forces,
        "mode=energy, taylor, centred, directional or exact, beta=b: how forces are trained on (below)",
    ),
    "BEST": Keyword(
        "best",
        block.value(choice(*CRITERIA), "energy or both"),
        "the best epoch has the smallest test error of energies, or of energies and forces, E² + beta F²"
        " (energy with mode=energy, else both where cells are known)",
    ),
    "COMMITTEE": Keyword(
        "committee", read_committee, "n: networks to train, from different random weights (1); options see below"
    ),
    "COPYWEIGHT": Keyword("copyweight", block.value(real, "a weight"), "w: weight of each Taylor copy in the loss (1)"),
    "SEED": Keyword("seed", _integer("a seed"), "n: seed of the split and the weights (1)"),
    "THREADS": Keyword("threads", _integer("a number of threads"), "n: threads, 0 all (0)"),
    "CHECKPOINT": Keyword("checkpoint", _integer("epochs"), "n: epochs between checkpoints, 0 none (50)"),
    "TIMING": Keyword("timing", block.flag, "flag: write train.time"),
    "DEBUG": Keyword("debug", block.flag, "flag: accepted for ænet's sake"),
    "VERBOSITY": Keyword(
        "verbosity", block.value(choice(*VERBOSITIES), "low, normal or high"), "low, normal or high (normal)"
    ),
}

KEYWORDS = {name: keyword.help for name, keyword in _TABLE.items()}
"""Each keyword of train.in with one line of help."""


def describe_keywords() -> str:
    """Return help for the keywords and the options of METHOD."""
    return f"{describe(_TABLE)}\n\n{describe_forces()}\n\n{describe_committee()}\n\n{describe_methods()}"
