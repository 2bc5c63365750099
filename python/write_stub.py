"""Write the `__init__.pyi` of packages whose names are imported when first used, from their `EXPORTS`.

python python/write_stub.py
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import taylorfit
from taylorfit import engine

PACKAGES = (taylorfit, engine)


def stub_of(package: ModuleType) -> Path:
    """Return the path of a stub."""
    return Path(__file__).parent / package.__name__.replace(".", "/") / "__init__.pyi"


def stub(package: ModuleType) -> str:
    """Return the text of a stub."""
    lines = ["# Written by python/write_stub.py: do not edit", ""]
    lines += [f"from . import {room} as {room}" for room in getattr(package, "ROOMS", ())]
    for module, names in sorted(package.EXPORTS.items()):
        lines += [f"from .{module} import {name} as {name}" for name in names]
    lines += ["", *(["__version__: str"] if package is taylorfit else []), "EXPORTS: dict[str, tuple[str, ...]]", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    for each in PACKAGES:
        stub_of(each).write_text(stub(each), encoding="utf-8")
