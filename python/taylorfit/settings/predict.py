"""predict.in: which potentials to use on which structures, and what to print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from .document import FileEntry, Word, as_entries
from .keyword_file import FILES, SPECIES_PATHS, InputFile, counted_rows, options
from .option import REAL, VERBOSITY, Kind, Settings, one_of, option, require, require_distinct_species
from .reading import reading_option


@dataclass(frozen=True)
class RelaxOptions(Settings):
    """Relaxation of the structures: the block RELAX.

    Raises
    ------
    InputError
        on construction, for a value out of range.
    """

    method: str = option("bfgs", one_of("bfgs"), help="optimiser")
    f_conv: float = option(0.01, key="F_conv", unit="eV/Å", check="x > 0", help="converged below this force")
    e_conv: float = option(
        0.001, key="E_conv", unit="eV", check="x > 0", help="converged below this change of the energy"
    )
    steps: int = option(99, check="n ≥ 0", help="largest number of steps")
    dmax: float | None = option(
        None, REAL, unit="Å", check="x > 0", shown="the optimiser's own", help="largest displacement in a step"
    )


def _symbol(symbol: Word, words: Iterator[Word]) -> str:
    return symbol.text


TYPES = Kind(
    "species",
    write=lambda symbols: "\n".join([str(len(symbols)), *symbols]),
    form="below",
    reader=lambda document, line: counted_rows(document, line, _symbol),
    is_block=True,
)


@dataclass(frozen=True)
class PredictInput(InputFile):
    """What predict.in says; paths are relative to the current working directory (ænet).

    Raises
    ------
    InputError
        on construction, for species without network and networks without species.
    """

    file_name: ClassVar[str] = "predict.in"

    types: tuple[str, ...] = option(kind=TYPES, normalise=tuple, help="n, then n lines with a symbol each")
    networks: dict[str, str] = option(kind=SPECIES_PATHS, help="symbol and potential file of each species")
    files: tuple[FileEntry, ...] = option(
        (), FILES, normalise=as_entries, shown="those of the command line", help="n, then n structure files or patterns"
    )
    forces: bool = option(False, help="print forces")
    print_atomic_energies: bool = option(False, help="print the energy of each atom")
    relax: RelaxOptions | None = option(
        None, options(RelaxOptions, below=True), shown="none", help="options of the relaxation"
    )
    verbosity: str = option("normal", VERBOSITY, help="how much is printed")
    timing: bool = option(False, help="accepted for ænet's sake")
    debug: bool = option(False, help="accepted for ænet's sake")
    units: str | None = reading_option("units")
    energy_key: str | None = reading_option("energy_key")
    forces_key: str | None = reading_option("forces_key")
    stress_key: str | None = reading_option("stress_key")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.types), "types", "no species", expected="at least one")
        require_distinct_species("types", self.types)
        for symbol in self.types:
            require(symbol in self.networks, "networks", "no network for a species", symbol, "symbol file")
        for symbol in self.networks:
            require(
                symbol in self.types,
                "networks",
                "network for a species not in TYPES",
                symbol,
                "one of " + " ".join(self.types),
            )
