"""Examples that ship with taylorfit; `copying` copies them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One example: a sub-package that holds input files and archives of structures."""

    package: str
    """Name of the sub-package."""
    summary: str
    """One line for `--list`."""
    input_files: tuple[str, ...]
    """Copied as they are."""
    archives: tuple[str, ...]
    """Unpacked."""
    steps: tuple[tuple[str, str], ...]
    """Command and input file: what to run in the folder, in this order."""
    trainings: tuple[tuple[str, str], ...] = ()
    """What is compared: title, and the input file of the training."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The steps as typed into a shell."""
        return tuple(f"taylorfit {command} {file}" for command, file in self.steps)


EXAMPLES: dict[str, Example] = {
    "water-cluster": Example(
        package="water_cluster",
        summary="(H2O)6 with GFN1-xTB energies and forces: 471 structures, 200 to check against",
        input_files=(
            "README.md",
            "TUTORIAL.md",
            "O.fingerprint.stp",
            "H.fingerprint.stp",
            "generate.in",
            "O.behler.fingerprint.stp",
            "H.behler.fingerprint.stp",
            "generate-behler.in",
            "train-energy.in",
            "train-taylor.in",
            "train-centred.in",
            "train-directional.in",
            "train-exact.in",
            "predict.in",
        ),
        archives=("train.tar.xz", "validation.tar.xz"),
        steps=(
            ("generate", "generate.in"),
            ("train", "train-energy.in"),
            ("train", "train-taylor.in"),
            ("train", "train-centred.in"),
            ("train", "train-directional.in"),
            ("train", "train-exact.in"),
            ("predict", "predict.in"),
        ),
        trainings=(
            ("energy", "train-energy.in"),
            ("Taylor", "train-taylor.in"),
            ("centred Taylor", "train-centred.in"),
            ("directional", "train-directional.in"),
            ("exact", "train-exact.in"),
        ),
    )
}
