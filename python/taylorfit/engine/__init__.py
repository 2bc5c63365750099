"""The boundary to the Fortran engine: the only package that imports the extension.

It chooses the build for this processor, lays out arrays as Fortran wants them, allocates
results, converts 0-based to 1-based indices, and turns the engine's errors into exceptions.
No physics happens here.  Lengths in Å, energies in eV.
"""

from __future__ import annotations

from ..tools.lazy import lazy_names

EXPORTS = {
    "derivatives": ("descriptor_derivatives",),
    "descriptors": ("DescriptorTables", "describe"),
    "force_maps": (
        "ForceMap",
        "ForceMapLayout",
        "canonical_order",
        "changes_along",
        "force_map_layout",
        "strain_changes",
    ),
    "handles": ("Handle", "StopToken", "Zeros", "aligned_zeros"),
    "kernels": ("activation", "blas_product", "cutoff", "farthest_points", "panel_products"),
    "lbfgs": ("Lbfgs",),
    "library": ("LANES", "available_threads", "blas_name", "build_name", "c_folders", "thread_count"),
    "losses": ("Contribution", "ForceTerms", "Loss", "LossValue", "adam_step", "loss_bytes"),
    "neighbour_lists": ("NeighbourList", "neighbours"),
    "partial_sums": ("PartialSums", "columns_of_sums", "most_nodes"),
    "potentials": (
        "Evaluation",
        "ListedEvaluation",
        "NetworkTables",
        "PotentialTables",
        "RepeatedEvaluation",
        "evaluate",
        "evaluate_listed",
        "evaluate_members",
        "share_descriptors",
    ),
}
"""Module → its names, imported when first used: a prediction needs no losses.
`python python/write_stub.py` writes them into `__init__.pyi`."""

__all__ = sorted(name for names in EXPORTS.values() for name in names)

__getattr__ = lazy_names(__name__, EXPORTS)
