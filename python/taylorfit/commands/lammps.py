"""`taylorfit lammps`: say where the pair style for LAMMPS is, or compile it for another LAMMPS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..lammps.build import FOLDER, PLUGIN, TRIED, build_plugin
from ..lammps.installation import Installation, find_lammps


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Find LAMMPS, compile if asked to, and say how to use the plugin; return the report."""
    lammps = find_lammps(arguments.lammps)
    print(f"LAMMPS {lammps.date} ({lammps.mpi}, {lammps.integers}): {lammps.include}")
    plugin: Path | None = FOLDER / PLUGIN
    if arguments.build:
        plugin = build_plugin(lammps, arguments.output)
        if lammps.version not in TRIED:
            print(
                "note: the pair style was not tried with this version: compare a frame with `taylorfit predict` first"
            )
    if plugin is not None and not plugin.exists():
        print(f"no {PLUGIN} beside this package; compile one: taylorfit lammps --build")
        plugin = None
    if plugin is not None:
        for line in _usage(lammps, plugin.resolve(), is_found=not arguments.build):
            print(line)
    return {
        "lammps": {
            "version": lammps.version,
            "mpi": lammps.mpi,
            "integers": lammps.integers,
            "has_plugins": lammps.has_plugins,
        },
        "plugin": None if plugin is None else str(plugin),
    }


def _usage(lammps: Installation, plugin: Path, is_found: bool) -> list[str]:
    """What to write into an input script so that the style is known."""
    if is_found:
        return [f"plugin: {plugin}", "`lmp` of this environment finds it by itself: pair_style taylorfit"]
    if lammps.has_plugins:
        return [f"plugin: {plugin}", "in the input script, before pair_style:", f"  plugin load {plugin}"]
    return [
        f"plugin: {plugin}",
        "this LAMMPS has no package PLUGIN; with its package PYTHON, in the input script, before pair_style:",
        '  python taylorfit input 1 SELF format p here """',
        "  def taylorfit(lmp):",
        "      import ctypes",
        "      pointer = ctypes.pythonapi.PyCapsule_GetPointer",
        "      pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]",
        f"      ctypes.CDLL('{plugin}').taylorfit_register(ctypes.c_void_p(pointer(lmp, None)))",
        '  """',
        "  python taylorfit invoke",
    ]
