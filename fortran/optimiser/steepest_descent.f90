!> Steepest descent with momentum (ænet's online_sd).
module tf_steepest_descent
   use tf_kinds, only : wp
   implicit none
   private
   public :: descent_step

contains

   !> v ← momentum·v − rate·g,  w ← w + v
   pure subroutine descent_step(momentum, rate, gradient, weights, velocity)
      !> Factor of the last step; step per gradient
      real(wp), intent(in) :: momentum, rate
      !> (n_weights) all three
      real(wp), intent(in) :: gradient(:)
      real(wp), intent(inout) :: weights(:)
      real(wp), intent(inout) :: velocity(:)

      velocity = momentum*velocity - rate*gradient
      weights = weights + velocity
   end subroutine descent_step

end module tf_steepest_descent
