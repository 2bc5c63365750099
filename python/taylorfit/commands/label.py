"""`taylorfit label`: energies and forces of a reference for structures."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError
from ..learning.label import ELSEWHERE, label
from ..settings.label import Reference, parse_value
from ..tools.locks import alone
from .sources import dropped_kinds, read_all, read_options

WAITING = 3
"""Exit code while frames wait for somebody else."""
_SHOWN = 10


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Label the structures, print a summary, and return the report."""
    reference = _reference(arguments)
    structures = read_all(arguments.structures, read_options(arguments), drop=dropped_kinds(arguments))
    with alone(arguments.output):
        found = label(
            structures,
            reference,
            output=arguments.output,
            processes=arguments.processes,
            reuse=arguments.reuse,
            max_force=arguments.max_force,
            retry=arguments.retry,
            overwrite=arguments.force,
            progress=True,
        )
    print(
        f"{len(found.structures)} of {len(structures)} structures labelled, {found.n_computed} in this run; "
        f"{len(found.set_aside)} set aside"
    )
    for one in found.set_aside[:_SHOWN]:
        print(f"  {one.name}: {one.reason}")
    if len(found.set_aside) > _SHOWN:
        print(f"  and {len(found.set_aside) - _SHOWN} more")
    report = found.to_dict() | {"output": arguments.output}
    if found.waiting:
        print(f"{len(found.waiting)} wait in {arguments.output}{ELSEWHERE}: run this again when results are there")
        return report | {"exit_code": WAITING}
    if found.structures:
        print(f"written: {arguments.output}")
    else:
        print("nothing is written: no structure has a label")
    return report


def _reference(arguments: argparse.Namespace) -> Reference:
    if arguments.external:
        return Reference(external=True)
    if arguments.run is not None:
        return Reference(command=arguments.run)
    path, *words = arguments.reference
    options = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise InputError("not an option of the reference", value=word, expected="key=value")
        if key in options:
            raise InputError("option of the reference given twice", value=word, expected="each option once")
        options[key] = parse_value(value)
    return Reference(path, options)
