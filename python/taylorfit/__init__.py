"""Train neural-network interatomic potentials on energies and forces by Taylor expansion.

The method: A. M. Cooper, J. Kästner, A. Urban, N. Artrith, npj Comput. Mater. 6, 54 (2020).
Input files, training sets and potentials are ænet's.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("taylorfit")
except PackageNotFoundError:  # used from the source tree
    __version__ = "0+unknown"
