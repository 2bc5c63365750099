!> Whether the arrays of a force map, which come from a caller, fit each other: looked at once, not in every epoch.
module tf_force_map_checks
   use tf_kinds, only : i8
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_force_map, only : force_map_type, lanes_of_group
   use tf_group_products, only : words_of_columns
   use tf_radial_grid, only : window, most_points
   implicit none
   private
   public :: check_force_map, check_structures

contains

   !> Refuse a map whose index arrays point outside its arrays
   subroutine check_force_map(map, n_features, error)
      type(force_map_type), intent(in) :: map
      !> (n_species) values of each descriptor
      integer, intent(in) :: n_features(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: t, u, n
      integer(i8) :: n_atoms

      n = map%n_species
      n_atoms = size(map%species, kind=i8)
      if (size(n_features) /= n .or. size(map%radial_count) /= n .or. size(map%radial_half) /= n .or. &
         any(shape(map%weight) /= n) .or. any(shape(map%group_count) /= n) .or. &
         any(shape(map%group_feature) /= [2, map%n_group, n, n]) .or. size(map%pair_first, kind=i8) /= n_atoms*n + 1 .or. &
         size(map%group_atom_first, kind=i8) /= n_atoms*n + 1 .or. &
         size(map%group_value_first, kind=i8) /= n_atoms*n + 1 .or. size(map%pair_unit, 1) /= 4 .or. &
         size(map%pair_unit, 2, kind=i8) /= size(map%pair_atom, kind=i8) .or. &
         size(map%pair_value, 2, kind=i8) /= size(map%pair_atom, kind=i8) .or. size(map%pair_value, 1) /= window .or. &
         size(map%pair_place, kind=i8) /= size(map%pair_atom, kind=i8) .or. &
         any(shape(map%pair_feature) /= [size(map%pair_feature, 1), n, n]) .or. &
         any(shape(map%group_scale, i8) /= [int(map%n_group, i8), int(n, i8), n_atoms])) then
         call raise(error, error_size, "arrays of the force map do not match")
         return
      end if
      if (.not. ascending(map%pair_first, size(map%pair_atom, kind=i8)) .or. &
         .not. ascending(map%group_atom_first, size(map%group_atom, kind=i8)) .or. &
         .not. ascending(map%group_value_first, size(map%group_value, kind=i8))) then
         call raise(error, error_size, "offsets of the force map point outside its arrays")
         return
      end if
      if (any(map%radial_count < 0) .or. any(map%radial_count > map%grid%n_orders) .or. any(map%radial_half < 0) .or. &
         any(merge(map%radial_half + map%radial_count, map%radial_count, map%radial_half > 0) > n_features) .or. &
         any(map%group_count < 0) .or. any(map%group_count > map%n_group) .or. map%n_points > most_points) then
         call raise(error, error_size, "functions of the force map are not those of the descriptors")
         return
      end if
      do t = 1, n
         if (any(map%pair_feature(:, :, t) < 0) .or. any(map%pair_feature(:, :, t) > n_features(t))) then
            call raise(error, error_size, "functions of the force map are not those of the descriptors")
         end if
         do u = 1, n
            associate (feature => map%group_feature(:, :map%group_count(u, t), u, t))
            if (any(feature(1, :) < 1) .or. any(feature(2, :) < 0) .or. any(feature > n_features(t))) then
              call raise(error, error_size, "functions of the force map are not those of the descriptors")
            end if
            end associate
         end do
      end do

   contains

      pure logical function ascending(first, last)
         integer(i8), intent(in) :: first(:), last
         integer :: n

         n = size(first)
         ascending = first(1) == 0 .and. first(n) == last .and. all(first(2:) >= first(:n - 1))
      end function ascending

   end subroutine check_force_map

   !> Refuse a map that names atoms outside their structures: done once, not at every use
   subroutine check_structures(map, error)
      type(force_map_type), intent(in) :: map
      type(error_type), allocatable, intent(inout) :: error
      integer :: s, n

      n = size(map%first_atom) - 1
      if (n < 0) then
         call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
      else if (map%first_atom(1) /= 0 .or. map%first_atom(n + 1) /= size(map%species) .or. &
         any(map%first_atom(2:) < map%first_atom(:n))) then
         call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
      else if (any(map%species < 1) .or. any(map%species > map%n_species)) then
         call raise(error, error_value, "a species index is out of range")
      end if
      if (allocated(error)) return

      do s = 1, n
         associate (atoms => map%species(map%first_atom(s) + 1:map%first_atom(s + 1)))
            if (any(atoms(2:) < atoms(:size(atoms) - 1))) call raise(error, error_value, "atoms are not in order of species")
            if (.not. structure_fits(map, map%first_atom(s), atoms)) then
              call raise(error, error_size, "the force map of a structure has atoms, places or groups that do not fit")
            end if
         end associate
      end do
   end subroutine check_structures

   !> Are the atoms that a structure's part names in it, its pairs on the grid, and its groups of the sizes they should have?
   pure logical function structure_fits(map, first, species)
      type(force_map_type), intent(in) :: map
      !> Atoms of the data set before the structure
      integer(i8), intent(in) :: first
      !> (n_atoms of the structure)
      integer, intent(in) :: species(:)
      integer :: i, u, n
      integer(i8) :: k

      structure_fits = .true.
      n = size(species)
      do i = 1, n
         do u = 1, map%n_species
            k = (first + i - 1)*map%n_species + u
            associate (pairs => map%pair_atom(map%pair_first(k) + 1:map%pair_first(k + 1)), &
               places => map%pair_place(map%pair_first(k) + 1:map%pair_first(k + 1)))
            if (any(pairs <= i) .or. any(pairs > n)) then
               structure_fits = .false.
            else if (any(species(pairs) /= u)) then
               structure_fits = .false.
            end if
            if (any(places < 0) .or. any(places > map%n_points - window)) structure_fits = .false.
            end associate
            associate (atoms => map%group_atom(map%group_atom_first(k) + 1:map%group_atom_first(k + 1)))
            if (any(atoms < 1) .or. any(atoms > n)) then
               structure_fits = .false.
            else if (any(species(atoms) /= u)) then
               structure_fits = .false.
            end if
            if (map%group_value_first(k + 1) - map%group_value_first(k) /= &
               int(lanes_of_group(size(atoms)), i8)*words_of_columns(map%group_count(u, species(i)))) structure_fits = .false.
            end associate
         end do
      end do
   end function structure_fits

end module tf_force_map_checks
