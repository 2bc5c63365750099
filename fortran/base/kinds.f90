!> Kinds of real and integer numbers, and the width of a SIMD panel.
module tf_kinds
   use, intrinsic :: iso_fortran_env, only : real64, real32, int32, int64
   implicit none
   private
   public :: wp, sp, i4, i8, lanes, padded

   !> Working precision of all real numbers
   integer, parameter :: wp = real64
   !> Single precision: only for constants of a training that are kept in large numbers
   integer, parameter :: sp = real32
   !> Integers of the Python boundary
   integer, parameter :: i4 = int32, i8 = int64
   !> Atoms or neighbours are stored in multiples of this, so that vector loops have no remainder
   integer, parameter :: lanes = 8

contains

   !> Smallest multiple of `lanes` that holds n entries
   pure integer function padded(n)
      !> Entries that are needed
      integer, intent(in) :: n

      padded = ((n + lanes - 1)/lanes)*lanes
   end function padded

end module tf_kinds
