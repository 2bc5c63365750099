"""The files of a training: potentials, and on request energies and times."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..engine import build_name
from ..errors import TaylorfitError
from ..formats.aenet.energies_file import write_energies
from ..formats.aenet.potential_file import write_potential
from ..model.network import SpeciesPotential
from ..settings.train import NetworkSpec, TrainInput
from ..tools.atomic_write import Together, atomic_write, check_writable, remove_left
from ..tools.interrupts import INTERRUPTED
from ..tools.whole_folder import begin_folder, finish_folder, remove_partial
from .checkpoint import checkpoint_path
from .fit import Fit
from .loop import Training
from .observer import Observer, Told
from .prepare import Problem


@dataclass(frozen=True)
class Outputs:
    """Where the results of a training go."""

    networks: tuple[NetworkSpec, ...]
    """The file of each species; the weights of the last epoch go to the same with ``.last``."""
    folder: Path = Path()
    """Of energies and times."""
    checkpoint: Path | None = None

    def files(self, fit: Fit) -> list[str]:
        """The potential files, in the order of the training set."""
        files = {spec.symbol: spec.file for spec in self.networks}
        return [files[symbol] for symbol in fit.species]

    def report(self, fit: Fit) -> dict[str, Any]:
        """The report of a training that wrote these files."""
        return {
            **fit.to_dict(),
            "potentials": self.files(fit),
            "versions": {"Python": platform.python_version(), "NumPy": np.__version__, "engine": build_name()},
            "checksums": _checksums([fit.settings.trainingset, *fit.settings.taylorset, *self.files(fit)]),
            "exit_code": INTERRUPTED if fit.interrupted else 0,
        }

    def write(self, fit: Fit, problem: Problem, training: Training) -> None:
        """Write all that the settings ask for, the potentials first; a file that fails leaves the others alone.

        Raises
        ------
        TaylorfitError
            at the end, if there were files that could not be written.
        """
        steps: list[Callable[[], None]] = [
            lambda: write_potentials(fit.potential.parts, self.networks),
            lambda: write_potentials(fit.last.parts, self.networks, ".last"),
        ]
        if fit.settings.save_energies:
            steps.append(lambda: save_energies(training, problem, self.folder))
        if fit.settings.timing:
            steps.append(lambda: self._write_times(fit))
        failures = []
        for step in steps:
            try:
                step()
            except TaylorfitError as error:
                failures.append(error)
        if failures:
            rest = "the other files are complete" if len(failures) < len(steps) else "nothing is saved"
            again = f"; {self.checkpoint} has the training" if self.checkpoint and self.checkpoint.exists() else ""
            raise TaylorfitError(f"{'; '.join(map(str, failures))}; {rest}{again}")

    def _write_times(self, fit: Fit) -> None:
        with atomic_write(self.folder / "train.time") as stream:
            stream.write(
                "# total time (s)  epochs  seconds per epoch\n"
                f"{fit.seconds:.3f} {len(fit.history)} {fit.seconds_per_epoch:.6f}\n"
            )


def _checksums(files: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the files that are there."""
    found = {}
    for file in files:
        with suppress(OSError), open(file, "rb") as stream:
            digest = hashlib.sha256()
            while part := stream.read(1 << 20):
                digest.update(part)
            found[file] = digest.hexdigest()
    return found


def write_potentials(potentials: Sequence[SpeciesPotential], specs: Sequence[NetworkSpec], suffix: str = "") -> None:
    """Write each potential to the file of its species, with a suffix: all of them or none."""
    files = {spec.symbol: spec.file + suffix for spec in specs}
    with Together() as together:
        for potential in potentials:
            write_potential(files[potential.species], potential, together)


def save_energies(training: Training, problem: Problem, folder: Path) -> None:
    """Write energies.train.0 and energies.test.0 of the kept weights, reference structures alone, into `folder`.

    Of several ranks all call it, and the first writes.
    """
    ranks = problem.ranks
    weights = training.state.last_weights if problem.keeps_last else training.state.best_weights
    for name, loss in (("energies.train.0", training.train), ("energies.test.0", training.test)):
        if loss is None:
            continue
        data = loss.data
        error = loss(weights, with_gradient=False)[1]
        keep = ~data.is_copy
        reference = data.energy / problem.scaling.energy_scale + data.n_atoms * problem.scaling.energy_shift
        names = [n for n, k in zip(data.names, keep) if k]
        parts = ranks.gather((names, data.atom_count[keep], reference[keep], error[keep]))
        if ranks.is_root:
            write_energies(
                folder / name,
                problem.main.species,
                [one for part in parts for one in part[0]],
                np.concatenate([part[1] for part in parts]),
                np.concatenate([part[2] for part in parts]),
                np.concatenate([part[3] for part in parts]),
                problem.scaling.energy_scale,
            )


class TakingPart(Observer):
    """What ranks other than the first do beside training: their share of what that one writes."""

    def prepared(self, problem: Problem) -> None:
        """Remember it."""
        self._problem = problem

    @contextmanager
    def epochs(self, training: Training, last: int) -> Iterator[Told]:
        """Remember it."""
        self._training = training
        yield lambda epoch: None

    def trained(self, fit: Fit) -> None:
        """Compute energies for the first rank."""
        if fit.settings.save_energies:
            save_energies(self._training, self._problem, Path())


@dataclass(frozen=True)
class MemberFiles:
    """Where the members of a committee (from 1) keep their files: FOLDER/01 and so on.

    While they are trained, FOLDER is not there yet, or that of before: the files are in a partial folder beside it.
    """

    settings: TrainInput
    """As in train.in."""
    input_file: str
    place: Path
    """FOLDER, or the partial folder."""

    @classmethod
    def of(cls, settings: TrainInput, input_file: str) -> MemberFiles:
        """Those of a finished committee."""
        return cls(settings, input_file, Path(settings.committee.folder))

    def begin(self, go_on: bool) -> MemberFiles:
        """Make the partial folder, with what a broken run has left to `go_on` from; return the files in it.

        Raises
        ------
        InputError
            if it cannot be made, or potentials could not be written.
        """
        begun = replace(self, place=begin_folder(self.settings.committee.folder, go_on=go_on))
        begun.prepare()
        return begun

    def abandon(self) -> None:
        """Remove the partial folder of a committee that could not begin."""
        remove_partial(self.settings.committee.folder)

    def finish(self) -> MemberFiles:
        """Give the partial folder its name; return the files in it.

        Raises
        ------
        InputError
            if it cannot be renamed.
        """
        finish_folder(self.settings.committee.folder)
        return MemberFiles.of(self.settings, self.input_file)

    @property
    def numbers(self) -> range:
        """Of all members."""
        return range(1, self.settings.committee.n + 1)

    def folder(self, number: int) -> Path:
        """Where everything of a member is written."""
        return self.place / f"{number:02d}"

    def log(self, number: int) -> Path:
        """What a member would print."""
        return self.folder(number) / f"{Path(self.input_file).stem}.log"

    def checkpoint(self, number: int) -> Path:
        """Checkpoint of a member."""
        return self.folder(number) / checkpoint_path(self.input_file)

    def settings_of(self, number: int) -> TrainInput:
        """The settings with the potential files of a member."""
        networks = self.settings.networks
        folder = self.folder(number)
        return replace(
            self.settings, networks=tuple(replace(spec, file=str(folder / Path(spec.file).name)) for spec in networks)
        )

    def outputs(self, number: int) -> Outputs:
        """All files of a member."""
        checkpoint = self.checkpoint(number) if self.settings.checkpoint else None
        return Outputs(self.settings_of(number).networks, self.folder(number), checkpoint)

    def prepare(self) -> None:
        """Make the folders, and see that all can be written.

        Raises
        ------
        InputError
            if not.
        """
        for number in self.numbers:
            self.folder(number).mkdir(parents=True, exist_ok=True)
            remove_left(self.folder(number))
            for spec in self.settings_of(number).networks:
                check_writable(spec.file)

    def strangers(self) -> list[str]:
        """Folders of an earlier, larger committee: they would be taken for members of this one."""
        names = {self.folder(number).name for number in self.numbers}
        return sorted(
            path.name
            for path in self.place.iterdir()
            if path.is_dir() and path.name.isdigit() and path.name not in names
        )

    def copy_potentials(self, number: int) -> None:
        """Copy the potentials of a member to the files of NETWORKS: all of them or none."""
        with Together() as together:
            for spec, own in zip(self.settings.networks, self.settings_of(number).networks, strict=True):
                for suffix in ("", ".last"):
                    copy = atomic_write(spec.file + suffix, "wb", together=together)
                    with open(own.file + suffix, "rb") as source, copy as target:
                        shutil.copyfileobj(source, target)
