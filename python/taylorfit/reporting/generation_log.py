"""What `generate` prints, to standard output or to the log of a scan."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from ..data.check import DataCheck
from ..engine import DescriptorTables
from ..generation.files import Generated, GenerationObserver
from ..model.descriptor import BEHLER2011, CHEBYSHEV
from ..settings.generate import GenerateInput
from ..tools.interrupts import Interrupt
from ..tools.progress import duration, no_steps, progress

if TYPE_CHECKING:
    from ..generation.copy_plan import PlannedCopies


class GenerationLog(GenerationObserver):
    """Prints what is found and made as soon as it is known.

    Parameters
    ----------
    settings
        of generate.in
    stream
        where to print; None: standard output, with progress
    """

    def __init__(
        self, settings: GenerateInput, stream: TextIO | None = None, interrupt: Interrupt | None = None
    ) -> None:
        super().__init__(progress if stream is None else no_steps, interrupt)
        self._settings, self._stream = settings, stream

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._stream or sys.stdout, flush=True)

    def described(self, tables: DescriptorTables) -> None:
        """Say how structures are described."""
        for symbol, setup in zip(tables.species, tables.setups):
            self._print(
                f"{symbol:2s} {setup.in_words}, "
                f"environment {' '.join(setup.environment)}, from {self._settings.setups[symbol]}"
            )
        for note in setup_notes(tables):
            self._print(f"note: {note}")

    def remarked(self, remark: str) -> None:
        """Say it."""
        self._print(f"note: {remark}")

    def checked(self, found: DataCheck, n_structures: int, n_dropped: int) -> None:
        """Print the data check."""
        self._print(f"\nData check of {n_structures} structures:", *(f"  {line}" for line in found.lines()))
        if n_dropped and n_dropped < n_structures:
            self._print(f"  dropped on request: {n_dropped} structures")
        if self._settings.no_energies and n_dropped < n_structures:
            self._print("  NOENERGIES: energies are written as 0; train with FORCES mode=exact energyweight=0")

    def planned(self, planned: PlannedCopies) -> None:
        """Say which copies will be made."""
        self._print("", *planned.lines)

    def ended(self, made: Generated) -> None:
        """Say what has been written."""
        self._print(*ending(made))


def ending(made: Generated) -> Iterator[str]:
    """What has been written, and the range of the energies."""
    counts, separate = made.counts, made.taylor_output is not None
    if made.unused_output is not None:
        yield f"warning: no Taylor copies, so {made.unused_output} is not written"
    if made.derivatives_output is not None:
        yield (
            f"\n{made.derivatives_output}: descriptor derivatives of {made.n_derivatives} structures, "
            f"{made.megabytes_derivatives:.1f} MB"
        )
    yield f"\n{made.output}: {counts.structures} structures" + (
        "" if separate or not counts.copies else f" and {counts.copies} Taylor copies"
    )
    if separate:
        yield f"{made.taylor_output}: {counts.copies} Taylor copies"
    if made.xsf_output:
        yield f"{made.xsf_output}: {counts.copies} Taylor copies as XSF files"
    yield (
        f"energies relative to the atoms: mean {made.energy_mean:.6f}, min {made.energy_min:.6f}, "
        f"max {made.energy_max:.6f} eV/atom"
    )
    yield f"{counts.atoms} atoms in {duration(made.seconds)}"


def setup_notes(tables: DescriptorTables) -> list[str]:
    """Where ænet's programs would compute other values from the same setups."""
    notes = []
    for setup in tables.setups:
        places = [tables.species.index(symbol) for symbol in setup.environment]
        radial_cutoff, _, angular_cutoff, _ = setup.parameters[0]
        if setup.kind == CHEBYSHEV and len(places) > 1 and angular_cutoff > radial_cutoff > 0:
            notes.append(
                f"{setup.species}: the angular cutoff is larger than the radial one; ænet's values are wrong there"
            )
        if setup.kind == BEHLER2011 and places != sorted(places):
            notes.append(
                f"{setup.species}: ENV is not in the order of TYPES; ænet takes the functions of other species then"
            )
    return notes
