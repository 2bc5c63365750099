!> Several structures as flat arrays: what the boundary checks before anything is computed, and how many threads
!> they are worth.
module tf_batch
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_size, error_value
   implicit none
   private
   public :: check_batch, worthwhile_threads

   ! A thread costs as much to wake as the work on some tens of atoms
   integer(i8), parameter :: atoms_per_thread = 32

contains

   !> Threads that are worth waking for a structure of n atoms
   pure integer function worthwhile_threads(n_threads, n)
      integer, intent(in) :: n_threads
      integer(i8), intent(in) :: n
      worthwhile_threads = int(max(1_i8, min(int(n_threads, i8), n/atoms_per_thread)))
   end function worthwhile_threads

   !> Check the arrays that describe a batch of structures
   subroutine check_batch(n_structures, n_species, first_atom, position, cell, periodic, species, error)
      integer, intent(in) :: n_structures, n_species
      integer, intent(in) :: first_atom(:), periodic(:, :), species(:)
      real(wp), intent(in) :: position(:, :), cell(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      if (size(first_atom) /= n_structures + 1 .or. any(shape(cell) /= [3, 3, n_structures]) .or. &
         any(shape(periodic) /= [3, n_structures]) .or. any(shape(position) /= [3, size(species)])) then
         call raise(error, error_size, "arrays of the structures do not match")
      else if (first_atom(1) /= 0 .or. first_atom(n_structures + 1) /= size(species) .or. &
         any(first_atom(2:) < first_atom(:n_structures))) then
         call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
      else if (any(species < 1) .or. any(species > n_species)) then
         call raise(error, error_value, "a species index is out of range")
      end if
   end subroutine check_batch

end module tf_batch
