!> Several structures as flat arrays: what the boundary checks before anything is computed, and how many threads
!> they are worth.
module tf_batch
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_stop, only : stop_type
   implicit none
   private
   public :: batch_type, check_batch, worthwhile_threads

   ! A thread costs as much to wake as the work on some tens of atoms
   integer(i8), parameter :: atoms_per_thread = 32

   !> Structures; the arrays belong to the caller
   type :: batch_type
      integer :: n = 0
      !> (n + 1) atoms of structure s are first_atom(s) + 1 … first_atom(s + 1)
      integer, pointer, contiguous :: first_atom(:) => null()
      !> (3, n_atoms) Å
      real(wp), pointer, contiguous :: position(:, :) => null()
      !> (3, 3, n) columns are the lattice vectors, Å
      real(wp), pointer, contiguous :: cell(:, :, :) => null()
      !> (3, n) not 0: periodic along that vector
      integer, pointer, contiguous :: periodic(:, :) => null()
      !> (n_atoms) from 1
      integer, pointer, contiguous :: species(:) => null()
      !> Whether the call is to end early
      type(stop_type) :: stop
   end type batch_type

contains

   !> Threads that are worth waking for a structure of n atoms
   pure integer function worthwhile_threads(n_threads, n)
      !> That there are, and atoms of the structure
      integer, intent(in) :: n_threads
      integer(i8), intent(in) :: n

      worthwhile_threads = int(max(1_i8, min(int(n_threads, i8), n/atoms_per_thread)))
   end function worthwhile_threads

   !> Refuse arrays that do not fit each other
   subroutine check_batch(batch, n_species, error)
      type(batch_type), intent(in) :: batch
      !> Species that are known
      integer, intent(in) :: n_species
      type(error_type), allocatable, intent(inout) :: error

      associate (first => batch%first_atom, n => batch%n)
         if (size(first) /= n + 1 .or. any(shape(batch%cell) /= [3, 3, n]) .or. any(shape(batch%periodic) /= [3, n]) .or. &
            any(shape(batch%position) /= [3, size(batch%species)])) then
            call raise(error, error_size, "arrays of the structures do not match")
         else if (first(1) /= 0 .or. first(n + 1) /= size(batch%species) .or. any(first(2:) < first(:n))) then
            call raise(error, error_size, "atom ranges of the structures do not cover the atoms")
         else if (any(batch%species < 1) .or. any(batch%species > n_species)) then
            call raise(error, error_value, "a species index is out of range")
         end if
      end associate
   end subroutine check_batch

end module tf_batch
