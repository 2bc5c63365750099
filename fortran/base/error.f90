!> Errors as values: the engine never stops, the boundary turns these into Python exceptions.
module tf_error
   use, intrinsic :: iso_c_binding, only : c_char, c_int, c_size_t
   use tf_kinds, only : i8
   implicit none
   private
   public :: error_type, raise, check_memory, keep_first, report
   public :: error_size, error_value, error_geometry, error_species, error_memory, error_file, error_stopped

   !> An error: its kind and one line of text; unallocated means success
   type :: error_type
      integer :: code = 0
      character(len=:), allocatable :: message
   end type error_type

   integer, parameter :: error_size = 1      !< an array has the wrong size
   integer, parameter :: error_value = 2     !< an argument has an impossible value
   integer, parameter :: error_geometry = 3  !< atoms coincide, cell is singular, positions not finite
   integer, parameter :: error_species = 4   !< a species that the descriptor does not know
   integer, parameter :: error_memory = 5    !< memory is not enough, or a caller's buffer too small
   integer, parameter :: error_stopped = 8   !< the call was asked to end early (7 is the C library's)
   integer, parameter :: error_file = 6      !< a file cannot be read, or does not hold what it should

   interface
      !> Where an error goes that a procedure of the API has found (host.c)
      subroutine tf_tell_error(item, message, length) bind(c, name="tf_tell_error")
         import :: c_char, c_int, c_size_t
         implicit none
         !> Structure it is about, from 1, or 0
         integer(c_int), intent(in), value :: item
         character(kind=c_char), intent(in) :: message(*)
         integer(c_size_t), intent(in), value :: length
      end subroutine tf_tell_error
   end interface

contains

   !> Set `error`; an earlier error is kept, it is closer to the cause
   subroutine raise(error, code, message)
      type(error_type), allocatable, intent(inout) :: error
      !> One of those above, and one line of text
      integer, intent(in) :: code
      character(len=*), intent(in) :: message

      if (allocated(error)) return
      allocate (error)
      error%code = code
      error%message = message
   end subroutine raise

   !> Raise an error if memory could not be allocated
   subroutine check_memory(status, what, n_bytes, error)
      !> From `stat=` of the allocation
      integer, intent(in) :: status
      !> What the memory is for, and how much of it was asked for
      character(len=*), intent(in) :: what
      integer(i8), intent(in) :: n_bytes
      type(error_type), allocatable, intent(inout) :: error
      character(len=160) :: message

      if (status == 0) return
      write (message, "(3a,i0,a)") "not enough memory for ", what, ": ", max(1_i8, n_bytes/1024_i8**2), " MiB more are needed"
      call raise(error, error_memory, trim(message))
   end subroutine check_memory

   !> Of the errors of several items, that of the first: called by the threads that share them, each with its own error
   subroutine keep_first(item, error_here, failed, error)
      !> From 1, in the order in which errors count
      integer, intent(in) :: item
      type(error_type), allocatable, intent(inout) :: error_here
      !> Item whose error is kept; 0: none
      integer, intent(inout) :: failed
      type(error_type), allocatable, intent(inout) :: error

      if (.not. allocated(error_here)) return
      !$omp critical (tf_keep_first)
      if (failed == 0 .or. item < failed) then
         failed = item
         error = error_here
      end if
      !$omp end critical (tf_keep_first)
      deallocate (error_here)
   end subroutine keep_first

   !> Hand an error, if there is one, to the host program; `item` is the structure it is about, 0 if none is
   subroutine report(error, item)
      type(error_type), allocatable, intent(in) :: error
      integer, intent(in), optional :: item
      integer(c_int) :: about

      if (.not. allocated(error)) return
      about = 0
      if (present(item)) about = item
      call tf_tell_error(about, error%message, len(error%message, c_size_t))
   end subroutine report

end module tf_error
