"""Build step: print the files of the package that are to be installed, one a line."""

import sys
from pathlib import Path

KINDS = {".py", ".in", ".stp", ".xz", ".md", ".pyi", ".typed", ".c", ".cpp", ".h"}
root = Path(sys.argv[1])
for path in sorted(root.rglob("*")):
    if path.is_file() and path.suffix in KINDS and "__pycache__" not in path.parts:
        print(path.relative_to(root).as_posix())
