!> What Python sees of descriptors.  The rules of tf_api_structures hold here too.
module tf_api_descriptors
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type
   use tf_copies, only : describe_batch
   use tf_descriptor, only : descriptor_type, new_descriptors
   use tf_descriptor_derivatives, only : derivatives_of_atoms
   use tf_error, only : error_type, raise, report, error_size
   use tf_farthest, only : farthest_points
   use tf_force_map_batch, only : strain_batch
   use tf_views, only : at, open_batch, check_views
   implicit none
   private
   public :: descriptors_handle, descriptors_fill, describe, descriptor_derivatives, strain_changes, farthest

   !> The descriptors of all species
   type :: descriptors_handle
      type(descriptor_type), allocatable :: descriptors(:)
   end type descriptors_handle

contains

   !> \brief Build the descriptors from the tables of `new_descriptors`, in its order.
   subroutine descriptors_fill(self, views)
      type(descriptors_handle), intent(inout) :: self
      !> (5, n) a column for each array, see tf_views
      integer(i8), intent(in), contiguous :: views(:, :)
      type(error_type), allocatable :: error
      integer, pointer, contiguous :: basis(:), n_function(:), function_kind(:), function_species(:, :), environment(:, :)
      real(wp), pointer, contiguous :: parameters(:, :)

      call check_views(views, 6, error)
      if (.not. allocated(error)) then
         call c_f_pointer(at(views, 1), basis, views(2:2, 1))
         call c_f_pointer(at(views, 2), n_function, views(2:2, 2))
         call c_f_pointer(at(views, 3), function_kind, views(2:2, 3))
         call c_f_pointer(at(views, 4), parameters, views(2:3, 4))
         call c_f_pointer(at(views, 5), function_species, views(2:3, 5))
         call c_f_pointer(at(views, 6), environment, views(2:3, 6))
         call new_descriptors(basis, n_function, function_kind, parameters, function_species, environment, &
            self%descriptors, error)
      end if
      if (allocated(error) .and. allocated(self%descriptors)) deallocate (self%descriptors)
      call report(error)
   end subroutine descriptors_fill

   !> \brief Descriptors of a batch of structures, each in one or more displaced copies.
   subroutine describe(self, structures, n_copies, displacement, n_threads, values, placed)
      type(descriptors_handle), intent(in) :: self
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in), contiguous :: structures(:, :)
      !> (n_structures)
      integer, intent(in), contiguous :: n_copies(:)
      !> (3, atoms of all copies) Å
      real(wp), intent(in), contiguous :: displacement(:, :)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> Copy after copy, atom after atom
      real(wp), intent(inout), contiguous :: values(:)
      !> (3, atoms of all copies) positions wrapped into the cell and displaced, Å
      real(wp), intent(inout), contiguous :: placed(:, :)
      type(error_type), allocatable :: error
      type(batch_type) :: batch
      integer :: failed

      failed = 0
      call open_batch(self%descriptors, structures, n_threads, batch, error)
      if (.not. allocated(error)) call describe_batch(self%descriptors, batch, n_copies, displacement, n_threads, values, &
         placed, failed, error)
      call report(error, failed)
   end subroutine describe

   !> \brief Derivatives of the descriptors of atoms atom_first … atom_last (1/Å); see tf_descriptor_derivatives.
   subroutine descriptor_derivatives(self, structure, reach, atom_first, atom_last, n_threads, own, image)
      type(descriptors_handle), intent(in) :: self
      !> Arrays of a batch of one structure, see `view_batch`
      integer(i8), intent(in), contiguous :: structure(:, :)
      !> Distance up to which atoms are neighbours, Å
      real(wp), intent(in) :: reach
      !> First atom, from 1
      integer, intent(in) :: atom_first
      !> Last atom
      integer, intent(in) :: atom_last
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> See `derivatives_of_atoms`, as the next
      real(wp), intent(inout), contiguous :: own(:)
      real(wp), intent(inout), contiguous :: image(:)
      type(error_type), allocatable :: error
      type(batch_type) :: batch

      call open_batch(self%descriptors, structure, n_threads, batch, error)
      if (.not. allocated(error)) then
         if (batch%n /= 1 .or. atom_first < 1 .or. atom_last > size(batch%species) .or. atom_first > atom_last) then
           call raise(error, error_size, "structure arrays have the wrong size")
         end if
      end if
      if (.not. allocated(error)) call derivatives_of_atoms(self%descriptors, batch%position, batch%cell(:, :, 1), &
         batch%periodic(:, 1) /= 0, batch%species, reach, atom_first, atom_last, n_threads, own, image, batch%stop, error)
      call report(error, 1)
   end subroutine descriptor_derivatives

   !> \brief Derivatives of the raw descriptors of structures with respect to the strains xx, yy, zz, yz, xz, xy.
   subroutine strain_changes(self, structures, n_threads, values)
      type(descriptors_handle), intent(in) :: self
      !> Arrays of a batch, see `view_batch`
      integer(i8), intent(in), contiguous :: structures(:, :)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> (all values, 6)
      real(wp), intent(inout), contiguous :: values(:, :)
      type(error_type), allocatable :: error
      type(batch_type) :: batch
      integer :: failed

      failed = 0
      call open_batch(self%descriptors, structures, n_threads, batch, error)
      if (.not. allocated(error)) call strain_batch(self%descriptors, batch, n_threads, values, failed, error)
      call report(error, failed)
   end subroutine strain_changes

   !> \brief Choose points far from each other and from the first n_given: see tf_farthest.
   subroutine farthest(point, n_given, weight, n_threads, chosen, distance)
      !> (n_dimension, n_point)
      real(wp), intent(in), contiguous :: point(:, :)
      !> Points that are chosen already
      integer, intent(in) :: n_given
      !> (n_point - n_given)
      real(wp), intent(in), contiguous :: weight(:)
      !> Threads of the call
      integer, intent(in) :: n_threads
      !> From 1, behind the given points; their distances to the nearest point there was
      integer, intent(inout), contiguous :: chosen(:)
      real(wp), intent(inout), contiguous :: distance(:)
      type(error_type), allocatable :: error

      call farthest_points(point, n_given, weight, n_threads, chosen, distance, error)
      call report(error)
   end subroutine farthest

end module tf_api_descriptors
