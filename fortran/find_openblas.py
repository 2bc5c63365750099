"""Build step: print the path of the OpenBLAS library to bundle and, below, of its licence texts."""

import sys
from importlib.metadata import files
from pathlib import Path

try:
    import scipy_openblas32
except ModuleNotFoundError:
    sys.exit("scipy-openblas32 is not installed (pip install scipy-openblas32); or build with -Dblas=openblas or -Dblas=none")

folder = Path(scipy_openblas32.get_lib_dir())
libraries = [path for path in sorted(folder.glob("libscipy_openblas*")) if path.suffix in (".so", ".dylib")]
if not libraries:
    sys.exit(f"no shared library in {folder}; build with -Dblas=openblas or -Dblas=none")
print(libraries[0])
for file in files("scipy-openblas32") or []:
    if "licen" in str(file).lower() and Path(file.locate()).is_file():
        print(file.locate())
