!> Scratch memory of one thread, kept from structure to structure.
module tf_workspace
   use tf_kinds, only : wp
   use tf_descriptor, only : descriptor_type, descriptor_work_type, new_descriptor_work, &
      descriptor_scratch_type, new_descriptor_scratch
   implicit none
   private
   public :: workspace_type, reserve
   public :: block_atoms, atoms_per_look

   ! Atoms whose networks are evaluated together
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
   end type workspace_type

contains

   !> Make room for n_work atoms at a time with up to n_most neighbours each
   subroutine reserve(space, descriptors, n_most, n_work, n_ghosts, n_feature, n_columns)
      type(workspace_type), intent(inout) :: space
      type(descriptor_type), intent(in) :: descriptors(:)
      integer, intent(in) :: n_most, n_work
      !> Places for ghosts, values of a descriptor, and columns of network scratch; 0 if not needed
      integer, intent(in) :: n_ghosts, n_feature, n_columns
      integer :: k, n, n_old
      n_old = 0
      if (allocated(space%work)) n_old = size(space%work)
      if (n_most > space%n_most .or. n_work > n_old) then
         ! A little more than asked for, so that similar structures do not allocate again
         space%n_most = max(space%n_most, n_most + n_most/8)
         n = max(n_old, n_work)
         if (allocated(space%work)) deallocate (space%work)
         allocate (space%work(n))
         do k = 1, n
            call new_descriptor_work(descriptors, space%n_most, space%work(k))
         end do
         call new_descriptor_scratch(descriptors, space%n_most, space%scratch)
      end if
      if (n_ghosts > 0) then
         if (allocated(space%ghosts)) then
            if (size(space%ghosts, 1) /= n_ghosts) deallocate (space%ghosts)
         end if
         if (.not. allocated(space%ghosts)) allocate (space%ghosts(n_ghosts, 3))
      end if
      call grow(space%g, n_feature)
      call grow(space%raw, block_atoms*n_feature)
      call grow(space%panel, block_atoms*n_feature)
      call grow(space%derivative, block_atoms*n_feature)
      call grow(space%value, block_atoms*n_columns)
      call grow(space%slope, block_atoms*n_columns)
   end subroutine reserve

   !> At least n elements, the old ones lost
   subroutine grow(array, n)
      real(wp), allocatable, intent(inout) :: array(:)
      integer, intent(in) :: n
      if (n == 0) return
      if (allocated(array)) then
         if (size(array) >= n) return
         deallocate (array)
      end if
      allocate (array(n))
   end subroutine grow

end module tf_workspace
