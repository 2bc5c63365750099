"""What a training returns: potentials, the history of its epochs, errors, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..analysis.errors import Errors
from ..potential.potential import Potential
from ..settings.forces import WITH_BETA
from ..settings.train import TrainInput
from .loop import Epoch

INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class History:
    """Errors after each epoch, epoch 0 being the starting weights; each array is (n_epoch,), NaN where unknown.

    Of reference structures alone, copies apart; weighted where structures have weights.  Energies in eV/atom,
    force components in eV/Å.
    """

    epoch: np.ndarray
    train_mae: np.ndarray
    train_rmse: np.ndarray
    test_mae: np.ndarray
    test_rmse: np.ndarray
    copies_rmse: np.ndarray
    """Of the copies that are trained on, against their Taylor energies."""
    train_force_mae: np.ndarray
    """In the epochs in which forces are evaluated, as the next three."""
    train_force_rmse: np.ndarray
    test_force_mae: np.ndarray
    test_force_rmse: np.ndarray
    validation: tuple[tuple[int, Errors], ...] = ()
    """(epoch, errors on the validation structures)"""

    @classmethod
    def of(cls, epochs: Sequence[Epoch], validation: Sequence[tuple[int, Errors]], has_test: bool) -> History:
        """The history of some epochs; without test structures there are no test errors (ænet prints 0 and NaN)."""
        columns = np.array([epoch.as_row() for epoch in epochs]).T
        history = dict(zip((field.name for field in fields(Epoch)), columns))
        history["epoch"] = history["epoch"].astype(np.int64)
        if not has_test:
            history["test_mae"] = np.full(len(epochs), np.nan)
        return cls(**history, validation=tuple(validation))

    def __len__(self) -> int:
        return len(self.epoch)

    def row(self, index: int) -> Epoch:
        """The errors of one epoch, None where unknown; test errors are NaN without test structures."""
        return Epoch.from_row(np.array([getattr(self, field.name)[index] for field in fields(Epoch)]))

    def to_dicts(self) -> list[dict[str, float | int | None]]:
        """One dict for each epoch, None where unknown."""
        return [
            {key: None if value is None or np.isnan(value) else value for key, value in asdict(self.row(k)).items()}
            for k in range(len(self))
        ]


@dataclass(frozen=True)
class Counts:
    """The size of a training."""

    n_train: int
    """Reference structures that are trained on."""
    n_test: int
    n_copies: int
    """Taylor copies that are trained on."""
    n_force_atoms: int
    """Atoms whose forces are trained on."""
    n_atoms: int
    """Atoms of all structures and copies that are trained on."""
    n_weights: int
    n_validation: int
    memory: int
    """Bytes of the packed data and force terms."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained potential, and how it came about."""

    potential: Potential
    """With the weights of the best epoch, or of the last one where `criterion` says so."""
    last: Potential
    """With the weights of the last epoch."""
    history: History
    best_epoch: int
    """The epoch whose weights `potential` has."""
    best_value: float
    """What the best epoch has least of, eV²/atom²: a squared error of energies, or of energies and forces."""
    criterion: str
    """What the best epoch is chosen by: `energy`, or `both` energies and forces; or it is the `last` one."""
    mode: str
    """How forces were trained on, one of `settings.forces.MODES`."""
    status: str
    """`finished`, `patience`, `converged`, `stuck`, `stopped` (by the observer) or `interrupted`."""
    settings: TrainInput
    counts: Counts
    threads: int
    seconds: float
    """Spent in epochs, validation apart."""
    notes: tuple[str, ...] = ()
    """What a user should know."""
    errors: Errors | None = None
    """Of `potential` on the validation structures; None without any."""
    last_errors: Errors | None = None
    """The same of `last`."""

    def __repr__(self) -> str:
        epochs = f"{self.history.epoch[-1]} epochs, best {self.best_epoch}"
        return f"<Fit of {' '.join(self.species)}, {self.mode}: {self.status}, {epochs}>"

    @property
    def species(self) -> tuple[str, ...]:
        """Species in the order of the training set."""
        return self.potential.species

    @property
    def interrupted(self) -> bool:
        """The user has broken the training off."""
        return self.status == INTERRUPTED

    @property
    def best(self) -> Epoch:
        """The errors of the best epoch."""
        return self.history.row(self.best_epoch)

    @property
    def seconds_per_epoch(self) -> float:
        """Mean time of an epoch."""
        return self.seconds / len(self.history)

    def to_dict(self) -> dict[str, Any]:
        """The report of the command `train`, but for the files that it writes."""
        counts = self.counts
        return {
            "epochs": self.history.to_dicts(),
            "best_epoch": self.best_epoch,
            "criterion": self.criterion,
            "best_value": self.best_value,
            "mode": self.mode,
            "settings": self._settings(),
            "n_train": counts.n_train,
            "n_test": counts.n_test,
            "n_copies": counts.n_copies,
            "n_force_atoms": counts.n_force_atoms,
            "n_weights": counts.n_weights,
            "memory_mb": counts.memory / 1e6,
            "seconds": self.seconds,
            "seconds_per_epoch": self.seconds_per_epoch,
            "status": self.status,
            "interrupted": self.interrupted,
            "potentials": [],
            "validation": None if self.errors is None else self.errors.to_dict(),
            "validation_last": None if self.last_errors is None else self.last_errors.to_dict(),
            "validation_history": [{"epoch": epoch, **errors.to_dict()} for epoch, errors in self.history.validation],
        }

    def _settings(self) -> dict[str, Any]:
        """What a reader of the report wants to know of train.in and the data."""
        s, f = self.settings, self.settings.forces
        return {
            "trainingset": s.trainingset,
            "taylorset": list(s.taylorset),
            "species": list(self.species),
            "networks": {one.species: "-".join(map(str, one.network.layer_sizes)) for one in self.potential.parts},
            "descriptors": {
                one.species: f"{one.setup.in_words}, environment {' '.join(one.setup.environment)}"
                for one in self.potential.parts
            },
            "method": s.method.name,
            "loss": s.loss,
            "iterations": s.iterations,
            "seed": s.seed,
            "testpercent": s.testpercent,
            "threads": self.threads,
            "n_atoms": self.counts.n_atoms,
            "n_validation": self.counts.n_validation,
            "beta_A2": f.beta if self.mode in WITH_BETA else None,
            "directions": f.directions if self.mode == "directional" else None,
        }
