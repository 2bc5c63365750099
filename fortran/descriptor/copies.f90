!> Whole structures: descriptors of displaced copies.
module tf_copies
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_value
   use tf_neighbours, only : neighbour_list_type, build_neighbour_list, place_ghosts
   use tf_descriptor, only : descriptor_type, descriptor_values, check_species
   use tf_workspace, only : workspace_type, reserve, atoms_per_look
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: describe_structure

contains

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
