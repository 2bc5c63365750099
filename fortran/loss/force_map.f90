!> How the descriptors of a data set change when atoms move, kept compactly from epoch to epoch.
!>
!> Between the derivatives of the atomic energies with respect to the descriptors and the forces stands a constant
!> linear map that only the geometry determines.  Both ways are needed once an epoch (tf_force_map_passes): from descriptor
!> derivatives to forces, and from displacements (residual forces) to changes of the descriptors.  Its numbers are kept in
!> single precision or 16 bits (groups): the loss is that of forces off by a few 1e-7 of their parts, or 1e-5, and its
!> gradient is exact.
!>
!> A descriptor's Chebyshev radial part is Σ_j h(r_ij), and where both atoms of a pair have the same functions h of
!> r, at most `most_orders`, the pair is stored once ("pairs"): a unit vector, and dh/dr of all orders as eight weights
!> on a grid (tf_radial_grid).  Radial symmetry functions that both atoms have are stored so too, eight dh/dr at a time.
!> Everything else (angular parts, other symmetry functions) is stored for each centre and species of its neighbours as one
!> matrix over displacement components and functions ("groups", tf_group_products), periodic images of an atom summed up.
!> An atom's own derivative is minus the sum of the others, so only differences of displacements enter.
!>
!> Atoms of a structure are ordered by species ("canonical").
module tf_force_map
   use tf_kinds, only : wp, sp, i8, padded
   use tf_error, only : error_type
   use tf_radial_grid, only : radial_grid_type, new_radial_grid, most_orders
   implicit none
   private
   public :: force_map_type, new_force_map, lanes_of_group

   !> Views of the caller's arrays
   type :: force_map_type
      integer :: n_species = 0
      !> Most functions of a group, and coefficients of pairs with a species
      integer :: n_group = 0, n_points = 0
      !> Of the radial functions that pairs serve
      type(radial_grid_type) :: grid
      !> (n_species) radial functions of each centre that pairs serve on the grid, and place before their weighted half, 0 if none
      integer, pointer, contiguous :: radial_count(:) => null(), radial_half(:) => null()
      !> (most, n_species, n_species) radial functions of a neighbour species (second) and a centre that pairs serve one by
      !> one, a window at a time: the descriptor value of each, then 0
      integer, pointer, contiguous :: pair_feature(:, :, :) => null()
      !> (n_species, n_species) weight of a neighbour species (first) in the weighted half of a centre
      real(wp), pointer, contiguous :: weight(:, :) => null()
      !> (n_species, n_species) functions in the group of a neighbour species (first) and a centre
      integer, pointer, contiguous :: group_count(:, :) => null()
      !> (2, n_group, n_species, n_species) the descriptor value of each, and a second one with `weight`, 0 if none
      integer, pointer, contiguous :: group_feature(:, :, :, :) => null()
      !> (n_atoms·n_species + 1) pairs of an atom with later ones of a species stand behind this many
      integer(i8), pointer, contiguous :: pair_first(:) => null()
      !> (n_pairs) the other atom, canonical number in its structure, and points of the grid before the window
      integer, pointer, contiguous :: pair_atom(:) => null(), pair_place(:) => null()
      !> (4, n_pairs) unit vector to it, 0;  (window, n_pairs) weights of the slopes, 1/Å
      real(sp), pointer, contiguous :: pair_unit(:, :) => null(), pair_value(:, :) => null()
      !> (n_atoms·n_species + 1) neighbours and values of group (neighbour species, centre) stand behind this many
      integer(i8), pointer, contiguous :: group_atom_first(:) => null(), group_value_first(:) => null()
      !> Neighbours of each group, canonical numbers
      integer, pointer, contiguous :: group_atom(:) => null()
      !> (lanes_of_group, words of functions) of each group: components x, y, z of its neighbours one after the other, padded;
      !> tf_group_products
      integer, pointer, contiguous :: group_value(:) => null()
      !> (n_group, n_species, n_atoms) what the values of each function are multiples of, 1/Å
      real(sp), pointer, contiguous :: group_scale(:, :, :) => null()
      !> (n_structures + 1) atoms of structure s are first_atom(s) + 1 … first_atom(s + 1)
      integer(i8), pointer, contiguous :: first_atom(:) => null()
      !> (n_atoms)
      integer, pointer, contiguous :: species(:) => null()
      !> (n_species) values of each descriptor
      integer, allocatable :: n_features(:)
      !> Are there arrays that fit each other, and do they hold values?
      logical :: has_arrays = .false., has_values = .false.
   end type force_map_type

contains

   !> Complete a map whose arrays are set
   subroutine new_force_map(map, error)
      type(force_map_type), intent(inout) :: map
      type(error_type), allocatable, intent(inout) :: error

      map%n_species = size(map%radial_count)
      map%n_group = size(map%group_feature, 2)
      map%n_points = padded(size(map%pair_feature, 1))
      call new_radial_grid(min(max(0, maxval(map%radial_count)), most_orders), map%grid, error)
      map%n_points = max(map%n_points, map%grid%n_points)
   end subroutine new_force_map

   !> Rows of the matrix of a group with n neighbours
   pure integer function lanes_of_group(n)
      !> Neighbours
      integer, intent(in) :: n

      lanes_of_group = padded(3*n)
   end function lanes_of_group

end module tf_force_map
