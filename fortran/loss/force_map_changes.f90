!> Changes of the descriptors of a structure along many displacements of its atoms, by its force map.
module tf_force_map_changes
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, check_memory
   use tf_force_map, only : force_map_type
   use tf_force_map_passes, only : give_changes, add_changes
   implicit none
   private
   public :: changes_of_structure

contains

   !> Changes of the standardised descriptors of structure s along displacements of its atoms
   subroutine changes_of_structure(map, s, n_features, factor, displacement, change, error)
      type(force_map_type), intent(in) :: map
      !> From 1
      integer, intent(in) :: s
      !> (n_species) values of each descriptor, and (n_feature_most, n_species) their standardisation
      integer, intent(in) :: n_features(:)
      real(wp), intent(in) :: factor(:, :)
      !> (3, n_atoms, n_directions) Å
      real(wp), intent(in) :: displacement(:, :, :)
      !> (n_values, n_directions) per species, feature by feature, atom by atom
      real(sp), intent(inout) :: change(:, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: radial(:, :, :), group(:, :, :), parities(:), columns(:), move(:, :), g(:)
      integer, allocatable :: atoms(:)
      integer :: v, t, n, f, l, n_of, first, at, status

      atoms = map%species(map%first_atom(s) + 1:map%first_atom(s + 1))
      n = size(atoms)
      allocate (radial(map%n_points, map%n_species, n), group(map%n_group, map%n_species, n), move(4, n), &
         parities(4*map%grid%n_half*n), columns(map%grid%n_columns*n), g(n*maxval(n_features)), stat=status)
      call check_memory(status, "the changes of descriptors", 8_i8*n*((map%n_points + map%n_group)*map%n_species + 4 &
         + 4*map%grid%n_half + map%grid%n_columns + maxval(n_features)), error)
      if (allocated(error)) return
      do v = 1, size(displacement, 3)
         move(:3, :) = displacement(:, :, v)
         move(4, :) = 0.0_wp
         call add_changes(map, map%first_atom(s), n, atoms, move, radial, group)

         ! As a panel: for each species its features, for each of these its atoms
         first = 0
         at = 0
         do t = 1, map%n_species
            n_of = count(atoms == t)
            if (n_of == 0) cycle
            call give_changes(map, t, n_of, n_features(t), radial(:, :, first + 1:), group(:, :, first + 1:), &
               parities, columns, g)
            l = 0
            do f = 1, n_features(t)
               change(at + 1:at + n_of, v) = real(factor(f, t)*g(l + 1:l + n_of), sp)
               l = l + n_of
               at = at + n_of
            end do
            first = first + n_of
         end do
      end do
   end subroutine changes_of_structure
end module tf_force_map_changes
