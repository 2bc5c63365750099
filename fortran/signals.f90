!> Ctrl-C: ask Python whether it wants to interrupt a long call.
module tf_signals
   use, intrinsic :: iso_c_binding, only : c_int
   implicit none
   private
   public :: interrupted

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

end module tf_signals
