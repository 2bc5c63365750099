"""The boundary to the Fortran engine: the only package that imports the extension.

It chooses the build for this processor, lays out arrays as Fortran wants them, allocates
results, converts 0-based to 1-based indices, and turns the engine's errors into exceptions.
No physics happens here.  Lengths in Å, energies in eV.
"""

from .derivatives import descriptor_derivatives
from .descriptors import DescriptorTables, describe, descriptor_derivative, fill_descriptor_derivatives
from .kernels import activation, blas_product, cutoff, neighbours, panel_products
from .library import LANES, available_threads, blas_name, build_name
from .potentials import Evaluation, NetworkTables, PotentialTables, evaluate
from .training import Lbfgs, energy_loss

__all__ = [
    "LANES", "DescriptorTables", "Evaluation", "Lbfgs", "NetworkTables", "PotentialTables", "activation",
    "available_threads", "blas_name", "blas_product", "build_name", "cutoff", "describe", "descriptor_derivative",
    "descriptor_derivatives", "energy_loss", "evaluate", "fill_descriptor_derivatives", "neighbours", "panel_products",
]
