!> Whole structures: descriptors of displaced copies.
module tf_copies
   use tf_kinds, only : wp, i8
   use tf_batch, only : batch_type, worthwhile_threads
   use tf_error, only : error_type, raise, check_memory, keep_first, error_size, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_values, check_species
   use tf_workspace, only : workspace_type, reserve, atoms_per_look
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: describe_batch

contains

   !> Descriptors of a batch of structures, each in one or more displaced copies
   subroutine describe_batch(descriptors, batch, n_copies, displacement, n_threads, values, placed, failed, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      type(batch_type), intent(inout) :: batch
      !> (n_structures)
      integer, intent(in), contiguous :: n_copies(:)
      !> (3, atoms of all copies) Å
      real(wp), intent(in), contiguous :: displacement(:, :)
      integer, intent(in) :: n_threads
      !> Copy after copy, atom after atom
      real(wp), intent(inout), contiguous :: values(:)
      !> (3, atoms of all copies) positions wrapped into the cell and displaced, Å
      real(wp), intent(inout), contiguous :: placed(:, :)
      !> Structure that the error is about, 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error
      type(error_type), allocatable :: error_here
      type(workspace_type), allocatable :: spaces(:)
      integer(i8), allocatable :: copy_offset(:), value_offset(:)
      integer, allocatable :: n_values(:)
      integer :: s, n_s, inner, n, thread, outer, status

      n_s = batch%n
      if (size(n_copies) /= n_s) call raise(error, error_size, "arrays of the displaced copies have the wrong size")
      allocate (copy_offset(n_s + 1), value_offset(n_s + 1), n_values(n_s), stat=status)
      call check_memory(status, "the numbers of structures", 20_i8*n_s, error)
      if (allocated(error)) return
      copy_offset(1) = 0
      value_offset(1) = 0
      do s = 1, n_s
         n = batch%first_atom(s + 1) - batch%first_atom(s)
         n_values(s) = sum(descriptors(batch%species(batch%first_atom(s) + 1:batch%first_atom(s + 1)))%n_feature)
         copy_offset(s + 1) = copy_offset(s) + int(n, i8)*n_copies(s)
         value_offset(s + 1) = value_offset(s) + int(n_values(s), i8)*n_copies(s)
      end do
      if (any(n_copies < 0) .or. any(shape(displacement, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. &
         any(shape(placed, i8) /= [3_i8, copy_offset(n_s + 1)]) .or. size(values, kind=i8) /= value_offset(n_s + 1)) then
         call raise(error, error_size, "arrays of the displaced copies have the wrong size")
         return
      end if

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
            first_value(i + 1) = first_value(i) + descriptors(batch%species(a + i))%n_feature
         end do
         call describe_structure(descriptors, batch%position(:, a + 1:a + n), cell, periodic, &
            batch%species(a + 1:a + n), shift, spaces, first_value, value, place, batch%stop, error)
      end subroutine describe_copies

   end subroutine describe_batch

   !> Descriptors of copies of a structure that differ by displacements and share one neighbour list
   subroutine describe_structure(descriptors, position, cell, periodic, species, displacement, spaces, &
         first_value, values, placed, stop, error)
      type(descriptor_type), intent(in) :: descriptors(:)
      !> (3, n_atoms) Å
      real(wp), intent(in) :: position(:, :)
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      !> (3, n_atoms, n_copies) Å; zero for the structure itself
      real(wp), intent(in) :: displacement(:, :, :)
      !> Scratch of each thread to be used
      type(workspace_type), intent(inout) :: spaces(:)
      !> (n_atoms + 1) descriptor of atom i is values(first_value(i) + 1 : first_value(i + 1), copy)
      integer, intent(in) :: first_value(:)
      !> (n_values, n_copies)
      real(wp), intent(inout), contiguous :: values(:, :)
      !> (3, n_atoms, n_copies) positions after wrapping and displacing, Å
      real(wp), intent(inout), contiguous :: placed(:, :, :)
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      type(neighbour_list_type) :: list
      type(error_type), allocatable :: error_here
      integer :: n_atoms, n_copies, n_threads, me, i, c
      logical :: ready

      n_atoms = size(species)
      n_copies = size(displacement, 3)
      n_threads = size(spaces)
      call list_of_copies(descriptors, position, cell, periodic, species, displacement, list, error)
      if (allocated(error)) return
      do c = 1, n_copies
         placed(:, :, c) = list%position + displacement(:, :, c)
      end do

      ready = .true.
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(me, error_here, i, c)
      me = 1
      !$ me = me + omp_get_thread_num()
      ! Inside another parallel region this one has a single thread, whatever its number there
      if (n_threads == 1) me = 1
      call reserve(spaces(me), descriptors, list%n_most, 1, list%n_ghosts, 0, 0, error_here)
      if (allocated(error_here)) then
         !$omp critical (tf_copies_memory)
         ready = .false.
         if (.not. allocated(error)) error = error_here
         !$omp end critical (tf_copies_memory)
      end if
      ! All threads go on, or none
      !$omp barrier
      if (ready .and. n_copies >= n_threads) then
         !$omp do schedule(dynamic)
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), spaces(me)%ghosts)
            do i = 1, n_atoms
               call describe_atom(spaces(me), me, i, c, error_here)
            end do
         end do
         !$omp end do
      else if (ready) then
         do c = 1, n_copies
            call place_ghosts(list, placed(:, :, c), spaces(me)%ghosts)
            !$omp do schedule(dynamic, 8)
            do i = 1, n_atoms
               call describe_atom(spaces(me), me, i, c, error_here)
            end do
            !$omp end do
         end do
      end if
      if (allocated(error_here)) then
         !$omp critical (tf_describe_error)
         if (.not. allocated(error)) error = error_here
         !$omp end critical (tf_describe_error)
      end if
      !$omp end parallel

   contains

      subroutine describe_atom(space, me, i, c, error)
         type(workspace_type), intent(inout) :: space
         !> Number of this thread, atom, copy
         integer, intent(in) :: me, i, c
         type(error_type), allocatable, intent(inout) :: error

         ! Counted over the copies, so that many copies of a small structure look as often as a large one
         if (must_stop(stop, me == 1 .and. mod(int(c - 1, i8)*n_atoms + i, int(atoms_per_look, i8)) == 0)) return
         call descriptor_values(descriptors, list, i, placed(:, :, c), space%ghosts, species, .false., &
            space%work(1), space%scratch, values(first_value(i) + 1:first_value(i + 1), c), error)
      end subroutine describe_atom

   end subroutine describe_structure

   !> A neighbour list that serves for all copies of a structure
   subroutine list_of_copies(descriptors, position, cell, periodic, species, displacement, list, error)
      !> As for `describe_structure`
      type(descriptor_type), intent(in) :: descriptors(:)
      real(wp), intent(in) :: position(:, :), cell(3, 3)
      logical, intent(in) :: periodic(3)
      integer, intent(in), contiguous :: species(:)
      real(wp), intent(in) :: displacement(:, :, :)
      type(neighbour_list_type), intent(inout) :: list
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: reach
      integer :: t

      call check_species(descriptors, species, error)
      if (allocated(error)) return
      reach = 0.0_wp
      do t = 1, size(descriptors)
         if (any(species == t)) reach = max(reach, descriptors(t)%cutoff)
      end do
      if (.not. all(abs(displacement) <= huge(1.0_wp))) then
         call raise(error, error_value, "a displacement is not finite")
         return
      end if

      ! Two atoms may approach each other by twice the largest displacement
      if (size(displacement) > 0) reach = reach + 2.0_wp*sqrt(maxval(sum(displacement**2, dim=1)))
      call build_neighbour_list(position, cell, periodic, reach, list, error)
   end subroutine list_of_copies

end module tf_copies
