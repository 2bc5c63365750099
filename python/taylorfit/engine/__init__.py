"""The boundary to the Fortran engine: the only package that imports the extension.

It chooses the build for this processor, lays out arrays as Fortran wants them, allocates
results, converts 0-based to 1-based indices, and turns the engine's errors into exceptions.
No physics happens here.  Lengths in Å, energies in eV.
"""

from .derivatives import descriptor_derivatives
from .descriptors import DescriptorTables, describe, descriptor_derivative, fill_descriptor_derivatives
from .force_maps import ForceMap, canonical_order, changes_along, force_map, strain_changes
from .handles import Handle, StopToken, aligned_zeros
from .kernels import activation, blas_product, cutoff, neighbours, panel_products
from .lbfgs import Lbfgs
from .library import LANES, available_threads, blas_name, build_name, c_folders
from .losses import Contribution, ForceTerms, Loss, LossValue, adam_step, start_covariance
from .neighbour_lists import NeighbourList
from .partial_sums import PartialSums, columns_of_sums, most_nodes
from .potentials import (
    Evaluation,
    ListedEvaluation,
    NetworkTables,
    PotentialTables,
    atom_virials,
    evaluate,
    evaluate_listed,
    evaluate_members,
    share_descriptors,
)

__all__ = [
    "LANES",
    "Contribution",
    "DescriptorTables",
    "Evaluation",
    "ForceMap",
    "ForceTerms",
    "Handle",
    "Lbfgs",
    "ListedEvaluation",
    "Loss",
    "LossValue",
    "NeighbourList",
    "NetworkTables",
    "PartialSums",
    "PotentialTables",
    "StopToken",
    "activation",
    "adam_step",
    "aligned_zeros",
    "atom_virials",
    "available_threads",
    "blas_name",
    "blas_product",
    "build_name",
    "c_folders",
    "canonical_order",
    "changes_along",
    "columns_of_sums",
    "cutoff",
    "describe",
    "descriptor_derivative",
    "descriptor_derivatives",
    "evaluate",
    "evaluate_listed",
    "evaluate_members",
    "fill_descriptor_derivatives",
    "force_map",
    "most_nodes",
    "neighbours",
    "panel_products",
    "share_descriptors",
    "start_covariance",
    "strain_changes",
]
