"""What a study is: data, input files, steps, and a page of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..errors import InputError
from ..reporting.document import Document
from ..tools.atomic_write import atomic_write

SCALES = ("quick", "full")
"""Minutes on two cores, and the paper's size."""
INPUT_SUFFIXES = (".in", ".stp")


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    scale: str
    """One of `SCALES`."""
    threads: int | None = None
    """None: as the input files say."""
    seeds: int | None = None
    """Largest number of seeds; None: as the input files say."""

    @property
    def thread_words(self) -> list[str]:
        """As options of a command."""
        return [] if self.threads is None else ["--threads", str(self.threads)]


@dataclass(frozen=True)
class Step:
    """A step of a study, run in its folder; it skips what it finds done."""

    name: str
    run: Callable[[Options], int]
    """Returns the exit code."""
    needs: str = ""
    """Without this file or folder the step is left out."""

    @property
    def possible(self) -> bool:
        """Whether there is what it needs."""
        return not self.needs or Path(self.needs).exists()


@dataclass(frozen=True)
class Study:
    """One system."""

    name: str
    package: str
    """Name of the package with its input files."""
    place: Callable[[Path | None], None]
    """Put the structures into the working directory, from what --data names, unless they are there."""
    steps: Callable[[str], Sequence[Step]]
    """Of a scale."""
    results: Callable[[str], Document]
    """The page about a scale, from what there is in the working directory."""

    def copy_inputs(self, folder: Path) -> list[Path]:
        """Copy the input files into a folder, which is made; those that are there stay. Return the new ones.

        Raises
        ------
        InputError
            if they cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot be made ({error.strerror})", file=folder, expected="a folder") from None
        written = []
        for source in sorted(files(self.package).iterdir(), key=lambda entry: entry.name):
            target = folder / source.name
            if source.name.endswith(INPUT_SUFFIXES) and not target.exists():
                with atomic_write(target, "wb") as stream:
                    stream.write(source.read_bytes())
                written.append(target)
        return written
