!> Stopping a long call: by a token of the caller's, or by a check that the host program has registered.
module tf_stop
   use, intrinsic :: iso_c_binding, only : c_int, c_int32_t
   implicit none
   private
   public :: stop_type, must_stop

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

end module tf_stop
