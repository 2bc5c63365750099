!> Stopping a long call: by a token of the caller's, or by a check that the host program has registered.
module tf_stop
   use, intrinsic :: iso_c_binding, only : c_int, c_int32_t
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: stop_type, must_stop, watch

   !> Whether a call is to end early; shared by its threads
   type :: stop_type
      !> A number that anyone may set to something else than 0
      integer(c_int32_t), pointer :: token => null()
      !> It has been asked to, and its results are incomplete
      logical :: stopped = .false.
   end type stop_type

   interface
      !> 1 if the registered check wants the calls of this thread to stop (host.c)
      function tf_check_stop() bind(c, name="tf_check_stop") result(pending)
         import :: c_int
         implicit none
         integer(c_int) :: pending
      end function tf_check_stop

      !> Sleep for a millisecond (host.c)
      subroutine tf_nap() bind(c, name="tf_nap")
         implicit none
      end subroutine tf_nap
   end interface

contains

   !> Is the call to end?  Only the thread that called the engine looks further than to the others
   logical function must_stop(stop, look)
      type(stop_type), intent(inout) :: stop
      !> Look at the token, and ask the host program
      logical, intent(in) :: look
      integer(c_int32_t) :: token

      !$omp atomic read
      must_stop = stop%stopped
      if (must_stop .or. .not. look) return

      token = 0
      if (associated(stop%token)) then
         !$omp atomic read
         token = stop%token
      end if
      must_stop = token /= 0
      if (.not. must_stop) must_stop = tf_check_stop() /= 0
      if (.not. must_stop) return
      !$omp atomic write
      stop%stopped = .true.
   end function must_stop

   !> Let the thread that called the engine, when it has no more work, look for a wish to stop until all items are done:
   !> other threads see the token, but not the signals of the host program
   subroutine watch(stop, n_done, n)
      type(stop_type), intent(inout) :: stop
      !> Items that the threads have done so far, and all
      integer, intent(in) :: n_done, n
      integer :: now
      logical :: is_caller

      is_caller = .true.
      !$ is_caller = omp_get_thread_num() == 0
      do while (is_caller)
         !$omp atomic read
         now = n_done
         if (now >= n) return
         if (must_stop(stop, .true.)) return
         call tf_nap()
      end do
   end subroutine watch

end module tf_stop
