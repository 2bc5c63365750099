"""Write `taylorfit/__init__.pyi`, the public names as editors and type checkers see them, from `taylorfit.EXPORTS`.

python python/write_stub.py
"""

from __future__ import annotations

from pathlib import Path

import taylorfit

STUB = Path(__file__).parent / "taylorfit" / "__init__.pyi"


def stub() -> str:
    """Return the text of the stub."""
    lines = ["# Written by python/write_stub.py: do not edit", ""]
    for module, names in sorted(taylorfit.EXPORTS.items()):
        lines += [f"from .{module} import {name} as {name}" for name in names]
    lines = [*lines[:2], *(f"from . import {room} as {room}" for room in taylorfit.ROOMS), *lines[2:]]
    lines += ["", "__version__: str", "EXPORTS: dict[str, tuple[str, ...]]", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
