# Written by python/write_stub.py: do not edit

from .derivatives import descriptor_derivatives as descriptor_derivatives
from .descriptors import DescriptorTables as DescriptorTables
from .descriptors import describe as describe
from .descriptors import descriptor_derivative as descriptor_derivative
from .descriptors import fill_descriptor_derivatives as fill_descriptor_derivatives
from .force_maps import ForceMap as ForceMap
from .force_maps import canonical_order as canonical_order
from .force_maps import changes_along as changes_along
from .force_maps import force_map as force_map
from .force_maps import strain_changes as strain_changes
from .handles import Handle as Handle
from .handles import StopToken as StopToken
from .handles import aligned_zeros as aligned_zeros
from .kernels import activation as activation
from .kernels import blas_product as blas_product
from .kernels import cutoff as cutoff
from .kernels import farthest_points as farthest_points
from .kernels import neighbours as neighbours
from .kernels import panel_products as panel_products
from .lbfgs import Lbfgs as Lbfgs
from .library import LANES as LANES
from .library import available_threads as available_threads
from .library import blas_name as blas_name
from .library import build_name as build_name
from .library import c_folders as c_folders
from .losses import Contribution as Contribution
from .losses import ForceTerms as ForceTerms
from .losses import Loss as Loss
from .losses import LossValue as LossValue
from .losses import adam_step as adam_step
from .losses import start_covariance as start_covariance
from .neighbour_lists import NeighbourList as NeighbourList
from .partial_sums import PartialSums as PartialSums
from .partial_sums import columns_of_sums as columns_of_sums
from .partial_sums import most_nodes as most_nodes
from .potentials import Evaluation as Evaluation
from .potentials import ListedEvaluation as ListedEvaluation
from .potentials import NetworkTables as NetworkTables
from .potentials import PotentialTables as PotentialTables
from .potentials import atom_virials as atom_virials
from .potentials import evaluate as evaluate
from .potentials import evaluate_listed as evaluate_listed
from .potentials import evaluate_members as evaluate_members
from .potentials import share_descriptors as share_descriptors

EXPORTS: dict[str, tuple[str, ...]]
