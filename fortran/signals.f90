!> Ctrl-C: ask Python whether it wants to interrupt a long call.
module tf_signals
   use, intrinsic :: iso_c_binding, only : c_int
   implicit none
   private
   public :: interrupted, must_stop

   interface
      function tf_check_signals() bind(c, name="tf_check_signals") result(pending)
         import :: c_int
         integer(c_int) :: pending
      end function tf_check_signals
   end interface

contains

   !> True if the user has interrupted; only the thread that called the engine may ask
   logical function interrupted()
      interrupted = tf_check_signals() /= 0
   end function interrupted

   !> Has the user interrupted?  Asks Python only if `look`; `stopped` is shared by the threads
   logical function must_stop(look, stopped)
      logical, intent(in) :: look
      logical, intent(inout) :: stopped
      !$omp atomic read
      must_stop = stopped
      if (must_stop .or. .not. look) return
      must_stop = interrupted()
      if (.not. must_stop) return
      !$omp atomic write
      stopped = .true.
   end function must_stop

end module tf_signals
