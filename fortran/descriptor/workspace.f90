!> Scratch memory of one thread, kept from structure to structure.
module tf_workspace
   use tf_kinds, only : wp, i8, lanes
   use tf_error, only : error_type, check_memory
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, &
      descriptor_scratch_type, new_descriptor_scratch, basis_behler
   implicit none
   private
   public :: workspace_type, workspace_pool_type, reserve
   public :: block_atoms, atoms_at_a_time, atoms_per_look

   ! Largest number of atoms whose networks are evaluated together
   integer, parameter :: block_atoms = 32
   ! Atoms between two looks whether the user wants to stop
   integer, parameter :: atoms_per_look = 256

   !> Scratch of one thread, kept from structure to structure because allocation costs as much as the work
   type :: workspace_type
      integer :: n_most = -1
      type(descriptor_work_type), allocatable :: work(:)
      type(descriptor_scratch_type) :: scratch
      real(wp), allocatable :: ghosts(:, :)
      real(wp), allocatable :: g(:), raw(:), panel(:), value(:), slope(:), derivative(:)
      !> Partial sums of forces, of the first thread alone
      real(wp), allocatable :: sums(:, :)
   end type workspace_type

   !> Scratch that one call leaves to the next; calls at the same time have each their own
   type :: workspace_pool_type
      private
      type(workspace_type), allocatable :: spaces(:)
   contains
      procedure :: take
      procedure :: keep
   end type workspace_pool_type

contains

   !> Atoms whose networks are evaluated together: what their values leave behind for the gradients stays in the cache
   elemental integer function atoms_at_a_time(descriptor)
      type(descriptor_type), intent(in) :: descriptor

      atoms_at_a_time = merge(lanes/4, block_atoms, descriptor%basis == basis_behler)
   end function atoms_at_a_time

   !> Take the scratch of the last call, if no other call has it, for n_threads threads
   subroutine take(pool, n_threads, spaces, error)
      class(workspace_pool_type), intent(inout) :: pool
      !> Of the coming call
      integer, intent(in) :: n_threads
      type(workspace_type), allocatable, intent(out) :: spaces(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: status

      !$omp critical (tf_workspace_pool)
      if (allocated(pool%spaces)) call move_alloc(pool%spaces, spaces)
      !$omp end critical (tf_workspace_pool)
      if (allocated(spaces)) then
         if (size(spaces) == n_threads) return
         deallocate (spaces)
      end if
      allocate (spaces(n_threads), stat=status)
      call check_memory(status, "the scratch of threads", storage_size(spaces, i8)/8*n_threads, error)
   end subroutine take

   !> Leave the scratch to the next call
   subroutine keep(pool, spaces)
      class(workspace_pool_type), intent(inout) :: pool
      type(workspace_type), allocatable, intent(inout) :: spaces(:)

      !$omp critical (tf_workspace_pool)
      if (.not. allocated(pool%spaces)) call move_alloc(spaces, pool%spaces)
      !$omp end critical (tf_workspace_pool)
   end subroutine keep

   !> Make room for n_work atoms at a time with up to n_most neighbours each
   subroutine reserve(space, descriptors, n_most, n_work, n_ghosts, n_feature, n_columns, error)
      type(workspace_type), intent(inout) :: space
      type(descriptor_type), intent(in) :: descriptors(:)
      !> Largest number of neighbours, atoms at a time
      integer, intent(in) :: n_most, n_work
      !> Places for ghosts, values of a descriptor, and columns of network scratch; 0 if not needed
      integer, intent(in) :: n_ghosts, n_feature, n_columns
      type(error_type), allocatable, intent(inout) :: error
      integer :: k, n, n_old, status

      n_old = 0
      if (allocated(space%work)) n_old = size(space%work)
      if (n_most > space%n_most .or. n_work > n_old) then
         ! A little more than asked for, so that similar structures do not allocate again
         space%n_most = max(space%n_most, n_most + n_most/8)
         n = max(n_old, n_work)
         if (allocated(space%work)) deallocate (space%work)
         allocate (space%work(n), stat=status)
         call check_memory(status, "the scratch of descriptors", storage_size(space%work, i8)/8*n, error)
         if (allocated(error)) return
         do k = 1, n
            call new_descriptor_work(descriptors, space%n_most, space%work(k), error)
         end do
         call new_descriptor_scratch(descriptors, space%n_most, space%scratch, error)
         if (allocated(error)) then
            ! Nothing of it is used again
            deallocate (space%work)
            space%n_most = -1
            return
         end if
      end if
      if (allocated(space%ghosts)) then
         if (size(space%ghosts, 1) /= n_ghosts) deallocate (space%ghosts)
      end if
      if (.not. allocated(space%ghosts)) then
         allocate (space%ghosts(n_ghosts, 3), stat=status)
         call check_memory(status, "periodic images", 24_i8*n_ghosts, error)
      end if
      call grow(space%g, n_feature, error)
      call grow(space%raw, block_atoms*n_feature, error)
      call grow(space%panel, block_atoms*n_feature, error)
      call grow(space%derivative, block_atoms*n_feature, error)
      call grow(space%value, block_atoms*n_columns, error)
      call grow(space%slope, block_atoms*n_columns, error)
   end subroutine reserve

   !> At least n elements, the old ones lost
   subroutine grow(array, n, error)
      !> At least n numbers afterwards
      real(wp), allocatable, intent(inout) :: array(:)
      integer, intent(in) :: n
      type(error_type), allocatable, intent(inout) :: error
      integer :: status

      if (n == 0) return
      if (allocated(array)) then
         if (size(array) >= n) return
         deallocate (array)
      end if
      allocate (array(n), stat=status)
      call check_memory(status, "the networks of a block of atoms", 8_i8*n, error)
   end subroutine grow

end module tf_workspace
