"""Arguments and texts of ``--help`` that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping

from ..model.units import SYSTEM_FORM
from ..settings.option import Settings, options_of
from ..settings.reading import READING_KINDS


def add_input(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare the input file."""
    parser.add_argument("input", metavar=name, help="input file: keywords below")


def add_threads(parser: argparse.ArgumentParser, keyword: str | None = None) -> None:
    """Declare ``--threads``; None where it is not given and the input file has a keyword for it."""
    instead = f"; overrides {keyword}; 0: all cores" if keyword else "; 0 (default): all cores"
    parser.add_argument(
        "--threads", type=int, default=None if keyword else 0, metavar="N", help=f"number of threads{instead}"
    )


def add_force(parser: argparse.ArgumentParser, what: str = "files that exist") -> None:
    """Declare ``--force``."""
    parser.add_argument("--force", action="store_true", help=f"replace {what}")


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Declare the structures, and what is known of their curvature; read by `sources.structure_sources`."""
    parser.add_argument(
        "structures",
        nargs="+",
        metavar="STRUCTURES",
        help="structure files or patterns, or generate.in, which lists them",
    )
    parser.add_argument("--temperature", type=float, metavar="K", help="of the dynamics all structures come from")
    parser.add_argument("--potential", metavar="NN,NN", help="files of a first potential, e.g. O.nn,H.nn")
    parser.add_argument("--curvature", metavar="S:K,S:K", help="mean force constants in eV/Å², e.g. O:33.9,H:16.9")
    add_threads(parser)
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser, drop: Collection[str] = READING_KINDS) -> None:
    """Declare what `sources.read_options` and `dropped_kinds` return; `drop` are the kinds that ``--drop`` may name."""
    group = parser.add_argument_group("reading structures")
    group.add_argument(
        "--units", metavar="UNITS", help=f"of files that do not state theirs: {SYSTEM_FORM}".replace("%", "%%")
    )
    for name, what in (("energy", "energies"), ("forces", "forces"), ("stress", "stresses")):
        group.add_argument(
            f"--{name}-key", metavar="KEY", help=f"name of the {what} in files with several, e.g. REF_{name}"
        )
    group.add_argument(
        "--drop",
        metavar="KINDS",
        default="",
        help="leave these out instead of failing, comma-separated: " + ", ".join(drop),
    )


def add_setting(parser: argparse.ArgumentParser, cls: type[Settings], field: str, metavar: str) -> None:
    """Declare an option of the command line for a field of settings: type, default and help are those of the field."""
    entry = options_of(cls)[field]
    parser.add_argument(
        f"--{field}", type=type(entry.default), default=entry.default, metavar=metavar, help=entry.line()
    )


def key_lines(keys: Mapping[str, str]) -> str:
    """Return a line for each key of a report and its meaning."""
    width = max(map(len, keys))
    return "\n".join(f"  {key:{width}}  {meaning}" for key, meaning in keys.items())
