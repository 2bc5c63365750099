!> What Python sees of force maps.  The rules of tf_api_structures hold here too.  Atoms of each structure are ordered by
!> species.
module tf_api_force_maps
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, sp, i8
   use tf_api_descriptors, only : descriptors_handle
   use tf_batch, only : batch_type
   use tf_error, only : error_type, raise, report, error_size, error_value
   use tf_force_map, only : force_map_type, new_force_map
   use tf_force_map_changes, only : changes_of_structure
   use tf_force_map_checks, only : check_force_map, check_structures
   use tf_force_map_batch, only : count_batch, fill_batch
   use tf_force_map_plan, only : find_functions => force_map_tables
   use tf_views, only : at, open_batch, check_views
   implicit none
   private
   public :: force_map_handle, force_map_tables, force_map_sizes, force_map_fill, force_map_values, force_map_changes

   !> A force map
   type :: force_map_handle
      type(force_map_type) :: map
   end type force_map_handle

contains

   !> \brief Which functions of the descriptors are kept as pairs and which in groups.
   subroutine force_map_tables(descriptors, merged, radial_count, radial_half, pair_feature, weight, group_count, &
         group_feature)
      type(descriptors_handle), intent(in) :: descriptors
      !> Not 0: everything in groups
      integer, intent(in) :: merged
      !> As in `force_map_type`; pair_feature and group_feature have room for all functions
      integer, intent(inout), contiguous :: radial_count(:)
      integer, intent(inout), contiguous :: radial_half(:)
      integer, intent(inout), contiguous :: pair_feature(:, :, :)
      real(wp), intent(inout), contiguous :: weight(:, :)
      integer, intent(inout), contiguous :: group_count(:, :)
      integer, intent(inout), contiguous :: group_feature(:, :, :, :)
      type(error_type), allocatable :: error
      integer :: n

      if (.not. allocated(descriptors%descriptors)) then
         call raise(error, error_value, "the descriptors are empty")
      else
         n = size(descriptors%descriptors)
         if (size(radial_count) /= n .or. size(radial_half) /= n .or. any(shape(weight) /= n) .or. &
            any(shape(group_count) /= n) .or. &
            any(shape(pair_feature) /= [maxval(descriptors%descriptors%n_feature), n, n]) .or. &
            any(shape(group_feature) /= [2, maxval(descriptors%descriptors%n_feature), n, n])) then
           call raise(error, error_size, "tables of the force map have the wrong size")
         end if
      end if
      if (.not. allocated(error)) call find_functions(descriptors%descriptors, merged /= 0, radial_count, radial_half, &
         pair_feature, weight, group_count, group_feature)
      call report(error)
   end subroutine force_map_tables

   !> \brief Numbers of pairs of each atom, and of neighbours in each of its groups; and those with everything in groups.
   subroutine force_map_sizes(descriptors, structures, n_threads, n_pairs, n_neighbours, n_merged)
      type(descriptors_handle), intent(in) :: descriptors
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in), contiguous :: structures(:, :)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (n_species, n_atoms)
      integer, intent(inout), contiguous :: n_pairs(:, :)
      integer, intent(inout), contiguous :: n_neighbours(:, :)
      !> With everything in groups, see `force_map_tables`
      integer, intent(inout), contiguous :: n_merged(:, :)
      type(error_type), allocatable :: error
      type(batch_type) :: batch
      integer :: failed

      failed = 0
      call open_batch(descriptors%descriptors, structures, n_threads, batch, error)
      if (.not. allocated(error)) then
         if (any(shape(n_pairs) /= [size(descriptors%descriptors), size(batch%species)]) .or. &
            any(shape(n_neighbours) /= shape(n_pairs)) .or. any(shape(n_merged) /= shape(n_pairs))) then
           call raise(error, error_size, "arrays for the numbers of neighbours have the wrong size")
         end if
      end if
      if (.not. allocated(error)) call count_batch(descriptors%descriptors, batch, n_threads, n_pairs, n_neighbours, n_merged, &
         failed, error)
      call report(error, failed)
   end subroutine force_map_sizes

   !> \brief View the arrays of a map, which must name only atoms of its structures, places of its grid and functions.
   subroutine force_map_fill(self, n_features, with_values, views)
      type(force_map_handle), intent(inout) :: self
      !> (n_species) values of each descriptor
      integer, intent(in), contiguous :: n_features(:)
      !> 0: the values are still to be computed
      integer, intent(in) :: with_values
      !> The arrays of `force_map_type`, in its order
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error

      self%map%has_arrays = .false.
      call check_views(views, 18, error)
      if (.not. allocated(error)) then
         associate (map => self%map)
            call c_f_pointer(at(views, 1), map%radial_count, views(2:2, 1))
            call c_f_pointer(at(views, 2), map%radial_half, views(2:2, 2))
            call c_f_pointer(at(views, 3), map%pair_feature, views(2:4, 3))
            call c_f_pointer(at(views, 4), map%weight, views(2:3, 4))
            call c_f_pointer(at(views, 5), map%group_count, views(2:3, 5))
            call c_f_pointer(at(views, 6), map%group_feature, views(2:5, 6))
            call c_f_pointer(at(views, 7), map%pair_first, views(2:2, 7))
            call c_f_pointer(at(views, 8), map%pair_atom, views(2:2, 8))
            call c_f_pointer(at(views, 9), map%pair_place, views(2:2, 9))
            call c_f_pointer(at(views, 10), map%pair_unit, views(2:3, 10))
            call c_f_pointer(at(views, 11), map%pair_value, views(2:3, 11))
            call c_f_pointer(at(views, 12), map%group_atom_first, views(2:2, 12))
            call c_f_pointer(at(views, 13), map%group_value_first, views(2:2, 13))
            call c_f_pointer(at(views, 14), map%group_atom, views(2:2, 14))
            call c_f_pointer(at(views, 15), map%group_value, views(2:2, 15))
            call c_f_pointer(at(views, 16), map%group_scale, views(2:4, 16))
            call c_f_pointer(at(views, 17), map%first_atom, views(2:2, 17))
            call c_f_pointer(at(views, 18), map%species, views(2:2, 18))
            call new_force_map(map, error)
            self%map%n_features = n_features
            if (.not. allocated(error)) call check_force_map(map, n_features, error)
            if (.not. allocated(error) .and. with_values /= 0) call check_structures(map, error)
         end associate
      end if
      self%map%has_arrays = .not. allocated(error)
      self%map%has_values = self%map%has_arrays .and. with_values /= 0
      call report(error)
   end subroutine force_map_fill

   !> \brief Compute the values of structures of which the first is the map's number `first`, from 0.
   subroutine force_map_values(self, descriptors, structures, merged, first, n_threads)
      type(force_map_handle), intent(inout) :: self
      type(descriptors_handle), intent(in) :: descriptors
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in), contiguous :: structures(:, :)
      !> 1: everything in groups, see `force_map_tables`
      integer, intent(in) :: merged
      !> Number of the first structure in the map, from 0
      integer, intent(in) :: first
      !> Threads of the call
      integer, intent(in) :: n_threads
      type(error_type), allocatable :: error
      type(batch_type) :: batch
      integer :: failed
      integer(i8) :: offset

      failed = 0
      call open_batch(descriptors%descriptors, structures, n_threads, batch, error)
      if (.not. self%map%has_arrays) call raise(error, error_value, "the force map is empty")
      if (.not. allocated(error)) then
         associate (map => self%map)
            if (first < 0 .or. first > size(map%first_atom) - 1 - batch%n .or. &
               map%n_species /= size(descriptors%descriptors)) then
               call raise(error, error_size, "structures beyond the end of the force map")
            else
               offset = map%first_atom(first + 1)
               if (offset + size(batch%species) > size(map%species)) then
                  call raise(error, error_size, "structures beyond the end of the force map")
               else if (any(batch%species /= map%species(offset + 1:offset + size(batch%species)))) then
                  call raise(error, error_value, "the atoms of the structures are not those of the force map")
               end if
            end if
            if (.not. allocated(error)) call fill_batch(descriptors%descriptors, batch, merged /= 0, offset, n_threads, map, &
               failed, error)
         end associate
      end if
      call report(error, failed)
   end subroutine force_map_values

   !> \brief Changes of the standardised descriptors of a structure, from 0, along displacements of its atoms.
   subroutine force_map_changes(self, structure, factor, displacement, change)
      type(force_map_handle), intent(in) :: self
      !> Its number in the map, from 0
      integer, intent(in) :: structure
      !> (n_feature_most, n_species) standardised value = (value - shift)·factor
      real(wp), intent(in), contiguous :: factor(:, :)
      !> (3, n_atoms, n_directions) Å
      real(wp), intent(in), contiguous :: displacement(:, :, :)
      !> (n_values, n_directions) per species, feature by feature, atom by atom
      real(sp), intent(inout), contiguous :: change(:, :)
      type(error_type), allocatable :: error
      integer(i8) :: first, last

      if (.not. self%map%has_values) then
         call raise(error, error_value, "the force map is empty")
      else if (structure < 0 .or. structure > size(self%map%first_atom) - 2) then
         call raise(error, error_value, "a structure is not in the force map")
      else
         first = self%map%first_atom(structure + 1)
         last = self%map%first_atom(structure + 2)
         if (size(displacement, 1) /= 3 .or. size(displacement, 2) /= last - first .or. &
            size(change, 2) /= size(displacement, 3) .or. size(factor, 1) < maxval(self%map%n_features) .or. &
            size(factor, 2) /= size(self%map%n_features) .or. &
            size(change, 1) /= sum(self%map%n_features(self%map%species(first + 1:last)))) then
            call raise(error, error_size, "arrays of the directions do not match")
         else
            call changes_of_structure(self%map, structure + 1, self%map%n_features, factor, displacement, change, error)
         end if
      end if
      call report(error)
   end subroutine force_map_changes

end module tf_api_force_maps
