"""generate.in: which structures become a training set, with which descriptors and copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from .displacements import DERIVATIVES, TaylorOptions
from .document import FileEntry, Word, as_entries, real
from .keyword_file import FILES, SPECIES_PATHS, InputFile, counted_rows
from .option import FILE, REAL, VERBOSITY, Kind, option, require, require_distinct_species
from .reading import reading_option


def _atomic_energy(symbol: Word, words: Iterator[Word]) -> tuple[str, float]:
    word = next(words, None)
    if word is None:
        symbol.fail("no atomic energy", "symbol energy")
    return symbol.text, real(word)


def _format_types(types: tuple[tuple[str, float], ...]) -> str:
    return "\n".join([str(len(types)), *(f"{symbol:2} {energy!r}" for symbol, energy in types)])


def _as_types(types: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(symbol), float(energy)) for symbol, energy in types)


TYPES = Kind(
    "species",
    write=_format_types,
    form="below",
    reader=lambda document, line: counted_rows(document, line, _atomic_energy),
    is_block=True,
)


@dataclass(frozen=True)
class GenerateInput(InputFile):
    """What generate.in says; paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for a value out of range or species that do not fit together.
    """

    file_name: ClassVar[str] = "generate.in"
    key_order: ClassVar[str] = (
        "OUTPUT TYPES SETUPS FORCES FORCESPERCENT TIMING DEBUG VERBOSITY NOENERGIES UNITS ENERGY_KEY FORCES_KEY "
        "STRESS_KEY DERIVATIVES FILES"
    )

    types: tuple[tuple[str, float], ...] = option(
        kind=TYPES, normalise=_as_types, help="n, then n lines: symbol, energy of the isolated atom in eV"
    )
    setups: dict[str, str] = option(kind=SPECIES_PATHS, help="symbol and descriptor setup file of each species")
    files: tuple[FileEntry, ...] = option(
        kind=FILES, normalise=as_entries, help="n, then n structure files or patterns"
    )
    output: str = option("refdata.train", FILE, always=True, help="training set to write")
    forces: bool = option(False, help="write descriptor derivatives to OUTPUT.forces")
    forces_percent: float = option(
        100.0,
        REAL._replace(what="a percentage"),
        key="FORCESPERCENT",
        check="0 ≤ p ≤ 100",
        message="not a percentage",
        expected="0 to 100",
        help="share of the structures that get derivatives",
    )
    derivatives: TaylorOptions | None = option(None, DERIVATIVES, shown="none", help="options of the Taylor copies")
    timing: bool = option(False, help="write generate.time")
    debug: bool = option(False, help="accepted for ænet's sake")
    verbosity: str = option("normal", VERBOSITY, help="how much is printed")
    no_energies: bool = option(
        False, key="NOENERGIES", help="take structures for their forces alone, to train with FORCES energyweight=0"
    )
    units: str | None = reading_option("units")
    energy_key: str | None = reading_option("energy_key")
    forces_key: str | None = reading_option("forces_key")
    stress_key: str | None = reading_option("stress_key")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.types), "types", "no species", expected="at least one")
        require(bool(self.files), "files", "no structure files", expected="at least one")
        require_distinct_species("types", self.species)
        for symbol in self.species:
            require(symbol in self.setups, "setups", "no setup for a species", symbol, "symbol file")
        for symbol in self.setups:
            self._require_known("setups", "setup", symbol)
        if self.derivatives is not None:
            for symbol in self.derivatives.delta_species:
                self._require_known("derivatives", f"delta_{symbol}", symbol)
            for symbol in self.derivatives.species or ():
                self._require_known("derivatives", "species=", symbol)
            for symbol in self.derivatives.curvature if isinstance(self.derivatives.curvature, dict) else ():
                self._require_known("derivatives", "curvature=", symbol)
            require(
                self.derivatives.outfile != self.output,
                "derivatives",
                "outfile is the same file as OUTPUT",
                self.output,
                "another name",
            )

    @property
    def species(self) -> tuple[str, ...]:
        """Species in global order."""
        return tuple(symbol for symbol, _ in self.types)

    @property
    def atomic_energies(self) -> dict[str, float]:
        """Energy of the isolated atom of each species, eV."""
        return dict(self.types)

    def _require_known(self, field: str, what: str, symbol: str) -> None:
        expected = "one of " + " ".join(self.species)
        require(symbol in self.species, field, f"{what} for a species not in TYPES", symbol, expected)
