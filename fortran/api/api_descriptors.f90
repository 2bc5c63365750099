!> What Python sees of descriptors.  The rules of tf_api_structures hold here too.
module tf_api_descriptors
   use, intrinsic :: iso_c_binding, only : c_f_pointer
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type, worthwhile_threads
   use tf_copies, only : describe_structure
   use tf_descriptor, only : descriptor_type, new_descriptors
   use tf_descriptor_derivatives, only : derivatives_of_atoms
   use tf_error, only : error_type, raise, check_memory, keep_first, report, error_size
   use tf_farthest, only : farthest_points
   use tf_force_map_build, only : strain_of_structure
   use tf_stop, only : must_stop
   use tf_views, only : at, open_batch, check_views
   use tf_workspace, only : workspace_type
!$ use omp_lib, only : omp_get_thread_num
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
      type(error_type), allocatable :: error, error_here
      type(workspace_type), allocatable :: spaces(:)
      type(batch_type) :: batch
      integer(i8), allocatable :: copy_offset(:), value_offset(:)
      integer, allocatable :: n_values(:)
      integer :: failed, s, n_s, inner, n, thread, outer, status

      failed = 0
      call open_batch(self%descriptors, structures, n_threads, batch, error)
      n_s = batch%n
      if (size(n_copies) /= n_s) call raise(error, error_size, "arrays of the displaced copies have the wrong size")
      if (.not. allocated(error)) then
         allocate (copy_offset(n_s + 1), value_offset(n_s + 1), n_values(n_s), stat=status)
         call check_memory(status, "the numbers of structures", 20_i8*n_s, error)
      end if
      if (.not. allocated(error)) then
         copy_offset(1) = 0
         value_offset(1) = 0
         do s = 1, n_s
            n = batch%first_atom(s + 1) - batch%first_atom(s)
            n_values(s) = sum(self%descriptors(batch%species(batch%first_atom(s) + 1:batch%first_atom(s + 1)))%n_feature)
            copy_offset(s + 1) = copy_offset(s) + int(n, i8)*n_copies(s)
            value_offset(s + 1) = value_offset(s) + int(n_values(s), i8)*n_copies(s)
         end do
         if (any(n_copies < 0) .or. any(shape(displacement, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. &
            any(shape(placed, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. &
            size(values, kind=i8) /= value_offset(n_s + 1)) then
           call raise(error, error_size, "arrays of the displaced copies have the wrong size")
         end if
      end if
      if (.not. allocated(error)) then
         ! Many structures: one thread each; few: all threads on each
         outer = merge(n_threads, 1, n_s >= 2*n_threads)
         inner = merge(1, worthwhile_threads(n_threads, copy_offset(n_s + 1)/max(n_s, 1)), n_s >= 2*n_threads)
         !$omp parallel num_threads(outer) if(outer > 1) default(shared) &
         !$omp& private(error_here, thread, spaces, status)
         allocate (spaces(inner), stat=status)
         thread = 0
         !$ thread = omp_get_thread_num()
         !$omp do schedule(dynamic)
         do s = 1, n_s
            if (must_stop(batch%stop, thread == 0)) cycle
            call check_memory(status, "the scratch of threads", storage_size(spaces, i8)/8*inner, error_here)
            if (status == 0) call describe_copies(batch%first_atom(s), batch%first_atom(s + 1) - batch%first_atom(s), &
               n_copies(s), n_values(s), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
               displacement(:, copy_offset(s) + 1:copy_offset(s + 1)), &
               values(value_offset(s) + 1:value_offset(s + 1)), placed(:, copy_offset(s) + 1:copy_offset(s + 1)), spaces, &
               error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end do
         !$omp end parallel
      end if
      call report(error, failed)

   contains

      !> One structure of n atoms behind the first a
      subroutine describe_copies(a, n, n_c, n_v, cell, periodic, shift, value, place, spaces, error)
         !> Atoms of the batch before, atoms, copies, values of the structure
         integer, intent(in) :: a, n, n_c, n_v
         real(wp), intent(in) :: cell(3, 3), shift(3, n, n_c)
         logical, intent(in) :: periodic(3)
         real(wp), intent(inout) :: value(n_v, n_c), place(3, n, n_c)
         type(workspace_type), intent(inout) :: spaces(:)
         type(error_type), allocatable, intent(inout) :: error
         integer :: first_value(n + 1), i

         first_value(1) = 0
         do i = 1, n
            first_value(i + 1) = first_value(i) + self%descriptors(batch%species(a + i))%n_feature
         end do
         call describe_structure(self%descriptors, batch%position(:, a + 1:a + n), cell, periodic, &
            batch%species(a + 1:a + n), shift, spaces, first_value, value, place, batch%stop, error)
      end subroutine describe_copies

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
         batch%periodic(:, 1) /= 0, batch%species, reach, atom_first, atom_last, n_threads, own, image, error)
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
      type(error_type), allocatable :: error, error_here
      type(batch_type) :: batch
      integer, allocatable :: first_value(:)
      integer :: failed, s, a, b, i, status

      failed = 0
      call open_batch(self%descriptors, structures, n_threads, batch, error)
      if (.not. allocated(error)) then
         allocate (first_value(size(batch%species) + 1), stat=status)
         call check_memory(status, "the numbers of atoms", 4_i8*size(batch%species), error)
      end if
      if (.not. allocated(error)) then
         first_value(1) = 0
         do i = 1, size(batch%species)
            first_value(i + 1) = first_value(i) + self%descriptors(batch%species(i))%n_feature
         end do
         if (any(shape(values) /= [first_value(size(batch%species) + 1), 6])) then
           call raise(error, error_size, "array for the strain derivatives has the wrong size")
         end if
      end if
      if (.not. allocated(error)) then
         !$omp parallel do num_threads(n_threads) if(n_threads > 1) schedule(dynamic) default(shared) private(error_here, a, b)
         do s = 1, batch%n
            a = batch%first_atom(s) + 1
            b = batch%first_atom(s + 1)
            call strain_of_structure(self%descriptors, batch%position(:, a:b), batch%cell(:, :, s), batch%periodic(:, s) /= 0, &
               batch%species(a:b), first_value(a:b + 1) - first_value(a), values(first_value(a) + 1:first_value(b + 1), :), &
               error_here)
            call keep_first(s, error_here, failed, error)
         end do
         !$omp end parallel do
      end if
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
