"""What a potential is made with: descriptors, energies of the isolated atoms, networks, displacements, weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import replace as replaced
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..formats.aenet.setup_file import read_setup, write_setup
from ..formats.structures.files import expand_patterns
from ..model.descriptor import DescriptorSetup
from ..settings.displacements import TaylorOptions
from ..settings.document import as_entries
from ..settings.forces import WITH_COPIES, WITH_GEOMETRY, ForceMode
from ..settings.generate import GenerateInput
from ..settings.md import MdInput
from ..settings.methods import AdamMethod, BfgsMethod, Method, format_method
from ..settings.predict import PredictInput
from ..settings.reading import AS_THEY_ARE, ReadingOptions
from ..settings.train import NetworkSpec, TrainInput
from ..taylor.displacements import DisplacementStrategy
from ..taylor.strain import StrainDisplacements
from ..tools.atomic_write import check_writable
from ..tools.os_errors import make_folder
from .check import DataCheck
from .choose import Choice
from .survey import AtomicEnergyFit, Survey

HIDDEN = ((15, "tanh"), (15, "tanh"))
"""Hidden layers of a network unless said otherwise."""
EPOCHS = 1000
OUTPUT, COPIES = "data.train", "data.taylor.train"
"""Training sets that generate.in and train.in name."""
INPUT_FILES = ("generate.in", "train.in", "predict.in", "md.in")

Layers = tuple[tuple[int, str], ...]
"""Nodes and activation function of each hidden layer."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a proposal rests on."""

    check: DataCheck
    survey: Survey
    energy_fit: AtomicEnergyFit | None
    """None if all structures state cohesive energies."""
    choice: Choice
    skipped: dict[str, int]
    """Reason → number of structures that cannot have copies for it."""

    def to_dict(self) -> dict[str, Any]:
        """For the report of the command `setup`; lengths in Å, energies in eV."""
        fit, choice = self.energy_fit, self.choice
        return {
            "structures": self.check.n_structures,
            "atomic_energy_rank": 0 if fit is None else fit.rank,
            "atomic_energy_rmse": None if fit is None else fit.rmse,
            "shortest_distances": {"-".join(pair): r for pair, r in self.survey.shortest.items()},
            "radii": self.survey.radii,
            "neighbours": dict(zip(self.survey.species, self.survey.mean_neighbours)),
            "radial_cutoff": choice.radial_cutoff,
            "angular_cutoff": choice.angular_cutoff,
            "r_min": choice.r_min,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Setup:
    """What a potential is made with; proposed for data by `propose`, or read from files.

    Raises
    ------
    InputError
        on construction, if descriptors, energies and networks are not for the same species, or a value is out of range.
    """

    descriptors: tuple[DescriptorSetup, ...]
    """One per species, in the order of the species."""
    atomic_energies: Mapping[str, float]
    """Energy of the isolated atom of each species, eV."""
    networks: Mapping[str, Layers]
    """Hidden layers of the network of each species."""
    displacements: TaylorOptions | None = None
    """Of Taylor copies; None: no copies."""
    beta: float = ForceMode.beta
    """Weight of forces against energies in a training on both, Å²."""
    epochs: int = EPOCHS
    method: Method = field(default_factory=BfgsMethod)
    """Training method; `train` takes that of its own argument."""
    precision: str = TrainInput.precision
    """`single` or `double`, see `train`, which takes that of its own argument."""
    reasons: tuple[str, ...] = ()
    """Why it was chosen like this."""
    notes: tuple[str, ...] = ()
    """What a user should know."""
    files: tuple[str, ...] = ()
    """Structure files and patterns it is for, as generate.in lists them, seen from the working directory."""
    evidence: Evidence | None = None
    """What the proposal rests on; None for a setup from files."""
    reading: ReadingOptions = AS_THEY_ARE
    """Units and keys with which the structure files are read."""
    mode: str | None = None
    """How forces are trained on (`ForceMode.mode`), without copies where it needs none; None: by the displacements."""
    validation: tuple[str, ...] = ()
    """Files of structures that are never trained on, seen from the working directory."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "descriptors", tuple(self.descriptors))
        if not self.descriptors:
            raise InputError("a setup without descriptors", expected="one per species")
        for name in ("atomic_energies", "networks"):
            given = getattr(self, name)
            if set(given) != set(self.species) or len(self.species) != len(self.descriptors):
                raise InputError(
                    f"{name} and descriptors are not for the same species",
                    value=" ".join(given),
                    expected=" ".join(self.species),
                )
            set_(self, name, {symbol: given[symbol] for symbol in self.species})
        self._train_input()  # which refuses values out of range

    def __repr__(self) -> str:
        return f"<Setup for {' '.join(self.species)}>"

    def __str__(self) -> str:
        lines = []
        for descriptor in self.descriptors:
            symbol = descriptor.species
            layers = " ".join(f"{n}:{activation}" for n, activation in self.networks[symbol])
            lines.append(
                f"{symbol:2s} {descriptor.in_words}; "
                f"isolated atom {self.atomic_energies[symbol]:.6f} eV; hidden layers {layers}"
            )
        return "\n".join([*lines, *self.reasons, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `setup`, but for the files that it writes."""
        return {
            "species": list(self.species),
            "atomic_energies": dict(self.atomic_energies),
            **({} if self.evidence is None else self.evidence.to_dict()),
            "delta": None if self.displacements is None else self.displacements.delta,
            "mode": self.mode,
            "networks": {symbol: [[n, a] for n, a in layers] for symbol, layers in self.networks.items()},
            "beta": self.beta,
            "method": format_method(self.method),
            "epochs": self.epochs,
            "precision": self.precision,
            "reasons": list(self.reasons),
        }

    @property
    def species(self) -> tuple[str, ...]:
        """Species in the order of training set and potentials."""
        return tuple(dict.fromkeys(descriptor.species for descriptor in self.descriptors))

    def replace(
        self,
        *,
        descriptors: Iterable[DescriptorSetup] | None = None,
        atomic_energies: Mapping[str, float] | None = None,
        networks: Mapping[str, Sequence[tuple[int, str]]] | Sequence[tuple[int, str]] | None = None,
        displacements: TaylorOptions | DisplacementStrategy | StrainDisplacements | bool | None = None,
        beta: float | None = None,
        epochs: int | None = None,
        method: Method | None = None,
        precision: str | None = None,
        files: Sequence[str] | None = None,
        reading: ReadingOptions | None = None,
        mode: str | None = None,
        validation: Sequence[str] | None = None,
    ) -> Setup:
        """Return a setup with other values; None leaves one as it is.

        Parameters
        ----------
        networks
            Hidden layers, such as ``[(10, "tanh"), (10, "tanh")]``, of all species or of some.
        displacements
            Of Taylor copies, as for `displace`; False: no copies.  Without `mode`, this also chooses it: centred for
            copies, where it was a mode that takes none.

        Raises
        ------
        InputError
            as on construction.
        """
        if networks is None:
            layers = dict(self.networks)
        else:
            own = networks if isinstance(networks, Mapping) else dict.fromkeys(self.species, networks)
            layers = {**self.networks, **{symbol: tuple((int(n), a) for n, a in own[symbol]) for symbol in own}}
        copies = self.displacements
        if isinstance(displacements, (DisplacementStrategy, StrainDisplacements)):
            copies = replaced(displacements.options(), outfile=COPIES)
        elif displacements is not None and displacements is not True:
            copies = displacements or None
        if mode is None and displacements is not None and (self.mode in WITH_COPIES) == (copies is None):
            mode = "energy" if copies is None else "centred"
        if method is None:
            method = self.method
            if mode not in (None, self.mode, *WITH_GEOMETRY):
                # Which any mode can be trained with
                method = BfgsMethod()
            if epochs is not None and isinstance(method, AdamMethod) and method.anneal:
                # The step size still falls to nothing at the end
                method = replaced(method, anneal=max(epochs, 1))
        return replaced(
            self,
            descriptors=self.descriptors if descriptors is None else tuple(descriptors),
            atomic_energies={**self.atomic_energies, **(atomic_energies or {})},
            networks=layers,
            displacements=copies,
            beta=self.beta if beta is None else beta,
            epochs=self.epochs if epochs is None else epochs,
            method=method,
            precision=self.precision if precision is None else precision,
            files=self.files if files is None else tuple(files),
            reading=self.reading if reading is None else reading,
            mode=mode or self.mode,
            validation=self.validation if validation is None else tuple(validation),
        )

    def save(self, folder: str | PathLike[str], overwrite: bool = False) -> list[Path]:
        """Write `SYMBOL.fingerprint.stp` for each species and input files of all steps; return their paths.

        These are generate.in, train.in, predict.in (of the validation structures, or else of all) and md.in.

        Parameters
        ----------
        folder
            Made if it does not exist.
        overwrite
            Replace files that exist?

        Raises
        ------
        InputError
            if a file exists or cannot be written, or no structure files are known (see `files`).
        """
        if not self.files:
            raise InputError("no structure files are known to list in generate.in", expected="setup.replace(files=[…])")
        paths = check_folder(folder, self.species, overwrite)
        for path, descriptor in zip(paths, self.descriptors):
            write_setup(path, descriptor, overwrite=overwrite)
        seen = [_seen_from(folder, file) for file in self.files]
        held_back = [_seen_from(folder, file) for file in self.validation]
        copies = self.displacements if self._with_copies else None
        potentials = {symbol: f"{symbol}.nn" for symbol in self.species}
        generate = GenerateInput(
            types=tuple(self.atomic_energies.items()),
            setups={symbol: _setup_name(symbol) for symbol in self.species},
            files=as_entries(seen),
            output=OUTPUT,
            derivatives=copies,
            **asdict(self.reading),
        )
        predict = PredictInput(
            types=self.species, networks=potentials, files=as_entries(held_back or seen), **asdict(self.reading)
        )
        md = MdInput(
            structure=_seen_from(folder, _first_structure((self.validation or self.files)[0])),
            **asdict(self.reading),
            networks=potentials,
            timestep=0.5 if "H" in self.species else 1.0,
            equilibration=500,
            steps=5000,
        )
        train = replaced(self._train_input(), validation=as_entries(held_back), **asdict(self.reading))
        for path, settings in zip(paths[-len(INPUT_FILES) :], (generate, train, predict, md)):
            settings.write(path)
        return paths

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Setup:
        """Read what `save` (or `taylorfit setup`) wrote, from generate.in and train.in in a folder.

        Raises
        ------
        FormatError
            if a file is damaged.
        InputError
            if one is missing, or they do not go together.
        """
        generate = GenerateInput.read(Path(folder) / "generate.in")
        train = TrainInput.read(Path(folder) / "train.in")
        return cls(
            descriptors=tuple(read_setup(Path(folder) / generate.setups[symbol]) for symbol in generate.species),
            atomic_energies=generate.atomic_energies,
            networks={network.symbol: network.hidden or HIDDEN for network in train.networks},
            displacements=generate.derivatives,
            beta=train.forces.beta,
            epochs=train.iterations,
            method=train.method,
            precision=train.precision,
            files=tuple(os.path.normpath(os.path.join(folder, entry.path)) for entry in generate.files),
            reading=ReadingOptions.of(generate),
            mode=train.forces.mode,
            validation=tuple(os.path.normpath(os.path.join(folder, entry.path)) for entry in train.validation),
        )

    @property
    def _with_copies(self) -> bool:
        """Whether Taylor copies are trained on."""
        return self.displacements is not None and (self.mode is None or self.mode in WITH_COPIES)

    def _train_input(self) -> TrainInput:
        mode, copies = self.mode, tuple[str, ...]()
        if self.displacements is not None and self._with_copies:
            mode, copies = self.mode or "centred", (self.displacements.outfile or OUTPUT,)
        return TrainInput(
            forces=ForceMode(mode, beta=self.beta),
            trainingset=OUTPUT,
            taylorset=tuple(file for file in copies if file != OUTPUT),
            networks=tuple(NetworkSpec(symbol, f"{symbol}.nn", layers) for symbol, layers in self.networks.items()),
            iterations=self.epochs,
            method=self.method,
            precision=self.precision,
        )


def check_folder(folder: str | PathLike[str], species: Sequence[str], overwrite: bool = False) -> list[Path]:
    """Make a folder for the files of a setup (one per species, then `INPUT_FILES`), and return their paths.

    Raises
    ------
    InputError
        if a file exists or cannot be written.
    """
    folder = make_folder(folder)
    paths = [folder / name for name in (*map(_setup_name, species), *INPUT_FILES)]
    for path in paths:
        check_writable(path, overwrite=overwrite)
    return paths


def _setup_name(symbol: str) -> str:
    return f"{symbol}.fingerprint.stp"


def _first_structure(pattern: str) -> str:
    """The first structure of files, as MdInput names it; files that are not there yet are taken by their name."""
    try:
        file = expand_patterns([pattern])[0]
    except InputError:
        file = pattern
    return file if file.lower().endswith(".xsf") or "@" in file else f"{file}@0"


def _seen_from(folder: str | PathLike[str], path: str) -> str:
    return path if os.path.isabs(path) else os.path.relpath(path, folder)
