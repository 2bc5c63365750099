"""Build step: write the single-precision twins of modules.

Usage: single.py OUTPUT_DIRECTORY SOURCE...

Such a module takes the precision of its panels as `rp` from tf_kinds, which is `wp` in its source.  The twin of
`dense.f90`, with module tf_dense, is `dense_single.f90`, with module tf_dense_single, where `rp` is `sp`; it uses the
twins of those modules that have one, and C procedures whose names end with _single instead of _double.
"""

import re
import sys
from pathlib import Path

DOUBLE = "rp => wp"


def main() -> None:
    """Write the twins of all sources."""
    output, *sources = map(Path, sys.argv[1:])
    texts = {source: source.read_text(encoding="utf-8") for source in sources}
    modules = [match[1] for text in texts.values() for match in re.finditer(r"^module (\w+)$", text, re.M)]
    names = re.compile(rf"\b({'|'.join(modules)})\b")
    for source, text in texts.items():
        if DOUBLE not in text:
            sys.exit(f"{source} does not say {DOUBLE!r}: it has nothing that could be in single precision")
        twin = names.sub(r"\1_single", text.replace(DOUBLE, "rp => sp").replace('_double")', '_single")'))
        (output / f"{source.stem}_single.f90").write_text(twin, encoding="utf-8")


main()
