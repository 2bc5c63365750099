"""Build step: print the path of the OpenBLAS library to bundle and, below, of its licence texts.

Usage: find_openblas.py FOLDER.  The library is copied to FOLDER too, unless it is there: an editable install does this
again at an import, and overwriting a library that another process has mapped would crash that.
"""

import filecmp
import os
import shutil
import sys
from importlib.metadata import files
from pathlib import Path

try:
    import scipy_openblas32
except ModuleNotFoundError:
    sys.exit(
        "scipy-openblas32 is not installed (pip install scipy-openblas32); or build with -Dblas=openblas or -Dblas=none"
    )

folder = Path(scipy_openblas32.get_lib_dir())
libraries = [path for path in sorted(folder.glob("libscipy_openblas*")) if path.suffix in (".so", ".dylib")]
if not libraries:
    sys.exit(f"no shared library in {folder}; build with -Dblas=openblas or -Dblas=none")
copy = Path(sys.argv[1]) / libraries[0].name
if not copy.exists() or not filecmp.cmp(libraries[0], copy, shallow=False):
    part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
    shutil.copy2(libraries[0], part)
    part.replace(copy)
print(libraries[0])
for file in files("scipy-openblas32") or []:
    if "licen" in str(file).lower() and Path(file.locate()).is_file():
        print(file.locate())
